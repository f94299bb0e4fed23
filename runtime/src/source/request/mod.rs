//! A request put together from what requester, authenticator, paginator and cursor ask for.
//!
//! Nothing here sends; a collision of two askers is an error, as in the reference.

mod nested;
mod option;
mod uri;

use crate::value::{Object, Value};

pub use nested::Nested;
pub use option::RequestOption;
pub use uri::{form_text, join_url, with_params};

/// What one asker wants in a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub params: Object,
    pub headers: Object,
    pub form: Object,
    /// A body as it is; excludes `form` and `json`.
    pub text: Option<String>,
    pub json: Object,
}

impl Options {
    /// Joins what several ask for.
    pub fn combine(all: Vec<Options>) -> Result<Options, String> {
        let mut result = Options::default();
        for options in all {
            merge(&mut result.params, options.params, false)?;
            merge(&mut result.headers, options.headers, false)?;
            merge(&mut result.form, options.form, false)?;
            merge(&mut result.json, options.json, true)?;
            if options.text.is_some() && result.text.is_some() {
                return Err("two request bodies are given as text".to_owned());
            }
            result.text = result.text.or(options.text);
        }
        let form = !result.form.is_empty();
        let json = !result.json.is_empty();
        match (result.text.is_some(), form, json) {
            (true, true, _) => Err("the request's body is given as text and as a form".to_owned()),
            (true, _, true) | (_, true, true) => {
                Err("the request's body is given as JSON and as data".to_owned())
            }
            _ => Ok(result),
        }
    }
}

impl Options {
    /// Takes over what `more` asks for, whatever was there.
    pub fn replace_with(&mut self, more: Options) {
        self.params.extend(more.params);
        self.headers.extend(more.headers);
        self.form.extend(more.form);
        self.json.extend(more.json);
        self.text = more.text.or(self.text.take());
    }
}

/// Two askers may agree on a JSON field, but on nothing else.
fn merge(target: &mut Object, source: Object, may_agree: bool) -> Result<(), String> {
    for (key, value) in source {
        match (target.get_mut(&key), value) {
            (None, value) => {
                target.insert(key, value);
            }
            (Some(Value::Object(old)), Value::Object(new)) if may_agree => merge(old, new, true)?,
            (Some(old), new) if may_agree && *old == new => {}
            _ => return Err(format!("the request's `{key}` is given twice")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fields: &[(&str, Value)]) -> Object {
        let fields = fields.iter().cloned();
        fields.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn the_same_key_from_two_askers_is_an_error() {
        let params = |value| Options {
            params: object(&[("page", Value::Int(value))]),
            ..Options::default()
        };
        assert_eq!(
            Options::combine(vec![params(1), params(1)]).unwrap_err(),
            "the request's `page` is given twice"
        );
        let json = |value| Options {
            json: object(&[("page", Value::Int(value))]),
            ..Options::default()
        };
        assert_eq!(Options::combine(vec![json(1), json(1)]).unwrap(), json(1));
        assert!(Options::combine(vec![json(1), json(2)]).is_err());
    }
}
