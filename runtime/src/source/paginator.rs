//! Paging: what a request for a page holds, and which page comes after a reply.
//!
//! Knows nothing of authentication or sending.

use crate::stream::SourceError;
use crate::value::Value;

use super::component::Component;
use super::python;
use super::request::{Options, RequestOption};
use super::response::Response;
use super::template::{Scope, Template, TemplateError, to_template};

#[derive(Debug, Clone)]
pub struct Paginator {
    strategy: Option<Strategy>,
    size_option: Option<RequestOption>,
    token: TokenPlace,
}

#[derive(Debug, Clone)]
enum TokenPlace {
    Nowhere,
    Path,
    Option(RequestOption),
}

#[derive(Debug, Clone)]
enum Strategy {
    Page {
        size: Option<i64>,
        start: i64,
        first: bool,
    },
    Offset {
        size: Option<Template>,
        first: bool,
    },
    Cursor {
        value: Template,
        stop: Option<Template>,
        size: Option<i64>,
    },
}

/// What was read of a page.
#[derive(Debug, Clone, Copy)]
pub struct Read<'r> {
    pub response: &'r Response,
    /// Records in the reply, before the filter.
    pub extracted: usize,
    /// Records that were kept.
    pub kept: usize,
    pub last_record: Option<&'r Value>,
}

type Result<T> = std::result::Result<T, TemplateError>;

impl Paginator {
    /// One page and no other.
    pub fn none() -> Paginator {
        Paginator {
            strategy: None,
            size_option: None,
            token: TokenPlace::Nowhere,
        }
    }

    pub fn open(
        component: Option<&Component<'_>>,
        scope: &Scope,
    ) -> std::result::Result<Paginator, SourceError> {
        let Some(component) = component else {
            return Ok(Paginator::none());
        };
        match component.kind() {
            "NoPagination" => return Ok(Paginator::none()),
            "DefaultPaginator" => {}
            _ => return Err(component.unknown("DefaultPaginator or NoPagination")),
        }
        let token = match component.child("page_token_option") {
            None => TokenPlace::Nowhere,
            Some(option) if option.kind() == "RequestPath" => TokenPlace::Path,
            Some(option) => TokenPlace::Option(RequestOption::open(&option)?),
        };
        let size_option = match component.child("page_size_option") {
            Some(option) => Some(RequestOption::open(&option)?),
            None => None,
        };
        let strategy = Strategy::open(&component.need("pagination_strategy")?, scope)?;
        if size_option.is_some() && !strategy.has_size() {
            return Err(component.error("`page_size_option` needs a `page_size` in the strategy"));
        }
        Ok(Paginator {
            strategy: Some(strategy),
            size_option,
            token,
        })
    }

    /// The token of the first page, where it has one.
    pub fn first(&self) -> Option<Value> {
        match &self.strategy {
            Some(Strategy::Page {
                start, first: true, ..
            }) => Some(Value::Int(*start)),
            Some(Strategy::Offset { first: true, .. }) => Some(Value::Int(0)),
            _ => None,
        }
    }

    /// The address the token is, where it is one.
    pub fn path(&self, token: Option<&Value>) -> Option<String> {
        let token = token.filter(|token| python::truth(token))?;
        matches!(self.token, TokenPlace::Path).then(|| python::text(token))
    }

    /// What the request for this page holds.
    pub fn options(&self, token: Option<&Value>, scope: &Scope) -> Result<Options> {
        let mut options = Options::default();
        if let (TokenPlace::Option(option), Some(token)) = (&self.token, token) {
            option.inject(&mut options, token.clone(), scope)?;
        }
        if let (Some(option), Some(strategy)) = (&self.size_option, &self.strategy)
            && let Some(size) = strategy.size(scope)?.filter(|size| *size != 0)
        {
            option.inject(&mut options, Value::Int(size), scope)?;
        }
        Ok(options)
    }

