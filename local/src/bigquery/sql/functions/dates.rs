//! DATE, DATETIME and TIMESTAMP functions over columns.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::super::types::{datetime, timestamp};
use super::moments::{self, Part};
use super::{Call, Spec, arity};

macro_rules! specs {
    ($($name:literal: $least:literal..=$most:literal => $result:expr, $call:expr;)*) => {
        &[$(Spec { name: $name, result: |types| arity(types, $least, $most, ($result)(types)), call: $call }),*]
    };
}

pub const ALL: &[Spec] = specs! {
    "date": 1..=3 => |_| DataType::Date32, |call| made(call, Kind::Date);
    "datetime": 1..=6 => |_| datetime(), |call| made(call, Kind::Datetime);
    "timestamp": 1..=2 => |_| timestamp(), |call| made(call, Kind::Timestamp);
    "date_trunc": 2..=3 => first, |call| mapped(call, |_, at, part| moments::truncate(at, part));
    "timestamp_trunc": 2..=3 => first, |call| mapped(call, |_, at, part| moments::truncate(at, part));
    "datetime_trunc": 2..=2 => first, |call| mapped(call, |_, at, part| moments::truncate(at, part));
    "date_add": 3..=3 => first, |call| shifted(call, 1);
    "date_sub": 3..=3 => first, |call| shifted(call, -1);
    "timestamp_add": 3..=3 => first, |call| shifted(call, 1);
    "timestamp_sub": 3..=3 => first, |call| shifted(call, -1);
    "datetime_add": 3..=3 => first, |call| shifted(call, 1);
    "datetime_sub": 3..=3 => first, |call| shifted(call, -1);
    "date_diff": 3..=3 => |_| DataType::Int64, difference;
    "datetime_diff": 3..=3 => |_| DataType::Int64, difference;
    "timestamp_diff": 3..=3 => |_| DataType::Int64, timestamp_difference;
    "last_day": 1..=2 => |_| DataType::Date32, last_day;
    "extract": 2..=3 => extracted_type, extract;
    "format_date": 2..=2 => |_| DataType::Utf8, format;
    "format_datetime": 2..=2 => |_| DataType::Utf8, format;
    "format_timestamp": 2..=3 => |_| DataType::Utf8, format;
    "parse_date": 2..=2 => |_| DataType::Date32, |call| parsed(call, Kind::Date);
    "parse_datetime": 2..=2 => |_| datetime(), |call| parsed(call, Kind::Datetime);
    "parse_timestamp": 2..=3 => |_| timestamp(), |call| parsed(call, Kind::Timestamp);
    "unix_seconds": 1..=1 => |_| DataType::Int64, |call| unix(call, 1_000_000);
    "unix_millis": 1..=1 => |_| DataType::Int64, |call| unix(call, 1_000);
    "unix_micros": 1..=1 => |_| DataType::Int64, |call| unix(call, 1);
    "unix_date": 1..=1 => |_| DataType::Int64, |call| Ok(cast(&cast(&call.args[0], &DataType::Int32)?, &DataType::Int64)?);
    "timestamp_seconds": 1..=1 => |_| timestamp(), |call| of_unix(call, 1_000_000);
    "timestamp_millis": 1..=1 => |_| timestamp(), |call| of_unix(call, 1_000);
    "timestamp_micros": 1..=1 => |_| timestamp(), |call| of_unix(call, 1);
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Datetime,
    Timestamp,
}

fn raised(what: String) -> DataFusionError {
    DataFusionError::Execution(what)
}

/// Results have the type of the first argument; text is read as a DATE.
fn first(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Timestamp(_, None)) => datetime(),
        Some(DataType::Timestamp(_, Some(_))) => timestamp(),
        _ => DataType::Date32,
    }
}

/// A column of days or moments, read as wall clocks.
struct Clocks {
    kind: Kind,
    days: Option<Date32Array>,
    micros: Option<TimestampMicrosecondArray>,
}

impl Clocks {
    fn of(array: &ArrayRef) -> Result<Clocks> {
        let kind = match array.data_type() {
            DataType::Timestamp(_, None) => Kind::Datetime,
            DataType::Timestamp(_, Some(_)) => Kind::Timestamp,
            _ => Kind::Date,
        };
        let mut clocks = Clocks {
            kind,
            days: None,
            micros: None,
        };
        if kind == Kind::Date {
            clocks.days = Some(
                cast(array, &DataType::Date32)?
                    .as_primitive::<Date32Type>()
                    .clone(),
            );
        } else {
            let zone = if kind == Kind::Timestamp {
                Some("UTC".into())
            } else {
                None
            };
            let array = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
            clocks.micros = Some(array.as_primitive::<TimestampMicrosecondType>().clone());
        }
        Ok(clocks)
    }

