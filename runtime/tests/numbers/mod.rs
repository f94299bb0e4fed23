//! A run of a source that counts: its one stream has the records `1..=last`, ten a slice.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use google_cloud_auth::credentials::anonymous;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use xetl_runtime::bundle::{Bundle, Overlap};
use xetl_runtime::google::{Endpoints, Google};
use xetl_runtime::run::{Setup, Summary, execute};
use xetl_runtime::stream::*;
use xetl_runtime::task::Task;
use xetl_runtime::value::Value;

use crate::Place;
use crate::servers::PASSWORD;

struct Numbers {
    streams: Vec<Box<dyn Stream>>,
}

struct Counting {
    info: StreamInfo,
    last: i64,
}

impl Source for Numbers {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        async { Ok(()) }.boxed()
    }
}

impl Stream for Counting {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        let after = state["id"].as_i64().unwrap_or(0);
        let slices = (after..self.last).step_by(10).map(|start| {
            let mut slice = Slice::default();
            let end = (start + 10).min(self.last);
            slice.interval.insert("start".into(), start.into());
            slice.interval.insert("end".into(), end.into());
            Ok(slice)
        });
        futures::stream::iter(slices).boxed()
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        let bound = |name: &str| slice.interval[name].as_i64().unwrap();
        let record = |id| Value::Object([("id".to_owned(), Value::Int(id))].into_iter().collect());
        let page = Page {
            records: (bound("start") + 1..=bound("end")).map(record).collect(),
            cursor: Some(bound("end").to_string()),
        };
        futures::stream::iter([Ok(page)]).boxed()
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        let cursors = done
            .iter()
            .filter_map(|done| done.cursor.as_ref()?.parse().ok());
        cursors
            .max()
            .map_or(state.clone(), |id: i64| json!({ "id": id }))
    }
}

/// Runs the pipeline `count` with the place's state.
pub async fn run(place: &Place, run: &str, last: i64) -> Summary {
    let info = StreamInfo {
        name: "numbers".into(),
        primary_key: vec!["id".into()],
        cursor_field: Some("id".into()),
        schema: json!({"properties": {"id": {"type": "integer"}}}),
        types: Json::Null,
        mode: None,
    };
    let source = Numbers {
        streams: vec![Box::new(Counting { info, last })],
    };
    let source: Box<dyn Source> = Box::new(source);
    let setup = setup(place, run);
    execute(setup, async |_: &Setup| Ok(source)).await.unwrap()
}

fn setup(place: &Place, run: &str) -> Setup {
    Setup {
        google: Google {
            endpoints: Endpoints::all_at(&place.fake.url),
            credentials: anonymous::Builder::new().build(),
        },
        bundle: Bundle {
            version: 1,
            client: place.client.clone(),
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
            streams: BTreeMap::new(),
            models: Vec::new(),
            state: place.options.clone(),
        },
        state_password: PASSWORD.into(),
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
