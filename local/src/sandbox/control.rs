//! `/_sandbox/`: what tests and demos do to the sandbox that no client of Xero could.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::endpoints::Endpoint;
use super::faults::Fault;
use super::ledger::Ledger;
use super::ledger::clock::{iso, parse_seconds};
use super::ledger::money;
use super::shared::Sandbox;

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

/// Lets time pass.
pub async fn advance(State(sandbox): State<Arc<Sandbox>>, body: String) -> Response {
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
        inside.ledger.now
    };
    match sandbox.save() {
        Ok(()) => reply(&json!({"now": zulu(now)})),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Lets the next calls of a path fail.
pub async fn fail(State(sandbox): State<Arc<Sandbox>>, body: String) -> Response {
    let fault: Fault = match read(&body) {
        Ok(fault) => fault,
        Err(refusal) => return refusal,
    };
    if StatusCode::from_u16(fault.status).is_err() || fault.status < 400 {
        return refuse("`status` must be from 400 to 999");
    }
    sandbox.lock().faults.add(fault);
    reply(&json!({}))
}

/// How often each path was called, and how many calls there were at once at most.
pub async fn requests(State(sandbox): State<Arc<Sandbox>>) -> Response {
    let inside = sandbox.lock();
    reply(&json!({"paths": inside.requests, "most_in_flight": inside.limits.most_in_flight()}))
}

/// What a complete copy must hold. `?since=2025-07-01T00:00:00` also counts what changed since.
pub async fn truth(State(sandbox): State<Arc<Sandbox>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let mut since = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        since = parse_seconds(&value);
        if name != "since" || since.is_none() {
            return refuse("the one parameter is `since`, in the form 2025-07-01T00:00:00");
        }
    }
    let ledger = sandbox.lock().ledger.clone();
    reply(&whole_truth(&ledger, since))
}

fn whole_truth(ledger: &Ledger, since: Option<i64>) -> Value {
    let streams: Map<String, Value> = Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            (
                endpoint.stream().to_string(),
                stream_truth(endpoint, ledger, since),
            )
        })
        .collect();
    json!({
        "now": zulu(ledger.now),
        "days": ledger.days(),
        "streams": streams,
        "invoices": invoice_truth(ledger),
    })
}

fn stream_truth(endpoint: Endpoint, ledger: &Ledger, since: Option<i64>) -> Value {
    let entries = endpoint.entries(ledger);
    let mut truth = json!({"count": entries.len()});
    if !endpoint.heeds_since() {
        return truth;
    }
    truth["newest"] = json!(entries.iter().map(|entry| entry.changed).max().map(zulu));
    if let Some(since) = since {
        truth["changed"] = json!(
            entries
                .iter()
                .filter(|entry| entry.changed >= since)
                .count()
        );
    }
    truth
}

fn invoice_truth(ledger: &Ledger) -> Value {
    let mut by_status: BTreeMap<&str, (usize, money::Cents)> = BTreeMap::new();
    for invoice in &ledger.invoices {
        let (count, total) = by_status.entry(invoice.status.name()).or_default();
        *count += 1;
        *total += invoice.total;
    }
    let total: money::Cents = by_status.values().map(|(_, total)| total).sum();
    let statuses: Map<String, Value> = by_status
        .into_iter()
        .map(|(status, (count, total))| {
            (
                status.to_string(),
                json!({"count": count, "total": money::text(total)}),
            )
        })
        .collect();
    json!({"total": money::text(total), "by_status": statuses})
}

fn zulu(millis: i64) -> String {
    format!("{}Z", iso(millis))
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
