//! BigQuery over HTTP: what a load and a query do, and what they refuse.

#![allow(clippy::unwrap_used, reason = "A test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod jobs;
mod layout;
mod merge;
mod merge_model;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use common::{Cloud, PROJECT, cloud};
use parquet::arrow::ArrowWriter;
use reqwest::Method;
use serde_json::{Value, json};

const API: &str = "/bigquery/v2/projects/acme-prod";

async fn with_data() -> Cloud {
    let cloud = cloud(&["bigquery", "storage"]).await;
    let bucket = json!({"name": "acme-data", "location": "australia-southeast1"});
    cloud
        .post(&format!("/storage/v1/b?project={PROJECT}"), bucket)
        .await;
    let dataset =
        json!({"datasetReference": {"datasetId": "acme_xero"}, "location": "australia-southeast1"});
    let (status, made) = cloud.post(&format!("{API}/datasets"), dataset).await;
    assert_eq!(status, 200, "{made}");
    put(
        &cloud,
        "one.parquet",
        &[("a", "PAID", 1010, 1), ("b", "DRAFT", 2000, 1)],
    )
    .await;
    put(&cloud, "two.parquet", &[("b", "PAID", 2205, 2)]).await;
    cloud
}

/// Invoices: key, status, cents, version; and a list of the version.
async fn put(cloud: &Cloud, name: &str, rows: &[(&str, &str, i128, i64)]) {
    let texts = |pick: fn(&(&str, &str, i128, i64)) -> String| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(pick(row)))
                .collect::<StringArray>(),
        )
    };
    let cents = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2));
    let lists = rows.iter().map(|row| Some(vec![Some(row.3)]));
    let batch = RecordBatch::try_from_iter([
        ("InvoiceID", texts(|row| row.0.to_owned())),
        ("status", texts(|row| row.1.to_owned())),
        (
            "total",
            Arc::new(cents.with_precision_and_scale(18, 2).unwrap()) as ArrayRef,
        ),
        (
            "version",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
        ),
        (
            "versions",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
        ),
    ])
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let path = format!("/upload/storage/v1/b/acme-data/o?uploadType=media&name={name}");
    let reply = cloud
        .request(Method::POST, &path)
        .body(bytes)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
}

fn load_job(id: &str, files: &[&str], more: Value) -> Value {
    let uris: Vec<String> = files
        .iter()
        .map(|file| format!("gs://acme-data/{file}"))
        .collect();
    let mut load = json!({
        "destinationTable": {"projectId": PROJECT, "datasetId": "acme_xero", "tableId": "invoices"},
        "sourceUris": uris, "sourceFormat": "PARQUET", "parquetOptions": {"enableListInference": true},
    });
    load.as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    json!({"jobReference": {"projectId": PROJECT, "jobId": id}, "configuration": {"load": load}})
}

