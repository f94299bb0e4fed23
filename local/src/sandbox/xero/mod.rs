//! Xero's accounting API over a made-up company's ledger.

mod api;
mod endpoints;
mod ledger;
mod limits;
mod query;
mod tokens;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::clock::real_clock;
use super::common::server::nothing;
use super::common::{Opening, Running, SandboxError, ServerArgs, Shared, World};
use ledger::Ledger;
use limits::{Allowance, Limits};
use tokens::Tokens;

const DEFAULT_DOCUMENTS: usize = 20_000;
const DEFAULT_SEED: u64 = 42;

#[derive(Args, Debug, Clone)]
pub struct XeroArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// About how many documents the ledger has at the start [default: 20000]
    #[arg(long)]
    documents: Option<usize>,
    /// What the ledger is generated from [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Calls allowed a minute
    #[arg(long, default_value_t = 60)]
    calls_per_minute: u32,
    /// Calls allowed a day
    #[arg(long, default_value_t = 5000)]
    calls_per_day: u32,
    /// Calls allowed at once
    #[arg(long, default_value_t = 5)]
    concurrent: u32,
}

impl XeroArgs {
    fn allowance(&self) -> Allowance {
        Allowance {
            calls_per_minute: self.calls_per_minute,
            calls_per_day: self.calls_per_day,
            concurrent: self.concurrent,
        }
    }
}

/// The company whose books these are.
pub struct Company {
    ledger: Arc<Ledger>,
    limits: Limits,
    documents: usize,
    tokens: Tokens,
}

/// Which ledger it is, and the tokens given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    seed: u64,
    documents: usize,
    tokens: Tokens,
}

impl Company {
    fn new(kept: Kept, allowance: Allowance) -> Company {
        Company {
            ledger: Arc::new(Ledger::new(kept.seed, kept.documents)),
            limits: Limits::new(allowance),
            documents: kept.documents,
            tokens: kept.tokens,
        }
    }
}

impl World for Company {
    type Kept = Kept;

    fn kept(&self) -> Kept {
        Kept {
            seed: self.ledger.seed,
            documents: self.documents,
            tokens: self.tokens.clone(),
        }
    }

    fn pass_day(&mut self) {
        Arc::make_mut(&mut self.ledger).advance();
    }

    fn now(&self) -> String {
        truth::zulu(self.ledger.now)
    }

    fn truth(&self, asked: &BTreeMap<String, String>) -> Result<Value, String> {
        truth::truth(&self.ledger, asked)
    }

    fn told(&self) -> Map<String, Value> {
        let most = json!(self.limits.most_in_flight());
        Map::from_iter([("most_in_flight".to_owned(), most)])
    }
}

pub async fn start(args: &XeroArgs) -> Result<Running, SandboxError> {
    let opening = Opening::of(&args.server)?;
    let kept = begin(args, &opening)?;
    let announcement = json!({
        "client_id": tokens::CLIENT_ID,
        "client_secret": tokens::CLIENT_SECRET,
        "refresh_token": tokens::FIRST_REFRESH_TOKEN,
        "tenant_id": tokens::TENANT_ID,
    });
    let company = Company::new(kept, args.allowance());
    opening.serve(company, routes(), announcement).await
}

fn routes() -> Router<Shared<Company>> {
    Router::new()
        .route("/connect/token", any(api::token))
        .route("/connections", any(api::connections))
        .route("/api.xro/2.0/{*rest}", any(api::accounting))
        .fallback(nothing)
}

/// Goes on with what the folder holds, if that is what was asked for.
fn begin(args: &XeroArgs, opening: &Opening<Kept>) -> Result<Kept, SandboxError> {
    let Some(kept) = opening.kept() else {
        return Ok(fresh(args));
    };
    let (seed, documents) = (kept.seed, kept.documents);
    let same_seed = args.seed.is_none_or(|asked| asked == seed);
    let same_size = args.documents.is_none_or(|asked| asked == documents);
    if same_seed && same_size {
        return Ok(kept.clone());
    }
    let world = format!("a ledger of {documents} documents from seed {seed}");
    Err(opening.other_world(world, "--documents and --seed"))
}

fn fresh(args: &XeroArgs) -> Kept {
    Kept {
        seed: args.seed.unwrap_or(DEFAULT_SEED),
        documents: args.documents.unwrap_or(DEFAULT_DOCUMENTS),
        tokens: Tokens::new(real_clock()),
    }
}

#[cfg(test)]
mod tests;
