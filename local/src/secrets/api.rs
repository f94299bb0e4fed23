//! The HTTP methods of Secret Manager.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Value, json};

use super::filter::Filter;
use super::{Secret, State, Version, check_etag, draft, encryption};
use crate::assets::Asset;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy::{self, require};
use crate::projects::Project;
use crate::router::{Reply, Request, Route};

const MOST_LISTED: usize = 25_000;

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/secrets";
    const ONE: &str = "/v1/projects/{project}/secrets/{secret}";
    const VERSION: &str = "/v1/projects/{project}/secrets/{secret}/versions/{version}";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}:addVersion",
            add_version,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/secrets/{secret}/versions",
            list_versions,
        ),
        Route::new(Method::GET, VERSION, get_version),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/secrets/{secret}/versions/{version}:access",
            access,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}/versions/{version}:enable",
            |cloud, request| transition(cloud, request, State::Enabled, "enable"),
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}/versions/{version}:disable",
            |cloud, request| transition(cloud, request, State::Disabled, "disable"),
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}/versions/{version}:destroy",
            |cloud, request| transition(cloud, request, State::Destroyed, "destroy"),
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/secrets/{secret}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}:setIamPolicy",
            set_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/secrets/{secret}:testIamPermissions",
            test_permissions,
        ),
    ]
}

/// The secret a request names, if the caller may do this to it.
fn named(cloud: &Cloud, request: &Request, permission: &str) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    let name = format!("projects/{project}/secrets/{}", request.var("secret"));
    let permission = format!("secretmanager.{permission}");
    require(cloud, &request.caller, &name, &permission)?;
    Ok(name)
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let project = format!("projects/{}", cloud.projects.id(request.var("project"))?);
    require(
        &cloud,
        &request.caller,
        &project,
        "secretmanager.secrets.create",
    )?;
    let id = request.query("secretId").unwrap_or("").to_owned();
    check_id(&id)?;
    let name = format!("{project}/secrets/{id}");
    let sent: Value = request.json().await?;
    let secret = draft::create(&sent)?;
    encryption::check(&cloud, request.var("project"), &secret.replication)?;
    let secret = cloud.secrets.create(&name, secret)?;
    Ok(Json(view(&cloud, &name, &secret)?).into_response())
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if (1..=255).contains(&id.len()) && id.chars().all(fits) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Secret ID [{id}] must have 1 to 255 letters, digits, `_` and `-`."
    )))
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = format!("projects/{}", cloud.projects.id(request.var("project"))?);
    require(
        &cloud,
        &request.caller,
        &project,
        "secretmanager.secrets.list",
    )?;
    let filter = Filter::parse(request.query("filter").unwrap_or(""))?;
    let mut secrets = cloud.secrets.secrets.list(&format!("{project}/secrets/"));
    secrets.retain(|(name, secret)| {
        filter.holds(name.rsplit('/').next().unwrap_or(name), &secret.labels)
    });
    let total = secrets.len();
    let named: Vec<_> = secrets
        .into_iter()
        .map(|(name, secret)| (name.clone(), (name, secret)))
        .collect();
    let (page, next) = Paging::of(&request, MOST_LISTED)?.take(named);
    let views = page
        .iter()
        .map(|(name, secret)| view(&cloud, name, secret))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(listing("secrets", views, total, next))
}

fn listing(
    field: &str,
    items: Vec<Value>,
    total: usize,
    next: Option<String>,
) -> axum::response::Response {
    let mut reply = json!({ "totalSize": total });
    if !items.is_empty() {
        reply[field] = items.into();
    }
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Json(reply).into_response()
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "secrets.get")?;
    let secret = cloud.secrets.get(&name)?;
    Ok(Json(view(&cloud, &name, &secret)?).into_response())
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let name = named(&cloud, &request, "secrets.update")?;
    let mask = request.query("updateMask").unwrap_or("").to_owned();
    let sent: Value = request.json().await?;
    let secret = cloud.secrets.change(&name, |secret| {
        check_etag(sent["etag"].as_str().unwrap_or(""), &secret.etag)?;
        let before = secret.replication.clone();
        draft::patch(secret, &sent, &mask)?;
        if secret.replication != before {
            encryption::check(&cloud, request.var("project"), &secret.replication)?;
        }
        Ok(secret.clone())
    })?;
    Ok(Json(view(&cloud, &name, &secret)?).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "secrets.delete")?;
    let etag = request.query("etag").unwrap_or("");
    cloud.secrets.secrets.update(&name, |secret| {
        let present = secret.as_ref().ok_or_else(|| super::no_secret(&name))?;
        check_etag(etag, &present.etag)?;
        *secret = None;
        Ok::<_, ApiError>(())
    })?;
    cloud.policies.forget(&name)?;
    Ok(Json(json!({})).into_response())
}

