//! Copies, extracts, and jobs that fail on request.

use serde_json::{Value, json};

use super::common::Cloud;
use super::{API, done, finished, load, load_job, rows, with_data};

fn table(name: &str) -> Value {
    json!({"datasetId": "acme_xero", "tableId": name})
}

async fn loaded() -> Cloud {
    let cloud = with_data().await;
    load(&cloud, "load-1", &["one.parquet"], json!({})).await;
    cloud
}

async fn count(cloud: &Cloud, name: &str) -> Value {
    rows(cloud, &format!("SELECT COUNT(*) FROM acme_xero.{name}")).await[0][0].clone()
}

#[tokio::test]
async fn a_copy_takes_the_rows_of_several_tables_at_once() {
    let cloud = loaded().await;
    done(
        &cloud,
        "CREATE TABLE acme_xero.more COPY acme_xero.invoices",
    )
    .await;
    let copy = |write: &str| {
        json!({"copy": {"sourceTables": [table("invoices"), table("more")],
            "destinationTable": table("all"), "writeDisposition": write}})
    };
    let job = finished(&cloud, copy("WRITE_EMPTY")).await;
    assert_eq!(job["statistics"]["copy"]["copiedRows"], "4", "{job}");
    let job = finished(&cloud, copy("WRITE_EMPTY")).await;
    assert_eq!(job["status"]["errorResult"]["reason"], "duplicate");
    finished(&cloud, copy("WRITE_APPEND")).await;
    assert_eq!(count(&cloud, "all").await, "8");
    finished(&cloud, copy("WRITE_TRUNCATE")).await;
    assert_eq!(count(&cloud, "all").await, "4");
    done(&cloud, "ALTER TABLE acme_xero.more ADD COLUMN extra STRING").await;
    let job = finished(&cloud, copy("WRITE_APPEND")).await;
    let message = job["status"]["errorResult"]["message"].as_str().unwrap();
    assert!(
        message.contains("Cannot add fields (field: extra)"),
        "{message}"
    );
}

#[tokio::test]
async fn an_extract_is_read_back_the_same() {
    let cloud = loaded().await;
    let extract = |format: &str, uri: &str| json!({"extract": {"sourceTable": table("invoices"), "destinationFormat": format, "destinationUris": [uri]}});
    let job = finished(&cloud, extract("PARQUET", "gs://acme-data/out/*.parquet")).await;
    assert_eq!(
        job["statistics"]["extract"]["destinationUriFileCounts"],
        json!(["1"]),
        "{job}"
    );
    let more = json!({"destinationTable": {"projectId": super::PROJECT, "datasetId": "acme_xero", "tableId": "again"}});
    let job = load(&cloud, "load-2", &["out/*.parquet"], more).await;
    assert_eq!(job["status"], json!({"state": "DONE"}), "{job}");
    let all = |name: &str| format!("SELECT * FROM acme_xero.{name} ORDER BY invoiceid");
    assert_eq!(
        rows(&cloud, &all("again")).await,
        rows(&cloud, &all("invoices")).await
    );

    finished(
        &cloud,
        extract("NEWLINE_DELIMITED_JSON", "gs://acme-data/out.json"),
    )
    .await;
    let lines = cloud.request(
        reqwest::Method::GET,
        "/storage/v1/b/acme-data/o/out.json?alt=media",
    );
    let lines = lines.send().await.unwrap().text().await.unwrap();
    assert_eq!(
        lines.lines().next().unwrap(),
        r#"{"InvoiceID":"a","status":"PAID","total":"10.1","version":"1","versions":["1"]}"#
    );
    let job = finished(&cloud, extract("CSV", "gs://acme-data/out.csv")).await;
    assert_eq!(
        job["status"]["errorResult"]["message"],
        "Operation cannot be performed on a nested schema. Field: versions"
    );
}

#[tokio::test]
async fn a_job_fails_as_often_as_asked_and_leaves_nothing() {
    let cloud = loaded().await;
    let fault = json!({"kind": "LOAD", "reason": "rateLimitExceeded", "times": 2});
    let (status, _) = cloud.post("/_local/bigquery/faults", fault).await;
    assert_eq!(status, 200);
    for id in ["load-2", "load-3"] {
        let job = load(&cloud, id, &["two.parquet"], json!({})).await;
        assert_eq!(job["status"]["errorResult"]["reason"], "rateLimitExceeded");
    }
    assert_eq!(count(&cloud, "invoices").await, "2");
    let job = load(&cloud, "load-4", &["two.parquet"], json!({})).await;
    assert_eq!(job["status"], json!({"state": "DONE"}));
}

