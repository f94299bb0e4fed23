//! Projects: every well-formed id exists here, unless it was said which do, and keeps one
//! number. Resource Manager v1 and v3.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clock::now;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::policy;
use crate::premises::{Premises, missing};
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub project_id: String,
    pub number: String,
    pub create_time: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The projects met so far, by number.
pub struct Projects {
    known: Collection<Project>,
    pub premises: Premises,
}

impl Projects {
    pub fn open(store: &Store) -> io::Result<Projects> {
        Ok(Projects {
            known: store.collection("projects")?,
            premises: Premises::default(),
        })
    }

    /// The project of an id or a number; an id met for the first time is remembered.
    pub fn get(&self, id_or_number: &str) -> Result<Project, ApiError> {
        if id_or_number.starts_with(|first: char| first.is_ascii_digit()) {
            return self
                .known
                .get(id_or_number)
                .filter(|project| self.premises.has(&project.project_id))
                .ok_or_else(|| missing(id_or_number));
        }
        if !is_project_id(id_or_number) || !self.premises.has(id_or_number) {
            return Err(missing(id_or_number));
        }
        let number = number_of(id_or_number);
        if let Some(project) = self.known.get(&number) {
            return Ok(project);
        }
        let project = Project {
            project_id: id_or_number.to_owned(),
            number: number.clone(),
            create_time: now(),
            labels: BTreeMap::new(),
        };
        self.known.put(&number, project.clone())?;
        Ok(project)
    }

    /// The id behind an id or a number.
    pub fn id(&self, id_or_number: &str) -> Result<String, ApiError> {
        Ok(self.get(id_or_number)?.project_id)
    }

    /// The number, as text, behind an id or a number.
    pub fn number(&self, id_or_number: &str) -> Result<String, ApiError> {
        Ok(self.get(id_or_number)?.number)
    }

    /// A resource name with the project's id where it may hold its number.
    pub fn by_id(&self, resource: &str) -> Result<String, ApiError> {
        let Some((project, rest)) = split(resource) else {
            return Ok(resource.to_owned());
        };
        Ok(format!("projects/{}{rest}", self.id(project)?))
    }

    /// A resource name with the project's number, as some services answer it.
    pub fn by_number(&self, resource: &str) -> Result<String, ApiError> {
        let Some((project, rest)) = split(resource) else {
            return Ok(resource.to_owned());
        };
        Ok(format!("projects/{}{rest}", self.number(project)?))
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v3/projects/{project}", get_v3),
        Route::new(Method::GET, "/v1/projects/{project}", get_v1),
        Route::new(Method::GET, "/v1/projects", list_v1),
        Route::new(
            Method::POST,
            "/v3/projects/{project}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            Method::POST,
            "/v3/projects/{project}:setIamPolicy",
            set_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}:setIamPolicy",
            set_policy,
        ),
        Route::new(
            Method::POST,
            "/v3/projects/{project}:testIamPermissions",
            test_permissions,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}:testIamPermissions",
            test_permissions,
        ),
    ]
}

async fn get_v3(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "resourcemanager.projects.get")?;
    Ok(Json(json!({
        "name": format!("projects/{}", project.number),
        "projectId": project.project_id,
        "displayName": project.project_id,
        "state": "ACTIVE",
        "createTime": project.create_time,
        "updateTime": project.create_time,
        "labels": project.labels,
    }))
    .into_response())
}

async fn get_v1(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "resourcemanager.projects.get")?;
    Ok(Json(view_v1(&project)).into_response())
}

fn view_v1(project: &Project) -> Value {
    json!({
        "projectNumber": project.number,
        "projectId": project.project_id,
        "name": project.project_id,
        "lifecycleState": "ACTIVE",
        "createTime": project.create_time,
        "labels": project.labels,
    })
}

/// Those the caller sees, of the projects met so far: others are told of nowhere.
async fn list_v1(cloud: Arc<Cloud>, request: Request) -> Reply {
    let filter = request.query("filter").unwrap_or_default();
    if !matches!(filter, "" | "lifecycleState:ACTIVE") {
        return Err(ApiError::unimplemented(format!(
            "the local cloud lists projects without a filter, not with `{filter}`"
        )));
    }
    let sees = |project: &Project| {
        let permission = "resourcemanager.projects.get";
        policy::require(&cloud, &request.caller, &resource_of(project), permission).is_ok()
    };
    let known = cloud.projects.known.list("").into_iter();
    let known = known.map(|(_, project)| project);
    let known = known.filter(|it| cloud.projects.premises.has(&it.project_id) && sees(it));
    let mut known: Vec<_> = known
        .map(|it| (it.project_id.clone(), view_v1(&it)))
        .collect();
    known.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (page, next) = Paging::of(&request, 500)?.take(known);
    Ok(Json(forms::list_reply("projects", &page, next)).into_response())
}

/// The project a request names, if the caller may do this to it.
fn admitted(cloud: &Cloud, request: &Request, permission: &str) -> Result<Project, ApiError> {
    let project = cloud.projects.get(request.var("project"))?;
    policy::require(cloud, &request.caller, &resource_of(&project), permission)?;
    Ok(project)
}

fn resource_of(project: &Project) -> String {
    format!("projects/{}", project.project_id)
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "resourcemanager.projects.getIamPolicy")?;
    policy::get_iam_policy(&cloud, request, &resource_of(&project)).await
}

async fn set_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "resourcemanager.projects.setIamPolicy")?;
    policy::set_iam_policy(&cloud, request, &resource_of(&project)).await
}

async fn test_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.get(request.var("project"))?;
    policy::test_iam_permissions(&cloud, request, &resource_of(&project)).await
}

/// `projects/P/rest` as `P` and `/rest`.
fn split(resource: &str) -> Option<(&str, &str)> {
    let rest = resource.strip_prefix("projects/")?;
    Some(rest.split_at(rest.find('/').unwrap_or(rest.len())))
}

/// 6 to 30 lower-case letters, digits and hyphens, perhaps behind a domain (`example.com:p`).
pub fn is_project_id(text: &str) -> bool {
    let id = text.rsplit(':').next().unwrap_or(text);
    let inner =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    (6..=30).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && !id.ends_with('-')
        && id.chars().all(inner)
}

/// Twelve digits that follow from the id, so that state made anew names the same project.
fn number_of(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let head = hash
        .iter()
        .take(8)
        .fold(0u64, |head, byte| head << 8 | u64::from(*byte));
    (100_000_000_000 + head % 900_000_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_by_id_and_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let projects = Projects::open(&Store::open(folder.path()).unwrap()).unwrap();
        let number = projects.number("acme-prod").unwrap();
        assert_eq!(projects.id(&number).unwrap(), "acme-prod");
        let name = projects.by_number("projects/acme-prod/secrets/s").unwrap();
        assert_eq!(name, format!("projects/{number}/secrets/s"));
        assert_eq!(
            projects.by_id(&name).unwrap(),
            "projects/acme-prod/secrets/s"
        );
    }

    #[test]
    fn an_ill_formed_id_names_no_project() {
        for id in [
            "short",
            "Upper-case",
            "ends-in-",
            "1-digit-first",
            "",
            "a_b_c_d_e",
        ] {
            assert!(!is_project_id(id), "{id}");
        }
        assert!(is_project_id("example.com:my-project"));
    }
}
