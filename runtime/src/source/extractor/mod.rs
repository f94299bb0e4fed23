//! Extractors: the records in a reply's documents.

mod expander;
mod table;

use crate::stream::{SourceError, Texts};
use crate::value::Value;

use super::component::Component;
use super::decoder::{Decoder, Documents};
use super::dpath::{self, Step};
use super::python;
use super::record_error::RecordError;
use super::response::Response;
use super::template::{Scope, Template};
use expander::Expander;

/// The records of a reply; nothing where one was dropped that still counts for its page.
pub type Records<'e> = Box<dyn Iterator<Item = Result<Option<Value>, RecordError>> + Send + 'e>;

#[derive(Debug, Clone)]
pub enum Extractor {
    /// What is at a path in each document.
    Path {
        path: Vec<Template>,
        expander: Option<Expander>,
    },
    /// The records of several extractors, or of the first that has some.
    Combined {
        extractors: Vec<Extractor>,
        first_match: bool,
        skip_empty: bool,
    },
    /// The rows of a table, whatever the decoder.
    Table { only_empty_is_null: bool },
}

impl Extractor {
    pub fn open(
        component: &Component<'_>,
        decoder: &Decoder,
        scope: &Scope,
    ) -> Result<Extractor, SourceError> {
        Ok(match component.kind() {
            "DpathExtractor" => Extractor::Path {
                path: component.templates("field_path")?,
                expander: match component.child("record_expander") {
                    Some(expander) => Some(Expander::open(&expander, scope)?),
                    None => None,
                },
            },
            "CombinedExtractor" => combined(component, decoder, scope)?,
            "ResponseToFileExtractor" => Extractor::Table {
                only_empty_is_null: component.flag("preserve_na_values"),
            },
            _ => {
                return Err(component
                    .unknown("DpathExtractor, CombinedExtractor or ResponseToFileExtractor"));
            }
        })
    }

    /// Whether a page's count is the sum of several lists, which no offset can follow.
    pub fn is_union(&self) -> bool {
        match self {
            Extractor::Combined {
                extractors,
                first_match,
                ..
            } => !first_match || extractors.iter().any(Extractor::is_union),
            Extractor::Path { .. } | Extractor::Table { .. } => false,
        }
    }

    /// The records whose lists the source cut short, where those are fetched.
    pub fn cut_short(
        &self,
        decoder: &Decoder,
        response: &Response,
        scope: &Scope,
    ) -> Result<Vec<Value>, RecordError> {
        let Extractor::Path {
            path,
            expander: Some(expander),
        } = self
        else {
            return Ok(Vec::new());
        };
        let records = found_in(decoder, response, steps(path, scope)?);
        let is_cut = |record: &Result<Value, _>| {
            record
                .as_ref()
                .map_or(true, |record| expander.is_fetched(record))
        };
        records.filter(is_cut).collect()
    }

    /// The records as text: those of a list in a JSON document, where nothing expands them.
    pub fn texts(&self, decoder: &Decoder, response: &Response, scope: &Scope) -> Option<Texts> {
        let Extractor::Path {
            path,
            expander: None,
        } = self
        else {
            return None;
        };
        let path = steps(path, scope).ok()?;
        let keys: Option<Vec<&str>> = path.iter().map(Step::as_key).collect();
        decoder.texts(response, &keys?)
    }

    pub fn records<'e>(
        &'e self,
        decoder: &Decoder,
        response: &Response,
        scope: &Scope,
    ) -> Result<Records<'e>, RecordError> {
        match self {
            Extractor::Path { path, expander } => {
                let records = found_in(decoder, response, steps(path, scope)?);
                Ok(match expander {
                    None => Box::new(records.map(|record| record.map(Some))),
                    Some(expander) => expanded(records, expander, response.whole_lists.clone()),
                })
            }
            Extractor::Combined {
                extractors,
                first_match,
                skip_empty,
            } => {
                let lists = extractors
                    .iter()
                    .map(|extractor| extractor.records(decoder, response, scope));
                match first_match {
                    false => union(lists, *skip_empty),
                    true => first_with_records(lists, *skip_empty),
                }
            }
            Extractor::Table { only_empty_is_null } => {
                let rows = table::rows(response, *only_empty_is_null);
                Ok(Box::new(
                    rows.map(|row| row.map(Some).map_err(RecordError::Decode)),
                ))
            }
        }
    }
}