#[tokio::test]
async fn a_job_whose_reply_is_lost_has_run() {
    let cloud = loaded().await;
    let fault =
        json!({"method": "POST", "path": format!("{API}/jobs"), "at": "after", "status": 503});
    assert_eq!(cloud.post("/_local/faults", fault).await.0, 200);
    let job = load_job("load-2", &["two.parquet"], json!({}));
    let (status, _) = cloud.post(&format!("{API}/jobs"), job.clone()).await;
    assert_eq!(status, 503);
    let (status, _) = cloud.post(&format!("{API}/jobs"), job).await;
    assert_eq!(status, 409);
    loop {
        let (_, job) = cloud
            .get(&format!("{API}/jobs/load-2?location=australia-southeast1"))
            .await;
        if job["status"]["state"] == "DONE" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(count(&cloud, "invoices").await, "3");
}

#[tokio::test]
async fn update_options_are_for_appends_and_single_partitions() {
    let cloud = loaded().await;
    let more = json!({"writeDisposition": "WRITE_TRUNCATE", "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]});
    let (status, error) = cloud
        .post(
            &format!("{API}/jobs"),
            load_job("load-2", &["two.parquet"], more),
        )
        .await;
    assert_eq!(status, 400);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Schema update options should only be specified with WRITE_APPEND"),
        "{message}"
    );
}

#[tokio::test]
async fn results_come_in_pages() {
    let cloud = loaded().await;
    let body = json!({"query": "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 25)) AS n ORDER BY n", "useLegacySql": false, "maxResults": 10});
    let (_, first) = cloud.post(&format!("{API}/queries"), body).await;
    let job = first["jobReference"]["jobId"].as_str().unwrap().to_owned();
    let (mut page, mut sizes) = (first, Vec::new());
    loop {
        sizes.push(page["rows"].as_array().unwrap().len());
        assert_eq!(page["totalRows"], "25");
        let Some(token) = page["pageToken"].as_str() else {
            break;
        };
        let path = format!("{API}/queries/{job}?location=US&maxResults=10&pageToken={token}");
        page = cloud.get(&path).await.1;
    }
    assert_eq!(sizes, [10, 10, 5]);
}

#[tokio::test]
async fn a_query_writes_where_it_is_told_and_as() {
    let cloud = loaded().await;
    let into = |write: &str, create: &str| {
        json!({"query": {"query": "SELECT invoiceid, total FROM acme_xero.invoices", "useLegacySql": false,
            "destinationTable": table("made"), "writeDisposition": write, "createDisposition": create}})
    };
    let job = finished(&cloud, into("WRITE_APPEND", "CREATE_NEVER")).await;
    assert_eq!(job["status"]["errorResult"]["reason"], "notFound");
    finished(&cloud, into("WRITE_APPEND", "CREATE_IF_NEEDED")).await;
    finished(&cloud, into("WRITE_APPEND", "CREATE_NEVER")).await;
    assert_eq!(count(&cloud, "made").await, "4");
    let job = finished(&cloud, into("WRITE_EMPTY", "CREATE_NEVER")).await;
    assert_eq!(job["status"]["errorResult"]["reason"], "duplicate");
    finished(&cloud, into("WRITE_TRUNCATE", "CREATE_NEVER")).await;
    assert_eq!(count(&cloud, "made").await, "2");
}

#[tokio::test]
async fn a_query_reads_files_that_its_job_defines_as_a_table() {
    let cloud = loaded().await;
    let definitions = json!({"Staged": {"sourceFormat": "PARQUET", "sourceUris": ["gs://acme-data/two.parquet"]}});
    let sql = "MERGE acme_xero.invoices T USING Staged S ON T.InvoiceID = S.InvoiceID \
        WHEN MATCHED THEN UPDATE SET status = S.status, total = S.total WHEN NOT MATCHED THEN INSERT (InvoiceID) VALUES (InvoiceID)";
    let job = finished(
        &cloud,
        json!({"query": {"query": sql, "useLegacySql": false, "tableDefinitions": definitions}}),
    )
    .await;
    assert_eq!(
        job["statistics"]["query"]["dmlStats"]["updatedRowCount"], "1",
        "{job}"
    );
    let sum = rows(
        &cloud,
        "SELECT status, total FROM acme_xero.invoices WHERE InvoiceID = 'b'",
    )
    .await;
    assert_eq!(sum, [[json!("PAID"), json!("22.05")]]);
}

#[tokio::test]
async fn a_query_partitions_and_widens_its_destination_where_it_may() {
    let cloud = loaded().await;
    let into = |sql: &str, more: Value| {
        let mut query = json!({"query": sql, "useLegacySql": false, "destinationTable": table("days"), "writeDisposition": "WRITE_APPEND"});
        query
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        json!({"query": query})
    };
    let by = |unit: &str| json!({"timePartitioning": {"type": unit, "field": "day"}, "clustering": {"fields": ["id"]}});
    let first = "SELECT 'a' AS id, DATE '2024-01-01' AS day";
    let job = finished(&cloud, into(first, by("DAY"))).await;
    assert_eq!(job["status"], json!({"state": "DONE"}));
    let job = finished(&cloud, into(first, by("MONTH"))).await;
    let message = job["status"]["errorResult"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Incompatible table partitioning specification"),
        "{message}"
    );
    let wider = "SELECT 'b' AS id, DATE '2024-01-02' AS day, 7 AS n";
    let job = finished(&cloud, into(wider, json!({}))).await;
    let message = job["status"]["errorResult"]["message"].as_str().unwrap();
    assert!(
        message.contains("Cannot add fields (field: n)"),
        "{message}"
    );
    finished(
        &cloud,
        into(
            wider,
            json!({"schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]}),
        ),
    )
    .await;
    assert_eq!(
        rows(&cloud, "SELECT id, n FROM acme_xero.days ORDER BY 1").await,
        [[json!("a"), json!(null)], [json!("b"), json!("7")]]
    );
    let (_, days) = cloud
        .get(&format!("{API}/datasets/acme_xero/tables/days"))
        .await;
    assert_eq!(
        (
            &days["timePartitioning"]["type"],
            &days["clustering"]["fields"]
        ),
        (&json!("DAY"), &json!(["id"]))
    );
}

#[tokio::test]
async fn a_connection_is_cut_on_request_and_the_next_call_is_answered() {
    let cloud = with_data().await;
    let path = format!("{API}/datasets/acme_xero");
    let fault = json!({"path": path, "skip": 1});
    assert_eq!(cloud.post("/_local/faults", fault).await.0, 200);
    assert_eq!(cloud.get(&path).await.0, 200);
    let cut = cloud.request(reqwest::Method::GET, &path).send().await;
    let body = match cut {
        Ok(reply) => reply.bytes().await,
        Err(error) => Err(error),
    };
    assert!(body.is_err(), "{body:?}");
    assert_eq!(cloud.get(&path).await.0, 200);
}
