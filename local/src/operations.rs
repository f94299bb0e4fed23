//! Long-running operations, kept on disk: what Artifact Registry and Run answer to a change.
//!
//! A service starts an operation and finishes it, at once or when an execution
//! ends; this module only remembers and lets clients poll or wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

/// `google.longrunning.Operation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

/// `google.rpc.Status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    #[serde(default, skip_serializing_if = "is_ok")]
    pub code: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn is_ok(code: &i32) -> bool {
    *code == 0
}

/// `value` as a `google.protobuf.Any` of the message `kind`.
pub fn any(kind: &str, value: Value) -> Value {
    let mut typed = serde_json::Map::new();
    typed.insert(
        "@type".to_owned(),
        json!(format!("type.googleapis.com/{kind}")),
    );
    if let Value::Object(fields) = value {
        typed.extend(fields);
    }
    Value::Object(typed)
}

/// The `google.protobuf.Empty` that deletions answer.
pub fn empty() -> Value {
    any("google.protobuf.Empty", json!({}))
}

/// All operations of all services.
pub struct Operations {
    documents: Collection<Operation>,
    finished: Notify,
}

impl Operations {
    pub fn open(store: &Store) -> io::Result<Operations> {
        Ok(Operations {
            documents: store.collection("operations")?,
            finished: Notify::new(),
        })
    }

    /// A new operation under `parent` (`projects/P/locations/L`), still running.
    pub fn start(&self, parent: &str, metadata: Value) -> io::Result<Operation> {
        let operation = Operation {
            name: format!("{parent}/operations/{}", Uuid::new_v4()),
            metadata: Some(metadata),
            done: false,
            error: None,
            response: None,
        };
        self.documents.put(&operation.name, operation.clone())?;
        Ok(operation)
    }

    /// An operation that is over already.
    pub fn done(
        &self,
        parent: &str,
        metadata: Value,
        outcome: Result<Value, Status>,
    ) -> io::Result<Operation> {
        let operation = self.start(parent, metadata)?;
        self.finish(&operation.name, None, outcome)
    }

    /// Ends an operation; `metadata`, when given, replaces the first.
    pub fn finish(
        &self,
        name: &str,
        metadata: Option<Value>,
        outcome: Result<Value, Status>,
    ) -> io::Result<Operation> {
        let finished = self.documents.update(name, |document| {
            let operation = document.as_mut().ok_or(io::ErrorKind::NotFound)?;
            operation.done = true;
            if metadata.is_some() {
                operation.metadata = metadata;
            }
            match outcome {
                Ok(response) => operation.response = Some(response),
                Err(status) => operation.error = Some(status),
            }
            Ok::<_, io::Error>(operation.clone())
        })?;
        self.finished.notify_waiters();
        Ok(finished)
    }

    /// The unfinished operation whose metadata is the resource `name`.
    pub fn find_unfinished(&self, name: &str) -> Option<String> {
        let about = |operation: &Operation| {
            let metadata = operation.metadata.as_ref();
            !operation.done && metadata.is_some_and(|metadata| metadata["name"] == name)
        };
        let all = self.documents.list("");
        all.into_iter()
            .find(|(_, operation)| about(operation))
            .map(|(key, _)| key)
    }

    fn get(&self, name: &str) -> Result<Operation, ApiError> {
        self.documents
            .get(name)
            .ok_or_else(|| ApiError::not_found(format!("Operation {name} was not found.")))
    }

    /// The operation when it is done, or as it stands after `patience`.
    async fn wait(&self, name: &str, patience: Duration) -> Result<Operation, ApiError> {
        let done = async {
            loop {
                let finished = self.finished.notified();
                tokio::pin!(finished);
                // Listening starts before looking, so that no end is missed.
                finished.as_mut().enable();
                let operation = self.get(name)?;
                if operation.done {
                    return Ok(operation);
                }
                finished.await;
            }
        };
        match tokio::time::timeout(patience, done).await {
            Ok(operation) => operation,
            Err(_) => self.get(name),
        }
    }
}

