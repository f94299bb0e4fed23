//! What a complete copy of the ledger must hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::endpoints::Endpoint;
use super::ledger::Ledger;
use super::ledger::clock::{iso, parse_seconds};
use super::ledger::money;

/// `since=2025-07-01T00:00:00` also counts what changed since.
pub fn truth(ledger: &Ledger, asked: &BTreeMap<String, String>) -> Result<Value, String> {
    let since = asked.get("since").and_then(|since| parse_seconds(since));
    if asked.len() != usize::from(since.is_some()) {
        return Err("the one parameter is `since`, in the form 2025-07-01T00:00:00".to_owned());
    }
    Ok(whole_truth(ledger, since))
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

pub fn zulu(millis: i64) -> String {
    format!("{}Z", iso(millis))
}
