//! Datasets: a name, a place that never changes, and who may read and write.

use std::sync::Arc;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access;
use super::encryption;
use super::reference::DatasetRef;
use super::resource::{
    Object, check_labels, check_match, etag, matches_filter, merge, now_ms, page, writable,
};
use crate::assets::Asset;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Reply, Request, Route};
use crate::store::Collection;

/// Fields that the server makes or that never change.
const FIXED: &[&str] = &[
    "kind",
    "etag",
    "id",
    "selfLink",
    "datasetReference",
    "creationTime",
    "lastModifiedTime",
    "location",
    "type",
    "satisfiesPzs",
    "satisfiesPzi",
    "isCaseInsensitive",
];

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dataset {
    pub reference: DatasetRef,
    pub location: String,
    pub created: i64,
    pub modified: i64,
    pub version: u64,
    pub settings: Object,
}

impl Dataset {
    /// A dataset that is never listed: it holds the results of queries.
    pub fn hidden(reference: DatasetRef, location: &str) -> Dataset {
        Dataset {
            reference,
            location: location.to_owned(),
            created: now_ms(),
            modified: now_ms(),
            version: 1,
            settings: Object::new(),
        }
    }

    pub fn etag(&self) -> String {
        etag(&self.reference.key(), self.version)
    }

    /// The resource as `datasets.get` answers it.
    fn view(&self, endpoint: &str) -> Value {
        let DatasetRef { project, dataset } = &self.reference;
        let mut view = json!({
            "kind": "bigquery#dataset",
            "etag": self.etag(),
            "id": self.reference.to_string(),
            "selfLink": format!("{endpoint}/bigquery/v2/projects/{project}/datasets/{dataset}"),
            "datasetReference": self.reference,
            "creationTime": self.created.to_string(),
            "lastModifiedTime": self.modified.to_string(),
            "location": self.location,
            "type": "DEFAULT",
        });
        if let Value::Object(view) = &mut view {
            view.extend(self.settings.clone());
        }
        view
    }

    /// The shorter form in a list.
    fn item(&self) -> Value {
        let mut item = json!({
            "kind": "bigquery#dataset",
            "id": self.reference.to_string(),
            "datasetReference": self.reference,
            "location": self.location,
        });
        for name in ["labels", "friendlyName"] {
            if let Some(value) = self.settings.get(name) {
                item[name] = value.clone();
            }
        }
        item
    }

    fn change(&mut self, settings: Object) -> Result<(), ApiError> {
        self.settings = tidy(settings)?;
        self.version += 1;
        self.modified = now_ms();
        Ok(())
    }
}

/// Checks settings and brings `access` into the form the service gives back.
fn tidy(mut settings: Object) -> Result<Object, ApiError> {
    check_labels(&settings)?;
    let access = settings.entry("access").or_insert_with(default_access);
    for entry in access.as_array_mut().into_iter().flatten() {
        short_access(entry);
    }
    Ok(settings)
}

/// Where nothing is said of access, whoever makes a dataset owns it too.
fn first_access(caller: &Caller) -> Value {
    let mut access = default_access();
    if let (Caller::ServiceAccount(email), Some(entries)) = (caller, access.as_array_mut()) {
        entries.push(json!({"role": "OWNER", "userByEmail": email}));
    }
    access
}

fn default_access() -> Value {
    json!([
        {"role": "WRITER", "specialGroup": "projectWriters"},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "READER", "specialGroup": "projectReaders"},
    ])
}

/// The service answers the short role names and members by e-mail, whatever was sent.
fn short_access(entry: &mut Value) {
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    let role = match entry.get("role").and_then(Value::as_str) {
        Some("roles/bigquery.dataOwner") => "OWNER",
        Some("roles/bigquery.dataEditor") => "WRITER",
        Some("roles/bigquery.dataViewer") => "READER",
        _ => "",
    };
    if !role.is_empty() {
        entry.insert("role".to_owned(), role.into());
    }
    let member = entry
        .get("iamMember")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let by_email = match member.as_deref().and_then(|member| member.split_once(':')) {
        Some(("user" | "serviceAccount", email)) => Some(("userByEmail", email)),
        Some(("group", email)) => Some(("groupByEmail", email)),
        _ => None,
    };
    if let Some((kind, email)) = by_email {
        entry.shift_remove("iamMember");
        entry.insert(kind.to_owned(), email.into());
    }
}

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/bigquery/v2/projects/{project}/datasets";
    const ONE: &str = "/bigquery/v2/projects/{project}/datasets/{dataset}";
    vec![
        Route::new(Method::POST, ALL, insert),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::PUT, ONE, update),
        Route::new(Method::DELETE, ONE, delete),
    ]
}

