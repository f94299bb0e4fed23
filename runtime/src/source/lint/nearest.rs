//! Which known name somebody may have meant.

/// No one means a name that is longer.
const LONGEST: usize = 60;
/// Names less like each other than this are not taken for one.
const LIKENESS: f64 = 0.8;

/// The nearest known name as the end of a sentence, where one is near.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    if name.len() > LONGEST {
        return String::new();
    }
    let letters = Letters::of(name);
    let near = known
        .filter(|candidate| letters.may_be_near(name, candidate))
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > LIKENESS);
    match near {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None => String::new(),
    }
}

/// How often each byte is in a name.
struct Letters([u8; 256]);

impl Letters {
    fn of(name: &str) -> Letters {
        let mut counts = [0; 256];
        for letter in name.bytes() {
            counts[usize::from(letter)] += 1;
        }
        Letters(counts)
    }

    /// A bound that is quicker to tell than the likeness: no more letters can match than are shared.
    fn may_be_near(&self, name: &str, candidate: &str) -> bool {
        if !name.is_ascii() || !candidate.is_ascii() || name.is_empty() || candidate.is_empty() {
            return true;
        }
        let shared = self.shared(candidate) as f64;
        let matched = shared / name.len() as f64 + shared / candidate.len() as f64;
        let plain = (matched + 1.0) / 3.0;
        // Up to four equal first letters count once more.
        let first = match name.as_bytes()[0] == candidate.as_bytes()[0] {
            true => 0.4 * (1.0 - plain),
            false => 0.0,
        };
        plain + first > LIKENESS
    }

    fn shared(&self, candidate: &str) -> usize {
        let mut left = self.0;
        let letters = candidate.bytes().filter(|letter| {
            let count = &mut left[usize::from(*letter)];
            let is_shared = *count > 0;
            *count -= u8::from(is_shared);
            is_shared
        });
        letters.count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_near_name_is_passed_over(name in "[a-d_]{1,9}", candidate in "[a-d_]{1,9}") {
            if strsim::jaro_winkler(&name, &candidate) > LIKENESS {
                prop_assert!(Letters::of(&name).may_be_near(&name, &candidate));
            }
        }
    }

    #[test]
    fn a_slip_is_near_and_another_name_is_not() {
        let known = || ["http_method", "url", "path"].into_iter();
        assert_eq!(
            nearest("htp_method", known()),
            "; did you mean `http_method`?"
        );
        assert_eq!(nearest("colour", known()), "");
        assert_eq!(nearest(&"http_method".repeat(9), known()), "");
    }
}
