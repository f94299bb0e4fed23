//! Logging's filter language, as far as comparisons with AND, OR, NOT and parentheses go.
//!
//! What is not understood is an error that names it: a filter that lets too
//! much or too little through would be worse.

use std::cmp::Ordering;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::line::rank;
use crate::error::ApiError;

#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Comparison),
    /// A field whose text a pattern is found in.
    Find(Vec<String>, Pattern),
}

/// A regular expression; two are the same where their texts are.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    path: Vec<String>,
    operator: Operator,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
    Find,
    FindNot,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A word or quoted text, and whether it was quoted.
    Text(String, bool),
    Dot,
    Operator(Operator),
    Open,
    Close,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Filter, ApiError> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens };
        if tokens.is_empty() {
            return Ok(Filter::All(Vec::new()));
        }
        let filter = parser.all()?;
        match parser.tokens.first() {
            None => Ok(filter),
            Some(token) => Err(not_understood(&format!("{token:?}"))),
        }
    }

    pub fn matches(&self, entry: &Value) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|filter| filter.matches(entry)),
            Filter::Any(filters) => filters.iter().any(|filter| filter.matches(entry)),
            Filter::Not(filter) => !filter.matches(entry),
            Filter::Compare(comparison) => comparison.matches(entry),
            Filter::Find(path, pattern) => field(entry, path).is_some_and(|it| pattern.is_in(it)),
        }
    }

    /// What it says a field has to be, where it says so for all that match.
    pub fn equal_to(&self, path: &[&str]) -> Option<&str> {
        match self {
            Filter::All(filters) => filters.iter().find_map(|filter| filter.equal_to(path)),
            Filter::Compare(it) if it.operator == Operator::Equal && it.path == path => {
                Some(&it.value)
            }
            _ => None,
        }
    }

    /// The days that entries of this filter can be of: days outside need no reading.
    pub fn days(&self) -> (String, String) {
        let mut days = ("0".to_owned(), "9".to_owned());
        let all = match self {
            Filter::All(filters) => filters.as_slice(),
            other => std::slice::from_ref(other),
        };
        for filter in all {
            if let Filter::Compare(comparison) = filter {
                comparison.narrow(&mut days);
            }
        }
        days
    }
}

fn not_understood(what: &str) -> ApiError {
    ApiError::invalid(format!(
        "Unparseable filter: the local cloud does not understand {what}"
    ))
}

fn tokens(text: &str) -> Result<Vec<Token>, ApiError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '.' => (Token::Dot, 1),
            '"' => quoted(rest)?,
            '=' | '!' | '<' | '>' | ':' => operator(rest)?,
            _ if word_character(first) => word(rest),
            _ => return Err(not_understood(&format!("`{first}`"))),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
        if rest.starts_with("--") {
            rest = rest
                .split_once('\n')
                .map_or("", |(_, rest)| rest)
                .trim_start();
        }
    }
    Ok(tokens)
}

fn word_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '+' | '*' | '@' | '%')
}

fn word(rest: &str) -> (Token, usize) {
    let length = rest.find(|c| !word_character(c)).unwrap_or(rest.len());
    (Token::Text(rest[..length].to_owned(), false), length)
}

fn quoted(rest: &str) -> Result<(Token, usize), ApiError> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((Token::Text(text, true), at + 1)),
            '\\' => text.extend(characters.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    Err(not_understood("a quotation that does not end"))
}

