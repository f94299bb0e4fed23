//! The calls a source allows: per window, and fed by what its replies say is left.
//!
//! Decides when a call may go, given the time; waiting is the requester's.

mod matcher;
mod window;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::stream::SourceError;
use crate::task::Task;

use super::component::Component;
use super::moment::{Moment, Span};
use super::ratelimit::Groups;
use super::response::Response;
use super::template::Scope;
pub use matcher::Matcher;
use window::{Fixed, Moving};

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
    task: Task,
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
            task: Task::ALONE,
        }
    }

    /// This task's part of a budget.
    pub fn open(
        component: &Component<'_>,
        scope: &Scope,
        task: Task,
    ) -> Result<Budget, SourceError> {
        if component.kind() != "HTTPAPIBudget" {
            return Err(component.unknown("HTTPAPIBudget"));
        }
        let mut budget = Budget {
            task,
            ..Budget::unlimited()
        };
        for policy in component.list("policies")? {
            budget.policies.push(Policy::open(&policy, scope, task)?);
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

    /// How many calls like this one the declared limits leave.
    pub fn left(&self, call: Call<'_>, now: Moment) -> Option<u64> {
        let policy = self.policies.iter().find(|policy| policy.matches(call))?;
        match &policy.kind {
            Kind::Unlimited => None,
            Kind::Fixed(window) => Some(locked(window).left(now)),
            Kind::Moving(window) => locked(window).left(now),
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
            // It is said of all tasks together.
            Some(left) => left.trim().parse().ok().map(|left| self.task.part(left)),
            None if self.spent_statuses.contains(&response.status) => Some(0),
            None => None,
        };
        let reset = response.header(&self.reset_header);
        let reset = reset.and_then(|reset| super::strptime::parse(reset, "%s"));
        policy.learn(left, reset, now);
    }
}

impl Policy {
    fn open(component: &Component<'_>, scope: &Scope, task: Task) -> Result<Policy, SourceError> {
        let matchers = component.list("matchers")?;
        let matchers = matchers.iter().map(|matcher| Matcher::open(matcher, scope));
        let kind = match component.kind() {
            "UnlimitedCallRatePolicy" => Kind::Unlimited,
            "FixedWindowCallRatePolicy" => {
                let (limit, period) = (
                    whole(component, "call_limit", scope)?,
                    span(component, "period")?,
                );
                let (limit, period) = part(task, limit, period);
                Kind::Fixed(Mutex::new(Fixed {
                    limit,
                    period,
                    used: 0,
                    reset: None,
                }))
            }
            "MovingWindowCallRatePolicy" => {
                let rates = component.list("rates")?;
                let rates = rates.iter().map(|rate| {
                    let (limit, interval) = (whole(rate, "limit", scope)?, span(rate, "interval")?);
                    Ok(part(task, limit, interval))
                });
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

/// A task's part of a rate. One task alone has it as it is, a limit of none too.
fn part(task: Task, limit: u64, interval: Span) -> (u64, Span) {
    if task.count == 1 {
        return (limit, interval);
    }
    let (limit, intervals) = task.calls(limit);
    (limit, interval.times(intervals))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Moment {
        Moment::utc(jiff::Timestamp::from_second(1_700_000_000 + second).unwrap())
    }

    fn budget(policies: serde_json::Value) -> Budget {
        part_of_budget(policies, Task::ALONE)
    }

    fn part_of_budget(policies: serde_json::Value, task: Task) -> Budget {
        let json = json!({"type": "HTTPAPIBudget", "policies": policies});
        let scope = Scope::new(minijinja::context! { limit => 2 });
        Budget::open(&Component::new(&json, "api_budget"), &scope, task).unwrap()
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
    fn tasks_divide_a_budget_and_what_is_left_of_it() {
        let limit = |calls| {
            json!([{"type": "MovingWindowCallRatePolicy", "matchers": [],
                "rates": [{"type": "Rate", "limit": calls, "interval": "PT1M"}]}])
        };
        let second = Task { index: 1, count: 2 };
        let budget = part_of_budget(limit(5), second);
        let call = |second| take(&budget, "https://a.example/", second);
        assert_eq!([call(0), call(0), call(0)], [None, None, Some(60)]);
        let few = part_of_budget(limit(1), second);
        let call = |second| take(&few, "https://a.example/", second);
        assert_eq!([call(0), call(61)], [None, Some(59)]);
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
