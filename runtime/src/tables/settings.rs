//! What a client says of a BigQuery source: credentials, and its streams.
//!
//! Pure; the CLI reads it too, while there is still somebody to mend it.

use indexmap::IndexMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::google::Identity;
use crate::google::bigquery::TableName;
use crate::stream::SourceError;

/// Rows of a slice, where the config does not say.
const BATCH_ROWS: u64 = 100_000;

/// A source's config, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub identity: Identity,
    /// The project that queries run in and are paid by.
    pub project: Option<String>,
    /// Where the source's data is, where BigQuery cannot tell.
    pub location: Option<String>,
    pub batch_rows: u64,
    /// Whether pages are read even where BigQuery could move the rows itself.
    pub extract: bool,
    pub streams: IndexMap<String, StreamSettings>,
}

/// One stream: what it reads, and by which column it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSettings {
    pub origin: Origin,
    pub cursor: Option<String>,
    /// How far before the newest value a run begins again, in the cursor's own terms.
    pub lookback: Option<String>,
    /// The first value there is to read.
    pub start: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    Table(TableName),
    /// One SELECT.
    Query(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    project: Option<String>,
    location: Option<String>,
    batch_rows: Option<u64>,
    #[serde(default)]
    extract: bool,
    #[serde(default)]
    streams: IndexMap<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStream {
    table: Option<String>,
    query: Option<String>,
    cursor: Option<String>,
    lookback: Option<Json>,
    start: Option<Json>,
}

impl Settings {
    /// Reads a config; its secret may still be missing.
    pub fn of(config: &Map<String, Json>) -> Result<Settings, SourceError> {
        let mut config = config.clone();
        // Apart, so that no error quotes a secret.
        let credentials = config.remove("credentials").unwrap_or_default();
        let written: Written = serde_json::from_value(Json::Object(config))
            .map_err(|error| wrong("config", error.to_string()))?;
        let streams = written.streams.iter();
        let streams = streams.map(|(name, json)| Ok((name.clone(), stream(name, json)?)));
        Ok(Settings {
            identity: identity(&credentials)?,
            project: written.project.filter(|text| !text.is_empty()),
            location: written.location.filter(|text| !text.is_empty()),
            batch_rows: written.batch_rows.unwrap_or(BATCH_ROWS).max(1),
            extract: written.extract,
            streams: streams.collect::<Result<_, SourceError>>()?,
        })
    }
}

fn identity(credentials: &Json) -> Result<Identity, SourceError> {
    let at = "config.credentials";
    match credentials["method"].as_str() {
        None if credentials.is_null() => Ok(Identity::Own),
        Some("job") => Ok(Identity::Own),
        Some("key") => Ok(Identity::Key(key(&credentials["key"]))),
        Some("impersonate") => match credentials["account"].as_str() {
            Some(account) if account.contains('@') => Ok(Identity::Account(account.to_owned())),
            _ => Err(wrong(
                at,
                "`account` is the email of the service account to impersonate",
            )),
        },
        _ => Err(wrong(at, "`method` is `job`, `key` or `impersonate`")),
    }
}

/// A key by hand may be written as the mapping it is.
fn key(json: &Json) -> SecretString {
    match json {
        Json::String(text) => text.as_str().into(),
        Json::Null => SecretString::default(),
        json => json.to_string().into(),
    }
}

fn stream(name: &str, json: &Json) -> Result<StreamSettings, SourceError> {
    let at = format!("config.streams.{name}");
    let written: WrittenStream =
        serde_json::from_value(json.clone()).map_err(|error| wrong(&at, error.to_string()))?;
    let origin = match (&written.table, &written.query) {
        (Some(table), None) => Origin::Table(table_name(&at, table)?),
        (None, Some(query)) => Origin::Query(query_text(&at, query)?),
        _ => return Err(wrong(&at, "a stream has either a `table` or a `query`")),
    };
    let needs_cursor = written.lookback.is_some() || written.start.is_some();
    if needs_cursor && written.cursor.is_none() {
        return Err(wrong(&at, "`lookback` and `start` need a `cursor`"));
    }
    Ok(StreamSettings {
        origin,
        cursor: written.cursor,
        lookback: written.lookback.map(plain),
        start: written.start.map(plain),
    })
}

fn plain(json: Json) -> String {
    match json {
        Json::String(text) => text,
        json => json.to_string(),
    }
}

/// `project.dataset.table`; a project may have a domain and a colon before its name.
fn table_name(at: &str, text: &str) -> Result<TableName, SourceError> {
    let parts: Vec<&str> = text.trim_matches('`').rsplitn(3, '.').collect();
    match parts[..] {
        [table, dataset, project] if [table, dataset, project].iter().all(|part| is_name(part)) => {
            Ok(TableName {
                project: project.to_owned(),
                dataset: dataset.to_owned(),
                table: table.to_owned(),
            })
        }
        _ => Err(wrong(
            at,
            format!("`table: {text}` is not of the form project.dataset.table"),
        )),
    }
}

/// What a quoted name in a statement can hold.
fn is_name(part: &str) -> bool {
    let is_good = |c: char| !c.is_control() && !matches!(c, '`' | '\\' | '/' | '?' | '#' | '%');
    !part.is_empty() && part.chars().all(is_good)
}

fn query_text(at: &str, query: &str) -> Result<String, SourceError> {
    let query = query.trim().trim_end_matches(';').trim_end();
    match query.is_empty() {
        true => Err(wrong(at, "`query` is empty")),
        false => Ok(query.to_owned()),
    }
}

pub(super) fn wrong(at: &str, problem: impl Into<String>) -> SourceError {
    SourceError::Config {
        at: at.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(config: Json) -> Result<Settings, String> {
        Settings::of(config.as_object().unwrap()).map_err(|error| error.to_string())
    }

    fn problem(stream: Json) -> String {
        of(json!({"streams": {"s": stream}})).unwrap_err()
    }

    #[test]
    fn a_stream_is_a_table_or_a_query() {
        let settings = of(json!({"streams": {
            "costs": {"table": "example.com:billing.export.costs", "cursor": "at", "lookback": "P3D"},
            "names": {"query": "SELECT 1 AS n;\n"},
        }}))
        .unwrap();
        let costs = &settings.streams["costs"];
        assert_eq!(
            costs.origin,
            Origin::Table(TableName {
                project: "example.com:billing".into(),
                dataset: "export".into(),
                table: "costs".into()
            })
        );
        assert_eq!(costs.lookback.as_deref(), Some("P3D"));
        assert_eq!(
            settings.streams["names"].origin,
            Origin::Query("SELECT 1 AS n".into())
        );
    }

    #[test]
    fn what_is_wrong_with_a_stream_is_said_with_its_place() {
        let said = [
            json!({}),
            json!({"table": "a.b.c", "query": "SELECT 1"}),
            json!({"table": "costs"}),
            json!({"table": "a.b.c`; DROP"}),
            json!({"table": "a.b.c", "start": 1}),
            json!({"tabel": "a.b.c"}),
        ];
        let said: Vec<String> = said.into_iter().map(problem).collect();
        insta::assert_snapshot!(said.join("\n"), @"
        config.streams.s: a stream has either a `table` or a `query`
        config.streams.s: a stream has either a `table` or a `query`
        config.streams.s: `table: costs` is not of the form project.dataset.table
        config.streams.s: `table: a.b.c`; DROP` is not of the form project.dataset.table
        config.streams.s: `lookback` and `start` need a `cursor`
        config.streams.s: unknown field `tabel`, expected one of `table`, `query`, `cursor`, `lookback`, `start`
        ");
    }

    #[test]
    fn no_error_shows_a_key() {
        let config = json!({"credentials": {"method": "kee", "key": "hush"}, "streems": {}});
        let said = of(config).unwrap_err();
        assert!(!said.contains("hush"), "{said}");
        let shown = of(json!({"credentials": {"method": "key", "key": {"private_key": "hush"}}}));
        assert!(!format!("{:?}", shown.unwrap()).contains("hush"));
    }
}
