//! Xero's rate limits: calls a minute, a day, and at once.
//!
//! Knows no clock: each question brings the time, in milliseconds.

use super::super::common::window::Window;
use super::ledger::clock::DAY;

const MINUTE: i64 = 60_000;
const APP_MINUTE: u32 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub calls_per_minute: u32,
    pub calls_per_day: u32,
    pub concurrent: u32,
}

/// Why a call is refused, and for how many seconds, where Xero tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub problem: &'static str,
    pub retry_after: Option<i64>,
}

/// What the reply's headers say is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    pub minute: u32,
    pub day: u32,
    pub app_minute: u32,
}

#[derive(Debug, Clone)]
pub struct Limits {
    minute: Window,
    day: Window,
    app_minute: Window,
    concurrent: u32,
    in_flight: u32,
    most_in_flight: u32,
}

impl Limits {
    pub fn new(allowance: Allowance) -> Limits {
        Limits {
            minute: Window::new(MINUTE, allowance.calls_per_minute),
            day: Window::new(DAY, allowance.calls_per_day),
            app_minute: Window::new(MINUTE, APP_MINUTE.max(allowance.calls_per_minute)),
            concurrent: allowance.concurrent,
            in_flight: 0,
            most_in_flight: 0,
        }
    }

    /// Lets a call in, or says what stands against it. A call let in must `leave`.
    pub fn enter(&mut self, now: i64) -> Result<(), Refusal> {
        for window in [&mut self.minute, &mut self.day, &mut self.app_minute] {
            window.open(now);
        }
        self.refusal(now).map_or(Ok(()), Err)?;
        for window in [&mut self.minute, &mut self.day, &mut self.app_minute] {
            window.take();
        }
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        Ok(())
    }

    fn refusal(&self, now: i64) -> Option<Refusal> {
        if self.in_flight >= self.concurrent {
            return Some(Refusal {
                problem: "concurrent",
                retry_after: None,
            });
        }
        let day = refusal(&self.day, "day", now);
        day.or_else(|| refusal(&self.minute, "minute", now))
            .or_else(|| refusal(&self.app_minute, "appminute", now))
    }

    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub fn remaining(&self) -> Remaining {
        Remaining {
            minute: self.minute.remaining(),
            day: self.day.remaining(),
            app_minute: self.app_minute.remaining(),
        }
    }

    pub fn most_in_flight(&self) -> u32 {
        self.most_in_flight
    }
}

fn refusal(window: &Window, problem: &'static str, now: i64) -> Option<Refusal> {
    let seconds = (window.rest(now) + 999) / 1000;
    (window.remaining() == 0).then_some(Refusal {
        problem,
        retry_after: Some(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(Allowance {
            calls_per_minute: 3,
            calls_per_day: 5,
            concurrent: 2,
        })
    }

    fn call(limits: &mut Limits, now: i64) -> Result<(), Refusal> {
        limits.enter(now)?;
        limits.leave();
        Ok(())
    }

    #[test]
    fn a_minute_allows_its_calls_and_says_when_the_next_begins() {
        let mut limits = limits();
        for now in [0, 100, 20_500] {
            call(&mut limits, now).unwrap();
        }
        assert_eq!(limits.remaining().minute, 0);
        let refusal = call(&mut limits, 20_600).unwrap_err();
        assert_eq!(
            refusal,
            Refusal {
                problem: "minute",
                retry_after: Some(40)
            }
        );
        call(&mut limits, 60_000).unwrap();
    }

    #[test]
    fn a_spent_day_says_how_much_of_it_is_left() {
        let mut limits = limits();
        for minute in 0..5 {
            call(&mut limits, minute * MINUTE).unwrap();
        }
        let refusal = call(&mut limits, 5 * MINUTE).unwrap_err();
        assert_eq!(
            refusal,
            Refusal {
                problem: "day",
                retry_after: Some(86_100)
            }
        );
    }

    #[test]
    fn too_many_at_once_are_told_no_time() {
        let mut limits = limits();
        limits.enter(0).unwrap();
        limits.enter(0).unwrap();
        let refusal = limits.enter(0).unwrap_err();
        assert_eq!(
            refusal,
            Refusal {
                problem: "concurrent",
                retry_after: None
            }
        );
        limits.leave();
        limits.enter(0).unwrap();
        assert_eq!(limits.most_in_flight(), 2);
    }
}
