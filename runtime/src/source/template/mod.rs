//! Templates of the language: Jinja text, rendered and read back as a Python literal.
//!
//! A template is compiled once. Text without `{` is no template: its value is
//! known when the manifest is opened, and nothing is evaluated later.

mod arithmetic;
mod comparison;
mod environment;
mod filters;
mod formatting;
mod json;
mod macros;
mod methods;
mod names;
mod objects;
mod scope;
mod tokens;

use std::sync::Arc;

use crate::value::Value;

use super::{literal, python};
pub use environment::{filter_names, function_names, is_filter, is_function, is_test, test_names};
pub use macros::quote_plus;
pub use names::{Name, Role};
pub use objects::to_template;
pub use scope::{Headers, Scope};

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cannot evaluate `{template}`: {problem}")]
pub struct TemplateError {
    pub template: String,
    pub problem: String,
}

/// Why a text is no template, and from which of its bytes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Misprint {
    pub problem: String,
    pub offset: usize,
}

/// The names that a text uses where it is a template.
pub fn inspect(source: &str) -> Result<Vec<Name>, Misprint> {
    if !is_template(source) {
        return Ok(Vec::new());
    }
    if let Err(error) = Template::new(source, minijinja::Value::UNDEFINED) {
        return Err(Misprint {
            offset: misprinted(source),
            problem: error.problem,
        });
    }
    // What compiles with its operators rewritten is well formed.
    Ok(names::names(&tokens::without_colons(source)).unwrap_or_default())
}

/// Where a template that does not compile is wrong.
fn misprinted(source: &str) -> usize {
    if tokens::is_too_deep(source) {
        return 0;
    }
    let range = names::names(&tokens::without_colons(source))
        .err()
        .and_then(|error| error.range());
    range.map_or(0, |range| range.start)
}

/// What a literal must be to count; other text stays text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    Any,
    Text,
    TextOrList,
    Float,
    Integer,
    Bool,
}

/// A string of the manifest that may be a template.
#[derive(Debug, Clone)]
pub struct Template {
    source: Arc<str>,
    kind: Kind,
    parameters: minijinja::Value,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The text as Jinja would render it.
    Plain(Arc<str>),
    /// The source to compile, and the variables it reads.
    Jinja(Arc<str>, Arc<[String]>),
}

/// A rendering that can fail in the two ways the reference tells apart.
enum Rendered {
    Text(String),
    Undefined(TemplateError),
}

impl Template {
    /// Compiles `source`; `parameters` are the component's `$parameters`.
    pub fn new(source: &str, parameters: minijinja::Value) -> Result<Template, TemplateError> {
        let kind = if source.contains(['{']) && is_template(source) {
            if tokens::is_too_deep(source) {
                return Err(TemplateError {
                    template: source.to_owned(),
                    problem: "an expression is nested too deep".to_owned(),
                });
            }
            let rewritten: Arc<str> = rewritten(source).into();
            let variables = environment::compile(&rewritten).map_err(|problem| TemplateError {
                template: source.to_owned(),
                problem,
            })?;
            Kind::Jinja(rewritten, variables.into())
        } else {
            Kind::Plain(source.strip_suffix('\n').unwrap_or(source).into())
        };
        Ok(Template {
            source: source.into(),
            kind,
            parameters,
        })
    }

    /// The text in the manifest.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether evaluating reads `variable`.
    pub fn reads(&self, variable: &str) -> bool {
        match &self.kind {
            Kind::Plain(_) => false,
            Kind::Jinja(_, variables) => variables.iter().any(|name| name == variable),
        }
    }

    /// The value; an empty or undefined rendering is the template's own text.
    pub fn value(&self, scope: &Scope) -> Result<Value, TemplateError> {
        self.value_as(scope, Accept::Any)
    }

    pub fn value_as(&self, scope: &Scope, accept: Accept) -> Result<Value, TemplateError> {
        match self.render(scope)? {
            Rendered::Text(text) => Ok(literal_value(text, accept)),
            Rendered::Undefined(error) => Err(error),
        }
    }

