//! iSAMS's side of the sandbox: tokens, limits, and one list a path.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::common::Shared;
use super::super::common::server::not_served;
use super::school::List;
use super::{CLIENT_ID, CLIENT_SECRET, Campus};

const DEFAULT_PAGE_SIZE: usize = 100;

/// `/auth/connect/token`, with the credentials in the form.
pub async fn token(State(sandbox): State<Shared<Campus>>, uri: Uri, body: String) -> Response {
    if let Some(fault) = sandbox.meet(uri.path()) {
        return fault;
    }
    let form = pairs(&body);
    let has = |name: &str, value: &str| form.get(name).is_some_and(|known| known == value);
    if !has("grant_type", "client_credentials") {
        return refuse(400, json!({"error": "unsupported_grant_type"}));
    }
    if !has("client_id", CLIENT_ID) || !has("client_secret", CLIENT_SECRET) {
        return refuse(400, json!({"error": "invalid_client"}));
    }
    if form.get("scope").is_some_and(|scope| scope != "restapi") {
        return refuse(400, json!({"error": "invalid_scope"}));
    }
    let mut inside = sandbox.lock();
    let now = inside.clock();
    let (token, seconds) = inside.world.tokens.give(now);
    axum::Json(json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}))
        .into_response()
}

/// Below `/api/`: counted, checked, limited, answered.
pub async fn api(State(sandbox): State<Shared<Campus>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path();
    if let Some(fault) = sandbox.meet(path) {
        return fault;
    }
    if !enters(&sandbox, &parts.headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(refusal) = limited(&sandbox) {
        return refusal;
    }
    sandbox.take_time().await;
    let query = pairs(parts.uri.query().unwrap_or_default());
    let mut inside = sandbox.lock();
    let campus = &mut inside.world;
    let Some(list) = campus
        .school
        .list(path)
        .filter(|_| parts.method == Method::GET)
    else {
        return not_served(&parts.method, path);
    };
    let reply = match list.is_paged {
        true => page(list, &query, campus.page_cap),
        false => Ok(whole(list)),
    };
    if path == "/api/students" && campus.leaving > 0 {
        let leaving = std::mem::take(&mut campus.leaving);
        campus.school.leave(leaving);
    }
    match reply {
        Ok(reply) => axum::Json(reply).into_response(),
        Err(problem) => refuse(400, json!({"message": problem})),
    }
}

#[derive(Deserialize)]
struct Leave {
    students: usize,
}

/// Lets pupils leave once the next page of them was served.
pub async fn leave(State(sandbox): State<Shared<Campus>>, body: String) -> Response {
    let Ok(leave) = serde_json::from_str::<Leave>(&body) else {
        return refuse(400, json!({"error": "expected {\"students\": number}"}));
    };
    sandbox.lock().world.leaving = leave.students;
    axum::Json(json!({})).into_response()
}

fn enters(sandbox: &Shared<Campus>, headers: &HeaderMap) -> bool {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let inside = sandbox.lock();
    bearer.is_some_and(|token| inside.world.tokens.is_good(token, inside.clock()))
}

fn limited(sandbox: &Shared<Campus>) -> Option<Response> {
    let mut inside = sandbox.lock();
    let now = inside.clock();
    let calls = &mut inside.world.calls;
    calls.open(now);
    if calls.remaining() == 0 {
        let mut response = refuse(429, json!({"message": "Too many requests"}));
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
        return Some(response);
    }
    calls.take();
    None
}

/// One list, without counters; a list without elements is null.
fn whole(list: &List) -> Value {
    let records = match list.records.is_empty() {
        true => Value::Null,
        false => json!(list.records),
    };
    Value::Object(Map::from_iter([(list.object.to_owned(), records)]))
}

/// A page, never larger than `cap`, and how many there are of which.
fn page(list: &List, query: &BTreeMap<String, String>, cap: usize) -> Result<Value, String> {
    let number = |name: &str, default: usize| match query.get(name) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("The value '{text}' is not valid for {name}.")),
        },
    };
    let page = number("page", 1)?;
    let size = number("pageSize", DEFAULT_PAGE_SIZE)?.min(cap);
    let from = list.records.len().min((page - 1).saturating_mul(size));
    let to = list.records.len().min(from + size);
    let mut reply = json!({
        "page": page, "pageSize": size, "count": to - from,
        "totalCount": list.records.len(), "totalPages": list.records.len().div_ceil(size),
    });
    reply[list.object] = json!(list.records[from..to]);
    Ok(reply)
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn refuse(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}
