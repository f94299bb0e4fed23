//! MERGE, UPDATE and DELETE as queries whose rows are the new ones.
//!
//! Pure, tree to tree: each WHEN becomes one query over the rows it is for, and
//! sees just the columns BigQuery lets it see. `changes` runs them.

use datafusion::sql::sqlparser::ast::{
    Assignment, Expr, Ident, JoinOperator, Merge, MergeAction, MergeClause, MergeClauseKind,
    MergeInsertExpr, MergeInsertKind, ObjectName, Query, SelectItem, TableFactor, TableWithJoins,
};

use super::assign::is_literal;
use super::changes::{Action, Step};
use super::invalid;
use super::provider::ROW;
use super::set::{assigned, inside, new_value};
use super::tree::{
    all, all_of, column, derived, is_not_true, joined, named, only, select, table, truth,
};
use crate::bigquery::schema::{Field, Schema};
use crate::error::ApiError;

/// Names that stand for the rows of the two sides.
pub const TARGET: &str = "$target";
pub const SOURCE: &str = "$source";

/// The table a statement changes, and what its columns are called by.
pub struct Changed<'a> {
    pub schema: &'a Schema,
    pub alias: Ident,
}

impl Changed<'_> {
    fn rows(&self) -> TableFactor {
        table(TARGET, &self.alias)
    }

    fn number(&self) -> SelectItem {
        named(column(&self.alias, ROW), ROW)
    }
}

/// What a relation is known by.
pub fn alias_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => Some(name.0.last()?.as_ident()?.clone()),
        },
        TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
            alias.as_ref().map(|alias| alias.name.clone())
        }
        _ => None,
    }
}

/// The steps of a MERGE; `source` are the columns of its source.
pub fn merge_steps(
    merge: &Merge,
    target: &Changed,
    source: &Schema,
) -> Result<Vec<Step>, ApiError> {
    // A subquery without an alias has columns that nothing can qualify.
    let source_alias = alias_of(&merge.source).unwrap_or_else(|| Ident::new(SOURCE));
    let sides = Sides {
        target,
        source,
        source_alias,
        on: &merge.on,
    };
    let clauses = merge.clauses.iter().enumerate();
    clauses
        .map(|(index, clause)| sides.step(clause, &merge.clauses[..index]))
        .collect()
}

struct Sides<'a> {
    target: &'a Changed<'a>,
    source: &'a Schema,
    source_alias: Ident,
    on: &'a Expr,
}

/// Which rows a clause is for; `NOT MATCHED` means `BY TARGET`.
fn kind(clause: &MergeClause) -> MergeClauseKind {
    match clause.clause_kind {
        MergeClauseKind::NotMatchedByTarget => MergeClauseKind::NotMatched,
        other => other,
    }
}

