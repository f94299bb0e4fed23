//! The calls a source allows: per window, and fed by what its replies say is left.
//!
//! Decides when a call may go, given the time; waiting is the requester's.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use regex::Regex;

use crate::stream::SourceError;

use super::component::Component;
use super::moment::{Moment, Span};
use super::ratelimit::Groups;
use super::response::Response;
use super::template::Scope;

/// What a policy looks at in a request.
#[derive(Debug, Clone, Copy)]
pub struct Call<'r> {
    pub method: &'r str,
    pub url: &'r url::Url,
    pub headers: &'r [(String, String)],
}

/// The policies of one source; the first that matches a call rules it.
#[derive(Debug)]
pub struct Budget {
    policies: Vec<Policy>,
    reset_header: String,
    remaining_header: String,
    spent_statuses: Vec<u16>,
    groups: Option<Groups>,
}

#[derive(Debug)]
struct Policy {
    matchers: Vec<Matcher>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unlimited,
    Fixed(Mutex<Fixed>),
    Moving(Mutex<Moving>),
}

impl Budget {
    /// A budget without limits.
    pub fn unlimited() -> Budget {
        Budget {
            policies: Vec::new(),
            reset_header: "ratelimit-reset".to_owned(),
            remaining_header: "ratelimit-remaining".to_owned(),
            spent_statuses: vec![429],
            groups: None,
        }
    }

    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<Budget, SourceError> {
        if component.kind() != "HTTPAPIBudget" {
            return Err(component.unknown("HTTPAPIBudget"));
        }
        let mut budget = Budget::unlimited();
        for policy in component.children("policies") {
            budget.policies.push(Policy::open(&policy, scope)?);
        }
        budget.groups = component.text("xetl_ratelimit_header").map(Groups::new);
        if let Some(header) = component.text("ratelimit_reset_header") {
            budget.reset_header = header.to_owned();
        }
        if let Some(header) = component.text("ratelimit_remaining_header") {
            budget.remaining_header = header.to_owned();
        }
        let statuses = component.field("status_codes_for_ratelimit_hit");
        if let Some(statuses) = statuses.and_then(|statuses| statuses.as_array()) {
            let statuses = statuses.iter().filter_map(serde_json::Value::as_u64);
            budget.spent_statuses = statuses
                .filter_map(|code| u16::try_from(code).ok())
                .collect();
        }
        Ok(budget)
    }

    /// Counts the call, or says how long to wait before asking again.
    pub fn take(&self, call: Call<'_>, now: Moment) -> Result<(), Duration> {
        if let Some(groups) = &self.groups {
            groups.take(call, now)?;
        }
        match self.policies.iter().find(|policy| policy.matches(call)) {
            Some(policy) => policy.take(policy.weight(call), now),
            None => Ok(()),
        }
    }

    /// Learns from a reply how many calls are left, and until when.
    pub fn learn(&self, call: Call<'_>, response: &Response, now: Moment) {
        if let Some(groups) = &self.groups {
            groups.learn(call, response, now);
        }
        let Some(policy) = self.policies.iter().find(|policy| policy.matches(call)) else {
            return;
        };
        let left = match response.header(&self.remaining_header) {
            Some(left) => left.trim().parse().ok(),
            None if self.spent_statuses.contains(&response.status) => Some(0),
            None => None,
        };
        let reset = response.header(&self.reset_header);
        let reset = reset.and_then(|reset| super::strptime::parse(reset, "%s"));
        policy.learn(left, reset, now);
    }
}

impl Policy {
    fn open(component: &Component<'_>, scope: &Scope) -> Result<Policy, SourceError> {
        let matchers = component.children("matchers");
        let matchers = matchers.iter().map(|matcher| Matcher::open(matcher, scope));
        let kind = match component.kind() {
            "UnlimitedCallRatePolicy" => Kind::Unlimited,
            "FixedWindowCallRatePolicy" => Kind::Fixed(Mutex::new(Fixed {
                limit: whole(component, "call_limit", scope)?,
                period: span(component, "period")?,
                used: 0,
                reset: None,
            })),
            "MovingWindowCallRatePolicy" => {
                let rates = component.children("rates");
                let rates = rates
                    .iter()
                    .map(|rate| Ok((whole(rate, "limit", scope)?, span(rate, "interval")?)));
                Kind::Moving(Mutex::new(Moving {
                    rates: rates.collect::<Result<_, SourceError>>()?,
                    calls: VecDeque::new(),
                }))
            }
            _ => return Err(component.unknown("a call rate policy")),
        };
        Ok(Policy {
            matchers: matchers.collect::<Result<_, _>>()?,
            kind,
        })
    }

    fn matches(&self, call: Call<'_>) -> bool {
        self.matchers.is_empty() || self.matchers.iter().any(|matcher| matcher.matches(call))
    }

    fn weight(&self, call: Call<'_>) -> u64 {
        let found = self.matchers.iter().find(|matcher| matcher.matches(call));
        found.map_or(1, |matcher| matcher.weight)
    }

