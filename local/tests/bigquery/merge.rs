//! MERGE and UPDATE: what they change, what they report, what they refuse.

use serde_json::json;

use super::common::{Cloud, cloud};
use super::{API, done, refused, rows};

async fn with_tables() -> Cloud {
    let cloud = cloud(&["bigquery"]).await;
    let dataset = json!({"datasetReference": {"datasetId": "d"}, "location": "US"});
    cloud.post(&format!("{API}/datasets"), dataset).await;
    for sql in [
        "CREATE TABLE d.t (Id STRING NOT NULL, Total NUMERIC, At TIMESTAMP, Doc JSON, \
         Owner STRUCT<name STRING, Age INT64>, Lines ARRAY<STRUCT<sku STRING, n INT64>>)",
        "CREATE TABLE d.s (id STRING, total INT64, at TIMESTAMP, doc JSON, \
         owner STRUCT<name STRING, age INT64>, lines ARRAY<STRUCT<sku STRING, n INT64>>, gone BOOL)",
        "INSERT INTO d.t (id, total, owner, lines) VALUES ('a', 1.5, STRUCT('Ann' AS name, 40 AS age), []), \
         ('b', 2, NULL, [STRUCT('x' AS sku, 1 AS n)])",
        "INSERT INTO d.t (id, total) VALUES ('c', 3)",
        "INSERT INTO d.s (id, total, owner, lines, gone) VALUES \
         ('b', 20, STRUCT('Bob' AS name, 50 AS age), [STRUCT('y' AS sku, 2 AS n), STRUCT('z' AS sku, 3 AS n)], FALSE), \
         ('c', NULL, NULL, [], TRUE), ('d', 40, STRUCT('Dan' AS name, 60 AS age), [], FALSE)",
    ] {
        done(&cloud, sql).await;
    }
    cloud
}

const UPSERT: &str = "MERGE INTO d.t AS T USING (SELECT * FROM d.s QUALIFY ROW_NUMBER() OVER \
    (PARTITION BY id ORDER BY total DESC) = 1) AS S ON T.id = S.id \
    WHEN MATCHED AND S.gone THEN DELETE \
    WHEN MATCHED THEN UPDATE SET total = S.total, owner = S.owner, lines = S.lines \
    WHEN NOT MATCHED BY TARGET THEN INSERT (id, total, owner, lines) VALUES (id, total, owner, lines)";

#[tokio::test]
async fn a_merge_updates_inserts_and_deletes_at_once_and_counts_them() {
    let cloud = with_tables().await;
    let reply = done(&cloud, UPSERT).await;
    let stats = json!({"insertedRowCount": "1", "updatedRowCount": "1", "deletedRowCount": "1"});
    assert_eq!(
        (&reply["dmlStats"], reply["numDmlAffectedRows"].as_str()),
        (&stats, Some("3"))
    );
    let job = reply["jobReference"]["jobId"].as_str().unwrap();
    let (_, job) = cloud.get(&format!("{API}/jobs/{job}?location=US")).await;
    let query = &job["statistics"]["query"];
    assert_eq!(
        (query["statementType"].as_str(), &query["dmlStats"]),
        (Some("MERGE"), &stats)
    );
    let found = rows(
        &cloud,
        "SELECT id, total, owner.name, ARRAY_LENGTH(lines), doc FROM d.t ORDER BY id",
    )
    .await;
    assert_eq!(
        found,
        [
            [
                json!("a"),
                json!("1.5"),
                json!("Ann"),
                json!("0"),
                json!(null)
            ],
            [
                json!("b"),
                json!("20"),
                json!("Bob"),
                json!("2"),
                json!(null)
            ],
            [
                json!("d"),
                json!("40"),
                json!("Dan"),
                json!("0"),
                json!(null)
            ],
        ]
    );
}

