//! What every store of checkpoints keeps to: the bucket, SQLite, and real PostgreSQL and
//! MariaDB servers that these tests start themselves.

#![allow(clippy::unwrap_used)]

mod fake;
mod numbers;
mod servers;

use std::time::Duration;

use fake::Fake;
use futures::future::join_all;
use google_cloud_auth::credentials::anonymous;
use numbers::run;
use secrecy::SecretString;
use serde_json::json;
use servers::{Kind, PASSWORD, Server};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;
use xetl_runtime::bundle::{Mode, SecretRef, StateStore};
use xetl_runtime::google::storage::Bucket;
use xetl_runtime::google::{Endpoints, Google};
use xetl_runtime::layout::TableLayout;
use xetl_runtime::options::Target;
use xetl_runtime::run::RunOutcome;
use xetl_runtime::state::{Checkpoint, Layout, Pending, StoreError};
use xetl_runtime::store::{Status, Store};

/// One kind of store, ready to be used.
enum Engine {
    Bucket,
    Sqlite(TempDir),
    Server(Server),
}

impl Engine {
    fn is_bucket(&self) -> bool {
        matches!(self, Engine::Bucket)
    }

    /// A place of its own for a test: an empty bucket and an empty database.
    async fn place(&self, name: &str) -> Place {
        if let Engine::Server(server) = self {
            let create = format!("CREATE DATABASE {name}");
            server.run(server.home(), &create).await;
        }
        Place {
            fake: Fake::start().await,
            options: self.options(name),
            client: "acme".into(),
        }
    }

    fn options(&self, name: &str) -> StateStore {
        match self {
            Engine::Bucket => StateStore::Bucket,
            Engine::Sqlite(folder) => StateStore::Sqlite {
                path: folder.path().join(name).display().to_string(),
            },
            Engine::Server(server) => on_server(server.kind, server.url(name)),
        }
    }

    async fn connect(&self, name: &str) -> AnyConnection {
        sqlx::any::install_default_drivers();
        match self {
            Engine::Bucket => unreachable!("the bucket has no tables"),
            Engine::Sqlite(folder) => {
                let path = folder.path().join(name).display().to_string();
                AnyConnection::connect(&format!("sqlite://{path}"))
                    .await
                    .unwrap()
            }
            Engine::Server(server) => server.connect(name).await.unwrap(),
        }
    }
}

fn on_server(kind: Kind, url: String) -> StateStore {
    let server = xetl_runtime::bundle::Server {
        url,
        password: SecretRef {
            env: "XETL_SECRET_STATE_PASSWORD".into(),
            secret: "projects/p/secrets/s".into(),
        },
    };
    match kind {
        Kind::Postgres => StateStore::Postgres(server),
        Kind::Mariadb => StateStore::Mysql(server),
    }
}

struct Place {
    fake: Fake,
    options: StateStore,
    client: String,
}

impl Place {
    /// The same bucket with another store.
    fn with(&self, options: StateStore) -> Place {
        Place {
            fake: self.fake.clone(),
            options,
            client: self.client.clone(),
        }
    }

    /// The same store for another client, who has a bucket of its own.
    async fn of(&self, client: &str) -> Place {
        Place {
            fake: Fake::start().await,
            options: self.options.clone(),
            client: client.into(),
        }
    }

    async fn store(&self) -> Store {
        self.store_of(&self.client, "count").await
    }

    async fn store_of(&self, client: &str, pipeline: &str) -> Store {
        self.open(&self.options, PASSWORD, client, pipeline)
            .await
            .unwrap()
    }

    async fn bucket_store(&self) -> Store {
        let opened = self.open(&StateStore::Bucket, "", "acme", "count");
        opened.await.unwrap()
    }

    async fn open(
        &self,
        options: &StateStore,
        password: &str,
        client: &str,
        pipeline: &str,
    ) -> Result<Store, StoreError> {
        let layout = Layout {
            pipeline: pipeline.into(),
        };
        let password = SecretString::from(password);
        Store::open(options, &password, client, self.bucket(), layout).await
    }

