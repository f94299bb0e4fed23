//! The MERGE statement: staged rows into their table, a row for each key.
//!
//! Pure: columns and options in, SQL out. What the statement changes it changes once: run
//! again with the same rows it leaves the table as it is.

use crate::layout::touched::Touched;
use crate::layout::{self, TableLayout};
use crate::options::{Mode, OptionError, Settled};
use crate::parts::Watched;
use crate::schema::{Column, EXTRACTED_AT, Kind, RESCUED, RUN_ID, TableSchema};

/// Whether a staged row stands for a deletion.
const DELETED: &str = "_xetl_deleted";

/// What a merge is made of.
#[derive(Debug)]
pub struct Merge<'a> {
    /// `project.dataset.table` of the rows to change, and of the rows that came.
    pub target: &'a str,
    pub staging: &'a str,
    pub schema: &'a TableSchema,
    pub options: &'a Settled,
    pub layout: &'a TableLayout,
    /// The partitions the rows that came are in, where they are known.
    pub touched: Option<&'a Touched>,
    /// Whether rows that did not come are to go.
    pub replaces: bool,
}

impl Merge<'_> {
    pub fn statement(&self) -> Result<String, OptionError> {
        let keys = keys(self.schema, &self.options.key)?;
        let cursor = self.cursor()?;
        let deleted = self.deleted()?;
        let newer = newer(cursor.as_deref(), self.replaces);
        let mut lines = vec![
            format!("MERGE `{}` AS T", self.target),
            format!(
                "USING ({}) AS S",
                self.source(&keys, cursor.as_deref(), deleted.as_deref())
            ),
            format!("ON {}", self.condition(&keys)),
        ];
        if deleted.is_some() {
            let clause = both(&newer, &format!("S.`{DELETED}`"));
            lines.push(format!("WHEN MATCHED AND {clause} THEN DELETE"));
        }
        let matched = match newer.is_empty() {
            true => "WHEN MATCHED".to_owned(),
            false => format!("WHEN MATCHED AND ({newer})"),
        };
        lines.push(format!("{matched} THEN UPDATE SET {}", self.assignments()));
        let absent = match &deleted {
            Some(_) => format!("WHEN NOT MATCHED BY TARGET AND NOT S.`{DELETED}`"),
            None => "WHEN NOT MATCHED BY TARGET".to_owned(),
        };
        lines.push(format!(
            "{absent} THEN INSERT ({}) VALUES ({})",
            self.list(""),
            self.list("S.")
        ));
        if self.replaces {
            lines.push("WHEN NOT MATCHED BY SOURCE THEN DELETE".to_owned());
        }
        Ok(lines.join("\n"))
    }

    /// The staged rows, the newest of each key.
    fn source(&self, keys: &[Key], cursor: Option<&str>, deleted: Option<&str>) -> String {
        let deleted = deleted
            .map(|condition| format!(", IFNULL(({condition}), FALSE) AS `{DELETED}`"))
            .unwrap_or_default();
        let cursor = cursor
            .map(|column| format!("{} DESC NULLS LAST, ", quoted(column)))
            .unwrap_or_default();
        let mut parts: Vec<String> = keys.iter().map(Key::grouped).collect();
        parts.push(unnamed("", keys));
        format!(
            "SELECT *{deleted} FROM `{}` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {} \
             ORDER BY {cursor}`{EXTRACTED_AT}` DESC) = 1",
            self.staging,
            parts.join(", ")
        )
    }

    fn condition(&self, keys: &[Key]) -> String {
        let mut conditions: Vec<String> = self.partitions(keys).into_iter().collect();
        conditions.extend(keys.iter().map(Key::equal));
        conditions.push(format!(
            "IFNULL({}, '') = IFNULL({}, '')",
            unnamed("T.", keys),
            unnamed("S.", keys)
        ));
        conditions.join(" AND ")
    }

    /// The partitions to look into, where a row cannot have moved out of them.
    fn partitions(&self, keys: &[Key]) -> Option<String> {
        let column = self.layout.partition.as_ref()?.column.as_deref()?;
        if self.replaces || !is_fixed(self.options, keys, column) {
            return None;
        }
        let kind = &self
            .schema
            .columns
            .iter()
            .find(|known| known.name == column)?
            .kind;
        self.touched?
            .condition(&format!("T.{}", quoted(column)), kind)
    }

    fn cursor(&self) -> Result<Option<String>, OptionError> {
        let Some(field) = &self.options.cursor else {
            return Ok(None);
        };
        // The source's own cursor may be no field of the records.
        let Ok(column) = layout::named(self.schema, "cursor", field) else {
            return Ok(None);
        };
        let ordered = !column.repeated && !matches!(column.kind, Kind::Struct(_) | Kind::Geography);
        Ok(ordered.then(|| column.name.clone()))
    }

    fn deleted(&self) -> Result<Option<String>, OptionError> {
        let Some(condition) = &self.options.deleted else {
            return Ok(None);
        };
        let is_word = condition
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if !is_word {
            return Ok(Some(condition.clone()));
        }
        let column = layout::named(self.schema, "deleted", condition)?;
        let name = quoted(&column.name);
        Ok(Some(match column.kind {
            Kind::Bool if !column.repeated => name,
            _ => format!("{name} IS NOT NULL"),
        }))
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        let own = [RUN_ID, EXTRACTED_AT, RESCUED];
        let columns = self
            .schema
            .columns
            .iter()
            .map(|column| column.name.as_str());
        columns.chain(own)
    }

    fn list(&self, prefix: &str) -> String {
        let columns: Vec<String> = self
            .columns()
            .map(|name| format!("{prefix}{}", quoted(name)))
            .collect();
        columns.join(", ")
    }

    fn assignments(&self) -> String {
        let set = |name: &str| format!("{0} = S.{0}", quoted(name));
        let columns: Vec<String> = self.columns().map(set).collect();
        columns.join(", ")
    }
}

