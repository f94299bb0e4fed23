//! The records of a page: values, or the text the source sent where nothing on the way
//! looks into them.
//!
//! Text takes a fifth of the memory of values and waits undecoded between threads;
//! whoever writes a record decodes it for just that long.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::value::{Borrowed, Value, json};

/// Objects, in the source's order.
#[derive(Debug, Clone)]
pub struct Records(Form);

#[derive(Debug, Clone)]
enum Form {
    Values(Vec<Value>),
    Text(Texts),
}

/// Records as they stand in a body that was checked: each decodes.
#[derive(Debug, Clone)]
pub struct Texts {
    body: Bytes,
    spans: Vec<Range<usize>>,
}

impl Texts {
    /// `spans` are those of JSON objects in a body that is UTF-8.
    pub fn new(body: Bytes, spans: Vec<Range<usize>>) -> Texts {
        Texts { body, spans }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The first records, `most` of them, which are no longer among these; `None` at the end.
    pub fn take(&mut self, most: usize) -> Option<Texts> {
        let rest = self.spans.split_off(most.min(self.len()));
        let spans = std::mem::replace(&mut self.spans, rest);
        let body = self.body.clone();
        (!spans.is_empty()).then_some(Texts { body, spans })
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &str> {
        let texts = self.spans.iter().map(|span| &self.body[span.clone()]);
        texts.map(|text| std::str::from_utf8(text).expect("the body was checked to be UTF-8"))
    }
}

fn decoded(text: &str) -> Borrowed<'_> {
    json::borrowed(text).expect("the body was checked to be JSON")
}

impl Records {
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Values(values) => values.len(),
            Form::Text(texts) => texts.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands over one record after another, up to one that fails.
    pub fn each<E>(&self, mut take: impl FnMut(&Borrowed<'_>) -> Result<(), E>) -> Result<(), E> {
        match &self.0 {
            Form::Values(values) => values.iter().try_for_each(|value| take(&value.into())),
            Form::Text(texts) => texts.iter().try_for_each(|text| take(&decoded(text))),
        }
    }

    /// The same with at least this field of each record, where the record has it.
    pub fn each_with_only<E>(
        &self,
        field: &str,
        mut take: impl FnMut(&Value) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.0 {
            Form::Values(values) => values.iter().try_for_each(take),
            Form::Text(texts) => texts.iter().try_for_each(|text| {
                let value = json::field(text, field).expect("the body was checked to be JSON");
                let named = value.map(|value| (field.to_owned(), value.into()));
                take(&Value::Object(named.into_iter().collect()))
            }),
        }
    }

    pub fn last(&self) -> Option<Cow<'_, Value>> {
        match &self.0 {
            Form::Values(values) => values.last().map(Cow::Borrowed),
            Form::Text(texts) => {
                let last = texts.iter().next_back();
                last.map(|text| Cow::Owned(decoded(text).into()))
            }
        }
    }

    /// The first record that is no object.
    pub fn misfit(&self) -> Option<&Value> {
        match &self.0 {
            Form::Values(values) => values.iter().find(|it| !matches!(it, Value::Object(_))),
            Form::Text(_) => None,
        }
    }

    pub fn values(&self) -> Cow<'_, [Value]> {
        match &self.0 {
            Form::Values(values) => values.into(),
            Form::Text(texts) => texts.iter().map(|text| decoded(text).into()).collect(),
        }
    }

    pub fn values_mut(&mut self) -> &mut Vec<Value> {
        if let Form::Text(_) = &self.0 {
            self.0 = Form::Values(self.values().into_owned());
        }
        match &mut self.0 {
            Form::Values(values) => values,
            Form::Text(_) => unreachable!("text was made values"),
        }
    }

    pub fn into_values(mut self) -> Vec<Value> {
        std::mem::take(self.values_mut())
    }
}

impl Default for Records {
    fn default() -> Records {
        Records(Form::Values(Vec::new()))
    }
}

impl FromIterator<Value> for Records {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Records {
        Records(Form::Values(values.into_iter().collect()))
    }
}

impl IntoIterator for Records {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_values().into_iter()
    }
}

impl From<Vec<Value>> for Records {
    fn from(values: Vec<Value>) -> Records {
        Records(Form::Values(values))
    }
}

impl From<Texts> for Records {
    fn from(texts: Texts) -> Records {
        Records(Form::Text(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"[{"a":1,"b":[0.10]},{"b":null}]"#;

    fn both() -> [Records; 2] {
        let texts = Texts::new(Bytes::from_static(BODY.as_bytes()), vec![1..19, 20..30]);
        let values = texts.iter().map(|text| decoded(text).into()).collect();
        [Records::from(texts), Records(Form::Values(values))]
    }

    fn shown(records: &Records) -> Vec<String> {
        let mut lines = Vec::new();
        let all = records.each(|record| {
            lines.push(serde_json::to_string(record)?);
            serde_json::Result::Ok(())
        });
        all.unwrap();
        lines
    }

    #[test]
    fn records_are_the_same_in_either_form() {
        for records in both() {
            assert_eq!(records.len(), 2);
            assert_eq!(shown(&records), [r#"{"a":1,"b":[0.10]}"#, r#"{"b":null}"#]);
            assert_eq!(serde_json::to_string(&records.values()).unwrap(), BODY);
            assert_eq!(records.clone().into_values(), *records.values());
            let mut seen = Vec::new();
            let each = records.each_with_only("a", |record| {
                seen.push(record.get("a").cloned());
                Ok::<(), ()>(())
            });
            assert_eq!((each, seen), (Ok(()), vec![Some(Value::Int(1)), None]));
        }
    }

    #[test]
    fn text_is_cut_into_batches_in_its_order() {
        let mut texts = Texts::new(Bytes::from_static(BODY.as_bytes()), vec![1..19, 20..30]);
        let batches = std::iter::from_fn(|| texts.take(1).map(Records::from));
        let batches: Vec<Vec<String>> = batches.map(|batch| shown(&batch)).collect();
        assert_eq!(batches, [[r#"{"a":1,"b":[0.10]}"#], [r#"{"b":null}"#]]);
    }

    #[test]
    fn the_last_record_is_the_last_of_either_form() {
        for records in both() {
            assert_eq!(records.last().unwrap().get("b"), Some(&Value::Null));
        }
    }
}
