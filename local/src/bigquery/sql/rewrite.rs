//! BigQuery's expressions in the words of the engine.
//!
//! Pure, tree to tree: what the engine spells otherwise (`COUNTIF`, `a[OFFSET(0)]`,
//! `DATE_TRUNC(d, MONTH)`) is spelled so that it, or a function of `functions`, knows it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName,
    Select, StructField, Subscript, Value, ValueTableMode, VisitMut, VisitorMut,
};

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
            Some(ValueTableMode::AsStruct | ValueTableMode::DistinctAsStruct | ValueTableMode::AsValue | ValueTableMode::DistinctAsValue) => {
                ControlFlow::Break(not_served("SELECT AS STRUCT and AS VALUE"))
            }
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
        Expr::Cast { kind, expr, data_type, array, format } => {
            if format.is_some() {
                return Err(not_served("CAST with FORMAT"));
            }
            Ok(cast(kind, *expr, data_type, array))
        }
        Expr::Struct { values, fields } => Ok(structure(values, &fields)),
        Expr::InUnnest { expr, array_expr, negated } => Ok(negate(call("array_has", vec![*array_expr, *expr]), negated)),
        Expr::BinaryOp { left, op: BinaryOperator::Divide, right } => Ok(call("bq_divide", vec![*left, *right])),
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => Ok(call("bq_concat", vec![*left, *right])),
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => Ok(call("ceil", vec![*expr])),
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => Ok(call("floor", vec![*expr])),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let rest = substring_from.into_iter().chain(substring_for).map(|expr| *expr);
            Ok(call("bq_substr", std::iter::once(*expr).chain(rest).collect()))
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
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
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
        Placeholder(name) => return Err(super::invalid(format!("Query parameter {name} has no value"))),
        other => other,
    }))
}

fn cast(kind: CastKind, expr: Expr, data_type: DataType, array: bool) -> Expr {
    use super::types::scalar_type;
    use crate::bigquery::schema::Type;
    let safe = if matches!(kind, CastKind::SafeCast | CastKind::TryCast) { "safe_" } else { "" };
    match scalar_type(&data_type) {
        Some(Type::String) => call(&format!("{safe}bq_to_string"), vec![expr]),
        Some(Type::Integer) => call(&format!("{safe}bq_to_int64"), vec![expr]),
        _ => Expr::Cast { kind, expr: Box::new(expr), data_type, array, format: None },
    }
}

fn structure(values: Vec<Expr>, types: &[StructField]) -> Expr {
    let mut args = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let kind = types.get(index);
        let typed_name = kind.and_then(|kind| kind.field_name.as_ref()).map(|name| name.value.clone());
        let (name, value) = match value {
            Expr::Named { expr, name } => (Some(name.value), *expr),
            Expr::Identifier(ident) => (Some(ident.value.clone()), Expr::Identifier(ident)),
            Expr::CompoundIdentifier(idents) => (idents.last().map(|ident| ident.value.clone()), Expr::CompoundIdentifier(idents)),
            other => (None, other),
        };
        args.push(text(typed_name.or(name).unwrap_or_else(|| format!("_field_{}", index + 1))));
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
        AccessExpr::Dot(Expr::Identifier(ident)) => call("get_field", vec![from, text(ident.value)]),
        AccessExpr::Subscript(Subscript::Index { index }) => item(from, index),
        other => Expr::CompoundFieldAccess { root: Box::new(from), access_chain: vec![other] },
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
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_) | Value::DoubleQuotedString(_)) => {
            return call("bq_json_field", vec![from, Expr::Value(value)]);
        }
        other => ("bq_offset", other),
    };
    call(kind, vec![from, index])
}

fn only_argument(function: &Function) -> Option<Expr> {
    match arguments(function)?.as_slice() {
        [index] => Some(index.clone()),
        _ => None,
    }
}

/// Plain positional arguments, if that is all there is.
fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let plain = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(plain).collect()
}

/// The name of a date part: `DAY`, `WEEK(MONDAY)`, as a string.
fn part(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_uppercase()),
        Expr::Function(function) => {
            let day = only_argument(function)?;
            Some(format!("{}_{}", function.name.to_string().to_uppercase(), part(&day)?))
        }
        _ => None,
    }
}

