//! Tables that change their columns, and tables made from others.

use serde_json::json;

use super::common::{Cloud, cloud};
use super::{API, done, refused, rows};

async fn with_table() -> Cloud {
    let cloud = cloud(&["bigquery"]).await;
    let dataset = json!({"datasetReference": {"datasetId": "d"}, "location": "US"});
    cloud.post(&format!("{API}/datasets"), dataset).await;
    done(
        &cloud,
        "CREATE TABLE d.t (Id STRING NOT NULL, n INT64, r STRUCT<a INT64>) CLUSTER BY Id \
         OPTIONS(description='all', labels=[('managed-by', 'xetl')])",
    )
    .await;
    done(&cloud, "INSERT INTO d.t VALUES ('a', 1, STRUCT(2 AS a))").await;
    cloud
}

#[tokio::test]
async fn rows_written_before_a_column_widened_are_read_in_its_new_type() {
    let cloud = with_table().await;
    done(
        &cloud,
        "ALTER TABLE d.t ALTER COLUMN n SET DATA TYPE NUMERIC, ALTER COLUMN id DROP NOT NULL, \
         ADD COLUMN IF NOT EXISTS tags ARRAY<STRING>",
    )
    .await;
    done(
        &cloud,
        "ALTER TABLE d.t ALTER COLUMN r SET DATA TYPE STRUCT<a FLOAT64>",
    )
    .await;
    done(
        &cloud,
        "INSERT INTO d.t (id, n, r) VALUES (NULL, 0.5, STRUCT(2.5 AS a))",
    )
    .await;
    let found = rows(
        &cloud,
        "SELECT SUM(n), SUM(r.a), COUNT(id), SUM(ARRAY_LENGTH(tags)) FROM d.t",
    )
    .await;
    assert_eq!(
        found,
        [[json!("1.5"), json!("4.5"), json!("1"), json!("0")]]
    );
    let (_, table) = cloud.get(&format!("{API}/datasets/d/tables/t")).await;
    let kinds: Vec<_> = table["schema"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| &field["type"])
        .collect();
    assert_eq!(kinds, ["STRING", "NUMERIC", "RECORD", "STRING"]);
    assert!(
        refused(&cloud, "ALTER TABLE d.t ALTER COLUMN n SET DATA TYPE INT64")
            .await
            .contains("requires that the existing column type (NUMERIC) is assignable to the new type (INT64)")
    );
}

#[tokio::test]
async fn a_patch_adds_columns_inside_records_and_relaxes() {
    let cloud = with_table().await;
    let fields = json!([
        {"name": "Id", "type": "STRING", "mode": "NULLABLE"}, {"name": "n", "type": "INTEGER"},
        {"name": "r", "type": "RECORD", "fields": [{"name": "a", "type": "INTEGER"}, {"name": "b", "type": "JSON"}]},
        {"name": "x", "type": "DATE"}]);
    let patch = cloud
        .request(
            reqwest::Method::PATCH,
            &format!("{API}/datasets/d/tables/t"),
        )
        .json(&json!({"schema": {"fields": fields}}));
    let (status, table) = super::common::read(patch).await;
    assert_eq!(
        (status, table["schema"]["fields"].as_array().unwrap().len()),
        (200, 4),
        "{table}"
    );
    assert_eq!(
        rows(&cloud, "SELECT id, r.a, r.b, x FROM d.t").await,
        [[json!("a"), json!("2"), json!(null), json!(null)]]
    );
}

#[tokio::test]
async fn a_table_is_made_like_another_or_with_its_rows() {
    let cloud = with_table().await;
    done(&cloud, "CREATE TABLE d.empty LIKE d.t").await;
    done(
        &cloud,
        "CREATE TABLE d.copied COPY d.t OPTIONS(description='copy')",
    )
    .await;
    done(&cloud, "CREATE OR REPLACE TABLE d.copied CLONE d.t").await;
    done(&cloud, "UPDATE d.t SET n = 7 WHERE TRUE").await;
    assert_eq!(
        rows(&cloud, "SELECT (SELECT COUNT(*) FROM d.empty), (SELECT SUM(n) FROM d.copied), (SELECT SUM(n) FROM d.t)").await,
        [[json!("0"), json!("1"), json!("7")]]
    );
    let (_, table) = cloud.get(&format!("{API}/datasets/d/tables/empty")).await;
    assert_eq!(
        (
            &table["clustering"]["fields"],
            &table["schema"]["fields"][0]["mode"],
            &table["labels"]["managed-by"]
        ),
        (&json!(["Id"]), &json!("REQUIRED"), &json!("xetl"))
    );
}

#[tokio::test]
async fn tables_are_emptied_and_dropped() {
    let cloud = with_table().await;
    done(&cloud, "TRUNCATE TABLE d.t").await;
    assert_eq!(
        rows(&cloud, "SELECT COUNT(*) FROM d.t").await,
        [[json!("0")]]
    );
    done(
        &cloud,
        "CREATE OR REPLACE VIEW d.v AS SELECT COUNT(*) AS n FROM d.t",
    )
    .await;
    done(&cloud, "DROP VIEW IF EXISTS d.v").await;
    done(&cloud, "DROP VIEW IF EXISTS d.v").await;
    done(&cloud, "DROP TABLE d.t").await;
    assert_eq!(
        cloud.get(&format!("{API}/datasets/d/tables/t")).await.0,
        404
    );
}

#[tokio::test]
async fn a_table_past_its_expiration_is_gone() {
    let cloud = with_table().await;
    done(
        &cloud,
        "CREATE TABLE d.brief (n INT64) OPTIONS(expiration_timestamp=TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR))",
    )
    .await;
    assert_eq!(
        cloud.get(&format!("{API}/datasets/d/tables/brief")).await.0,
        200
    );
    done(
        &cloud,
        "ALTER TABLE d.brief SET OPTIONS(expiration_timestamp=TIMESTAMP '2020-01-01 00:00:00+00')",
    )
    .await;
    assert_eq!(
        cloud.get(&format!("{API}/datasets/d/tables/brief")).await.0,
        404
    );
    let (_, list) = cloud.get(&format!("{API}/datasets/d/tables")).await;
    assert_eq!(list["totalItems"], 1);
    done(&cloud, "CREATE TABLE d.brief (n INT64)").await;
}

#[tokio::test]
async fn a_script_runs_its_statements_in_turn_and_shows_the_last_rows() {
    let cloud = with_table().await;
    let script = "INSERT INTO d.t (id, n) VALUES ('b', 2); CREATE TABLE d.sums AS SELECT SUM(n) AS n FROM d.t; SELECT n FROM d.sums;";
    let reply = done(&cloud, script).await;
    assert_eq!(reply["rows"], json!([{"f": [{"v": "3"}]}]));
    let failing = "DELETE FROM d.t WHERE id = 'b'; SELECT 1 FROM d.t WHERE gone; DROP TABLE d.t";
    assert_eq!(
        refused(&cloud, failing).await,
        "Unrecognized name: gone (statement 2 of the script)"
    );
    assert_eq!(
        rows(&cloud, "SELECT COUNT(*) FROM d.t").await,
        [[json!("1")]]
    );
    assert!(
        refused(&cloud, "BEGIN TRANSACTION; COMMIT TRANSACTION")
            .await
            .contains("not served")
    );
}
