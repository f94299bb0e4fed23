//! Windows of calls: how many went, and when the next may go.

use std::collections::VecDeque;
use std::time::Duration;

use crate::source::moment::{Moment, Span};

/// `limit` calls from one reset to the next.
///
/// The reference lets its first window end ten days after the start; here it
/// ends after one period, so that a spent window waits no longer than that.
#[derive(Debug)]
pub struct Fixed {
    pub limit: u64,
    pub period: Span,
    pub used: u64,
    pub reset: Option<Moment>,
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

    pub fn take(&mut self, weight: u64, now: Moment) -> Result<(), Duration> {
        let reset = self.roll(now);
        if self.used > 0 && self.used + weight > self.limit {
            return Err(gap(now, reset));
        }
        self.used += weight;
        Ok(())
    }

    /// Calls that may still go.
    pub fn left(&mut self, now: Moment) -> u64 {
        self.roll(now);
        self.limit.saturating_sub(self.used)
    }

    pub fn learn(&mut self, left: Option<u64>, reset: Option<Moment>, now: Moment) {
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
pub struct Moving {
    pub rates: Vec<(u64, Span)>,
    pub calls: VecDeque<Moment>,
}

impl Moving {
    pub fn take(&mut self, weight: u64, now: Moment) -> Result<(), Duration> {
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

    /// Calls that may still go, of the tightest rate.
    pub fn left(&self, now: Moment) -> Option<u64> {
        let free = self.rates.iter().map(|(limit, interval)| {
            let recent = self.calls.iter().rev();
            let recent =
                recent.take_while(|call| call.plus(*interval).is_some_and(|end| end >= now));
            limit.saturating_sub(recent.count() as u64)
        });
        free.min()
    }

    /// The source says nothing is left.
    pub fn fill(&mut self, now: Moment) {
        let free = self.left(now).unwrap_or(0);
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
