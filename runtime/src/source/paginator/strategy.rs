//! Which page comes after a page.

use crate::source::component::Component;
use crate::source::python;
use crate::source::template::{Scope, Template, TemplateError, to_template};
use crate::stream::SourceError;
use crate::value::Value;

use super::Seen;

type Result<T> = std::result::Result<T, TemplateError>;

#[derive(Debug, Clone)]
pub enum Strategy {
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

impl Strategy {
    /// The token of the first page, where it has one.
    pub fn first(&self) -> Option<Value> {
        match self {
            Strategy::Page {
                start, first: true, ..
            } => Some(Value::Int(*start)),
            Strategy::Offset { first: true, .. } => Some(Value::Int(0)),
            _ => None,
        }
    }

    /// The token of the page after this one; `None` at the end.
    pub fn next(
        &self,
        read: Seen<'_>,
        token: Option<&Value>,
        scope: &Scope,
    ) -> Result<Option<Value>> {
        let next = match self {
            Strategy::Page { size, start, .. } => {
                let page = number(token)?.unwrap_or(*start);
                more(*size, read.extracted).then(|| Value::Int(page + 1))
            }
            Strategy::Offset { size, .. } => {
                let size = match (read.size, size) {
                    (Some(size), _) => Some(size),
                    (None, Some(size)) => Some(integer(size, &with_response(scope, size, read))?),
                    (None, None) => None,
                };
                let offset = number(token)?.unwrap_or(0);
                more(size, read.extracted).then(|| Value::Int(offset + read.extracted as i64))
            }
            Strategy::Cursor { value, stop, size } => {
                cursor(value, stop, read.size.or(*size), read, scope)?
            }
        };
        Ok(next.filter(python::truth))
    }

    pub fn open(
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

    pub fn has_size(&self) -> bool {
        match self {
            Strategy::Page { size, .. } | Strategy::Cursor { size, .. } => size.is_some(),
            Strategy::Offset { size, .. } => size.is_some(),
        }
    }

    pub fn size(&self, scope: &Scope) -> Result<Option<i64>> {
        match self {
            Strategy::Page { size, .. } | Strategy::Cursor { size, .. } => Ok(*size),
            Strategy::Offset {
                size: Some(size), ..
            } => integer(size, scope).map(Some),
            Strategy::Offset { size: None, .. } => Ok(None),
        }
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

fn with_response(scope: &Scope, template: &Template, read: Seen<'_>) -> Scope {
    match template.reads("response") {
        true => scope.clone().with("response", read.response.shown_first()),
        false => scope.clone(),
    }
}

fn cursor(
    value: &Template,
    stop: &Option<Template>,
    size: Option<i64>,
    read: Seen<'_>,
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
