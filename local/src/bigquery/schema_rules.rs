//! Which names and nestings a schema may have, and what it may become in place.

use std::collections::HashSet;

use super::schema::{Field, Mode, Type};
use crate::error::ApiError;

const RESERVED: &[&str] = &[
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
];

pub fn check_fields(fields: &[Field], depth: usize) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    for field in fields {
        check_name(&field.name)?;
        if !seen.insert(field.name.to_lowercase()) {
            return Err(ApiError::invalid(format!(
                "Field {} already exists in schema",
                field.name
            )));
        }
        if depth > 15 {
            return Err(ApiError::invalid(
                "Schema has more than 15 levels of nested RECORDs",
            ));
        }
        match (field.kind, field.fields.is_empty()) {
            (Type::Record, true) => {
                return Err(ApiError::invalid(format!(
                    "Field {} is type RECORD but has no schema",
                    field.name
                )));
            }
            (Type::Record, false) => check_fields(&field.fields, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| !c.is_control() && !"!\"$()*,./;?@[\\]^`{}~".contains(c);
    if name.is_empty() || name.chars().count() > 300 || !name.chars().all(good) {
        return Err(ApiError::invalid(format!(
            "Invalid field name \"{name}\". Fields must contain the allowed characters, and be at most 300 \
             characters long. For allowed characters, please refer to \
             https://cloud.google.com/bigquery/docs/schemas#column_names"
        )));
    }
    let upper = name.to_uppercase();
    match RESERVED.iter().find(|prefix| upper.starts_with(*prefix)) {
        Some(_) => Err(ApiError::invalid(format!(
            "Invalid field name \"{name}\". Field names are not allowed to start with the (case-insensitive) \
             prefixes _PARTITION, _TABLE_, _FILE_, _ROW_TIMESTAMP, __ROOT__ and _COLIDENTIFIER"
        ))),
        None => Ok(()),
    }
}

/// Says what in `new` an in-place change of `old` may not do.
pub fn check_patch(old: &[Field], new: &[Field], path: &str) -> Result<(), String> {
    for before in old {
        let name = format!("{path}{}", before.name);
        let Some(after) = new.iter().find(|field| field.is(&before.name)) else {
            return Err(format!("Field {name} is missing in new schema"));
        };
        if after.kind != before.kind {
            return Err(format!(
                "Field {name} has changed type from {} to {}",
                before.kind.name(),
                after.kind.name()
            ));
        }
        let relaxed = before.mode == Mode::Required && after.mode == Mode::Nullable;
        if after.mode != before.mode && !relaxed {
            return Err(format!(
                "Field {name} has changed mode from {} to {}",
                before.mode.name(),
                after.mode.name()
            ));
        }
        check_patch(&before.fields, &after.fields, &format!("{name}."))?;
    }
    let added = new
        .iter()
        .filter(|field| !old.iter().any(|before| before.is(&field.name)));
    match added.into_iter().find(|field| field.mode == Mode::Required) {
        Some(field) => Err(format!(
            "Cannot add required fields to an existing schema. (field: {path}{})",
            field.name
        )),
        None => Ok(()),
    }
}
