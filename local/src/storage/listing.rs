//! A listing of objects: prefixes, delimiters and pages.

use std::borrow::Cow;
use std::ops::ControlFlow;

use regex::Regex;

use super::Object;

/// What a listing asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub prefix: String,
    pub delimiter: String,
    pub start: String,
    pub end: String,
    /// The last position of the page before.
    pub after: Option<String>,
    /// What names must match.
    pub glob: Option<Regex>,
    pub most: usize,
    /// `objects` hold several generations of a name.
    pub versions: bool,
    pub include_trailing_delimiter: bool,
}

#[derive(Debug, Default, PartialEq)]
pub struct Listed<'a> {
    pub items: Vec<&'a Object>,
    pub prefixes: Vec<String>,
    /// The position the next page comes after.
    pub next: Option<String>,
}

/// One page of `objects`, which are in order of their names and generations.
pub fn page<'a>(objects: &'a [Object], wanted: &Wanted) -> Listed<'a> {
    let mut listed = Listed::default();
    let mut last = None;
    let flow = objects
        .iter()
        .filter(|object| wanted.covers(object))
        .try_for_each(|object| {
            let entry = wanted.entry(&object.name);
            let position = wanted.position(&entry, object);
            // A page ends behind a whole prefix, so the next one skips all of it.
            let seen = wanted
                .after
                .as_ref()
                .is_some_and(|after| *position <= *after.as_str());
            let repeated = last.as_deref() == Some(&*position) && entry.is_prefix();
            if !seen && !repeated && listed.len() == wanted.most {
                return ControlFlow::Break(());
            }
            let trailing = wanted.include_trailing_delimiter && entry.name() == object.name;
            if entry.is_prefix() && !seen && !repeated {
                listed.prefixes.push(entry.name().to_owned());
            }
            if !seen && (!entry.is_prefix() || trailing) {
                listed.items.push(object);
            }
            if !seen {
                last = Some(position.into_owned());
            }
            ControlFlow::Continue(())
        });
    listed.next = last.filter(|_| flow.is_break());
    listed
}

enum Entry<'a> {
    Item(&'a str),
    Prefix(&'a str),
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match self {
            Entry::Item(name) | Entry::Prefix(name) => name,
        }
    }

    fn is_prefix(&self) -> bool {
        matches!(self, Entry::Prefix(_))
    }
}

impl Wanted {
    fn covers(&self, object: &Object) -> bool {
        object.name.starts_with(&self.prefix)
            && object.name >= self.start
            && (self.end.is_empty() || object.name < self.end)
            && self
                .glob
                .as_ref()
                .is_none_or(|glob| glob.is_match(&object.name))
    }

    /// Where a page may end: behind a name, or behind one of its generations.
    fn position<'a>(&self, entry: &Entry<'a>, object: &Object) -> Cow<'a, str> {
        match entry {
            Entry::Item(name) if self.versions => {
                Cow::Owned(format!("{name}\0{:020}", object.generation))
            }
            Entry::Item(name) | Entry::Prefix(name) => Cow::Borrowed(name),
        }
    }

    fn entry<'a>(&self, name: &'a str) -> Entry<'a> {
        let rest = name.get(self.prefix.len()..).unwrap_or("");
        match rest.find(&self.delimiter) {
            Some(at) if !self.delimiter.is_empty() => {
                Entry::Prefix(&name[..self.prefix.len() + at + self.delimiter.len()])
            }
            _ => Entry::Item(name),
        }
    }
}

impl Listed<'_> {
    fn len(&self) -> usize {
        self.items.len() + self.prefixes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objects(names: &[&str]) -> Vec<Object> {
        names
            .iter()
            .map(|name| Object {
                name: (*name).to_owned(),
                ..Object::default()
            })
            .collect()
    }

    fn wanted(prefix: &str, delimiter: &str, most: usize) -> Wanted {
        Wanted {
            prefix: prefix.to_owned(),
            delimiter: delimiter.to_owned(),
            most,
            ..Wanted::default()
        }
    }

    #[test]
    fn a_delimiter_folds_what_is_behind_it() {
        let objects = objects(&["a/1", "a/2", "b", "c/d/e"]);
        let listed = page(&objects, &wanted("", "/", 100));
        assert_eq!(listed.prefixes, ["a/", "c/"]);
        assert_eq!(listed.items.len(), 1);
        let listed = page(&objects, &wanted("c/", "/", 100));
        assert_eq!(listed.prefixes, ["c/d/"]);
    }

    #[test]
    fn a_listing_starts_and_ends_where_told() {
        let objects = objects(&["a", "b", "c", "d"]);
        let mut wanted = wanted("", "", 100);
        wanted.start = "b".to_owned();
        wanted.end = "d".to_owned();
        let names: Vec<_> = page(&objects, &wanted)
            .items
            .iter()
            .map(|o| o.name.clone())
            .collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn a_page_of_generations_may_end_within_a_name() {
        let of = |name: &str, generation| Object {
            name: name.to_owned(),
            generation,
            ..Object::default()
        };
        let objects = [of("a", 1), of("a", 2), of("b", 3)];
        let mut wanted = Wanted {
            versions: true,
            ..wanted("", "", 1)
        };
        let mut generations = Vec::new();
        loop {
            let listed = page(&objects, &wanted);
            generations.extend(listed.items.iter().map(|object| object.generation));
            wanted.after = listed.next;
            if wanted.after.is_none() {
                break;
            }
        }
        assert_eq!(generations, [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn pages_together_are_the_whole_listing(
            mut names in proptest::collection::btree_set("[ab/]{1,6}", 0..40),
            most in 1usize..5,
        ) {
            names.retain(|name| !name.is_empty());
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let objects = objects(&names);
            let whole = page(&objects, &wanted("", "/", 1000));
            let mut paged = wanted("", "/", most);
            let (mut items, mut prefixes) = (Vec::new(), Vec::new());
            loop {
                let listed = page(&objects, &paged);
                items.extend(listed.items);
                prefixes.extend(listed.prefixes);
                if listed.next.is_none() {
                    break;
                }
                paged.after = listed.next;
            }
            prop_assert_eq!(items, whole.items);
            prop_assert_eq!(prefixes, whole.prefixes);
        }
    }
}