/// Functions that take a date part, and where.
fn part_position(name: &str) -> Option<usize> {
    match name {
        "date_trunc" | "timestamp_trunc" | "datetime_trunc" | "time_trunc" | "last_day" => Some(1),
        "date_diff" | "timestamp_diff" | "datetime_diff" | "time_diff" => Some(2),
        _ => None,
    }
}

fn part_arguments(function: Function) -> Result<Expr, ApiError> {
    let name = function.name.to_string();
    let name = name.strip_prefix("safe.").unwrap_or(&name);
    let Some(mut args) = arguments(&function) else {
        return Ok(Expr::Function(function));
    };
    if let Some(expr) = part_position(name).and_then(|at| args.get_mut(at)) {
        if let Some(part) = part(expr) {
            *expr = text(part);
            return Ok(with_arguments(function, args));
        }
    }
    if let Some(("date" | "timestamp" | "datetime" | "time", "add" | "sub")) = name.split_once('_') {
        if let [from, Expr::Interval(interval)] = args.as_slice() {
            let args = vec![from.clone(), count(interval), text(unit(interval)?)];
            return Ok(with_arguments(function, args));
        }
    }
    Ok(Expr::Function(function))
}

fn count(interval: &Interval) -> Expr {
    match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(count) | Value::DoubleQuotedString(count) => {
                Expr::value(Value::Number(count.trim().to_owned(), false))
            }
            _ => interval.value.as_ref().clone(),
        },
        other => other.clone(),
    }
}

fn unit(interval: &Interval) -> Result<String, ApiError> {
    match (&interval.leading_field, &interval.last_field) {
        (Some(field), None) => Ok(field.to_string().to_uppercase()),
        _ => Err(not_served("this kind of INTERVAL")),
    }
}

fn with_arguments(mut function: Function, args: Vec<Expr>) -> Expr {
    if let FunctionArguments::List(list) = &mut function.args {
        list.args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    }
    Expr::Function(function)
}

fn extract(field: &DateTimeField, expr: Expr) -> Result<Expr, ApiError> {
    let part = match field {
        DateTimeField::Week(Some(day)) => format!("WEEK_{}", day.value.to_uppercase()),
        other => other.to_string().to_uppercase(),
    };
    Ok(match expr {
        Expr::AtTimeZone { timestamp, time_zone } => call("bq_extract", vec![*timestamp, text(part), *time_zone]),
        other => call("bq_extract", vec![other, text(part)]),
    })
}

/// BigQuery's name of a function as the engine has it, where they mean the same.
fn engine_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "any_value" => "first_value",
        "logical_or" => "bool_or",
        "logical_and" => "bool_and",
        "approx_count_distinct" => "approx_distinct",
        "ifnull" => "coalesce",
        "generate_array" => "generate_series",
        "array_concat" => "array_concat",
        "array_reverse" => "array_reverse",
        "char_length" | "character_length" => "character_length",
        "var_samp" | "variance" => "var_samp",
        "stddev" => "stddev_samp",
        "pow" => "power",
        "sha256" => "sha256",
        "current_timestamp" => "now",
        _ => return None,
    })
}

fn rename(mut function: Function) -> Result<Expr, ApiError> {
    let name = function.name.to_string();
    let (safe, name) = match name.strip_prefix("safe.") {
        Some(name) => ("safe_", name.to_owned()),
        None => ("", name),
    };
    if let Some(args) = arguments(&function) {
        if let Some(expr) = special(&name, &args) {
            return Ok(expr);
        }
    }
    match name.as_str() {
        "countif" => return Ok(count_if(function)),
        "string_agg" => separate(&mut function),
        "array_agg" => return Ok(limited_array_agg(function)),
        _ => {}
    }
    let name = match engine_name(&name) {
        Some(engine) => engine.to_owned(),
        None if super::functions::is_own(&name) => format!("{safe}bq_{name}"),
        None if safe.is_empty() => name,
        None => return Err(not_served(&format!("SAFE.{}", name.to_uppercase()))),
    };
    function.name = ObjectName::from(vec![Ident::new(name)]);
    Ok(Expr::Function(function))
}

/// Functions that are other expressions.
fn special(name: &str, args: &[Expr]) -> Option<Expr> {
    let args = args.to_vec();
    Some(match (name, <[Expr; 3]>::try_from(args.clone()).ok(), <[Expr; 2]>::try_from(args).ok()) {
        ("if", Some([condition, yes, no]), _) => case(condition, yes, no),
        ("mod", _, Some([a, b])) => Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(a))),
            op: BinaryOperator::Modulo,
            right: Box::new(Expr::Nested(Box::new(b))),
        })),
        _ => return None,
    })
}

