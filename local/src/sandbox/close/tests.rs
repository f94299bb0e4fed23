//! The sandbox as a client meets it: over HTTP, on a free port.

use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::super::common::{Running, ServerArgs};
use super::{CloseArgs, KEY, RESTRICTED_KEY};

struct Caller {
    running: Running,
    client: Client,
    key: &'static str,
}

impl Caller {
    async fn start(calls: u32) -> Caller {
        let args = CloseArgs {
            server: ServerArgs {
                port: Some(0),
                ..ServerArgs::default()
            },
            leads: Some(60),
            seed: Some(7),
            calls,
            seconds: 5,
        };
        Caller {
            running: super::start(&args).await.unwrap(),
            client: Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            key: KEY,
        }
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}/api/v1/{path}", self.running.url);
        self.client
            .get(url)
            .basic_auth(self.key, Some(""))
            .send()
            .await
            .unwrap()
    }

    async fn list(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status(), 200, "{path}");
        body(reply).await
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        let url = format!("{}{path}", self.running.url);
        self.client
            .post(url)
            .basic_auth(self.key, Some(""))
            .json(body)
            .send()
            .await
            .unwrap()
    }

    async fn truth(&self, query: &str) -> Value {
        let url = format!("{}/_sandbox/truth{query}", self.running.url);
        body(self.client.get(url).send().await.unwrap()).await
    }
}

async fn body(reply: Response) -> Value {
    serde_json::from_str(&reply.text().await.unwrap()).unwrap()
}

fn count(reply: &Value) -> usize {
    reply["data"].as_array().unwrap().len()
}

fn search(object_type: &str, limit: usize, cursor: &Value) -> Value {
    json!({"query": {"type": "and", "queries": [
        {"type": "object_type", "object_type": object_type},
        {"type": "field_condition", "field": {"type": "regular_field", "object_type": object_type, "field_name": "date_updated"},
         "condition": {"type": "moment_range", "on_or_after": {"type": "fixed_utc", "value": "2020-01-01T00:00:00Z"}}},
    ]}, "_fields": {object_type: ["name", "custom"]}, "_limit": limit, "cursor": cursor})
}

#[tokio::test]
async fn pages_hold_as_many_as_the_truth() {
    let caller = Caller::start(1000).await;
    let first = caller.list("email_template/?_limit=100").await;
    assert_eq!((count(&first), &first["has_more"]), (100, &json!(true)));
    let second = caller.list("email_template/?_limit=100&_skip=100").await;
    assert_eq!(second["has_more"], json!(false));
    assert_eq!(
        json!(100 + count(&second)),
        caller.truth("").await["streams"]["email_templates"]["count"]
    );
}

#[tokio::test]
async fn a_limit_or_a_skip_too_large_is_refused() {
    let caller = Caller::start(1000).await;
    assert_eq!(caller.get("lead/?_limit=201").await.status(), 400);
    let reply = caller.get("activity/email/?_skip=250001").await;
    assert_eq!(reply.status(), 400);
    assert!(
        body(reply).await["error"]
            .as_str()
            .unwrap()
            .contains("(max_skip = 250000)")
    );
}

#[tokio::test]
async fn a_path_without_its_slash_is_sent_on() {
    let caller = Caller::start(1000).await;
    let reply = caller.get("user?_limit=5").await;
    assert_eq!(reply.status(), 301);
    assert_eq!(reply.headers()["location"], "/api/v1/user/?_limit=5");
}

#[tokio::test]
async fn only_what_a_list_heeds_can_be_asked() {
    let caller = Caller::start(1000).await;
    assert_eq!(
        caller
            .get("activity/note/?date_updated__gte=2025-01-01")
            .await
            .status(),
        400
    );
    assert_eq!(
        caller
            .get("contact/?date_updated__gte=2025-01-01")
            .await
            .status(),
        400
    );
    assert_eq!(caller.get("sequence_subscription/").await.status(), 400);
    let some = caller
        .list("activity/note/?date_created__gte=2025-06-01&date_created__lt=2025-06-20")
        .await;
    assert!(count(&some) > 0);
    for note in some["data"].as_array().unwrap() {
        assert!(
            note["date_created"]
                .as_str()
                .unwrap()
                .starts_with("2025-06")
        );
    }
}

