//! From a reply to the records of a page: decoding, extraction, filter, transformations, types.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::stream::{Records, SourceError, Texts};
use crate::value::Value;

use super::component::Component;
use super::decoder::Decoder;
use super::extractor::{self, Extractor};
use super::normalization::Normalization;
use super::record_error::RecordError;
use super::response::Response;
use super::template::{Scope, Template, to_template};
use super::transform::{Steps, Transformation, lend};

#[derive(Debug, Clone)]
pub struct Selector {
    pub decoder: Decoder,
    pub extractor: Extractor,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
    transform_first: bool,
    normalization: Normalization,
}

/// Whether the cursor keeps a record.
pub type Keep<'k> = &'k (dyn Fn(&Value) -> bool + Send + Sync);

/// The records of a page, and how many the reply had.
#[derive(Debug, Default)]
pub struct Selected {
    /// The last of them; the others were taken in batches.
    pub records: Records,
    pub extracted: usize,
    /// How many were taken before.
    taken: usize,
    /// What was wrong with the record after them.
    pub failed: Option<RecordError>,
}

impl Selected {
    /// How many records the page has.
    pub fn kept(&self) -> usize {
        self.taken + self.records.len()
    }

    pub fn last(&self) -> Option<Cow<'_, Value>> {
        self.records.last()
    }

    /// Adds a batch; the one before it is returned.
    pub fn replace(&mut self, batch: Records) -> Records {
        self.taken += self.records.len();
        std::mem::replace(&mut self.records, batch)
    }

    /// How the selection of its records came to its end.
    pub fn ended(&mut self, selection: Selection<'_>) {
        self.extracted = selection.extracted;
        self.failed = selection.failed;
    }
}

/// The records of a page, some at a time.
pub enum Batches<'s> {
    /// Those left.
    Text(Texts),
    Values(Box<Selection<'s>>),
}

impl Batches<'_> {
    /// The next records, `most` of them or the last; `None` at the end.
    pub fn next(&mut self, most: usize) -> Option<Records> {
        match self {
            Batches::Text(texts) => texts.take(most).map(Records::from),
            Batches::Values(selection) => selection.batch(most).map(Records::from),
        }
    }

    /// Tells the page how it ended, once all were taken.
    pub fn end(self, page: &mut Selected) {
        match self {
            Batches::Text(_) => page.extracted = page.kept(),
            Batches::Values(selection) => page.ended(*selection),
        }
    }
}

impl Selector {
    /// `decoder` and `transformations` are those of the retriever and the stream.
    pub fn open(
        component: &Component<'_>,
        decoder: Decoder,
        transformations: &[Component<'_>],
        client_side: bool,
        scope: &Scope,
    ) -> Result<Selector, SourceError> {
        if component.kind() != "RecordSelector" {
            return Err(component.unknown("RecordSelector"));
        }
        let transformations = transformations
            .iter()
            .map(|transformation| Transformation::open(transformation, scope));
        Ok(Selector {
            extractor: Extractor::open(&component.need("extractor")?, &decoder, scope)?,
            decoder,
            filter: filter(component, client_side)?,
            transformations: transformations.collect::<Result<_, _>>()?,
            transform_first: match component.field("transform_before_filtering") {
                Some(first) => first.as_bool().unwrap_or(client_side),
                None => client_side,
            },
            normalization: Normalization::open(component)?,
        })
    }

    /// The records of a reply as they are kept, one by one.
    pub fn selection<'s>(
        &'s self,
        response: &Response,
        scope: &Scope,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Result<Selection<'s>, RecordError> {
        let records = self.extractor.records(&self.decoder, response, scope)?;
        Ok(self.select(records, scope, keep, schema))
    }