    fn take(&self, weight: u64, now: Moment) -> Result<(), Duration> {
        match &self.kind {
            Kind::Unlimited => Ok(()),
            Kind::Fixed(window) => locked(window).take(weight, now),
            Kind::Moving(window) => locked(window).take(weight, now),
        }
    }

    fn learn(&self, left: Option<u64>, reset: Option<Moment>, now: Moment) {
        match &self.kind {
            Kind::Unlimited => {}
            Kind::Fixed(window) => locked(window).learn(left, reset, now),
            Kind::Moving(window) if left == Some(0) && reset.is_none() => locked(window).fill(now),
            Kind::Moving(_) => {}
        }
    }
}

/// The counts stay sound when a holder of the lock panics.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn whole(component: &Component<'_>, name: &str, scope: &Scope) -> Result<u64, SourceError> {
    let text = component
        .need_template(name)?
        .text(scope)
        .map_err(|error| component.error(error.to_string()))?;
    text.parse()
        .map_err(|_| component.error(format!("`{name}` is `{text}`, not a whole number")))
}

fn span(component: &Component<'_>, name: &str) -> Result<Span, SourceError> {
    let text = component.text(name).unwrap_or_default();
    Span::parse(text)
        .ok_or_else(|| component.error(format!("`{name}: {text}` is no ISO 8601 duration")))
}

/// `limit` calls from one reset to the next.
///
/// The reference lets its first window end ten days after the start; here it
/// ends after one period, so that a spent window waits no longer than that.
#[derive(Debug)]
struct Fixed {
    limit: u64,
    period: Span,
    used: u64,
    reset: Option<Moment>,
}

impl Fixed {
    fn roll(&mut self, now: Moment) -> Moment {
        match self.reset {
            Some(reset) if now <= reset => reset,
            _ => {
                let reset = now.plus(self.period).unwrap_or(now);
                (self.reset, self.used) = (Some(reset), 0);
                reset
            }
        }
    }

    fn take(&mut self, weight: u64, now: Moment) -> Result<(), Duration> {
        let reset = self.roll(now);
        if self.used > 0 && self.used + weight > self.limit {
            return Err(gap(now, reset));
        }
        self.used += weight;
        Ok(())
    }

    fn learn(&mut self, left: Option<u64>, reset: Option<Moment>, now: Moment) {
        self.roll(now);
        if let Some(left) = left
            && self.limit.saturating_sub(self.used) > left
        {
            self.used = self.limit - left;
        }
        if reset.is_some() {
            self.reset = reset;
        }
    }
}

/// `limit` calls within each interval that ends now.
#[derive(Debug)]
struct Moving {
    rates: Vec<(u64, Span)>,
    calls: VecDeque<Moment>,
}

impl Moving {
    fn take(&mut self, weight: u64, now: Moment) -> Result<(), Duration> {
        let waits = self.rates.iter().map(|rate| self.wait(*rate, weight, now));
        match waits.max().unwrap_or_default() {
            Duration::ZERO => {}
            wait => return Err(wait),
        }
        self.forget(now);
        self.calls.extend((0..weight).map(|_| now));
        Ok(())
    }

    fn wait(&self, (limit, interval): (u64, Span), weight: u64, now: Moment) -> Duration {
        // A call of more than the limit goes alone.
        let allowed = limit.saturating_sub(weight.min(limit)) as usize;
        let Some(index) = self.calls.len().checked_sub(allowed + 1) else {
            return Duration::ZERO;
        };
        let free = self.calls[index].plus(interval).unwrap_or(now);
        gap(now, free)
    }

    fn forget(&mut self, now: Moment) {
        let longest = self.rates.iter().map(|(_, interval)| *interval).max();
        while let (Some(first), Some(longest)) = (self.calls.front(), longest)
            && first.plus(longest).is_some_and(|end| end < now)
        {
            self.calls.pop_front();
        }
    }

    /// The source says nothing is left.
    fn fill(&mut self, now: Moment) {
        let free = self.rates.iter().map(|(limit, interval)| {
            let recent = self.calls.iter().rev();
            let recent =
                recent.take_while(|call| call.plus(*interval).is_some_and(|end| end >= now));
            limit.saturating_sub(recent.count() as u64)
        });
        let free = free.min().unwrap_or(0);
        self.calls.extend((0..free).map(|_| now));
    }
}

/// From `now` until `then`, at least a millisecond, as the instant itself is still inside.
fn gap(now: Moment, then: Moment) -> Duration {
    let micros = then.at.as_microsecond() - now.at.as_microsecond();
    match u64::try_from(micros) {
        Ok(micros) => Duration::from_micros(micros).max(Duration::from_millis(1)),
        Err(_) => Duration::ZERO,
    }
}

#[derive(Debug)]
struct Matcher {
    method: Option<String>,
    base: Option<String>,
    path: Option<Regex>,
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    weight: u64,
}

