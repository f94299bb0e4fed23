//! The local cloud's APIs, called as its user.

use reqwest::Method;
use serde_json::{Value, json};

use super::World;

pub struct Api {
    pub url: String,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

impl Api {
    pub fn of(world: &World) -> Api {
        Api::at(&world.endpoint())
    }

    pub fn at(url: &str) -> Api {
        Api {
            url: url.to_owned(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            // Sends back what it read, as people and their scripts do.
            http: reqwest::Client::builder()
                .no_proxy()
                .user_agent("a-hand")
                .build()
                .unwrap(),
        }
    }

    pub fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, Some(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Value {
        self.call(Method::PUT, path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.call(Method::PATCH, path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Value {
        self.call(Method::DELETE, path, None)
    }

    /// Has the next calls meet a fault of the local cloud.
    pub fn fault(&self, fault: &Value) {
        self.post("/_local/faults", fault);
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = request.bearer_auth("local-user").send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(status.is_success(), "{path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or(json!(null))
        })
    }
}
