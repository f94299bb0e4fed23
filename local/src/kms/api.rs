//! The HTTP methods of key rings and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Key;
use crate::clock::now;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy::{self, require};
use crate::router::{Reply, Request, Route};

const MOST_LISTED: usize = 1000;

pub fn routes() -> Vec<Route> {
    const RINGS: &str = "/v1/projects/{project}/locations/{location}/keyRings";
    const RING: &str = "/v1/projects/{project}/locations/{location}/keyRings/{ring}";
    const KEYS: &str = "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys";
    const KEY: &str =
        "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}";
    let mut routes = vec![
        Route::new(Method::POST, RINGS, create_ring),
        Route::new(Method::GET, RINGS, list_rings),
        Route::new(Method::GET, RING, get_ring),
        Route::new(Method::POST, KEYS, create_key),
        Route::new(Method::GET, KEYS, list_keys),
        Route::new(Method::GET, KEY, get_key),
    ];
    routes.extend(policy_routes());
    routes
}

fn policy_routes() -> Vec<Route> {
    let get = Method::GET;
    let post = Method::POST;
    vec![
        Route::new(
            get.clone(),
            "/v1/projects/{project}/locations/{location}/keyRings/{ring}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            post.clone(),
            "/v1/projects/{project}/locations/{location}/keyRings/{ring}:setIamPolicy",
            set_policy,
        ),
        Route::new(
            get,
            "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            post,
            "/v1/projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}:setIamPolicy",
            set_policy,
        ),
    ]
}

/// The ring a request names, or the key in it.
fn named(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let ring = format!("{}/{}", rings_of(cloud, request)?, request.var("ring"));
    Ok(match request.var("key") {
        "" => ring,
        key => format!("{ring}/cryptoKeys/{key}"),
    })
}

fn rings_of(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    let location = request.var("location");
    Ok(format!("projects/{project}/locations/{location}/keyRings"))
}

fn project_of(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    Ok(format!("projects/{project}"))
}

/// Ids of rings and keys: letters, digits, `_` and `-`, up to 63.
fn check_id(id: &str) -> Result<(), ApiError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    match (1..=63).contains(&id.len()) && id.chars().all(fits) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!("Invalid resource id: '{id}'."))),
    }
}

fn taken(name: &str, kind: &str) -> ApiError {
    ApiError::already_exists(format!("{kind} {name} already exists."))
}

fn missing(name: &str, kind: &str) -> ApiError {
    ApiError::not_found(format!("{kind} {name} not found."))
}

async fn create_ring(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = project_of(&cloud, &request)?;
    require(
        &cloud,
        &request.caller,
        &project,
        "cloudkms.keyRings.create",
    )?;
    let id = request.query("keyRingId").unwrap_or_default();
    check_id(id)?;
    let name = format!("{}/{id}", rings_of(&cloud, &request)?);
    let made = cloud.kms.rings.update(&name, |present| match present {
        Some(_) => Err(taken(&name, "KeyRing")),
        None => Ok(present.insert(now()).clone()),
    })?;
    Ok(Json(ring_view(&name, &made)).into_response())
}

fn ring_view(name: &str, made: &str) -> Value {
    json!({"name": name, "createTime": made})
}

async fn get_ring(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request)?;
    require(&cloud, &request.caller, &name, "cloudkms.keyRings.get")?;
    let ring = cloud.kms.rings.get(&name);
    let made = ring.ok_or_else(|| missing(&name, "KeyRing"))?;
    Ok(Json(ring_view(&name, &made)).into_response())
}

async fn list_rings(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = project_of(&cloud, &request)?;
    require(&cloud, &request.caller, &project, "cloudkms.keyRings.list")?;
    let rings = cloud
        .kms
        .rings
        .list(&format!("{}/", rings_of(&cloud, &request)?));
    let views = rings.into_iter().map(|(name, made)| {
        let view = ring_view(&name, &made);
        (name, view)
    });
    listed(&request, "keyRings", views.collect())
}

fn listed(request: &Request, field: &str, views: Vec<(String, Value)>) -> Reply {
    let size = views.len();
    let (page, next) = Paging::of(request, MOST_LISTED)?.take(views);
    let mut reply = json!({field: page, "totalSize": size});
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

async fn create_key(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        purpose: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let ring = named(&cloud, &request)?;
    require(&cloud, &request.caller, &ring, "cloudkms.cryptoKeys.create")?;
    let body: Body = request.json().await?;
    if body.purpose != "ENCRYPT_DECRYPT" {
        return Err(ApiError::unimplemented(format!(
            "the local cloud makes keys to ENCRYPT_DECRYPT, not to {}",
            body.purpose
        )));
    }
    let id = request.query("cryptoKeyId").unwrap_or_default();
    check_id(id)?;
    if cloud.kms.rings.get(&ring).is_none() {
        return Err(missing(&ring, "KeyRing"));
    }
    let name = format!("{ring}/cryptoKeys/{id}");
    let key = Key {
        create_time: now(),
        labels: body.labels,
    };
    let key = cloud.kms.keys.update(&name, |present| match present {
        Some(_) => Err(taken(&name, "CryptoKey")),
        None => Ok(present.insert(key).clone()),
    })?;
    Ok(Json(key_view(&name, &key)).into_response())
}

/// Keys are never rotated here, so the first version is the only one.
fn key_view(name: &str, key: &Key) -> Value {
    let made = &key.create_time;
    json!({
        "name": name,
        "purpose": "ENCRYPT_DECRYPT",
        "createTime": made,
        "labels": key.labels,
        "destroyScheduledDuration": "2592000s",
        "versionTemplate": {"protectionLevel": "SOFTWARE", "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION"},
        "primary": {
            "name": format!("{name}/cryptoKeyVersions/1"),
            "state": "ENABLED",
            "createTime": made,
            "generateTime": made,
            "protectionLevel": "SOFTWARE",
            "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
        },
    })
}

async fn get_key(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request)?;
    require(&cloud, &request.caller, &name, "cloudkms.cryptoKeys.get")?;
    let key = cloud.kms.keys.get(&name);
    let key = key.ok_or_else(|| missing(&name, "CryptoKey"))?;
    Ok(Json(key_view(&name, &key)).into_response())
}

async fn list_keys(cloud: Arc<Cloud>, request: Request) -> Reply {
    let ring = named(&cloud, &request)?;
    require(&cloud, &request.caller, &ring, "cloudkms.cryptoKeys.list")?;
    let keys = cloud.kms.keys.list(&format!("{ring}/cryptoKeys/"));
    let views = keys.into_iter().map(|(name, key)| {
        let view = key_view(&name, &key);
        (name, view)
    });
    listed(&request, "cryptoKeys", views.collect())
}

/// The ring or key whose policy a request is about, if it is there.
fn governed(cloud: &Cloud, request: &Request, verb: &str) -> Result<String, ApiError> {
    let name = named(cloud, request)?;
    let (kind, is_there) = match request.var("key") {
        "" => ("keyRings", cloud.kms.rings.get(&name).is_some()),
        _ => ("cryptoKeys", cloud.kms.keys.get(&name).is_some()),
    };
    let permission = format!("cloudkms.{kind}.{verb}");
    require(cloud, &request.caller, &name, &permission)?;
    match is_there {
        true => Ok(name),
        false => Err(missing(&name, kind)),
    }
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = governed(&cloud, &request, "getIamPolicy")?;
    policy::get_iam_policy(&cloud, request, &name).await
}

async fn set_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = governed(&cloud, &request, "setIamPolicy")?;
    policy::set_iam_policy(&cloud, request, &name).await
}