impl Matcher {
    fn open(component: &Component<'_>, scope: &Scope) -> Result<Matcher, SourceError> {
        let path = match component.text("url_path_pattern") {
            Some(pattern) => Some(
                Regex::new(pattern)
                    .map_err(|error| component.error(format!("`url_path_pattern`: {error}")))?,
            ),
            None => None,
        };
        let pairs = |name: &str| {
            let fields = component.field(name).and_then(|fields| fields.as_object());
            let fields = fields.into_iter().flatten();
            let text = |value| super::python::text(&crate::value::Value::from(value));
            fields
                .map(|(key, value)| (key.clone(), text(value)))
                .collect()
        };
        Ok(Matcher {
            method: component.text("method").map(str::to_uppercase),
            base: component
                .text("url_base")
                .map(|base| base.trim_end_matches('/').to_owned()),
            path,
            params: pairs("params"),
            headers: pairs("headers"),
            weight: match component.field("weight") {
                Some(_) => whole(component, "weight", scope)?,
                None => 1,
            },
        })
    }

    fn matches(&self, call: Call<'_>) -> bool {
        let base = || call.url[..url::Position::BeforePath].to_owned();
        let path = || call.url.path().trim_end_matches('/');
        let has_param = |(key, value): &(String, String)| {
            let mut pairs = call.url.query_pairs();
            pairs.any(|(name, there)| name == *key && there == *value)
        };
        let has_header = |(key, value): &(String, String)| {
            let mut headers = call.headers.iter();
            headers.any(|(name, there)| name.eq_ignore_ascii_case(key) && there == value)
        };
        self.method
            .as_ref()
            .is_none_or(|method| method == call.method)
            && self.base.as_ref().is_none_or(|wanted| *wanted == base())
            && self
                .path
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(path()))
            && self.params.iter().all(has_param)
            && self.headers.iter().all(has_header)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Moment {
        Moment::utc(jiff::Timestamp::from_second(1_700_000_000 + second).unwrap())
    }

    fn budget(policies: serde_json::Value) -> Budget {
        let json = json!({"type": "HTTPAPIBudget", "policies": policies});
        let scope = Scope::new(minijinja::context! { limit => 2 });
        Budget::open(&Component::new(&json, "api_budget"), &scope).unwrap()
    }

    fn take(budget: &Budget, url: &str, second: i64) -> Option<u64> {
        let url = url::Url::parse(url).unwrap();
        let call = Call {
            method: "GET",
            url: &url,
            headers: &[],
        };
        budget
            .take(call, at(second))
            .err()
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn a_moving_window_lets_each_interval_have_its_limit() {
        let budget = budget(
            json!([{"type": "MovingWindowCallRatePolicy", "matchers": [],
            "rates": [{"type": "Rate", "limit": "{{ config.limit }}", "interval": "PT10S"}]}]),
        );
        let take = |second| take(&budget, "https://a.example/", second);
        assert_eq!(take(0), None);
        assert_eq!(take(4), None);
        assert_eq!(take(5), Some(5));
        assert_eq!(take(11), None);
        assert_eq!(take(12), Some(2));
    }

    #[test]
    fn a_fixed_window_opens_again_after_its_period() {
        let budget = budget(json!([{"type": "FixedWindowCallRatePolicy", "matchers": [],
            "call_limit": 2, "period": "PT1M"}]));
        let take = |second| take(&budget, "https://a.example/", second);
        assert_eq!([take(0), take(1), take(20)], [None, None, Some(40)]);
        assert_eq!(take(61), None);
    }

    #[test]
    fn what_a_reply_says_is_left_counts() {
        let budget = budget(json!([{"type": "FixedWindowCallRatePolicy", "matchers": [],
            "call_limit": 60, "period": "PT1M"}]));
        let url = url::Url::parse("https://a.example/").unwrap();
        let call = Call {
            method: "GET",
            url: &url,
            headers: &[],
        };
        let headers = vec![("RateLimit-Remaining".to_owned(), "0".to_owned())];
        budget.take(call, at(0)).unwrap();
        budget.learn(
            call,
            &Response::new(200, String::new(), headers, bytes::Bytes::new()),
            at(1),
        );
        assert_eq!(take(&budget, "https://a.example/", 2), Some(58));
    }

    #[test]
    fn the_first_policy_that_matches_rules() {
        let budget = budget(json!([
            {"type": "UnlimitedCallRatePolicy", "matchers": [{"type": "HttpRequestRegexMatcher", "url_path_pattern": "^/free"}]},
            {"type": "FixedWindowCallRatePolicy", "call_limit": 1, "period": "PT1M", "matchers": [
                {"type": "HttpRequestRegexMatcher", "method": "get", "url_base": "https://a.example", "params": {"p": 1}}]},
        ]));
        for _ in 0..3 {
            assert_eq!(take(&budget, "https://a.example/free?p=1", 0), None);
            assert_eq!(take(&budget, "https://a.example/other", 0), None);
        }
        assert_eq!(take(&budget, "https://a.example/other?p=1", 0), None);
        assert_eq!(take(&budget, "https://a.example/other?p=1", 0), Some(60));
    }
}
