//! Dates to text and back with Python's format codes, and the reference's own
//! (`%s`, `%ms`, `%_ms`, `%s_as_float`, `%epoch_microseconds`).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::moment::Moment;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Parses `text`; without an offset in it, it is UTC.
pub fn parse(text: &str, format: &str) -> Option<Moment> {
    let number = || text.trim().parse::<i64>().ok();
    match format {
        "%s" => Timestamp::from_second(number()?).ok().map(Moment::utc),
        "%ms" => Timestamp::from_millisecond(number()?).ok().map(Moment::utc),
        "%epoch_microseconds" => Timestamp::from_microsecond(number()?).ok().map(Moment::utc),
        "%s_as_float" => {
            let seconds: f64 = text.trim().parse().ok()?;
            Timestamp::from_microsecond((seconds * 1e6).round() as i64)
                .ok()
                .map(Moment::utc)
        }
        _ => Fields::read(text, &format.replace("%_ms", "%f"))?.moment(),
    }
}

/// Writes `moment` in its own offset.
pub fn format(moment: Moment, format: &str) -> String {
    match format {
        "%s" => moment.at.as_second().to_string(),
        "%ms" => moment.at.as_millisecond().to_string(),
        "%epoch_microseconds" => moment.at.as_microsecond().to_string(),
        "%s_as_float" => super::python::float(moment.at.as_microsecond() as f64 / 1e6),
        _ => write(moment, format),
    }
}

/// What a format has read so far.
struct Fields {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    day_of_year: Option<i16>,
    offset: Offset,
}

impl Fields {
    fn read(text: &str, format: &str) -> Option<Fields> {
        let mut fields = Fields {
            year: 1900,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            afternoon: None,
            day_of_year: None,
            offset: Offset::UTC,
        };
        let mut rest = text;
        let mut codes = format.chars();
        while let Some(code) = codes.next() {
            rest = match code {
                '%' => fields.take(codes.next()?, rest)?,
                space if space.is_whitespace() => rest.trim_start(),
                literal => rest.strip_prefix(literal)?,
            };
        }
        rest.is_empty().then_some(fields)
    }

    /// Reads what `code` stands for off the front of `text`.
    fn take<'t>(&mut self, code: char, text: &'t str) -> Option<&'t str> {
        let (number, rest) = match code {
            'Y' => digits(text, 4, 4)?,
            'j' => digits(text, 1, 3)?,
            'f' => return self.fraction(text),
            'm' | 'd' | 'H' | 'M' | 'S' | 'I' | 'y' => digits(text, 1, 2)?,
            _ => return self.word(code, text),
        };
        match code {
            'Y' => self.year = number as i16,
            'y' => self.year = (number + if number < 69 { 2000 } else { 1900 }) as i16,
            'j' => self.day_of_year = Some(number as i16),
            'm' => self.month = number as i8,
            'd' => self.day = number as i8,
            'M' => self.minute = number as i8,
            'S' => self.second = number as i8,
            _ => self.hour = number as i8,
        }
        Some(rest)
    }

    fn word<'t>(&mut self, code: char, text: &'t str) -> Option<&'t str> {
        match code {
            'B' | 'b' => {
                let (index, rest) = name(text, &MONTHS, code == 'b')?;
                self.month = index as i8 + 1;
                Some(rest)
            }
            'A' | 'a' => name(text, &DAYS, code == 'a').map(|(_, rest)| rest),
            'p' => {
                let (index, rest) = name(text, &["AM", "PM"], false)?;
                self.afternoon = Some(index == 1);
                Some(rest)
            }
            'z' => {
                let (offset, rest) = offset(text)?;
                self.offset = offset;
                Some(rest)
            }
            'Z' => name(text, &["UTC", "GMT"], false).map(|(_, rest)| rest),
            '%' => text.strip_prefix('%'),
            _ => None,
        }
    }

    fn fraction<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let length = text.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let number: i32 = text[..length].parse().ok()?;
        self.nanos = number * 10_i32.pow(9 - length as u32);
        Some(&text[length..])
    }

    fn moment(&self) -> Option<Moment> {
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let date = match self.day_of_year {
            Some(day) => Date::new(self.year, 1, 1)
                .ok()?
                .with()
                .day_of_year(day)
                .build(),
            None => Date::new(self.year, self.month, self.day),
        };
        let time = Time::new(hour, self.minute, self.second, self.nanos).ok()?;
        let civil = DateTime::from_parts(date.ok()?, time);
        let at = self.offset.to_timestamp(civil).ok()?;
        Some(Moment {
            at,
            offset: self.offset,
        })
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let length = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if length < least {
        return None;
    }
    Some((text[..length].parse().ok()?, &text[length..]))
}

fn name<'t>(text: &'t str, names: &[&str], short: bool) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if short { &name[..3] } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name)
            .then(|| (index, &text[name.len()..]))
    })
}

/// `Z`, `+0100`, `+01:00` and, with seconds, `+010203`.
fn offset(text: &str) -> Option<(Offset, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((Offset::UTC, rest));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(&text[1..], 2, 2)?;
    let (minutes, mut rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2, 2)?;
    let mut seconds = 0;
    if let Some((number, after)) = digits(rest.strip_prefix(':').unwrap_or(rest), 2, 2) {
        (seconds, rest) = (number, after);
    }
    let total = sign * (hours * 3600 + minutes * 60 + seconds);
    Some((Offset::from_seconds(total).ok()?, rest))
}

