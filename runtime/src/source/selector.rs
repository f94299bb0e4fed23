//! From a reply to the records of a page: decoding, extraction, filter, transformations, types.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::Value;

use super::component::Component;
use super::decoder::Decoder;
use super::dpath;
use super::extractor::{Extractor, Records};
use super::normalization::Normalization;
use super::record_error::RecordError;
use super::response::Response;
use super::template::{Scope, Template};
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
    pub records: Vec<Value>,
    pub extracted: usize,
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

    /// The records of a reply as they are kept.
    pub fn page(
        &self,
        response: &Response,
        scope: &Scope,
        keep: Option<Keep<'_>>,
        schema: &Json,
    ) -> Result<Selected, RecordError> {
        let records = self.extractor.records(&self.decoder, response, scope)?;
        let mut selection = self.select(records, scope, keep, schema);
        let records = selection.by_ref().collect::<Result<_, _>>()?;
        Ok(Selected {
            records,
            extracted: selection.extracted,
        })
    }

    /// Records that were extracted already, filtered, transformed and cast.
    pub fn select<'s>(
        &'s self,
        records: Records<'s>,
        scope: &Scope,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Selection<'s> {
        Selection {
            selector: self,
            records,
            extracted: 0,
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
    records: Records<'s>,
    /// Records seen so far, those dropped included.
    pub extracted: usize,
    steps: Steps<'s>,
    scope: Scope,
    keep: Option<Keep<'s>>,
    schema: &'s Json,
}

impl Selection<'_> {
    fn kept(&self, mut record: Value) -> Result<Option<Value>, RecordError> {
        let Value::Object(fields) = &mut record else {
            let kind = dpath::kind(&record);
            return Err(RecordError::NoObject { kind });
        };
        let first = self.selector.transform_first;
        if first {
            self.steps.apply(fields)?;
        }
        if self.keep.is_some_and(|keep| !keep(&record)) || !self.passes(&mut record)? {
            return Ok(None);
        }
        if let Value::Object(fields) = &mut record {
            if !first {
                self.steps.apply(fields)?;
            }
            self.selector.normalization.apply(fields, self.schema);
        }
        Ok(Some(record))
    }

    fn passes(&self, record: &mut Value) -> Result<bool, RecordError> {
        let (Some(filter), Value::Object(fields)) = (&self.selector.filter, record) else {
            return Ok(true);
        };
        let passes = match filter.reads("record") {
            true => lend(fields, |shown| {
                filter.condition(&self.scope.clone().with("record", shown))
            }),
            false => filter.condition(&self.scope),
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
