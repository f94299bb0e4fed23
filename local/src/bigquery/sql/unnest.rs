//! `UNNEST` in FROM, correlated with what stands left of it.
//!
//! `nest` rewrites a FROM list so that each UNNEST is the last join of a nested
//! join; `UnnestPlanner` then plans that join over the columns of its left side.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{
    Column, DFSchema, NullHandling, Result, TableReference, UnnestOptions, plan_err,
};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Ident, Join, JoinConstraint, JoinOperator, Select, TableAlias, TableFactor,
    TableWithJoins,
};

/// Brings every UNNEST of a FROM list into the form the planner takes.
pub fn nest(select: &mut Select) {
    let lists = std::mem::take(&mut select.from);
    let mut names = Vec::new();
    let any = lists.iter().any(|list| {
        std::iter::once(&list.relation)
            .chain(list.joins.iter().map(|join| &join.relation))
            .any(|factor| {
                let found = is_unnest(factor) || path_of(factor, &names).is_some();
                names.extend(name_of(factor));
                found
            })
    });
    select.from = if any { vec![chain(lists)] } else { lists };
}

/// One left-deep chain: commas are cross joins.
fn chain(lists: Vec<TableWithJoins>) -> TableWithJoins {
    let mut names = Vec::new();
    let mut whole: Option<TableWithJoins> = None;
    for list in lists {
        let first = Join {
            relation: list.relation,
            global: false,
            join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
        };
        for mut join in std::iter::once(first).chain(list.joins) {
            if let Some(path) = path_of(&join.relation, &names) {
                join.relation = path;
            }
            names.extend(name_of(&join.relation));
            whole = Some(match whole {
                None => TableWithJoins {
                    relation: join.relation,
                    joins: Vec::new(),
                },
                Some(left) if is_unnest(&join.relation) => nested(left, join),
                Some(mut left) => {
                    left.joins.push(join);
                    left
                }
            });
        }
    }
    // `any` above found at least one relation.
    whole.unwrap_or_else(|| TableWithJoins {
        relation: empty(),
        joins: Vec::new(),
    })
}

fn empty() -> TableFactor {
    TableFactor::UNNEST {
        alias: None,
        array_exprs: Vec::new(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

fn nested(mut left: TableWithJoins, join: Join) -> TableWithJoins {
    left.joins.push(join);
    TableWithJoins {
        relation: TableFactor::NestedJoin {
            table_with_joins: Box::new(left),
            alias: None,
        },
        joins: Vec::new(),
    }
}

fn is_unnest(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::UNNEST { .. })
}

/// The name a relation is known by in its FROM list.
fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        }
        | TableFactor::UNNEST {
            alias: Some(alias), ..
        } => Some(alias.name.value.clone()),
        TableFactor::Table { name, .. } => Some(name.0.last()?.as_ident()?.value.clone()),
        _ => None,
    }
}

/// `FROM t, t.items` is an UNNEST without the word.
fn path_of(factor: &TableFactor, names: &[String]) -> Option<TableFactor> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = factor
    else {
        return None;
    };
    let idents: Vec<Ident> = name
        .0
        .iter()
        .map(|part| part.as_ident().cloned())
        .collect::<Option<_>>()?;
    if idents.len() < 2 || !names.contains(&idents[0].value) {
        return None;
    }
    let last = idents.last().cloned()?;
    let named = || TableAlias {
        explicit: false,
        name: last,
        columns: Vec::new(),
        at: None,
    };
    Some(TableFactor::UNNEST {
        alias: alias.clone().or_else(|| Some(named())),
        array_exprs: vec![SqlExpr::CompoundIdentifier(idents)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    })
}

