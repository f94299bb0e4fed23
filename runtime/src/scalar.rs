//! Text and digits as a column's values; `None` where they do not fit exactly.

use arrow::datatypes::i256;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::value::Borrowed;

/// BigQuery's years are 1 to 9999.
const FIRST_MICROSECOND: i64 = -62_135_596_800_000_000;
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// A whole number, also where it is written `12.0` or `1e3`.
pub fn integer(value: &Borrowed<'_>) -> Option<i64> {
    match value {
        Borrowed::Int(value) => Some(*value),
        Borrowed::Number(digits) => scaled(digits, 0)?.parse().ok(),
        _ => None,
    }
}

/// The nearest double; a whole number only if a double holds it exactly.
pub fn float(value: &Borrowed<'_>) -> Option<f64> {
    match value {
        Borrowed::Int(value) => {
            let float = *value as f64;
            (float as i128 == i128::from(*value)).then_some(float)
        }
        Borrowed::Number(digits) => digits.parse().ok().filter(|float: &f64| float.is_finite()),
        // JSON has no number for these; Google's APIs write them so.
        Borrowed::String(text) => match text.as_ref() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// NUMERIC in units of its ninth decimal.
pub fn numeric(value: &Borrowed<'_>) -> Option<i128> {
    match value {
        Borrowed::Int(value) => Some(i128::from(*value) * 1_000_000_000),
        Borrowed::Number(digits) => fits(scaled(digits, 9)?, 38)?.parse().ok(),
        Borrowed::String(text) => fits(scaled(text, 9)?, 38)?.parse().ok(),
        _ => None,
    }
}

/// BIGNUMERIC in units of its 38th decimal.
pub fn big_numeric(value: &Borrowed<'_>) -> Option<i256> {
    let digits = match value {
        Borrowed::Int(value) => scaled(&value.to_string(), 38)?,
        Borrowed::Number(digits) => scaled(digits, 38)?,
        Borrowed::String(text) => scaled(text, 38)?,
        _ => return None,
    };
    i256::from_string(&fits(digits, 76)?)
}

fn fits(digits: String, most: usize) -> Option<String> {
    (digits.trim_start_matches('-').len() <= most).then_some(digits)
}

/// A decimal times `10^scale`, as the digits of a whole number; `None` if it is none.
fn scaled(text: &str, scale: i64) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|byte| byte == b'0') {
        return Some("0".to_owned());
    }
    let shift = exponent
        .checked_add(scale)?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?;
    shifted(&mut digits, shift)?;
    Some(format!("{sign}{}", digits.trim_start_matches('0')))
}

/// Moves the point `shift` places to the right; no digit but 0 may get behind it.
fn shifted(digits: &mut String, shift: i64) -> Option<()> {
    const MOST: usize = 100;
    let places = usize::try_from(shift.unsigned_abs()).ok()?;
    if shift >= 0 {
        let zeros = (places <= MOST).then_some(places)?;
        digits.push_str(&"0".repeat(zeros));
        return Some(());
    }
    let kept = digits.len().checked_sub(places)?;
    let lost = digits.split_off(kept);
    (!digits.is_empty() && lost.bytes().all(|byte| byte == b'0')).then_some(())
}

/// Microseconds since 1970 in UTC; without an offset the text is read as UTC.
pub fn timestamp(text: &str) -> Option<i64> {
    let micros = match dot_net(text) {
        Some(millis) => millis.checked_mul(1000)?,
        None => match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp.as_microsecond(),
            Err(_) => civil(text)?,
        },
    };
    (FIRST_MICROSECOND..=LAST_MICROSECOND)
        .contains(&micros)
        .then_some(micros)
}

/// Microseconds since 1970 on the wall clock, whatever the offset.
pub fn datetime(text: &str) -> Option<i64> {
    let micros = match dot_net(text) {
        Some(millis) => millis.checked_mul(1000)?,
        None => civil(text.trim_end_matches(['Z', 'z']))?,
    };
    (FIRST_MICROSECOND..=LAST_MICROSECOND)
        .contains(&micros)
        .then_some(micros)
}

/// Days since 1970: of a date, or of a midnight.
pub fn date(text: &str) -> Option<i32> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() <= "2024-01-01".len()
    {
        let micros = wall_clock(date.to_datetime(Time::midnight()))?;
        return i32::try_from(micros.div_euclid(MICROSECONDS_A_DAY)).ok();
    }
    let micros = datetime(text)?;
    let days = micros.div_euclid(MICROSECONDS_A_DAY);
    (micros.rem_euclid(MICROSECONDS_A_DAY) == 0).then_some(i32::try_from(days).ok()?)
}

