//! `/_sandbox/`: what tests and demos do to a sandbox that no client of the API could.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shared::{Shared, World};

const MOST_DAYS: u32 = 366;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(default)]
    days: u32,
    /// Moves the clock of tokens and limits only.
    #[serde(default)]
    seconds: u32,
}

pub fn router<W: World>() -> Router<Shared<W>> {
    Router::new()
        .route("/_sandbox/advance", post(advance))
        .route("/_sandbox/fail", post(fail))
        .route("/_sandbox/requests", get(requests))
        .route("/_sandbox/truth", get(truth))
}

/// Lets time pass.
async fn advance<W: World>(State(sandbox): State<Shared<W>>, body: String) -> Response {
    let advance: Advance = match read(&body) {
        Ok(advance) => advance,
        Err(refusal) => return refusal,
    };
    if advance.days > MOST_DAYS {
        return refuse(&format!("at most {MOST_DAYS} days at once"));
    }
    let now = {
        let mut inside = sandbox.lock();
        inside.advance(advance.days, advance.seconds);
        inside.world.now()
    };
    match sandbox.save() {
        Ok(()) => reply(&json!({"now": now})),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Lets the next calls of a path fail.
async fn fail<W: World>(State(sandbox): State<Shared<W>>, body: String) -> Response {
    let fault: Fault = match read(&body) {
        Ok(fault) => fault,
        Err(refusal) => return refusal,
    };
    if let Err(problem) = fault.check() {
        return refuse(&problem);
    }
    sandbox.lock().faults.add(fault);
    reply(&json!({}))
}

/// How often each path was called, and what else the sandbox counts.
async fn requests<W: World>(State(sandbox): State<Shared<W>>) -> Response {
    let inside = sandbox.lock();
    let mut told = inside.world.told();
    told.insert("paths".to_owned(), json!(inside.requests));
    reply(&Value::Object(told))
}

/// What a complete copy must hold.
async fn truth<W: World>(State(sandbox): State<Shared<W>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let asked: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let truth = sandbox.lock().world.truth(&asked);
    match truth {
        Ok(truth) => reply(&truth),
        Err(problem) => refuse(&problem),
    }
}

#[expect(clippy::result_large_err, reason = "the error is the reply")]
fn read<T: DeserializeOwned>(body: &str) -> Result<T, Response> {
    serde_json::from_str(body).map_err(|error| refuse(&error.to_string()))
}

fn refuse(message: &str) -> Response {
    (
        StatusCode::BAD_REQUEST,
        axum::Json(json!({"error": message})),
    )
        .into_response()
}

fn reply(body: &Value) -> Response {
    axum::Json(body).into_response()
}