    /// The value as text.
    pub fn text(&self, scope: &Scope) -> Result<String, TemplateError> {
        Ok(python::text(&self.value(scope)?))
    }

    /// The value in a mapping: an empty or undefined rendering is nothing.
    pub fn entry(&self, scope: &Scope, accept: Accept) -> Result<Value, TemplateError> {
        match self.render(scope)? {
            Rendered::Text(text) if !text.is_empty() => Ok(literal_value(text, accept)),
            _ => Ok(Value::Null),
        }
    }

    /// The value as a condition: an empty or undefined rendering is false.
    pub fn condition(&self, scope: &Scope) -> Result<bool, TemplateError> {
        match self.render(scope)? {
            Rendered::Text(text) => Ok(holds(&literal_value(text, Accept::Any))),
            Rendered::Undefined(_) => Ok(false),
        }
    }

    fn render(&self, scope: &Scope) -> Result<Rendered, TemplateError> {
        let (source, variables) = match &self.kind {
            Kind::Plain(text) => return Ok(Rendered::Text(text.to_string())),
            Kind::Jinja(source, variables) => (source, variables),
        };
        if let Some(unknown) = variables.iter().find(|name| !scope.has(name)) {
            return Err(self.error(format!("there is no variable `{unknown}` here")));
        }
        let context = scope.context(variables, &self.parameters);
        match environment::render(source, context) {
            Ok(text) => Ok(Rendered::Text(text)),
            Err(error) => self.failed(&error),
        }
    }

    /// An operation on values of the wrong types leaves the template as it is written.
    fn failed(&self, error: &minijinja::Error) -> Result<Rendered, TemplateError> {
        let problem = environment::problem(error);
        match error.kind() {
            minijinja::ErrorKind::UndefinedError => Ok(Rendered::Undefined(self.error(problem))),
            // In Python, what is undefined fails as such whatever is done with it.
            minijinja::ErrorKind::InvalidOperation if problem.contains("undefined") => {
                Ok(Rendered::Undefined(self.error(problem)))
            }
            minijinja::ErrorKind::InvalidOperation => Ok(Rendered::Text(self.source.to_string())),
            _ => Err(self.error(problem)),
        }
    }

    fn error(&self, problem: String) -> TemplateError {
        TemplateError {
            template: self.source.to_string(),
            problem,
        }
    }
}

/// `source` with the operators that Python has otherwise as calls.
fn rewritten(source: &str) -> String {
    let source = tokens::without_colons(source);
    comparison::rewrite(&arithmetic::rewrite(&formatting::rewrite(&source)))
}

fn is_template(source: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| source.contains(mark))
}

fn literal_value(text: String, accept: Accept) -> Value {
    match literal::evaluate(&text) {
        Some(value) if accepts(accept, &value) && !is_refused(accept, &value, &text) => value,
        _ => Value::String(text),
    }
}

/// Values with commas between are a tuple in Python, and a tuple is no list.
fn is_refused(accept: Accept, value: &Value, text: &str) -> bool {
    let is_tuple = matches!(value, Value::Array(_)) && !text.trim_start().starts_with('[');
    accept == Accept::TextOrList && is_tuple
}

fn accepts(accept: Accept, value: &Value) -> bool {
    match accept {
        Accept::Any => true,
        Accept::Text => matches!(value, Value::String(_)),
        Accept::TextOrList => matches!(value, Value::String(_) | Value::Array(_)),
        Accept::Float => matches!(value, Value::Number(digits) if digits.contains(['.', 'e'])),
        // In Python a bool is an int.
        Accept::Integer => match value {
            Value::Number(digits) => !digits.contains(['.', 'e']),
            other => matches!(other, Value::Int(_) | Value::Bool(_)),
        },
        Accept::Bool => matches!(value, Value::Bool(_)),
    }
}

/// Everything holds but what the reference lists as false.
fn holds(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            !["False", "false", "{}", "[]", "()", "", "0", "0.0"].contains(&text.as_str())
        }
        other => python::truth(other),
    }
}

#[cfg(test)]
mod tests;