/// The column whose partitions are to be noted while rows are written: where the statement
/// looks into those alone.
pub fn watched(options: &Settled, schema: &TableSchema, replaces: bool) -> Option<Watched> {
    if options.mode != Mode::Merge || replaces {
        return None;
    }
    let partition = layout::layout(options, schema).ok()?.partition?;
    let column = partition.column?;
    let keys = keys(schema, &options.key).ok()?;
    let is_ours = schema.columns.iter().any(|known| known.name == column);
    (is_ours && is_fixed(options, &keys, &column)).then_some((column, partition.granularity))
}

/// Whether the rows of a key stay in their partition.
fn is_fixed(options: &Settled, keys: &[Key], column: &str) -> bool {
    let is_declared = options
        .partition
        .as_ref()
        .is_some_and(|partition| partition.immutable);
    is_declared || keys.iter().any(|key| key.column == column)
}

/// A column of the key, and how its values are told apart.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    column: String,
    /// What stands for NULL in a comparison; none where values are compared as JSON text.
    default: Option<&'static str>,
}

/// The columns of a key.
fn keys(schema: &TableSchema, fields: &[String]) -> Result<Vec<Key>, OptionError> {
    let key = |field: &String| {
        let column = layout::named(schema, "key", field)?;
        Ok(Key {
            column: column.name.clone(),
            default: default(column),
        })
    };
    fields.iter().map(key).collect()
}

fn default(column: &Column) -> Option<&'static str> {
    if column.repeated {
        return None;
    }
    match column.kind {
        Kind::Bool => Some("FALSE"),
        Kind::Int64 | Kind::Numeric | Kind::BigNumeric => Some("0"),
        Kind::String | Kind::Text => Some("''"),
        Kind::Timestamp => Some("TIMESTAMP '1970-01-01 00:00:00+00'"),
        Kind::Date => Some("DATE '1970-01-01'"),
        Kind::Datetime => Some("DATETIME '1970-01-01 00:00:00'"),
        Kind::Time => Some("TIME '00:00:00'"),
        Kind::Bytes => Some("b''"),
        Kind::Float64 | Kind::Geography | Kind::Struct(_) => None,
    }
}

