//! Close's CRM over a made-up organisation.

mod api;
mod events;
mod limits;
mod list;
mod moment;
mod org;
mod resources;
mod search;

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::any;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::server::nothing;
use super::common::{Opening, Running, SandboxError, ServerArgs, Shared, World};
use limits::{Allowance, Limits};
use moment::moment;
use org::{Object, Org, stamp};
use resources::Resource;

const KEY: &str = "api_sandbox";
const RESTRICTED_KEY: &str = "api_sandbox_restricted";
const DEFAULT_LEADS: usize = 400;
const DEFAULT_SEED: u64 = 42;

#[derive(Args, Debug, Clone)]
pub struct CloseArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many leads there are at the start [default: 400]
    #[arg(long)]
    leads: Option<usize>,
    /// What the organisation is generated from [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Calls allowed to each group of endpoints in a window
    #[arg(long, default_value_t = 100)]
    calls: u32,
    /// Seconds a window lasts
    #[arg(long, default_value_t = 5)]
    seconds: u32,
}

/// The organisation and how often it may be asked.
pub struct Company {
    org: Org,
    leads: usize,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    seed: u64,
    leads: usize,
}

impl World for Company {
    type Kept = Kept;

    fn kept(&self) -> Kept {
        Kept {
            seed: self.org.seed,
            leads: self.leads,
        }
    }

    fn pass_day(&mut self) {
        self.org.advance();
    }

    fn now(&self) -> String {
        stamp(self.org.now)
    }

    /// Counts by stream; `stream=` also lists its records, `since=` also counts what changed since.
    fn truth(&self, asked: &BTreeMap<String, String>) -> Result<Value, String> {
        let since = match asked.get("since") {
            Some(text) => Some(moment(text, 0).ok_or("`since` is not a moment")?),
            None => None,
        };
        if asked.keys().any(|name| name != "since" && name != "stream") {
            return Err("the parameters are `since` and `stream`".to_owned());
        }
        let streams: Map<String, Value> = resources::ALL
            .iter()
            .map(|resource| {
                (
                    resource.stream.to_owned(),
                    self.stream_truth(resource, since),
                )
            })
            .collect();
        let mut truth = json!({"now": self.now(), "streams": streams});
        if let Some(stream) = asked.get("stream") {
            truth["records"] = self.records(stream).ok_or("there is no such stream")?;
        }
        Ok(truth)
    }
}

impl Company {
    fn stream_truth(&self, resource: &Resource, since: Option<i64>) -> Value {
        let objects = self.org.visible(resource);
        let newest =
            |of: fn(&Object) -> i64| objects.iter().map(|object| of(object)).max().map(stamp);
        let mut truth = json!({
            "count": objects.len(),
            "newest": {"created": newest(|object| object.created), "updated": newest(|object| object.updated)},
        });
        if let Some(since) = since {
            let count = |of: fn(&Object) -> i64| {
                objects.iter().filter(|object| of(object) >= since).count()
            };
            truth["changed"] = json!({"created": count(|object| object.created), "updated": count(|object| object.updated)});
        }
        truth
    }

    /// When each record was last changed, by id.
    fn records(&self, stream: &str) -> Option<Value> {
        let resource = resources::ALL
            .iter()
            .find(|resource| resource.stream == stream)?;
        let objects = self.org.visible(resource).into_iter();
        let records: Map<String, Value> = objects
            .map(|object| {
                let dates =
                    json!({"created": stamp(object.created), "updated": stamp(object.updated)});
                (object.id.clone(), dates)
            })
            .collect();
        Some(Value::Object(records))
    }
}

pub async fn start(args: &CloseArgs) -> Result<Running, SandboxError> {
    let opening = Opening::of(&args.server)?;
    let Kept { seed, leads } = begin(args, &opening)?;
    let company = Company {
        org: Org::new(seed, leads),
        leads,
        limits: Limits::new(Allowance {
            calls: args.calls,
            seconds: args.seconds,
        }),
    };
    let announcement = json!({"api_key": KEY, "restricted_api_key": RESTRICTED_KEY});
    opening.serve(company, routes(), announcement).await
}

fn routes() -> Router<Shared<Company>> {
    Router::new()
        .route("/api/v1/{*rest}", any(api::api))
        .fallback(nothing)
}

/// Goes on with what the folder holds, if that is what was asked for.
fn begin(args: &CloseArgs, opening: &Opening<Kept>) -> Result<Kept, SandboxError> {
    let asked = Kept {
        seed: args.seed.unwrap_or(DEFAULT_SEED),
        leads: args.leads.unwrap_or(DEFAULT_LEADS),
    };
    let Some(&kept) = opening.kept() else {
        return Ok(asked);
    };
    let same_seed = args.seed.is_none_or(|seed| seed == kept.seed);
    if same_seed && args.leads.is_none_or(|leads| leads == kept.leads) {
        return Ok(kept);
    }
    let world = format!(
        "an organisation of {} leads from seed {}",
        kept.leads, kept.seed
    );
    Err(opening.other_world(world, "--leads and --seed"))
}

#[cfg(test)]
mod tests;
