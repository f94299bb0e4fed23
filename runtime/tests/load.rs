//! The commit protocol against a bucket and BigQuery in memory: whatever happens, each
//! row is in the table once.

#![allow(clippy::unwrap_used)]

mod fake;

use std::collections::BTreeMap;
use std::sync::Mutex;

use fake::Fake;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use google_cloud_auth::credentials::anonymous;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use xetl_runtime::bundle::{Bundle, Mode, Overlap, StateStore, StreamOptions};
use xetl_runtime::google::{Endpoints, Google};
use xetl_runtime::pipeline::Outcome;
use xetl_runtime::run::{RunOutcome, Setup, Summary, execute};
use xetl_runtime::stream::*;
use xetl_runtime::task::Task;
use xetl_runtime::value::Value;

/// A source that counts: its one stream has the records `1..=last`, ten a slice.
struct Counting {
    streams: Vec<Box<dyn Stream>>,
}

struct Numbers {
    info: StreamInfo,
    last: i64,
    /// Slices from this number on fail so.
    fails: Mutex<Option<(i64, SourceError)>>,
}

fn counting(last: i64, schema: Json, key: bool) -> Counting {
    let info = StreamInfo {
        name: "numbers".into(),
        primary_key: if key { vec!["id".into()] } else { Vec::new() },
        cursor_field: key.then(|| "id".into()),
        schema,
        types: json!({}),
        mode: None,
    };
    Counting {
        streams: vec![Box::new(Numbers {
            info,
            last,
            fails: Mutex::default(),
        })],
    }
}

fn declared() -> Json {
    json!({"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}})
}

impl Source for Counting {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn check(&self) -> futures::future::BoxFuture<'_, Result<(), SourceError>> {
        async { Ok(()) }.boxed()
    }
}

impl Stream for Numbers {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        let after = state["id"].as_i64().unwrap_or(0);
        let starts = (after..self.last).step_by(10);
        futures::stream::iter(starts.map(|start| {
            let end = (start + 10).min(self.last);
            let interval = json!({"start": start, "end": end})
                .as_object()
                .unwrap()
                .clone();
            Ok(Slice {
                interval,
                ..Slice::default()
            })
        }))
        .boxed()
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        let bound = |name: &str| slice.interval[name].as_i64().unwrap();
        let mut fails = self.fails.lock().unwrap();
        if fails
            .as_ref()
            .is_some_and(|(from, _)| bound("start") >= *from)
            && let Some((_, error)) = fails.take()
        {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let ids: Vec<i64> = (bound("start") + 1..=bound("end")).collect();
        let pages: Vec<_> = ids.chunks(5).map(page).map(Ok).collect();
        futures::stream::iter(pages).boxed()
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        let cursors = done
            .iter()
            .filter_map(|done| done.cursor.as_ref()?.parse::<i64>().ok());
        match cursors.max() {
            Some(id) => json!({ "id": id }),
            None => state.clone(),
        }
    }
}

fn page(ids: &[i64]) -> Page {
    let record = |id: &i64| {
        let fields = [
            ("id", Value::Int(*id)),
            ("name", Value::String(format!("n{id}"))),
        ];
        Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    };
    let cursor = ids.last().map(i64::to_string);
    Page {
        records: ids.iter().map(record).collect(),
        cursor,
    }
}

fn setup(fake: &Fake, run: &str, mode: Option<Mode>) -> Setup {
    let options = mode.map(|mode| {
        (
            "numbers".to_owned(),
            StreamOptions {
                mode: Some(mode),
                ..StreamOptions::default()
            },
        )
    });
    Setup {
        google: Google {
            endpoints: Endpoints::all_at(&fake.url),
            credentials: anonymous::Builder::new().build(),
        },
        bundle: Bundle {
            version: 1,
            client: "acme".into(),
            pipeline: "count".into(),
            project: "p".into(),
            location: "australia-southeast1".into(),
            bucket: "bucket".into(),
            dataset: "acme_count".into(),
            manifest: Json::Null,
            config: serde_json::Map::new(),
            secrets: BTreeMap::new(),
            hash_key: None,
            on_overlap: Overlap::default(),
            keep_raw: false,
            models: Vec::new(),
            streams: options.into_iter().collect(),
            state: StateStore::Bucket,
        },
        state_password: SecretString::default(),
        run: run.into(),
        task: Task { index: 0, count: 1 },
        streams: Vec::new(),
        range: None,
        replay: None,
        full_refresh: false,
        skip_unsupported: false,
        stop: CancellationToken::new(),
    }
}

async fn run(fake: &Fake, run: &str, source: Counting) -> Summary {
    run_as(setup(fake, run, None), source).await
}

async fn run_as(setup: Setup, source: Counting) -> Summary {
    let source: Box<dyn Source> = Box::new(source);
    execute(setup, async |_: &Setup| Ok(source)).await.unwrap()
}

/// As if the dead run's lease had run out.
fn let_the_lease_run_out(fake: &Fake) {
    fake.world
        .lock()
        .unwrap()
        .objects
        .remove("count/lease.json");
}

#[tokio::test]
async fn a_run_appends_its_rows_and_the_next_only_what_is_new() {
    let fake = Fake::start().await;
    let summary = run(&fake, "r1", counting(25, declared(), true)).await;
    assert_eq!((summary.outcome, summary.rows), (RunOutcome::Done, 25));
    assert_eq!(fake.ids("numbers"), (1..=25).collect::<Vec<_>>());
    let summary = run(&fake, "r2", counting(30, declared(), true)).await;
    assert_eq!((summary.outcome, summary.rows), (RunOutcome::Done, 5));
    assert_eq!(fake.ids("numbers"), (1..=30).collect::<Vec<_>>());
    assert_eq!(
        fake.object("count/state/numbers.json").unwrap()["state"],
        json!({"id": 30})
    );
}

#[tokio::test]
async fn an_appended_table_has_a_view_of_the_newest_versions() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, declared(), true)).await;
    let world = fake.world.lock().unwrap();
    let view = &world.tables["numbers_latest"].resource["view"];
    assert_eq!(view["useLegacySql"], json!(false));
    assert!(
        view["query"]
            .as_str()
            .unwrap()
            .contains("QUALIFY ROW_NUMBER()")
    );
}

