//! What a load will do, decided from schemas alone.

use super::load::Load;
use super::parquet_schema::mismatch;
use super::schema::{Field, Mode, Schema};
use crate::error::ApiError;

/// What a load does to the table's schema, and which columns it takes from the files.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub table: Schema,
    /// Names of the columns that files fill; the rest of the table's are NULL.
    pub from_files: Vec<String>,
}

/// `given` is the load's schema, `inferred` that of the files, `present` the table's.
pub fn plan(load: &Load, inferred: &Schema, present: Option<&Schema>) -> Result<Plan, ApiError> {
    let wanted = load.schema.as_ref().unwrap_or(inferred);
    let from_files = wanted
        .fields
        .iter()
        .map(|field| field.name.clone())
        .collect();
    let Some(present) = present.filter(|present| load.keeps_schema() && !present.fields.is_empty())
    else {
        let table = wanted.clone();
        return Ok(Plan { table, from_files });
    };
    let refuse = |what: String| {
        ApiError::invalid(format!(
            "Provided Schema does not match Table {}. {what}",
            load.destination
        ))
    };
    let fields = united(load, &present.fields, &wanted.fields, "").map_err(refuse)?;
    Ok(Plan {
        table: Schema { fields },
        from_files,
    })
}

/// The table's fields after a load of `wanted` into `present`.
fn united(
    load: &Load,
    present: &[Field],
    wanted: &[Field],
    path: &str,
) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for have in present {
        let name = format!("{path}{}", have.name);
        fields.push(match wanted.iter().find(|field| field.is(&have.name)) {
            Some(want) => joined(load, have, want, &name)?,
            None if have.mode == Mode::Required && !load.relax_fields => {
                return Err(format!("Field {name} is missing in new schema"));
            }
            None if have.mode == Mode::Required => Field {
                mode: Mode::Nullable,
                ..have.clone()
            },
            None => have.clone(),
        });
    }
    for want in wanted
        .iter()
        .filter(|want| !present.iter().any(|have| have.is(&want.name)))
    {
        let name = format!("{path}{}", want.name);
        if !load.add_fields {
            return Err(format!("Cannot add fields (field: {name})"));
        }
        if want.mode == Mode::Required && load.schema.is_some() {
            return Err(format!(
                "Cannot add required fields to an existing schema. (field: {name})"
            ));
        }
        let mode = if want.mode == Mode::Required {
            Mode::Nullable
        } else {
            want.mode
        };
        fields.push(Field {
            mode,
            ..want.clone()
        });
    }
    Ok(fields)
}

fn joined(load: &Load, have: &Field, want: &Field, name: &str) -> Result<Field, String> {
    let same = match load.schema {
        Some(_) => have.kind == want.kind,
        // Without a schema the table's types decide how the files are read.
        None => mismatch(
            &Field {
                fields: Vec::new(),
                ..want.clone()
            },
            &Field {
                fields: Vec::new(),
                ..have.clone()
            },
        )
        .is_none(),
    };
    if !same {
        return Err(format!(
            "Field {name} has changed type from {} to {}",
            have.kind.name(),
            want.kind.name()
        ));
    }
    let mode = match (have.mode, want.mode) {
        (a, b) if a == b => a,
        // Tightening is silently ignored.
        (Mode::Nullable, Mode::Required) => Mode::Nullable,
        (Mode::Required, Mode::Nullable) if load.relax_fields => Mode::Nullable,
        // Files without REQUIRED columns may still hold no NULLs.
        (Mode::Required, Mode::Nullable) if load.schema.is_none() => Mode::Required,
        (a, b) => {
            return Err(format!(
                "Field {name} has changed mode from {} to {}",
                a.name(),
                b.name()
            ));
        }
    };
    let fields = united(load, &have.fields, &want.fields, &format!("{name}."))?;
    Ok(Field {
        mode,
        fields,
        ..have.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn load(config: Value) -> Result<Load, ApiError> {
        let mut whole = json!({
            "destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "sourceUris": ["gs://b/x.parquet"], "sourceFormat": "PARQUET",
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(config.as_object().cloned().unwrap());
        Load::parse(&whole)
    }

    fn schema(fields: Value) -> Schema {
        serde_json::from_value(json!({"fields": fields})).unwrap()
    }

    fn id() -> Schema {
        schema(json!([{"name": "id", "type": "STRING"}]))
    }

    fn wider() -> Schema {
        schema(json!([{"name": "id", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]))
    }

    #[test]
    fn a_schema_that_names_json_is_refused() {
        let refused =
            load(json!({"schema": {"fields": [{"name": "doc", "type": "JSON"}]}})).unwrap_err();
        assert_eq!(refused.message, "Unsupported field type: JSON");
    }

    #[test]
    fn new_columns_need_leave() {
        let append = load(json!({})).unwrap();
        let refused = plan(&append, &wider(), Some(&id())).unwrap_err();
        assert_eq!(
            refused.message,
            "Provided Schema does not match Table p:d.t. Cannot add fields (field: n)"
        );
        let append = load(json!({"schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]})).unwrap();
        assert_eq!(plan(&append, &wider(), Some(&id())).unwrap().table, wider());
    }

    #[test]
    fn a_new_required_column_is_refused_even_with_leave() {
        let fields = json!([{"name": "id", "type": "STRING"}, {"name": "n", "type": "INTEGER", "mode": "REQUIRED"}]);
        let append = load(
            json!({"schema": {"fields": fields}, "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]}),
        )
        .unwrap();
        assert!(
            plan(&append, &id(), Some(&id()))
                .unwrap_err()
                .message
                .contains("Cannot add required fields")
        );
    }

    #[test]
    fn truncating_replaces_the_schema() {
        let truncate = load(json!({"writeDisposition": "WRITE_TRUNCATE"})).unwrap();
        assert_eq!(plan(&truncate, &id(), Some(&wider())).unwrap().table, id());
    }

    #[test]
    fn columns_outside_the_given_schema_are_not_read() {
        let append = load(json!({"schema": id()})).unwrap();
        let plan = plan(&append, &wider(), Some(&wider())).unwrap();
        assert_eq!(plan.from_files, ["id"]);
        assert_eq!(plan.table, wider());
    }

    #[test]
    fn tightening_is_ignored_and_retyping_refused() {
        let tight = load(
            json!({"schema": {"fields": [{"name": "id", "type": "STRING", "mode": "REQUIRED"}]}}),
        )
        .unwrap();
        assert_eq!(plan(&tight, &id(), Some(&id())).unwrap().table, id());
        let other =
            load(json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"}]}})).unwrap();
        assert!(
            plan(&other, &id(), Some(&id()))
                .unwrap_err()
                .message
                .contains("has changed type from STRING to INTEGER")
        );
    }
}