fn write(moment: Moment, format: &str) -> String {
    let civil = moment.civil();
    let mut text = String::with_capacity(format.len() + 16);
    let millis = format.contains("%_ms");
    let format = format.replace("%_ms", "%f");
    let mut codes = format.chars();
    while let Some(code) = codes.next() {
        match (code, code == '%') {
            (_, true) => match codes.next() {
                Some('f') if millis => {
                    text.push_str(&format!("{:03}", civil.subsec_nanosecond() / 1_000_000));
                }
                Some(code) => text.push_str(&field(code, civil, moment)),
                None => text.push('%'),
            },
            (literal, false) => text.push(literal),
        }
    }
    text
}

fn field(code: char, civil: DateTime, moment: Moment) -> String {
    let month = MONTHS[civil.month() as usize - 1];
    let day = DAYS[civil.weekday().to_monday_zero_offset() as usize];
    match code {
        // glibc does not pad the year.
        'Y' => civil.year().to_string(),
        'y' => format!("{:02}", civil.year().rem_euclid(100)),
        'm' => format!("{:02}", civil.month()),
        'd' => format!("{:02}", civil.day()),
        'e' => format!("{:2}", civil.day()),
        'H' => format!("{:02}", civil.hour()),
        'I' => format!("{:02}", (civil.hour() + 11) % 12 + 1),
        'M' => format!("{:02}", civil.minute()),
        'S' => format!("{:02}", civil.second()),
        'f' => format!("{:06}", civil.subsec_nanosecond() / 1000),
        'p' => if civil.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'j' => format!("{:03}", civil.date().day_of_year()),
        'V' => format!("{:02}", civil.date().iso_week_date().week()),
        'G' => civil.date().iso_week_date().year().to_string(),
        'B' => month.to_owned(),
        'b' | 'h' => month[..3].to_owned(),
        'A' => day.to_owned(),
        'a' => day[..3].to_owned(),
        'u' => civil.weekday().to_monday_one_offset().to_string(),
        'w' => civil.weekday().to_sunday_zero_offset().to_string(),
        'z' => offset_text(moment.offset, ""),
        'Z' if moment.offset == Offset::UTC => "UTC".to_owned(),
        'Z' => format!("UTC{}", offset_text(moment.offset, ":")),
        's' => moment.at.as_second().to_string(),
        'F' => write(moment, "%Y-%m-%d"),
        'T' => write(moment, "%H:%M:%S"),
        'D' => write(moment, "%m/%d/%y"),
        'R' => write(moment, "%H:%M"),
        '%' => "%".to_owned(),
        other => format!("%{other}"),
    }
}

/// `+01:30` with `:` between.
pub fn offset_text(offset: Offset, between: &str) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(text: &str, read: &str, written: &str) -> String {
        format(parse(text, read).unwrap(), written)
    }

    #[test]
    fn the_reference_own_codes_work() {
        assert_eq!(
            again("1539993600", "%s", "%Y-%m-%dT%H:%M:%SZ"),
            "2018-10-20T00:00:00Z"
        );
        assert_eq!(
            again("1539993600123", "%ms", "%H:%M:%S.%_ms"),
            "00:00:00.123"
        );
        assert_eq!(
            again("2018-10-20T00:00:00.5Z", "%Y-%m-%dT%H:%M:%S.%_msZ", "%ms"),
            "1539993600500"
        );
        assert_eq!(
            again("1539993600.25", "%s_as_float", "%s_as_float"),
            "1539993600.25"
        );
    }

    #[test]
    fn an_offset_is_kept() {
        let format = "%Y-%m-%dT%H:%M:%S%z";
        assert_eq!(
            again("2024-01-01T00:00:00+13:00", format, format),
            "2024-01-01T00:00:00+1300"
        );
        assert_eq!(
            again("2024-01-01T00:00:00+13:00", format, "%s"),
            "1704020400"
        );
        assert_eq!(
            again("2024-01-01T00:00:00Z", format, format),
            "2024-01-01T00:00:00+0000"
        );
    }

    #[test]
    fn what_does_not_fit_the_format_is_none() {
        assert_eq!(parse("2024-01-01", "%Y-%m-%dT%H:%M:%SZ"), None);
        assert_eq!(parse("2024-13-01", "%Y-%m-%d"), None);
        assert_eq!(parse("2024-01-01x", "%Y-%m-%d"), None);
        assert_eq!(parse("24-1-1", "%Y-%m-%d"), None);
    }

    #[test]
    fn words_and_halves_of_the_day_are_read() {
        assert_eq!(
            again(
                "Sat, 20 Oct 2018 01:02 PM",
                "%a, %d %b %Y %I:%M %p",
                "%F %T"
            ),
            "2018-10-20 13:02:00"
        );
        assert_eq!(
            again("2018 293", "%Y %j", "%A %d %B"),
            "Saturday 20 October"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(micros in -62_135_596_800_000_000_i64..253_402_300_799_000_000) {
            let moment = Moment::utc(Timestamp::from_microsecond(micros).unwrap());
            prop_assume!(moment.civil().year() >= 1000);
            let form = "%Y-%m-%dT%H:%M:%S.%f%z";
            prop_assert_eq!(parse(&format(moment, form), form), Some(moment));
        }
    }
}