impl Key {
    fn grouped(&self) -> String {
        match self.default {
            Some(_) => quoted(&self.column),
            None => format!("TO_JSON_STRING({})", quoted(&self.column)),
        }
    }

    /// Equal, also where both are NULL. Each part is an equality of the two sides: an outer
    /// join, as a MERGE is one, takes nothing else.
    fn equal(&self) -> String {
        let name = quoted(&self.column);
        match self.default {
            Some(default) => format!(
                "IFNULL(T.{name}, {default}) = IFNULL(S.{name}, {default}) AND (T.{name} IS NULL) = (S.{name} IS NULL)"
            ),
            None => format!("TO_JSON_STRING(T.{name}) = TO_JSON_STRING(S.{name})"),
        }
    }
}

/// Tells apart the rows whose key fitted no column: what was rescued of them.
fn unnamed(side: &str, keys: &[Key]) -> String {
    let null: Vec<String> = keys
        .iter()
        .map(|key| format!("{side}{} IS NULL", quoted(&key.column)))
        .collect();
    format!("IF({}, {side}`{RESCUED}`, NULL)", null.join(" OR "))
}

/// That the staged row is at least as new as the one in the table; empty for always.
fn newer(cursor: Option<&str>, replaces: bool) -> String {
    if replaces {
        return String::new();
    }
    let read = format!("IFNULL(S.`{EXTRACTED_AT}` >= T.`{EXTRACTED_AT}`, TRUE)");
    match cursor.map(quoted) {
        None => read,
        Some(at) => format!("T.{at} IS NULL OR S.{at} > T.{at} OR (S.{at} = T.{at} AND {read})"),
    }
}