    fn bucket(&self) -> Bucket {
        let google = Google {
            endpoints: Endpoints::all_at(&self.fake.url),
            credentials: anonymous::Builder::new().build(),
        };
        google.storage().bucket("bucket")
    }
}

/// A commit of ten rows whose load is done.
fn commit(stream: &str, commit: &str, replaces: i64) -> Pending {
    Pending {
        version: 1,
        commit: commit.into(),
        mode: Mode::Append,
        target: Target::default(),
        table: "t".into(),
        layout: TableLayout::default(),
        merge: None,
        gathered: None,
        uris: Vec::new(),
        rows: 10,
        bytes: 100,
        replaces,
        loaded_before: None,
        next: Checkpoint {
            version: 1,
            stream: stream.into(),
            run: "r1".into(),
            commit: commit.into(),
            complete: true,
            state: json!({"at": commit}),
            ..Checkpoint::default()
        },
    }
}

async fn version(store: &Store, stream: &str) -> i64 {
    let stored = store.checkpoint(stream).await.unwrap();
    stored.map_or(0, |stored| stored.generation)
}

async fn a_checkpoint_is_read_as_it_was_written(engine: &Engine) {
    let place = engine.place("written").await;
    let store = place.store().await;
    assert_eq!(store.checkpoint("s").await.unwrap(), None);
    let mut first = commit("s", "c1", 0);
    first.next.state =
        json!({"z": 1, "a": [1.5, 9007199254740993i64, null], "text": "\u{0}'\"\\ñ漢🦀"});
    assert!(store.record(&first).await.unwrap());
    // Another process reads it, too.
    for store in [store, place.store().await] {
        let stored = store.checkpoint("s").await.unwrap().unwrap();
        assert_eq!(stored.value, first.next);
        let keys: Vec<_> = stored.value.state.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["z", "a", "text"]);
        assert!(stored.generation > 0);
    }
}

async fn a_writer_that_read_an_older_version_loses(engine: &Engine) {
    let store = engine.place("older").await.store().await;
    version(&store, "s").await;
    assert!(store.record(&commit("s", "c1", 0)).await.unwrap());
    let first = version(&store, "s").await;
    assert!(!store.record(&commit("s", "late", 0)).await.unwrap());
    assert!(store.record(&commit("s", "c2", first)).await.unwrap());
    assert!(!store.record(&commit("s", "late", first)).await.unwrap());
    let stored = store.checkpoint("s").await.unwrap().unwrap();
    assert_eq!(stored.value.commit, "c2");
}

async fn of_ten_writers_at_once_one_wins(engine: &Engine) {
    let place = engine.place("ten_writers").await;
    let stores = join_all((0..10).map(|_| place.store())).await;
    for store in &stores {
        version(store, "s").await;
    }
    let mut replaces = 0;
    for round in 0..3 {
        let writers = stores.iter().enumerate().map(|(number, store)| async move {
            let pending = commit("s", &format!("c{round}-{number}"), replaces);
            store.record(&pending).await.unwrap()
        });
        let won = join_all(writers).await;
        let winner = won.iter().position(|won| *won).unwrap();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let stored = stores[9].checkpoint("s").await.unwrap().unwrap();
        assert_eq!(stored.value.commit, format!("c{round}-{winner}"));
        replaces = stored.generation;
    }
}

async fn ten_tasks_may_start_at_once(engine: &Engine) {
    let place = engine.place("ten_tasks").await;
    let tasks = (0..10).map(|_| async {
        let store = place.store().await;
        store.run_begins("r1", &["s"]).await.unwrap();
        assert_eq!(store.checkpoint("s").await.unwrap(), None);
    });
    join_all(tasks).await;
}