/// Microseconds since midnight.
pub fn time(text: &str) -> Option<i64> {
    let time: Time = text.parse().ok()?;
    let elapsed: SignedDuration = time.duration_since(Time::midnight());
    i64::try_from(elapsed.as_micros()).ok()
}

fn civil(text: &str) -> Option<i64> {
    wall_clock(text.parse().ok()?)
}

fn wall_clock(datetime: DateTime) -> Option<i64> {
    let instant = TimeZone::UTC.to_timestamp(datetime).ok()?;
    Some(instant.as_microsecond())
}

/// .NET's `/Date(1539993600000+0000)/`: milliseconds in UTC; the offset tells only
/// which clock the writer had.
fn dot_net(text: &str) -> Option<i64> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let end = inner
        .char_indices()
        .skip(1)
        .find(|(_, c)| matches!(c, '+' | '-'));
    inner[..end.map_or(inner.len(), |(at, _)| at)].parse().ok()
}

/// A moment that was written in a form of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970, in UTC.
    utc: i64,
    /// The same on the clock that it was written by.
    wall: i64,
}

/// Reads a moment in a format of `strptime`'s codes, or counted from 1970 in seconds (`%s`),
/// milliseconds (`%ms`) or microseconds (`%epoch_microseconds`). Without an offset it is UTC.
pub fn moment(value: &Borrowed<'_>, format: &str) -> Option<Moment> {
    let counted = |unit: i64| {
        let utc = integer_of(value)?.checked_mul(unit)?;
        Some(Moment { utc, wall: utc })
    };
    match (format, value) {
        ("%s", _) => counted(1_000_000),
        ("%ms", _) => counted(1_000),
        ("%epoch_microseconds", _) => counted(1),
        (_, Borrowed::String(text)) => written(text, format),
        (_, Borrowed::Int(number)) => written(&number.to_string(), format),
        _ => None,
    }
}

fn integer_of(value: &Borrowed<'_>) -> Option<i64> {
    match value {
        Borrowed::String(text) => text.trim().parse().ok(),
        value => integer(value),
    }
}

fn written(text: &str, format: &str) -> Option<Moment> {
    let format = format.replace("%_ms", "%f");
    let fields = jiff::fmt::strtime::parse(&format, text).ok()?;
    let has_date = fields.year().is_some() || fields.day().is_some();
    let wall = wall_clock(match has_date {
        true => fields.to_datetime().ok()?,
        false => Date::constant(1970, 1, 1).to_datetime(fields.to_time().ok()?),
    })?;
    let utc = fields.to_timestamp().map(Timestamp::as_microsecond);
    Some(Moment {
        utc: utc.unwrap_or(wall),
        wall,
    })
}

impl Moment {
    pub fn timestamp(self) -> Option<i64> {
        in_years(self.utc)
    }

    pub fn datetime(self) -> Option<i64> {
        in_years(self.wall)
    }

    /// `None` where a time of day would be lost.
    pub fn date(self) -> Option<i32> {
        let is_whole = self.wall.rem_euclid(MICROSECONDS_A_DAY) == 0;
        let days = in_years(self.wall)?.div_euclid(MICROSECONDS_A_DAY);
        is_whole.then_some(i32::try_from(days).ok()?)
    }

    /// `None` where a date would be lost.
    pub fn time(self) -> Option<i64> {
        let is_bare = (0..MICROSECONDS_A_DAY).contains(&self.wall);
        is_bare.then_some(self.wall)
    }
}

