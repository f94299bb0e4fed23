//! Column names BigQuery can hold, the same each time.

use sha2::{Digest, Sha256};

use super::{Column, EXTRACTED_AT, RESCUED, RUN_ID};

/// BigQuery's limit is 300 characters; the rest is room for a hash.
const LONGEST: usize = 290;

/// BigQuery refuses columns that begin so, in any case.
const REFUSED: [&str; 6] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
];

/// Where a column stands: xetl's own columns are beside the top ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Top,
    Nested,
}

/// The column for `field` beside the columns `taken`.
///
/// Letters, digits and `_` stay; a name that is taken (case does not tell columns
/// apart) gets a hash of the field, so that it depends on nothing but the fields.
pub fn column_name(field: &str, taken: &[Column], level: Level) -> String {
    let name = legal(field);
    if is_free(&name, taken, level) {
        return name;
    }
    let digest = hex::encode(Sha256::digest(field));
    let mut length = 8;
    loop {
        let unique = format!("{name}_{}", &digest[..length]);
        if length == digest.len() || is_free(&unique, taken, level) {
            return unique;
        }
        length += 8;
    }
}

fn legal(field: &str) -> String {
    let mut name: String = field
        .chars()
        .take(LONGEST - 70)
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let upper = name.to_ascii_uppercase();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    } else if REFUSED.iter().any(|prefix| upper.starts_with(prefix)) {
        name.insert(0, 'x');
    }
    name
}

fn is_free(name: &str, taken: &[Column], level: Level) -> bool {
    let own = [RUN_ID, EXTRACTED_AT, RESCUED];
    let is_own = level == Level::Top && own.iter().any(|own| own.eq_ignore_ascii_case(name));
    !is_own
        && !taken
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Kind;
    use proptest::prelude::*;

    fn named(fields: &[&str]) -> Vec<String> {
        let mut columns: Vec<Column> = Vec::new();
        for field in fields {
            let name = column_name(field, &columns, Level::Top);
            columns.push(Column {
                field: field.to_string(),
                name,
                kind: Kind::String,
                repeated: false,
                format: None,
            });
        }
        columns.into_iter().map(|column| column.name).collect()
    }

    #[test]
    fn a_legal_name_stays() {
        assert_eq!(named(&["InvoiceID", "_x", "a1"]), ["InvoiceID", "_x", "a1"]);
    }

    #[test]
    fn what_bigquery_cannot_hold_is_replaced() {
        assert_eq!(
            named(&["due-date", "1st", "", "_PARTITIONTIME", "Māori"]),
            ["due_date", "_1st", "_", "x_PARTITIONTIME", "M_ori"]
        );
    }

    #[test]
    fn a_clash_of_case_gets_a_hash_of_the_field() {
        assert_eq!(named(&["Code", "code"]), ["Code", "code_5694d08a"]);
    }

    proptest! {
        /// BigQuery takes each name, and none twice, whatever the source calls its fields.
        #[test]
        fn names_are_legal_and_apart(fields in proptest::collection::hash_set(field(), 1..30)) {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let names = named(&fields);
            let mut apart = std::collections::HashSet::new();
            for name in &names {
                let upper = name.to_ascii_uppercase();
                prop_assert!(name.len() <= 300 && !name.is_empty());
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
                prop_assert!(!name.starts_with(|c: char| c.is_ascii_digit()), "{name}");
                prop_assert!(!REFUSED.iter().any(|prefix| upper.starts_with(prefix)), "{name}");
                prop_assert!(apart.insert(upper), "{names:?}");
            }
        }
    }

    fn field() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-cA-C_]{0,3}",
            ".{0,8}",
            "(_table_|_FILE_|_Partition|__root__|_xetl_run_id)[a-b]{0,2}",
            "[ab]{280,320}",
        ]
    }

    #[test]
    fn xetls_own_columns_are_taken() {
        assert_ne!(named(&["_xetl_run_id"]), ["_xetl_run_id"]);
    }
}
