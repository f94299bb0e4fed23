//! The built-in source `frames` from a bucket's ids to a table: killed, gone on with, and shared
//! by tasks, it asks for each chunk of ids in each interval once.

#![allow(clippy::unwrap_used, dead_code)]

mod fake;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json as Body, Router};
use fake::Fake;
use futures::FutureExt;
use futures::future::BoxFuture;
use google_cloud_auth::credentials::anonymous;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use xetl_runtime::bundle::{Bundle, Overlap, StateStore};
use xetl_runtime::google::{Endpoints, Google};
use xetl_runtime::objects::Anywhere;
use xetl_runtime::run::{RunOutcome, Setup, Summary, execute};
use xetl_runtime::source::{Config, Outside, SecretSink, SinkError, Wanted, open, yaml};
use xetl_runtime::stream::Source;
use xetl_runtime::task::Task;

/// Five ids in chunks of two, one of them in two objects.
const CHUNKS: usize = 3;
const INTERVALS: usize = 4;

struct NoSink;

impl SecretSink for NoSink {
    fn store<'a>(
        &'a self,
        _: &'a [String],
        _: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        async { Err(SinkError("nothing rotates here".into())) }.boxed()
    }
}

/// An API of frames: what it was asked, and after how many calls it is out of order.
#[derive(Clone, Default)]
struct Api {
    asked: Arc<Mutex<Vec<String>>>,
    breaks_after: Arc<Mutex<Option<usize>>>,
    url: String,
}

impl Api {
    async fn start() -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api {
            url: format!("http://{}/frames", listener.local_addr().unwrap()),
            ..Api::default()
        };
        let router = Router::new()
            .route("/frames", post(frames))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        api
    }

    /// Each question that was answered, in order of itself.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

async fn frames(State(api): State<Api>, headers: HeaderMap, Body(body): Body<Json>) -> Response {
    assert_eq!(headers["authorization"], "Bearer secret-token");
    let mut asked = api.asked.lock().unwrap();
    if api
        .breaks_after
        .lock()
        .unwrap()
        .is_some_and(|most| asked.len() >= most)
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (ids, from) = (body["ids"].as_array().unwrap(), &body["from"]);
    asked.push(format!("{from}..{} {}", body["to"], body["ids"]));
    // The fake warehouse counts numbers.
    let groups = ids.iter().map(|id| {
        let number: i64 = id.as_str().unwrap().parse().unwrap();
        json!({"id": number, "frames": [{"time": from, "value": 1}, {"time": from, "value": 2}]})
    });
    Body(json!({"groups": groups.collect::<Vec<_>>()})).into_response()
}

/// The manifest with a week of an hour.
fn manifest() -> Json {
    let text = include_str!("../../sources/frames.yaml").replace("P6DT23H59M59S", "PT59M59S");
    let manifest = yaml::read(&text).unwrap();
    let end = &manifest["streams"][0]["incremental_sync"]["end_datetime"]["datetime"];
    assert!(end.as_str().unwrap().contains("PT59M59S"));
    manifest
}

fn config(api: &Api, week: &str) -> Config {
    let config = json!({
        "url": api.url, "token": "secret-token", "ids_uri": "gs://bucket/ids/",
        "week_start": week, "chunk_size": 2, "calls_per_minute": 100_000,
    });
    Config(config.as_object().unwrap().clone())
}

fn put_ids(fake: &Fake, name: &str, ids: &'static str) {
    let mut world = fake.world.lock().unwrap();
    world.objects.insert(name.into(), (ids.into(), 1));
}

async fn fake_with_ids() -> Fake {
    let fake = Fake::start().await;
    put_ids(&fake, "ids/b.txt", "4\n2\n5\n");
    put_ids(&fake, "ids/a.txt", "1\n2\n3\n");
    fake
}

fn google(fake: &Fake) -> Google {
    Google {
        endpoints: Endpoints::all_at(&fake.url),
        credentials: anonymous::Builder::new().build(),
    }
}

async fn run(fake: &Fake, api: &Api, run: &str, week: &str, task: Task) -> Summary {
    let setup = Setup {
        google: google(fake),
        bundle: Bundle {
            version: 1,
            client: "acme".into(),
            pipeline: "frames".into(),
            project: "p".into(),
            location: "australia-southeast1".into(),
            bucket: "bucket".into(),
            dataset: "acme_frames".into(),
            manifest: Json::Null,
            config: serde_json::Map::new(),
            secrets: BTreeMap::new(),
            hash_key: None,
            on_overlap: Overlap::default(),
            keep_raw: false,
            models: Vec::new(),
            streams: BTreeMap::new(),
            state: StateStore::Bucket,
        },
        state_password: SecretString::default(),
        run: run.into(),
        task,
        streams: Vec::new(),
        range: None,
        replay: None,
        full_refresh: false,
        skip_unsupported: false,
        stop: CancellationToken::new(),
    };
    let outside = Outside {
        secrets: Arc::new(NoSink),
        objects: Arc::new(Anywhere::with(google(fake))),
        task,
    };
    let opened = open(&manifest(), config(api, week), outside, &Wanted::default()).await;
    let source: Box<dyn Source> = opened.unwrap();
    execute(setup, async |_: &Setup| Ok(source)).await.unwrap()
}