    /// The token of the page after this one; `None` at the end.
    pub fn next(
        &self,
        read: Read<'_>,
        token: Option<&Value>,
        scope: &Scope,
    ) -> Result<Option<Value>> {
        let next = match &self.strategy {
            None => None,
            Some(Strategy::Page { size, start, .. }) => {
                let page = number(token)?.unwrap_or(*start);
                more(*size, read.extracted).then(|| Value::Int(page + 1))
            }
            Some(Strategy::Offset { size, .. }) => {
                let size = match size {
                    Some(size) => Some(integer(size, &with_response(scope, size, read))?),
                    None => None,
                };
                let offset = number(token)?.unwrap_or(0);
                more(size, read.extracted).then(|| Value::Int(offset + read.extracted as i64))
            }
            Some(Strategy::Cursor { value, stop, size }) => {
                cursor(value, stop, *size, read, scope)?
            }
        };
        Ok(next.filter(python::truth))
    }
}

/// Whether a page this full has one after it.
fn more(size: Option<i64>, extracted: usize) -> bool {
    let short = size.is_some_and(|size| size != 0 && (extracted as i64) < size);
    extracted > 0 && !short
}

fn number(token: Option<&Value>) -> Result<Option<i64>> {
    match token {
        None => Ok(None),
        Some(Value::Int(number)) => Ok(Some(*number)),
        Some(other) => Err(TemplateError {
            template: python::text(other),
            problem: "the page's token is no whole number".to_owned(),
        }),
    }
}

fn integer(template: &Template, scope: &Scope) -> Result<i64> {
    match template.value(scope)? {
        Value::Int(size) => Ok(size),
        other => Err(TemplateError {
            template: template.source().to_owned(),
            problem: format!(
                "the page size is `{}`, not a whole number",
                python::text(&other)
            ),
        }),
    }
}

fn with_response(scope: &Scope, template: &Template, read: Read<'_>) -> Scope {
    match template.reads("response") {
        true => scope.clone().with("response", read.response.shown_first()),
        false => scope.clone(),
    }
}

fn cursor(
    value: &Template,
    stop: &Option<Template>,
    size: Option<i64>,
    read: Read<'_>,
    scope: &Scope,
) -> Result<Option<Value>> {
    let reads = |name| value.reads(name) || stop.as_ref().is_some_and(|stop| stop.reads(name));
    let nothing = minijinja::Value::from(());
    let mut scope = scope
        .clone()
        .with("last_page_size", minijinja::Value::from(read.kept))
        .with(
            "page_size",
            size.map_or(nothing.clone(), minijinja::Value::from),
        );
    let shown = |wanted, show: &dyn Fn() -> minijinja::Value| match wanted {
        true => show(),
        false => nothing.clone(),
    };
    scope.set(
        "response",
        shown(reads("response"), &|| read.response.shown_first()),
    );
    scope.set(
        "headers",
        shown(reads("headers"), &|| {
            read.response.shown_headers_with_links()
        }),
    );
    let last = || read.last_record.map_or(nothing.clone(), to_template);
    scope.set("last_record", shown(reads("last_record"), &last));
    match stop {
        Some(stop) if stop.condition(&scope)? => Ok(None),
        _ => value.value(&scope).map(Some),
    }
}

impl Strategy {
    fn open(
        component: &Component<'_>,
        scope: &Scope,
    ) -> std::result::Result<Strategy, SourceError> {
        let size = || match component.template("page_size")? {
            Some(size) => integer(&size, scope)
                .map(Some)
                .map_err(|error| component.error(error.to_string())),
            None => Ok(None),
        };
        let first = component.flag("inject_on_first_request");
        Ok(match component.kind() {
            "PageIncrement" => Strategy::Page {
                size: size()?,
                start: component
                    .field("start_from_page")
                    .and_then(serde_json::Value::as_i64)
                    .unwrap_or(0),
                first,
            },
            "OffsetIncrement" => Strategy::Offset {
                size: component.template("page_size")?,
                first,
            },
            "CursorPagination" => Strategy::Cursor {
                value: component.need_template("cursor_value")?,
                stop: component.template("stop_condition")?,
                size: size()?,
            },
            _ => return Err(component.unknown("a pagination strategy")),
        })
    }

    fn has_size(&self) -> bool {
        match self {
            Strategy::Page { size, .. } | Strategy::Cursor { size, .. } => size.is_some(),
            Strategy::Offset { size, .. } => size.is_some(),
        }
    }

