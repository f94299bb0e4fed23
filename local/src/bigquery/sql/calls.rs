//! Calls of functions, from BigQuery's names and forms to the engine's.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, Ident, Interval, ObjectName, Value,
};

use super::not_served;
use super::rewrite::{arguments, call, number, only_argument, text};
use crate::error::ApiError;

/// The name of a date part: `DAY`, `WEEK(MONDAY)`, as a string.
fn part(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_uppercase()),
        Expr::Function(function) => {
            let day = only_argument(function)?;
            Some(format!(
                "{}_{}",
                function.name.to_string().to_uppercase(),
                part(&day)?
            ))
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

pub fn part_arguments(function: Function) -> Result<Expr, ApiError> {
    let name = function.name.to_string();
    let name = name.strip_prefix("safe.").unwrap_or(&name);
    let Some(mut args) = arguments(&function) else {
        return Ok(Expr::Function(function));
    };
    if let Some(expr) = part_position(name).and_then(|at| args.get_mut(at))
        && let Some(part) = part(expr)
    {
        *expr = text(part);
        return Ok(with_arguments(function, args));
    }
    if let Some(("date" | "timestamp" | "datetime" | "time", "add" | "sub")) = name.split_once('_')
        && let [from, Expr::Interval(interval)] = args.as_slice()
    {
        let args = vec![from.clone(), count(interval), text(unit(interval)?)];
        return Ok(with_arguments(function, args));
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
        list.args = args
            .into_iter()
            .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
            .collect();
    }
    Expr::Function(function)
}

pub fn extract(field: &DateTimeField, expr: Expr) -> Result<Expr, ApiError> {
    let part = match field {
        DateTimeField::Week(Some(day)) => format!("WEEK_{}", day.value.to_uppercase()),
        other => other.to_string().to_uppercase(),
    };
    let (from, zone) = match expr {
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => (*timestamp, Some(*time_zone)),
        other => (other, None),
    };
    let mut args = vec![from];
    let name = match part.as_str() {
        "DATE" => "date",
        "DATETIME" => "datetime",
        _ => {
            args.push(text(part));
            "bq_extract"
        }
    };
    args.extend(zone);
    Ok(call(name, args))
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

pub fn rename(mut function: Function) -> Result<Expr, ApiError> {
    if matches!(function.args, FunctionArguments::Subquery(_)) {
        return Err(not_served(
            "ARRAY(SELECT ...); use UNNEST in FROM and ARRAY_AGG",
        ));
    }
    let name = function.name.to_string();
    let (safe, name) = match name.strip_prefix("safe.") {
        Some(name) => ("safe_", name.to_owned()),
        None => ("", name),
    };
    let name = match name.as_str() {
        "parse_json" if rounds_wide_numbers(&mut function)? => "parse_json_round".to_owned(),
        _ => name,
    };
    if let Some(args) = arguments(&function)
        && let Some(expr) = special(&name, &args)
    {
        return Ok(expr);
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

/// Takes `wide_number_mode=>'round'` out of a call of PARSE_JSON.
fn rounds_wide_numbers(function: &mut Function) -> Result<bool, ApiError> {
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(false);
    };
    let mode = list.args.iter().position(|arg| match arg {
        FunctionArg::Named { name, .. } => name.value == "wide_number_mode",
        FunctionArg::ExprNamed { name, .. } => name.to_string() == "wide_number_mode",
        FunctionArg::Unnamed(_) => false,
    });
    let Some(mode) = mode else {
        return Ok(false);
    };
    let (FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. }) =
        list.args.remove(mode)
    else {
        return Ok(false);
    };
    match arg.to_string().trim_matches(['\'', '"']) {
        "round" => Ok(true),
        "exact" => Ok(false),
        other => Err(super::invalid(format!(
            "Invalid `wide_number_mode` specified: {other}"
        ))),
    }
}

/// Functions that are other expressions.
fn special(name: &str, args: &[Expr]) -> Option<Expr> {
    let args = args.to_vec();
    Some(
        match (
            name,
            <[Expr; 3]>::try_from(args.clone()).ok(),
            <[Expr; 2]>::try_from(args).ok(),
        ) {
            ("if", Some([condition, yes, no]), _) => case(condition, yes, no),
            ("mod", _, Some([a, b])) => Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(a))),
                op: BinaryOperator::Modulo,
                right: Box::new(Expr::Nested(Box::new(b))),
            })),
            _ => return None,
        },
    )
}

fn case(condition: Expr, yes: Expr, no: Expr) -> Expr {
    use datafusion::sql::sqlparser::ast::CaseWhen;
    use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition,
            result: yes,
        }],
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
    if let FunctionArguments::List(list) = &mut function.args
        && list.args.len() == 1
    {
        list.args
            .push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(","))));
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
        Some(limit) => call(
            "array_slice",
            vec![Expr::Function(function), number(1), limit],
        ),
        None => Expr::Function(function),
    }
}