const ALONE: Task = Task { index: 0, count: 1 };

fn is_each_once(asked: &[String]) -> bool {
    let mut once = asked.to_vec();
    once.dedup();
    once.len() == asked.len()
}

/// Two frames for each id in each interval.
fn whole_table() -> Vec<i64> {
    let ids = 1..=5;
    ids.flat_map(|id| std::iter::repeat_n(id, 2 * INTERVALS))
        .collect()
}

#[tokio::test]
async fn each_chunk_is_asked_for_once_in_each_interval() {
    let (fake, api) = (fake_with_ids().await, Api::start().await);
    let summary = run(&fake, &api, "r1", "2024-01-01", ALONE).await;
    assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    let asked = api.asked();
    assert_eq!(asked.len(), CHUNKS * INTERVALS);
    assert_eq!(
        asked[..3],
        [
            r#""2024-01-01T00:00:00Z".."2024-01-01T00:15:00Z" ["1","2"]"#,
            r#""2024-01-01T00:00:00Z".."2024-01-01T00:15:00Z" ["3","4"]"#,
            r#""2024-01-01T00:00:00Z".."2024-01-01T00:15:00Z" ["5"]"#,
        ]
    );
    assert!(is_each_once(&asked));
    assert_eq!(fake.ids("frames"), whole_table());
}

#[tokio::test]
async fn a_week_that_is_done_is_not_asked_for_again_and_the_next_begins_where_it_begins() {
    let (fake, api) = (fake_with_ids().await, Api::start().await);
    for (name, week) in [
        ("r1", "2024-01-01"),
        ("r2", "2024-01-01"),
        ("r3", "2024-01-08"),
    ] {
        let summary = run(&fake, &api, name, week, ALONE).await;
        assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    }
    let asked = api.asked();
    assert_eq!(asked.len(), 2 * CHUNKS * INTERVALS);
    let next = r#""2024-01-08T00:00:00Z".."2024-01-08T00:15:00Z" ["1","2"]"#;
    assert_eq!(asked[CHUNKS * INTERVALS], next);
    assert!(is_each_once(&asked));
}

#[tokio::test]
async fn ids_that_are_new_next_week_begin_with_that_week() {
    let (fake, api) = (fake_with_ids().await, Api::start().await);
    run(&fake, &api, "r1", "2024-01-01", ALONE).await;
    put_ids(&fake, "ids/c.txt", "6\n7\n");
    let summary = run(&fake, &api, "r2", "2024-01-08", ALONE).await;
    assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    let asked = api.asked();
    assert_eq!(asked.len(), CHUNKS * INTERVALS + 4 * INTERVALS);
    assert!(is_each_once(&asked));
}

/// The source gives out in the middle; the same run, or the next one, goes on.
async fn goes_on(next: &str) {
    for calls in [1, 6, 11] {
        let (fake, api) = (fake_with_ids().await, Api::start().await);
        *api.breaks_after.lock().unwrap() = Some(calls);
        let summary = run(&fake, &api, "r1", "2024-01-01", ALONE).await;
        assert_eq!(summary.outcome, RunOutcome::Failed, "{summary:?}");
        let finished = match next {
            "r1" => finished(&fake),
            // Of another run only what was loaded counts, which is shown by the table.
            _ => Vec::new(),
        };
        *api.breaks_after.lock().unwrap() = None;
        let summary = run(&fake, &api, next, "2024-01-01", ALONE).await;
        assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
        assert_eq!(fake.ids("frames"), whole_table(), "broken after {calls}");
        let mut all = api.asked();
        all.dedup();
        assert_eq!(all.len(), CHUNKS * INTERVALS, "broken after {calls}");
        for slice in &finished {
            assert_eq!(times(&api, slice), 1, "{slice}, broken after {calls}");
        }
    }
}

#[tokio::test]
async fn a_retry_asks_for_no_slice_that_was_finished() {
    goes_on("r1").await;
}

#[tokio::test]
async fn another_run_goes_on_with_the_first_slice_that_is_missing() {
    goes_on("r2").await;
}

