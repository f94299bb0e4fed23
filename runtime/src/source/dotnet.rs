//! `xetl.DotNetDates`: `/Date(1539993600000+0000)/` to ISO timestamps and dates.
//!
//! Only where the manifest says so: a text that happens to hold such a date stays a text.

use jiff::Timestamp;

use crate::value::{Object, Value};

use super::moment::Moment;
use super::strptime;

/// The paths whose values are converted, `*` going through lists.
#[derive(Debug, Clone, Default)]
pub struct DotNetDates {
    pub timestamps: Vec<Vec<String>>,
    pub dates: Vec<Vec<String>>,
}

impl DotNetDates {
    pub fn transform(&self, record: &mut Object) {
        for path in &self.timestamps {
            at_fields(record, path, timestamp);
        }
        for path in &self.dates {
            at_fields(record, path, date);
        }
    }
}

type Convert = fn(&str) -> Option<String>;

fn at_fields(fields: &mut Object, path: &[String], convert: Convert) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if key == "*" {
        fields
            .values_mut()
            .for_each(|value| at_value(value, rest, convert));
    } else if let Some(value) = fields.get_mut(key) {
        at_value(value, rest, convert);
    }
}

fn at_value(value: &mut Value, path: &[String], convert: Convert) {
    match (value, path.split_first()) {
        (Value::String(text), None) => {
            if let Some(converted) = convert(text) {
                *text = converted;
            }
        }
        (Value::Array(values), Some((key, rest))) if key == "*" => {
            values
                .iter_mut()
                .for_each(|value| at_value(value, rest, convert));
        }
        (Value::Object(fields), Some(_)) => at_fields(fields, path, convert),
        _ => {}
    }
}

fn timestamp(text: &str) -> Option<String> {
    let moment = parse(text)?;
    let format = match moment.at.subsec_millisecond() {
        0 => "%Y-%m-%dT%H:%M:%SZ",
        _ => "%Y-%m-%dT%H:%M:%S.%_msZ",
    };
    Some(padded(moment, format))
}

fn date(text: &str) -> Option<String> {
    Some(padded(parse(text)?, "%Y-%m-%d"))
}

/// `strftime` does not pad years before 1000, ISO 8601 does.
fn padded(moment: Moment, format: &str) -> String {
    let year = format!("{:04}", moment.civil().year());
    strptime::format(moment, &format.replace("%Y", &year))
}

/// The milliseconds count from 1970 in UTC; the offset says only where the writer was.
fn parse(text: &str) -> Option<Moment> {
    let inside = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inside
        .char_indices()
        .skip(1)
        .find(|(_, letter)| matches!(letter, '+' | '-'))
        .map_or(inside.len(), |(at, _)| at);
    let (millis, offset) = inside.split_at(end);
    let digits = offset.get(1..).unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 0 | 4) {
        return None;
    }
    let at = Timestamp::from_millisecond(millis.parse().ok()?).ok()?;
    let moment = Moment::utc(at);
    (1..=9999)
        .contains(&moment.civil().year())
        .then_some(moment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_are_converted_and_other_values_left() {
        assert_eq!(
            timestamp("/Date(1539993600000+0000)/").as_deref(),
            Some("2018-10-20T00:00:00Z")
        );
        assert_eq!(
            timestamp("/Date(1573755038314)/").as_deref(),
            Some("2019-11-14T18:10:38.314Z")
        );
        assert_eq!(
            timestamp("/Date(-1000+1300)/").as_deref(),
            Some("1969-12-31T23:59:59Z")
        );
        assert_eq!(date("/Date(0+0000)/").as_deref(), Some("1970-01-01"));
        for other in [
            "",
            "/Date()/",
            "see /Date(0)/",
            "/Date(0)/ ",
            "2018-10-20",
            "/Date(99999999999999999)/",
        ] {
            assert_eq!(timestamp(other), None, "{other}");
        }
    }

    #[test]
    fn paths_go_through_lists() {
        let record = json!({"Date": "/Date(0)/", "Lines": [{"On": "/Date(0)/"}, {"On": null}], "Note": "/Date(0)/"});
        let Value::Object(mut record) = Value::from(&record) else {
            panic!()
        };
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let dates = DotNetDates {
            timestamps: vec![path("Lines.*.On"), path("Gone.Away")],
            dates: vec![path("Date")],
        };
        dates.transform(&mut record);
        assert_eq!(
            Value::Object(record).to_json(),
            json!({"Date": "1970-01-01", "Lines": [{"On": "1970-01-01T00:00:00Z"}, {"On": null}], "Note": "/Date(0)/"})
        );
    }

    proptest! {
        #[test]
        fn a_timestamp_names_the_same_instant(millis in -62_135_596_800_000_i64..253_402_300_799_000) {
            let text = timestamp(&format!("/Date({millis}+0000)/")).unwrap();
            let at: Timestamp = text.parse().unwrap();
            prop_assert_eq!(at.as_millisecond(), millis);
        }
    }
}
