//! The HTTP methods of buckets and their IAM policies.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::{
    Bucket, Storage, admitted, conditions::Conditions, encryption, names, no_bucket, settings, view,
};
use crate::assets::Asset;
use crate::clock::now;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy::{self, Policy, require};
use crate::premises::missing_for;
use crate::router::{Reply, Request, Route};

const TAKEN: &str = "The requested bucket name is not available. The bucket namespace is shared by \
    all users of the system. Please select a different name and try again.";

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/storage/v1/b";
    const ONE: &str = "/storage/v1/b/{bucket}";
    const IAM: &str = "/storage/v1/b/{bucket}/iam";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::PUT, ONE, replace),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(Method::GET, "/storage/v1/b/{bucket}/storageLayout", layout),
        Route::new(
            Method::GET,
            "/storage/v1/b/{bucket}/managedFolders",
            managed_folders,
        ),
        Route::new(Method::GET, IAM, get_policy),
        Route::new(Method::PUT, IAM, set_policy),
        Route::new(
            Method::GET,
            "/storage/v1/b/{bucket}/iam/testPermissions",
            test_permissions,
        ),
    ]
}

impl Storage {
    fn create_bucket(&self, bucket: &Bucket) -> Result<(), ApiError> {
        self.buckets.update(&bucket.name, |present| {
            if let Some(present) = present {
                let message = if present.project == bucket.project {
                    "Your previous request to create the named bucket succeeded and you already own it."
                } else {
                    TAKEN
                };
                return Err(ApiError::already_exists(message).reason("conflict"));
            }
            *present = Some(bucket.clone());
            Ok(())
        })
    }

    fn change_bucket(
        &self,
        name: &str,
        conditions: &Conditions,
        change: impl FnOnce(&mut Bucket) -> Result<(), ApiError>,
    ) -> Result<Bucket, ApiError> {
        self.buckets.update(name, |bucket| {
            let bucket = bucket.as_mut().ok_or_else(|| no_bucket(name))?;
            conditions.check_bucket(bucket.metageneration)?;
            change(bucket)?;
            bucket.metageneration += 1;
            bucket.updated = now();
            Ok(bucket.clone())
        })
    }

    fn delete_bucket(&self, name: &str, conditions: &Conditions) -> Result<(), ApiError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_empty(name) {
            return Err(
                ApiError::already_exists("The bucket you tried to delete is not empty.")
                    .reason("conflict"),
            );
        }
        self.buckets.update(name, |bucket| {
            let present = bucket.as_ref().ok_or_else(|| no_bucket(name))?;
            conditions.check_bucket(present.metageneration)?;
            *bucket = None;
            Ok(())
        })
    }
}

/// The project a request names as a parameter.
fn project_of(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let project = request
        .query("project")
        .ok_or_else(|| ApiError::invalid("Required parameter: project").reason("required"))?;
    let found = cloud.projects.id(project);
    found.map_err(|_| missing_for("storage.googleapis.com", project))
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let project = project_of(&cloud, &request)?;
    let resource = format!("projects/{project}");
    require(&cloud, &request.caller, &resource, "storage.buckets.create")?;
    let sent: Map<String, Value> = request.json().await?;
    let name = sent.get("name").and_then(Value::as_str).unwrap_or("");
    names::check_bucket(name)?;
    let location = sent.get("location").and_then(Value::as_str);
    let bucket = Bucket {
        name: name.to_owned(),
        project,
        location: names::location(location.unwrap_or("US"))?,
        time_created: now(),
        updated: now(),
        generation: jiff::Timestamp::now().as_microsecond(),
        metageneration: 1,
        settings: settings::new_bucket(&sent)?,
    };
    if !cloud.deletions.shows(&resource_of(&bucket)) {
        return Err(ApiError::already_exists(TAKEN).reason("conflict"));
    }
    encryption::check_bucket(&cloud, &bucket)?;
    cloud.storage.create_bucket(&bucket)?;
    cloud
        .policies
        .set(&resource_of(&bucket), first_policy(&bucket.project))?;
    Ok(Json(view::bucket(&cloud, &bucket)?).into_response())
}

