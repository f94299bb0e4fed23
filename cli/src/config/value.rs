//! Single values of the files: names, crons, zones, sizes and times.

use std::str::FromStr;
use std::time::Duration;

use super::ConfigError;

/// Lower case letters, digits and `-`, with a letter first: what all of Google's names allow.
pub(super) fn check_name(at: &str, name: &str, longest: usize) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    if !good {
        return Err(ConfigError::invalid(
            at,
            format!("`{name}` must be lower case letters, digits and `-`, with a letter first"),
        ));
    }
    if name.len() > longest {
        return Err(ConfigError::invalid(
            at,
            format!("`{name}` is longer than {longest} characters"),
        ));
    }
    Ok(())
}

/// Google's rule for project ids, with the domain older ones may have (`example.com:p`).
pub(super) fn check_project(at: &str, id: &str) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = id.rsplit(':').next().unwrap_or(id);
    let good = (6..=30).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    good.then_some(()).ok_or_else(|| {
        ConfigError::invalid(
            at,
            format!("`{id}` is no project id: 6 to 30 lower case letters, digits and `-`"),
        )
    })
}

/// BigQuery's rule for dataset names.
pub(super) fn check_dataset(at: &str, name: &str) -> Result<(), ConfigError> {
    let good = !name.is_empty()
        && name.len() <= 1024
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then_some(()).ok_or_else(|| {
        ConfigError::invalid(at, format!("`{name}` must be letters, digits and `_`"))
    })
}

pub(super) fn check_cron(at: &str, cron: &str) -> Result<(), ConfigError> {
    let fields = cron.split_whitespace().count();
    if fields != 5 {
        return Err(ConfigError::Invalid {
            at: at.to_owned(),
            problem: format!("`{cron}` has {fields} fields, not 5"),
            hint: Some(
                "minute, hour, day of the month, month, day of the week: `0 2 * * *`".into(),
            ),
        });
    }
    if let Some(part) = cron
        .split(|c| " \t,-/".contains(c))
        .find(|part| !is_plain(part))
    {
        return Err(ConfigError::Invalid {
            at: at.to_owned(),
            problem: format!("`{cron}`: Cloud Scheduler does not know `{part}`"),
            hint: Some(
                "it knows numbers, `*`, `,`, `-`, `/`, and names such as `MON` and `JAN`".into(),
            ),
        });
    }
    croner::Cron::from_str(cron)
        .map(|_| ())
        .map_err(|error| ConfigError::invalid(at, format!("`{cron}`: {error}")))
}

/// Cron as Unix has it: without the `L`, `W`, `#` and `?` that others added to it.
fn is_plain(part: &str) -> bool {
    const NAMES: [&str; 19] = [
        "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
        "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    part == "*"
        || part.chars().all(|c| c.is_ascii_digit())
        || NAMES.iter().any(|name| part.eq_ignore_ascii_case(name))
}

pub(super) fn time_zone(at: &str, name: &str) -> Result<String, ConfigError> {
    chrono_tz::Tz::from_str(name)
        .map(|zone| zone.name().to_owned())
        .map_err(|_| ConfigError::Invalid {
            at: at.to_owned(),
            problem: format!("`{name}` is no time zone"),
            hint: Some("use a name of the IANA list, such as `Pacific/Auckland`".to_owned()),
        })
}

/// `90s`, `15m`, `1h` or `2d`; Cloud Run allows a task 7 days.
pub(super) fn duration(at: &str, text: &str) -> Result<Duration, ConfigError> {
    match seconds(text) {
        Some(seconds @ 1..=604_800) => Ok(Duration::from_secs(seconds)),
        _ => Err(ConfigError::invalid(
            format!("{at}.timeout"),
            format!("`{text}` must be a time such as `90s`, `15m` or `1h`, up to `7d`"),
        )),
    }
}

/// A time within bounds, both of which are allowed.
pub(super) fn period(
    at: &str,
    text: &str,
    least: Duration,
    most: Duration,
) -> Result<Duration, ConfigError> {
    let found = seconds(text).map(Duration::from_secs);
    found
        .filter(|time| (least..=most).contains(time))
        .ok_or_else(|| {
            let (least, most) = (shown(least), shown(most));
            ConfigError::invalid(
                at,
                format!("`{text}` must be a time from `{least}` to `{most}`"),
            )
        })
}

pub(super) fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let whole = units.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = whole.copied().unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Cloud Run's bounds for a task: 512Mi to 32Gi, and CPUs that go with it.
pub(super) fn check_memory(at: &str, memory: &str, cpu: u32) -> Result<(), ConfigError> {
    let mebibytes = match (memory.strip_suffix("Gi"), memory.strip_suffix("Mi")) {
        (Some(n), _) => n.parse().ok().and_then(|n: u64| n.checked_mul(1024)),
        (_, Some(n)) => n.parse().ok(),
        _ => None,
    };
    let Some(mebibytes @ 512..=32768) = mebibytes else {
        return Err(ConfigError::invalid(
            format!("{at}.memory"),
            format!("`{memory}` must be between `512Mi` and `32Gi`"),
        ));
    };
    if ![1, 2, 4, 6, 8].contains(&cpu) {
        return Err(ConfigError::invalid(
            format!("{at}.cpu"),
            format!("{cpu} must be 1, 2, 4, 6 or 8"),
        ));
    }
    let least = match mebibytes {
        0..=4096 => 1,
        4097..=8192 => 2,
        8193..=16384 => 4,
        16385..=24576 => 6,
        _ => 8,
    };
    if cpu < least {
        return Err(ConfigError::invalid(
            format!("{at}.cpu"),
            format!("{memory} of memory needs {least} CPUs"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_every_google_name_allows() {
        for good in ["acme", "a1-b"] {
            check_name("client", good, 20).unwrap();
        }
        for bad in ["", "Acme", "1a", "a_b", "a-", "a-name-that-is-far-too-long"] {
            check_name("client", bad, 20).unwrap_err();
        }
    }

    #[test]
    fn a_project_is_an_id_not_a_name_or_a_number() {
        for good in ["acme-prod", "example.com:acme-prod"] {
            check_project("project", good).unwrap();
        }
        for bad in ["demo", "123456", "Acme Prod", "acme-prod-"] {
            check_project("project", bad).unwrap_err();
        }
    }

    #[test]
    fn a_cron_has_five_fields_and_reads() {
        check_cron("cron", "*/5 2 * * 1-5").unwrap();
        check_cron("cron", "0 0 2 * * *").unwrap_err();
        check_cron("cron", "61 2 * * *").unwrap_err();
        check_cron("cron", "0,30 2-6/2 * jan-MAR Mon").unwrap();
        for others in ["0 2 L * *", "0 2 15W * *", "0 2 * * 1#2", "0 2 ? * *"] {
            let error = check_cron("cron", others).unwrap_err().to_string();
            assert!(error.contains("Cloud Scheduler does not know"), "{error}");
        }
    }

    #[test]
    fn a_timeout_has_a_unit_and_an_end() {
        assert_eq!(duration("p", "90m").unwrap(), Duration::from_secs(5400));
        for bad in ["90", "0s", "8d", "h", "1w"] {
            duration("p", bad).unwrap_err();
        }
    }

    #[test]
    fn much_memory_needs_more_cpus() {
        check_memory("p", "512Mi", 1).unwrap();
        check_memory("p", "8Gi", 2).unwrap();
        for (memory, cpu) in [("256Mi", 1), ("8Gi", 1), ("64Gi", 8), ("1G", 1), ("1Gi", 3)] {
            check_memory("p", memory, cpu).unwrap_err();
        }
    }
}
