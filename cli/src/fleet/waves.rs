//! How many clients get something new first. Pure.

use std::ops::Range;
use std::str::FromStr;

/// `1,10,50%`: after each step so many clients have it; after the last, all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waves(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Clients(usize),
    Percent(usize),
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` are no waves: write numbers of clients or percents, as in `1,10,50%`")]
pub struct NoWaves(String);

impl FromStr for Waves {
    type Err = NoWaves;

    fn from_str(text: &str) -> Result<Waves, NoWaves> {
        let steps = text.split(',').map(|step| Step::parse(step.trim()));
        let steps: Option<Vec<_>> = steps.collect();
        steps.map(Waves).ok_or_else(|| NoWaves(text.to_owned()))
    }
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        let step = match text.strip_suffix('%') {
            Some(percent) => Step::Percent(percent.parse().ok().filter(|it| *it <= 100)?),
            None => Step::Clients(text.parse().ok()?),
        };
        (step.of(100) > 0).then_some(step)
    }

    /// How many of `all` have it after this step; of a percent at least one.
    fn of(self, all: usize) -> usize {
        match self {
            Step::Clients(clients) => clients.min(all),
            Step::Percent(percent) => (all * percent).div_ceil(100),
        }
    }
}

impl Waves {
    /// The places of each wave's clients; together all of `all`, each once.
    pub fn of(&self, all: usize) -> Vec<Range<usize>> {
        let mut waves = Vec::new();
        let mut done = 0;
        for end in self.0.iter().map(|step| step.of(all)).chain([all]) {
            if end > done {
                waves.push(done..end);
                done = end;
            }
        }
        waves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waves(text: &str, all: usize) -> Vec<Range<usize>> {
        text.parse::<Waves>().unwrap().of(all)
    }

    #[test]
    fn a_wave_ends_where_it_says_and_the_last_takes_the_rest() {
        assert_eq!(waves("1,10,50%", 40), [0..1, 1..10, 10..20, 20..40]);
        assert_eq!(waves("1,10,50%", 3), [0..1, 1..3]);
        assert_eq!(waves("100%", 3).len(), 1);
        assert!(waves("1", 0).is_empty());
    }

    #[test]
    fn what_is_no_wave_is_refused() {
        for text in ["", "0", "0%", "101%", "one", "1,,2", "-1"] {
            assert!(text.parse::<Waves>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_client_is_in_exactly_one_wave(steps in proptest::collection::vec((1..300usize, any::<bool>()), 1..6), all in 0..200usize) {
            let steps: Vec<String> = steps
                .into_iter()
                .map(|(n, percent)| if percent { format!("{}%", n.min(100)) } else { n.to_string() })
                .collect();
            let waves = waves(&steps.join(","), all);
            let places: Vec<usize> = waves.into_iter().flatten().collect();
            prop_assert_eq!(places, (0..all).collect::<Vec<_>>());
        }
    }
}