/// The legacy roles a new bucket gives to those who have the project.
fn first_policy(project: &str) -> Policy {
    let binding = |role: &str, members: &[&str]| policy::Binding {
        role: format!("roles/storage.{role}"),
        members: members
            .iter()
            .map(|kind| format!("{kind}:{project}"))
            .collect(),
        condition: None,
    };
    Policy {
        etag: String::new(),
        bindings: vec![
            binding("legacyBucketOwner", &["projectEditor", "projectOwner"]),
            binding("legacyBucketReader", &["projectViewer"]),
            binding("legacyObjectOwner", &["projectEditor", "projectOwner"]),
            binding("legacyObjectReader", &["projectViewer"]),
        ],
        ..Policy::default()
    }
}

/// A project's buckets, for the inventory of assets.
pub fn assets(cloud: &Cloud, project: &str) -> Result<Vec<Asset>, ApiError> {
    let ours = cloud.storage.buckets.select("", |it| it.project == project);
    ours.into_iter()
        .map(|(_, bucket)| {
            Ok(Asset {
                kind: "storage.googleapis.com/Bucket",
                policy: Some(resource_of(&bucket)),
                data: view::bucket(cloud, &bucket)?,
                name: bucket.name,
            })
        })
        .collect()
}

fn resource_of(bucket: &Bucket) -> String {
    format!("buckets/{}", bucket.name)
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = project_of(&cloud, &request)?;
    let resource = format!("projects/{project}");
    require(&cloud, &request.caller, &resource, "storage.buckets.list")?;
    let paging = Paging::new(
        request.query("maxResults"),
        request.query("pageToken"),
        1000,
    )?;
    let prefix = request.query("prefix").unwrap_or_default();
    let all = &cloud.storage.buckets;
    let buckets = all.select(prefix, |it| it.project == project);
    let (page, next) = paging.take(buckets);
    let items = page
        .iter()
        .map(|bucket| view::bucket(&cloud, bucket))
        .collect::<Result<Vec<_>, _>>()?;
    let mut reply = json!({"kind": "storage#buckets"});
    if !items.is_empty() {
        reply["items"] = items.into();
    }
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let bucket = admitted(
        &cloud,
        &request.caller,
        request.var("bucket"),
        "storage.buckets.get",
    )?;
    Conditions::of(&request)?.check_bucket(bucket.metageneration)?;
    Ok(Json(view::bucket(&cloud, &bucket)?).into_response())
}

/// There are none, as none can be made here; gcloud asks before it empties a bucket.
async fn managed_folders(cloud: Arc<Cloud>, request: Request) -> Reply {
    let permission = "storage.managedFolders.list";
    super::admitted(&cloud, &request.caller, request.var("bucket"), permission)?;
    Ok(Json(json!({"kind": "storage#managedFolders", "items": []})).into_response())
}

async fn layout(cloud: Arc<Cloud>, request: Request) -> Reply {
    let bucket = admitted(
        &cloud,
        &request.caller,
        request.var("bucket"),
        "storage.objects.list",
    )?;
    Ok(Json(json!({
        "kind": "storage#storageLayout",
        "bucket": bucket.name,
        "location": bucket.location,
        "locationType": names::location_type(&bucket.location),
        "hierarchicalNamespace": {"enabled": false},
    }))
    .into_response())
}

async fn patch(cloud: Arc<Cloud>, request: Request) -> Reply {
    write(cloud, request, |bucket, sent| {
        settings::patch_bucket(&mut bucket.settings, sent)
    })
    .await
}

async fn replace(cloud: Arc<Cloud>, request: Request) -> Reply {
    write(cloud, request, |bucket, sent| {
        bucket.settings = settings::new_bucket(sent)?;
        Ok(())
    })
    .await
}