    fn at(&self, row: usize, zone: &TimeZone) -> Result<DateTime> {
        let zone = if self.kind == Kind::Timestamp {
            zone
        } else {
            &TimeZone::UTC
        };
        let found = match (&self.days, &self.micros) {
            (Some(days), _) => moments::date(days.value(row)).map(|date| date.at(0, 0, 0, 0)),
            (_, Some(micros)) => moments::civil(micros.value(row), zone),
            _ => Err("no column".to_owned()),
        };
        found.map_err(raised)
    }
}

/// A column of `kind` from wall clocks.
fn column(
    call: &Call,
    kind: Kind,
    zone: &TimeZone,
    mut at: impl FnMut(usize) -> Result<DateTime>,
) -> Result<ArrayRef> {
    if kind == Kind::Date {
        let days: Date32Array =
            call.each(|row| moments::days(at(row)?.date()).map(Some).map_err(raised))?;
        return Ok(Arc::new(days));
    }
    let zone = if kind == Kind::Timestamp {
        zone
    } else {
        &TimeZone::UTC
    };
    let micros: TimestampMicrosecondArray =
        call.each(|row| moments::moment(at(row)?, zone).map(Some).map_err(raised))?;
    Ok(match kind {
        Kind::Timestamp => Arc::new(micros.with_timezone("UTC")),
        _ => Arc::new(micros),
    })
}

fn zone_argument(call: &Call, at: usize) -> Result<TimeZone> {
    match call.args.len() > at {
        true => moments::zone(&call.text(at)?).map_err(raised),
        false => Ok(TimeZone::UTC),
    }
}

fn part(call: &Call, at: usize) -> Result<Part> {
    Part::parse(&call.text(at)?).map_err(raised)
}

