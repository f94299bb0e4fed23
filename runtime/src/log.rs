//! Logs in Cloud Logging's form: a JSON object a line.
//!
//! Fields of an event and of the spans around it become the entry's payload; those in
//! `LABELS` become its labels. What is secret is a `SecretString` and has no text to log.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::progress::bars::Bars;
use crate::progress::{Once, words};
use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

/// Fields by which entries are found.
const LABELS: [&str; 4] = ["client", "pipeline", "run", "stream"];

/// Where the lines go: records may have stdout for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
}

/// Sends this process's logs to `output`; `RUST_LOG` chooses them, `info` by default.
pub fn init(output: Output) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(CloudLogging {
            output,
            person: (output == Output::Stdout && is_watched()).then(Mutex::default),
        });
    // A second call (in tests) leaves the first one's logs as they are.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Whether the run's log goes to a person at a terminal.
pub fn is_watched() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

struct CloudLogging {
    output: Output,
    /// Who sees lines and bars instead of JSON.
    person: Option<Mutex<Person>>,
}

/// What a person has seen.
struct Person {
    once: Once,
    bars: Bars,
}

impl Default for Person {
    fn default() -> Person {
        Person {
            once: Once::default(),
            bars: Bars::new(true),
        }
    }
}

/// The fields of a span, until its events need them.
struct Fields(Map<String, Json>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CloudLogging {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Collect(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(Fields(of_span)) = span.extensions().get() {
                fields.extend(of_span.clone());
            }
        }
        event.record(&mut Collect(&mut fields));
        let time = jiff::Timestamp::now();
        let level = *event.metadata().level();
        match &self.person {
            Some(person) => {
                let mut person = person.lock().unwrap_or_else(PoisonError::into_inner);
                self.tell(&mut person, level, time, fields);
            }
            None => self.write(&format!("{}\n", entry(level, time, fields))),
        }
    }
}

impl CloudLogging {
    /// Shows an entry to a person.
    fn tell(
        &self,
        person: &mut Person,
        level: Level,
        time: jiff::Timestamp,
        mut fields: Map<String, Json>,
    ) {
        let message = fields.shift_remove("message").unwrap_or_default();
        let message = message.as_str().unwrap_or_default();
        if !person.bars.hear(message, &fields) {
            let line = shown(level, time, message, &person.once.fresh(&fields));
            person.bars.above(|| self.write(&line));
        }
    }

    /// A log that cannot be written has nowhere to say so.
    fn write(&self, line: &str) {
        let _ = match self.output {
            Output::Stdout => std::io::stdout().lock().write_all(line.as_bytes()),
            Output::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
        };
    }
}

/// An entry as a person reads it.
fn shown(level: Level, time: jiff::Timestamp, message: &str, fields: &Map<String, Json>) -> String {
    let time = time.strftime("%H:%M:%S");
    let line = format!("{time} {:<7} {message} {}", severity(level), words(fields));
    format!("{}\n", line.trim_end())
}

/// The special fields first, labels apart, then the payload.
fn entry(level: Level, time: jiff::Timestamp, mut fields: Map<String, Json>) -> Json {
    let message = fields.shift_remove("message").unwrap_or_else(|| "".into());
    let mut entry = Map::new();
    entry.insert("severity".to_owned(), severity(level).into());
    entry.insert("time".to_owned(), time.to_string().into());
    entry.insert("message".to_owned(), message);
    let labels: Map<String, Json> = LABELS
        .iter()
        .filter_map(|name| Some((name.to_string(), fields.get(*name)?.clone())))
        .collect();
    entry.extend(fields);
    if !labels.is_empty() {
        entry.insert("logging.googleapis.com/labels".to_owned(), labels.into());
    }
    entry.into()
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// A field whose name ends so holds JSON text and is logged as that JSON.
const JSON_SUFFIX: &str = "_json";

struct Collect<'a>(&'a mut Map<String, Json>);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0
            .insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let json = field.name().strip_suffix(JSON_SUFFIX);
        match json.and_then(|name| Some((name, serde_json::from_str::<Json>(value).ok()?))) {
            Some((name, json)) => self.0.insert(name.to_owned(), json),
            None => self.0.insert(field.name().to_owned(), value.into()),
        };
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_person_reads_a_line() {
        let fields = json!({"stream": "invoices", "rows": 5, "summary_json": "{}"});
        let fields = fields.as_object().unwrap();
        let line = shown(
            Level::WARN,
            jiff::Timestamp::UNIX_EPOCH,
            "stream done",
            fields,
        );
        assert_eq!(
            line,
            "00:00:00 WARNING stream done stream=invoices rows=5\n"
        );
    }

    #[test]
    fn an_entry_has_cloud_loggings_fields() {
        let fields = json!({"message": "stream done", "rows": 5, "stream": "invoices"});
        let Json::Object(fields) = fields else {
            unreachable!()
        };
        let entry = entry(Level::WARN, jiff::Timestamp::UNIX_EPOCH, fields);
        insta::assert_snapshot!(entry, @r#"{"severity":"WARNING","time":"1970-01-01T00:00:00Z","message":"stream done","rows":5,"stream":"invoices","logging.googleapis.com/labels":{"stream":"invoices"}}"#);
    }
}