fn operator(rest: &str) -> Result<(Token, usize), ApiError> {
    const OPERATORS: &[(&str, Operator)] = &[
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=~", Operator::Find),
        ("!~", Operator::FindNot),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
        (":", Operator::Has),
    ];
    let found = OPERATORS.iter().find(|(text, _)| rest.starts_with(text));
    let (text, operator) = found.ok_or_else(|| not_understood("a `!` without `=` or `~`"))?;
    Ok((Token::Operator(*operator), text.len()))
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.tokens.first(), Some(Token::Text(text, false)) if text == keyword);
        if found {
            self.next();
        }
        found
    }

    /// Comparisons side by side are joined by AND, and OR binds closer.
    fn all(&mut self) -> Result<Filter, ApiError> {
        let mut filters = vec![self.any()?];
        loop {
            let and = self.keyword("AND");
            if !and && matches!(self.tokens.first(), None | Some(Token::Close)) {
                break;
            }
            filters.push(self.any()?);
        }
        Ok(single(filters, Filter::All))
    }

    fn any(&mut self) -> Result<Filter, ApiError> {
        let mut filters = vec![self.one()?];
        while self.keyword("OR") {
            filters.push(self.one()?);
        }
        Ok(single(filters, Filter::Any))
    }

    fn one(&mut self) -> Result<Filter, ApiError> {
        if self.keyword("NOT") {
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.tokens.first() != Some(&Token::Open) {
            return self.comparison()?.filter();
        }
        self.next();
        let filter = self.all()?;
        match self.next() {
            Some(Token::Close) => Ok(filter),
            _ => Err(not_understood("a parenthesis that does not end")),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, ApiError> {
        let mut path = vec![self.text("a field")?];
        while self.tokens.first() == Some(&Token::Dot) {
            self.next();
            path.push(self.text("a field after `.`")?);
        }
        let operator = match self.next() {
            Some(Token::Operator(operator)) => operator,
            _ => {
                return Err(not_understood(&format!(
                    "`{}` without a comparison",
                    path.join(".")
                )));
            }
        };
        let mut value = self.text("a value after the comparison")?;
        // Numbers such as 1.5 are words around a dot.
        while self.tokens.first() == Some(&Token::Dot) {
            self.next();
            value = format!("{value}.{}", self.text("digits after `.`")?);
        }
        Ok(Comparison {
            path,
            operator,
            value,
        })
    }

    fn text(&mut self, what: &str) -> Result<String, ApiError> {
        match self.next() {
            Some(Token::Text(text, quoted))
                if quoted || !matches!(text.as_str(), "AND" | "OR" | "NOT") =>
            {
                Ok(text)
            }
            Some(other) => Err(not_understood(&format!("{other:?} in place of {what}"))),
            None => Err(not_understood(&format!("an end in place of {what}"))),
        }
    }
}

fn single(mut filters: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => many(filters),
    }
}

/// What stands at a path of an entry.
fn field<'a>(entry: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut path = path.iter();
    path.try_fold(entry, |value, key| value.get(key.as_str()))
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, ApiError> {
        let parsed = Regex::new(text).map(Pattern);
        parsed.map_err(|_| {
            ApiError::invalid(format!("Unparseable filter: regular expression \"{text}\""))
        })
    }

    /// Somewhere in the text, with regard to case; of a list in one of its items.
    fn is_in(&self, found: &Value) -> bool {
        match found {
            Value::Array(items) => items.iter().any(|item| self.is_in(item)),
            Value::Object(_) | Value::Null => false,
            found => self.0.is_match(&text(found)),
        }
    }
}

impl Comparison {
    /// With its pattern read, where it has one.
    fn filter(self) -> Result<Filter, ApiError> {
        let find = |it: Comparison| Ok(Filter::Find(it.path, Pattern::parse(&it.value)?));
        match self.operator {
            Operator::Find => find(self),
            Operator::FindNot => Ok(Filter::Not(Box::new(find(self)?))),
            _ => Ok(Filter::Compare(self)),
        }
    }

    fn matches(&self, entry: &Value) -> bool {
        let found = field(entry, &self.path);
        if self.path == ["severity"] {
            return self.severity(found);
        }
        match (self.operator, found) {
            (Operator::NotEqual, found) => {
                found.is_none_or(|found| self.order(found) != Some(Ordering::Equal))
            }
            (_, None) => false,
            (Operator::Has, Some(found)) => self.has(found),
            (_, Some(found)) => self.order(found).is_some_and(|order| self.holds(order)),
        }
    }

    fn severity(&self, found: Option<&Value>) -> bool {
        let found = found.and_then(Value::as_str).unwrap_or("DEFAULT");
        match (rank(found), rank(&self.value)) {
            (Some(found), Some(wanted)) => self.holds(found.cmp(&wanted)),
            _ => false,
        }
    }

