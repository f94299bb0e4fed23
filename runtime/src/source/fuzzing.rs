//! What fuzz targets may call: each layer that meets text someone else wrote.
//!
//! Behind the feature `fuzzing`, as nobody else needs a way past `open`. Whether
//! an answer is right is not asked here; only that there is one, soon.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use serde_json::json;

use super::blueprint::Blueprint;
use super::moment::{Moment, Span};
use super::template::{Scope, Template, to_template};
use super::{Config, SecretSink, SinkError, isoparse, lint, literal, python, strptime, yaml};
use crate::value::Value;

/// Reads, resolves and opens a manifest; nothing is sent.
pub fn manifest(text: &str) {
    let Ok(manifest) = yaml::read(text) else {
        return;
    };
    let fields = [("start_date", json!("2024-01-01")), ("key", json!("k"))];
    let config = Config(
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
    );
    let outside = Arc::new(Forgetful).into();
    if let Ok(blueprint) = Blueprint::new(&manifest, config, outside, None, false) {
        blueprint.open(blueprint.written());
    }
}

/// Compiles a template and renders it every way there is.
pub fn template(text: &str) {
    let Ok(template) = Template::new(text, minijinja::Value::UNDEFINED) else {
        return;
    };
    let scope = scope();
    let _ = template.value(&scope);
    let _ = template.text(&scope);
    let _ = template.condition(&scope);
}

/// Evaluates a literal, and what it evaluates to written as Python would.
pub fn literal(text: &str) {
    if let Some(value) = literal::evaluate(text) {
        literal::evaluate(&python::repr(&value));
    }
}

/// Parses a date, shifts it by a duration and formats it.
pub fn date(text: &str, pattern: &str) {
    let span = Span::parse(text).or_else(|| Span::parse(pattern));
    let parsed = [strptime::parse(text, pattern), isoparse::parse(text)];
    for moment in parsed.into_iter().flatten() {
        strptime::format(moment, pattern);
        let moved = span.and_then(|span| moment.plus(span));
        moved.map(|moved| strptime::format(moved, pattern));
        span.and_then(|span| moment.plus(-span));
    }
    strptime::format(Moment::utc(jiff::Timestamp::UNIX_EPOCH), pattern);
}

/// Lints a manifest.
pub fn lint(text: &str) {
    lint::lint(text);
}

fn scope() -> Scope {
    let record = json!({"id": 1, "name": "n", "tags": ["a", "b"], "at": "2024-01-01T00:00:00Z"});
    let value = |json| to_template(&Value::from(&json));
    Scope::new(value(json!({"start_date": "2024-01-01", "key": "k"})))
        .with("record", value(record.clone()))
        .with("response", value(json!({"data": [record], "next": null})))
        .with("next_page_token", value(json!({"next_page_token": 2})))
}

/// A place for secrets that keeps none.
struct Forgetful;

impl SecretSink for Forgetful {
    fn store<'a>(
        &'a self,
        _: &'a [String],
        _: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        async { Ok(()) }.boxed()
    }
}
