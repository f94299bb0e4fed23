//! Clients whose plans are alike, put together, so that a thousand fit on a screen. Pure.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::{Change, Plan, Step};

/// What a plan comes to without the names: two clients that get a new image have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(BTreeMap<(char, &'static str, Vec<String>), usize>);

impl Shape {
    /// `None` where there is nothing to do.
    pub fn of(plan: &Plan) -> Option<Shape> {
        let mut parts = BTreeMap::new();
        for step in &plan.steps {
            if !matches!(step.change, Change::Keep { .. }) {
                *parts.entry(part(step)).or_default() += 1;
            }
        }
        (!parts.is_empty()).then_some(Shape(parts))
    }
}

fn part(step: &Step) -> (char, &'static str, Vec<String>) {
    let changes = step.field_changes().into_iter();
    let fields = match &step.change {
        Change::Refuse { reason } => vec![reason.to_string()],
        _ => changes.map(|change| change.field).collect(),
    };
    (sign(&step.change), step.address.kind.word(), fields)
}

fn sign(change: &Change) -> char {
    match change {
        Change::Create { .. } => '+',
        Change::Update { .. } => '~',
        Change::Replace { .. } => '±',
        Change::Delete { .. } => '-',
        Change::Keep { .. } => '=',
        Change::Refuse { .. } => '!',
    }
}

impl fmt::Display for Shape {
    /// `~ job (image), + 2 secret`; many of one sign are only counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for sign in ['!', '±', '+', '~', '-'] {
            let of_sign = || self.0.iter().filter(|((it, ..), _)| *it == sign);
            if of_sign().count() > MOST_KINDS {
                let count: usize = of_sign().map(|(_, count)| count).sum();
                parts.push(format!("{sign} {count} resources"));
                continue;
            }
            parts.extend(of_sign().map(|((_, kind, fields), count)| {
                let count = match count {
                    1 => String::new(),
                    count => format!("{count} "),
                };
                match fields.is_empty() {
                    true => format!("{sign} {count}{kind}"),
                    false => format!("{sign} {count}{kind} ({})", fields.join(", ")),
                }
            }));
        }
        write!(f, "{}", parts.join(", "))
    }
}

/// Kinds named of one sign; of more only the sum is told.
const MOST_KINDS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Address, Kind, Owner, Resources, ServiceAccount};

    fn accounts(client: &str, names: &[&str]) -> Resources {
        let account = |name: &&str| {
            let owner = Owner::client(client);
            (
                Address::new(Kind::ServiceAccount, *name),
                ServiceAccount { owner }.into(),
            )
        };
        names.iter().map(account).collect()
    }

    fn shape(actual: &Resources, desired: &Resources) -> Option<Shape> {
        Shape::of(&Plan::between(actual, desired))
    }

    #[test]
    fn plans_that_differ_in_names_only_have_one_shape() {
        let of = |client: &str, name: &str| shape(&Resources::new(), &accounts(client, &[name]));
        assert_eq!(of("acme", "a"), of("globex", "b"));
        assert_eq!(of("acme", "a").unwrap().to_string(), "+ account");
        let two = shape(&Resources::new(), &accounts("acme", &["a", "b"])).unwrap();
        assert_eq!(two.to_string(), "+ 2 account");
    }

    #[test]
    fn what_changes_is_named() {
        let before = accounts("", &["a"]);
        let changed = shape(&before, &accounts("acme", &["a"]));
        assert_ne!(changed, shape(&before, &accounts("acme", &["b"])));
        assert_eq!(shape(&before, &before), None);
    }
}
