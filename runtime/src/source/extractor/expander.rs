//! Records out of a list inside of a record: an order's lines, a section's items.

use crate::stream::SourceError;
use crate::value::{Object, Value};

use crate::source::component::Component;
use crate::source::dpath::{self, Step};
use crate::source::python;
use crate::source::record_error::RecordError;
use crate::source::template::Scope;

#[derive(Debug, Clone)]
pub struct Expander {
    path: Vec<Step>,
    keeps_original: bool,
    copied: Vec<Copied>,
    merges: bool,
    emits_parent: bool,
    truncated: Vec<Step>,
    /// Whoever extracts gives the whole list of a record whose own is cut short.
    fetches: bool,
}

/// A field of the parent and where its items have it.
#[derive(Debug, Clone)]
struct Copied {
    from: Vec<Step>,
    to: Vec<String>,
}

impl Expander {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<Expander, SourceError> {
        if component.kind() != "RecordExpander" {
            return Err(component.unknown("RecordExpander"));
        }
        let fetches = component.field("truncated_list_retriever").is_some();
        let truncated = one_place(component, "truncation_indicator_path", scope)?;
        if fetches && truncated.is_empty() {
            return Err(
                component.error("`truncated_list_retriever` needs a `truncation_indicator_path`")
            );
        }
        let copied = component.children("parent_fields");
        let copied = copied.iter().map(|field| Copied::open(field, scope));
        Ok(Expander {
            path: match fetches {
                true => one_place(component, "expand_records_from_field", scope)?,
                false => steps(component, "expand_records_from_field", scope)?,
            },
            keeps_original: component.flag("remain_original_record"),
            copied: copied.collect::<Result<_, _>>()?,
            merges: component.flag("merge_parent"),
            emits_parent: match component.text("on_no_records") {
                None | Some("skip") => false,
                Some("emit_parent") => true,
                Some(other) => {
                    let problem = format!("`on_no_records: {other}` is not supported");
                    return Err(component.error(problem));
                }
            },
            truncated,
            fetches,
        })
    }

    /// Whether the record's whole list is to be fetched.
    pub fn is_fetched(&self, record: &Value) -> bool {
        self.fetches && !self.path.is_empty() && self.is_cut_short(record)
    }

    /// The items of the `whole` list or else of the record's own lists; the record itself where
    /// there are none and it is to stay.
    pub fn expand(
        &self,
        record: Value,
        whole: Vec<Value>,
    ) -> Result<Vec<Option<Value>>, RecordError> {
        if self.path.is_empty() || !matches!(record, Value::Object(_)) {
            return Ok(vec![Some(record)]);
        }
        let lists = match whole.is_empty() {
            true => dpath::values(record.clone(), &self.path),
            false => vec![Value::Array(whole)],
        };
        let items = lists.into_iter().filter_map(|list| match list {
            Value::Array(items) => Some(items),
            _ => None,
        });
        let items: Vec<Value> = items.flatten().collect();
        if !self.fetches && self.is_cut_short(&record) {
            tracing::warn!(
                items = items.len(),
                "a record's list is cut short by the source; its other items are not read"
            );
        }
        if items.is_empty() {
            let parent = self.emits_parent.then_some(Some(record));
            return Ok(parent.into_iter().collect());
        }
        let base = self.merges.then(|| self.without_lists(&record));
        let items = items.into_iter();
        items
            .map(|item| Ok(Some(self.with_parent(item, &record, base.as_ref())?)))
            .collect()
    }

    fn is_cut_short(&self, record: &Value) -> bool {
        let found = dpath::get(record, &self.truncated);
        !self.truncated.is_empty() && found.is_some_and(python::truth)
    }

    fn with_parent(
        &self,
        item: Value,
        parent: &Value,
        base: Option<&Object>,
    ) -> Result<Value, RecordError> {
        let carries = self.keeps_original || !self.copied.is_empty() || self.merges;
        let mut fields = match item {
            Value::Object(fields) => fields,
            item if carries => Object::from_iter([("value".to_owned(), item)]),
            item => return Ok(item),
        };
        if let Some(base) = base {
            let item = std::mem::replace(&mut fields, base.clone());
            fields.extend(item);
        }
        for copied in &self.copied {
            let value = dpath::get(parent, &copied.from)
                .cloned()
                .unwrap_or_default();
            dpath::set(&mut fields, &copied.to, value)?;
        }
        if self.keeps_original {
            fields.insert("original_record".to_owned(), parent.clone());
        }
        Ok(Value::Object(fields))
    }

    /// The parent without the lists that are expanded.
    fn without_lists(&self, parent: &Value) -> Object {
        let mut whole = parent.clone();
        dpath::remove_lists(&mut whole, &self.path);
        match whole {
            Value::Object(fields) => fields,
            _ => Object::default(),
        }
    }
}

impl Copied {
    fn open(component: &Component<'_>, scope: &Scope) -> Result<Copied, SourceError> {
        let to = component.templates("record_path")?;
        let to = to.iter().map(|step| {
            step.text(scope)
                .map_err(|error| component.error(error.to_string()))
        });
        let copied = Copied {
            from: one_place(component, "parent_path", scope)?,
            to: to.collect::<Result<_, _>>()?,
        };
        one_place(component, "record_path", scope)?;
        match copied.from.is_empty() || copied.to.is_empty() {
            true => Err(component.error("`parent_path` and `record_path` cannot be empty")),
            false => Ok(copied),
        }
    }
}

fn steps(component: &Component<'_>, name: &str, scope: &Scope) -> Result<Vec<Step>, SourceError> {
    let templates = component.templates(name)?;
    let steps = templates.iter().map(|template| {
        let value = template.value(scope);
        let value = value.map_err(|error| component.error(error.to_string()))?;
        Ok(Step::of(&value))
    });
    steps.collect()
}

/// A path without patterns.
fn one_place(
    component: &Component<'_>,
    name: &str,
    scope: &Scope,
) -> Result<Vec<Step>, SourceError> {
    let steps = steps(component, name, scope)?;
    match steps.iter().all(Step::is_plain) {
        true => Ok(steps),
        false => Err(component.error(format!(
            "`{name}` has to lead to one field, without `*`, `?` or `[`"
        ))),
    }
}