async fn add_version(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let name = named(&cloud, &request, "versions.add")?;
    let sent: Value = request.json().await?;
    let payload = decode(sent["payload"]["data"].as_str().unwrap_or(""))?;
    let checksum = checksum(&sent["payload"]["dataCrc32c"])?;
    if checksum.is_some_and(|sum| sum != i64::from(crc32c::crc32c(&payload))) {
        return Err(ApiError::invalid(
            "The checksum `payload.dataCrc32c` does not match the payload: it was damaged on the way.",
        ));
    }
    let number = cloud.secrets.add(&name, &payload, checksum.is_some())?;
    version_reply(&cloud, &name, &number.to_string())
}

/// Base64 in either alphabet, padded or not, as Google's parser takes it.
fn decode(text: &str) -> Result<Vec<u8>, ApiError> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    GeneralPurpose::new(alphabet, config)
        .decode(text)
        .map_err(|_| ApiError::invalid("Invalid value at 'payload.data': Base64 decoding failed."))
}

/// An int64, which JSON carries as text; some clients send a number.
fn checksum(value: &Value) -> Result<Option<i64>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| bad_checksum()),
        value => value.as_i64().map(Some).ok_or_else(bad_checksum),
    }
}

fn bad_checksum() -> ApiError {
    ApiError::invalid("Invalid value at 'payload.dataCrc32c' (TYPE_INT64).")
}

async fn access(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "versions.access")?;
    let (number, payload) = cloud.secrets.access(&name, request.var("version"))?;
    let by_number = cloud.projects.by_number(&name)?;
    Ok(Json(json!({
        "name": format!("{by_number}/versions/{number}"),
        "payload": {
            "data": base64::engine::general_purpose::STANDARD.encode(&payload),
            "dataCrc32c": crc32c::crc32c(&payload).to_string(),
        },
    }))
    .into_response())
}

async fn list_versions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "versions.list")?;
    let states = states(request.query("filter").unwrap_or(""))?;
    let secret = cloud.secrets.get(&name)?;
    // Newest first; the key turns the order round for the page token.
    let listed: Vec<_> = secret
        .versions
        .iter()
        .rev()
        .filter(|(_, version)| states.is_none_or(|state| version.state == state))
        .map(|(number, version)| (format!("{:020}", u64::MAX - number), (*number, version)))
        .collect();
    let total = listed.len();
    let (page, next) = Paging::of(&request, MOST_LISTED)?.take(listed);
    let views = page
        .into_iter()
        .map(|(number, version)| version_view(&cloud, &name, &secret, number, version))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(listing("versions", views, total, next))
}

/// The one filter of versions in use: `state:ENABLED`.
fn states(filter: &str) -> Result<Option<State>, ApiError> {
    if filter.is_empty() {
        return Ok(None);
    }
    let refused = || {
        ApiError::unimplemented(format!(
            "the local cloud does not serve the filter `{filter}`; it knows `state:ENABLED`"
        ))
    };
    let (field, state) = filter.split_once([':', '=']).ok_or_else(refused)?;
    match (field.trim(), state.trim().trim_matches('"')) {
        ("state", "ENABLED") => Ok(Some(State::Enabled)),
        ("state", "DISABLED") => Ok(Some(State::Disabled)),
        ("state", "DESTROYED") => Ok(Some(State::Destroyed)),
        _ => Err(refused()),
    }
}

