//! The one statement a run of a stream reads by.

use super::cursor::{Bound, Bounds};
use super::settings::Origin;

/// A SELECT of all columns, of the rows within the bounds.
pub fn select(origin: &Origin, cursor: Option<&str>, bounds: &Bounds) -> String {
    let conditions = match cursor {
        Some(cursor) => conditions(cursor, bounds),
        None => Vec::new(),
    };
    let whole = match origin {
        Origin::Table(name) => format!("SELECT * FROM `{name}`"),
        Origin::Query(query) if conditions.is_empty() => query.clone(),
        // On lines of its own, as it may end in a comment.
        Origin::Query(query) => format!("SELECT * FROM (\n{query}\n)"),
    };
    match conditions.is_empty() {
        true => whole,
        false => format!("{whole}\nWHERE {}", conditions.join(" AND ")),
    }
}

fn conditions(cursor: &str, bounds: &Bounds) -> Vec<String> {
    let column = quoted_name(cursor);
    let compared = |bound: &Option<Bound>, sign: char| {
        let Bound { literal, inclusive } = bound.as_ref()?;
        let equal = if *inclusive { "=" } else { "" };
        Some(format!("{column} {sign}{equal} {literal}"))
    };
    let both = [compared(&bounds.from, '>'), compared(&bounds.to, '<')];
    both.into_iter().flatten().collect()
}

/// A column's name in backquotes, which also keep a reserved word a name.
pub fn quoted_name(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('`', "\\`");
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::google::bigquery::TableName;

    fn from(literal: &str, inclusive: bool) -> Bounds {
        Bounds {
            from: Some(Bound {
                literal: literal.to_owned(),
                inclusive,
            }),
            to: None,
        }
    }

    #[test]
    fn a_table_is_read_from_where_the_last_run_ended() {
        let table = Origin::Table(TableName {
            project: "p".into(),
            dataset: "d".into(),
            table: "t".into(),
        });
        assert_eq!(
            select(&table, None, &Bounds::default()),
            "SELECT * FROM `p.d.t`"
        );
        assert_eq!(
            select(&table, Some("at"), &from("5", false)),
            "SELECT * FROM `p.d.t`\nWHERE `at` > 5"
        );
    }

    #[test]
    fn a_query_keeps_its_own_conditions_and_comments() {
        let query = Origin::Query("SELECT 1 AS n -- one".into());
        assert_eq!(
            select(&query, Some("n"), &from("1", true)),
            "SELECT * FROM (\nSELECT 1 AS n -- one\n)\nWHERE `n` >= 1"
        );
        let whole = select(&query, Some("n"), &Bounds::default());
        assert_eq!(whole, "SELECT 1 AS n -- one");
    }
}
