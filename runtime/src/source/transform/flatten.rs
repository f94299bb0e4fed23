//! Nested fields brought to the top of a record.

use crate::stream::SourceError;
use crate::value::{Object, Value};

use crate::source::component::Component;
use crate::source::dpath::{self, Step};
use crate::source::record_error::RecordError;
use crate::source::template::Scope;

/// FlattenFields: every leaf at the top.
#[derive(Debug, Clone)]
pub struct Flatten {
    pub lists: bool,
}

impl Flatten {
    /// From the first list on, and where a name is taken, a leaf's name is its path.
    pub fn apply(&self, record: &mut Object) {
        let mut flat = Object::default();
        let mut with_path = false;
        let mut stack = vec![(Value::Object(std::mem::take(record)), "_".to_owned())];
        while let Some((value, name)) = stack.pop() {
            match value {
                Value::Object(fields) => {
                    let fields = fields.into_iter();
                    stack.extend(fields.map(|(key, value)| {
                        match flat.contains_key(&key) || with_path {
                            true => (value, format!("{name}.{key}")),
                            false => (value, key),
                        }
                    }));
                }
                Value::Array(values) if self.lists => {
                    with_path |= !values.is_empty();
                    let values = values.into_iter().enumerate();
                    stack.extend(values.map(|(index, value)| (value, format!("{name}.{index}"))));
                }
                leaf => {
                    flat.insert(name, leaf);
                }
            }
        }
        *record = flat;
    }
}

/// DpathFlattenFields: the fields of one object.
#[derive(Debug, Clone)]
pub struct FlattenAt {
    path: Vec<Step>,
    deletes_origin: bool,
    replaces_record: bool,
    prefix: String,
    suffix: String,
}

impl FlattenAt {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<FlattenAt, SourceError> {
        let problem =
            |error: crate::source::template::TemplateError| component.error(error.to_string());
        let steps = component.templates("field_path")?;
        let steps = steps
            .iter()
            .map(|step| Ok(Step::of(&step.value(scope).map_err(problem)?)));
        let names = component.child("key_transformation");
        let affix = |name: &str| -> Result<String, SourceError> {
            let template = match &names {
                Some(names) => names.template(name)?,
                None => None,
            };
            let text = template.map(|template| template.text(scope)).transpose();
            Ok(text.map_err(problem)?.unwrap_or_default())
        };
        Ok(FlattenAt {
            path: steps.collect::<Result<_, SourceError>>()?,
            deletes_origin: component.flag("delete_origin_value"),
            replaces_record: component.flag("replace_record"),
            prefix: affix("prefix")?,
            suffix: affix("suffix")?,
        })
    }

    pub fn apply(&self, record: &mut Object) -> Result<(), RecordError> {
        let Value::Object(found) = self.found(record)? else {
            return Ok(());
        };
        let found: Object = found
            .into_iter()
            .map(|(key, value)| (format!("{}{key}{}", self.prefix, self.suffix), value))
            .collect();
        if self.replaces_record && !found.is_empty() {
            *record = found;
            return Ok(());
        }
        // A field of the record is never lost to one of the same name.
        if found.keys().any(|key| record.contains_key(key)) {
            return Ok(());
        }
        if self.deletes_origin {
            dpath::delete(record, &self.path);
        }
        record.extend(found);
        Ok(())
    }

    fn found(&self, record: &Object) -> Result<Value, RecordError> {
        // Only the branch the path begins with is copied.
        let branches = record.iter().filter(|(key, _)| match self.path.first() {
            Some(Step::Key(wanted, _)) => *key == wanted,
            _ => true,
        });
        let record: Object = branches
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let record = Value::Object(record);
        if dpath::takes_all(&self.path) {
            let mut found = dpath::values(record, &self.path).into_iter();
            return Ok(found.next().unwrap_or_default());
        }
        Ok(dpath::take(record, &self.path)?.unwrap_or_default())
    }
}
