//! How often a request is sent, and the waits between: counted without a clock or a network.

use std::time::{Duration, Instant};

/// Why a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// The source or the manifest said to wait so many seconds.
    Asked(f64),
    /// Too many requests, without a word on how long.
    Limited,
    /// An error that may pass.
    Passing,
    /// There is a new token.
    Token,
}

/// The attempts so far. Each cause has its own count; a rarer cause resets the more common.
#[derive(Debug)]
pub struct Retries {
    pub sent: u32,
    most: u32,
    started: Instant,
    asked: u32,
    limited: u32,
    passing: u32,
}

const MOST_TIME: Duration = Duration::from_secs(600);

impl Retries {
    pub fn new(max_retries: u32, started: Instant) -> Retries {
        Retries {
            sent: 0,
            most: max_retries,
            started,
            asked: 0,
            limited: 0,
            passing: 0,
        }
    }

    /// The wait before the next attempt; `None` when there shall be none.
    pub fn after(&mut self, cause: Cause, now: Instant) -> Option<Duration> {
        let late = now.duration_since(self.started) >= MOST_TIME;
        let (count, may_end_late) = match cause {
            Cause::Token => return Some(Duration::ZERO),
            Cause::Asked(_) => (&mut self.asked, true),
            Cause::Limited => {
                self.asked = 0;
                (&mut self.limited, false)
            }
            Cause::Passing => {
                (self.asked, self.limited) = (0, 0);
                (&mut self.passing, true)
            }
        };
        *count += 1;
        if *count > self.most || (late && may_end_late) {
            return None;
        }
        match cause {
            // One second more, as the reference does: sources round down.
            Cause::Asked(seconds) => Duration::try_from_secs_f64(seconds + 1.0).ok(),
            _ => Some(Duration::from_secs(1 << (*count - 1).min(16))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_the_retries_are_spent() {
        let now = Instant::now();
        let mut retries = Retries::new(3, now);
        let waits: Vec<_> = (0..4)
            .map(|_| {
                retries
                    .after(Cause::Passing, now)
                    .map(|wait| wait.as_secs())
            })
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn an_asked_wait_is_a_second_longer_and_no_more_after_ten_minutes() {
        let now = Instant::now();
        let mut retries = Retries::new(5, now);
        assert_eq!(
            retries.after(Cause::Asked(2.0), now),
            Some(Duration::from_secs(3))
        );
        let late = now + MOST_TIME;
        assert_eq!(
            retries.after(Cause::Limited, late),
            Some(Duration::from_secs(1))
        );
        assert_eq!(retries.after(Cause::Asked(2.0), late), None);
    }
}
