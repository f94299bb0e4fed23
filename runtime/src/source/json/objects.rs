//! Where the records of a body stand, for those that are kept as text.

use std::ops::Range;

use jiter::{Jiter, Peek};

use super::BYTE_ORDER_MARK;

/// Where the elements of the list under `keys` stand, or those of the list that is the whole
/// document, where all of them are objects.
///
/// All of the document is checked. `None` wherever there is anything to think about: no such
/// list, a key that comes twice, text that is no JSON; decoding it says more.
pub fn objects(body: &[u8], keys: &[&str]) -> Option<Vec<Range<usize>>> {
    let start = body.len() - body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).len();
    let body = std::str::from_utf8(&body[start..]).ok()?;
    let mut reader = Jiter::new(body.as_bytes()).with_allow_inf_nan();
    let peek = reader.peek().ok()?;
    let mut found = list_under(&mut reader, peek, keys)?;
    reader.finish().ok()?;
    for span in &mut found {
        *span = span.start + start..span.end + start;
    }
    Some(found)
}

fn list_under(reader: &mut Jiter<'_>, peek: Peek, keys: &[&str]) -> Option<Vec<Range<usize>>> {
    match (peek, keys.split_first()) {
        (Peek::Array, None) => elements(reader),
        (Peek::Object, Some((key, rest))) => under(reader, key, rest),
        _ => None,
    }
}

fn under(reader: &mut Jiter<'_>, key: &str, rest: &[&str]) -> Option<Vec<Range<usize>>> {
    let mut found = None;
    let mut is_it = reader.known_object().ok()?.map(|name| name == key);
    while let Some(is_this) = is_it {
        let peek = reader.peek().ok()?;
        match is_this {
            true if found.is_some() => return None,
            true => found = Some(list_under(reader, peek, rest)?),
            false => reader.known_skip(peek).ok()?,
        }
        is_it = reader.next_key().ok()?.map(|name| name == key);
    }
    found
}

fn elements(reader: &mut Jiter<'_>) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut next = reader.known_array().ok()?;
    while let Some(peek) = next {
        if peek != Peek::Object {
            return None;
        }
        let start = reader.current_index();
        reader.known_skip(peek).ok()?;
        found.push(start..reader.current_index());
        next = reader.array_step().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::json::decode;
    use crate::value::Value;
    use crate::value::json::borrowed;

    fn found<'t>(text: &'t str, keys: &[&str]) -> Option<Vec<&'t str>> {
        let spans = objects(text.as_bytes(), keys)?;
        Some(spans.into_iter().map(|span| &text[span]).collect())
    }

    #[test]
    fn objects_are_found_in_the_list_under_the_keys() {
        let text = "\u{feff}{\"x\": [0], \"a\": {\"b\": [ {\"c\": 1} ,{}], \"c\": 2}}";
        assert_eq!(found(text, &["a", "b"]), Some(vec!["{\"c\": 1}", "{}"]));
        assert_eq!(found(" [{}] ", &[]), Some(vec!["{}"]));
        assert_eq!(found("{\"a\": []}", &["a"]), Some(vec![]));
    }

    #[test]
    fn nothing_is_found_where_there_is_something_to_think_about() {
        for (text, keys) in [
            ("{\"a\": {}}", ["a"].as_slice()),
            ("{\"b\": [{}]}", &["a"]),
            ("{\"a\": [{}], \"a\": [{}]}", &["a"]),
            ("{\"a\": [{}, 1]}", &["a"]),
            ("{\"a\": [{}]", &["a"]),
            ("{\"a\": [{}]} 1", &["a"]),
            ("{\"a\": [{\"b\": \"\\ud83d\"}]}", &["a"]),
            ("[{}]", &["a"]),
            ("{}", &[]),
        ] {
            assert_eq!(found(text, keys), None, "{text}");
        }
        assert_eq!(objects(b"[{\"a\": \"\xff\"}]", &[]), None);
    }

    proptest! {
        /// What is kept as text is decoded later, when no error can be told any more.
        #[test]
        fn what_is_found_can_be_decoded(inner in r#"[\[\]{}",:\\u a-c0-9é.\-]{0,30}"#) {
            for text in [format!("[{{{inner}}}]"), format!("[{{\"a\":\"{inner}\"}}]")] {
                let Some(spans) = objects(text.as_bytes(), &[]) else {
                    continue;
                };
                let one_by_one = spans.into_iter().map(|span| borrowed(&text[span]).unwrap());
                let values = one_by_one.map(Value::from).collect();
                prop_assert_eq!(Value::Array(values), decode(text.as_bytes()).unwrap());
            }
        }
    }
}
