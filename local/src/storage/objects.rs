//! The HTTP methods of objects that move no bytes in.

use std::sync::Arc;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::conditions::{self, Conditions};
use super::listing::{self, Wanted};
use super::{Object, admitted, download, encryption, no_object, settings, view};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging;
use crate::router::{Reply, Request, Route};

const MOST_LISTED: usize = 1000;

pub fn routes() -> Vec<Route> {
    const ONE: &str = "/storage/v1/b/{bucket}/o/{object}";
    vec![
        Route::new(Method::GET, "/storage/v1/b/{bucket}/o", list),
        Route::new(Method::GET, ONE, get),
        Route::new(
            Method::GET,
            "/download/storage/v1/b/{bucket}/o/{object}",
            get,
        ),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::PUT, ONE, replace),
        Route::new(Method::DELETE, ONE, delete),
    ]
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let bucket = admitted(
        &cloud,
        &request.caller,
        request.var("bucket"),
        "storage.objects.list",
    )?;
    let wanted = wanted(&request)?;
    let objects = match wanted.versions {
        true => cloud.storage.list_versions(&bucket.name, &wanted.prefix),
        false => cloud.storage.list(&bucket.name, &wanted.prefix),
    };
    let listed = listing::page(&objects, &wanted);
    let items: Vec<Value> = listed
        .items
        .iter()
        .map(|object| view::object(&cloud, object))
        .collect();
    let mut reply = json!({"kind": "storage#objects"});
    if !items.is_empty() {
        reply["items"] = items.into();
    }
    if !listed.prefixes.is_empty() {
        reply["prefixes"] = listed.prefixes.into();
    }
    if let Some(next) = listed.next {
        reply["nextPageToken"] = paging::encode(next).into();
    }
    Ok(Json(reply).into_response())
}

fn wanted(request: &Request) -> Result<Wanted, ApiError> {
    if request.query("filter").is_some_and(|it| !it.is_empty()) {
        return Err(ApiError::unimplemented(
            "the local cloud does not serve `filter` of a listing",
        ));
    }
    if request.flag("softDeleted") {
        return Err(ApiError::unimplemented(
            "the local cloud keeps no soft-deleted objects",
        ));
    }
    let text = |name: &str| request.query(name).unwrap_or("").to_owned();
    let most = match request.query("maxResults").map(str::parse::<usize>) {
        None | Some(Ok(0)) => MOST_LISTED,
        Some(Ok(most)) => most.min(MOST_LISTED),
        Some(Err(_)) => return Err(ApiError::invalid("Invalid value for maxResults.")),
    };
    Ok(Wanted {
        prefix: text("prefix"),
        delimiter: text("delimiter"),
        start: text("startOffset"),
        end: text("endOffset"),
        after: match request.query("pageToken").unwrap_or("") {
            "" => None,
            token => Some(paging::decode(token)?),
        },
        most,
        glob: glob(request)?,
        versions: request.flag("versions"),
        include_trailing_delimiter: request.flag("includeTrailingDelimiter"),
    })
}

fn glob(request: &Request) -> Result<Option<Regex>, ApiError> {
    let Some(glob) = request.query("matchGlob").filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    if request
        .query("delimiter")
        .is_some_and(|it| !it.is_empty() && it != "/")
    {
        return Err(ApiError::invalid("matchGlob takes no delimiter but `/`."));
    }
    Ok(Some(super::pattern::pattern(glob)?))
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let object = present(&cloud, &request, "storage.objects.get")?;
    Conditions::of(&request)?.check_read(Some(&object))?;
    let etag = view::etag(object.generation, object.metageneration);
    conditions::check_etag(&request, &etag)?;
    super::refuse_customer_key(&request)?;
    if request.query("alt") == Some("media") {
        if let Some(bucket) = cloud.storage.bucket(&object.bucket) {
            encryption::check_read(&cloud, &bucket, &object)?;
        }
        return download::reply(&object, request.header("range")).await;
    }
    Ok(Json(view::object(&cloud, &object)).into_response())
}

/// The object a request names.
fn present(cloud: &Cloud, request: &Request, permission: &str) -> Result<Object, ApiError> {
    let (bucket, name) = (request.var("bucket"), request.var("object"));
    admitted(cloud, &request.caller, bucket, permission)?;
    let generation = Conditions::of(request)?.only();
    cloud
        .storage
        .generation(bucket, name, generation)
        .ok_or_else(|| no_object(bucket, name))
}

async fn patch(cloud: Arc<Cloud>, request: Request) -> Reply {
    write(cloud, request, settings::patch_object).await
}

async fn replace(cloud: Arc<Cloud>, request: Request) -> Reply {
    write(cloud, request, |settings, sent| {
        *settings = settings::new_object(sent)?;
        Ok(())
    })
    .await
}

async fn write(
    cloud: Arc<Cloud>,
    mut request: Request,
    change: impl FnOnce(&mut Map<String, Value>, &Map<String, Value>) -> Result<(), ApiError>,
) -> Reply {
    let object = present(&cloud, &request, "storage.objects.update")?;
    let conditions = Conditions::of(&request)?;
    let sent: Map<String, Value> = request.json().await?;
    let object = cloud
        .storage
        .change(&object.bucket, &object.name, &conditions, |object| {
            change(&mut object.settings, &sent)
        })?;
    Ok(Json(view::object(&cloud, &object)).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let object = present(&cloud, &request, "storage.objects.delete")?;
    let conditions = Conditions::of(&request)?;
    cloud
        .storage
        .delete(&object.bucket, &object.name, &conditions)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
