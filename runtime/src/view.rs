//! The view of the newest version of each record of an appended table.

use crate::schema::{EXTRACTED_AT, TableSchema};

/// Standard SQL; `None` where no key column tells one record from another.
///
/// `WHERE TRUE` because BigQuery wants a clause beside `QUALIFY`.
pub fn latest(
    table: &str,
    schema: &TableSchema,
    primary_key: &[String],
    cursor_field: Option<&str>,
) -> Option<String> {
    let keys: Vec<String> = primary_key
        .iter()
        .map(|field| key(schema, field))
        .collect::<Option<_>>()?;
    if keys.is_empty() {
        return None;
    }
    let cursor = cursor_field.and_then(|field| schema.column_of(field));
    let order: String = cursor
        .map(|column| format!("`{}` DESC, ", column.name))
        .unwrap_or_default();
    Some(format!(
        "SELECT * FROM `{table}` WHERE TRUE QUALIFY ROW_NUMBER() OVER \
         (PARTITION BY {} ORDER BY {order}`{EXTRACTED_AT}` DESC) = 1",
        keys.join(", ")
    ))
}

fn key(schema: &TableSchema, field: &str) -> Option<String> {
    let name = &schema.column_of(field)?.name;
    Some(if schema.groupable(field) {
        format!("`{name}`")
    } else {
        format!("TO_JSON_STRING(`{name}`)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::declared;
    use serde_json::json;

    #[test]
    fn the_newest_version_of_each_key_is_shown() {
        let schema = declared::table_schema(&json!({"properties": {
            "InvoiceID": {"type": "string"},
            "UpdatedDateUTC": {"type": "string", "format": "date-time"},
        }}));
        let view = latest(
            "p.acme_xero.invoices",
            &schema.unwrap(),
            &["InvoiceID".into()],
            Some("UpdatedDateUTC"),
        );
        insta::assert_snapshot!(view.unwrap(), @"SELECT * FROM `p.acme_xero.invoices` WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY `InvoiceID` ORDER BY `UpdatedDateUTC` DESC, `_xetl_extracted_at` DESC) = 1");
    }

    #[test]
    fn without_a_key_there_is_no_view() {
        assert_eq!(latest("t", &TableSchema::default(), &[], None), None);
        assert_eq!(
            latest("t", &TableSchema::default(), &["id".into()], None),
            None
        );
    }
}