#[tokio::test]
async fn a_merge_repeated_changes_no_row_into_another() {
    let cloud = with_tables().await;
    done(&cloud, UPSERT).await;
    let before = rows(&cloud, "SELECT * FROM d.t ORDER BY id").await;
    let again = done(&cloud, UPSERT).await;
    // The row that was deleted comes in again as new.
    assert_eq!(again["numDmlAffectedRows"], "3");
    let after = rows(&cloud, "SELECT * FROM d.t WHERE id <> 'c' ORDER BY id").await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn on_false_replaces_all_rows() {
    let cloud = with_tables().await;
    let reply = done(
        &cloud,
        "MERGE d.t USING d.s ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE \
         WHEN NOT MATCHED THEN INSERT (id, total) VALUES (id, total)",
    )
    .await;
    assert_eq!(
        reply["dmlStats"],
        json!({"insertedRowCount": "3", "updatedRowCount": "0", "deletedRowCount": "3"})
    );
    assert_eq!(
        rows(
            &cloud,
            "SELECT STRING_AGG(id, '' ORDER BY id), SUM(total) FROM d.t"
        )
        .await,
        [[json!("bcd"), json!("60")]]
    );
}

#[tokio::test]
async fn two_source_rows_for_one_target_row_are_an_error_and_change_nothing() {
    let cloud = with_tables().await;
    done(&cloud, "INSERT INTO d.s (id, total) VALUES ('b', 21)").await;
    let merge =
        "MERGE d.t T USING d.s S ON T.id = S.id WHEN MATCHED THEN UPDATE SET total = S.total";
    assert_eq!(
        refused(&cloud, merge).await,
        "UPDATE/MERGE must match at most one source row for each target row"
    );
    assert_eq!(
        rows(&cloud, "SELECT SUM(total) FROM d.t").await,
        [[json!("6.5")]]
    );
    // A second match that no clause acts on is none.
    let merge = "MERGE d.t T USING d.s S ON T.id = S.id WHEN MATCHED AND S.total = 21 THEN UPDATE SET total = S.total";
    assert_eq!(done(&cloud, merge).await["numDmlAffectedRows"], "1");
}

#[tokio::test]
async fn insert_row_takes_the_sources_columns_in_order() {
    let cloud = with_tables().await;
    let source = "(SELECT 'e' AS k, NUMERIC '5' AS v, CURRENT_TIMESTAMP() AS t, PARSE_JSON('{}') AS j, \
        STRUCT('Eve' AS name, 1 AS age) AS o, [STRUCT('q' AS sku, 9 AS n)] AS l)";
    let merge =
        format!("MERGE d.t USING {source} S ON t.id = S.k WHEN NOT MATCHED THEN INSERT ROW");
    assert_eq!(done(&cloud, &merge).await["numDmlAffectedRows"], "1");
    assert_eq!(
        rows(
            &cloud,
            "SELECT total, owner.name, lines[OFFSET(0)].sku FROM d.t WHERE id = 'e'"
        )
        .await,
        [[json!("5"), json!("Eve"), json!("q")]]
    );
    assert_eq!(
        refused(
            &cloud,
            "MERGE d.t USING (SELECT 1 AS x) S ON FALSE WHEN NOT MATCHED THEN INSERT ROW"
        )
        .await,
        "Inserted row has wrong column count; Has 1, expected 6"
    );
}

#[tokio::test]
async fn values_that_do_not_fit_their_column_are_refused() {
    let cloud = with_tables().await;
    assert_eq!(
        refused(&cloud, "UPDATE d.t SET total = id WHERE TRUE").await,
        "Value of type STRING cannot be assigned to Total, which has type NUMERIC"
    );
    assert_eq!(
        refused(&cloud, "INSERT INTO d.t (id) SELECT total FROM d.s").await,
        "Query column 1 has type INT64 which cannot be inserted into column Id, which has type STRING"
    );
    assert_eq!(
        refused(&cloud, "UPDATE d.t SET id = NULL WHERE id = 'a'").await,
        "Required field Id cannot be null"
    );
}

#[tokio::test]
async fn an_update_sets_columns_and_fields_and_keeps_the_rest() {
    let cloud = with_tables().await;
    let reply = done(
        &cloud,
        "UPDATE d.t SET owner.age = 41, at = '2024-01-01 00:00:00+00' WHERE id = 'a'",
    )
    .await;
    assert_eq!(
        reply["dmlStats"],
        json!({"insertedRowCount": "0", "updatedRowCount": "1", "deletedRowCount": "0"})
    );
    assert_eq!(
        rows(
            &cloud,
            "SELECT owner.name, owner.age, EXTRACT(YEAR FROM at), total FROM d.t WHERE id = 'a'"
        )
        .await,
        [[json!("Ann"), json!("41"), json!("2024"), json!("1.5")]]
    );
}

#[tokio::test]
async fn an_update_takes_values_from_another_table() {
    let cloud = with_tables().await;
    let reply = done(
        &cloud,
        "UPDATE d.t AS T SET total = T.total + S.total FROM d.s AS S WHERE T.id = S.id AND S.total > 0",
    )
    .await;
    assert_eq!(reply["numDmlAffectedRows"], "1");
    assert_eq!(
        rows(&cloud, "SELECT total FROM d.t ORDER BY id").await,
        [[json!("1.5")], [json!("22")], [json!("3")]]
    );
    assert_eq!(
        refused(&cloud, "UPDATE d.t SET total = 1").await,
        "UPDATE must have a WHERE clause"
    );
}

#[tokio::test]
async fn a_row_is_deleted_only_where_the_condition_is_true() {
    let cloud = with_tables().await;
    let reply = done(&cloud, "DELETE FROM d.t WHERE owner.age > 30").await;
    assert_eq!(
        reply["dmlStats"],
        json!({"insertedRowCount": "0", "updatedRowCount": "0", "deletedRowCount": "1"})
    );
    assert_eq!(
        rows(&cloud, "SELECT id FROM d.t ORDER BY id").await,
        [[json!("b")], [json!("c")]]
    );
}

#[tokio::test]
async fn merges_at_the_same_time_lose_no_row() {
    let cloud = with_tables().await;
    let merge = |key: &str| {
        format!(
            "MERGE d.t T USING (SELECT '{key}' AS id) S ON T.id = S.id \
             WHEN NOT MATCHED THEN INSERT (id) VALUES (id)"
        )
    };
    let (first, second) = (merge("x"), merge("y"));
    tokio::join!(done(&cloud, &first), done(&cloud, &second));
    assert_eq!(
        rows(&cloud, "SELECT COUNT(*) FROM d.t").await,
        [[json!("5")]]
    );
}

#[tokio::test]
async fn a_staged_text_becomes_json() {
    let cloud = with_tables().await;
    let merge = "MERGE d.t T USING (SELECT 'a' AS id, '{\"x\": [1, 2.50]}' AS doc) S ON T.id = S.id \
        WHEN MATCHED THEN UPDATE SET doc = PARSE_JSON(S.doc, wide_number_mode=>'round'), lines = []";
    done(&cloud, merge).await;
    assert_eq!(
        rows(
            &cloud,
            "SELECT JSON_VALUE(doc, '$.x[1]') FROM d.t WHERE id = 'a'"
        )
        .await,
        [[json!("2.5")]]
    );
}

#[tokio::test]
async fn rows_pass_through_a_view_and_through_parameters() {
    let cloud = with_tables().await;
    done(
        &cloud,
        "CREATE VIEW d.v AS SELECT * FROM d.s WHERE NOT gone",
    )
    .await;
    let sql = "MERGE d.t T USING d.v S ON T.id = S.id AND T.total > @least WHEN MATCHED THEN UPDATE SET total = @total \
        WHEN NOT MATCHED THEN INSERT (id, total) VALUES (S.id, -1.5)";
    let number = |name: &str, kind: &str, value: &str| json!({"name": name, "parameterType": {"type": kind}, "parameterValue": {"value": value}});
    let body = json!({"query": sql, "useLegacySql": false, "parameterMode": "NAMED",
        "queryParameters": [number("least", "INT64", "1"), number("total", "NUMERIC", "9.99")]});
    let (status, reply) = cloud.post(&format!("{API}/queries"), body).await;
    assert_eq!(
        (status, &reply["numDmlAffectedRows"]),
        (200, &json!("2")),
        "{reply}"
    );
    assert_eq!(
        rows(
            &cloud,
            "SELECT total FROM d.t WHERE id IN ('b', 'd') ORDER BY id"
        )
        .await,
        [[json!("9.99")], [json!("-1.5")]]
    );
}

#[tokio::test]
async fn json_with_numbers_a_double_cannot_hold_is_parsed_only_when_told_to_round() {
    let cloud = with_tables().await;
    let set = |mode: &str| {
        format!("UPDATE d.t SET doc = PARSE_JSON('[0.12345678901234567890]'{mode}) WHERE id = 'a'")
    };
    assert!(
        refused(&cloud, &set(""))
            .await
            .contains("cannot round-trip through string representation")
    );
    done(&cloud, &set(", wide_number_mode=>'round'")).await;
}
