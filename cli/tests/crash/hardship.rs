//! A warehouse that is not as it was left, and a process that is told to end: a clear word of it,
//! and nothing lost or doubled once it is mended.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use crate::cloud::{Cloud, Ended, Execution, From, PROJECT, Pipeline, dataset};
use crate::{Truth, block};

const ALONE: &[usize] = &[0];

fn execution(name: &str) -> Execution<'_> {
    Execution {
        name,
        tasks: ALONE,
        of: 1,
        death: None,
    }
}

/// A pipeline of its own local cloud.
async fn pipeline(mode: &'static str) -> (Arc<Cloud>, Pipeline) {
    let cloud = Cloud::start().await;
    let pipeline = Pipeline::new(&cloud, mode, "hardship".to_owned()).await;
    (cloud, pipeline)
}

fn tables(pipeline: &Pipeline) -> String {
    let dataset = dataset(pipeline.name());
    format!("/bigquery/v2/projects/{PROJECT}/datasets/{dataset}/tables")
}

/// It fails and says this.
#[track_caller]
fn assert_fails_with(ended: &Ended, words: &[&str]) {
    let logs = ended.logs();
    assert_eq!(ended.codes, [Some(1)], "{logs}");
    for word in words {
        assert!(logs.contains(word), "no `{word}` in\n{logs}");
    }
}

async fn assert_loads(pipeline: &Pipeline, name: &str) {
    let ended = pipeline.run(execution(name)).await;
    assert!(ended.is_well(), "{:?}\n{}", ended.codes, ended.logs());
    let truth = Truth {
        tasks: 1,
        case: name,
    };
    truth.is_in(pipeline).await;
}

/// A view where the table is to be; gives the path of the dataset's tables.
async fn put_a_view(cloud: &Cloud, pipeline: &Pipeline) -> String {
    let path = tables(pipeline);
    let reference =
        json!({"projectId": PROJECT, "datasetId": dataset(pipeline.name()), "tableId": "things"});
    let view = json!({"query": "SELECT 1 AS id", "useLegacySql": false});
    let body = json!({"tableReference": reference, "view": view});
    cloud.send(Method::POST, &path, body).await;
    path
}

#[test]
fn a_view_in_the_way_is_named_and_nothing_is_lost() {
    block(async {
        for mode in ["overwrite", "append", "merge"] {
            let (cloud, pipeline) = pipeline(mode).await;
            let path = put_a_view(&cloud, &pipeline).await;
            let ended = pipeline.run(execution("first")).await;
            assert_fails_with(&ended, &["things", "is a view", "Rename or delete it"]);
            cloud.delete(&format!("{path}/things")).await;
            assert_loads(&pipeline, "second").await;
        }
    });
}

/// The columns of a run are settled once, for its retries too.
#[test]
fn a_view_in_the_way_leaves_no_columns_for_the_retry() {
    block(async {
        for mode in ["append", "merge"] {
            let cloud = Cloud::start().await;
            let name = "hardship".to_owned();
            let pipeline = Pipeline::of(&cloud, From::Gathered, mode, name).await;
            let path = put_a_view(&cloud, &pipeline).await;
            let ended = pipeline.run(execution("first")).await;
            assert_fails_with(&ended, &["things", "is a view"]);
            cloud.delete(&format!("{path}/things")).await;
            assert_loads(&pipeline, "first").await;
        }
    });
}

#[test]
fn a_table_that_is_gone_is_not_begun_again_in_the_middle() {
    block(async {
        for mode in ["append", "merge"] {
            let (cloud, mut pipeline) = pipeline(mode).await;
            assert_loads(&pipeline, "first").await;
            cloud.delete(&format!("{}/things", tables(&pipeline))).await;
            pipeline.advance().await;
            let ended = pipeline.run(execution("second")).await;
            assert_fails_with(&ended, &["things", "is gone", "--full-refresh"]);
        }
    });
}

#[test]
fn a_dataset_elsewhere_is_named_with_both_places() {
    block(async {
        let (cloud, pipeline) = pipeline("append").await;
        let datasets = format!("/bigquery/v2/projects/{PROJECT}/datasets");
        let name = dataset(pipeline.name());
        cloud.delete(&format!("{datasets}/{name}")).await;
        let reference = json!({"projectId": PROJECT, "datasetId": name});
        let body = json!({"datasetReference": reference, "location": "US"});
        cloud.send(Method::POST, &datasets, body).await;
        let ended = pipeline.run(execution("first")).await;
        assert_fails_with(&ended, &[&name, "US", "australia-southeast1"]);
    });
}

#[test]
fn a_quota_that_is_spent_for_a_moment_is_waited_for() {
    block(async {
        for mode in ["overwrite", "append", "merge"] {
            let (cloud, pipeline) = pipeline(mode).await;
            let fault = json!({"reason": "rateLimitExceeded", "times": 2});
            cloud
                .send(Method::POST, "/_local/bigquery/faults", fault)
                .await;
            assert_loads(&pipeline, "first").await;
        }
    });
}

#[test]
fn a_quota_that_stays_spent_fails_the_run_and_the_next_one_loads() {
    block(async {
        let (cloud, pipeline) = pipeline("append").await;
        let fault = json!({"reason": "quotaExceeded", "times": 100});
        let faults = "/_local/bigquery/faults";
        cloud.send(Method::POST, faults, fault).await;
        let ended = pipeline.run(execution("first")).await;
        assert_fails_with(&ended, &["quotaExceeded"]);
        cloud.delete(faults).await;
        assert_loads(&pipeline, "second").await;
    });
}

#[test]
fn apis_that_fail_in_passing_are_asked_again() {
    block(async {
        for at in ["before", "after"] {
            for status in [Some(503), Some(429), None] {
                let (cloud, pipeline) = pipeline("merge").await;
                for path in ["/bigquery/v2/", "/storage/v1/", "/upload/storage/"] {
                    let fault =
                        json!({"path": path, "at": at, "status": status, "times": 2, "skip": 1});
                    cloud.send(Method::POST, "/_local/faults", fault).await;
                }
                assert_loads(&pipeline, "first").await;
            }
        }
    });
}

/// Cloud Run gives a task ten seconds after SIGTERM, whatever the source does.
#[test]
fn a_task_that_is_told_to_end_keeps_what_it_has_though_the_source_stands_still() {
    block(async {
        for mode in ["append", "merge"] {
            let (_cloud, mut pipeline) = pipeline(mode).await;
            pipeline.stall();
            let ended = pipeline.run_until_told_to_end(execution("first")).await;
            assert_eq!(ended.codes, [Some(75)], "{}", ended.logs());
            let rows = pipeline.rows().await;
            assert_eq!(rows.len(), 3, "the finished slice is loaded: {rows:?}");
            pipeline.go_on();
            assert_loads(&pipeline, "second").await;
        }
    });
}

#[test]
fn a_dataset_that_is_gone_is_named() {
    block(async {
        let (cloud, pipeline) = pipeline("overwrite").await;
        let name = dataset(pipeline.name());
        let path = format!("/bigquery/v2/projects/{PROJECT}/datasets/{name}");
        cloud.delete(&path).await;
        let ended = pipeline.run(execution("first")).await;
        assert_fails_with(&ended, &["there is no dataset", &name, "xetl apply"]);
    });
}
