//! Query parameters, put into the tree as typed literals.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Value as SqlValue, visit_expressions_mut};
use datafusion::sql::sqlparser::dialect::BigQueryDialect;
use datafusion::sql::sqlparser::parser::Parser;
use serde_json::Value;

use super::invalid;
use crate::error::ApiError;

/// Replaces `@name` and `?` by the values sent with the query.
pub fn bind(statement: &mut Statement, parameters: &Value) -> Result<(), ApiError> {
    let none = Vec::new();
    let parameters = parameters.as_array().unwrap_or(&none);
    let mut position = 0;
    let outcome = visit_expressions_mut(statement, |expr| {
        let found = match expr {
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && ident.value.starts_with('@') =>
            {
                let name = ident.value.trim_start_matches('@').to_owned();
                named(parameters, &name).ok_or(name)
            }
            Expr::Value(value) if matches!(&value.value, SqlValue::Placeholder(name) if name == "?") =>
            {
                position += 1;
                parameters
                    .get(position - 1)
                    .ok_or_else(|| position.to_string())
            }
            _ => return ControlFlow::Continue(()),
        };
        match found
            .map_err(|name| invalid(format!("Query parameter '{name}' not found")))
            .and_then(literal)
        {
            Ok(literal) => {
                *expr = literal;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    match outcome {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn named<'a>(parameters: &'a [Value], name: &str) -> Option<&'a Value> {
    parameters.iter().find(|parameter| {
        parameter["name"]
            .as_str()
            .is_some_and(|own| own.eq_ignore_ascii_case(name))
    })
}

fn literal(parameter: &Value) -> Result<Expr, ApiError> {
    let sql = text(&parameter["parameterType"], &parameter["parameterValue"])?;
    // Names in it are lower case, as everywhere in the tree.
    Parser::new(&BigQueryDialect)
        .try_with_sql(&sql)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|error| invalid(format!("Invalid query parameter: {error}")))
}

/// A parameter as SQL.
fn text(kind: &Value, value: &Value) -> Result<String, ApiError> {
    match kind["type"].as_str().unwrap_or("STRING") {
        "ARRAY" => {
            let items = value["arrayValues"].as_array().into_iter().flatten();
            let items: Vec<String> = items
                .map(|item| text(&kind["arrayType"], item))
                .collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        "STRUCT" | "RANGE" | "INTERVAL" => Err(super::not_served(
            "STRUCT, RANGE and INTERVAL query parameters",
        )),
        scalar if scalar.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Ok(match value["value"].as_str() {
                None => format!("CAST(NULL AS {scalar})"),
                Some(text) => {
                    let escaped = text
                        .replace('\\', "\\\\")
                        .replace('\'', "\\'")
                        .replace('\n', "\\n");
                    format!("CAST('{escaped}' AS {scalar})")
                }
            })
        }
        other => Err(invalid(format!("Invalid query parameter type: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_become_typed_literals() {
        let parameters = json!([
            {"name": "Who", "parameterType": {"type": "STRING"}, "parameterValue": {"value": "O'Hara"}},
            {"name": "n", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "3"}},
        ]);
        let mut text = super::super::parse::parse("SELECT @who, @n").unwrap();
        bind(&mut text.statement, &parameters).unwrap();
        assert_eq!(
            text.statement.to_string(),
            "SELECT CAST('O''Hara' AS STRING), CAST('3' AS INT64)"
        );
        let mut text = super::super::parse::parse("SELECT @other").unwrap();
        assert!(bind(&mut text.statement, &parameters).is_err());
    }
}
