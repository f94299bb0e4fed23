//! Close's rate limits: a budget of calls for each group of endpoints and each key.
//!
//! Knows no clock: each question brings the time, in milliseconds.

use std::collections::BTreeMap;

use super::super::common::window::Window;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub calls: u32,
    pub seconds: u32,
}

/// What the `RateLimit` header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds, which may be a fraction.
    pub reset: f64,
    pub refused: bool,
}

#[derive(Debug)]
pub struct Limits {
    allowance: Allowance,
    windows: BTreeMap<String, Window>,
}

impl Limits {
    pub fn new(allowance: Allowance) -> Limits {
        Limits {
            allowance,
            windows: BTreeMap::new(),
        }
    }

    /// Counts a call of a group by a key, if there is one left.
    pub fn enter(&mut self, group: &str, now: i64) -> Told {
        let Allowance { calls, seconds } = self.allowance;
        let window = self.windows.entry(group.to_owned());
        let window = window.or_insert_with(|| Window::new(i64::from(seconds) * 1000, calls));
        window.open(now);
        let refused = window.remaining() == 0;
        if !refused {
            window.take();
        }
        Told {
            limit: calls,
            remaining: window.remaining(),
            reset: window.rest(now) as f64 / 1000.0,
            refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own_budget() {
        let mut limits = Limits::new(Allowance {
            calls: 2,
            seconds: 5,
        });
        assert!(!limits.enter("lead", 0).refused);
        assert!(!limits.enter("lead", 10).refused);
        let told = limits.enter("lead", 1_250);
        assert_eq!((told.refused, told.remaining, told.reset), (true, 0, 3.75));
        assert!(!limits.enter("task", 1_250).refused);
        assert!(!limits.enter("lead", 5_000).refused);
    }
}
