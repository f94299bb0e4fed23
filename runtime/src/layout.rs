//! How a table is kept: its partitions and clusters, and which partitions rows fall into.
//!
//! Pure: options and columns in, BigQuery's terms and SQL out.

pub mod touched;

use serde::{Deserialize, Serialize};

use crate::options::{Granularity, OptionError, Settled};
use crate::schema::{Column, EXTRACTED_AT, Kind, TableSchema};

/// The words for times that are no field's.
const EXTRACTION_TIME: &str = "extraction_time";
const INGESTION_TIME: &str = "ingestion_time";

/// How a table is kept, in BigQuery's terms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableLayout {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partitioning>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
}

/// A table's parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// The column; none for the time BigQuery takes a row in.
    pub column: Option<String>,
    pub granularity: Granularity,
}

impl Granularity {
    /// BigQuery's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Granularity::Hour => "HOUR",
            Granularity::Day => "DAY",
            Granularity::Month => "MONTH",
            Granularity::Year => "YEAR",
        }
    }
}

impl std::fmt::Display for Partitioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = self.column.as_deref().unwrap_or("the time of ingestion");
        write!(f, "{by}, by {}", self.granularity.name())
    }
}

/// The layout these options ask for, of a table with these columns.
pub fn layout(options: &Settled, schema: &TableSchema) -> Result<TableLayout, OptionError> {
    let partition = match &options.partition {
        None => None,
        Some(partition) => Some(Partitioning {
            column: partition_column(schema, &partition.by, partition.granularity)?,
            granularity: partition.granularity,
        }),
    };
    let clustered = |field: &String| clustered(schema, field);
    Ok(TableLayout {
        partition,
        cluster: options
            .cluster
            .iter()
            .map(clustered)
            .collect::<Result<_, _>>()?,
    })
}

fn partition_column(
    schema: &TableSchema,
    by: &str,
    granularity: Granularity,
) -> Result<Option<String>, OptionError> {
    match by {
        INGESTION_TIME => return Ok(None),
        EXTRACTION_TIME | EXTRACTED_AT => return Ok(Some(EXTRACTED_AT.to_owned())),
        _ => {}
    }
    let column = named(schema, "partition.by", by)?;
    let wrong = |wanted| wrong_type("partition.by", column, wanted);
    match column.kind {
        _ if column.repeated => Err(wrong("a table is partitioned by a date or a time")),
        Kind::Date if granularity == Granularity::Hour => {
            Err(wrong("a date has no hours: take `granularity: day`"))
        }
        Kind::Date | Kind::Datetime | Kind::Timestamp => Ok(Some(column.name.clone())),
        _ => Err(wrong("a table is partitioned by a date or a time")),
    }
}

fn clustered(schema: &TableSchema, field: &str) -> Result<String, OptionError> {
    let column = named(schema, "cluster", field)?;
    let fits = !column.repeated
        && !matches!(
            column.kind,
            Kind::Float64 | Kind::Struct(_) | Kind::Time | Kind::Bytes
        );
    match fits {
        true => Ok(column.name.clone()),
        false => Err(wrong_type(
            "cluster",
            column,
            "BigQuery cannot sort a table by it",
        )),
    }
}

/// The column an option names: by its field, or by its own name.
pub fn named<'s>(
    schema: &'s TableSchema,
    option: &'static str,
    field: &str,
) -> Result<&'s Column, OptionError> {
    let by_name = || schema.columns.iter().find(|column| column.name == field);
    let column = schema.column_of(field).or_else(by_name);
    column.ok_or_else(|| OptionError::UnknownField {
        option,
        field: field.to_owned(),
        known: schema
            .columns
            .iter()
            .map(|column| column.field.clone())
            .collect(),
    })
}

fn wrong_type(option: &'static str, column: &Column, wanted: &'static str) -> OptionError {
    OptionError::WrongType {
        option,
        field: column.field.clone(),
        kind: match column.repeated {
            true => "an array",
            false => column.kind.sql(),
        },
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StreamOptions;
    use crate::schema::declared;
    use crate::stream::StreamInfo;
    use serde_json::json;

    fn laid_out(options: serde_json::Value) -> Result<TableLayout, String> {
        let schema = declared::table_schema(&json!({"properties": {
            "id": {"type": "integer"},
            "created-at": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "rate": {"type": "number"},
        }}));
        let info = StreamInfo {
            name: "invoices".into(),
            primary_key: Vec::new(),
            cursor_field: None,
            schema: serde_json::Value::Null,
            types: serde_json::Value::Null,
            mode: None,
        };
        let options: StreamOptions = serde_json::from_value(options).unwrap();
        layout(&Settled::of(&info, &options).unwrap(), &schema.unwrap())
            .map_err(|error| error.to_string())
    }

    fn partitioned(by: &str, granularity: &str) -> Result<Partitioning, String> {
        let options = json!({"partition": {"by": by, "granularity": granularity}});
        laid_out(options).map(|layout| layout.partition.unwrap())
    }

    #[test]
    fn a_field_is_named_by_the_column_it_goes_to() {
        let of = |column: Option<&str>, granularity| {
            Ok(Partitioning {
                column: column.map(str::to_owned),
                granularity,
            })
        };
        let created = of(Some("created_at"), Granularity::Hour);
        assert_eq!(partitioned("created-at", "hour"), created);
        assert_eq!(partitioned("created_at", "hour"), created);
        assert_eq!(
            partitioned("extraction_time", "day"),
            of(Some(EXTRACTED_AT), Granularity::Day)
        );
        assert_eq!(
            partitioned("ingestion_time", "month"),
            of(None, Granularity::Month)
        );
    }

    #[test]
    fn what_no_table_can_be_kept_by_is_said() {
        insta::assert_snapshot!(partitioned("created", "day").unwrap_err(), @"`partition.by` names `created`, and the stream has no such field; it has: id, created-at, day, rate");
        insta::assert_snapshot!(partitioned("id", "day").unwrap_err(), @"`partition.by` names `id`, which is INT64; a table is partitioned by a date or a time");
        insta::assert_snapshot!(partitioned("day", "hour").unwrap_err(), @"`partition.by` names `day`, which is DATE; a date has no hours: take `granularity: day`");
        insta::assert_snapshot!(laid_out(json!({"cluster": ["id", "rate"]})).unwrap_err(), @"`cluster` names `rate`, which is FLOAT64; BigQuery cannot sort a table by it");
    }
}
