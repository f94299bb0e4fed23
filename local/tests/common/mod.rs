//! A cloud in process and a caller of it.

#![allow(dead_code, reason = "Each test file uses its part")]

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use xetl_local::server::{self, Running};

pub const PROJECT: &str = "acme-prod";

pub struct Cloud {
    pub running: Running,
    pub folder: TempDir,
    http: reqwest::Client,
}

/// A new cloud with these APIs on in [`PROJECT`].
pub async fn cloud(services: &[&str]) -> Cloud {
    let folder = tempfile::tempdir().unwrap();
    let running = server::start(folder.path(), Some(0)).await.unwrap();
    for service in services {
        let service = format!("{service}.googleapis.com");
        running.cloud.services.enable(PROJECT, &service).unwrap();
    }
    Cloud {
        running,
        folder,
        http: reqwest::Client::new(),
    }
}

impl Cloud {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("{}{path}", self.running.url),
        };
        self.http.request(method, url)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        read(self.request(Method::DELETE, path)).await
    }

    /// A new account and its token.
    pub async fn account(&self, id: &str) -> (String, String) {
        let path = format!("/v1/projects/{PROJECT}/serviceAccounts");
        let (status, made) = self.post(&path, serde_json::json!({"accountId": id})).await;
        assert_eq!(status, 200, "{made}");
        let email = made["email"].as_str().unwrap().to_owned();
        let token = self.running.cloud.identity.token(&email);
        (email, token)
    }

    /// The same folder served again, as after a restart.
    pub async fn restarted(self) -> Cloud {
        let Cloud {
            running, folder, ..
        } = self;
        running.shutdown().await.unwrap();
        let running = server::start(folder.path(), None).await.unwrap();
        Cloud {
            running,
            folder,
            http: reqwest::Client::new(),
        }
    }
}

pub async fn read(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), body(response).await)
}

async fn body(response: Response) -> Value {
    let bytes = response.bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