#[tokio::test]
async fn overwrite_replaces_the_rows_also_with_none() {
    let fake = Fake::start().await;
    for (name, last) in [("r1", 25), ("r2", 12), ("r3", 0)] {
        let setup = setup(&fake, name, Some(Mode::Overwrite));
        let summary = run_as(setup, counting(last, declared(), false)).await;
        assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
        assert_eq!(fake.ids("numbers"), (1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_run_without_new_records_loads_nothing_and_keeps_its_state() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, declared(), true)).await;
    let summary = run(&fake, "r2", counting(5, declared(), true)).await;
    assert_eq!((summary.outcome, summary.rows), (RunOutcome::Done, 0));
    assert_eq!(fake.world.lock().unwrap().jobs.len(), 1);
    assert_eq!(
        fake.object("count/state/numbers.json").unwrap()["state"],
        json!({"id": 5})
    );
}

#[tokio::test]
async fn without_a_schema_the_first_records_give_the_columns() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, json!({}), true)).await;
    run(&fake, "r2", counting(9, json!({}), true)).await;
    assert_eq!(fake.ids("numbers"), (1..=9).collect::<Vec<_>>());
    let state = fake.object("count/state/numbers.json").unwrap();
    assert_eq!(
        state["schema"][0],
        json!({"field": "id", "name": "id", "type": "INT64"})
    );
}

