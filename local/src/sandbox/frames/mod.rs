//! An API that gives frames of measurements for ids and an interval: who calls, within which limit, and what for.
//!
//! What the frames of an id are is in `frame`.

mod frame;

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common::server::nothing;
use super::common::window::Window;
use super::common::{Opening, Running, SandboxError, ServerArgs, Shared, World};
use frame::{Span, groups};

const TOKEN: &str = "frames-sandbox";
const PATH: &str = "/frames";
const MOST_IDS: usize = 10_000;
const LARGEST_BODY: usize = 4 << 20;
const MINUTE: i64 = 60_000;
const DEFAULT_SEED: u64 = 42;

#[derive(Args, Debug, Clone)]
pub struct FramesArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// What the frames are generated from [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Calls allowed in a minute
    #[arg(long, default_value_t = 120)]
    calls: u32,
}

/// The frames, how often they may be asked for, and what was asked.
struct Frames {
    seed: u64,
    minute: Window,
    days: u32,
    /// How often each list of ids was answered in each interval, by both.
    answered: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    seed: u64,
}

#[derive(Deserialize)]
struct Asked {
    ids: Vec<Value>,
    from: String,
    to: String,
}

impl World for Frames {
    type Kept = Kept;

    fn kept(&self) -> Kept {
        Kept { seed: self.seed }
    }

    /// Frames are there for all times.
    fn pass_day(&mut self) {
        self.days += 1;
    }

    fn now(&self) -> String {
        format!("day {}", self.days)
    }

    /// How many frames `ids` (by commas) have between `from` and `to`, read by 15 minutes.
    fn truth(&self, asked: &BTreeMap<String, String>) -> Result<Value, String> {
        let text = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let whole = Span::read(text("from"), text("to"))?;
        let ids: Vec<&str> = text("ids").split(',').filter(|id| !id.is_empty()).collect();
        let count = |id: &&str| {
            let steps = whole.steps().into_iter();
            steps
                .map(|span| frame::count(self.seed, id, span))
                .sum::<u64>()
        };
        let counts: Map<String, Value> = ids
            .iter()
            .map(|id| ((*id).to_owned(), json!(count(id))))
            .collect();
        let all: u64 = ids.iter().map(count).sum();
        Ok(json!({"streams": {"frames": {"count": all}}, "ids": counts}))
    }

    fn told(&self) -> Map<String, Value> {
        let again = self.answered.values().filter(|times| **times > 1).count();
        let told = [
            ("questions", json!(self.answered.len())),
            ("asked_again", json!(again)),
        ];
        told.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

pub async fn start(args: &FramesArgs) -> Result<Running, SandboxError> {
    let opening = Opening::of(&args.server)?;
    let kept: Option<Kept> = opening.kept().copied();
    let seed = match (kept, args.seed) {
        (Some(kept), Some(seed)) if kept.seed != seed => {
            return Err(opening.other_world(format!("frames from seed {}", kept.seed), "--seed"));
        }
        (Some(kept), _) => kept.seed,
        (None, seed) => seed.unwrap_or(DEFAULT_SEED),
    };
    let frames = Frames {
        seed,
        minute: Window::new(MINUTE, args.calls),
        days: 0,
        answered: BTreeMap::new(),
    };
    let announcement = json!({"token": TOKEN, "path": PATH, "most_ids": MOST_IDS});
    opening.serve(frames, routes(), announcement).await
}

fn routes() -> Router<Shared<Frames>> {
    Router::new()
        .route(PATH, post(answer))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .fallback(nothing)
}

/// Counted, checked, limited, answered.
async fn answer(
    State(sandbox): State<Shared<Frames>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if let Some(fault) = sandbox.meet(PATH) {
        return fault;
    }
    let token = headers.get(header::AUTHORIZATION);
    if token.is_none_or(|token| token != &format!("Bearer {TOKEN}")) {
        return refuse(StatusCode::UNAUTHORIZED, "the token is not known");
    }
    if let Some(refusal) = limited(&sandbox) {
        return refusal;
    }
    sandbox.take_time().await;
    match reply(&sandbox, &body) {
        Ok(reply) => axum::Json(reply).into_response(),
        Err(problem) => refuse(StatusCode::BAD_REQUEST, &problem),
    }
}

fn limited(sandbox: &Shared<Frames>) -> Option<Response> {
    let mut inside = sandbox.lock();
    let now = inside.clock();
    let minute = &mut inside.world.minute;
    minute.open(now);
    if minute.remaining() > 0 {
        minute.take();
        return None;
    }
    let seconds = (minute.rest(now) + 999) / 1000;
    let mut refusal = refuse(
        StatusCode::TOO_MANY_REQUESTS,
        "too many calls in this minute",
    );
    let headers = refusal.headers_mut();
    headers.insert(header::RETRY_AFTER, seconds.into());
    Some(refusal)
}

fn reply(sandbox: &Shared<Frames>, body: &str) -> Result<Value, String> {
    let asked: Asked = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if asked.ids.is_empty() || asked.ids.len() > MOST_IDS {
        return Err(format!(
            "`ids` are {}; from 1 to {MOST_IDS} are taken",
            asked.ids.len()
        ));
    }
    let span = Span::read(&asked.from, &asked.to)?;
    let seed = {
        let mut inside = sandbox.lock();
        let first = &asked.ids[0];
        let question = format!("{}..{} {first} {}", asked.from, asked.to, asked.ids.len());
        *inside.world.answered.entry(question).or_default() += 1;
        inside.world.seed
    };
    Ok(json!({"groups": groups(seed, &asked.ids, span)}))
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({"error": text}))).into_response()
}
