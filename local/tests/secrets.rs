//! Secret Manager over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "A test may stop at what it does not expect"
)]

mod common;

use common::{PROJECT, cloud, read};
use reqwest::Method;
use serde_json::json;

const ALL: &str = "/v1/projects/acme-prod/secrets";
const ONE: &str = "/v1/projects/acme-prod/secrets/acme-token";
const SERVICES: [&str; 2] = ["secretmanager", "iam"];

async fn with_secret() -> common::Cloud {
    let cloud = cloud(&SERVICES).await;
    let body = json!({"replication": {"automatic": {}}, "labels": {"managed-by": "xetl"}});
    let (status, made) = cloud
        .post(&format!("{ALL}?secretId=acme-token"), body)
        .await;
    assert_eq!(status, 200, "{made}");
    cloud
}

#[tokio::test]
async fn an_api_that_is_not_enabled_is_refused() {
    let cloud = cloud(&[]).await;
    let (status, reply) = cloud.get(ALL).await;
    assert_eq!(status, 403);
    assert_eq!(reply["error"]["details"][0]["reason"], "SERVICE_DISABLED");
    let path = format!("/v1/projects/{PROJECT}/services:batchEnable");
    let ids = json!({"serviceIds": ["secretmanager.googleapis.com"]});
    assert_eq!(cloud.post(&path, ids).await.0, 200);
    assert_eq!(cloud.get(ALL).await.0, 200);
}

#[tokio::test]
async fn a_value_is_there_after_a_restart_and_names_carry_the_project_number() {
    let cloud = with_secret().await;
    let (_, added) = cloud
        .post(
            &format!("{ONE}:addVersion"),
            json!({"payload": {"data": "aGk="}}),
        )
        .await;
    let number = cloud.running.cloud.projects.number(PROJECT).unwrap();
    let name = format!("projects/{number}/secrets/acme-token/versions/1");
    assert_eq!(added["name"], name);
    let cloud = cloud.restarted().await;
    let (_, reply) = cloud.get(&format!("{ONE}/versions/latest:access")).await;
    assert_eq!(reply["payload"]["data"], "aGk=");
    assert_eq!(
        reply["payload"]["dataCrc32c"],
        crc32c::crc32c(b"hi").to_string()
    );
    assert_eq!(cloud.get(&format!("/v1/{name}:access")).await.1, reply);
}

#[tokio::test]
async fn a_payload_that_was_damaged_on_the_way_is_refused() {
    let cloud = with_secret().await;
    let payload = json!({"payload": {"data": "aGk=", "dataCrc32c": "1"}});
    assert_eq!(
        cloud.post(&format!("{ONE}:addVersion"), payload).await.0,
        400
    );
    let (status, _) = cloud.get(&format!("{ONE}/versions/latest")).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn an_account_reads_only_the_secrets_it_was_given() {
    let cloud = with_secret().await;
    cloud
        .post(
            &format!("{ONE}:addVersion"),
            json!({"payload": {"data": "aGk="}}),
        )
        .await;
    let (email, token) = cloud.account("runner").await;
    let access = || {
        let path = format!("{ONE}/versions/latest:access");
        cloud.request(Method::GET, &path).bearer_auth(&token)
    };
    let (status, reply) = read(access()).await;
    assert_eq!(status, 403);
    assert_eq!(
        reply["error"]["details"][0]["reason"],
        "IAM_PERMISSION_DENIED"
    );

    let binding = json!({
        "role": "roles/secretmanager.secretAccessor",
        "members": [format!("serviceAccount:{email}")],
    });
    let policy = json!({"policy": {"bindings": [binding]}});
    assert_eq!(
        cloud.post(&format!("{ONE}:setIamPolicy"), policy).await.0,
        200
    );
    assert_eq!(read(access()).await.0, 200);

    let add = cloud.request(Method::POST, &format!("{ONE}:addVersion"));
    let add = add
        .bearer_auth(&token)
        .json(&json!({"payload": {"data": "aGk="}}));
    assert_eq!(read(add).await.0, 403);
}

#[tokio::test]
async fn a_deleted_account_keeps_no_right_under_its_old_name() {
    let cloud = with_secret().await;
    let (email, _) = cloud.account("runner").await;
    let member = format!("serviceAccount:{email}");
    let role = "roles/secretmanager.secretAccessor";
    let policy = json!({"policy": {"bindings": [{"role": role, "members": [member]}]}});
    cloud.post(&format!("{ONE}:setIamPolicy"), policy).await;
    let account = format!("/v1/projects/{PROJECT}/serviceAccounts/{email}");
    assert_eq!(cloud.delete(&account).await.0, 200);
    cloud.account("runner").await;
    let secret = format!("projects/{PROJECT}/secrets/acme-token");
    assert!(!cloud.running.cloud.policies.grants(&secret, role, &member));
}

#[tokio::test]
async fn a_made_up_token_is_nobody() {
    let cloud = with_secret().await;
    let (status, reply) = read(cloud.request(Method::GET, ONE).bearer_auth("ya29.x")).await;
    assert_eq!(status, 401);
    assert_eq!(reply["error"]["status"], "UNAUTHENTICATED");
    let user = cloud.request(Method::GET, ONE).bearer_auth("local-user");
    assert_eq!(read(user).await.0, 200);
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let cloud = with_secret().await;
    let patch = |etag: &str| {
        let path = format!("{ONE}?updateMask=labels");
        let body = json!({"labels": {"a": "b"}, "etag": etag});
        cloud.request(Method::PATCH, &path).json(&body)
    };
    let (_, before) = cloud.get(ONE).await;
    let etag = before["etag"].as_str().unwrap();
    assert_eq!(read(patch(etag)).await.0, 200);
    let (status, reply) = read(patch(etag)).await;
    assert_eq!(
        (status, &reply["error"]["status"]),
        (400, &json!("FAILED_PRECONDITION"))
    );
}