#[tokio::test]
async fn a_run_killed_at_any_write_leaves_each_frame_once() {
    let mut kept = 0;
    for write in [1, 3, 6, 10, 14, 18, 22, 26, 30, 32, 34] {
        let (fake, api) = (fake_with_ids().await, Api::start().await);
        fake.world.lock().unwrap().cut = Some((write, true));
        let was_cut = tokio::select! {
            _ = run(&fake, &api, "r1", "2024-01-01", ALONE) => false,
            () = fake.cut_off.notified() => true,
        };
        let finished = finished(&fake);
        {
            let mut world = fake.world.lock().unwrap();
            world.cut = None;
            world.objects.remove("frames/lease.json");
        }
        let summary = run(&fake, &api, "r1", "2024-01-01", ALONE).await;
        assert_eq!(
            summary.outcome,
            RunOutcome::Done,
            "cut at {write}: {summary:?}"
        );
        assert_eq!(fake.ids("frames"), whole_table(), "cut at {write}");
        for slice in &finished {
            assert_eq!(times(&api, slice), 1, "{slice}, cut at {write}");
        }
        kept += if was_cut { finished.len() } else { 0 };
    }
    assert!(kept > CHUNKS * INTERVALS, "some are killed in the middle");
}

/// What was asked for the slices that are finished, as plan and bucket say.
fn finished(fake: &Fake) -> Vec<String> {
    let world = fake.world.lock().unwrap();
    let Some(plan) = world
        .objects
        .keys()
        .find(|name| name.ends_with("plan.json"))
    else {
        return Vec::new();
    };
    let plan: Json = serde_json::from_slice(&world.objects[plan].0).unwrap();
    let number = |name: &String| {
        let (_, slice) = name.split_once("/slice-")?;
        slice.strip_suffix(".json")?.parse::<usize>().ok()
    };
    let numbers = world.objects.keys().filter_map(number);
    let slices = numbers.map(|number| &plan["slices"][number]);
    let read = slices.filter(|slice| slice["closing"].is_null());
    read.map(|slice| {
        let ids = [r#"["1","2"]"#, r#"["3","4"]"#, r#"["5"]"#];
        let ids = ids[slice["partition"]["chunk"].as_u64().unwrap() as usize];
        format!("{} {ids}", slice["interval"]["start_time"])
    })
    .collect()
}

/// How often each was asked for: the beginning of its interval and its ids.
fn times(api: &Api, slice: &str) -> usize {
    let (from, ids) = slice.split_once(' ').unwrap();
    let asked = api.asked();
    let asked = asked.iter();
    asked
        .filter(|asked| asked.starts_with(from) && asked.ends_with(&format!(" {ids}")))
        .count()
}

/// The tasks of a run, side by side.
async fn run_tasks(fake: &Fake, api: &Api, count: usize) -> Vec<Summary> {
    let tasks = (0..count).map(|index| {
        let task = Task { index, count };
        run(fake, api, "r1", "2024-01-01", task)
    });
    futures::future::join_all(tasks).await
}

fn are_done(summaries: &[Summary]) -> bool {
    let is_done = |summary: &Summary| summary.outcome == RunOutcome::Done;
    summaries.iter().all(is_done)
}

#[tokio::test]
async fn any_number_of_tasks_brings_what_one_brings() {
    for count in [2, 8] {
        let (fake, api) = (fake_with_ids().await, Api::start().await);
        let summaries = run_tasks(&fake, &api, count).await;
        assert!(are_done(&summaries), "{count} tasks: {summaries:?}");
        assert_eq!(fake.ids("frames"), whole_table(), "{count} tasks");
        assert!(is_each_once(&api.asked()), "{count} tasks");
    }
}

#[tokio::test]
async fn eight_tasks_go_on_in_the_middle_of_the_grid() {
    let (fake, api) = (fake_with_ids().await, Api::start().await);
    *api.breaks_after.lock().unwrap() = Some(5);
    let broken = run_tasks(&fake, &api, 8).await;
    assert!(!are_done(&broken), "{broken:?}");
    let finished = finished(&fake);
    assert!(!finished.is_empty());
    *api.breaks_after.lock().unwrap() = None;
    let again = run_tasks(&fake, &api, 8).await;
    assert!(are_done(&again), "{again:?}");
    assert_eq!(fake.ids("frames"), whole_table());
    for slice in &finished {
        assert_eq!(times(&api, slice), 1, "{slice}");
    }
}

#[tokio::test]
async fn a_plan_holds_no_ids() {
    let (fake, api) = (fake_with_ids().await, Api::start().await);
    run(&fake, &api, "r1", "2024-01-01", ALONE).await;
    let world = fake.world.lock().unwrap();
    let plan = world
        .objects
        .keys()
        .find(|name| name.ends_with("plan.json"));
    let plan: Json = serde_json::from_slice(&world.objects[plan.unwrap()].0).unwrap();
    let slices = plan["slices"].as_array().unwrap();
    assert_eq!(slices.len(), CHUNKS * INTERVALS + 1);
    let longest = slices.iter().map(|slice| slice.to_string().len()).max();
    assert!(longest < Some(200), "{longest:?}");
}