/// Runs a load to its end.
async fn load(cloud: &Cloud, id: &str, files: &[&str], more: Value) -> Value {
    let (status, job) = cloud
        .post(&format!("{API}/jobs"), load_job(id, files, more))
        .await;
    assert_eq!(status, 200, "{job}");
    let path = format!("{API}/jobs/{id}?location=australia-southeast1");
    loop {
        let (status, job) = cloud.get(&path).await;
        assert_eq!(status, 200, "{job}");
        if job["status"]["state"] == "DONE" {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn query(cloud: &Cloud, sql: &str) -> (u16, Value) {
    cloud
        .post(
            &format!("{API}/queries"),
            json!({"query": sql, "useLegacySql": false}),
        )
        .await
}

/// The reply to a statement that must succeed.
async fn done(cloud: &Cloud, sql: &str) -> Value {
    let (status, reply) = query(cloud, sql).await;
    assert_eq!(status, 200, "{sql}\n{reply}");
    reply
}

/// The message of a statement that must be refused.
async fn refused(cloud: &Cloud, sql: &str) -> String {
    let (status, reply) = query(cloud, sql).await;
    assert_eq!(status, 400, "{sql}\n{reply}");
    reply["error"]["message"].as_str().unwrap().to_owned()
}

/// A finished job of any kind.
async fn finished(cloud: &Cloud, configuration: Value) -> Value {
    let body = json!({"configuration": configuration});
    let (status, mut job) = cloud.post(&format!("{API}/jobs"), body).await;
    assert_eq!(status, 200, "{job}");
    while job["status"]["state"] != "DONE" {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (id, place) = (
            &job["jobReference"]["jobId"],
            &job["jobReference"]["location"],
        );
        let (id, place) = (id.as_str().unwrap(), place.as_str().unwrap());
        job = cloud
            .get(&format!("{API}/jobs/{id}?location={place}"))
            .await
            .1;
    }
    job
}

/// The rows of a query, each value as text.
async fn rows(cloud: &Cloud, sql: &str) -> Vec<Vec<Value>> {
    let (status, reply) = query(cloud, sql).await;
    assert_eq!(status, 200, "{reply}");
    let rows = reply["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        row["f"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell["v"].clone())
            .collect()
    })
    .collect()
}

#[tokio::test]
async fn the_newest_version_of_each_key_is_counted_and_summed_exactly() {
    let cloud = with_data().await;
    let job = load(&cloud, "load-1", &["one.parquet", "two.parquet"], json!({})).await;
    assert_eq!(job["status"], json!({"state": "DONE"}));
    assert_eq!(job["statistics"]["load"]["outputRows"], "3");
    let view = json!({
        "tableReference": {"tableId": "invoices_latest"},
        "view": {"useLegacySql": false, "query": "SELECT * FROM `acme-prod.acme_xero.invoices` \
            QUALIFY ROW_NUMBER() OVER (PARTITION BY InvoiceID ORDER BY version DESC) = 1"},
    });
    let (status, made) = cloud
        .post(&format!("{API}/datasets/acme_xero/tables"), view)
        .await;
    assert_eq!(
        (status, made["schema"]["fields"][0]["name"].as_str()),
        (200, Some("InvoiceID")),
        "{made}"
    );
    let sums = "select status, count(*) n, sum(total) from acme_xero.invoices_latest group by 1";
    assert_eq!(
        rows(&cloud, sums).await,
        [[json!("PAID"), json!("2"), json!("32.15")]]
    );
}

#[tokio::test]
async fn a_job_id_stays_taken_and_its_location_must_be_named() {
    let cloud = with_data().await;
    let failed = load(&cloud, "load-1", &["none-*.parquet"], json!({})).await;
    assert_eq!(failed["status"]["errorResult"]["reason"], "notFound");
    let (status, error) = cloud
        .post(
            &format!("{API}/jobs"),
            load_job("load-1", &["one.parquet"], json!({})),
        )
        .await;
    assert_eq!(
        (status, error["error"]["errors"][0]["reason"].as_str()),
        (409, Some("duplicate"))
    );
    assert_eq!(cloud.get(&format!("{API}/jobs/load-1")).await.0, 404);
}

#[tokio::test]
async fn a_load_commits_all_files_or_none() {
    let cloud = with_data().await;
    load(&cloud, "load-1", &["one.parquet"], json!({})).await;
    let path = "/upload/storage/v1/b/acme-data/o?uploadType=media&name=bad.parquet";
    cloud
        .request(Method::POST, path)
        .body("no Parquet")
        .send()
        .await
        .unwrap();
    let failed = load(
        &cloud,
        "load-2",
        &["two.parquet", "bad.parquet"],
        json!({"writeDisposition": "WRITE_TRUNCATE"}),
    )
    .await;
    assert_eq!(failed["status"]["errorResult"]["reason"], "invalid");
    assert_eq!(
        rows(&cloud, "SELECT COUNT(*) FROM acme_xero.invoices").await,
        [[json!("2")]]
    );
}

#[tokio::test]
async fn a_repeated_column_read_without_list_inference_is_empty() {
    let cloud = with_data().await;
    let schema = json!({"fields": [{"name": "InvoiceID", "type": "STRING"}, {"name": "versions", "type": "INT64", "mode": "REPEATED"}]});
    let job = load(
        &cloud,
        "load-1",
        &["one.parquet"],
        json!({"schema": schema, "parquetOptions": {}}),
    )
    .await;
    assert!(job["status"].get("errorResult").is_none(), "{job}");
    let (_, data) = cloud
        .get(&format!("{API}/datasets/acme_xero/tables/invoices/data"))
        .await;
    assert_eq!(data["rows"][0], json!({"f": [{"v": "a"}, {"v": []}]}));
}

#[tokio::test]
async fn a_json_column_cannot_be_loaded() {
    let cloud = with_data().await;
    let schema = json!({"schema": {"fields": [{"name": "doc", "type": "JSON"}]}});
    let (status, error) = cloud
        .post(
            &format!("{API}/jobs"),
            load_job("load-1", &["one.parquet"], schema),
        )
        .await;
    assert_eq!(
        (status, error["error"]["message"].as_str()),
        (400, Some("Unsupported field type: JSON"))
    );
}

#[tokio::test]
async fn legacy_sql_is_the_default_and_refused() {
    let cloud = with_data().await;
    let (status, error) = cloud
        .post(&format!("{API}/queries"), json!({"query": "SELECT 1"}))
        .await;
    assert_eq!(status, 400);
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("useLegacySql=false"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_table_is_not_found_where_the_job_runs() {
    let cloud = with_data().await;
    let (status, error) = query(&cloud, "SELECT 1 FROM acme_xero.nope").await;
    assert_eq!(status, 404);
    assert_eq!(
        error["error"]["message"],
        "Not found: Table acme-prod:acme_xero.nope was not found in location australia-southeast1"
    );
}

#[tokio::test]
async fn the_same_request_id_runs_once() {
    let cloud = with_data().await;
    let body = json!({"query": "SELECT 1", "useLegacySql": false, "requestId": "r-1"});
    let (_, first) = cloud.post(&format!("{API}/queries"), body.clone()).await;
    let (status, again) = cloud.post(&format!("{API}/queries"), body).await;
    assert_eq!(
        (status, &again["jobReference"]),
        (200, &first["jobReference"])
    );
}

#[tokio::test]
async fn a_stale_etag_is_refused() {
    let cloud = with_data().await;
    let path = format!("{API}/datasets/acme_xero");
    let patch = |etag: &str| {
        let request = cloud.request(Method::PATCH, &path).header("If-Match", etag);
        common::read(request.json(&json!({"labels": {"managed-by": "xetl"}})))
    };
    let (_, dataset) = cloud.get(&path).await;
    let etag = dataset["etag"].as_str().unwrap().to_owned();
    let (status, changed) = patch(&etag).await;
    assert_eq!(
        (status, changed["labels"]["managed-by"].as_str()),
        (200, Some("xetl"))
    );
    assert_eq!(patch(&etag).await.0, 412);
}

#[tokio::test]
async fn tables_and_jobs_are_there_after_a_restart() {
    let cloud = with_data().await;
    load(&cloud, "load-1", &["one.parquet"], json!({})).await;
    let again = cloud.restarted().await;
    assert_eq!(
        rows(&again, "SELECT COUNT(*) FROM acme_xero.invoices").await,
        [[json!("2")]]
    );
    let (status, _) = again
        .post(
            &format!("{API}/jobs"),
            load_job("load-1", &["one.parquet"], json!({})),
        )
        .await;
    assert_eq!(status, 409);
}
