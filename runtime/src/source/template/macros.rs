//! The functions templates can call, as the reference's macros.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::source::moment::{Moment, Span};
use crate::source::{isoparse, strptime};

use super::comparison::comparable;
use super::objects::{Dated, Delta};

/// What `urllib.parse.quote_plus` leaves as it is, but for the space.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b' ');

pub fn add(environment: &mut Environment<'_>) {
    environment.add_function("now_utc", || Dated::value(Moment::now()));
    environment.add_function("today_utc", || Dated::day(Moment::now()));
    environment.add_function("today_with_timezone", today_with_timezone);
    environment.add_function("timestamp", timestamp);
    environment.add_function("str_to_datetime", |text: &str| {
        str_to_datetime(text).map(Dated::value)
    });
    environment.add_function("max", |values: Rest<Value>| pick(values, |a, b| a > b));
    environment.add_function("min", |values: Rest<Value>| pick(values, |a, b| a < b));
    environment.add_function("day_delta", day_delta);
    environment.add_function("duration", duration);
    environment.add_function("format_datetime", format_datetime);
    environment.add_function("sanitize_url", |text: &str| quote_plus(text));
    environment.add_function("camel_case_to_snake_case", snake_case);
    environment.add_function("generate_uuid", || uuid::Uuid::new_v4().to_string());
}

/// Percent-encoding as in a form.
pub fn quote_plus(text: &str) -> String {
    utf8_percent_encode(text, QUOTED)
        .to_string()
        .replace(' ', "+")
}

/// A Python exception that is no `TypeError`, so that the template fails.
fn exception(problem: String) -> Error {
    Error::new(ErrorKind::CannotUnpack, problem)
}

fn today_with_timezone(name: &str) -> Result<Value, Error> {
    let zone = jiff::tz::TimeZone::get(name).map_err(|error| exception(error.to_string()))?;
    let at = jiff::Timestamp::now();
    let offset = zone.to_offset(at);
    Ok(Dated::day(Moment { at, offset }))
}

fn timestamp(value: Value) -> Result<Value, Error> {
    if value.is_integer() {
        return Ok(value);
    }
    if value.kind() == ValueKind::Bool {
        return Ok(Value::from(i64::from(value.is_true())));
    }
    if let (ValueKind::Number, Ok(number)) = (value.kind(), f64::try_from(value.clone())) {
        return Ok(Value::from(number as i64));
    }
    let moment = moment(&value)?;
    Ok(Value::from(moment.at.as_microsecond() as f64 / 1e6))
}

fn moment(value: &Value) -> Result<Moment, Error> {
    match (value.downcast_object_ref::<Dated>(), value.as_str()) {
        (Some(dated), _) => Ok(dated.moment),
        (None, Some(text)) => str_to_datetime(text),
        (None, None) if value.is_undefined() => {
            let problem = "what is undefined is no date";
            Err(Error::new(ErrorKind::UndefinedError, problem))
        }
        (None, None) if value.is_none() => {
            Err(Error::new(ErrorKind::InvalidOperation, "none is no date"))
        }
        (None, None) => Err(exception(format!("a {} is no date", value.kind()))),
    }
}

fn str_to_datetime(text: &str) -> Result<Moment, Error> {
    isoparse::parse(text)
        .map(|moment| Moment::utc(moment.at))
        .ok_or_else(|| exception(format!("`{text}` is no ISO 8601 date")))
}

fn pick(Rest(values): Rest<Value>, wins: impl Fn(&Value, &Value) -> bool) -> Result<Value, Error> {
    let values: Vec<Value> = match values.as_slice() {
        [one] => one.try_iter()?.collect(),
        _ => values,
    };
    if values.windows(2).any(|two| !comparable(&two[0], &two[1])) {
        let problem = "values of different kinds have no order";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let best = values
        .into_iter()
        .reduce(|best, value| if wins(&value, &best) { value } else { best });
    best.ok_or_else(|| exception("nothing to choose from".to_owned()))
}

fn day_delta(days: i64, format: Option<String>, kwargs: Kwargs) -> Result<String, Error> {
    let format = match format {
        Some(format) => Some(format),
        None => kwargs.get::<Option<String>>("format")?,
    };
    let format = format.unwrap_or_else(|| "%Y-%m-%dT%H:%M:%S.%f%z".to_owned());
    let span = Span {
        months: 0,
        micros: days.saturating_mul(86_400_000_000),
    };
    let then = Moment::now().plus(span);
    then.map(|then| strptime::format(then, &format))
        .ok_or_else(|| exception(format!("{days} days from now is no date")))
}

fn duration(text: &str) -> Result<Value, Error> {
    Span::parse(text)
        .map(|span| Value::from_object(Delta(span)))
        .ok_or_else(|| exception(format!("`{text}` is no ISO 8601 duration")))
}

fn format_datetime(
    value: Value,
    format: Option<String>,
    input_format: Option<String>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let format = match format {
        Some(format) => format,
        None => kwargs.get("format")?,
    };
    let input_format = match input_format {
        Some(format) => Some(format),
        None => kwargs.get("input_format")?,
    };
    let moment = match input_format {
        _ if value.downcast_object_ref::<Dated>().is_some() => moment(&value)?,
        Some(input) => read(&value, &input)?,
        None if value.is_integer() => read(&value, "%s")?,
        // In Python a bool is a number.
        None if value.kind() == ValueKind::Bool => {
            read(&Value::from(i64::from(value.is_true())), "%s")?
        }
        None => moment(&value)?,
    };
    Ok(strptime::format(moment, &format))
}

fn read(value: &Value, format: &str) -> Result<Moment, Error> {
    let has_form = matches!(
        value.kind(),
        ValueKind::String | ValueKind::Number | ValueKind::Bool
    );
    if !has_form {
        let problem =
            format!("a {} has no form", value.kind()).replace("undefined", "missing value");
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let text = value.to_string();
    strptime::parse(&text, format)
        .ok_or_else(|| exception(format!("`{text}` does not have the form `{format}`")))
}

fn snake_case(text: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
