//! An exchange set against the method it calls.

use serde_json::Value;

use crate::body::{Side, Walk};
use crate::document::{Document, Method};
use crate::exchange::Exchange;
use crate::query;

/// All that is wrong with an exchange.
pub fn problems(document: &Document, method: &Method, exchange: &Exchange) -> Vec<String> {
    let mut problems = query::problems(document, method, exchange);
    problems.extend(in_request(document, method, exchange));
    problems.extend(in_response(document, method, exchange));
    problems
}

fn in_request(document: &Document, method: &Method, exchange: &Exchange) -> Vec<String> {
    let Some(body) = &exchange.request else {
        return Vec::new();
    };
    let Some(taken) = &method.request else {
        // Some clients send `{}` with a POST that takes nothing.
        let is_empty = body.as_object().is_some_and(serde_json::Map::is_empty);
        return match is_empty || exchange.is_media() {
            true => Vec::new(),
            false => vec!["request: this method takes no body".to_owned()],
        };
    };
    let walk = Walk::new(document, method, Side::Request, exchange);
    walk.problems("request", body, &taken.name)
}

fn in_response(document: &Document, method: &Method, exchange: &Exchange) -> Vec<String> {
    let Some(body) = &exchange.response else {
        return Vec::new();
    };
    match (exchange.status, &method.response) {
        (400.., _) => in_error(exchange.status, body),
        (200..300, Some(given)) => {
            let walk = Walk::new(document, method, Side::Response, exchange);
            walk.problems("response", body, &given.name)
        }
        (200..300, None) => vec!["response: this method gives no body".to_owned()],
        _ => Vec::new(),
    }
}

/// Every API's error has one form, and says in it the status it was sent with.
fn in_error(status: u16, body: &Value) -> Vec<String> {
    let error = &body["error"];
    let mut problems = Vec::new();
    if error["code"] != status {
        problems.push(format!(
            "response error.code: {} is not {status}",
            error["code"]
        ));
    }
    if !error["message"].is_string() {
        problems.push("response error.message: there is none".to_owned());
    }
    let known = ["code", "message", "status", "details", "errors"];
    let fields = error.as_object().into_iter().flatten();
    let unknown = fields.filter(|(field, _)| !known.contains(&field.as_str()));
    problems.extend(unknown.map(|(field, _)| format!("response error.{field}: unknown field")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_says_its_status_and_a_message() {
        let good = json!({"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}});
        assert_eq!(in_error(404, &good), Vec::<String>::new());
        assert_eq!(in_error(400, &good).len(), 1);
        assert_eq!(in_error(404, &json!({"detail": "no"})).len(), 2);
        let more = json!({"error": {"code": 404, "message": "no", "hint": "x"}});
        assert_eq!(in_error(404, &more), ["response error.hint: unknown field"]);
    }
}