#[derive(Debug)]
pub struct UnnestPlanner {
    /// Positions of an array's items, `[0, 1, ..]`.
    pub offsets: Arc<ScalarUDF>,
}

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::UNNEST { .. } => {
                let left = LogicalPlanBuilder::empty(true).build()?;
                let plan = self.unnest(left, relation, false, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
                    plan, None,
                ))))
            }
            TableFactor::NestedJoin {
                mut table_with_joins,
                alias: None,
            } if table_with_joins
                .joins
                .last()
                .is_some_and(|join| is_unnest(&join.relation)) =>
            {
                let Some(join) = table_with_joins.joins.pop() else {
                    return plan_err!("a nested join without joins");
                };
                let keep = keeps_rows_without_items(&join.join_operator)?;
                let left = match table_with_joins.joins.is_empty() {
                    true => context.plan(table_with_joins.relation)?,
                    false => context.plan(TableFactor::NestedJoin {
                        table_with_joins,
                        alias: None,
                    })?,
                };
                let plan = self.unnest(left, join.relation, keep, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
                    plan, None,
                ))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

/// Whether a join with UNNEST is a LEFT JOIN.
fn keeps_rows_without_items(operator: &JoinOperator) -> Result<bool> {
    let condition = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(SqlExpr::Value(value)) => value.to_string().eq_ignore_ascii_case("true"),
        _ => false,
    };
    match operator {
        JoinOperator::CrossJoin(on) | JoinOperator::Join(on) | JoinOperator::Inner(on)
            if condition(on) =>
        {
            Ok(false)
        }
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) if condition(on) => Ok(true),
        _ => plan_err!(
            "UNNEST is joined by CROSS JOIN, or by LEFT JOIN without a condition; use WHERE instead"
        ),
    }
}

impl UnnestPlanner {
    /// The rows of `left`, each repeated for every item of its array.
    fn unnest(
        &self,
        left: LogicalPlan,
        factor: TableFactor,
        keep: bool,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let TableFactor::UNNEST {
            alias,
            mut array_exprs,
            with_offset,
            with_offset_alias,
            ..
        } = factor
        else {
            return plan_err!("not an UNNEST");
        };
        let (Some(array), true) = (array_exprs.pop(), array_exprs.is_empty()) else {
            return plan_err!("UNNEST takes one array");
        };
        let array = context.sql_to_expr(array, left.schema())?;
        let name = alias.map_or_else(|| "unnest()".to_owned(), |alias| alias.name.value);
        let table = TableReference::bare(name);
        let offset = with_offset
            .then(|| with_offset_alias.map_or_else(|| "offset".to_owned(), |ident| ident.value));

        let left_columns = columns_of(left.schema());
        let mut columns = left_columns.clone();
        columns.push(array.clone().alias(ITEM));
        let mut unnested = vec![Column::new_unqualified(ITEM)];
        if offset.is_some() {
            columns.push(self.offsets.call(vec![array]).alias(OFFSET));
            unnested.push(Column::new_unqualified(OFFSET));
        }
        let options = UnnestOptions::new().with_null_handling(match keep {
            true => NullHandling::PreserveAndExpandEmpty,
            false => NullHandling::Drop,
        });
        let plan = LogicalPlanBuilder::from(left)
            .project(columns)?
            .unnest_columns_with_options(unnested, options)?
            .build()?;
        let mut columns = left_columns;
        columns.extend(item_columns(&plan, &table)?);
        columns.extend(
            offset.map(|offset| Expr::Column(Column::new_unqualified(OFFSET)).alias(offset)),
        );
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }
}

/// Names that stand for an item and its position until they get their own.
const ITEM: &str = "$item";
const OFFSET: &str = "$offset";

/// The item under its alias; a record's fields become columns of their own.
fn item_columns(plan: &LogicalPlan, table: &TableReference) -> Result<Vec<Expr>> {
    let item = || Expr::Column(Column::new_unqualified(ITEM));
    let DataType::Struct(fields) = plan.schema().field_with_unqualified_name(ITEM)?.data_type()
    else {
        return Ok(vec![
            item().alias_qualified(Some(table.clone()), table.table()),
        ]);
    };
    let columns = fields.iter().map(|field| {
        get_field(item(), field.name().as_str()).alias_qualified(Some(table.clone()), field.name())
    });
    Ok(columns.collect())
}

fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}
