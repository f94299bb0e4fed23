//! How a table is divided: which partition a row is in, what a partition is
//! called, and when it has expired.
//!
//! Pure, over settings and batches; `layout` holds settings against columns.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use serde_json::Value;

use super::resource::Object;
use super::schema::{Mode, Schema, Type};
use crate::error::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Hour,
    Day,
    Month,
    Year,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Partitioning {
    /// By a column, or by the time rows came in.
    Time {
        unit: Unit,
        field: Option<String>,
        expiration_ms: Option<i64>,
    },
    Range {
        field: String,
        start: i64,
        end: i64,
        interval: i64,
    },
}

/// A partition: `None` holds the NULLs.
pub type Id = Option<i64>;

const DAY_MS: i64 = 86_400_000;

pub fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

pub fn invalid<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::invalid(message))
}

impl Unit {
    fn of(name: &str) -> Result<Unit, ApiError> {
        match name {
            "HOUR" => Ok(Unit::Hour),
            "DAY" => Ok(Unit::Day),
            "MONTH" => Ok(Unit::Month),
            "YEAR" => Ok(Unit::Year),
            other => invalid(format!(
                "Invalid value for timePartitioning.type: \"{other}\"; HOUR, DAY, MONTH and YEAR are supported"
            )),
        }
    }

    fn of_ms(self, ms: i64) -> i64 {
        let day = ms.div_euclid(DAY_MS);
        match self {
            Unit::Hour => ms.div_euclid(3_600_000),
            Unit::Day => day,
            Unit::Month => months(day),
            Unit::Year => months(day).div_euclid(12),
        }
    }

    /// The moment after a partition.
    fn end_ms(self, id: i64) -> i64 {
        match self {
            Unit::Hour => (id + 1) * 3_600_000,
            Unit::Day => (id + 1) * DAY_MS,
            Unit::Month => first_day(id + 1) * DAY_MS,
            Unit::Year => first_day((id + 1) * 12) * DAY_MS,
        }
    }

    /// Digits of a partition's name.
    fn digits(self) -> usize {
        match self {
            Unit::Hour => 10,
            Unit::Day => 8,
            Unit::Month => 6,
            Unit::Year => 4,
        }
    }

    fn name(self, id: i64) -> String {
        let ms = self.end_ms(id - 1);
        let text = super::values::datetime(ms * 1000, 'T');
        let digits = text.chars().filter(char::is_ascii_digit);
        digits.take(self.digits()).collect()
    }
}

/// Months since year 0 of a day since 1970.
fn months(day: i64) -> i64 {
    let text = super::values::date(i32::try_from(day).unwrap_or(0));
    let mut parts = text.splitn(3, '-').map(|part| part.parse().unwrap_or(0));
    let (year, month): (i64, i64) = (parts.next().unwrap_or(0), parts.next().unwrap_or(1));
    year * 12 + month - 1
}

/// The day since 1970 on which a month begins.
fn first_day(month: i64) -> i64 {
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let date = jiff::civil::Date::new(year as i16, month as i8, 1).ok();
    let since = date.and_then(|date| date.since(jiff::civil::date(1970, 1, 1)).ok());
    since.map_or(0, |span| i64::from(span.get_days()))
}

