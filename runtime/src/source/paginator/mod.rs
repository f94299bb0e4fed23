//! Paging: what a request for a page holds, and which page comes after a reply.
//!
//! Knows nothing of authentication or sending.

mod endless;
mod strategy;

use crate::stream::SourceError;
use crate::value::Value;

use super::component::Component;
use super::python;
use super::request::{Options, RequestOption};
use super::response::Response;
use super::template::{Scope, TemplateError};
pub use endless::Endless;
use strategy::Strategy;

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

/// What was read of a page.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'r> {
    pub response: &'r Response,
    /// Records in the reply, before the filter.
    pub extracted: usize,
    /// Records that were kept.
    pub kept: usize,
    pub last_record: Option<&'r Value>,
    /// The size it was asked for with, if not the manifest's.
    pub size: Option<i64>,
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
        if let (Some(size), TokenPlace::Option(token)) = (&size_option, &token) {
            apart(component, size, token, scope)?;
        }
        Ok(Paginator {
            strategy: Some(strategy),
            size_option,
            token,
        })
    }

    /// The token of the first page, where it has one.
    pub fn first(&self) -> Option<Value> {
        self.strategy.as_ref().and_then(Strategy::first)
    }

    /// The page's size in the manifest.
    pub fn size(&self, scope: &Scope) -> Result<Option<i64>> {
        match &self.strategy {
            Some(strategy) => strategy.size(scope),
            None => Ok(None),
        }
    }

    /// Why pages of this paginator cannot be asked for smaller than the manifest has it.
    pub fn keeps_size(&self) -> Option<&'static str> {
        match (&self.strategy, &self.size_option, &self.token) {
            (None, _, _) => Some("there is no DefaultPaginator"),
            (Some(Strategy::Page { .. }), _, _) => {
                Some("with PageIncrement a smaller page moves all that follow")
            }
            (_, None, _) => Some("the paginator has no `page_size_option`"),
            (_, _, TokenPlace::Path) => Some("the next page's address has its size in it"),
            _ => None,
        }
    }

    /// The address the token is, where it is one.
    pub fn path(&self, token: Option<&Value>) -> Option<String> {
        let token = token.filter(|token| python::truth(token))?;
        matches!(self.token, TokenPlace::Path).then(|| python::text(token))
    }

    /// What the request for this page holds; `size` stands in for the manifest's.
    pub fn options(
        &self,
        token: Option<&Value>,
        size: Option<i64>,
        scope: &Scope,
    ) -> Result<Options> {
        let mut options = Options::default();
        if let (TokenPlace::Option(option), Some(token)) = (&self.token, token) {
            option.inject(&mut options, token.clone(), scope)?;
        }
        if let Some(option) = &self.size_option {
            let size = match size {
                Some(size) => Some(size),
                None => self.size(scope)?,
            };
            if let Some(size) = size.filter(|size| *size != 0) {
                option.inject(&mut options, Value::Int(size), scope)?;
            }
        }
        Ok(options)
    }

    /// The token of the page after this one; `None` at the end.
    pub fn next(
        &self,
        read: Seen<'_>,
        token: Option<&Value>,
        scope: &Scope,
    ) -> Result<Option<Value>> {
        match &self.strategy {
            Some(strategy) => strategy.next(read, token, scope),
            None => Ok(None),
        }
    }
}

/// Size and token must not go to the same place.
fn apart(
    component: &Component<'_>,
    size: &RequestOption,
    token: &RequestOption,
    scope: &Scope,
) -> std::result::Result<(), SourceError> {
    let alone = |option: &RequestOption, value: &str| {
        let mut options = Options::default();
        option.inject(&mut options, Value::from(value), scope)?;
        Ok(options)
    };
    let both = alone(size, "size").and_then(|size| Ok(vec![size, alone(token, "token")?]));
    let both = both.map_err(|error: TemplateError| component.error(error.to_string()))?;
    Options::combine(both)
        .map(|_| ())
        .map_err(|problem| component.error(format!("page size and token: {problem}")))
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
        let read = Seen {
            response: &response,
            extracted,
            kept: extracted,
            last_record: Some(&last),
            size: None,
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
        let options = pages.options(Some(&Value::Int(2)), None, &scope()).unwrap();
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
