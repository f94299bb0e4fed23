//! Shell patterns, as Python's `fnmatch` has them.

/// Shell patterns with `*`, `?` and `[letters]`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut here) = (0, 0);
    // Where to go on when a `*` has to stand for one letter more.
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match single(&pattern[at..], name[here]) {
            Some(0) => {
                star = Some((at + 1, here));
                at += 1;
            }
            Some(length) => {
                at += length;
                here += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    at = after;
                    here = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// The length of the pattern's part that takes this letter: 0 for a `*`, none if it does not.
fn single(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '*' => Some(0),
        '?' => Some(1),
        '[' => match set_length(pattern) {
            Some(length) => in_set(&pattern[1..length - 1], letter).then_some(length),
            None => (letter == '[').then_some(1),
        },
        wanted => (*wanted == letter).then_some(1),
    }
}

/// The length of `[...]`; a `]` right at its beginning is one of its letters.
fn set_length(pattern: &[char]) -> Option<usize> {
    let start = match pattern.get(1)? {
        '!' => 3,
        _ => 2,
    };
    let end = pattern
        .iter()
        .skip(start)
        .position(|letter| *letter == ']')?;
    Some(start + end + 1)
}

fn in_set(set: &[char], letter: char) -> bool {
    let (set, wanted) = match set.split_first() {
        Some(('!', rest)) => (rest, false),
        _ => (set, true),
    };
    let mut rest = set;
    let mut hit = false;
    while let Some(first) = rest.first() {
        match rest {
            [low, '-', high, ..] => {
                hit |= (*low..=*high).contains(&letter);
                rest = &rest[3..];
            }
            _ => {
                hit |= *first == letter;
                rest = &rest[1..];
            }
        }
    }
    hit == wanted
}
