//! The header `RateLimit: limit=100, remaining=50, reset=5`, which tells of the called path's own budget.
//!
//! A path whose budget is spent waits until it opens again; others go on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::budget::Call;
use super::moment::Moment;
use super::response::Response;

/// A source with more spent paths than this at once is not believed.
const MOST: usize = 1000;
/// No header makes a call wait longer than this; a 429 then says how long.
const LONGEST: Duration = Duration::from_secs(600);

/// The paths whose budgets are spent, and when each opens again, in microseconds since 1970.
#[derive(Debug)]
pub struct Groups {
    header: String,
    spent: Mutex<HashMap<String, i64>>,
}

impl Groups {
    pub fn new(header: &str) -> Groups {
        Groups {
            header: header.to_owned(),
            spent: Mutex::default(),
        }
    }

    /// Says how long a call must wait, if it must.
    pub fn take(&self, call: Call<'_>, now: Moment) -> Result<(), Duration> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.at.as_microsecond();
        spent.retain(|_, opens| *opens > now);
        match spent.get(&group(call)) {
            Some(opens) => Err(Duration::from_micros(opens.abs_diff(now))),
            None => Ok(()),
        }
    }

    /// Notes a spent budget; a header of another form says nothing.
    pub fn learn(&self, call: Call<'_>, response: &Response, now: Moment) {
        let Some(told) = response.header(&self.header).and_then(parse) else {
            return;
        };
        if told.remaining > 0 {
            return;
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() < MOST {
            let wait = told.reset.min(LONGEST).as_micros() as i64;
            spent.insert(group(call), now.at.as_microsecond() + wait);
        }
    }
}

fn group(call: Call<'_>) -> String {
    format!("{} {}", call.method, call.url.path())
}

#[derive(Debug, PartialEq)]
struct Told {
    remaining: u64,
    reset: Duration,
}

fn parse(header: &str) -> Option<Told> {
    let part = |name: &str| {
        let mut parts = header.split(',').filter_map(|part| part.split_once('='));
        parts
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    Some(Told {
        remaining: part("remaining")?.parse().ok()?,
        reset: Duration::try_from_secs_f64(part("reset")?.parse().ok()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Moment {
        Moment::utc(jiff::Timestamp::from_second(1_700_000_000 + second).unwrap())
    }

    #[test]
    fn only_a_header_of_its_form_is_believed() {
        let told = |remaining, seconds| {
            Some(Told {
                remaining,
                reset: Duration::from_secs_f64(seconds),
            })
        };
        assert_eq!(parse("limit=100, remaining=50, reset=5"), told(50, 5.0));
        assert_eq!(parse("limit=100,remaining=0,reset=0.25"), told(0, 0.25));
        for malformed in [
            "",
            "5",
            "limit=100, remaining=x, reset=5",
            "remaining=0",
            "remaining=0, reset=-1",
            "remaining=0, reset=NaN",
        ] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_spent_path_waits_until_it_opens_and_others_go_on() {
        let groups = Groups::new("RateLimit");
        let (lead, task) = ("https://a.example/lead/?x=1", "https://a.example/task/");
        let (lead, task) = (
            url::Url::parse(lead).unwrap(),
            url::Url::parse(task).unwrap(),
        );
        let call = |url| Call {
            method: "GET",
            url,
            headers: &[],
        };
        let headers = vec![(
            "RateLimit".to_owned(),
            "limit=2, remaining=0, reset=2.5".to_owned(),
        )];
        let reply = Response::new(200, String::new(), headers, bytes::Bytes::new());
        groups.learn(call(&lead), &reply, at(0));
        assert_eq!(
            groups.take(call(&lead), at(1)),
            Err(Duration::from_millis(1500))
        );
        assert_eq!(groups.take(call(&task), at(1)), Ok(()));
        assert_eq!(groups.take(call(&lead), at(3)), Ok(()));
    }
}
