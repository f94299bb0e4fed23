//! Values on their way into templates and back, and Python's dates among them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use crate::source::moment::{Moment, Span};
use crate::source::{python, strptime};
use crate::value;

/// A record's value as a template sees it.
pub fn to_template(value: &value::Value) -> Value {
    match value {
        value::Value::Null => Value::from(()),
        value::Value::Bool(value) => Value::from(*value),
        value::Value::Int(number) => Value::from(*number),
        value::Value::Number(digits) => number(digits),
        value::Value::String(text) => Value::from(text.as_str()),
        value::Value::Array(values) => Value::from_iter(values.iter().map(to_template)),
        value::Value::Object(fields) => Value::from_pairs(
            fields
                .iter()
                .map(|(key, value)| (key.as_str(), to_template(value))),
        ),
    }
}

fn number(digits: &str) -> Value {
    let whole = !digits.contains(['.', 'e', 'E']);
    match (whole, digits.parse::<i128>(), digits.parse::<f64>()) {
        (true, Ok(number), _) => Value::from(number),
        (_, _, Ok(number)) => Value::from(number),
        _ => Value::from(digits),
    }
}

/// A template's value as records have it.
pub fn from_template(value: &Value) -> value::Value {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => value::Value::Null,
        ValueKind::Bool => value::Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => value::Value::number(&value.to_string()),
        ValueKind::Number => {
            let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
            value::Value::Number(python::float(number).into())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().into_iter().flatten();
            value::Value::Array(items.map(|item| from_template(&item)).collect())
        }
        ValueKind::Map => value::Value::Object(fields(value)),
        _ => value::Value::String(value.to_string()),
    }
}

fn fields(value: &Value) -> value::Object {
    let keys = value.try_iter().into_iter().flatten();
    keys.filter_map(|key| {
        let field = value.get_item(&key).ok()?;
        Some((text(&key), from_template(&field)))
    })
    .collect()
}

/// `str(value)` as Python has it.
pub fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_undefined() => String::new(),
        None => python::text(&from_template(value)),
    }
}

/// A `datetime` or, without a time of day, a `date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dated {
    pub moment: Moment,
    pub has_time: bool,
}

impl Dated {
    pub fn value(moment: Moment) -> Value {
        Value::from_object(Dated {
            moment,
            has_time: true,
        })
    }

    /// The day of `moment` where it is written.
    pub fn day(moment: Moment) -> Value {
        let civil = moment.civil().date().at(0, 0, 0, 0);
        let at = moment.offset.to_timestamp(civil).unwrap_or(moment.at);
        Value::from_object(Dated {
            moment: Moment { at, ..moment },
            has_time: false,
        })
    }

    /// This with other parts, by their names.
    fn replaced(&self, parts: &Kwargs) -> Result<Value, Error> {
        let civil = self.moment.civil();
        let part = |name: &str, now: i64| match parts.has(name) {
            true => parts.get::<i64>(name),
            false => Ok(now),
        };
        let micros = part("microsecond", i64::from(civil.subsec_nanosecond() / 1000))?;
        let replaced = jiff::civil::DateTime::new(
            part("year", civil.year().into())? as i16,
            part("month", civil.month().into())? as i8,
            part("day", civil.day().into())? as i8,
            part("hour", civil.hour().into())? as i8,
            part("minute", civil.minute().into())? as i8,
            part("second", civil.second().into())? as i8,
            (micros * 1000) as i32,
        );
        let at = replaced.and_then(|civil| self.moment.offset.to_timestamp(civil));
        let at = at.map_err(|error| Error::new(ErrorKind::CannotUnpack, error.to_string()))?;
        Ok(Value::from_object(Dated {
            moment: Moment { at, ..self.moment },
            ..*self
        }))
    }

    fn iso(&self, between: char) -> String {
        if !self.has_time {
            return strptime::format(self.moment, "%Y-%m-%d");
        }
        let fraction = match self.moment.civil().subsec_nanosecond() / 1000 {
            0 => "",
            _ => ".%f",
        };
        let format = format!("%Y-%m-%d{between}%H:%M:%S{fraction}");
        let zone = strptime::offset_text(self.moment.offset, ":");
        strptime::format(self.moment, &format) + &zone
    }
}

impl Object for Dated {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let civil = self.moment.civil();
        Some(match key.as_str()? {
            "year" => Value::from(civil.year()),
            "month" => Value::from(civil.month()),
            "day" => Value::from(civil.day()),
            "hour" => Value::from(civil.hour()),
            "minute" => Value::from(civil.minute()),
            "second" => Value::from(civil.second()),
            "microsecond" => Value::from(civil.subsec_nanosecond() / 1000),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        Ok(match method {
            "strftime" => {
                let (format,): (&str,) = from_args(args)?;
                Value::from(strptime::format(self.moment, format))
            }
            "isoformat" => Value::from(self.iso('T')),
            "timestamp" => Value::from(self.moment.at.as_microsecond() as f64 / 1e6),
            "date" => Dated::day(self.moment),
            "replace" => {
                let (parts,): (Kwargs,) = from_args(args)?;
                self.replaced(&parts)?
            }
            "weekday" => {
                let day = self.moment.civil().weekday();
                Value::from(day.to_monday_zero_offset())
            }
            "isoweekday" => Value::from(self.moment.civil().weekday().to_monday_one_offset()),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some((**self).cmp(other.downcast_ref::<Self>()?))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.iso(' '))
    }
}

/// A `timedelta`, or a duration with months.
#[derive(Debug, Clone, Copy)]
pub struct Delta(pub Span);

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let day = 86_400_000_000;
        Some(match key.as_str()? {
            "days" => Value::from(self.0.micros.div_euclid(day)),
            "seconds" => Value::from(self.0.micros.rem_euclid(day) / 1_000_000),
            "microseconds" => Value::from(self.0.micros.rem_euclid(1_000_000)),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "total_seconds" => Ok(Value::from(self.0.seconds())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.months / 12 {
            0 => {}
            years => write!(out, "{years} years, ")?,
        }
        match self.0.months % 12 {
            0 => {}
            1 => out.write_str("1 month, ")?,
            months => write!(out, "{months} months, ")?,
        }
        let days = self.0.micros.div_euclid(86_400_000_000);
        let rest = self.0.micros.rem_euclid(86_400_000_000);
        match days {
            0 => {}
            1 | -1 => write!(out, "{days} day, ")?,
            _ => write!(out, "{days} days, ")?,
        }
        let seconds = rest / 1_000_000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(out, "{hours}:{minutes:02}:{:02}", seconds % 60)?;
        match rest % 1_000_000 {
            0 => Ok(()),
            micros => write!(out, ".{micros:06}"),
        }
    }
}