    /// The same in batches; as text where nothing here looks into a record.
    pub fn batches<'s>(
        &'s self,
        response: &Response,
        scope: &Scope,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Result<Batches<'s>, RecordError> {
        let texts = match keep.is_none() && self.keeps_all_as_it_is() {
            true => self.extractor.texts(&self.decoder, response, scope),
            false => None,
        };
        Ok(match texts {
            Some(texts) => Batches::Text(texts),
            None => Batches::Values(Box::new(self.selection(response, scope, keep, schema)?)),
        })
    }

    fn keeps_all_as_it_is(&self) -> bool {
        self.filter.is_none()
            && self.transformations.is_empty()
            && self.normalization == Normalization::None
    }

    /// The records of a reply whose lists the source cut short, where those are fetched.
    pub fn cut_short(&self, response: &Response, scope: &Scope) -> Result<Vec<Value>, RecordError> {
        self.extractor.cut_short(&self.decoder, response, scope)
    }

    /// Records that were extracted already, filtered, transformed and cast.
    pub fn select<'s>(
        &'s self,
        records: extractor::Records<'s>,
        scope: &Scope,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Selection<'s> {
        Selection {
            selector: self,
            records,
            extracted: 0,
            is_done: false,
            failed: None,
            steps: Steps::new(&self.transformations, scope.clone()).for_schema(schema),
            scope: scope.clone(),
            keep,
            schema,
        }
    }
}

/// The records that are kept, one after another.
pub struct Selection<'s> {
    selector: &'s Selector,
    records: extractor::Records<'s>,
    /// Records seen so far, those dropped included.
    pub extracted: usize,
    is_done: bool,
    /// What was wrong with the record after the last one.
    failed: Option<RecordError>,
    steps: Steps<'s>,
    scope: Scope,
    keep: Option<Keep<'s>>,
    schema: &'s Json,
}

impl Selection<'_> {
    /// The next records, `most` of them or the last, or those before one that is wrong;
    /// `None` at the end.
    pub fn batch(&mut self, most: usize) -> Option<Vec<Value>> {
        let mut batch = Vec::new();
        while !self.is_done && batch.len() < most {
            match self.next() {
                Some(Ok(record)) => batch.push(record),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    self.is_done = true;
                }
                None => self.is_done = true,
            }
        }
        Some(batch).filter(|batch| !batch.is_empty())
    }

    fn kept(&self, mut record: Value) -> Result<Option<Value>, RecordError> {
        let first = self.selector.transform_first;
        if first {
            self.transform(&mut record)?;
        }
        if self.keep.is_some_and(|keep| !keep(&record)) || !self.passes(&mut record)? {
            return Ok(None);
        }
        if !first {
            self.transform(&mut record)?;
        }
        if let Value::Object(fields) = &mut record {
            self.selector.normalization.apply(fields, self.schema);
        }
        Ok(Some(record))
    }

    /// Only objects can be transformed; others may be what an expander takes.
    fn transform(&self, record: &mut Value) -> Result<(), RecordError> {
        match record {
            Value::Object(fields) => self.steps.apply(fields),
            _ if self.selector.transformations.is_empty() => Ok(()),
            other => Err(RecordError::no_object(other)),
        }
    }

    fn passes(&self, record: &mut Value) -> Result<bool, RecordError> {
        let Some(filter) = &self.selector.filter else {
            return Ok(true);
        };
        let seen = |shown| filter.condition(&self.scope.clone().with("record", shown));
        let passes = match record {
            _ if !filter.reads("record") => filter.condition(&self.scope),
            Value::Object(fields) => lend(fields, seen),
            other => seen(to_template(other)),
        };
        Ok(passes?)
    }
}

impl Iterator for Selection<'_> {
    type Item = Result<Value, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = self.records.next()?;
            self.extracted += 1;
            let kept = record.and_then(|record| match record {
                Some(record) => self.kept(record),
                None => Ok(None),
            });
            match kept {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok(record)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn filter(component: &Component<'_>, client_side: bool) -> Result<Option<Template>, SourceError> {
    let Some(filter) = component.child("record_filter") else {
        return Ok(None);
    };
    if filter.kind() != "RecordFilter" {
        return Err(filter.unknown("RecordFilter"));
    }
    match filter.text("condition").unwrap_or_default() {
        // A cursor that filters here leaves an empty condition out.
        "" if client_side => Ok(None),
        condition => filter.compile(condition).map(Some),
    }
}