fn both(newer: &str, other: &str) -> String {
    match newer.is_empty() {
        true => other.to_owned(),
        false => format!("({newer}) AND {other}"),
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StreamOptions;
    use crate::schema::declared;
    use crate::stream::StreamInfo;
    use serde_json::{Value as Json, json};

    fn merged(options: Json, replaces: bool) -> Result<String, String> {
        let line = json!({"type": "object", "properties": {"qty": {"type": "number"}}});
        let schema = declared::table_schema(&json!({"properties": {
            "id": {"type": "integer"},
            "line no": {"type": "string"},
            "rate": {"type": "number"},
            "changed": {"type": "string", "format": "date-time"},
            "created": {"type": "string", "format": "date"},
            "gone": {"type": "boolean"},
            "lines": {"type": "array", "items": line},
        }}))
        .unwrap();
        let mut options: StreamOptions = serde_json::from_value(options).unwrap();
        options.mode = Some(Mode::Merge);
        let info = StreamInfo {
            name: "invoices".into(),
            primary_key: vec!["id".into()],
            cursor_field: None,
            schema: Json::Null,
            types: Json::Null,
            mode: None,
        };
        let options = Settled::of(&info, &options).unwrap();
        let layout = layout::layout(&options, &schema).unwrap();
        let day = 86_400_000_000;
        let touched = Touched {
            spans: vec![(0, day)],
            null: false,
        };
        Merge {
            target: "p.acme.invoices",
            staging: "p.acme.staged",
            schema: &schema,
            options: &options,
            layout: &layout,
            touched: Some(&touched),
            replaces,
        }
        .statement()
        .map_err(|error| error.to_string())
    }

    fn line(statement: &str, number: usize) -> String {
        statement.lines().nth(number).unwrap().to_owned()
    }

    #[test]
    fn a_newer_row_replaces_the_one_of_its_key() {
        insta::assert_snapshot!(merged(json!({"cursor": "changed"}), false).unwrap(), @r#"
        MERGE `p.acme.invoices` AS T
        USING (SELECT * FROM `p.acme.staged` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `id`, IF(`id` IS NULL, `_xetl_rescued`, NULL) ORDER BY `changed` DESC NULLS LAST, `_xetl_extracted_at` DESC) = 1) AS S
        ON IFNULL(T.`id`, 0) = IFNULL(S.`id`, 0) AND (T.`id` IS NULL) = (S.`id` IS NULL) AND IFNULL(IF(T.`id` IS NULL, T.`_xetl_rescued`, NULL), '') = IFNULL(IF(S.`id` IS NULL, S.`_xetl_rescued`, NULL), '')
        WHEN MATCHED AND (T.`changed` IS NULL OR S.`changed` > T.`changed` OR (S.`changed` = T.`changed` AND IFNULL(S.`_xetl_extracted_at` >= T.`_xetl_extracted_at`, TRUE))) THEN UPDATE SET `id` = S.`id`, `line_no` = S.`line_no`, `rate` = S.`rate`, `changed` = S.`changed`, `created` = S.`created`, `gone` = S.`gone`, `lines` = S.`lines`, `_xetl_run_id` = S.`_xetl_run_id`, `_xetl_extracted_at` = S.`_xetl_extracted_at`, `_xetl_rescued` = S.`_xetl_rescued`
        WHEN NOT MATCHED BY TARGET THEN INSERT (`id`, `line_no`, `rate`, `changed`, `created`, `gone`, `lines`, `_xetl_run_id`, `_xetl_extracted_at`, `_xetl_rescued`) VALUES (S.`id`, S.`line_no`, S.`rate`, S.`changed`, S.`created`, S.`gone`, S.`lines`, S.`_xetl_run_id`, S.`_xetl_extracted_at`, S.`_xetl_rescued`)
        "#);
    }

    #[test]
    fn without_a_cursor_what_was_read_last_is_newest() {
        let statement = merged(json!({}), false).unwrap();
        insta::assert_snapshot!(line(&statement, 1), @"USING (SELECT * FROM `p.acme.staged` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `id`, IF(`id` IS NULL, `_xetl_rescued`, NULL) ORDER BY `_xetl_extracted_at` DESC) = 1) AS S");
        insta::assert_snapshot!(statement.lines().nth(3).unwrap().split(" THEN ").next().unwrap(), @"WHEN MATCHED AND (IFNULL(S.`_xetl_extracted_at` >= T.`_xetl_extracted_at`, TRUE))");
    }

    #[test]
    fn a_key_may_have_columns_of_any_type() {
        let statement = merged(
            json!({"key": ["line no", "rate", "lines", "created"]}),
            false,
        )
        .unwrap();
        insta::assert_snapshot!(line(&statement, 1), @"USING (SELECT * FROM `p.acme.staged` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `line_no`, TO_JSON_STRING(`rate`), TO_JSON_STRING(`lines`), `created`, IF(`line_no` IS NULL OR `rate` IS NULL OR `lines` IS NULL OR `created` IS NULL, `_xetl_rescued`, NULL) ORDER BY `_xetl_extracted_at` DESC) = 1) AS S");
        insta::assert_snapshot!(line(&statement, 2), @"ON IFNULL(T.`line_no`, '') = IFNULL(S.`line_no`, '') AND (T.`line_no` IS NULL) = (S.`line_no` IS NULL) AND TO_JSON_STRING(T.`rate`) = TO_JSON_STRING(S.`rate`) AND TO_JSON_STRING(T.`lines`) = TO_JSON_STRING(S.`lines`) AND IFNULL(T.`created`, DATE '1970-01-01') = IFNULL(S.`created`, DATE '1970-01-01') AND (T.`created` IS NULL) = (S.`created` IS NULL) AND IFNULL(IF(T.`line_no` IS NULL OR T.`rate` IS NULL OR T.`lines` IS NULL OR T.`created` IS NULL, T.`_xetl_rescued`, NULL), '') = IFNULL(IF(S.`line_no` IS NULL OR S.`rate` IS NULL OR S.`lines` IS NULL OR S.`created` IS NULL, S.`_xetl_rescued`, NULL), '')");
    }

    #[test]
    fn deletions_take_their_rows_along() {
        let statement = merged(json!({"cursor": "changed", "deleted": "gone"}), false).unwrap();
        let clauses: Vec<_> = statement
            .lines()
            .map(|line| line.split(" UPDATE SET ").next().unwrap())
            .collect();
        insta::assert_snapshot!(clauses.join("\n"), @r#"
        MERGE `p.acme.invoices` AS T
        USING (SELECT *, IFNULL((`gone`), FALSE) AS `_xetl_deleted` FROM `p.acme.staged` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `id`, IF(`id` IS NULL, `_xetl_rescued`, NULL) ORDER BY `changed` DESC NULLS LAST, `_xetl_extracted_at` DESC) = 1) AS S
        ON IFNULL(T.`id`, 0) = IFNULL(S.`id`, 0) AND (T.`id` IS NULL) = (S.`id` IS NULL) AND IFNULL(IF(T.`id` IS NULL, T.`_xetl_rescued`, NULL), '') = IFNULL(IF(S.`id` IS NULL, S.`_xetl_rescued`, NULL), '')
        WHEN MATCHED AND (T.`changed` IS NULL OR S.`changed` > T.`changed` OR (S.`changed` = T.`changed` AND IFNULL(S.`_xetl_extracted_at` >= T.`_xetl_extracted_at`, TRUE))) AND S.`_xetl_deleted` THEN DELETE
        WHEN MATCHED AND (T.`changed` IS NULL OR S.`changed` > T.`changed` OR (S.`changed` = T.`changed` AND IFNULL(S.`_xetl_extracted_at` >= T.`_xetl_extracted_at`, TRUE))) THEN
        WHEN NOT MATCHED BY TARGET AND NOT S.`_xetl_deleted` THEN INSERT (`id`, `line_no`, `rate`, `changed`, `created`, `gone`, `lines`, `_xetl_run_id`, `_xetl_extracted_at`, `_xetl_rescued`) VALUES (S.`id`, S.`line_no`, S.`rate`, S.`changed`, S.`created`, S.`gone`, S.`lines`, S.`_xetl_run_id`, S.`_xetl_extracted_at`, S.`_xetl_rescued`)
        "#);
        let statement = merged(json!({"deleted": "`line no` IN ('VOIDED')"}), false).unwrap();
        insta::assert_snapshot!(line(&statement, 1), @"USING (SELECT *, IFNULL((`line no` IN ('VOIDED')), FALSE) AS `_xetl_deleted` FROM `p.acme.staged` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `id`, IF(`id` IS NULL, `_xetl_rescued`, NULL) ORDER BY `_xetl_extracted_at` DESC) = 1) AS S");
        let statement = merged(json!({"deleted": "created"}), false).unwrap();
        assert!(
            statement.contains("IFNULL((`created` IS NOT NULL), FALSE)"),
            "{statement}"
        );
    }

    #[test]
    fn partitions_are_left_out_only_where_rows_stay_in_theirs() {
        let on = |options| line(&merged(options, false).unwrap(), 2);
        let day = "(T.`created` >= DATE '1970-01-01' AND T.`created` < DATE '1970-01-02') AND ";
        let by = json!({"by": "created"});
        let fixed = json!({"by": "created", "immutable": true});
        assert!(!on(json!({"partition": by})).contains(day));
        assert!(on(json!({"partition": fixed})).contains(day));
        assert!(on(json!({"partition": by, "key": ["id", "created"]})).contains(day));
        assert!(
            !on(json!({"partition": {"by": "ingestion_time", "immutable": true}}))
                .contains("1970-01-02")
        );
    }

    #[test]
    fn a_refresh_leaves_nothing_that_did_not_come() {
        let statement = merged(json!({"cursor": "changed"}), true).unwrap();
        assert!(
            statement.ends_with("\nWHEN NOT MATCHED BY SOURCE THEN DELETE"),
            "{statement}"
        );
        assert!(
            statement.contains("\nWHEN MATCHED THEN UPDATE"),
            "{statement}"
        );
    }

    #[test]
    fn what_names_no_field_is_said() {
        insta::assert_snapshot!(merged(json!({"key": ["ID"]}), false).unwrap_err(), @"`key` names `ID`, and the stream has no such field; it has: id, line no, rate, changed, created, gone, lines");
        insta::assert_snapshot!(merged(json!({"deleted": "removed"}), false).unwrap_err(), @"`deleted` names `removed`, and the stream has no such field; it has: id, line no, rate, changed, created, gone, lines");
    }
}
