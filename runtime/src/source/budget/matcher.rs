//! Which calls a policy is for.

use fancy_regex::Regex;

use crate::source::component::Component;
use crate::source::python;
use crate::source::template::Scope;
use crate::stream::SourceError;

use super::Call;

#[derive(Debug)]
pub struct Matcher {
    method: Option<String>,
    base: Option<String>,
    path: Option<Regex>,
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub weight: u64,
}

impl Matcher {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<Matcher, SourceError> {
        let path = match component.text("url_path_pattern") {
            Some(pattern) => Some(
                Regex::new(pattern)
                    .map_err(|error| component.error(format!("`url_path_pattern`: {error}")))?,
            ),
            None => None,
        };
        let pairs = |name: &str| {
            let fields = component.field(name).and_then(|fields| fields.as_object());
            let fields = fields.into_iter().flatten();
            let text = |value| python::text(&crate::value::Value::from(value));
            fields
                .map(|(key, value)| (key.clone(), text(value)))
                .collect()
        };
        Ok(Matcher {
            method: component.text("method").map(str::to_uppercase),
            base: component
                .text("url_base")
                .map(|base| base.trim_end_matches('/').to_owned()),
            path,
            params: pairs("params"),
            headers: pairs("headers"),
            weight: match component.field("weight") {
                Some(_) => super::whole(component, "weight", scope)?,
                None => 1,
            },
        })
    }

    pub fn matches(&self, call: Call<'_>) -> bool {
        let base = || call.url[..url::Position::BeforePath].to_owned();
        let path = || call.url.path().trim_end_matches('/');
        let has_param = |(key, value): &(String, String)| {
            let mut pairs = call.url.query_pairs();
            pairs.any(|(name, there)| name == *key && there == *value)
        };
        let has_header = |(key, value): &(String, String)| {
            let mut headers = call.headers.iter();
            headers.any(|(name, there)| name.eq_ignore_ascii_case(key) && there == value)
        };
        self.method
            .as_ref()
            .is_none_or(|method| method == call.method)
            && self.base.as_ref().is_none_or(|wanted| *wanted == base())
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(path()).unwrap_or(false))
            && self.params.iter().all(has_param)
            && self.headers.iter().all(has_header)
    }
}