fn combined(
    component: &Component<'_>,
    decoder: &Decoder,
    scope: &Scope,
) -> Result<Extractor, SourceError> {
    if decoder.is_stream() {
        return Err(component.error(
            "CombinedExtractor needs a JsonDecoder, XmlDecoder or ZipfileDecoder: others read a body once",
        ));
    }
    let extractors = component.list("extractors")?;
    if extractors.is_empty() {
        return Err(component.error("CombinedExtractor needs at least one of `extractors`"));
    }
    for extractor in &extractors {
        if let Some(expander) = extractor.child("record_expander") {
            expander.unsupported(&["truncated_list_retriever"])?;
        }
    }
    let extractors = extractors
        .iter()
        .map(|extractor| Extractor::open(extractor, decoder, scope));
    let first_match = match component.text("mode") {
        None | Some("union") => false,
        Some("first_match") => true,
        Some(other) => return Err(component.error(format!("`mode: {other}` is not supported"))),
    };
    Ok(Extractor::Combined {
        extractors: extractors.collect::<Result<_, _>>()?,
        first_match,
        skip_empty: component.flag("skip_empty_records"),
    })
}

fn steps(path: &[Template], scope: &Scope) -> Result<Vec<Step>, RecordError> {
    let steps = path.iter();
    steps
        .map(|step| Ok(Step::of(&step.value(scope)?)))
        .collect()
}

/// `whole_lists` are those of the records that are cut short, in their order.
fn expanded<'e>(
    records: impl Iterator<Item = Result<Value, RecordError>> + Send + 'e,
    expander: &'e Expander,
    whole_lists: Vec<Vec<Value>>,
) -> Records<'e> {
    let mut whole_lists = whole_lists.into_iter();
    let expanded = records.map(move |record| {
        let record = record?;
        let whole = match expander.is_fetched(&record) {
            true => whole_lists.next().unwrap_or_default(),
            false => Vec::new(),
        };
        expander.expand(record, whole)
    });
    Box::new(expanded.flat_map(|records| match records {
        Ok(records) => each(records),
        Err(error) => vec![Err(error)],
    }))
}

type Found = Box<dyn Iterator<Item = Result<Value, RecordError>> + Send>;

/// The records at `path` in a reply, decoded one by one where they are many.
fn found_in(decoder: &Decoder, response: &Response, path: Vec<Step>) -> Found {
    let keys: Option<Vec<&str>> = path.iter().map(Step::as_key).collect();
    let keys = keys.filter(|keys| !keys.is_empty());
    match keys.and_then(|keys| decoder.elements(response, &keys)) {
        Some(records) => Box::new(records.map(|record| record.map_err(RecordError::Decode))),
        None => Box::new(at_path(decoder.documents(response), path)),
    }
}

fn at_path(
    documents: Documents,
    path: Vec<Step>,
) -> impl Iterator<Item = Result<Value, RecordError>> + Send {
    documents.flat_map(move |document| match document {
        Ok(document) => match found(document, &path) {
            Ok(records) => each(records),
            Err(error) => vec![Err(error)],
        },
        Err(problem) => vec![Err(RecordError::Decode(problem))],
    })
}

fn each<T>(values: Vec<T>) -> Vec<Result<T, RecordError>> {
    values.into_iter().map(Ok).collect()
}

fn found(document: Value, path: &[Step]) -> Result<Vec<Value>, RecordError> {
    if dpath::takes_all(path) {
        return Ok(dpath::values(document, path));
    }
    Ok(match dpath::take(document, path)? {
        Some(Value::Array(records)) => records,
        Some(record) if python::truth(&record) => vec![record],
        _ => Vec::new(),
    })
}

fn without_empty(records: Records<'_>, skip: bool) -> Records<'_> {
    match skip {
        false => records,
        true => Box::new(records.map(|record| Ok(record?.filter(python::truth)))),
    }
}

fn union<'e>(
    lists: impl Iterator<Item = Result<Records<'e>, RecordError>>,
    skip: bool,
) -> Result<Records<'e>, RecordError> {
    let lists = lists.map(|list| Ok(without_empty(list?, skip)));
    let lists: Vec<Records<'e>> = lists.collect::<Result<_, RecordError>>()?;
    Ok(Box::new(lists.into_iter().flatten()))
}

fn first_with_records<'e>(
    lists: impl Iterator<Item = Result<Records<'e>, RecordError>>,
    skip: bool,
) -> Result<Records<'e>, RecordError> {
    for list in lists {
        let mut list = without_empty(list?, skip);
        let mut seen = Vec::new();
        for record in list.by_ref() {
            let record = record?;
            let is_record = record.is_some();
            seen.push(Ok(record));
            if is_record {
                return Ok(Box::new(seen.into_iter().chain(list)));
            }
        }
    }
    Ok(Box::new(std::iter::empty()))
}

#[cfg(test)]
mod tests;