fn in_years(micros: i64) -> Option<i64> {
    (FIRST_MICROSECOND..=LAST_MICROSECOND)
        .contains(&micros)
        .then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(digits: &str) -> Borrowed<'_> {
        Borrowed::Number(digits)
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(numeric(&number("0.1")), Some(100_000_000));
        assert_eq!(numeric(&number("-1.5e2")), Some(-150_000_000_000));
        assert_eq!(
            numeric(&Borrowed::String("12.50".into())),
            Some(12_500_000_000)
        );
        assert_eq!(numeric(&number("0.00")), Some(0));
    }

    #[test]
    fn a_decimal_too_fine_or_too_long_does_not_fit() {
        assert_eq!(numeric(&number("0.0000000001")), None);
        assert_eq!(numeric(&number("1e29")), None);
        assert_eq!(numeric(&number("1e999999999999")), None);
        assert_eq!(numeric(&Borrowed::String("12,5".into())), None);
        assert_eq!(numeric(&Borrowed::String("".into())), None);
    }

    #[test]
    fn a_big_numeric_keeps_what_a_numeric_cannot() {
        let exact = i256::from_i128(10_i128.pow(28));
        assert_eq!(big_numeric(&number("0.0000000001")), Some(exact));
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        assert_eq!(integer(&number("12.0")), Some(12));
        assert_eq!(integer(&number("1e3")), Some(1000));
        assert_eq!(integer(&number("12.5")), None);
        assert_eq!(integer(&number("99999999999999999999")), None);
    }

    #[test]
    fn timestamps_are_microseconds_in_utc() {
        assert_eq!(timestamp("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(timestamp("1970-01-01T01:00:01.5+01:00"), Some(1_500_000));
        assert_eq!(timestamp("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(timestamp("1970-01-02"), Some(MICROSECONDS_A_DAY));
        assert_eq!(timestamp("soon"), None);
        assert_eq!(timestamp(""), None);
    }

    #[test]
    fn dot_net_dates_are_timestamps_and_dates() {
        assert_eq!(
            timestamp("/Date(1539993600000+0000)/"),
            Some(1_539_993_600_000_000)
        );
        assert_eq!(timestamp("/Date(-1000)/"), Some(-1_000_000));
        assert_eq!(timestamp("/Date(-1000+0000)/"), Some(-1_000_000));
        assert_eq!(date("/Date(86400000+0000)/"), Some(1));
    }

    #[test]
    fn a_date_is_a_date_or_a_midnight() {
        assert_eq!(date("1970-01-03"), Some(2));
        assert_eq!(date("1970-01-03T00:00:00"), Some(2));
        assert_eq!(date("1970-01-03T00:00:00Z"), Some(2));
        assert_eq!(date("1970-01-03T00:00:00+13:00"), Some(2));
        assert_eq!(date("1970-01-03T00:00:01"), None);
        assert_eq!(date("1969-12-31"), Some(-1));
    }

    #[test]
    fn a_moment_may_have_a_form_of_its_own() {
        let text = |text: &'static str| Borrowed::String(text.into());
        let read = |value: &Borrowed<'_>, format| moment(value, format);
        let day = 86_400_000_000;
        let second = read(&text("02/01/1970"), "%d/%m/%Y").unwrap();
        assert_eq!((second.date(), second.timestamp()), (Some(1), Some(day)));
        let offset = read(&text("2 Jan 1970 01:00 +0100"), "%d %b %Y %H:%M %z").unwrap();
        assert_eq!(offset.timestamp(), Some(day));
        assert_eq!(offset.datetime(), Some(day + 3_600_000_000));
        assert_eq!(offset.date(), None);
        for (value, format) in [
            (Borrowed::Int(86_400), "%s"),
            (text("86400000"), "%ms"),
            (Borrowed::Int(day), "%epoch_microseconds"),
            (Borrowed::Int(19_700_102), "%Y%m%d"),
        ] {
            assert_eq!(
                read(&value, format).unwrap().timestamp(),
                Some(day),
                "{format}"
            );
        }
        let time = read(&text("01:00 pm"), "%I:%M %p").unwrap();
        assert_eq!(time.time(), Some(13 * 3_600_000_000));
        assert_eq!(read(&text("1970-01-02"), "%d/%m/%Y"), None);
        assert_eq!(read(&text("31/02/1970"), "%d/%m/%Y"), None);
        assert_eq!(read(&Borrowed::Int(i64::MAX), "%s"), None);
    }

    proptest! {
        #[test]
        fn any_numeric_reads_back(units in -(10_i128.pow(38) - 1)..10_i128.pow(38)) {
            let digits = format!("{:010}", units.unsigned_abs());
            let (whole, fraction) = digits.split_at(digits.len() - 9);
            let sign = if units < 0 { "-" } else { "" };
            prop_assert_eq!(numeric(&number(&format!("{sign}{whole}.{fraction}"))), Some(units));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let value = Borrowed::String(text.as_str().into());
            let _ = (numeric(&value), big_numeric(&value), timestamp(&text), date(&text), time(&text));
            let _ = (integer(&number(&text)), float(&number(&text)));
        }
    }
}
