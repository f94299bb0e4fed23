//! iSAMS's REST API over a made-up school.

mod api;
mod school;
mod tokens;

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::{any, post};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::clock::{SECOND, START, iso};
use super::common::server::nothing;
use super::common::window::Window;
use super::common::{Opening, Running, SandboxError, ServerArgs, Shared, World};
use school::School;
use tokens::Tokens;

pub const CLIENT_ID: &str = "sandbox";
pub const CLIENT_SECRET: &str = "sandbox-secret";
const DEFAULT_STUDENTS: usize = 1200;
const DEFAULT_SEED: u64 = 42;

#[derive(Args, Debug, Clone)]
pub struct IsamsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many pupils there are [default: 1200]
    #[arg(long)]
    students: Option<usize>,
    /// What the school is generated from [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Most records a page has, whatever `pageSize` asks for
    #[arg(long, default_value_t = 500)]
    page_cap: usize,
    /// Calls allowed in a second
    #[arg(long, default_value_t = 1000)]
    calls: u32,
    /// Seconds a token lives
    #[arg(long, default_value_t = 3600)]
    token_life: u32,
}

/// The school, who may come in, and how often.
pub struct Campus {
    school: School,
    tokens: Tokens,
    calls: Window,
    page_cap: usize,
    kept: Kept,
    /// Pupils who leave once the next page of them was served.
    leaving: usize,
    days: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    seed: u64,
    students: usize,
}

impl World for Campus {
    type Kept = Kept;

    fn kept(&self) -> Kept {
        self.kept
    }

    fn pass_day(&mut self) {
        self.days += 1;
        self.school.admit();
    }

    fn now(&self) -> String {
        iso(START + self.days * 24 * 3600 * SECOND)
    }

    /// Counts by path; `path=` also gives that list's records.
    fn truth(&self, asked: &BTreeMap<String, String>) -> Result<Value, String> {
        let counts: Map<String, Value> = self
            .school
            .lists()
            .map(|(path, list)| (path.to_owned(), json!(list.records.len())))
            .collect();
        let mut truth = json!({"now": self.now(), "paths": counts});
        if let Some(path) = asked.get("path") {
            let list = self.school.list(path).ok_or("there is no such path")?;
            truth["records"] = json!(list.records);
        }
        Ok(truth)
    }

    fn told(&self) -> Map<String, Value> {
        Map::from_iter([("tokens".to_owned(), json!(self.tokens.given))])
    }
}

pub async fn start(args: &IsamsArgs) -> Result<Running, SandboxError> {
    let opening = Opening::of(&args.server)?;
    let kept = begin(args, &opening)?;
    let campus = Campus {
        school: School::new(kept.seed, kept.students),
        tokens: Tokens::living(i64::from(args.token_life) * SECOND),
        calls: Window::new(SECOND, args.calls),
        page_cap: args.page_cap.max(1),
        kept,
        leaving: 0,
        days: 0,
    };
    let announcement = json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
    opening.serve(campus, routes(), announcement).await
}

fn routes() -> Router<Shared<Campus>> {
    Router::new()
        .route("/auth/connect/token", post(api::token))
        .route("/api/{*rest}", any(api::api))
        .route("/_sandbox/leave", post(api::leave))
        .fallback(nothing)
}

/// Goes on with what the folder holds, if that is what was asked for.
fn begin(args: &IsamsArgs, opening: &Opening<Kept>) -> Result<Kept, SandboxError> {
    let asked = Kept {
        seed: args.seed.unwrap_or(DEFAULT_SEED),
        students: args.students.unwrap_or(DEFAULT_STUDENTS),
    };
    let Some(&kept) = opening.kept() else {
        return Ok(asked);
    };
    let same_seed = args.seed.is_none_or(|seed| seed == kept.seed);
    if same_seed
        && args
            .students
            .is_none_or(|students| students == kept.students)
    {
        return Ok(kept);
    }
    let world = format!(
        "a school of {} pupils from seed {}",
        kept.students, kept.seed
    );
    Err(opening.other_world(world, "--students and --seed"))
}

#[cfg(test)]
mod tests;
