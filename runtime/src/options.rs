//! How a stream is loaded: what a client may say, and what is settled from it.
//!
//! Decides nothing about a run; `layout` and `merge` make BigQuery's terms of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reshape::Step;
use crate::stream::StreamInfo;

/// BigQuery clusters by no more columns.
const MOST_CLUSTERED: usize = 4;

/// How one stream is loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// How rows reach the table; by default `append` where the stream has a cursor and a
    /// primary key, else `overwrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Where the rows are kept: in a table of BigQuery's own (the default), or in the bucket's
    /// files, with an external table over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Target>,
    /// The parts a table is kept in, by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Fields the table is sorted by, at most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    /// Fields that name a record, instead of the source's primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Field that tells newer from older in the warehouse, instead of the source's cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What marks a record as deleted in the source, for mode `merge`: a field (true, or any
    /// value where it is no boolean), or a condition in SQL such as `Status = 'DELETED'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// What objects and arrays become; by default columns of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Nested>,
    /// Whether pages are kept in the bucket as the source gave them, to be loaded again with
    /// `xetl replay`; by default as the pipeline says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_raw: Option<bool>,
    /// Steps on each record before it is loaded, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transformations: Vec<Step>,
}

/// How a run's rows reach the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The run's rows replace the table, in one step.
    Overwrite,
    /// The run's rows are added; `<stream>_latest` shows the newest version of each key.
    Append,
    /// A row for each key: the newest version replaces the one before.
    Merge,
}

/// Where a stream's rows are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// In a table of BigQuery's own.
    #[default]
    Table,
    /// In the bucket's Parquet files; the table shows exactly those that are committed.
    External,
}

/// The parts a table is kept in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// A field that is a date or a time, or `extraction_time` (when the run began to read), or
    /// `ingestion_time` (when BigQuery took the row in).
    pub by: String,
    /// How much time one part holds.
    #[serde(default)]
    pub granularity: Granularity,
    /// That the field never changes in a record, so that a merge looks into those parts only
    /// that its rows are in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
}

/// How much time one part of a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    Hour,
    #[default]
    Day,
    Month,
    Year,
}

/// What objects and arrays become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Nested {
    /// STRUCT and ARRAY columns.
    #[default]
    Struct,
    /// JSON text in STRING columns.
    Json,
}

/// Options that do not go together, or not with the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error(
        "mode `merge` needs a key, and the source declares none for this stream; \
         name the fields that identify a record with `key: [...]` in the client file"
    )]
    NoKey,
    #[error(
        "mode `merge` changes rows, which an external table's files cannot do; \
         take `load: table`, or mode `append` or `overwrite`"
    )]
    ExternalMerge,
    #[error("an external table has no partitions and no clusters of its own; take `load: table`")]
    ExternalLayout,
    #[error("`cluster` names {0} fields; BigQuery takes at most {MOST_CLUSTERED}")]
    TooManyClustered(usize),
    #[error("`deleted` is for mode `merge`; in other modes no row is ever deleted")]
    DeletedWithoutMerge,
    #[error("`deleted: {condition}` is no condition: {problem}")]
    Condition { condition: String, problem: String },
    #[error("`{option}` names `{field}`, and the stream has no such field; it has: {}", known.join(", "))]
    UnknownField {
        option: &'static str,
        field: String,
        known: Vec<String>,
    },
    #[error("`{option}` names `{field}`, which is {kind}; {wanted}")]
    WrongType {
        option: &'static str,
        field: String,
        kind: &'static str,
        wanted: &'static str,
    },
}

/// A stream's options with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub mode: Mode,
    pub target: Target,
    pub partition: Option<Partition>,
    pub cluster: Vec<String>,
    pub key: Vec<String>,
    pub cursor: Option<String>,
    pub deleted: Option<String>,
    pub nested: Nested,
}

/// The same check before a source is there: of a client file, with the key that the source
/// declares, if that is known.
pub fn check(
    stream: &str,
    key: Option<Vec<String>>,
    options: &StreamOptions,
) -> Result<(), OptionError> {
    let info = StreamInfo {
        name: stream.to_owned(),
        primary_key: key.unwrap_or_else(|| vec![String::new()]),
        cursor_field: None,
        schema: serde_json::Value::Null,
        types: serde_json::Value::Null,
        mode: None,
    };
    Settled::of(&info, options).map(|_| ())
}

impl Settled {
    /// What the client says of the stream, and where that says nothing, the source.
    pub fn of(info: &StreamInfo, options: &StreamOptions) -> Result<Settled, OptionError> {
        let settled = Settled::unchecked(info, options);
        settled.check()?;
        Ok(settled)
    }

    fn unchecked(info: &StreamInfo, options: &StreamOptions) -> Settled {
        let StreamOptions {
            mode,
            load,
            partition,
            cluster,
            key,
            cursor,
            deleted,
            nested,
            // Whoever reads the records takes them.
            transformations: _,
            // Of no meaning to a load.
            keep_raw: _,
        } = options.clone();
        let key = match key.is_empty() {
            true => info.primary_key.clone(),
            false => key,
        };
        let cursor = cursor.or_else(|| info.cursor_field.clone());
        Settled {
            mode: mode.unwrap_or_else(|| default_mode(info, &key, cursor.as_deref())),
            target: load.unwrap_or_default(),
            partition,
            cluster,
            key,
            cursor,
            deleted,
            nested: nested.unwrap_or_default(),
        }
    }

