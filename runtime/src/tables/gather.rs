//! Rows that BigQuery gathers itself, beside the table they go to: the statements, and their jobs.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::google::bigquery::{Datum, Row};
use crate::layout::Partitioning;
use crate::options::Granularity;
use crate::schema::{EXTRACTED_AT, RESCUED, RUN_ID};
use crate::stream::{Gathered, Gathering, Slice, SourceError, State};

use super::cursor::{CursorKind, quoted};
use super::fields::{Field, Kind};
use super::known::Known;
use super::statement::quoted_name;
use super::stream::{TableStream, object, text};

/// How long gathered rows outlive a crash.
const LIFE: SignedDuration = SignedDuration::from_hours(24);

impl TableStream {
    pub(super) async fn gathered(
        &self,
        state: &State,
        place: &Gathering,
    ) -> Result<Option<Slice>, SourceError> {
        let known = self.known().await?;
        let is_here = known.location.eq_ignore_ascii_case(&place.location);
        if !is_here || !known.fields.iter().all(Field::is_exact) {
            return Ok(None);
        }
        let table = format!("xetl_{}", self.hash("gathered"));
        let select = self.select(known, state)?;
        let creation = creation(place, &table, &select, &known.fields);
        // Named by the run alone: who comes second finds the rows of who came first.
        let made = self.run_query(&table, &creation, &known.location);
        let made = made.await?;
        let counting = count(place, &table, self.cursor_name());
        let job = self
            .run_query(&counting, &counting, &known.location)
            .await?;
        let row = self.rows(&job, 0, 1).await?.rows.into_iter().next();
        let gathered = row.and_then(|row| self.counted(known, table, row, place));
        let gathered = gathered.ok_or_else(|| self.unreadable("it cannot be counted"))?;
        tracing::info!(
            stream = self.info.name,
            job = made.id,
            rows = gathered.rows,
            "gathered by BigQuery"
        );
        Ok(Some(Slice {
            interval: object(json!({ "cursor": known.cursor })),
            gathered: Some(gathered),
            ..Slice::default()
        }))
    }

    fn counted(
        &self,
        known: &Known,
        table: String,
        row: Row,
        place: &Gathering,
    ) -> Option<Gathered> {
        let mut cells = row.f.into_iter().map(|cell| cell.v);
        let mut number = || match cells.next()? {
            Datum::Text(text) => text.parse::<i64>().ok(),
            _ => None,
        };
        let (rows, began) = (number()?, number());
        let newest = cells.next().and_then(|datum| {
            let cursor = self.cursor_name()?;
            let field = known.fields.iter().find(|field| field.name == cursor)?;
            text(&field.value(datum).ok()?)
        });
        Some(Gathered {
            table,
            rows: u64::try_from(rows).ok()?,
            newest,
            extracted_at: began.unwrap_or(place.extracted_at),
        })
    }
}

/// Makes a table of the rows that `select` gives, kept as the one they go to is.
fn creation(place: &Gathering, table: &str, select: &str, fields: &[Field]) -> String {
    let Gathering { layout, run, .. } = place;
    let began = moment(place.extracted_at, SignedDuration::ZERO);
    let expires = moment(place.extracted_at, LIFE);
    let name = full_name(place, table);
    let mut lines = vec![format!("CREATE OR REPLACE TABLE {name}")];
    if let Some(partition) = &layout.partition {
        lines.extend(partitioned(partition, fields));
    }
    if !layout.cluster.is_empty() {
        let columns = layout.cluster.iter().map(|column| quoted_name(column));
        let columns: Vec<String> = columns.collect();
        lines.push(format!("CLUSTER BY {}", columns.join(", ")));
    }
    lines.push(format!("OPTIONS (expiration_timestamp = {expires})"));
    lines.push(format!(
        "AS SELECT *, {} AS {RUN_ID}, {began} AS {EXTRACTED_AT}, CAST(NULL AS STRING) AS {RESCUED} FROM (",
        quoted(run)
    ));
    format!("{}\n{select}\n)", lines.join("\n"))
}

/// How many rows were gathered, when they say the run began, and the newest of their cursor.
fn count(place: &Gathering, table: &str, cursor: Option<&str>) -> String {
    let newest = cursor.map(|cursor| format!(", MAX({}) AS newest", quoted_name(cursor)));
    format!(
        "SELECT COUNT(*) AS n, MAX({EXTRACTED_AT}) AS began{} FROM {}",
        newest.unwrap_or_default(),
        full_name(place, table)
    )
}

fn full_name(place: &Gathering, table: &str) -> String {
    format!("`{}.{}.{table}`", place.project, place.dataset)
}

fn moment(micros: i64, later: SignedDuration) -> String {
    let moment = Timestamp::from_microsecond(micros).unwrap_or_default();
    let moment = moment.checked_add(later).unwrap_or(moment).to_string();
    CursorKind::Timestamp.literal(&moment).unwrap_or_default()
}

fn partitioned(partition: &Partitioning, fields: &[Field]) -> Option<String> {
    let column = partition.column.as_ref()?;
    let quoted = quoted_name(column);
    let field = fields.iter().find(|field| field.name == *column);
    let word = match field.map(|field| &field.kind) {
        Some(Kind::Date) if partition.granularity == Granularity::Day => {
            return Some(format!("PARTITION BY {quoted}"));
        }
        Some(Kind::Date) => "DATE",
        Some(Kind::Datetime) => "DATETIME",
        _ => "TIMESTAMP",
    };
    let part = partition.granularity.name();
    Some(format!("PARTITION BY {word}_TRUNC({quoted}, {part})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TableLayout;

    #[test]
    fn rows_are_gathered_in_the_layout_of_their_table() {
        let day = Field {
            name: "day".into(),
            kind: Kind::Date,
            repeated: false,
        };
        let place = Gathering {
            project: "p".into(),
            dataset: "d".into(),
            location: "EU".into(),
            layout: TableLayout {
                partition: Some(Partitioning {
                    column: Some("day".into()),
                    granularity: Granularity::Month,
                }),
                cluster: vec!["service".into()],
            },
            run: "r1".into(),
            extracted_at: 1_700_000_000_000_000,
        };
        insta::assert_snapshot!(creation(&place, "t", "SELECT * FROM `a.b.c`", &[day]), @r"
        CREATE OR REPLACE TABLE `p.d.t`
        PARTITION BY DATE_TRUNC(`day`, MONTH)
        CLUSTER BY `service`
        OPTIONS (expiration_timestamp = TIMESTAMP '2023-11-15 22:13:20+00:00')
        AS SELECT *, 'r1' AS _xetl_run_id, TIMESTAMP '2023-11-14 22:13:20+00:00' AS _xetl_extracted_at, CAST(NULL AS STRING) AS _xetl_rescued FROM (
        SELECT * FROM `a.b.c`
        )
        ");
        assert_eq!(
            count(&place, "t", Some("at")),
            "SELECT COUNT(*) AS n, MAX(_xetl_extracted_at) AS began, MAX(`at`) AS newest FROM `p.d.t`"
        );
    }
}