#[tokio::test]
async fn a_new_field_becomes_a_new_column() {
    let fake = Fake::start().await;
    run(
        &fake,
        "r1",
        counting(5, json!({"properties": {"id": {"type": "integer"}}}), true),
    )
    .await;
    let summary = run(&fake, "r2", counting(9, declared(), true)).await;
    assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    let world = fake.world.lock().unwrap();
    let fields = world.tables["numbers"].resource["schema"]["fields"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(fields.last().unwrap()["name"], "name");
}

#[tokio::test]
async fn a_load_that_fails_in_passing_is_tried_with_another_id() {
    let fake = Fake::start().await;
    fake.world.lock().unwrap().failures = vec!["backendError".into()];
    let summary = run(&fake, "r1", counting(5, declared(), true)).await;
    assert_eq!(summary.outcome, RunOutcome::Done);
    assert_eq!(fake.ids("numbers"), [1, 2, 3, 4, 5]);
    assert_eq!(fake.world.lock().unwrap().jobs.len(), 2);
}

#[tokio::test]
async fn a_load_that_fails_for_good_fails_the_stream_and_is_tried_by_the_next_run() {
    let fake = Fake::start().await;
    fake.world.lock().unwrap().failures = vec!["invalid".into()];
    let summary = run(&fake, "r1", counting(5, declared(), true)).await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    let error = summary.streams[0].error.clone().unwrap();
    assert!(error.contains("failed (invalid): as told"), "{error}");
    let summary = run(&fake, "r2", counting(8, declared(), true)).await;
    assert_eq!((summary.outcome, summary.rows), (RunOutcome::Done, 3));
    assert_eq!(fake.ids("numbers"), (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_parked_stream_keeps_what_was_read_to_its_end() {
    let fake = Fake::start().await;
    let mut source = counting(40, declared(), true);
    let parked = SourceError::Parked {
        retry_after: std::time::Duration::from_secs(900),
    };
    source.streams = vec![Box::new(Numbers {
        info: source.streams[0].info().clone(),
        last: 40,
        fails: Mutex::new(Some((30, parked))),
    })];
    let summary = run(&fake, "r1", source).await;
    assert_eq!(summary.outcome, RunOutcome::Parked);
    assert_eq!(summary.exit_code(), 75);
    assert_eq!(summary.streams[0].outcome, Outcome::Parked);
    let loaded = fake.ids("numbers");
    assert_eq!(loaded, (1..=loaded.len() as i64).collect::<Vec<_>>());
    // The same run, tried again, goes on where it parked; so would another.
    let summary = run(&fake, "r1", counting(40, declared(), true)).await;
    assert_eq!(summary.outcome, RunOutcome::Done);
    assert_eq!(fake.ids("numbers"), (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_second_execution_is_skipped_while_the_first_runs() {
    let fake = Fake::start().await;
    fake.world.lock().unwrap().objects.insert(
        "count/lease.json".into(),
        (
            r#"{"run":"r1","deadline":"2999-01-01T00:00:00Z","ended":[]}"#.into(),
            1,
        ),
    );
    let summary = run(&fake, "r2", counting(5, declared(), true)).await;
    assert_eq!(
        (summary.outcome, summary.exit_code()),
        (RunOutcome::Skipped, 0)
    );
    assert!(fake.ids("numbers").is_empty());
}

#[tokio::test]
async fn tasks_share_the_slices_and_one_commits_them() {
    let fake = Fake::start().await;
    let tasks = (0..3).map(|index| {
        let setup = Setup {
            task: Task { index, count: 3 },
            ..setup(&fake, "r1", None)
        };
        run_as(setup, counting(95, declared(), true))
    });
    let summaries = futures::future::join_all(tasks).await;
    assert!(
        summaries
            .iter()
            .all(|summary| summary.outcome == RunOutcome::Done),
        "{summaries:?}"
    );
    assert_eq!(fake.ids("numbers"), (1..=95).collect::<Vec<_>>());
    assert_eq!(fake.world.lock().unwrap().jobs.len(), 1);
    let lease = fake.object("count/lease.json").expect("a lease");
    assert_eq!(lease["ended"].as_array().map(Vec::len), Some(3), "{lease}");
}

#[tokio::test]
async fn a_column_taken_out_of_the_table_is_an_error_that_names_it() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, declared(), true)).await;
    let table = fake.world.lock().unwrap().tables["numbers"].clone();
    let mut fields = table.resource["schema"]["fields"]
        .as_array()
        .unwrap()
        .clone();
    fields.remove(1);
    fake.world
        .lock()
        .unwrap()
        .tables
        .get_mut("numbers")
        .unwrap()
        .resource["schema"]["fields"] = fields.into();
    let summary = run(&fake, "r2", counting(9, declared(), true)).await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    insta::assert_snapshot!(summary.streams[0].error.as_ref().unwrap(), @"cannot add to table `numbers`: column `name` was in the table when it was last loaded, and is gone. Change the column back, or load into another dataset");
}

/// Options of the one stream.
fn with(fake: &Fake, run: &str, options: Json) -> Setup {
    let mut setup = setup(fake, run, None);
    let options = serde_json::from_value(options).unwrap();
    setup.bundle.streams.insert("numbers".into(), options);
    setup
}

fn refreshed(setup: Setup) -> Setup {
    Setup {
        full_refresh: true,
        ..setup
    }
}

fn tables(fake: &Fake) -> Vec<String> {
    fake.world.lock().unwrap().tables.keys().cloned().collect()
}

#[tokio::test]
async fn a_merge_has_each_key_once_and_leaves_no_staging_table() {
    let fake = Fake::start().await;
    for (name, last, rows) in [("r1", 25, 25), ("r2", 30, 5), ("r3", 30, 0)] {
        let setup = setup(&fake, name, Some(Mode::Merge));
        let summary = run_as(setup, counting(last, declared(), true)).await;
        assert_eq!(
            (summary.outcome, summary.rows),
            (RunOutcome::Done, rows),
            "{summary:?}"
        );
        assert_eq!(fake.ids("numbers"), (1..=last).collect::<Vec<_>>());
        assert_eq!(tables(&fake), ["numbers"]);
    }
}

#[tokio::test]
async fn a_merge_without_a_key_says_so_before_it_reads() {
    let fake = Fake::start().await;
    let setup = setup(&fake, "r1", Some(Mode::Merge));
    let summary = run_as(setup, counting(5, declared(), false)).await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    insta::assert_snapshot!(summary.streams[0].error.as_ref().unwrap(), @"mode `merge` needs a key, and the source declares none for this stream; name the fields that identify a record with `key: [...]` in the client file");
    assert_eq!(fake.object("count/numbers/run=r1/plan.json"), None);
}

#[tokio::test]
async fn a_merge_that_fails_in_passing_is_tried_with_another_id() {
    let fake = Fake::start().await;
    run_as(
        setup(&fake, "r1", Some(Mode::Merge)),
        counting(5, declared(), true),
    )
    .await;
    fake.world.lock().unwrap().failures = vec!["backendError".into(), "backendError".into()];
    let summary = run_as(
        setup(&fake, "r2", Some(Mode::Merge)),
        counting(9, declared(), true),
    )
    .await;
    assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    assert_eq!(fake.ids("numbers"), (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_refresh_leaves_what_the_source_has_in_every_mode() {
    for mode in [Mode::Append, Mode::Merge, Mode::Overwrite] {
        let fake = Fake::start().await;
        run_as(
            setup(&fake, "r1", Some(mode)),
            counting(25, declared(), true),
        )
        .await;
        for (name, last) in [("r2", 12), ("r3", 0)] {
            let setup = refreshed(setup(&fake, name, Some(mode)));
            let summary = run_as(setup, counting(last, declared(), true)).await;
            assert_eq!(summary.outcome, RunOutcome::Done, "{mode:?} {summary:?}");
            assert_eq!(
                fake.ids("numbers"),
                (1..=last).collect::<Vec<_>>(),
                "{mode:?}"
            );
        }
        let summary = run_as(
            setup(&fake, "r4", Some(mode)),
            counting(14, declared(), true),
        )
        .await;
        assert_eq!(
            (summary.outcome, summary.rows),
            (RunOutcome::Done, 14),
            "{mode:?}"
        );
        assert_eq!(
            fake.ids("numbers"),
            (1..=14).collect::<Vec<_>>(),
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn an_external_table_shows_exactly_the_committed_files() {
    for (mode, files) in [("append", 4), ("overwrite", 3)] {
        let fake = Fake::start().await;
        let options = json!({"mode": mode, "load": "external"});
        for (name, last) in [("r1", 5), ("r2", 25), ("r3", 25)] {
            let source = counting(last, declared(), true);
            let summary = run_as(with(&fake, name, options.clone()), source).await;
            assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
            assert_eq!(
                fake.ids("numbers"),
                (1..=last).collect::<Vec<_>>(),
                "{mode}"
            );
        }
        let world = fake.world.lock().unwrap();
        let shown = &world.tables["numbers"].resource["externalDataConfiguration"]["sourceUris"];
        // Slices of ten: r1 wrote one file, r2 two or three.
        let expected = if mode == "append" { files - 1 } else { files };
        assert_eq!(shown.as_array().unwrap().len(), expected, "{mode} {shown}");
        assert!(world.jobs.is_empty());
    }
}

#[tokio::test]
async fn a_file_with_other_rows_than_were_written_is_not_shown() {
    let fake = Fake::start().await;
    let options = json!({"mode": "overwrite", "load": "external"});
    let first = run_as(
        with(&fake, "r1", options.clone()),
        counting(5, declared(), true),
    );
    first.await;
    let task = async |index| {
        let setup = Setup {
            task: Task { index, count: 2 },
            ..with(&fake, "r2", options.clone())
        };
        run_as(setup, counting(25, declared(), true)).await
    };
    assert_eq!(task(0).await.streams[0].outcome, Outcome::Shared);
    {
        let mut world = fake.world.lock().unwrap();
        let other = world.objects["count/numbers/run=r1/part-0-0.parquet"].clone();
        let name = "count/numbers/run=r2/part-0-0.parquet".to_owned();
        assert!(world.objects.insert(name, other).is_some());
    }
    let state = fake.object("count/state/numbers.json");
    let summary = task(1).await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    let error = summary.streams[0].error.as_deref().unwrap_or_default();
    assert!(
        error.contains("has other rows than were written to it"),
        "{error}"
    );
    assert_eq!(fake.ids("numbers"), (1..=5).collect::<Vec<_>>());
    assert_eq!(fake.object("count/state/numbers.json"), state);
}

#[tokio::test]
async fn a_table_of_the_other_kind_is_in_the_way() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, declared(), true)).await;
    let summary = run_as(
        with(&fake, "r2", json!({"load": "external"})),
        counting(9, declared(), true),
    )
    .await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    insta::assert_snapshot!(summary.streams[0].error.as_ref().unwrap(), @"`numbers` is a table of BigQuery's own where an external table should be. Rename or delete it and run with --full-refresh, or change `load` back");
}

#[tokio::test]
async fn a_table_is_partitioned_and_clustered_when_it_is_made() {
    for mode in ["append", "merge", "overwrite"] {
        let fake = Fake::start().await;
        let by = |granularity: &str| {
            json!({"mode": mode, "cluster": ["name"],
                "partition": {"by": "extraction_time", "granularity": granularity}})
        };
        let source = || counting(5, declared(), true);
        let summary = run_as(with(&fake, "r1", by("month")), source()).await;
        assert_eq!(summary.outcome, RunOutcome::Done, "{mode} {summary:?}");
        let table = fake.world.lock().unwrap().tables["numbers"].clone();
        assert_eq!(
            table.resource["timePartitioning"],
            json!({"type": "MONTH", "field": "_xetl_extracted_at"})
        );
        assert_eq!(table.resource["clustering"], json!({"fields": ["name"]}));
        let summary = run_as(with(&fake, "r2", by("day")), counting(9, declared(), true)).await;
        let error = summary.streams[0].error.clone().unwrap();
        assert!(
            error.contains(
                "is partitioned by _xetl_extracted_at, by MONTH, not by _xetl_extracted_at, by DAY"
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_column_becomes_wider_with_its_values() {
    for mode in [Mode::Append, Mode::Merge] {
        let fake = Fake::start().await;
        run_as(
            setup(&fake, "r1", Some(mode)),
            counting(5, declared(), true),
        )
        .await;
        let wider = json!({"properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "n": {"type": "integer"}}});
        run_as(setup(&fake, "r2", Some(mode)), counting(7, wider, true)).await;
        let wider = json!({"properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "n": {"xetl_type": "NUMERIC"}}});
        let summary = run_as(setup(&fake, "r3", Some(mode)), counting(9, wider, true)).await;
        assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
        let world = fake.world.lock().unwrap();
        let fields = &world.tables["numbers"].resource["schema"]["fields"];
        let types: Vec<_> = fields
            .as_array()
            .unwrap()
            .iter()
            .map(|field| (&field["name"], &field["type"]))
            .collect();
        assert!(
            types.contains(&(&json!("n"), &json!("NUMERIC"))),
            "{types:?}"
        );
    }
}

#[tokio::test]
async fn a_type_the_table_does_not_take_is_rescued_and_no_failure() {
    let fake = Fake::start().await;
    run(&fake, "r1", counting(5, declared(), true)).await;
    let other = json!({"properties": {"id": {"type": "integer"}, "name": {"type": "integer"}}});
    let summary = run(&fake, "r2", counting(9, other, true)).await;
    assert_eq!(summary.outcome, RunOutcome::Done, "{summary:?}");
    assert_eq!(fake.ids("numbers"), (1..=9).collect::<Vec<_>>());
    let state = fake.object("count/state/numbers.json").unwrap();
    assert_eq!(state["schema"][1]["type"], "STRING");
}

/// Kills the process at each of its writes in turn, before or after the write happens,
/// and runs it again: as a retry of the same execution, or as the next night's.
async fn survives_a_crash_at_every_write(next: &str, options: Json) {
    for happens in [false, true] {
        for write in 1..200 {
            let fake = Fake::start().await;
            fake.world.lock().unwrap().cut = Some((write, happens));
            let first = run_as(
                with(&fake, "r1", options.clone()),
                counting(25, declared(), true),
            );
            let was_cut = tokio::select! {
                _ = first => false,
                () = fake.cut_off.notified() => true,
            };
            if !was_cut {
                assert!(write > 8, "there are more writes than that");
                break;
            }
            fake.world.lock().unwrap().cut = None;
            let_the_lease_run_out(&fake);
            let again = with(&fake, next, options.clone());
            let summary = run_as(again, counting(25, declared(), true)).await;
            assert_eq!(
                summary.outcome,
                RunOutcome::Done,
                "cut at write {write}: {summary:?}"
            );
            assert_eq!(
                fake.ids("numbers"),
                (1..=25).collect::<Vec<_>>(),
                "cut at write {write}"
            );
            let state = fake.object("count/state/numbers.json").unwrap();
            assert_eq!(state["complete"], json!(true), "cut at write {write}");
            assert_eq!(fake.object("count/pending/numbers.json"), None);
            let left = tables(&fake);
            assert!(
                !left.iter().any(|table| table.ends_with("_staging")),
                "cut at write {write}: {left:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_retry_after_a_crash_anywhere_loads_each_row_once() {
    survives_a_crash_at_every_write("r1", json!({"mode": "append"})).await;
}

#[tokio::test]
async fn the_next_run_after_a_crash_anywhere_loads_each_row_once() {
    survives_a_crash_at_every_write("r2", json!({"mode": "append"})).await;
}

#[tokio::test]
async fn a_crash_of_an_overwrite_leaves_the_table_whole() {
    survives_a_crash_at_every_write("r1", json!({"mode": "overwrite"})).await;
}

#[tokio::test]
async fn a_crash_of_a_merge_leaves_each_row_once() {
    survives_a_crash_at_every_write("r1", json!({"mode": "merge"})).await;
    survives_a_crash_at_every_write("r2", json!({"mode": "merge"})).await;
}

#[tokio::test]
async fn a_crash_of_an_external_load_leaves_each_row_once() {
    let append = json!({"mode": "append", "load": "external"});
    survives_a_crash_at_every_write("r1", append.clone()).await;
    survives_a_crash_at_every_write("r2", append).await;
    let overwrite = json!({"mode": "overwrite", "load": "external"});
    survives_a_crash_at_every_write("r2", overwrite).await;
}
