//! The sandbox as a client meets it: over HTTP, on a free port.

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::super::common::{Running, ServerArgs};
use super::XeroArgs;
use super::tokens::{CLIENT_ID, CLIENT_SECRET, FIRST_REFRESH_TOKEN, TENANT_ID};

fn server(latency: u64) -> ServerArgs {
    ServerArgs {
        port: Some(0),
        latency,
        dir: None,
    }
}

fn args() -> XeroArgs {
    XeroArgs {
        server: server(0),
        documents: Some(1_000),
        seed: Some(7),
        calls_per_minute: 60,
        calls_per_day: 5_000,
        concurrent: 5,
    }
}

struct Caller {
    running: Running,
    client: Client,
    token: String,
}

impl Caller {
    async fn start(args: &XeroArgs) -> Caller {
        let running = super::start(args).await.unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let mut caller = Caller {
            running,
            client,
            token: String::new(),
        };
        let reply = caller
            .sign_in(&[("grant_type", "client_credentials")])
            .await;
        caller.token = body(reply).await["access_token"]
            .as_str()
            .unwrap()
            .to_string();
        caller
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url)
    }

    async fn sign_in(&self, form: &[(&str, &str)]) -> Response {
        let request = self.client.post(self.url("/connect/token"));
        request
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .form(form)
            .send()
            .await
            .unwrap()
    }

    async fn refresh(&self, token: &str) -> Response {
        self.sign_in(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.get(self.url(&format!("/api.xro/2.0/{path}")));
        request
            .bearer_auth(&self.token)
            .header("accept", "application/json")
    }

    async fn list(&self, path: &str) -> Value {
        let reply = self.get(path).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
        body(reply).await
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.client
            .post(self.url(path))
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    async fn truth(&self) -> Value {
        body(
            self.client
                .get(self.url("/_sandbox/truth"))
                .send()
                .await
                .unwrap(),
        )
        .await
    }
}

async fn body(reply: Response) -> Value {
    serde_json::from_str(&reply.text().await.unwrap()).unwrap()
}

fn count(list: &Value, key: &str) -> usize {
    list[key].as_array().unwrap().len()
}

#[tokio::test]
async fn pages_hold_as_many_invoices_as_the_truth() {
    let caller = Caller::start(&args()).await;
    let truth = caller.truth().await;
    let first = caller.list("Invoices?page=1&pageSize=400").await;
    let second = caller.list("Invoices?page=2&pageSize=400").await;
    let counted = count(&first, "Invoices") + count(&second, "Invoices");
    assert_eq!(json!(counted), truth["streams"]["invoices"]["count"]);
    assert_eq!(
        first["pagination"],
        json!({"page": 1, "pageSize": 400, "pageCount": 2, "itemCount": counted})
    );
}

#[tokio::test]
async fn the_same_request_is_answered_by_the_same_bytes() {
    let (one, other) = (Caller::start(&args()).await, Caller::start(&args()).await);
    let text = async |caller: &Caller| {
        caller
            .get("Contacts?page=1")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert_eq!(text(&one).await, text(&other).await);
}

#[tokio::test]
async fn every_endpoint_lists_as_many_as_the_truth() {
    let caller = Caller::start(&args()).await;
    let truth = caller.truth().await;
    for endpoint in super::endpoints::Endpoint::ALL {
        let reveal = endpoint.reveal();
        let mut counted = 0;
        let mut next = format!("{}?{reveal}=true", endpoint.path());
        loop {
            let list = caller.list(&next).await;
            counted += count(&list, endpoint.key());
            // Only journals come in parts unasked.
            let Some(number) = list["Journals"].as_array().and_then(|all| all.last()) else {
                break;
            };
            next = format!("Journals?offset={}", number["JournalNumber"]);
        }
        assert_eq!(
            json!(counted),
            truth["streams"][endpoint.stream()]["count"],
            "{}",
            endpoint.path()
        );
    }
}

#[tokio::test]
async fn after_a_day_only_what_changed_is_newer() {
    let caller = Caller::start(&args()).await;
    let before = caller.truth().await["now"]
        .as_str()
        .unwrap()
        .trim_end_matches('Z')
        .to_string();
    let changed = async || {
        let request = caller
            .get("Invoices?page=1")
            .header("if-modified-since", &before);
        count(&body(request.send().await.unwrap()).await, "Invoices")
    };
    assert_eq!(changed().await, 0);
    caller
        .post("/_sandbox/advance", json!({"days": 1}))
        .await
        .error_for_status()
        .unwrap();
    let reply = caller
        .sign_in(&[("grant_type", "client_credentials")])
        .await;
    let token = body(reply).await["access_token"]
        .as_str()
        .unwrap()
        .to_string();
    let caller = Caller { token, ..caller };
    let request = caller
        .get("Invoices?page=1")
        .header("if-modified-since", &before);
    assert!(count(&body(request.send().await.unwrap()).await, "Invoices") > 0);
}

#[tokio::test]
async fn a_day_later_the_token_has_expired() {
    let caller = Caller::start(&args()).await;
    caller
        .post("/_sandbox/advance", json!({"seconds": 1801}))
        .await
        .error_for_status()
        .unwrap();
    let reply = caller.get("Users").send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert!(
        body(reply).await["Detail"]
            .as_str()
            .unwrap()
            .starts_with("TokenExpired")
    );
}

#[tokio::test]
async fn a_refresh_token_app_must_name_its_organisation() {
    let mut caller = Caller::start(&args()).await;
    let reply = body(caller.refresh(FIRST_REFRESH_TOKEN).await).await;
    caller.token = reply["access_token"].as_str().unwrap().to_string();
    assert_eq!(
        caller.get("Users").send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let foreign = caller
        .get("Users")
        .header("xero-tenant-id", "11111111-1111-4111-8111-111111111111");
    assert_eq!(
        foreign.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let own = caller.get("Users").header("xero-tenant-id", TENANT_ID);
    assert_eq!(own.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn sign_in_refuses_as_xero_does() {
    let caller = Caller::start(&args()).await;
    let json_body = caller
        .client
        .post(caller.url("/connect/token"))
        .basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
    let json_body = json_body
        .json(&json!({"grant_type": "client_credentials"}))
        .send()
        .await
        .unwrap();
    assert_eq!(json_body.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        body(json_body).await,
        json!({"error": "unsupported_grant_type"})
    );
    assert_eq!(
        body(caller.refresh("never-issued").await).await,
        json!({"error": "invalid_grant"})
    );
    let unnamed = caller
        .client
        .post(caller.url("/connect/token"))
        .form(&[("grant_type", "client_credentials")]);
    assert_eq!(
        body(unnamed.send().await.unwrap()).await,
        json!({"error": "invalid_client"})
    );
}

#[tokio::test]
async fn journals_need_their_own_scope() {
    let mut caller = Caller::start(&args()).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "accounting.invoices.read"),
    ];
    caller.token = body(caller.sign_in(&form).await).await["access_token"]
        .as_str()
        .unwrap()
        .to_string();
    let reply = caller.get("Journals").send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(reply.headers()["www-authenticate"], "insufficient_scope");
    assert_eq!(
        caller.get("Invoices?page=1").send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_call_after_the_last_allowed_one_must_wait() {
    let caller = Caller::start(&XeroArgs {
        calls_per_minute: 2,
        ..args()
    })
    .await;
    let first = caller.get("Users").send().await.unwrap();
    assert_eq!(first.headers()["x-minlimit-remaining"], "1");
    assert_eq!(first.headers()["x-daylimit-remaining"], "4999");
    caller.list("Users").await;
    let refused = caller.get("Users").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["x-rate-limit-problem"], "minute");
    let wait: u32 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait));
}

#[tokio::test]
async fn more_calls_at_once_than_allowed_are_refused() {
    let caller = Caller::start(&XeroArgs {
        concurrent: 2,
        server: server(500),
        ..args()
    })
    .await;
    let calls = (0..6).map(|_| caller.get("Users").send());
    let replies = futures::future::join_all(calls).await;
    let refused: Vec<_> = replies
        .into_iter()
        .map(Result::unwrap)
        .filter(|reply| reply.status() == StatusCode::TOO_MANY_REQUESTS)
        .collect();
    assert!(!refused.is_empty());
    assert!(
        refused
            .iter()
            .all(|reply| reply.headers()["x-rate-limit-problem"] == "concurrent")
    );
    assert!(
        refused
            .iter()
            .all(|reply| !reply.headers().contains_key("retry-after"))
    );
    let seen = body(
        caller
            .client
            .get(caller.url("/_sandbox/requests"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(seen["most_in_flight"], 2);
    assert_eq!(seen["paths"]["/api.xro/2.0/Users"], 6);
}

#[tokio::test]
async fn a_fault_is_met_as_often_as_asked() {
    let caller = Caller::start(&args()).await;
    let fault =
        json!({"path": "/api.xro/2.0/Users", "status": 503, "times": 1, "retry_after": 0.5});
    caller
        .post("/_sandbox/fail", fault)
        .await
        .error_for_status()
        .unwrap();
    let reply = caller.get("Users").send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.headers()["retry-after"], "0.5");
    caller.list("Users").await;
}

#[tokio::test]
async fn json_must_be_asked_for() {
    let caller = Caller::start(&args()).await;
    let reply = caller
        .get("Users")
        .header("accept", "text/xml")
        .send()
        .await
        .unwrap();
    // Both values are sent, and one of them will do.
    assert_eq!(reply.status(), StatusCode::OK);
    let bare = caller
        .client
        .get(caller.url("/api.xro/2.0/Users"))
        .bearer_auth(&caller.token);
    assert_eq!(
        bare.send().await.unwrap().status(),
        StatusCode::NOT_ACCEPTABLE
    );
}

#[tokio::test]
async fn a_filter_that_is_not_served_is_an_error() {
    let caller = Caller::start(&args()).await;
    let reply = caller
        .get("Invoices?where=Status%3D%3D%22PAID%22")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body(reply).await["Type"], "QueryParseException");
}

#[tokio::test]
async fn time_and_tokens_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kept = XeroArgs {
        server: ServerArgs {
            dir: Some(dir.path().to_path_buf()),
            ..server(0)
        },
        ..args()
    };
    let caller = Caller::start(&kept).await;
    caller
        .post("/_sandbox/advance", json!({"days": 2}))
        .await
        .error_for_status()
        .unwrap();
    let before = caller.truth().await;
    let next = body(caller.refresh(FIRST_REFRESH_TOKEN).await).await["refresh_token"].clone();
    assert!(dir.path().join("sandbox.json").exists());
    let Caller {
        running, client, ..
    } = caller;
    drop(client);
    running.shutdown().await.unwrap();
    assert!(!dir.path().join("sandbox.json").exists());

    let caller = Caller::start(&kept).await;
    assert_eq!(caller.truth().await, before);
    let refreshed = caller.refresh(next.as_str().unwrap()).await;
    assert_eq!(refreshed.status(), StatusCode::OK);
    let other = XeroArgs {
        seed: Some(8),
        ..kept
    };
    assert!(super::start(&other).await.is_err());
}
