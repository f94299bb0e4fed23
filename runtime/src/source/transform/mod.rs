//! Transformations of records, in the order the manifest gives them.

mod add;
mod alone;
mod declared;
mod flatten;
mod keys;
mod lent;
mod remove;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::Object;

use super::component::Component;
use super::dotnet::DotNetDates;
use super::fold::FoldFields;
use super::record_error::RecordError;
use super::template::Scope;
use add::{AddFields, Once};
pub use alone::Alone;
use declared::{Declared, DeclaredTypes};
use flatten::{Flatten, FlattenAt};
use keys::Rename;
pub use lent::lend;
use remove::RemoveFields;

#[derive(Debug, Clone)]
pub enum Transformation {
    Add(AddFields),
    Remove(RemoveFields),
    Rename(Rename),
    Flatten(Flatten),
    FlattenAt(FlattenAt),
    DotNetDates(DotNetDates),
    FoldFields(FoldFields),
    DeclaredTypes(DeclaredTypes),
}

const TYPES: &str = "AddFields, RemoveFields, KeysToLower, KeysToSnakeCase, KeysReplace, FlattenFields \
                     or DpathFlattenFields";

impl Transformation {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<Transformation, SourceError> {
        Ok(match component.kind() {
            "AddFields" => Transformation::Add(AddFields::open(component)?),
            "RemoveFields" => Transformation::Remove(RemoveFields::open(component)?),
            "KeysToLower" => Transformation::Rename(Rename::Lower),
            "KeysToSnakeCase" => Transformation::Rename(Rename::Snake),
            "KeysReplace" => Transformation::Rename(Rename::Replace {
                old: component.need_template("old")?,
                new: component.need_template("new")?,
            }),
            "FlattenFields" => {
                let lists = component.field("flatten_lists").and_then(Json::as_bool);
                Transformation::Flatten(Flatten {
                    lists: lists.unwrap_or(true),
                })
            }
            "DpathFlattenFields" => Transformation::FlattenAt(FlattenAt::open(component, scope)?),
            "CustomTransformation" if component.text("class_name") == Some("xetl.DotNetDates") => {
                Transformation::DotNetDates(DotNetDates {
                    timestamps: dotted(component, "timestamps"),
                    dates: dotted(component, "dates"),
                })
            }
            "CustomTransformation" if component.text("class_name") == Some("xetl.FoldFields") => {
                let text = |name: &str| {
                    let text = component.text(name).map(str::to_owned);
                    text.ok_or_else(|| component.error(format!("xetl.FoldFields needs `{name}`")))
                };
                Transformation::FoldFields(FoldFields {
                    prefix: text("prefix")?,
                    into: text("into")?,
                })
            }
            "CustomTransformation"
                if component.text("class_name") == Some("xetl.DeclaredTypes") =>
            {
                Transformation::DeclaredTypes(DeclaredTypes {
                    zone: zone(component, scope)?,
                })
            }
            _ => return Err(component.unknown(TYPES)),
        })
    }
}

/// The zone that moments without one are in.
fn zone(component: &Component<'_>, scope: &Scope) -> Result<TimeZone, SourceError> {
    let Some(name) = component.template("time_zone")? else {
        return Ok(TimeZone::UTC);
    };
    let name = name.text(scope);
    let name = name.map_err(|error| component.error(error.to_string()))?;
    TimeZone::get(&name).map_err(|_| component.error(format!("there is no time zone `{name}`")))
}

fn dotted(component: &Component<'_>, name: &str) -> Vec<Vec<String>> {
    let paths = component.field(name).and_then(Json::as_array);
    let paths = paths.into_iter().flatten().filter_map(Json::as_str);
    paths
        .map(|path| path.split('.').map(str::to_owned).collect())
        .collect()
}

/// Transformations of one page's records: what no record changes is evaluated once.
pub struct Steps<'t> {
    steps: Vec<Step<'t>>,
    scope: Scope,
}

struct Step<'t> {
    transformation: &'t Transformation,
    once: Once,
    declared: Option<Declared<'t>>,
}

impl<'t> Steps<'t> {
    pub fn new(transformations: &'t [Transformation], scope: Scope) -> Steps<'t> {
        let steps = transformations.iter().map(|transformation| Step {
            transformation,
            once: match transformation {
                Transformation::Add(add) => add.once(),
                _ => Once::default(),
            },
            declared: None,
        });
        Steps {
            steps: steps.collect(),
            scope,
        }
    }

    /// The same for records of a schema.
    #[must_use]
    pub fn for_schema(mut self, schema: &Json) -> Steps<'t> {
        for step in &mut self.steps {
            if let Transformation::DeclaredTypes(types) = step.transformation {
                step.declared = Some(types.for_schema(schema));
            }
        }
        self
    }

    pub fn apply(&self, record: &mut Object) -> Result<(), RecordError> {
        for Step {
            transformation,
            once,
            declared,
        } in &self.steps
        {
            match transformation {
                Transformation::Add(add) => add.apply(record, &self.scope, once)?,
                Transformation::Remove(remove) => remove.apply(record, &self.scope)?,
                Transformation::Rename(rename) => rename.apply(record, &self.scope)?,
                Transformation::Flatten(flatten) => flatten.apply(record),
                Transformation::FlattenAt(flatten) => flatten.apply(record)?,
                Transformation::DotNetDates(dates) => dates.transform(record),
                Transformation::FoldFields(fold) => fold.transform(record),
                Transformation::DeclaredTypes(_) => {
                    if let Some(declared) = declared {
                        declared.transform(record);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