    fn size(&self, scope: &Scope) -> Result<Option<i64>> {
        match self {
            Strategy::Page { size, .. } | Strategy::Cursor { size, .. } => Ok(*size),
            Strategy::Offset {
                size: Some(size), ..
            } => integer(size, scope).map(Some),
            Strategy::Offset { size: None, .. } => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn scope() -> Scope {
        Scope::new(minijinja::context! { size => 3 })
    }

    fn paginator(strategy: Json, token: Json) -> Paginator {
        let json = json!({"type": "DefaultPaginator", "pagination_strategy": strategy, "page_token_option": token});
        Paginator::open(Some(&Component::new(&json, "here")), &scope()).unwrap()
    }

    fn response(body: &Json) -> Response {
        let link = "<https://a.example/?p=2>; rel=\"next\"".to_owned();
        let body = Bytes::from(body.to_string());
        Response::new(200, String::new(), vec![("link".to_owned(), link)], body)
    }

    fn next(
        paginator: &Paginator,
        body: &Json,
        extracted: usize,
        token: Option<&Value>,
    ) -> Option<Value> {
        let response = response(body);
        let last = Value::from(&json!({"id": 7}));
        let read = Read {
            response: &response,
            extracted,
            kept: extracted,
            last_record: Some(&last),
        };
        paginator.next(read, token, &scope()).unwrap()
    }

    #[test]
    fn pages_are_counted_until_one_is_short() {
        let option = json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"});
        let pages = paginator(
            json!({"type": "PageIncrement", "page_size": "{{ config.size }}", "start_from_page": 1, "inject_on_first_request": true}),
            option,
        );
        assert_eq!(pages.first(), Some(Value::Int(1)));
        assert_eq!(
            next(&pages, &json!({}), 3, Some(&Value::Int(1))),
            Some(Value::Int(2))
        );
        assert_eq!(next(&pages, &json!({}), 2, Some(&Value::Int(2))), None);
        let options = pages.options(Some(&Value::Int(2)), &scope()).unwrap();
        assert_eq!(options.params["page"], Value::Int(2));
    }

    #[test]
    fn offsets_grow_by_what_was_read() {
        let offset = paginator(
            json!({"type": "OffsetIncrement", "page_size": "{{ response.limit }}"}),
            json!(null),
        );
        assert_eq!(offset.first(), None);
        assert_eq!(
            next(&offset, &json!({"limit": 2}), 2, None),
            Some(Value::Int(2))
        );
        assert_eq!(
            next(&offset, &json!({"limit": 3}), 2, Some(&Value::Int(2))),
            None
        );
    }

    #[test]
    fn a_cursor_comes_from_the_reply_its_headers_or_the_last_record() {
        let path = json!({"type": "RequestPath"});
        let from = |value: &str| {
            json!({"type": "CursorPagination", "cursor_value": value,
            "stop_condition": "{{ not response.more }}"})
        };
        let body = json!({"more": true, "next": "abc"});
        let reply = paginator(from("{{ response.next }}"), path.clone());
        assert_eq!(next(&reply, &body, 1, None), Some(Value::from("abc")));
        assert_eq!(
            next(&reply, &json!({"more": false, "next": "abc"}), 1, None),
            None
        );
        let header = paginator(from("{{ headers.link.next.url }}"), path.clone());
        let token = next(&header, &body, 1, None);
        assert_eq!(
            header.path(token.as_ref()).as_deref(),
            Some("https://a.example/?p=2")
        );
        let record = paginator(from("{{ last_record['id'] }}"), path);
        assert_eq!(next(&record, &body, 1, None), Some(Value::Int(7)));
    }

    proptest! {
        #[test]
        fn paging_reads_every_record_once(total in 0_usize..200, size in 1_usize..20) {
            let offset = paginator(json!({"type": "OffsetIncrement", "page_size": size}), json!(null));
            let (mut token, mut read, mut requests) = (offset.first(), 0, 0);
            loop {
                requests += 1;
                let start = match token { Some(Value::Int(start)) => start as usize, _ => 0 };
                prop_assert_eq!(start, read);
                let page = size.min(total - start);
                read += page;
                token = next(&offset, &json!({}), page, token.as_ref());
                if token.is_none() { break; }
            }
            prop_assert_eq!(read, total);
            prop_assert_eq!(requests, total / size + 1);
        }
    }
}