impl Partitioning {
    pub fn of(settings: &Object) -> Result<Option<Partitioning>, ApiError> {
        let given = |name: &str| settings.get(name).filter(|value| !value.is_null());
        match (given("timePartitioning"), given("rangePartitioning")) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                invalid("Only one of timePartitioning and rangePartitioning should be set")
            }
            (Some(time), None) => time_partitioning(time).map(Some),
            (None, Some(range)) => range_partitioning(range).map(Some),
        }
    }

    pub fn field(&self) -> Option<&str> {
        match self {
            Partitioning::Time { field, .. } => field.as_deref(),
            Partitioning::Range { field, .. } => Some(field),
        }
    }

    pub fn check(&self, schema: &Schema) -> Result<(), ApiError> {
        let Some(name) = self.field() else {
            return Ok(());
        };
        let Some(field) = schema.field(name) else {
            return invalid(format!(
                "The field specified for partitioning cannot be found in the schema: {name}"
            ));
        };
        let fits = match self {
            Partitioning::Range { .. } => field.kind == Type::Integer,
            Partitioning::Time { unit, .. } => match field.kind {
                Type::Date => *unit != Unit::Hour,
                Type::Timestamp | Type::Datetime => true,
                _ => false,
            },
        };
        if !fits || field.mode == Mode::Repeated {
            return invalid(format!(
                "The field specified for partitioning has an unsupported type: {name} {}. {}",
                field.sql_type(),
                self.wanted()
            ));
        }
        Ok(())
    }

    fn wanted(&self) -> &'static str {
        match self {
            Partitioning::Range { .. } => {
                "Range partitioning is by a top-level INTEGER column that is not REPEATED."
            }
            Partitioning::Time { .. } => {
                "Time partitioning is by a top-level TIMESTAMP or DATETIME column, or by a DATE one unless by HOUR."
            }
        }
    }

    /// The partition of each row; `None` where the rows do not tell it.
    pub fn ids(&self, batch: &RecordBatch) -> Option<Vec<Id>> {
        let name = self.field()?;
        let schema = batch.schema();
        let index = schema
            .fields()
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(name))?;
        let column = batch.column(index);
        let ids = (0..column.len()).map(|row| self.id(column, row));
        Some(ids.collect())
    }

    fn id(&self, column: &ArrayRef, row: usize) -> Id {
        if column.is_null(row) {
            return None;
        }
        match (self, column.data_type()) {
            (Partitioning::Time { unit, .. }, DataType::Date32) => {
                let day = i64::from(column.as_primitive::<Date32Type>().value(row));
                Some(unit.of_ms(day * DAY_MS))
            }
            (Partitioning::Time { unit, .. }, DataType::Timestamp(..)) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                Some(unit.of_ms(micros.div_euclid(1000)))
            }
            (
                Partitioning::Range {
                    start,
                    end,
                    interval,
                    ..
                },
                DataType::Int64,
            ) => {
                let value = column.as_primitive::<Int64Type>().value(row);
                let inside = (*start..*end).contains(&value);
                // Values outside the range share one partition.
                Some(if inside {
                    start + (value - start).div_euclid(*interval) * interval
                } else {
                    i64::MIN
                })
            }
            _ => None,
        }
    }

    /// The partition that rows come into at `now` when no column tells.
    pub fn arrival(&self, now_ms: i64) -> Id {
        match self {
            Partitioning::Time { unit, .. } => Some(unit.of_ms(now_ms)),
            Partitioning::Range { .. } => None,
        }
    }

    /// The partition after the `$` of a table's name.
    pub fn decorated(&self, name: &str) -> Result<Id, ApiError> {
        let bad = || {
            ApiError::invalid(format!(
                "Invalid partition decorator `${name}` for the table's partitioning"
            ))
        };
        if name == "__NULL__" {
            return Ok(None);
        }
        match self {
            Partitioning::Time { unit, .. } => {
                let digits =
                    name.len() == unit.digits() && name.chars().all(|c| c.is_ascii_digit());
                let found = digits.then(|| moment(name)).flatten();
                found.map(|ms| Some(unit.of_ms(ms))).ok_or_else(bad)
            }
            Partitioning::Range {
                start, interval, ..
            } => {
                let value: i64 = name.parse().map_err(|_| bad())?;
                let aligned = (value - start).rem_euclid(*interval) == 0;
                aligned.then_some(Some(value)).ok_or_else(bad)
            }
        }
    }

    /// A partition's name, as `INFORMATION_SCHEMA.PARTITIONS` has it.
    pub fn name(&self, id: Id) -> String {
        match (self, id) {
            (_, None) => "__NULL__".to_owned(),
            (Partitioning::Range { .. }, Some(i64::MIN)) => "__UNPARTITIONED__".to_owned(),
            (Partitioning::Range { .. }, Some(start)) => start.to_string(),
            (Partitioning::Time { unit, .. }, Some(id)) => unit.name(id),
        }
    }

    /// Whether a partition is past its life.
    pub fn expired(&self, id: Id, now_ms: i64) -> bool {
        match (self, id) {
            (
                Partitioning::Time {
                    unit,
                    expiration_ms: Some(life),
                    ..
                },
                Some(id),
            ) => unit.end_ms(id).saturating_add(*life) < now_ms,
            _ => false,
        }
    }

    pub fn expires(&self) -> bool {
        matches!(
            self,
            Partitioning::Time {
                expiration_ms: Some(_),
                ..
            }
        )
    }
}

