//! A request's query set against the parameters a method takes.

use crate::document::{Document, Method, Schema};
use crate::exchange::Exchange;

/// What Google's servers take everywhere, though not every document says it.
const EVERYWHERE: [&str; 4] = ["alt", "prettyPrint", "uploadType", "upload_id"];

/// What Google's own clients send although no document has it: BigQuery's for Python asks for a job so.
const BY_GOOGLES_CLIENTS: [&str; 1] = ["projection"];

/// What is wrong with a query.
pub fn problems(document: &Document, method: &Method, exchange: &Exchange) -> Vec<String> {
    let parameters: Vec<_> = exchange.parameters().collect();
    let mut problems = Vec::new();
    for (name, value) in &parameters {
        let of_method = method.parameters.get(name).or_else(|| {
            // Google takes both forms of a name, and its newer clients send this one.
            let same = method
                .parameters
                .iter()
                .find(|(known, _)| camel(known) == *name);
            same.map(|(_, schema)| schema)
        });
        let known = of_method.filter(|it| it.location == "query");
        match known.or_else(|| document.parameters.get(name)) {
            _ if name == "alt" => {}
            Some(schema) => problems.extend(in_value(name, value, schema, exchange)),
            None if EVERYWHERE.contains(&name.as_str()) => {}
            None if BY_GOOGLES_CLIENTS.contains(&name.as_str()) && !exchange.is_ours() => {}
            None => problems.push(format!("query {name}: unknown parameter")),
        }
    }
    let is_piece = parameters.iter().any(|(name, _)| name == "upload_id");
    let required = method.parameters.iter().filter(|(name, schema)| {
        let is_given = parameters.iter().any(|(given, _)| given == *name);
        schema.required && schema.location == "query" && !is_given && !is_piece
    });
    problems.extend(required.map(|(name, _)| format!("query {name}: this method needs it")));
    problems
}

/// `autodetect_schema` as `autodetectSchema`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_uppercase() + rest
    })
}

fn in_value(name: &str, value: &str, schema: &Schema, exchange: &Exchange) -> Option<String> {
    let is_number = value.parse::<i64>().is_ok();
    let fits = match (schema.kind.as_str(), schema.format.as_str()) {
        ("boolean", _) => matches!(value.to_lowercase().as_str(), "true" | "false"),
        ("integer", _) | ("string", "int64" | "uint64") => is_number,
        ("number", _) => value.parse::<f64>().is_ok(),
        _ if schema.values.is_empty() => true,
        // Clients of the gRPC family send an enum's number.
        _ => {
            let has_numbers = exchange.has_numeric_enums();
            schema.values.iter().any(|it| it == value) || (has_numbers && is_number)
        }
    };
    (!fits).then(|| match schema.values.is_empty() {
        true => format!("query {name}: `{value}` is no {}", schema.kind),
        false => format!("query {name}: `{value}` is none of {:?}", schema.values),
    })
}