/// A project's datasets, for the inventory of assets.
pub fn assets(cloud: &Cloud, project: &str) -> Vec<Asset> {
    let all = cloud.bigquery.datasets.list(&format!("{project}/"));
    let assets = all.into_iter().map(|(_, dataset)| Asset {
        kind: "bigquery.googleapis.com/Dataset",
        name: format!("projects/{project}/datasets/{}", dataset.reference.dataset),
        policy: None,
        data: dataset.view(&cloud.endpoint),
    });
    assets.collect()
}

pub fn not_found(reference: &DatasetRef) -> ApiError {
    ApiError::not_found(format!("Not found: Dataset {reference}"))
}

fn reference(request: &Request) -> DatasetRef {
    DatasetRef::new(request.var("project"), request.var("dataset"))
}

async fn insert(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let project = request.var("project");
    access::on_project(&cloud, &request.caller, project, "bigquery.datasets.create")?;
    let caller = request.caller.clone();
    let body: Object = request.json().await?;
    if body.contains_key("access") {
        let permission = "bigquery.datasets.setIamPolicy";
        access::on_project(&cloud, &caller, request.var("project"), permission)?;
    }
    let name = body
        .get("datasetReference")
        .and_then(|name| name["datasetId"].as_str());
    let reference = DatasetRef::new(request.var("project"), name.unwrap_or_default());
    reference.check()?;
    let mut settings = writable(&body, FIXED);
    settings
        .entry("access")
        .or_insert_with(|| first_access(&caller));
    let location = body
        .get("location")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    let dataset = Dataset {
        location: location.unwrap_or("US").to_owned(),
        created: now_ms(),
        modified: now_ms(),
        version: 1,
        settings: tidy(settings)?,
        reference,
    };
    encryption::check(&cloud, &dataset)?;
    cloud
        .bigquery
        .datasets
        .update(&dataset.reference.key(), |present| {
            if present.is_some() {
                return Err(ApiError::already_exists(format!(
                    "Already Exists: Dataset {}",
                    dataset.reference
                )));
            }
            *present = Some(dataset.clone());
            Ok(())
        })?;
    Ok(Json(dataset.view(&cloud.endpoint)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.datasets.get")?;
    let dataset = cloud.bigquery.dataset(&reference(&request))?;
    let mut view = dataset.view(&cloud.endpoint);
    if access::for_request(&cloud, &request, "bigquery.datasets.getIamPolicy").is_err()
        && let Some(view) = view.as_object_mut()
    {
        view.shift_remove("access");
    }
    Ok(Json(view).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let filter = request.query("filter").unwrap_or_default();
    let all = cloud
        .bigquery
        .datasets
        .list(&format!("{}/", request.var("project")));
    let wanted = all
        .into_iter()
        .map(|(_, dataset)| dataset)
        .filter(|dataset| matches_filter(&dataset.settings, filter))
        .filter(|dataset| {
            let permission = "bigquery.datasets.get";
            access::on_dataset(&cloud, &request.caller, &dataset.reference, permission).is_ok()
        })
        .collect();
    let (datasets, next) = page(wanted, &request, 1000)?;
    let items: Vec<Value> = datasets.iter().map(Dataset::item).collect();
    let mut reply = json!({"kind": "bigquery#datasetList", "etag": "", "datasets": items});
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

/// What a change sends, if the caller may make it: who has access is a right by itself.
async fn changes(cloud: &Cloud, request: &mut Request) -> Result<Object, ApiError> {
    let body: Object = request.json().await?;
    accounts_live(&body)?;
    if body.contains_key("access") {
        access::for_request(cloud, request, "bigquery.datasets.setIamPolicy")?;
    }
    Ok(body)
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.datasets.get")?;
    access::for_request(&cloud, &request, "bigquery.datasets.update")?;
    let body: Object = changes(&cloud, &mut request).await?;
    write(&cloud, &request, |dataset| {
        same_location(dataset, &body)?;
        let mut settings = dataset.settings.clone();
        let mut changes = body.clone();
        changes.retain(|key, _| !FIXED.contains(&key.as_str()));
        merge(&mut settings, &changes);
        dataset.change(settings)
    })
}

async fn update(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.datasets.get")?;
    access::for_request(&cloud, &request, "bigquery.datasets.update")?;
    let body: Object = changes(&cloud, &mut request).await?;
    write(&cloud, &request, |dataset| {
        same_location(dataset, &body)?;
        dataset.change(writable(&body, FIXED))
    })
}

/// A list of rights cannot be written with an account that is gone, although it is read so.
fn accounts_live(body: &Object) -> Result<(), ApiError> {
    let access = body.get("access").and_then(Value::as_array);
    let mut members = access.into_iter().flatten().map(|it| &it["iamMember"]);
    match members.find_map(|it| it.as_str().filter(|it| it.starts_with("deleted:"))) {
        None => Ok(()),
        Some(member) => Err(ApiError::invalid(format!(
            "IAM setPolicy failed: the account of `{member}` does not exist."
        ))),
    }
}

/// The rights of an account that was deleted are nobody's from now on.
pub fn forget_account(
    datasets: &Collection<Dataset>,
    email: &str,
    deleted: &str,
) -> std::io::Result<()> {
    for (key, _) in datasets.list("") {
        datasets.update(&key, |dataset| {
            let access = dataset
                .as_mut()
                .and_then(|it| it.settings.get_mut("access"));
            let entries = access.and_then(Value::as_array_mut).into_iter().flatten();
            for entry in entries.filter(|entry| entry["userByEmail"] == email) {
                *entry = json!({"role": entry["role"], "iamMember": deleted});
            }
            Ok::<_, std::io::Error>(())
        })?;
    }
    Ok(())
}

/// Places are compared without regard to case: `us` is `US`.
fn same_location(dataset: &Dataset, body: &Object) -> Result<(), ApiError> {
    match body.get("location").and_then(Value::as_str) {
        Some(location) if !location.eq_ignore_ascii_case(&dataset.location) => {
            Err(ApiError::invalid(format!(
                "Dataset location cannot be changed from {} to {location}.",
                dataset.location
            )))
        }
        _ => Ok(()),
    }
}

fn write(
    cloud: &Cloud,
    request: &Request,
    change: impl FnOnce(&mut Dataset) -> Result<(), ApiError>,
) -> Reply {
    let reference = reference(request);
    let dataset = cloud
        .bigquery
        .datasets
        .update(&reference.key(), |present| {
            let dataset = present.as_mut().ok_or_else(|| not_found(&reference))?;
            check_match(request, &dataset.etag())?;
            let before = encryption::key(dataset).map(str::to_owned);
            change(dataset)?;
            if encryption::key(dataset) != before.as_deref() {
                encryption::check(cloud, dataset)?;
            }
            Ok::<_, ApiError>(dataset.clone())
        })?;
    Ok(Json(dataset.view(&cloud.endpoint)).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.datasets.delete")?;
    let reference = reference(&request);
    let dataset = cloud.bigquery.dataset(&reference)?;
    check_match(&request, &dataset.etag())?;
    let tables = cloud.bigquery.tables.list(&format!("{}/", reference.key()));
    let contents = request
        .query("deleteContents")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if !tables.is_empty() && !contents {
        return Err(
            ApiError::invalid(format!("Dataset {reference} is still in use"))
                .reason("resourceInUse"),
        );
    }
    // Contents first: what a kill leaves is a dataset that can be deleted again.
    for (key, _) in tables {
        cloud.bigquery.drop_table(&key)?;
    }
    cloud.bigquery.datasets.remove(&reference.key())?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_comes_back_in_the_short_form() {
        let mut entry =
            json!({"role": "roles/bigquery.dataEditor", "iamMember": "serviceAccount:a@p.iam"});
        short_access(&mut entry);
        assert_eq!(entry, json!({"role": "WRITER", "userByEmail": "a@p.iam"}));
    }

    #[test]
    fn other_roles_are_kept_whole() {
        let entry = json!({"role": "roles/bigquery.metadataViewer", "iamMember": "allUsers", "condition": {"expression": "true"}});
        let mut same = entry.clone();
        short_access(&mut same);
        assert_eq!(same, entry);
    }
}