impl Sides<'_> {
    fn step(&self, clause: &MergeClause, earlier: &[MergeClause]) -> Result<Step, ApiError> {
        let taken = earlier.iter().filter(|other| kind(other) == kind(clause));
        let mut conditions: Vec<Expr> = taken
            .map(|other| is_not_true(other.predicate.clone().unwrap_or_else(|| truth(true))))
            .collect();
        conditions.extend(clause.predicate.clone());
        let condition = Some(all(conditions));
        let from = vec![self.from(kind(clause))?];
        match &clause.action {
            MergeAction::Delete { .. } => delete(self.target, from, condition),
            MergeAction::Update(update) => {
                if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                    return Err(invalid(
                        "Syntax error: Unexpected keyword WHERE in MERGE".to_owned(),
                    ));
                }
                update_step(self.target, &update.assignments, from, condition)
            }
            MergeAction::Insert(insert) => self.insert(insert, from, condition),
        }
    }

    /// The rows a kind of clause is for.
    fn from(&self, kind: MergeClauseKind) -> Result<TableWithJoins, ApiError> {
        let target = self.target.rows();
        let source = table(SOURCE, &self.source_alias);
        let on = self.on.clone();
        match kind {
            MergeClauseKind::Matched => Ok(joined(target, source, JoinOperator::Inner, on)),
            MergeClauseKind::NotMatchedBySource => {
                alone(target, &self.target.alias, source, &self.source_alias, on)
            }
            _ => alone(source, &self.source_alias, target, &self.target.alias, on),
        }
    }

    fn insert(
        &self,
        insert: &MergeInsertExpr,
        from: Vec<TableWithJoins>,
        condition: Option<Expr>,
    ) -> Result<Step, ApiError> {
        let columns = insert_columns(self.target.schema, &insert.columns)?;
        let values = match &insert.kind {
            MergeInsertKind::Row => self.source_row(),
            MergeInsertKind::Values(values) => match values.rows.as_slice() {
                [row] => row.content.clone(),
                _ => return Err(invalid("MERGE inserts exactly one row".to_owned())),
            },
        };
        if values.len() != columns.len() {
            return Err(invalid(format!(
                "Inserted row has wrong column count; Has {}, expected {}",
                values.len(),
                columns.len()
            )));
        }
        let literals = values.iter().map(is_literal).collect();
        let items = columns.iter().zip(values);
        let items = items.map(|(field, value)| named(value, &field.name.to_lowercase()));
        Ok(Step {
            action: Action::Insert,
            query: select(items.collect(), from, condition)?,
            columns: columns.into_iter().cloned().collect(),
            literals,
        })
    }

    /// `ROW`: the source's columns, in order.
    fn source_row(&self) -> Vec<Expr> {
        let fields = self.source.fields.iter();
        fields
            .map(|field| column(&self.source_alias, &field.name.to_lowercase()))
            .collect()
    }
}

/// The rows of one side that no row of the other matches, under their own names.
fn alone(
    rows: TableFactor,
    alias: &Ident,
    other: TableFactor,
    other_alias: &Ident,
    on: Expr,
) -> Result<TableWithJoins, ApiError> {
    let unmatched = Expr::IsNull(Box::new(column(other_alias, ROW)));
    let from = joined(rows, other, JoinOperator::LeftOuter, on);
    let query = select(vec![all_of(alias)], vec![from], Some(unmatched))?;
    Ok(only(derived(query, alias)))
}

/// The columns an INSERT names, or all.
pub fn insert_columns<'a>(
    schema: &'a Schema,
    names: &[ObjectName],
) -> Result<Vec<&'a Field>, ApiError> {
    if names.is_empty() {
        return Ok(schema.fields.iter().collect());
    }
    let find = |name: &ObjectName| {
        let ident = name.0.last().and_then(|part| part.as_ident());
        ident
            .and_then(|ident| schema.field(&ident.value))
            .ok_or_else(|| {
                invalid(format!(
                    "Column {name} is not present in the table that is written"
                ))
            })
    };
    names.iter().map(find).collect()
}

