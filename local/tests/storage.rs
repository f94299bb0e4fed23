//! Cloud Storage over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "A test may stop at what it does not expect"
)]

mod common;

use common::{Cloud, PROJECT, cloud, read};
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use serde_json::{Value, json};

const BUCKET: &str = "/storage/v1/b/acme-data";
const UPLOAD: &str = "/upload/storage/v1/b/acme-data/o";
const QUANTUM: usize = 256 * 1024;

async fn with_bucket() -> Cloud {
    let cloud = cloud(&["iam"]).await;
    let path = format!("/storage/v1/b?project={PROJECT}");
    let body = json!({"name": "acme-data", "location": "australia-southeast1"});
    let (status, made) = cloud.post(&path, body).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["location"], "AUSTRALIA-SOUTHEAST1");
    cloud
}

async fn put(cloud: &Cloud, name: &str, bytes: &str, condition: &str) -> (u16, Value) {
    let path = format!("{UPLOAD}?uploadType=media&name={name}{condition}");
    read(cloud.request(Method::POST, &path).body(bytes.to_owned())).await
}

async fn bytes_of(cloud: &Cloud, name: &str) -> Vec<u8> {
    let path = format!("{BUCKET}/o/{name}?alt=media");
    let response = cloud.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_bucket_taken_or_full_answers_409() {
    let cloud = with_bucket().await;
    let body = json!({"name": "acme-data"});
    let again = cloud
        .post(&format!("/storage/v1/b?project={PROJECT}"), body.clone())
        .await;
    assert_eq!(again.0, 409);
    let other = cloud
        .post("/storage/v1/b?project=other-project", body)
        .await;
    assert_eq!(other.0, 409);
    put(&cloud, "a", "x", "").await;
    assert_eq!(cloud.delete(BUCKET).await.0, 409);
    assert_eq!(cloud.delete(&format!("{BUCKET}/o/a")).await.0, 204);
    assert_eq!(cloud.delete(BUCKET).await.0, 204);
    assert_eq!(cloud.get(BUCKET).await.0, 404);
}

#[tokio::test]
async fn a_buckets_location_stays() {
    let cloud = with_bucket().await;
    let patch = |location: &str| {
        let body = json!({"location": location, "labels": {"a": "b"}});
        read(cloud.request(Method::PATCH, BUCKET).json(&body))
    };
    assert_eq!(patch("us").await.0, 400);
    let (status, patched) = patch("australia-southeast1").await;
    assert_eq!((status, &patched["metageneration"]), (200, &json!("2")));
    assert_eq!(patched["labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn only_one_of_two_writers_creates_an_object() {
    let cloud = with_bucket().await;
    let first = put(&cloud, "state.json", "1", "&ifGenerationMatch=0").await;
    assert_eq!(first.0, 200);
    let second = put(&cloud, "state.json", "2", "&ifGenerationMatch=0").await;
    assert_eq!(second.0, 412);
    assert_eq!(second.1["error"]["errors"][0]["reason"], "conditionNotMet");
    let generation = first.1["generation"].as_str().unwrap();
    let condition = format!("&ifGenerationMatch={generation}");
    assert_eq!(put(&cloud, "state.json", "3", &condition).await.0, 200);
    assert_eq!(put(&cloud, "state.json", "4", &condition).await.0, 412);
    assert_eq!(bytes_of(&cloud, "state.json").await, b"3");
}

#[tokio::test]
async fn a_multipart_upload_carries_metadata_and_bytes() {
    let cloud = with_bucket().await;
    let body = "--b\r\nContent-Type: application/json\r\n\r\n\
        {\"name\": \"p/part.parquet\", \"metadata\": {\"run\": \"7\"}}\r\n--b\r\n\
        Content-Type: application/vnd.apache.parquet\r\n\r\nPAR1\r\n--b--\r\n";
    // Google's Rust client sends the body in chunks without a length.
    let pieces = body
        .as_bytes()
        .chunks(7)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let request = cloud
        .request(Method::POST, &format!("{UPLOAD}?uploadType=multipart"))
        .header(CONTENT_TYPE, "multipart/related; boundary=b")
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    let (status, object) = read(request).await;
    assert_eq!(status, 200, "{object}");
    assert_eq!(object["metadata"]["run"], "7");
    assert_eq!(object["contentType"], "application/vnd.apache.parquet");
    assert_eq!(object["size"], "4");
    assert_eq!(bytes_of(&cloud, "p%2Fpart.parquet").await, b"PAR1");
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped_even_after_a_restart() {
    let cloud = with_bucket().await;
    let path = format!("{UPLOAD}?uploadType=resumable&name=big&ifGenerationMatch=0");
    let started = cloud.request(Method::POST, &path).send().await.unwrap();
    let session = started.headers()[LOCATION].to_str().unwrap().to_owned();
    let total = QUANTUM + 3;
    let part = cloud
        .request(Method::PUT, &session)
        .header(CONTENT_RANGE, format!("bytes 0-{}/{total}", QUANTUM - 1))
        .body(vec![1u8; QUANTUM]);
    assert_eq!(part.send().await.unwrap().status(), 308);

    let cloud = cloud.restarted().await;
    let asked = cloud
        .request(Method::PUT, &session)
        .header(CONTENT_RANGE, format!("bytes */{total}"))
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 308);
    assert_eq!(asked.headers()[RANGE], format!("bytes=0-{}", QUANTUM - 1));
    let last = cloud
        .request(Method::PUT, &session)
        .header(
            CONTENT_RANGE,
            format!("bytes {QUANTUM}-{}/{total}", total - 1),
        )
        .body(vec![2u8; 3]);
    let (status, object) = read(last).await;
    assert_eq!((status, &object["size"]), (200, &json!(total.to_string())));
    let mut whole = vec![1u8; QUANTUM];
    whole.extend([2, 2, 2]);
    assert_eq!(bytes_of(&cloud, "big").await, whole);
}

#[tokio::test]
async fn bytes_that_do_not_match_their_sum_become_no_object() {
    let cloud = with_bucket().await;
    let request = cloud
        .request(Method::POST, &format!("{UPLOAD}?uploadType=media&name=a"))
        .header("x-goog-hash", "crc32c=AAAAAA==")
        .body("x");
    assert_eq!(read(request).await.0, 400);
    assert_eq!(cloud.get(&format!("{BUCKET}/o/a")).await.0, 404);
    let left = std::fs::read_dir(cloud.folder.path().join("object-incoming")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_range_is_a_part_with_the_whole_objects_generation() {
    let cloud = with_bucket().await;
    let (_, object) = put(&cloud, "a", "hello world", "").await;
    let path = format!("{BUCKET}/o/a?alt=media");
    let request = cloud.request(Method::GET, &path).header(RANGE, "bytes=2-4");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.headers()[CONTENT_RANGE], "bytes 2-4/11");
    let generation = object["generation"].as_str().unwrap();
    assert_eq!(response.headers()["x-goog-generation"], generation);
    assert_eq!(response.bytes().await.unwrap(), "llo");
}

#[tokio::test]
async fn an_account_works_in_the_bucket_it_was_given() {
    let cloud = with_bucket().await;
    let (email, token) = cloud.account("runner").await;
    let write = || {
        let path = format!("{UPLOAD}?uploadType=media&name=a");
        cloud
            .request(Method::POST, &path)
            .bearer_auth(&token)
            .body("x")
    };
    assert_eq!(read(write()).await.0, 403);
    let (_, mut policy) = cloud.get(&format!("{BUCKET}/iam")).await;
    policy["bindings"].as_array_mut().unwrap().push(json!({
        "role": "roles/storage.objectUser",
        "members": [format!("serviceAccount:{email}")],
    }));
    let set = |policy: &Value| {
        read(
            cloud
                .request(Method::PUT, &format!("{BUCKET}/iam"))
                .json(policy),
        )
    };
    assert_eq!(set(&policy).await.0, 200);
    assert_eq!(set(&policy).await.0, 412, "the etag is used up");
    assert_eq!(read(write()).await.0, 200);
    let bucket = cloud.request(Method::GET, BUCKET).bearer_auth(&token);
    assert_eq!(
        read(bucket).await.0,
        403,
        "objectUser is not storage.buckets.get"
    );
}

#[tokio::test]
async fn bytes_of_no_object_are_cleared_at_the_next_start() {
    let cloud = with_bucket().await;
    put(&cloud, "a", "kept", "").await;
    let bytes = cloud.folder.path().join("object-bytes");
    std::fs::write(bytes.join("orphan"), "x").unwrap();
    let cloud = cloud.restarted().await;
    assert!(!bytes.join("orphan").exists());
    assert_eq!(bytes_of(&cloud, "a").await, b"kept");
}