fn case(condition: Expr, yes: Expr, no: Expr) -> Expr {
    use datafusion::sql::sqlparser::ast::CaseWhen;
    use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: yes }],
        else_result: Some(Box::new(no)),
    }
}

/// `COUNTIF(x)` is `COUNT(*) FILTER (WHERE x)`.
fn count_if(mut function: Function) -> Expr {
    let condition = only_argument(&function);
    if let FunctionArguments::List(list) = &mut function.args {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    function.filter = condition.map(Box::new);
    function.name = ObjectName::from(vec![Ident::new("count")]);
    Expr::Function(function)
}

/// STRING_AGG separates by a comma unless told.
fn separate(function: &mut Function) {
    if let FunctionArguments::List(list) = &mut function.args {
        if list.args.len() == 1 {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(","))));
        }
    }
}

/// `ARRAY_AGG(x LIMIT n)` is a slice of the whole.
fn limited_array_agg(mut function: Function) -> Expr {
    let mut limit = None;
    if let FunctionArguments::List(list) = &mut function.args {
        list.clauses.retain(|clause| match clause {
            FunctionArgumentClause::Limit(count) => {
                limit = Some(count.clone());
                false
            }
            _ => true,
        });
    }
    match limit {
        Some(limit) => call("array_slice", vec![Expr::Function(function), number(1), limit]),
        None => Expr::Function(function),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn rewritten(expr: &str) -> String {
        let mut text = parse(&format!("SELECT {expr}")).unwrap();
        rewrite(&mut text.statement).unwrap();
        text.statement.to_string().trim_start_matches("SELECT ").to_owned()
    }

    #[test]
    fn arrays_are_reached_by_offset_and_ordinal() {
        assert_eq!(rewritten("items[OFFSET(0)].price"), "get_field(bq_offset(items, 0), 'price')");
        assert_eq!(rewritten("items[SAFE_ORDINAL(2)]"), "safe_bq_ordinal(items, 2)");
        assert_eq!(rewritten("x IN UNNEST(tags)"), "array_has(tags, x)");
    }

    #[test]
    fn date_parts_are_strings() {
        assert_eq!(rewritten("DATE_TRUNC(d, MONTH)"), "bq_date_trunc(d, 'MONTH')");
        assert_eq!(rewritten("DATE_TRUNC(d, WEEK(MONDAY))"), "bq_date_trunc(d, 'WEEK_MONDAY')");
        assert_eq!(rewritten("DATE_ADD(d, INTERVAL 3 DAY)"), "bq_date_add(d, 3, 'DAY')");
        assert_eq!(rewritten("DATE_DIFF(a, b, DAY)"), "bq_date_diff(a, b, 'DAY')");
        assert_eq!(rewritten("EXTRACT(YEAR FROM d)"), "bq_extract(d, 'YEAR')");
    }

    #[test]
    fn aggregates_keep_their_meaning() {
        assert_eq!(rewritten("COUNTIF(x > 1)"), "count(*) FILTER (WHERE x > 1)");
        assert_eq!(rewritten("STRING_AGG(name)"), "string_agg(name, ',')");
        assert_eq!(rewritten("ARRAY_AGG(x ORDER BY y LIMIT 3)"), "array_slice(array_agg(x ORDER BY y), 1, 3)");
        assert_eq!(rewritten("IF(a, 1, 2)"), "CASE WHEN a THEN 1 ELSE 2 END");
    }

    #[test]
    fn structs_keep_the_names_of_their_fields() {
        assert_eq!(rewritten("STRUCT(a AS x, t.b, 1)"), "named_struct('x', a, 'b', t.b, '_field_3', 1)");
    }

    #[test]
    fn casts_to_text_and_whole_numbers_are_bigquerys_own() {
        assert_eq!(rewritten("SAFE_CAST(x AS INT64)"), "safe_bq_to_int64(x)");
        assert_eq!(rewritten("CAST(x AS DATE)"), "CAST(x AS DATE)");
        assert_eq!(rewritten("SAFE.PARSE_DATE('%F', s)"), "safe_bq_parse_date('%F', s)");
    }
}