    fn holds(&self, order: Ordering) -> bool {
        match self.operator {
            Operator::Equal | Operator::Has | Operator::Find => order.is_eq(),
            Operator::NotEqual | Operator::FindNot => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }

    /// `:` finds text within text and, as `:*`, any value at all.
    fn has(&self, found: &Value) -> bool {
        if self.value == "*" {
            return true;
        }
        let wanted = self.value.to_lowercase();
        match found {
            Value::Array(items) => items.iter().any(|item| self.has(item)),
            found => text(found).to_lowercase().contains(&wanted),
        }
    }

    /// How the entry's value compares with the filter's: as times, as numbers,
    /// else as text without regard to case.
    fn order(&self, found: &Value) -> Option<Ordering> {
        if let Value::Object(_) | Value::Array(_) = found {
            return None;
        }
        let found = text(found);
        if let (Some(found), Some(wanted)) = (time(&found), time(&self.value)) {
            return Some(found.cmp(&wanted));
        }
        if let (Ok(found), Ok(wanted)) = (found.parse::<f64>(), self.value.parse::<f64>()) {
            return found.partial_cmp(&wanted);
        }
        Some(found.to_lowercase().cmp(&self.value.to_lowercase()))
    }

    fn narrow(&self, days: &mut (String, String)) {
        let Some(time) = time(&self.value).filter(|_| self.path == ["timestamp"]) else {
            return;
        };
        let day = time.to_string()[..10].to_owned();
        match self.operator {
            Operator::Greater | Operator::GreaterOrEqual => days.0 = day.max(days.0.clone()),
            Operator::Less | Operator::LessOrEqual => days.1 = day.min(days.1.clone()),
            _ => {}
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A timestamp, or a day as its beginning.
fn time(text: &str) -> Option<Timestamp> {
    text.parse()
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(filter: &str, entry: &Value) -> bool {
        Filter::parse(filter).unwrap().matches(entry)
    }

    fn entry() -> Value {
        json!({
            "timestamp": "2026-11-21T10:00:00.5Z", "severity": "WARNING",
            "resource": {"type": "cloud_run_job", "labels": {"job_name": "acme-xero"}},
            "labels": {"run.googleapis.com/execution_name": "acme-xero-1"},
            "jsonPayload": {"message": "Rows loaded", "rows": 12},
        })
    }

    #[test]
    fn the_filter_of_a_jobs_execution_finds_its_entries() {
        let filter = r#"resource.type="cloud_run_job" AND resource.labels.job_name = "acme-xero"
            AND labels."run.googleapis.com/execution_name"="acme-xero-1""#;
        assert!(matches(filter, &entry()));
        assert!(!matches(r#"resource.labels.job_name="other""#, &entry()));
    }

    #[test]
    fn severities_have_an_order() {
        assert!(matches("severity>=INFO", &entry()));
        assert!(!matches("severity>=ERROR", &entry()));
        assert!(matches("severity=DEFAULT", &json!({})));
    }

    #[test]
    fn times_and_numbers_compare_as_such() {
        assert!(matches(r#"timestamp>="2026-11-21T10:00:00Z""#, &entry()));
        assert!(matches(
            r#"timestamp<"2026-11-21T11:00:00.1+01:00" OR timestamp>"2026-11-21""#,
            &entry()
        ));
        assert!(matches("jsonPayload.rows>9", &entry()));
        assert!(matches("jsonPayload.rows<12.5", &entry()));
    }

    #[test]
    fn words_are_found_within_text() {
        assert!(matches("jsonPayload.message:rows", &entry()));
        assert!(matches("jsonPayload.rows:*", &entry()));
        assert!(!matches("jsonPayload.lines:*", &entry()));
    }

    #[test]
    fn a_pattern_is_found_anywhere_in_a_text() {
        assert!(matches(
            r#"resource.labels.job_name =~ "^acme-x""#,
            &entry()
        ));
        assert!(!matches(r#"resource.labels.job_name =~ "^x""#, &entry()));
        assert!(!matches(r#"jsonPayload.message =~ "rows""#, &entry()));
        assert!(matches(r#"jsonPayload.message =~ "(?i)rows""#, &entry()));
        assert!(matches(r#"jsonPayload.message !~ "rows""#, &entry()));
        assert!(matches(r#"jsonPayload.nothing !~ "rows""#, &entry()));
        assert!(!matches(r#"jsonPayload.nothing =~ ".*""#, &entry()));
    }

    #[test]
    fn comparisons_join_by_and_or_and_not() {
        assert!(matches("severity=WARNING jsonPayload.rows=12", &entry()));
        assert!(matches("NOT (severity=INFO OR severity=ERROR)", &entry()));
        assert!(!matches(
            "severity=WARNING AND NOT jsonPayload.rows=12",
            &entry()
        ));
    }

    #[test]
    fn days_outside_the_filter_need_no_reading() {
        let filter = r#"timestamp>="2026-11-20T05:00:00Z" AND timestamp<"2026-11-21T00:00:00Z""#;
        let days = Filter::parse(filter).unwrap().days();
        assert_eq!(days, ("2026-11-20".to_owned(), "2026-11-21".to_owned()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let error = |filter: &str| Filter::parse(filter).unwrap_err().message;
        insta::assert_snapshot!(error("textPayload =~ \"a(\""), @r#"Unparseable filter: regular expression "a(""#);
        insta::assert_snapshot!(error("hello"), @"Unparseable filter: the local cloud does not understand `hello` without a comparison");
        insta::assert_snapshot!(error("a=\"b"), @"Unparseable filter: the local cloud does not understand a quotation that does not end");
    }
}
