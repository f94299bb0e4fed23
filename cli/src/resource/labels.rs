//! Labels: ours, the user's own, and those of others, which stay as they are.
//!
//! Which of the labels there are the user's own is kept as a label itself, `xetl-labels`,
//! in hashes of their names: so one that is declared no more is known and taken away. What
//! else has only names (a dataset's readers) is marked in the same way.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Owner;
use super::owner::{CLIENT, MANAGED_BY, PIPELINE};

/// Labels by their key.
pub type Labels = BTreeMap<String, String>;

/// The label that marks the user's own labels.
pub const OWN_LABELS: &str = "xetl-labels";
/// The label that marks a dataset's readers.
pub const READERS: &str = "xetl-readers";
/// Marks a label's value has room for.
pub const MOST_MARKED: usize = 9;
const MARK: usize = 6;

/// The marks of these names, as a label's value.
pub fn marks<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let marks: Vec<String> = names.into_iter().map(|name| mark(name)).collect();
    marks.join("-")
}

/// Whether the marks in the label's value have this name among them.
pub fn is_marked(marks: Option<&String>, name: &str) -> bool {
    marks.is_some_and(|marks| marks.split('-').any(|other| other == mark(name)))
}

fn mark(name: &str) -> String {
    hex::encode(Sha256::digest(name))[..MARK].to_owned()
}

/// The user's own among the labels of a resource.
pub fn own(all: &Labels) -> Labels {
    let marks = all.get(OWN_LABELS);
    let own = all.iter().filter(|(key, _)| is_marked(marks, key));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The labels of a new resource.
pub fn written(owner: &Owner, own: &Labels) -> Labels {
    rewritten(&Labels::new(), owner, own)
}

/// The labels of a resource that has `before`: what others wrote stays.
pub fn rewritten(before: &Labels, owner: &Owner, own: &Labels) -> Labels {
    let marks_before = before.get(OWN_LABELS);
    let ours = |key: &String| {
        [MANAGED_BY, CLIENT, PIPELINE, OWN_LABELS].contains(&key.as_str())
            || is_marked(marks_before, key)
    };
    let others = before.iter().filter(|(key, _)| !ours(key));
    let mut labels: Labels = others.map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.extend(own.clone());
    if !own.is_empty() {
        labels.insert(OWN_LABELS.to_owned(), marks(own.keys()));
    }
    labels.extend(owner.labels());
    labels
}

/// What a PATCH has to say to make `before` into `after`: `None` takes a label away.
pub fn patch(before: &Labels, after: &Labels) -> BTreeMap<String, Option<String>> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let set = after.iter().map(|(k, v)| (k.clone(), Some(v.clone())));
    gone.map(|key| (key.clone(), None)).chain(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn own_labels_are_read_back_and_taken_away_and_others_stay() {
        let owner = Owner::pipeline("acme", "xero");
        let mine = labels(&[("team", "data"), ("cost", "a1")]);
        let mut there = written(&owner, &mine);
        there.extend(labels(&[("goog-managed", "x")]));
        assert_eq!(own(&there), mine);
        assert_eq!(Owner::of_labels(&there), owner);

        let fewer = labels(&[("team", "data")]);
        let after = rewritten(&there, &owner, &fewer);
        assert_eq!(own(&after), fewer);
        assert_eq!(after["goog-managed"], "x");
        assert!(!after.contains_key("cost"));
        assert_eq!(patch(&there, &after)["cost"], None);

        let none = rewritten(&after, &Owner::client("acme"), &Labels::new());
        let left: Vec<_> = none.keys().collect();
        assert_eq!(left, ["goog-managed", "managed-by", "xetl-client"]);
    }

    #[test]
    fn as_many_marks_as_are_allowed_fit_a_label() {
        let names: Vec<String> = (0..MOST_MARKED).map(|n| n.to_string()).collect();
        assert!(marks(&names).len() <= 63);
    }
}