pub fn routes() -> Vec<Route> {
    const V1: &str = "/v1/projects/{project}/locations/{location}/operations/{operation}";
    const V2: &str = "/v2/projects/{project}/locations/{location}/operations/{operation}";
    vec![
        Route::new(Method::GET, V1, get),
        Route::new(Method::GET, V2, get),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/operations",
            list,
        ),
        Route::new(
            Method::GET,
            "/v2/projects/{project}/locations/{location}/operations",
            list,
        ),
        Route::new(
            Method::POST,
            "/v2/projects/{project}/locations/{location}/operations/{operation}:wait",
            wait,
        ),
        Route::new(Method::DELETE, V2, delete),
    ]
}

fn parent(request: &Request) -> String {
    format!(
        "projects/{}/locations/{}",
        request.var("project"),
        request.var("location")
    )
}

fn name(request: &Request) -> String {
    format!(
        "{}/operations/{}",
        parent(request),
        request.var("operation")
    )
}

/// Run asks for a permission on its operations; Artifact Registry has none for them.
fn admit(cloud: &Cloud, request: &Request, verb: &str) -> Result<(), ApiError> {
    let operation = cloud.operations.documents.get(&name(request));
    let kind = operation.and_then(|operation| operation.metadata);
    let kind = kind.unwrap_or_default()["@type"].to_string();
    if !kind.contains("google.cloud.run.") {
        return Ok(());
    }
    let permission = format!("run.operations.{verb}");
    let caller = cloud.caller(&request.headers)?;
    policy::require(cloud, &caller, &parent(request), &permission)
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    admit(&cloud, &request, "get")?;
    Ok(Json(cloud.operations.get(&name(&request))?).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let prefix = format!("{}/operations/", parent(&request));
    let all = cloud.operations.documents.list(&prefix);
    let (page, next) = Paging::of(&request, 100)?.take(all);
    Ok(Json(forms::list_reply("operations", &page, next)).into_response())
}

async fn wait(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    struct Wait {
        timeout: Option<String>,
    }
    admit(&cloud, &request, "get")?;
    let wait: Wait = request.json().await?;
    let patience = match wait.timeout.as_deref() {
        Some(text) => forms::duration(text)
            .ok_or_else(|| ApiError::invalid(format!("timeout `{text}` is no duration")))?,
        None => Duration::from_secs(60),
    };
    let operation = cloud.operations.wait(&name(&request), patience).await?;
    Ok(Json(operation).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    admit(&cloud, &request, "delete")?;
    let name = name(&request);
    cloud.operations.get(&name)?;
    cloud.operations.documents.remove(&name)?;
    Ok(Json(json!({})).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> (tempfile::TempDir, Arc<Operations>) {
        let folder = tempfile::tempdir().unwrap();
        let operations = Operations::open(&Store::open(folder.path()).unwrap()).unwrap();
        (folder, Arc::new(operations))
    }

    #[tokio::test]
    async fn waiting_ends_when_the_operation_does() {
        let (_folder, operations) = operations();
        let name = operations
            .start("projects/p/locations/l", json!({}))
            .unwrap()
            .name;
        let waiting = tokio::spawn({
            let (operations, name) = (operations.clone(), name.clone());
            async move { operations.wait(&name, Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        operations.finish(&name, None, Ok(empty())).unwrap();
        assert!(waiting.await.unwrap().unwrap().done);
    }

    #[tokio::test]
    async fn waiting_without_patience_shows_what_is() {
        let (_folder, operations) = operations();
        let name = operations
            .start("projects/p/locations/l", json!({}))
            .unwrap()
            .name;
        let operation = operations.wait(&name, Duration::ZERO).await.unwrap();
        assert!(!operation.done);
    }

    #[test]
    fn a_failed_operation_is_done_and_has_an_error() {
        let (_folder, operations) = operations();
        let status = Status {
            code: 7,
            message: "no".to_owned(),
        };
        let operation = operations
            .done("projects/p/locations/l", json!({}), Err(status))
            .unwrap();
        assert!(operation.done && operation.response.is_none());
        assert_eq!(operation.error.unwrap().code, 7);
    }
}
