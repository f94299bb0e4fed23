//! From a reply's body to records: extraction, filter, transformations.

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::dpath;
use super::python;
use super::template::{Scope, Template, TemplateError, to_template};
use super::transform::Transformation;

pub struct Selector {
    path: Vec<Template>,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
    transform_first: bool,
}

impl Selector {
    pub fn open(
        component: &Component<'_>,
        transformations: &[Component<'_>],
        client_side: bool,
    ) -> Result<Selector, SourceError> {
        if component.kind() != "RecordSelector" {
            return Err(component.unknown("RecordSelector"));
        }
        if component
            .text("schema_normalization")
            .is_some_and(|it| it != "None")
        {
            return Err(component.error("`schema_normalization` is not supported"));
        }
        let extractor = component.need("extractor")?;
        if extractor.kind() != "DpathExtractor" {
            return Err(extractor.unknown("DpathExtractor"));
        }
        extractor.unsupported(&["record_expander"])?;
        let transformations = transformations.iter().map(Transformation::open);
        Ok(Selector {
            path: extractor.templates("field_path")?,
            filter: filter(component)?,
            transformations: transformations.collect::<Result<_, _>>()?,
            transform_first: match component.field("transform_before_filtering") {
                Some(first) => first.as_bool().unwrap_or(client_side),
                None => client_side,
            },
        })
    }

    /// The records in a body, as the source sent them.
    pub fn extract(&self, body: Value, scope: &Scope) -> Result<Vec<Value>, TemplateError> {
        let path = self.path.iter().map(|segment| segment.text(scope));
        let path = path.collect::<Result<Vec<_>, _>>()?;
        if path.iter().any(|segment| segment == "*") {
            return Ok(dpath::take_all(body, &path));
        }
        Ok(match dpath::take(body, &path) {
            Some(Value::Array(records)) => records,
            Some(record) if python::truth(&record) => vec![record],
            _ => Vec::new(),
        })
    }

    /// The record as it is kept; `None` where a filter drops it. `keep` is the cursor's filter.
    pub fn select(
        &self,
        mut record: Value,
        scope: &Scope,
        keep: &dyn Fn(&Value) -> bool,
    ) -> Result<Option<Value>, TemplateError> {
        if self.transform_first {
            self.transform(&mut record, scope)?;
        }
        if !keep(&record) {
            return Ok(None);
        }
        if let Some(filter) = &self.filter {
            let shown = match filter.reads("record") {
                true => to_template(&record),
                false => minijinja::Value::from(()),
            };
            if !filter.condition(&scope.clone().with("record", shown))? {
                return Ok(None);
            }
        }
        if !self.transform_first {
            self.transform(&mut record, scope)?;
        }
        Ok(Some(record))
    }

    fn transform(&self, record: &mut Value, scope: &Scope) -> Result<(), TemplateError> {
        let Value::Object(fields) = record else {
            return Ok(());
        };
        let fields: &mut Object = fields;
        let mut steps = self.transformations.iter();
        steps.try_for_each(|transformation| transformation.apply(fields, scope))
    }
}

fn filter(component: &Component<'_>) -> Result<Option<Template>, SourceError> {
    let Some(filter) = component.child("record_filter") else {
        return Ok(None);
    };
    if filter.kind() != "RecordFilter" {
        return Err(filter.unknown("RecordFilter"));
    }
    // The reference reads an empty condition as false; nobody means that.
    match filter.text("condition").filter(|text| !text.is_empty()) {
        Some(condition) => filter.compile(condition).map(Some),
        None => Ok(None),
    }
}
