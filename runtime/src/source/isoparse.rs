//! ISO 8601 text to moments, as tolerant as the reference's `isoparse`.

use super::moment::Moment;
use super::strptime;

const DATES: [&str; 4] = ["%Y-%m-%d", "%Y%m%d", "%Y-%m", "%Y"];
const TIMES: [&str; 7] = [
    "%H:%M:%S.%f",
    "%H:%M:%S",
    "%H:%M",
    "%H%M%S.%f",
    "%H%M%S",
    "%H%M",
    "%H",
];

/// Parses a date, or a date and time with or without an offset (without: UTC).
pub fn parse(text: &str) -> Option<Moment> {
    let text = text.trim();
    let Some((date, time)) = text.split_once(['T', ' ']) else {
        return DATES.iter().find_map(|form| strptime::parse(text, form));
    };
    let (clock, zone) = split_zone(time);
    let clock = cut_fraction(clock);
    let zone = full_zone(zone);
    let suffix = if zone.is_empty() { "" } else { "%z" };
    DATES.iter().take(2).find_map(|date_form| {
        TIMES.iter().find_map(|time_form| {
            strptime::parse(
                &format!("{date}T{clock}{zone}"),
                &format!("{date_form}T{time_form}{suffix}"),
            )
        })
    })
}

fn split_zone(time: &str) -> (&str, &str) {
    match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    }
}

/// Python keeps microseconds; more digits are cut off.
fn cut_fraction(clock: &str) -> String {
    match clock.split_once(['.', ',']) {
        Some((seconds, digits)) => {
            let kept: String = digits.chars().take(6).collect();
            format!("{seconds}.{kept}")
        }
        None => clock.to_owned(),
    }
}

fn full_zone(zone: &str) -> String {
    match zone.len() {
        3 => format!("{zone}00"),
        _ => zone.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read() {
        let at = |text| parse(text).map(|moment| moment.at.to_string());
        let midnight = Some("2022-01-14T00:00:00Z".to_owned());
        assert_eq!(at("2022-01-14"), midnight);
        assert_eq!(at("20220114"), midnight);
        assert_eq!(at("2022-01-14T13:00:00+13:00"), midnight);
        assert_eq!(at("2022-01-14 13:00+13"), midnight);
        assert_eq!(at("2022-01-14T00:00:00.000000000Z"), midnight);
        assert_eq!(at("yesterday"), None);
        assert_eq!(at("2022-01-14T00:00:00.12345éé"), None);
    }
}
