//! The calls that interchangeable tokens have left, and whose turn it is: decided without a clock or a network.

use std::time::Duration;

use crate::source::moment::Moment;

/// What a token has left of one pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    pub remaining: i64,
    pub limit: i64,
    pub reset: Moment,
    /// Whether the source counts calls at all; without it the numbers mean nothing.
    pub tracked: bool,
}

/// What a reply says of the pool its request was counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Report {
    pub remaining: Option<i64>,
    pub limit: Option<i64>,
    pub reset: Option<Moment>,
    /// The source refused the call for its rate.
    pub spent: bool,
}

/// Whose turn it is.
#[derive(Debug, PartialEq)]
pub enum Turn {
    /// This token's, after a pause that spreads the last calls.
    Token(usize, Duration),
    /// Nobody's until the first window ends.
    Wait(Duration),
    /// Nobody's, and the wait would be too long.
    Spent(Duration),
}

/// When calls are spread out before all are spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reserve {
    pub fraction: f64,
    pub least: i64,
}

/// All tokens' quotas, by token and pool, and the token that is used now.
#[derive(Debug)]
pub struct Quotas {
    states: Vec<Vec<Quota>>,
    active: usize,
    reserve: Reserve,
}

const LONGEST_PAUSE: f64 = 10.0;
/// Against a reset in the past, which would have the quotas asked for without end.
const SHORTEST_WAIT: f64 = 5.0;
/// How far the quotas' source and a reply's headers may disagree about one window.
const SKEW: f64 = 60.0;

impl Quotas {
    pub fn new(states: Vec<Vec<Quota>>, reserve: Reserve) -> Quotas {
        Quotas {
            states,
            active: 0,
            reserve,
        }
    }

    /// Takes over new numbers; the token in use stays.
    pub fn renew(&mut self, states: Vec<Vec<Quota>>) {
        self.states = states;
    }

    /// Takes a call of this pool; `patience` is how long one may still wait.
    pub fn take(&mut self, pool: usize, now: Moment, patience: Duration) -> Turn {
        for _ in 0..self.states.len() {
            let (token, quota) = (self.active, self.states[self.active][pool]);
            if !quota.tracked {
                self.rotate();
                return Turn::Token(token, Duration::ZERO);
            }
            if quota.remaining > 0 {
                self.states[token][pool].remaining -= 1;
                return Turn::Token(token, self.pause(pool, now));
            }
            self.rotate();
        }
        self.wait(pool, now, patience)
    }

    pub fn is_spent(&self, pool: usize) -> bool {
        let mut states = self.states.iter();
        states.all(|token| token[pool].tracked && token[pool].remaining <= 0)
    }

    /// Whether this token is spent while another has calls left.
    pub fn has_other(&self, token: usize, pool: usize) -> bool {
        let own = self.states[token][pool];
        let others = self.states.iter().enumerate();
        own.tracked
            && own.remaining <= 0
            && others
                .filter(|(other, _)| *other != token)
                .any(|(_, state)| state[pool].remaining > 0)
    }

    /// Sets a token's pool right by what a reply says.
    pub fn learn(&mut self, token: usize, pool: usize, report: Report) {
        let quota = &mut self.states[token][pool];
        if quota.tracked {
            quota.learn(report);
        }
    }

    fn rotate(&mut self) {
        self.active = (self.active + 1) % self.states.len();
    }

    /// Spreads what is left over the window once every token is down to its reserve.
    fn pause(&self, pool: usize, now: Moment) -> Duration {
        let states = || self.states.iter().map(|token| &token[pool]);
        let kept = |quota: &Quota| {
            let share = quota.limit as f64 * self.reserve.fraction;
            share.max(self.reserve.least as f64)
        };
        if !states().all(|quota| quota.tracked && quota.remaining as f64 <= kept(quota)) {
            return Duration::ZERO;
        }
        let left: i64 = states().map(|quota| quota.remaining.max(0)).sum();
        let seconds = between(now, self.states[self.active][pool].reset);
        if left <= 0 || seconds <= 0.0 {
            return Duration::ZERO;
        }
        let pause = (seconds / left as f64).min(LONGEST_PAUSE);
        // A shorter one is not worth it.
        Duration::from_secs_f64(if pause < 0.1 { 0.0 } else { pause })
    }

    fn wait(&self, pool: usize, now: Moment, patience: Duration) -> Turn {
        let resets = self.states.iter();
        let resets = resets.map(|token| between(now, token[pool].reset));
        let first = resets.fold(f64::INFINITY, f64::min);
        let patience = patience.as_secs_f64();
        if patience <= 0.0 || first >= patience {
            let wait = Duration::try_from_secs_f64(first.max(SHORTEST_WAIT));
            return Turn::Spent(wait.unwrap_or_default());
        }
        Turn::Wait(Duration::from_secs_f64(
            first.max(SHORTEST_WAIT).min(patience),
        ))
    }
}

