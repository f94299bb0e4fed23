//! The sandbox as a client meets it: over HTTP, on a free port.

use reqwest::Client;
use serde_json::{Value, json};

use super::super::common::{Running, ServerArgs};
use super::{CLIENT_ID, CLIENT_SECRET, IsamsArgs};

async fn started(calls: u32) -> (Running, Client) {
    let args = IsamsArgs {
        server: ServerArgs {
            port: Some(0),
            ..ServerArgs::default()
        },
        students: Some(50),
        seed: Some(7),
        page_cap: 20,
        calls,
        token_life: 60,
    };
    let client = Client::builder().no_proxy().build().unwrap();
    (super::start(&args).await.unwrap(), client)
}

async fn token(running: &Running, client: &Client) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&scope=restapi"
    );
    let url = format!("{}/auth/connect/token", running.url);
    let reply = client.post(url).body(form).send().await.unwrap();
    let reply: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    reply["access_token"].as_str().unwrap().to_owned()
}

async fn get(running: &Running, client: &Client, token: &str, path: &str) -> (u16, Value) {
    let url = format!("{}{path}", running.url);
    let reply = client.get(url).bearer_auth(token).send().await.unwrap();
    let status = reply.status().as_u16();
    (
        status,
        serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_page_is_capped_and_counts_tell_the_truth() {
    let (running, client) = started(1000).await;
    let token = token(&running, &client).await;
    let (_, page) = get(
        &running,
        &client,
        &token,
        "/api/students?page=3&pageSize=1000",
    )
    .await;
    assert_eq!(page["totalCount"], 50);
    assert_eq!(page["totalPages"], 3);
    assert_eq!(page["students"].as_array().unwrap().len(), 10);
    let (_, single) = get(&running, &client, &token, "/api/school/terms").await;
    assert_eq!(
        single.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["terms"]
    );
    let (_, none) = get(
        &running,
        &client,
        &token,
        "/api/school/yeargroups/0/divisions",
    )
    .await;
    assert_eq!(none, json!({"divisions": null}));
}

#[tokio::test]
async fn a_token_ends_and_calls_are_limited() {
    let (running, client) = started(2).await;
    let token = token(&running, &client).await;
    let statuses = async {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(get(&running, &client, &token, "/api/school/terms").await.0);
        }
        statuses
    };
    assert!(statuses.await.contains(&200));
    let url = format!("{}/_sandbox/advance", running.url);
    client
        .post(url)
        .body(r#"{"seconds": 61}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(
        get(&running, &client, &token, "/api/school/terms").await.0,
        401
    );
}

#[tokio::test]
async fn pupils_who_leave_move_the_others_up() {
    let (running, client) = started(1000).await;
    let token = token(&running, &client).await;
    let url = format!("{}/_sandbox/leave", running.url);
    client
        .post(url)
        .body(r#"{"students": 2}"#)
        .send()
        .await
        .unwrap();
    let totals = async {
        let mut totals = Vec::new();
        for page in 1..=2 {
            let path = format!("/api/students?page={page}&pageSize=20");
            let (_, reply) = get(&running, &client, &token, &path).await;
            totals.push(reply["totalCount"].clone());
        }
        totals
    };
    assert_eq!(totals.await, [50, 48]);
}
