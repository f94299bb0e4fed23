//! Partitions and clusters: what is refused, replaced, expired and asked of queries.

use serde_json::{Value, json};

use super::common::Cloud;
use super::{API, done, finished, refused, rows, with_data};

const TABLES: &str = "/bigquery/v2/projects/acme-prod/datasets/acme_xero/tables";

async fn create(cloud: &Cloud, name: &str, more: Value) -> (u16, Value) {
    let fields = json!([{"name": "id", "type": "STRING"}, {"name": "day", "type": "DATE"}, {"name": "n", "type": "INTEGER"}]);
    let mut table = json!({"tableReference": {"tableId": name}, "schema": {"fields": fields}});
    table
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    cloud.post(TABLES, table).await
}

async fn by_day() -> Cloud {
    let cloud = with_data().await;
    let (status, made) = create(
        &cloud,
        "t",
        json!({"timePartitioning": {"type": "DAY", "field": "day"}}),
    )
    .await;
    assert_eq!(status, 200, "{made}");
    let days = "INSERT INTO acme_xero.t VALUES ('a', '2024-01-01', 1), ('b', '2024-01-02', 2), ('c', NULL, 3)";
    done(&cloud, days).await;
    cloud
}

/// Rows of a query as a file of the bucket.
async fn file(cloud: &Cloud, name: &str, sql: &str) {
    done(
        cloud,
        &format!("CREATE OR REPLACE TABLE acme_xero.made AS {sql}"),
    )
    .await;
    let table = json!({"datasetId": "acme_xero", "tableId": "made"});
    let job = finished(cloud, json!({"extract": {
        "sourceTable": table, "destinationFormat": "PARQUET", "destinationUris": [format!("gs://acme-data/{name}")]}}))
    .await;
    assert_eq!(job["status"], json!({"state": "DONE"}));
}

async fn load_into(cloud: &Cloud, table: &str, file: &str) -> Value {
    finished(cloud, json!({"load": {
        "destinationTable": {"datasetId": "acme_xero", "tableId": table}, "sourceUris": [format!("gs://acme-data/{file}")],
        "sourceFormat": "PARQUET", "writeDisposition": "WRITE_TRUNCATE"}}))
    .await
}

#[tokio::test]
async fn a_load_into_a_partition_replaces_that_one_alone() {
    let cloud = by_day().await;
    file(
        &cloud,
        "new.parquet",
        "SELECT 'd' AS id, DATE '2024-01-01' AS day, 40 AS n",
    )
    .await;
    let job = load_into(&cloud, "t$20240101", "new.parquet").await;
    assert_eq!(job["status"], json!({"state": "DONE"}), "{job}");
    assert_eq!(
        rows(
            &cloud,
            "SELECT STRING_AGG(id, '' ORDER BY id), SUM(n) FROM acme_xero.t"
        )
        .await,
        [[json!("bcd"), json!("45")]]
    );
    let job = load_into(&cloud, "t$20240102", "new.parquet").await;
    assert_eq!(
        job["status"]["errorResult"]["message"],
        "Some rows belong to different partitions rather than destination partition 20240102"
    );
    assert_eq!(
        rows(&cloud, "SELECT partition_id, total_rows FROM acme_xero.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = 't' ORDER BY 1").await,
        [[json!("20240101"), json!("1")], [json!("20240102"), json!("1")], [json!("__NULL__"), json!("1")]]
    );
}

#[tokio::test]
async fn rows_without_a_partitioning_column_belong_to_the_day_they_came() {
    let cloud = with_data().await;
    create(&cloud, "t", json!({"timePartitioning": {"type": "DAY"}})).await;
    file(
        &cloud,
        "new.parquet",
        "SELECT 'd' AS id, DATE '2024-01-01' AS day, 40 AS n",
    )
    .await;
    for partition in ["t$20230101", "t$20230102", "t$20230101"] {
        let job = load_into(&cloud, partition, "new.parquet").await;
        assert_eq!(job["status"], json!({"state": "DONE"}), "{job}");
    }
    assert_eq!(
        rows(&cloud, "SELECT partition_id, total_rows FROM acme_xero.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = 't' ORDER BY 1").await,
        [[json!("20230101"), json!("1")], [json!("20230102"), json!("1")]]
    );
}

#[tokio::test]
async fn expired_partitions_are_not_read() {
    let cloud = by_day().await;
    done(
        &cloud,
        "INSERT INTO acme_xero.t SELECT 'now', CURRENT_DATE(), 9",
    )
    .await;
    done(
        &cloud,
        "ALTER TABLE acme_xero.t SET OPTIONS(partition_expiration_days=30)",
    )
    .await;
    assert_eq!(
        rows(
            &cloud,
            "SELECT STRING_AGG(id, ',' ORDER BY id) FROM acme_xero.t"
        )
        .await,
        [[json!("c,now")]]
    );
    let (_, table) = cloud
        .get(&format!("{API}/datasets/acme_xero/tables/t"))
        .await;
    assert_eq!(table["numRows"], "2");
}

#[tokio::test]
async fn a_table_that_asks_for_a_partition_filter_gets_one() {
    let cloud = by_day().await;
    done(
        &cloud,
        "ALTER TABLE acme_xero.t SET OPTIONS(require_partition_filter=TRUE)",
    )
    .await;
    assert_eq!(
        refused(&cloud, "SELECT COUNT(*) FROM acme_xero.t WHERE id = 'a'").await,
        "Cannot query over table 'acme-prod.acme_xero.t' without a filter over column(s) 'day' that can be used for \
         partition elimination"
    );
    assert_eq!(
        rows(
            &cloud,
            "SELECT COUNT(*) FROM acme_xero.t WHERE day >= '2024-01-02'"
        )
        .await,
        [[json!("1")]]
    );
    let merge = |condition: &str| {
        format!(
            "MERGE acme_xero.t T USING (SELECT 'b' AS id, DATE '2024-01-02' AS day) S ON T.id = S.id {condition} \
         WHEN MATCHED THEN UPDATE SET n = 20 WHEN NOT MATCHED THEN INSERT (id, day) VALUES (id, day)"
        )
    };
    assert!(
        refused(&cloud, &merge(""))
            .await
            .contains("partition elimination")
    );
    let reply = done(&cloud, &merge("AND T.day = '2024-01-02'")).await;
    assert_eq!(reply["dmlStats"]["updatedRowCount"], "1");
}

#[tokio::test]
async fn partitioning_is_checked_and_does_not_change() {
    let cloud = by_day().await;
    let (status, error) = create(
        &cloud,
        "u",
        json!({"timePartitioning": {"type": "DAY", "field": "id"}}),
    )
    .await;
    assert_eq!(status, 400, "{error}");
    let (status, _) = create(
        &cloud,
        "u",
        json!({"clustering": {"fields": ["id", "gone"]}}),
    )
    .await;
    assert_eq!(status, 400);
    let patch = |body: Value| {
        let path = format!("{TABLES}/t");
        super::common::read(cloud.request(reqwest::Method::PATCH, &path).json(&body))
    };
    let (status, error) =
        patch(json!({"timePartitioning": {"type": "MONTH", "field": "day"}})).await;
    assert_eq!(
        (status, error["error"]["message"].as_str()),
        (
            400,
            Some("Cannot change partitioning spec for a partitioned table.")
        )
    );
    let (status, table) = patch(json!({"clustering": {"fields": ["n"]}, "timePartitioning": {"expirationMs": "1000000000000"}})).await;
    assert_eq!(
        (status, &table["timePartitioning"]["field"]),
        (200, &json!("day"))
    );
}