impl Quota {
    fn learn(&mut self, report: Report) {
        // Of an older window's reply not even the limit is of use.
        let is_current = report.reset.is_none_or(|reset| reset >= self.reset);
        if let Some(limit) = report.limit.filter(|limit| *limit > 0 && is_current) {
            self.limit = limit;
        }
        if let Some(reset) = report.reset.filter(|reset| *reset > self.reset) {
            self.reset = reset;
            self.remaining = report.remaining.unwrap_or(self.limit);
            return;
        }
        let same_window = report
            .reset
            .is_none_or(|reset| between(reset, self.reset) <= SKEW);
        let refused = |remaining: i64| remaining <= 0 && report.spent;
        let remaining = report.remaining.filter(|it| same_window || refused(*it));
        if let Some(remaining) = remaining {
            // Replies come out of order: calls are never given back.
            self.remaining = self.remaining.min(remaining);
        }
    }
}

/// Seconds from one moment to another.
fn between(from: Moment, to: Moment) -> f64 {
    (to.at.as_microsecond() - from.at.as_microsecond()) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_secs(7200);
    const NO_RESERVE: Reserve = Reserve {
        fraction: 0.0,
        least: 0,
    };

    fn at(second: i64) -> Moment {
        Moment::utc(jiff::Timestamp::from_second(1_700_000_000 + second).unwrap())
    }

    fn left(remaining: i64) -> Quota {
        Quota {
            remaining,
            limit: 100,
            reset: at(600),
            tracked: true,
        }
    }

    fn quotas(states: &[Quota], reserve: Reserve) -> Quotas {
        Quotas::new(states.iter().map(|state| vec![*state]).collect(), reserve)
    }

    #[test]
    fn a_spent_token_gives_way_to_the_next() {
        let mut quotas = quotas(&[left(1), left(2)], NO_RESERVE);
        let turns: Vec<Turn> = (0..4).map(|_| quotas.take(0, at(0), PATIENT)).collect();
        let token = |token| Turn::Token(token, Duration::ZERO);
        assert_eq!(turns[..3], [token(0), token(1), token(1)]);
        assert_eq!(turns[3], Turn::Wait(Duration::from_secs(600)));
    }

    #[test]
    fn nobody_waits_longer_than_allowed_nor_less_than_five_seconds() {
        let mut spent = quotas(&[left(0)], NO_RESERVE);
        let short = Duration::from_secs(60);
        let too_long = Turn::Spent(Duration::from_secs(600));
        assert_eq!(spent.take(0, at(0), short), too_long);
        let stale = spent.take(0, at(9000), short);
        assert_eq!(stale, Turn::Wait(Duration::from_secs(5)));
    }

    #[test]
    fn the_last_calls_are_spread_over_the_window() {
        let reserve = Reserve {
            fraction: 0.1,
            least: 0,
        };
        let mut quotas = quotas(&[left(5), left(96)], reserve);
        let first = quotas.take(0, at(0), PATIENT);
        assert_eq!(first, Turn::Token(0, Duration::ZERO));
        quotas.renew(vec![vec![left(5)], vec![left(6)]]);
        let second = quotas.take(0, at(500), PATIENT);
        assert_eq!(second, Turn::Token(0, Duration::from_secs(10)));
    }

    #[test]
    fn tokens_nobody_counts_take_turns() {
        let free = Quota {
            tracked: false,
            ..left(0)
        };
        let mut quotas = quotas(&[free, free], NO_RESERVE);
        let mut token = || match quotas.take(0, at(0), PATIENT) {
            Turn::Token(token, _) => token,
            other => panic!("{other:?}"),
        };
        assert_eq!([token(), token(), token()], [0, 1, 0]);
    }

    #[test]
    fn a_reply_only_lowers_the_count_until_the_window_is_a_new_one() {
        let learned = |report: Report| {
            let mut quotas = quotas(&[left(7)], NO_RESERVE);
            quotas.learn(0, 0, report);
            quotas.states[0][0].remaining
        };
        let report = |remaining, second| Report {
            remaining: Some(remaining),
            reset: Some(at(second)),
            ..Report::default()
        };
        assert_eq!(learned(report(3, 600)), 3);
        assert_eq!(learned(report(9, 600)), 7);
        assert_eq!(learned(report(3, 545)), 3);
        assert_eq!(learned(report(3, 500)), 7);
        assert_eq!(learned(report(50, 700)), 50);
        let refused = Report {
            spent: true,
            ..report(0, 100)
        };
        assert_eq!(learned(refused), 0);
    }

    #[test]
    fn another_token_helps_only_one_that_is_spent() {
        let quotas = quotas(&[left(0), left(1)], NO_RESERVE);
        assert!(quotas.has_other(0, 0));
        assert!(!quotas.has_other(1, 0));
    }
}