async fn get_version(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "versions.get")?;
    version_reply(&cloud, &name, request.var("version"))
}

async fn transition(
    cloud: Arc<Cloud>,
    mut request: Request,
    state: State,
    verb: &'static str,
) -> Reply {
    let name = named(&cloud, &request, &format!("versions.{verb}"))?;
    let sent: Value = request.json().await?;
    let etag = sent["etag"].as_str().unwrap_or("");
    let number = cloud
        .secrets
        .transition(&name, request.var("version"), state, etag)?;
    version_reply(&cloud, &name, &number.to_string())
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "secrets.getIamPolicy")?;
    cloud.secrets.get(&name)?;
    policy::get_iam_policy(&cloud, request, &name).await
}

async fn set_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "secrets.setIamPolicy")?;
    cloud.secrets.get(&name)?;
    policy::set_iam_policy(&cloud, request, &name).await
}

async fn test_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.id(request.var("project"))?;
    let name = format!("projects/{project}/secrets/{}", request.var("secret"));
    cloud.secrets.get(&name)?;
    policy::test_iam_permissions(&cloud, request, &name).await
}

/// A project's secrets and their versions, for the inventory of assets.
pub fn assets(cloud: &Cloud, project: &Project) -> Result<Vec<Asset>, ApiError> {
    let all = cloud
        .secrets
        .secrets
        .list(&format!("projects/{}/", project.project_id));
    let mut assets = Vec::new();
    for (name, secret) in all {
        let by_number = cloud.projects.by_number(&name)?;
        for (number, version) in &secret.versions {
            let name = format!("{by_number}/versions/{number}");
            assets.push(Asset {
                kind: "secretmanager.googleapis.com/SecretVersion",
                data: json!({"name": name, "state": version.state, "createTime": version.create_time}),
                policy: None,
                name,
            });
        }
        assets.push(Asset {
            kind: "secretmanager.googleapis.com/Secret",
            data: view(cloud, &name, &secret)?,
            policy: Some(name),
            name: by_number,
        });
    }
    Ok(assets)
}

fn view(cloud: &Cloud, name: &str, secret: &Secret) -> Result<Value, ApiError> {
    let mut view = json!({
        "name": cloud.projects.by_number(name)?,
        "replication": secret.replication,
        "createTime": secret.create_time,
        "etag": secret.etag,
    });
    if !secret.labels.is_empty() {
        view["labels"] = json!(secret.labels);
    }
    if !secret.annotations.is_empty() {
        view["annotations"] = json!(secret.annotations);
    }
    if !secret.version_aliases.is_empty() {
        view["versionAliases"] = secret
            .version_aliases
            .iter()
            .map(|(alias, number)| (alias.clone(), Value::from(number.to_string())))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    Ok(view)
}

fn version_reply(cloud: &Cloud, name: &str, version: &str) -> Reply {
    let secret = cloud.secrets.get(name)?;
    let (number, version) = secret.version(name, version)?;
    Ok(Json(version_view(cloud, name, &secret, number, version)?).into_response())
}

fn version_view(
    cloud: &Cloud,
    name: &str,
    secret: &Secret,
    number: u64,
    version: &Version,
) -> Result<Value, ApiError> {
    let mut view = json!({
        "name": format!("{}/versions/{number}", cloud.projects.by_number(name)?),
        "createTime": version.create_time,
        "state": version.state.name(),
        "replicationStatus": version.status.as_ref().unwrap_or(&secret.replication),
        "etag": version.etag,
    });
    if version.checksum_sent {
        view["clientSpecifiedPayloadChecksum"] = true.into();
    }
    if let Some(time) = &version.destroy_time {
        view["destroyTime"] = time.as_str().into();
    }
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_of_base64_are_taken() {
        assert_eq!(decode("-_8=").unwrap(), decode("+/8").unwrap());
        assert!(decode("*").is_err());
    }

    #[test]
    fn a_checksum_is_text_or_a_number() {
        assert_eq!(checksum(&json!("12")).unwrap(), Some(12));
        assert_eq!(checksum(&json!(12)).unwrap(), Some(12));
        assert!(checksum(&json!("x")).is_err());
    }
}