/// `DATE(x)`, `DATE(x, zone)`, `DATE(2024, 5, 15)` and the like.
fn made(call: &Call, kind: Kind) -> Result<ArrayRef> {
    if call.args[0].data_type().is_integer() {
        return from_numbers(call, kind);
    }
    let wanted = if kind == Kind::Date {
        DataType::Date32
    } else {
        datetime()
    };
    let text = matches!(
        call.args[0].data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let source = match (text, kind) {
        (true, Kind::Timestamp) if call.args.len() == 1 => cast(&call.args[0], &timestamp())?,
        (true, _) => cast(&call.args[0], &wanted)?,
        _ => Arc::clone(&call.args[0]),
    };
    let zone = zone_argument(call, 1)?;
    let clocks = Clocks::of(&source)?;
    column(call, kind, &zone, |row| clocks.at(row, &zone))
}

fn from_numbers(call: &Call, kind: Kind) -> Result<ArrayRef> {
    let numbers = (0..call.args.len())
        .map(|at| call.integers(at))
        .collect::<Result<Vec<_>>>()?;
    let number = |at: usize, row: usize, least: i64| {
        numbers.get(at).map_or(least, |column| column.value(row))
    };
    let small = |value: i64| i8::try_from(value).unwrap_or(-1);
    column(call, kind, &TimeZone::UTC, |row| {
        let year = i16::try_from(number(0, row, 1970)).unwrap_or(i16::MIN);
        let date = Date::new(year, small(number(1, row, 1)), small(number(2, row, 1)));
        let time = jiff::civil::Time::new(
            small(number(3, row, 0)),
            small(number(4, row, 0)),
            small(number(5, row, 0)),
            0,
        );
        let at = date.and_then(|date| Ok(date.to_datetime(time?)));
        at.map_err(|error| raised(format!("Input calculates to invalid date or time: {error}")))
    })
}

fn mapped(
    call: &Call,
    change: fn(&Call, DateTime, Part) -> Result<DateTime, String>,
) -> Result<ArrayRef> {
    let (part, zone) = (part(call, 1)?, zone_argument(call, 2)?);
    let clocks = Clocks::of(&call.args[0])?;
    column(call, clocks.kind, &zone, |row| {
        change(call, clocks.at(row, &zone)?, part).map_err(raised)
    })
}

fn shifted(call: &Call, sign: i64) -> Result<ArrayRef> {
    let (counts, part) = (call.integers(1)?, part(call, 2)?);
    let clocks = Clocks::of(&call.args[0])?;
    column(call, clocks.kind, &TimeZone::UTC, |row| {
        let at = clocks.at(row, &TimeZone::UTC)?;
        moments::shift(at, counts.value(row) * sign, part).map_err(raised)
    })
}

fn difference(call: &Call) -> Result<ArrayRef> {
    let part = part(call, 2)?;
    let (to, from) = (Clocks::of(&call.args[0])?, Clocks::of(&call.args[1])?);
    let counts: Int64Array = call.each(|row| {
        let (to, from) = (to.at(row, &TimeZone::UTC)?, from.at(row, &TimeZone::UTC)?);
        moments::boundaries(to, from, part)
            .map(Some)
            .map_err(raised)
    })?;
    Ok(Arc::new(counts))
}

fn timestamp_difference(call: &Call) -> Result<ArrayRef> {
    let part = part(call, 2)?;
    let micros = |at: usize| cast(&cast(&call.args[at], &timestamp())?, &DataType::Int64);
    let (to, from) = (micros(0)?, micros(1)?);
    let (to, from) = (
        Int64Array::from(to.to_data()),
        Int64Array::from(from.to_data()),
    );
    let counts: Int64Array = call.each(|row| {
        moments::whole_parts(to.value(row), from.value(row), part)
            .map(Some)
            .map_err(raised)
    })?;
    Ok(Arc::new(counts))
}

/// The day before the next part begins.
fn last_day(call: &Call) -> Result<ArrayRef> {
    let part = if call.args.len() > 1 {
        part(call, 1)?
    } else {
        Part::Month
    };
    let clocks = Clocks::of(&call.args[0])?;
    column(call, Kind::Date, &TimeZone::UTC, |row| {
        let start = moments::truncate(clocks.at(row, &TimeZone::UTC)?, part).map_err(raised)?;
        let next = moments::shift(start, 1, part).map_err(raised)?;
        moments::shift(next, -1, Part::Day).map_err(raised)
    })
}

/// DATE and DATETIME parts cannot be told from the others by type, so they are cast instead.
fn extracted_type(_: &[DataType]) -> DataType {
    DataType::Int64
}

fn extract(call: &Call) -> Result<ArrayRef> {
    let (name, zone) = (call.text(1)?, zone_argument(call, 2)?);
    let clocks = Clocks::of(&call.args[0])?;
    let numbers: Int64Array = call.each(|row| {
        moments::extract(clocks.at(row, &zone)?, &name)
            .map(Some)
            .map_err(raised)
    })?;
    Ok(Arc::new(numbers))
}

fn format(call: &Call) -> Result<ArrayRef> {
    let (patterns, zone) = (call.texts(0)?, zone_argument(call, 2)?);
    let clocks = Clocks::of(&call.args[1])?;
    let texts: StringArray = call.each(|row| {
        let at = clocks.at(row, &zone)?;
        moments::format(patterns.value(row), at, &zone)
            .map(Some)
            .map_err(raised)
    })?;
    Ok(Arc::new(texts))
}

fn parsed(call: &Call, kind: Kind) -> Result<ArrayRef> {
    let (patterns, texts, zone) = (call.texts(0)?, call.texts(1)?, zone_argument(call, 2)?);
    column(call, kind, &TimeZone::UTC, |row| {
        let (at, own) = moments::parse(patterns.value(row), texts.value(row)).map_err(raised)?;
        match kind {
            Kind::Timestamp => {
                let micros = moments::moment(at, own.as_ref().unwrap_or(&zone)).map_err(raised)?;
                moments::civil(micros, &TimeZone::UTC).map_err(raised)
            }
            _ => Ok(at),
        }
    })
}

fn unix(call: &Call, length: i64) -> Result<ArrayRef> {
    let micros = cast(&cast(&call.args[0], &timestamp())?, &DataType::Int64)?;
    let micros = Int64Array::from(micros.to_data());
    let counts: Int64Array = call.each(|row| Ok(Some(micros.value(row).div_euclid(length))))?;
    Ok(Arc::new(counts))
}

fn of_unix(call: &Call, length: i64) -> Result<ArrayRef> {
    let counts = call.integers(0)?;
    let micros: TimestampMicrosecondArray =
        call.each(|row| match counts.value(row).checked_mul(length) {
            Some(micros) => Ok(Some(micros)),
            None => Err(raised(format!(
                "TIMESTAMP value is out of allowed range: {}",
                counts.value(row)
            ))),
        })?;
    Ok(Arc::new(micros.with_timezone("UTC")))
}
