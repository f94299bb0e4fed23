//! The filter of a listing of secrets: terms on labels and names, joined by AND.

use std::collections::BTreeMap;

use crate::error::ApiError;

#[derive(Debug, PartialEq)]
enum Term {
    Label(String, String),
    HasLabel(String),
    Name(String),
}

/// Terms that must all hold.
#[derive(Debug, Default)]
pub struct Filter(Vec<Term>);

impl Filter {
    pub fn parse(text: &str) -> Result<Filter, ApiError> {
        let terms = text
            .split_whitespace()
            .filter(|word| !word.eq_ignore_ascii_case("and"))
            .map(term);
        terms.collect::<Result<_, _>>().map(Filter)
    }

    pub fn holds(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Label(key, value) => labels.get(key) == Some(value),
            Term::HasLabel(key) => labels.contains_key(key),
            Term::Name(part) => name.contains(part),
        })
    }
}

fn term(word: &str) -> Result<Term, ApiError> {
    let refused = || {
        ApiError::unimplemented(format!(
            "the local cloud does not serve the filter term `{word}`; it knows `labels.KEY=VALUE`, \
             `labels.KEY:*` and `name:TEXT`, joined by AND"
        ))
    };
    let (field, value) = word.split_once(['=', ':']).ok_or_else(refused)?;
    let value = value.trim_matches('"').to_owned();
    match (field.strip_prefix("labels."), field) {
        (Some(key), _) if value == "*" => Ok(Term::HasLabel(key.trim_matches('"').to_owned())),
        (Some(key), _) => Ok(Term::Label(key.trim_matches('"').to_owned(), value)),
        (None, "name") => Ok(Term::Name(value)),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_terms_must_hold() {
        let labels = BTreeMap::from([
            ("managed-by".to_owned(), "xetl".to_owned()),
            ("xetl-client".to_owned(), "acme".to_owned()),
        ]);
        let holds = |text: &str| Filter::parse(text).unwrap().holds("acme-token", &labels);
        assert!(holds(""));
        assert!(holds(
            "labels.managed-by=xetl AND labels.xetl-client=\"acme\""
        ));
        assert!(holds("labels.managed-by:* name:token"));
        assert!(!holds("labels.managed-by=xetl labels.xetl-client=globex"));
    }

    #[test]
    fn an_unknown_term_is_refused() {
        assert_eq!(Filter::parse("create_time>2020").unwrap_err().code, 501);
    }
}