/// The moment a partition's name (`2024`, .., `2024013123`) stands for.
fn moment(name: &str) -> Option<i64> {
    let part = |at: std::ops::Range<usize>, default: i8| match name.get(at) {
        Some(digits) => digits.parse().ok(),
        None => Some(default),
    };
    let year: i16 = name.get(..4)?.parse().ok()?;
    let date = jiff::civil::Date::new(year, part(4..6, 1)?, part(6..8, 1)?).ok()?;
    let at = jiff::civil::Time::new(part(8..10, 0)?, 0, 0, 0).ok()?;
    let zoned = date
        .to_datetime(at)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(zoned.timestamp().as_millisecond())
}

fn time_partitioning(time: &Value) -> Result<Partitioning, ApiError> {
    let expiration_ms = match &time["expirationMs"] {
        Value::Null => None,
        given => number(given).filter(|ms| *ms != 0),
    };
    if expiration_ms.is_some_and(|ms| ms < 0) {
        return invalid("timePartitioning.expirationMs must not be negative");
    }
    Ok(Partitioning::Time {
        unit: Unit::of(time["type"].as_str().unwrap_or("DAY"))?,
        field: time["field"].as_str().map(str::to_owned),
        expiration_ms,
    })
}

fn range_partitioning(range: &Value) -> Result<Partitioning, ApiError> {
    let bounds = &range["range"];
    let (Some(field), Some(start), Some(end), Some(interval)) = (
        range["field"].as_str(),
        number(&bounds["start"]),
        number(&bounds["end"]),
        number(&bounds["interval"]),
    ) else {
        return invalid("rangePartitioning needs field and range.start, range.end, range.interval");
    };
    if interval <= 0 || start >= end {
        return invalid(
            "rangePartitioning.range: start must be less than end, and interval greater than 0",
        );
    }
    Ok(Partitioning::Range {
        field: field.to_owned(),
        start,
        end,
        interval,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    fn by(kind: &str) -> Partitioning {
        let settings = json!({"timePartitioning": {"type": kind, "field": "at"}});
        Partitioning::of(&object(settings)).unwrap().unwrap()
    }

    #[test]
    fn decorators_name_partitions() {
        for (kind, name) in [
            ("HOUR", "2024013123"),
            ("DAY", "20240131"),
            ("MONTH", "202401"),
            ("YEAR", "2024"),
        ] {
            let by = by(kind);
            let id = by.decorated(name).unwrap();
            assert_eq!(by.name(id), name);
            assert!(by.decorated(&name[1..]).is_err());
        }
        assert!(by("DAY").decorated("20240231").is_err());
        assert_eq!(by("DAY").decorated("19700102").unwrap(), Some(1));
    }

    #[test]
    fn a_partition_expires_a_while_after_its_end() {
        let settings =
            json!({"timePartitioning": {"type": "DAY", "field": "at", "expirationMs": "1000"}});
        let by = Partitioning::of(&object(settings)).unwrap().unwrap();
        assert!(!by.expired(Some(0), DAY_MS + 999));
        assert!(by.expired(Some(0), DAY_MS + 1001));
        assert!(!by.expired(None, i64::MAX));
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let month = Unit::Month.of_ms(0);
        assert_eq!(Unit::Month.end_ms(month), 31 * DAY_MS);
        assert_eq!(Unit::Year.end_ms(1970), 365 * DAY_MS);
    }
}
