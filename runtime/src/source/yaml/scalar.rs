//! What YAML 1.1 makes of a scalar's text.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Number, Value as Json};

use crate::source::python;

static INTEGER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)",
    )
});
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*",
    )
});
static DATE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?(?:[ \t]*(Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?",
    )
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("the patterns above are well formed")
}

/// The value of a scalar without quotes or tag.
pub fn plain(text: &str) -> Json {
    constant(text)
        .or_else(|| number(text))
        .or_else(|| moment(text).map(Json::String))
        .unwrap_or_else(|| text.into())
}

/// The value of a scalar with a tag of YAML's own; `None` where it does not fit.
pub fn tagged(tag: &str, text: &str) -> Option<Json> {
    match tag {
        "str" | "binary" => Some(text.into()),
        "null" => Some(Json::Null),
        "bool" => constant(text).filter(Json::is_boolean),
        "int" => integer(text),
        "float" => float(text).or_else(|| text.parse().ok().and_then(from_float)),
        "timestamp" => match plain(text) {
            Json::String(text) => Some(Json::String(text)),
            _ => None,
        },
        _ => None,
    }
}

fn constant(text: &str) -> Option<Json> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Json> {
    let is_candidate =
        text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    match is_candidate {
        true if FLOAT.is_match(text) => float(text),
        true if INTEGER.is_match(text) => integer(text),
        true => infinite(text).map(|number| python::float(number).into()),
        false => None,
    }
}

fn integer(text: &str) -> Option<Json> {
    let text = text.replace('_', "");
    let (sign, digits) = signed(&text);
    let whole = |digits: &str, base: u32| i128::from_str_radix(digits, base).ok();
    let value = if let Some(digits) = digits.strip_prefix("0b") {
        whole(digits, 2)?
    } else if let Some(digits) = digits.strip_prefix("0x") {
        whole(digits, 16)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        whole(digits, 8)?
    } else {
        let mut parts = digits.split(':').map(|part| whole(part, 10));
        parts.try_fold(0i128, |sum, part| sum.checked_mul(60)?.checked_add(part?))?
    };
    from_integer(sign * value)
}

fn from_integer(value: i128) -> Option<Json> {
    i64::try_from(value)
        .map(Json::from)
        .or_else(|_| u64::try_from(value).map(Json::from))
        .ok()
        .or_else(|| from_float(value as f64))
}

fn float(text: &str) -> Option<Json> {
    let text = text.replace('_', "");
    let (sign, digits) = signed(&text);
    let mut parts = digits.split(':').map(|part| part.parse::<f64>().ok());
    let value = parts.try_fold(0.0, |sum, part| Some(sum * 60.0 + part?))?;
    from_float(sign as f64 * value)
}

fn from_float(value: f64) -> Option<Json> {
    Number::from_f64(value).map(Json::Number)
}

fn infinite(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => match signed(text) {
            (sign, ".inf" | ".Inf" | ".INF") => Some(sign as f64 * f64::INFINITY),
            _ => None,
        },
    }
}

fn signed(text: &str) -> (i128, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A date is written as it stands; a date with a time as Python writes one.
fn moment(text: &str) -> Option<String> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let parts = DATE_TIME.captures(text)?;
    let number = |group: usize| parts.get(group)?.as_str().parse::<u32>().ok();
    let mut out = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        number(1)?,
        number(2)?,
        number(3)?,
        number(4)?,
        number(5)?,
        number(6)?
    );
    let fraction = parts.get(7).map_or("", |digits| digits.as_str());
    let fraction = format!("{:0<6}", fraction.chars().take(6).collect::<String>());
    if fraction != "000000" {
        out = format!("{out}.{fraction}");
    }
    if let Some(zone) = parts.get(8) {
        out += &offset(zone.as_str());
    }
    Some(out)
}

fn offset(zone: &str) -> String {
    let Some(rest) = zone.strip_prefix(['+', '-']) else {
        return "+00:00".to_owned();
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
    format!("{}{hours:0>2}:{minutes}", &zone[..1])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_date_with_a_time_is_written_as_python_does() {
        assert_eq!(plain("2024-01-01T10:00:00Z"), "2024-01-01 10:00:00+00:00");
        assert_eq!(
            plain("2024-1-2 3:04:05.5 -7"),
            "2024-01-02 03:04:05.500000-07:00"
        );
        assert_eq!(plain("2024-01-01 10:00:00"), "2024-01-01 10:00:00");
        assert_eq!(plain("2024-01-01"), "2024-01-01");
    }

    #[test]
    fn numbers_have_yaml_1_1_forms_only() {
        let forms = [
            "0b11", "-017", "+5", "-1:30:00", ".5", "1.", "1_0.5", "08", "1.5e3", "-.inf", "1:30.5",
        ];
        let values = forms.map(plain);
        assert_eq!(
            values.as_slice(),
            [
                json!(3),
                json!(-15),
                json!(5),
                json!(-5400),
                json!(0.5),
                json!(1.0),
                json!(10.5),
                json!("08"),
                json!("1.5e3"),
                json!("-inf"),
                json!(90.5)
            ]
        );
    }

    #[test]
    fn a_tag_says_what_a_scalar_is() {
        assert_eq!(tagged("str", "1"), Some(json!("1")));
        assert_eq!(tagged("int", "1_0"), Some(json!(10)));
        assert_eq!(tagged("float", "1"), Some(json!(1.0)));
        assert_eq!(tagged("bool", "maybe"), None);
        assert_eq!(tagged("omap", "x"), None);
    }
}