    fn check(&self) -> Result<(), OptionError> {
        let has_layout = self.partition.is_some() || !self.cluster.is_empty();
        if self.mode == Mode::Merge && self.target == Target::External {
            return Err(OptionError::ExternalMerge);
        }
        if self.mode == Mode::Merge && self.key.is_empty() {
            return Err(OptionError::NoKey);
        }
        if self.target == Target::External && has_layout {
            return Err(OptionError::ExternalLayout);
        }
        if self.cluster.len() > MOST_CLUSTERED {
            return Err(OptionError::TooManyClustered(self.cluster.len()));
        }
        match &self.deleted {
            Some(_) if self.mode != Mode::Merge => Err(OptionError::DeletedWithoutMerge),
            Some(condition) => check_condition(condition),
            None => Ok(()),
        }
    }
}

/// How a stream is loaded if the client does not say.
fn default_mode(info: &StreamInfo, key: &[String], cursor: Option<&str>) -> Mode {
    if let Some(mode) = info.mode {
        mode
    } else if cursor.is_some() && !key.is_empty() {
        Mode::Append
    } else {
        Mode::Overwrite
    }
}

/// The mode a stream has, also where its options are at fault.
pub fn mode(info: &StreamInfo, options: &StreamOptions) -> Mode {
    Settled::unchecked(info, options).mode
}

/// That a condition stays inside the brackets the statement puts it in.
fn check_condition(condition: &str) -> Result<(), OptionError> {
    let problem = |problem: &str| OptionError::Condition {
        condition: condition.to_owned(),
        problem: problem.to_owned(),
    };
    let mut depth = 0i32;
    let mut quote = None;
    let mut escaped = false;
    for c in condition.chars() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Err(problem("a bracket closes that none opened")),
            (None, ')') => depth -= 1,
            (None, ';' | '#') => return Err(problem("it is more than one expression")),
            (None, _) => {}
        }
    }
    match (quote, depth) {
        (Some(_), _) => Err(problem("a quote is not closed")),
        (None, 0) if condition.trim().is_empty() => Err(problem("it is empty")),
        (None, 0) if condition.contains("--") || condition.contains("/*") => {
            Err(problem("it has a comment"))
        }
        (None, 0) => Ok(()),
        (None, _) => Err(problem("a bracket is not closed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(key: &[&str], cursor: Option<&str>) -> StreamInfo {
        StreamInfo {
            name: "invoices".into(),
            primary_key: key.iter().map(ToString::to_string).collect(),
            cursor_field: cursor.map(str::to_owned),
            schema: serde_json::Value::Null,
            types: serde_json::Value::Null,
            mode: None,
        }
    }

    fn merge() -> StreamOptions {
        StreamOptions {
            mode: Some(Mode::Merge),
            ..StreamOptions::default()
        }
    }

    fn refused(key: &[&str], options: StreamOptions) -> String {
        Settled::of(&info(key, None), &options)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_the_client_says_wins_over_the_source() {
        let options = StreamOptions {
            key: vec!["code".into()],
            cursor: Some("changed".into()),
            ..merge()
        };
        let settled = Settled::of(&info(&["id"], Some("updated")), &options).unwrap();
        assert_eq!(settled.key, ["code"]);
        assert_eq!(settled.cursor.as_deref(), Some("changed"));
        let settled = Settled::of(&info(&["id"], Some("updated")), &merge()).unwrap();
        assert_eq!(settled.key, ["id"]);
        assert_eq!(settled.cursor.as_deref(), Some("updated"));
    }

    #[test]
    fn without_a_mode_a_key_and_a_cursor_append() {
        let mode = |key: &[&str], cursor| mode(&info(key, cursor), &StreamOptions::default());
        assert_eq!(mode(&["id"], Some("at")), Mode::Append);
        assert_eq!(mode(&["id"], None), Mode::Overwrite);
        assert_eq!(mode(&[], Some("at")), Mode::Overwrite);
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let external = StreamOptions {
            load: Some(Target::External),
            ..merge()
        };
        let clustered = StreamOptions {
            cluster: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            ..merge()
        };
        let deleted = StreamOptions {
            deleted: Some("gone".into()),
            ..StreamOptions::default()
        };
        insta::assert_snapshot!(refused(&[], merge()), @"mode `merge` needs a key, and the source declares none for this stream; name the fields that identify a record with `key: [...]` in the client file");
        insta::assert_snapshot!(refused(&["id"], external), @"mode `merge` changes rows, which an external table's files cannot do; take `load: table`, or mode `append` or `overwrite`");
        insta::assert_snapshot!(refused(&["id"], clustered), @"`cluster` names 5 fields; BigQuery takes at most 4");
        insta::assert_snapshot!(refused(&["id"], deleted), @"`deleted` is for mode `merge`; in other modes no row is ever deleted");
    }

    #[test]
    fn a_condition_is_one_closed_expression() {
        let check = |condition| check_condition(condition).map_err(|error| error.to_string());
        assert_eq!(check("Status IN ('DELETED', 'VOIDED)')"), Ok(()));
        assert_eq!(check(r"name = 'it\'s; (gone'"), Ok(()));
        insta::assert_snapshot!(check("a) OR (b").unwrap_err(), @"`deleted: a) OR (b` is no condition: a bracket closes that none opened");
        insta::assert_snapshot!(check("a; DROP TABLE b").unwrap_err(), @"`deleted: a; DROP TABLE b` is no condition: it is more than one expression");
        insta::assert_snapshot!(check("(a").unwrap_err(), @"`deleted: (a` is no condition: a bracket is not closed");
        insta::assert_snapshot!(check("a = 'b").unwrap_err(), @"`deleted: a = 'b` is no condition: a quote is not closed");
        insta::assert_snapshot!(check("a -- b").unwrap_err(), @"`deleted: a -- b` is no condition: it has a comment");
    }
}
