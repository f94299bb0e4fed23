//! Small pieces of syntax trees.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
    Value, WildcardAdditionalOptions,
};

use super::parse::parse;
use crate::error::ApiError;

pub fn quoted(name: &str) -> Ident {
    Ident::with_quote('`', name)
}

/// `alias.name`.
pub fn column(alias: &Ident, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![alias.clone(), quoted(name)])
}

/// `expr AS name`.
pub fn named(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: quoted(name),
    }
}

/// `alias.*`.
pub fn all_of(alias: &Ident) -> SelectItem {
    SelectItem::QualifiedWildcard(
        SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![alias.clone()])),
        WildcardAdditionalOptions::default(),
    )
}

pub fn truth(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

/// All of `conditions`, each in its own parentheses.
pub fn all(conditions: Vec<Expr>) -> Expr {
    let nested = conditions
        .into_iter()
        .map(|condition| Expr::Nested(Box::new(condition)));
    nested
        .reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: datafusion::sql::sqlparser::ast::BinaryOperator::And,
            right: Box::new(right),
        })
        .unwrap_or_else(|| truth(true))
}

pub fn is_not_true(condition: Expr) -> Expr {
    Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(condition))))
}

pub fn alias(name: &Ident) -> TableAlias {
    TableAlias {
        explicit: true,
        name: name.clone(),
        columns: Vec::new(),
        at: None,
    }
}

/// The rows known as `name` under an alias.
pub fn table(name: &str, known_as: &Ident) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![quoted(name)]),
        alias: Some(alias(known_as)),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

pub fn derived(query: Query, known_as: &Ident) -> TableFactor {
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query),
        alias: Some(alias(known_as)),
        sample: None,
    }
}

pub fn only(relation: TableFactor) -> TableWithJoins {
    TableWithJoins {
        relation,
        joins: Vec::new(),
    }
}

pub fn joined(
    left: TableFactor,
    right: TableFactor,
    operator: fn(JoinConstraint) -> JoinOperator,
    on: Expr,
) -> TableWithJoins {
    TableWithJoins {
        relation: left,
        joins: vec![Join {
            relation: right,
            global: false,
            join_operator: operator(JoinConstraint::On(on)),
        }],
    }
}

/// `SELECT items FROM from WHERE condition`.
pub fn select(
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Query, ApiError> {
    let Statement::Query(mut query) = parse("SELECT 1 FROM t")?.statement else {
        return Err(ApiError::internal("not a query"));
    };
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(ApiError::internal("not a SELECT"));
    };
    let select: &mut Select = select;
    (select.projection, select.from, select.selection) = (items, from, condition);
    Ok(*query)
}