/// The rows of `from` under `condition` go.
pub fn delete(
    target: &Changed,
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Step, ApiError> {
    Ok(Step {
        action: Action::Delete,
        query: select(vec![target.number()], from, condition)?,
        columns: Vec::new(),
        literals: Vec::new(),
    })
}

/// The rows of `DELETE FROM t WHERE condition` and `UPDATE t SET .. FROM more WHERE condition`.
pub fn from_target(target: &Changed, more: Vec<TableWithJoins>) -> Vec<TableWithJoins> {
    std::iter::once(only(target.rows())).chain(more).collect()
}

/// The rows of `from` under `condition` get new values.
pub fn update_step(
    target: &Changed,
    assignments: &[Assignment],
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Step, ApiError> {
    let assigned = assigned(target.schema, &target.alias, assignments)?;
    let mut items = vec![target.number()];
    let (mut columns, mut literals) = (Vec::new(), Vec::new());
    for field in &target.schema.fields {
        let name = field.name.to_lowercase();
        let here = inside(field, &assigned);
        literals.push(matches!(here.as_slice(), [([], value)] if is_literal(value)));
        let value = new_value(field, column(&target.alias, &name), &here)?;
        items.push(named(value, &name));
        columns.push(field.clone());
    }
    Ok(Step {
        action: Action::Update,
        query: select(items, from, condition)?,
        columns,
        literals,
    })
}

/// `SELECT * FROM source`.
pub fn source_query(source: &TableFactor) -> Result<Query, ApiError> {
    let everything = SelectItem::Wildcard(Default::default());
    select(vec![everything], vec![only(source.clone())], None)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use serde_json::json;

    fn schema(fields: serde_json::Value) -> Schema {
        serde_json::from_value(json!({"fields": fields})).unwrap()
    }

    fn target() -> Schema {
        schema(json!([{"name": "Id", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]))
    }

    fn steps(sql: &str) -> Result<Vec<String>, ApiError> {
        let Statement::Merge(merge) = parse(sql).unwrap().statement else {
            panic!("no MERGE");
        };
        let schema = target();
        let changed = Changed {
            schema: &schema,
            alias: alias_of(&merge.table).unwrap(),
        };
        let steps = merge_steps(&merge, &changed, &schema)?;
        Ok(steps.iter().map(|step| step.query.to_string()).collect())
    }

    #[test]
    fn each_clause_is_a_query_over_the_rows_it_is_for() {
        let steps = steps(
            "MERGE d.t T USING d.s S ON T.id = S.id WHEN MATCHED AND S.gone THEN DELETE \
             WHEN MATCHED THEN UPDATE SET n = S.n + 1 WHEN NOT MATCHED THEN INSERT ROW",
        )
        .unwrap();
        insta::assert_snapshot!(steps.join("\n"), @"
        SELECT t.`$row` AS `$row` FROM `$target` AS t INNER JOIN `$source` AS s ON t.id = s.id WHERE (s.gone)
        SELECT t.`$row` AS `$row`, t.`id` AS `id`, s.n + 1 AS `n` FROM `$target` AS t INNER JOIN `$source` AS s ON t.id = s.id WHERE ((s.gone) IS NOT TRUE)
        SELECT s.`id` AS `id`, s.`n` AS `n` FROM (SELECT s.* FROM `$source` AS s LEFT OUTER JOIN `$target` AS t ON t.id = s.id WHERE t.`$row` IS NULL) AS s WHERE true
        ");
    }

    #[test]
    fn a_row_without_a_partner_sees_only_its_own_side() {
        let steps = steps(
            "MERGE d.t USING d.s ON FALSE WHEN NOT MATCHED BY SOURCE AND n > 1 THEN DELETE \
             WHEN NOT MATCHED THEN INSERT (n, id) VALUES (n, id)",
        )
        .unwrap();
        insta::assert_snapshot!(steps.join("\n"), @"
        SELECT t.`$row` AS `$row` FROM (SELECT t.* FROM `$target` AS t LEFT OUTER JOIN `$source` AS s ON false WHERE s.`$row` IS NULL) AS t WHERE (n > 1)
        SELECT n AS `n`, id AS `id` FROM (SELECT s.* FROM `$source` AS s LEFT OUTER JOIN `$target` AS t ON false WHERE t.`$row` IS NULL) AS s WHERE true
        ");
    }

    #[test]
    fn values_and_columns_are_counted() {
        let error =
            steps("MERGE d.t USING d.s ON FALSE WHEN NOT MATCHED THEN INSERT (id, n) VALUES (id)")
                .unwrap_err();
        assert_eq!(
            error.message,
            "Inserted row has wrong column count; Has 1, expected 2"
        );
    }

    #[test]
    fn a_column_is_set_once() {
        let set = |set: &str| {
            steps(&format!(
                "MERGE d.t USING d.s ON t.id = s.id WHEN MATCHED THEN UPDATE SET {set}"
            ))
            .map(|_| ())
            .map_err(|error| error.message)
        };
        assert_eq!(set("n = 1, t.id = 'x'"), Ok(()));
        assert_eq!(
            set("n = 1, n = 2"),
            Err("Update item n assigned more than once".to_owned())
        );
        assert_eq!(set("m = 1"), Err("Unrecognized name: m".to_owned()));
    }
}