async fn names_in_any_script_and_long_states_come_back(engine: &Engine) {
    let store = engine.place("long_texts").await.store().await;
    let names = [
        "Ünïcödé 漢字 🦀",
        "a'b\"c\\d;--",
        "S",
        "s",
        &"漢".repeat(200),
    ];
    for (number, name) in names.into_iter().enumerate() {
        version(&store, name).await;
        let mut pending = commit(name, &format!("c{number}"), 0);
        pending.next.state = json!({ "cursor": "é".repeat(512 * 1024) });
        assert!(store.record(&pending).await.unwrap(), "{name}");
    }
    for (number, name) in names.into_iter().enumerate() {
        let stored = store.checkpoint(name).await.unwrap().unwrap();
        assert_eq!(stored.value.commit, format!("c{number}"));
        assert_eq!(
            stored.value.state["cursor"].as_str().unwrap().len(),
            1024 * 1024
        );
    }
}

async fn clients_and_pipelines_keep_apart(engine: &Engine) {
    let place = engine.place("apart").await;
    let mut stores = vec![
        place.store_of("acme", "a").await,
        place.store_of("acme", "b").await,
    ];
    // Each client has a bucket of its own.
    if !engine.is_bucket() {
        let globex = place.of("globex").await;
        stores.push(globex.store_of("globex", "a").await);
    }
    for store in &stores {
        assert_eq!(store.checkpoint("s").await.unwrap(), None);
        assert!(store.record(&commit("s", "c1", 0)).await.unwrap());
    }
}