#[tokio::test]
async fn a_key_is_the_name_of_a_role() {
    let mut caller = Caller::start(1000).await;
    let all = count(&caller.list("lead/?_limit=200").await);
    assert!(caller.list("opportunity/").await["data"][0]["value"].is_i64());
    assert_eq!(caller.get("send_as/").await.status(), 402);
    assert_eq!(caller.get("dialer/").await.status(), 200);
    caller.key = RESTRICTED_KEY;
    assert!(count(&caller.list("lead/?_limit=200").await) < all);
    assert_eq!(
        caller.list("opportunity/").await["data"][0]["value"],
        json!(null)
    );
    assert_eq!(caller.get("dialer/").await.status(), 403);
    caller.key = "api_other";
    assert_eq!(caller.get("me/").await.status(), 401);
}

#[tokio::test]
async fn the_call_after_the_last_allowed_one_is_told_to_wait() {
    let caller = Caller::start(2).await;
    for left in ["1", "0"] {
        let reply = caller.get("user/").await;
        let told = reply.headers()["ratelimit"].to_str().unwrap();
        assert!(
            told.starts_with(&format!("limit=2, remaining={left}, reset=")),
            "{told}"
        );
    }
    let reply = caller.get("user/").await;
    assert_eq!(reply.status(), 429);
    assert!(reply.headers().contains_key("retry-after"));
    assert_eq!(caller.get("pipeline/").await.status(), 200);
}

#[tokio::test]
async fn a_search_pages_by_a_short_lived_cursor_and_gives_the_fields_named() {
    let caller = Caller::start(1000).await;
    let first = body(
        caller
            .post("/api/v1/data/search/", &search("lead", 40, &json!(null)))
            .await,
    )
    .await;
    let lead = &first["data"][0];
    assert_eq!(lead["__object_type"], "lead");
    assert!(lead["custom"].is_object() && lead.get("status_id").is_none());
    let second = search("lead", 40, &first["cursor"]);
    let rest = body(caller.post("/api/v1/data/search/", &second).await).await;
    assert_eq!(rest["cursor"], json!(null));
    assert_eq!(
        json!(40 + count(&rest)),
        caller.truth("").await["streams"]["leads"]["count"]
    );
    caller
        .post("/_sandbox/advance", &json!({"seconds": 60}))
        .await;
    assert_eq!(
        caller.post("/api/v1/data/search/", &second).await.status(),
        400
    );
}

#[tokio::test]
async fn events_come_newest_first_and_their_cursor_stands_for_the_dates() {
    let caller = Caller::start(1000).await;
    let first = caller.list("event/?date_updated__gte=2025-01-01").await;
    assert_eq!(count(&first), 50);
    assert!(first["data"][0]["date_updated"].as_str() > first["data"][49]["date_updated"].as_str());
    let next = format!("event/?_cursor={}", first["cursor_next"].as_str().unwrap());
    assert!(count(&caller.list(&next).await) > 0);
    assert_eq!(
        caller
            .get(&format!("{next}&date_updated__gte=2025-01-01"))
            .await
            .status(),
        400
    );
    assert!(count(&caller.list("event/?object_type=lead&action=deleted").await) > 0);
}

#[tokio::test]
async fn an_old_note_changes_where_its_list_cannot_tell() {
    let caller = Caller::start(1000).await;
    let before = caller.truth("").await["now"].as_str().unwrap().to_owned();
    caller.post("/_sandbox/advance", &json!({"days": 1})).await;
    let truth = caller.truth("?stream=activity_note&since=2025-07-01").await;
    let notes = truth["records"].as_object().unwrap();
    let old = notes.values().filter(|note| {
        note["updated"].as_str() >= Some(&before) && note["created"].as_str() < Some("2025-05-01")
    });
    assert!(old.count() > 0);
    assert!(
        truth["streams"]["activity_note"]["changed"]["updated"].as_u64()
            > truth["streams"]["activity_note"]["changed"]["created"].as_u64()
    );
}
