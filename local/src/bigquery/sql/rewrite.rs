//! BigQuery's expressions in the words of the engine.
//!
//! Pure, tree to tree: what the engine spells otherwise (`COUNTIF`, `a[OFFSET(0)]`,
//! `DATE_TRUNC(d, MONTH)`) is spelled so that it, or a function of `functions`, knows it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Select, StructField, Subscript, Value, ValueTableMode, VisitMut, VisitorMut,
};

use super::calls::{extract, part_arguments, rename};
use super::not_served;
use crate::error::ApiError;

/// Rewrites every expression under `node`.
pub fn rewrite<T: VisitMut>(node: &mut T) -> Result<(), ApiError> {
    match node.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ApiError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<ApiError> {
        match select.value_table_mode {
            Some(
                ValueTableMode::AsStruct
                | ValueTableMode::DistinctAsStruct
                | ValueTableMode::AsValue
                | ValueTableMode::DistinctAsValue,
            ) => ControlFlow::Break(not_served("SELECT AS STRUCT and AS VALUE")),
            None => ControlFlow::Continue(()),
        }
    }

    // Names of parts (DAY, MONTH) are taken before they are visited as columns.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<ApiError> {
        let before = std::mem::replace(expr, Expr::value(Value::Null));
        match outward(before) {
            Ok(after) => {
                *expr = after;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<ApiError> {
        let before = std::mem::replace(expr, Expr::value(Value::Null));
        match inward(before) {
            Ok(after) => {
                *expr = after;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Before the children.
fn outward(expr: Expr) -> Result<Expr, ApiError> {
    match expr {
        Expr::Function(function) => part_arguments(function),
        Expr::CompoundFieldAccess { root, access_chain } => Ok(access(*root, access_chain)),
        Expr::Extract { field, expr, .. } => extract(&field, *expr),
        other => Ok(other),
    }
}

/// After the children.
fn inward(expr: Expr) -> Result<Expr, ApiError> {
    match expr {
        Expr::Function(function) => rename(function),
        Expr::Value(value) => literal(value.value),
        Expr::Cast {
            kind,
            expr,
            data_type,
            array,
            format,
        } => {
            if format.is_some() {
                return Err(not_served("CAST with FORMAT"));
            }
            Ok(cast(kind, *expr, data_type, array))
        }
        Expr::Struct { values, fields } => Ok(structure(values, &fields)),
        Expr::InUnnest {
            expr,
            array_expr,
            negated,
        } => Ok(negate(call("array_has", vec![*array_expr, *expr]), negated)),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Divide,
            right,
        } => Ok(call("bq_divide", vec![*left, *right])),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::StringConcat,
            right,
        } => Ok(call("bq_concat", vec![*left, *right])),
        Expr::Ceil {
            expr,
            field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
        } => Ok(call("ceil", vec![*expr])),
        Expr::Floor {
            expr,
            field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime),
        } => Ok(call("floor", vec![*expr])),
        Expr::Substring {
            expr,
            substring_from,
            substring_for,
            ..
        } => {
            let rest = substring_from
                .into_iter()
                .chain(substring_for)
                .map(|expr| *expr);
            Ok(call(
                "bq_substr",
                std::iter::once(*expr).chain(rest).collect(),
            ))
        }
        other => Ok(other),
    }
}

fn negate(expr: Expr, negated: bool) -> Expr {
    match negated {
        true => Expr::UnaryOp {
            op: datafusion::sql::sqlparser::ast::UnaryOperator::Not,
            expr: Box::new(Expr::Nested(Box::new(expr))),
        },
        false => expr,
    }
}

/// A string literal.
pub fn text(text: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(text.into()))
}

pub fn number(number: i64) -> Expr {
    Expr::value(Value::Number(number.to_string(), false))
}

/// A call of a function by its name.
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Raw, triple-quoted and double-quoted strings are strings; bytes are hex.
fn literal(value: Value) -> Result<Expr, ApiError> {
    use Value::*;
    Ok(Expr::value(match value {
        DoubleQuotedString(text)
        | TripleSingleQuotedString(text)
        | TripleDoubleQuotedString(text)
        | SingleQuotedRawStringLiteral(text)
        | DoubleQuotedRawStringLiteral(text)
        | TripleSingleQuotedRawStringLiteral(text)
        | TripleDoubleQuotedRawStringLiteral(text) => SingleQuotedString(text),
        SingleQuotedByteStringLiteral(text)
        | DoubleQuotedByteStringLiteral(text)
        | TripleSingleQuotedByteStringLiteral(text)
        | TripleDoubleQuotedByteStringLiteral(text) => HexStringLiteral(hex::encode(text)),
        Placeholder(name) => {
            return Err(super::invalid(format!(
                "Query parameter {name} has no value"
            )));
        }
        other => other,
    }))
}

fn cast(kind: CastKind, expr: Expr, data_type: DataType, array: bool) -> Expr {
    use super::types::scalar_type;
    use crate::bigquery::schema::Type;
    let safe = if matches!(kind, CastKind::SafeCast | CastKind::TryCast) {
        "safe_"
    } else {
        ""
    };
    match scalar_type(&data_type) {
        Some(Type::String) => call(&format!("{safe}bq_to_string"), vec![expr]),
        Some(Type::Integer) => call(&format!("{safe}bq_to_int64"), vec![expr]),
        _ => Expr::Cast {
            kind,
            expr: Box::new(expr),
            data_type,
            array,
            format: None,
        },
    }
}

fn structure(values: Vec<Expr>, types: &[StructField]) -> Expr {
    let mut args = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let kind = types.get(index);
        let typed_name = kind
            .and_then(|kind| kind.field_name.as_ref())
            .map(|name| name.value.clone());
        let (name, value) = match value {
            Expr::Named { expr, name } => (Some(name.value), *expr),
            Expr::Identifier(ident) => (Some(ident.value.clone()), Expr::Identifier(ident)),
            Expr::CompoundIdentifier(idents) => (
                idents.last().map(|ident| ident.value.clone()),
                Expr::CompoundIdentifier(idents),
            ),
            other => (None, other),
        };
        args.push(text(
            typed_name
                .or(name)
                .unwrap_or_else(|| format!("_field_{}", index + 1)),
        ));
        args.push(match kind {
            Some(kind) => cast(CastKind::Cast, value, kind.field_type.clone(), false),
            None => value,
        });
    }
    call("named_struct", args)
}

/// `root[OFFSET(0)].field`, a step at a time.
fn access(root: Expr, chain: Vec<AccessExpr>) -> Expr {
    chain.into_iter().fold(root, |from, step| match step {
        AccessExpr::Dot(Expr::Identifier(ident)) => {
            call("get_field", vec![from, text(ident.value)])
        }
        AccessExpr::Subscript(Subscript::Index { index }) => item(from, index),
        other => Expr::CompoundFieldAccess {
            root: Box::new(from),
            access_chain: vec![other],
        },
    })
}

fn item(from: Expr, index: Expr) -> Expr {
    let (kind, index) = match index {
        Expr::Function(function) => {
            let name = function.name.to_string();
            match (name.as_str(), only_argument(&function)) {
                ("offset", Some(index)) => ("bq_offset", index),
                ("safe_offset", Some(index)) => ("safe_bq_offset", index),
                ("ordinal", Some(index)) => ("bq_ordinal", index),
                ("safe_ordinal", Some(index)) => ("safe_bq_ordinal", index),
                _ => ("bq_offset", Expr::Function(function)),
            }
        }
        Expr::Value(value)
            if matches!(
                value.value,
                Value::SingleQuotedString(_) | Value::DoubleQuotedString(_)
            ) =>
        {
            return call("bq_json_field", vec![from, Expr::Value(value)]);
        }
        other => ("bq_offset", other),
    };
    call(kind, vec![from, index])
}

pub fn only_argument(function: &Function) -> Option<Expr> {
    match arguments(function)?.as_slice() {
        [index] => Some(index.clone()),
        _ => None,
    }
}

/// Plain positional arguments, if that is all there is.
pub fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn rewritten(expr: &str) -> String {
        let mut text = parse(&format!("SELECT {expr}")).unwrap();
        rewrite(&mut text.statement).unwrap();
        text.statement
            .to_string()
            .trim_start_matches("SELECT ")
            .to_owned()
    }

    #[test]
    fn arrays_are_reached_by_offset_and_ordinal() {
        assert_eq!(
            rewritten("items[OFFSET(0)].price"),
            "get_field(bq_offset(items, 0), 'price')"
        );
        assert_eq!(
            rewritten("items[SAFE_ORDINAL(2)]"),
            "safe_bq_ordinal(items, 2)"
        );
        assert_eq!(rewritten("x IN UNNEST(tags)"), "array_has(tags, x)");
    }

    #[test]
    fn date_parts_are_strings() {
        assert_eq!(
            rewritten("DATE_TRUNC(d, MONTH)"),
            "bq_date_trunc(d, 'MONTH')"
        );
        assert_eq!(
            rewritten("DATE_TRUNC(d, WEEK(MONDAY))"),
            "bq_date_trunc(d, 'WEEK_MONDAY')"
        );
        assert_eq!(
            rewritten("DATE_ADD(d, INTERVAL 3 DAY)"),
            "bq_date_add(d, 3, 'DAY')"
        );
        assert_eq!(
            rewritten("DATE_DIFF(a, b, DAY)"),
            "bq_date_diff(a, b, 'DAY')"
        );
        assert_eq!(rewritten("EXTRACT(YEAR FROM d)"), "bq_extract(d, 'YEAR')");
    }

    #[test]
    fn aggregates_keep_their_meaning() {
        assert_eq!(rewritten("COUNTIF(x > 1)"), "count(*) FILTER (WHERE x > 1)");
        assert_eq!(rewritten("STRING_AGG(name)"), "string_agg(name, ',')");
        assert_eq!(
            rewritten("ARRAY_AGG(x ORDER BY y LIMIT 3)"),
            "array_slice(array_agg(x ORDER BY y), 1, 3)"
        );
        assert_eq!(rewritten("IF(a, 1, 2)"), "CASE WHEN a THEN 1 ELSE 2 END");
    }

    #[test]
    fn structs_keep_the_names_of_their_fields() {
        assert_eq!(
            rewritten("STRUCT(a AS x, t.b, 1)"),
            "named_struct('x', a, 'b', t.b, '_field_3', 1)"
        );
    }

    #[test]
    fn casts_to_text_and_whole_numbers_are_bigquerys_own() {
        assert_eq!(rewritten("SAFE_CAST(x AS INT64)"), "safe_bq_to_int64(x)");
        assert_eq!(rewritten("CAST(x AS DATE)"), "CAST(x AS DATE)");
        assert_eq!(
            rewritten("SAFE.PARSE_DATE('%F', s)"),
            "safe_bq_parse_date('%F', s)"
        );
    }
}