/// Runs a test with the stack the program's main thread has: a debug build of Google's
/// crates needs more than a test's thread.
fn with_a_main_stack(test: impl AsyncFnOnce() + Send + 'static) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    };
    let thread = std::thread::Builder::new().stack_size(8 * 1024 * 1024);
    if let Err(panic) = thread.spawn(run).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// The facts that hold for every store.
async fn keeps_to_all(engine: &Engine) {
    Box::pin(a_checkpoint_is_read_as_it_was_written(engine)).await;
    Box::pin(a_writer_that_read_an_older_version_loses(engine)).await;
    Box::pin(of_ten_writers_at_once_one_wins(engine)).await;
    Box::pin(ten_tasks_may_start_at_once(engine)).await;
    Box::pin(names_in_any_script_and_long_states_come_back(engine)).await;
    Box::pin(clients_and_pipelines_keep_apart(engine)).await;
}

#[test]
fn the_bucket_keeps_to_what_all_stores_do() {
    with_a_main_stack(async || {
        keeps_to_all(&Engine::Bucket).await;
    });
}

#[test]
fn sqlite_keeps_to_what_all_stores_do() {
    with_a_main_stack(async || {
        let engine = Engine::Sqlite(TempDir::new().unwrap());
        Box::pin(keeps_to_all(&engine)).await;
        Box::pin(keeps_to_what_databases_do(&engine)).await;
    });
}

#[test]
fn a_crash_of_any_kind_loses_and_doubles_nothing() {
    with_a_main_stack(async || {
        let engine = Engine::Sqlite(TempDir::new().unwrap());
        for (next, begins_in_bucket) in [("r1", false), ("r2", false), ("r1", true), ("r2", true)] {
            Box::pin(crashes_lose_and_double_nothing(
                &engine,
                next,
                begins_in_bucket,
            ))
            .await;
        }
    });
}

#[test]
fn postgres_keeps_to_what_all_stores_do() {
    with_a_main_stack(async || {
        on(Kind::Postgres).await;
    });
}

#[test]
fn mariadb_keeps_to_what_all_stores_do() {
    with_a_main_stack(async || {
        on(Kind::Mariadb).await;
    });
}

async fn on(kind: Kind) {
    let Some(server) = Server::start(kind).await else {
        return;
    };
    let mut engine = Engine::Server(server);
    Box::pin(keeps_to_all(&engine)).await;
    Box::pin(keeps_to_what_databases_do(&engine)).await;
    Box::pin(crashes_lose_and_double_nothing(&engine, "r2", false)).await;
    Box::pin(an_unusable_server_says_what_to_do(&engine)).await;
    Box::pin(a_store_goes_on_after_its_server_restarts(&mut engine)).await;
}

/// The facts that hold for every database.
async fn keeps_to_what_databases_do(engine: &Engine) {
    Box::pin(runs_can_be_queried(engine)).await;
    Box::pin(a_database_takes_over_what_the_bucket_has(engine)).await;
    Box::pin(ten_tasks_take_over_at_once(engine)).await;
    Box::pin(a_crash_while_taking_over_loses_nothing(engine)).await;
    Box::pin(another_database_does_not_begin_anew(engine)).await;
    Box::pin(a_deleted_checkpoint_stays_deleted(engine)).await;
    Box::pin(two_checkpoints_are_not_chosen_between(engine)).await;
    Box::pin(tables_of_a_newer_xetl_are_left_alone(engine)).await;
    Box::pin(altered_migrations_are_named(engine)).await;
    Box::pin(a_run_loads_each_row_once(engine)).await;
    Box::pin(a_run_goes_on_from_the_buckets_state(engine)).await;
}

async fn rows(connection: &mut AnyConnection, statement: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap();
    let cell = |row: &sqlx::any::AnyRow, at: usize| {
        let text = row.try_get::<Option<String>, _>(at);
        let text = text.map(|text| text.unwrap_or_else(|| "-".into()));
        text.unwrap_or_else(|_| row.try_get::<i64, _>(at).unwrap().to_string())
    };
    rows.iter()
        .map(|row| {
            let cells: Vec<_> = (0..row.len()).map(|at| cell(row, at)).collect();
            cells.join(" ")
        })
        .collect()
}

const RUNS: &str = "SELECT id, stream, status, row_count, byte_count, error FROM xetl_runs \
                    ORDER BY id, stream";

async fn runs_can_be_queried(engine: &Engine) {
    let place = engine.place("runs").await;
    let store = place.store().await;
    let mut connection = engine.connect("runs").await;
    store.run_begins("r1", &["a", "b", "c"]).await.unwrap();
    version(&store, "a").await;
    assert!(store.record(&commit("a", "c1", 0)).await.unwrap());
    store
        .stream_ends("r1", "a", Status::Success, None)
        .await
        .unwrap();
    let long = format!("\u{0}no 🦀 {}", "x".repeat(100_000));
    store
        .stream_ends("r1", "b", Status::Failed, Some(&long))
        .await
        .unwrap();
    assert_eq!(
        rows(&mut connection, RUNS).await,
        [
            "r1 a SUCCESS 10 100 -".to_owned(),
            format!("r1 b FAILED 0 0 {}", long.replace('\u{0}', "\u{fffd}")),
            "r1 c IN_PROGRESS 0 0 -".to_owned(),
        ]
    );
    // A retry begins again what is not loaded; another run ends what a dead one left.
    store.run_begins("r1", &["a", "b", "c"]).await.unwrap();
    store
        .stream_ends("r1", "b", Status::Parked, Some("later"))
        .await
        .unwrap();
    place
        .store_of("acme", "other")
        .await
        .run_begins("r0", &["a"])
        .await
        .unwrap();
    store.run_begins("r2", &["a"]).await.unwrap();
    assert_eq!(
        rows(&mut connection, RUNS).await,
        [
            "r0 a IN_PROGRESS 0 0 -",
            "r1 a SUCCESS 10 100 -",
            "r1 b PARKED 0 0 later",
            "r1 c FAILED 0 0 ended without a word",
            "r2 a IN_PROGRESS 0 0 -",
        ]
    );
    let ended = "SELECT count(*) FROM xetl_runs WHERE ended_at >= started_at";
    assert_eq!(rows(&mut connection, ended).await, ["3"]);
}

async fn a_database_takes_over_what_the_bucket_has(engine: &Engine) {
    let place = engine.place("taken").await;
    let bucket = place.bucket_store().await;
    assert!(bucket.record(&commit("s", "c1", 0)).await.unwrap());
    let before = bucket.checkpoint("s").await.unwrap().unwrap();
    let store = place.store().await;
    // The version is the generation, so that a commit begun before can end.
    assert_eq!(store.checkpoint("s").await.unwrap().unwrap(), before);
    assert!(
        store
            .record(&commit("s", "c2", before.generation))
            .await
            .unwrap()
    );
    // A run of before can neither read nor write any more.
    assert!(
        !bucket
            .record(&commit("s", "late", before.generation))
            .await
            .unwrap()
    );
    let error = bucket.checkpoint("s").await.unwrap_err().to_string();
    assert!(error.contains("Set `state` back to it"), "{error}");
    assert!(!error.contains(PASSWORD), "{error}");
    let again = place.store().await.checkpoint("s").await.unwrap().unwrap();
    assert_eq!(again.value.commit, "c2");
}

async fn ten_tasks_take_over_at_once(engine: &Engine) {
    let place = engine.place("taken_by_ten").await;
    let bucket = place.bucket_store().await;
    assert!(bucket.record(&commit("s", "c1", 0)).await.unwrap());
    let tasks = (0..10).map(|_| async {
        let store = place.store().await;
        assert_eq!(store.checkpoint("new").await.unwrap(), None);
        store.checkpoint("s").await.unwrap().unwrap()
    });
    let read = join_all(tasks).await;
    assert!(read.iter().all(|stored| stored == &read[0]), "{read:?}");
    assert_eq!(read[0].value.commit, "c1");
}

async fn a_crash_while_taking_over_loses_nothing(engine: &Engine) {
    for (cut, happens) in [(1, false), (1, true), (2, false), (2, true)] {
        let place = engine.place(&format!("cut_{cut}_{happens}")).await;
        let bucket = place.bucket_store().await;
        assert!(bucket.record(&commit("s", "c1", 0)).await.unwrap());
        let before = bucket.checkpoint("s").await.unwrap();
        let store = place.store().await;
        place.fake.world.lock().unwrap().cut = Some((cut, happens));
        tokio::select! {
            _ = store.checkpoint("s") => panic!("it was to be cut off"),
            () = place.fake.cut_off.notified() => {}
        }
        place.fake.world.lock().unwrap().cut = None;
        assert_eq!(place.store().await.checkpoint("s").await.unwrap(), before);
    }
}

async fn another_database_does_not_begin_anew(engine: &Engine) {
    let place = engine.place("the_one").await;
    place.store().await.checkpoint("s").await.unwrap();
    let other = place.with(engine.place("the_other").await.options);
    let error = other.store().await.checkpoint("s").await.unwrap_err();
    assert!(matches!(error, StoreError::Moved { .. }), "{error}");
}

async fn a_deleted_checkpoint_stays_deleted(engine: &Engine) {
    let place = engine.place("deleted").await;
    let bucket = place.bucket_store().await;
    assert!(bucket.record(&commit("s", "c1", 0)).await.unwrap());
    let store = place.store().await;
    let replaces = version(&store, "s").await;
    let mut connection = engine.connect("deleted").await;
    rows(&mut connection, "DELETE FROM xetl_checkpoints").await;
    let store = place.store().await;
    assert_eq!(store.checkpoint("s").await.unwrap(), None);
    assert!(!store.record(&commit("s", "late", replaces)).await.unwrap());
    assert!(store.record(&commit("s", "c2", 0)).await.unwrap());
    assert_ne!(version(&store, "s").await, replaces);
}

async fn two_checkpoints_are_not_chosen_between(engine: &Engine) {
    let place = engine.place("two").await;
    let store = place.store().await;
    version(&store, "s").await;
    assert!(store.record(&commit("s", "c1", 0)).await.unwrap());
    place.fake.world.lock().unwrap().objects.clear();
    // Without the bucket's marker the database still has the say.
    let read = place.store().await.checkpoint("s").await.unwrap();
    assert_eq!(read.unwrap().value.commit, "c1");
    place.fake.world.lock().unwrap().objects.clear();
    let bucket = place.bucket_store().await;
    assert!(bucket.record(&commit("s", "c2", 0)).await.unwrap());
    let error = place.store().await.checkpoint("s").await.unwrap_err();
    assert!(
        matches!(error, StoreError::TwoCheckpoints { .. }),
        "{error}"
    );
}

async fn tables_of_a_newer_xetl_are_left_alone(engine: &Engine) {
    let place = engine.place("newer").await;
    place.store().await;
    let mut connection = engine.connect("newer").await;
    rows(&mut connection, "UPDATE xetl_migrations SET version = 99").await;
    let error = problem(&place, PASSWORD).await;
    assert!(
        error.contains("newer xetl (migration 99). Deploy that image"),
        "{error}"
    );
}

async fn altered_migrations_are_named(engine: &Engine) {
    let place = engine.place("altered").await;
    place.store().await;
    let mut connection = engine.connect("altered").await;
    rows(
        &mut connection,
        "UPDATE xetl_migrations SET success = false",
    )
    .await;
    let error = problem(&place, PASSWORD).await;
    assert!(error.contains("migration 1 stopped halfway"), "{error}");
}

async fn problem(place: &Place, password: &str) -> String {
    let opened = place.open(&place.options, password, "acme", "count").await;
    opened.unwrap_err().to_string()
}

/// The end-to-end run and its crashes, with checkpoints in the database.
async fn a_run_loads_each_row_once(engine: &Engine) {
    let place = engine.place("loaded").await;
    let first = run(&place, "r1", 25).await;
    assert_eq!((first.outcome, first.rows), (RunOutcome::Done, 25));
    let second = run(&place, "r2", 30).await;
    assert_eq!((second.outcome, second.rows), (RunOutcome::Done, 5));
    assert_eq!(place.fake.ids("numbers"), (1..=30).collect::<Vec<_>>());
    let mut connection = engine.connect("loaded").await;
    let runs = "SELECT id, status, row_count, error FROM xetl_runs ORDER BY id";
    assert_eq!(
        rows(&mut connection, runs).await,
        ["r1 SUCCESS 25 -", "r2 SUCCESS 5 -"]
    );
    let bytes = "SELECT count(*) FROM xetl_runs WHERE byte_count > 0";
    assert_eq!(rows(&mut connection, bytes).await, ["2"]);
}

async fn a_run_goes_on_from_the_buckets_state(engine: &Engine) {
    let place = engine.place("moved").await;
    let in_bucket = place.with(StateStore::Bucket);
    run(&in_bucket, "r1", 25).await;
    assert_eq!(run(&place, "r2", 30).await.rows, 5);
    // Back in the bucket, the run stops before it reads.
    let summary = run(&in_bucket, "r3", 40).await;
    assert_eq!(summary.outcome, RunOutcome::Failed);
    assert_eq!(place.fake.ids("numbers"), (1..=30).collect::<Vec<_>>());
}

/// Cuts a run off at each of its writes in turn, which is also between a load and its
/// checkpoint, and runs it again: as a retry, as the next night's, or as the next night's
/// when `before` kept its state in the bucket.
async fn crashes_lose_and_double_nothing(engine: &Engine, next: &str, begins_in_bucket: bool) {
    let mut loaded_before_checkpoint = 0;
    let database = format!("crash_{next}_{begins_in_bucket}");
    let shared = engine.place(&database).await;
    shared.store().await;
    let mut connection = engine.connect(&database).await;
    for happens in [false, true] {
        for write in 1.. {
            let name = format!("c{write}-{happens}");
            let place = shared.of(&name).await;
            let before = match begins_in_bucket {
                true => place.with(StateStore::Bucket),
                false => place.with(place.options.clone()),
            };
            if begins_in_bucket {
                run(&before, "r0", 15).await;
            }
            place.fake.world.lock().unwrap().cut = Some((write, happens));
            let was_cut = tokio::select! {
                _ = run(&before, "r1", 25) => false,
                () = place.fake.cut_off.notified() => true,
            };
            if !was_cut {
                assert!(write > 8, "there are more writes than that");
                break;
            }
            place.fake.world.lock().unwrap().cut = None;
            let key = "count/lease.json";
            place.fake.world.lock().unwrap().objects.remove(key);
            let is_loaded = place.fake.ids("numbers").len() == 25;
            if is_loaded && place.fake.object("count/pending/numbers.json").is_some() {
                loaded_before_checkpoint += 1;
            }
            let summary = run(&place, next, 25).await;
            assert_eq!(summary.outcome, RunOutcome::Done, "{name}: {summary:?}");
            let ids = place.fake.ids("numbers");
            assert_eq!(ids, (1..=25).collect::<Vec<_>>(), "{name}");
            let checkpoint = place.store().await.checkpoint("numbers").await.unwrap();
            assert!(checkpoint.unwrap().value.complete, "{name}");
            let of = format!("FROM xetl_runs WHERE client = '{name}'");
            let left = format!("SELECT id {of} AND status = 'IN_PROGRESS'");
            assert_eq!(rows(&mut connection, &left).await, [""; 0], "{name}");
            if !begins_in_bucket {
                let counted = format!("SELECT id {of} AND row_count = 25");
                assert_eq!(rows(&mut connection, &counted).await.len(), 1, "{name}");
            }
        }
    }
    assert!(loaded_before_checkpoint > 0);
}

async fn an_unusable_server_says_what_to_do(engine: &Engine) {
    let Engine::Server(server) = engine else {
        panic!("a server");
    };
    let place = engine.place("usable").await;
    place.store().await;
    let error = problem(&place, "a wrong secret").await;
    assert!(
        error.contains("refuses the user or the password"),
        "{error}"
    );
    assert!(error.contains("state.password"), "{error}");
    assert!(!error.contains("wrong secret"), "{error}");
    let missing = place.with(engine.options("nowhere"));
    let error = problem(&missing, PASSWORD).await;
    assert!(error.contains("nowhere does not exist"), "{error}");
    let url = server.url("d").replace(&server.port.to_string(), "1");
    let nobody = place.with(on_server(server.kind, url));
    let error = problem(&nobody, PASSWORD).await;
    assert!(error.contains("cannot reach the state database"), "{error}");
    assert!(!error.contains(PASSWORD), "{error}");
    let (read_only, writable) = match server.kind {
        Kind::Postgres => (
            "ALTER DATABASE usable SET default_transaction_read_only = on",
            "ALTER DATABASE usable SET default_transaction_read_only = off",
        ),
        Kind::Mariadb => ("SET GLOBAL tx_read_only = 1", "SET GLOBAL tx_read_only = 0"),
    };
    server.run(server.home(), read_only).await;
    let error = match place.open(&place.options, PASSWORD, "acme", "count").await {
        Ok(store) => store.run_begins("r1", &["s"]).await.unwrap_err(),
        Err(error) => error,
    };
    let error = error.to_string();
    assert!(error.contains("is read-only"), "{error}");
    server.run(server.home(), writable).await;
}

async fn a_store_goes_on_after_its_server_restarts(engine: &mut Engine) {
    let place = engine.place("restarted").await;
    let store = place.store().await;
    version(&store, "s").await;
    assert!(store.record(&commit("s", "c1", 0)).await.unwrap());
    let replaces = version(&store, "s").await;
    let Engine::Server(server) = engine else {
        panic!("a server");
    };
    server.restart().await;
    assert!(store.record(&commit("s", "c2", replaces)).await.unwrap());
    let pool = (0..5).map(|_| version(&store, "s"));
    let read = tokio::time::timeout(Duration::from_secs(60), join_all(pool)).await;
    assert!(read.unwrap().iter().all(|version| *version > replaces));
}

#[test]
fn a_sqlite_file_that_cannot_be_made_says_so() {
    with_a_main_stack(async || {
        let place = Place {
            fake: Fake::start().await,
            options: StateStore::Sqlite {
                path: "/nowhere/at/all/state.db".into(),
            },
            client: "acme".into(),
        };
        let error = problem(&place, "").await;
        insta::assert_snapshot!(error, @"cannot reach the state database sqlite /nowhere/at/all/state.db: No such file or directory (os error 2). Does it run, and may this task connect to it?");
    });
}
