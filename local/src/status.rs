//! `GET /_local/status`: what this cloud holds, for `xetl local status`.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/_local/status", status),
        Route::new(Method::GET, "/", root),
    ]
}

/// Google's hosts have nothing here either; but the answer tells the time.
async fn root(_: Arc<Cloud>, _: Request) -> Reply {
    Err(ApiError::not_found("The requested URL / was not found."))
}

async fn status(cloud: Arc<Cloud>, _request: Request) -> Reply {
    let (buckets, objects) = cloud.storage.counts();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "endpoint": cloud.endpoint,
        "pid": std::process::id(),
        "folder": cloud.store.root(),
        "counts": {
            "serviceAccounts": cloud.accounts.count(),
            "buckets": buckets,
            "objects": objects,
            "secrets": cloud.secrets.count(),
        },
    }))
    .into_response())
}