async fn write(
    cloud: Arc<Cloud>,
    mut request: Request,
    change: impl FnOnce(&mut Bucket, &Map<String, Value>) -> Result<(), ApiError>,
) -> Reply {
    let bucket = admitted(
        &cloud,
        &request.caller,
        request.var("bucket"),
        "storage.buckets.update",
    )?;
    let conditions = Conditions::of(&request)?;
    let sent: Map<String, Value> = request.json().await?;
    if let Some(location) = sent.get("location").and_then(Value::as_str)
        && !location.eq_ignore_ascii_case(&bucket.location)
    {
        return Err(ApiError::invalid(format!(
            "The location of a bucket cannot be changed: {} is in {}.",
            bucket.name, bucket.location
        )));
    }
    let bucket = cloud
        .storage
        .change_bucket(&bucket.name, &conditions, |bucket| {
            change(bucket, &sent)?;
            // A key that was taken before may be out of reach now; only a new one is asked for.
            match sent.contains_key("encryption") {
                true => encryption::check_bucket(&cloud, bucket),
                false => Ok(()),
            }
        })?;
    Ok(Json(view::bucket(&cloud, &bucket)?).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let bucket = admitted(
        &cloud,
        &request.caller,
        request.var("bucket"),
        "storage.buckets.delete",
    )?;
    cloud
        .storage
        .delete_bucket(&bucket.name, &Conditions::of(&request)?)?;
    cloud.deletions.made(&resource_of(&bucket));
    cloud.policies.forget(&resource_of(&bucket))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let permission = "storage.buckets.getIamPolicy";
    let bucket = admitted(&cloud, &request.caller, request.var("bucket"), permission)?;
    let version = request
        .query("optionsRequestedPolicyVersion")
        .unwrap_or("1");
    let policy = cloud.policies.get(&resource_of(&bucket));
    Ok(Json(policy_view(
        &bucket,
        policy.seen_at(version.parse().unwrap_or(1)),
    ))
    .into_response())
}

async fn set_policy(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let permission = "storage.buckets.setIamPolicy";
    let bucket = admitted(&cloud, &request.caller, request.var("bucket"), permission)?;
    let mut sent: Map<String, Value> = request.json().await?;
    sent.remove("kind");
    sent.remove("resourceId");
    let policy: Policy = serde_json::from_value(sent.into())
        .map_err(|error| ApiError::invalid(format!("Invalid policy: {error}")))?;
    check_public(&bucket, &policy)?;
    check_conditions(&bucket, &policy)?;
    let policy = cloud
        .policies
        .set(&resource_of(&bucket), policy)
        // Storage answers a lost race on a policy as a failed precondition.
        .map_err(|error| match error.status {
            "ABORTED" => ApiError::condition_not_met(error.message),
            _ => error,
        })?;
    Ok(Json(policy_view(&bucket, policy)).into_response())
}

/// # Errors
/// 412 where everybody would get at a bucket that prevents public access.
fn check_public(bucket: &Bucket, policy: &Policy) -> Result<(), ApiError> {
    let prevention = bucket.settings.get("iamConfiguration");
    let prevention = prevention.and_then(|iam| iam.get("publicAccessPrevention")?.as_str());
    let mut members = policy.bindings.iter().flat_map(|binding| &binding.members);
    let is_public = members.any(|it| matches!(it.as_str(), "allUsers" | "allAuthenticatedUsers"));
    if !is_public || prevention != Some("enforced") {
        return Ok(());
    }
    Err(ApiError::condition_not_met(
        "The member bindings allUsers and allAuthenticatedUsers are not allowed since public \
         access prevention is enforced.",
    ))
}

/// # Errors
/// 412 for conditions on a bucket whose access lists could grant past them.
fn check_conditions(bucket: &Bucket, policy: &Policy) -> Result<(), ApiError> {
    let uniform = |iam: &Value| iam["uniformBucketLevelAccess"]["enabled"] == true;
    let is_uniform = bucket.settings.get("iamConfiguration").is_some_and(uniform);
    let mut bindings = policy.bindings.iter();
    if is_uniform || bindings.all(|binding| binding.condition.is_none()) {
        return Ok(());
    }
    Err(ApiError::condition_not_met(
        "A policy to update specified conditions, but the bucket's access is not uniform. To use \
         conditions, enable uniform bucket-level access.",
    ))
}

fn policy_view(bucket: &Bucket, policy: Policy) -> Value {
    json!({
        "kind": "storage#policy",
        "resourceId": format!("projects/_/buckets/{}", bucket.name),
        "version": policy.version,
        "etag": policy.etag,
        "bindings": policy.bindings,
    })
}

async fn test_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = request.var("bucket");
    let bucket = cloud.storage.bucket(name).ok_or_else(|| no_bucket(name))?;
    let permissions: Vec<String> = request
        .queries("permissions")
        .filter(|permission| super::admit(&cloud, &request.caller, &bucket, permission).is_ok())
        .map(str::to_owned)
        .collect();
    let mut reply = json!({"kind": "storage#testIamPermissionsResponse"});
    if !permissions.is_empty() {
        reply["permissions"] = permissions.into();
    }
    Ok(Json(reply).into_response())
}
