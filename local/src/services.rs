//! Which APIs are on in a project: Service Usage v1.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::billing;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::lag::Lag;
use crate::paging::Paging;
use crate::policy::require;
use crate::projects::Project;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

/// On in a new project.
const FROM_THE_START: [&str; 6] = [
    "bigquery.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
];

/// What can be switched on besides: the APIs served here and those a workspace's
/// other infrastructure is likely to want.
const ALSO_KNOWN: [&str; 24] = [
    "aiplatform.googleapis.com",
    "appengine.googleapis.com",
    "artifactregistry.googleapis.com",
    "bigqueryconnection.googleapis.com",
    "bigquerydatatransfer.googleapis.com",
    "bigqueryreservation.googleapis.com",
    "bigquerystorage.googleapis.com",
    "cloudasset.googleapis.com",
    "cloudbilling.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudkms.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "containerregistry.googleapis.com",
    "dataflow.googleapis.com",
    "eventarc.googleapis.com",
    "iam.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "sqladmin.googleapis.com",
    "sts.googleapis.com",
];
const MOST_ENABLED: usize = 20;
const MOST_READ: usize = 30;

/// An API of a project, as the lag knows it.
fn lagging(project: &str, service: &str) -> String {
    format!("{project} {service}")
}

/// The APIs switched on, by project id.
pub struct Services {
    enabled: Collection<BTreeSet<String>>,
    operations: Collection<Value>,
    pub lag: Lag,
}

impl Services {
    pub fn open(store: &Store) -> io::Result<Services> {
        Ok(Services {
            enabled: store.collection("services")?,
            operations: store.collection("service-operations")?,
            lag: Lag::default(),
        })
    }

    pub fn is_enabled(&self, project: &str, service: &str) -> bool {
        FROM_THE_START.contains(&service)
            || self
                .enabled
                .get(project)
                .is_some_and(|services| services.contains(service))
    }

    pub fn enable(&self, project: &str, service: &str) -> io::Result<()> {
        self.enabled.update(project, |services| {
            if services.get_or_insert_default().insert(service.to_owned()) {
                self.lag.made(&lagging(project, service));
            }
            Ok(())
        })
    }

    pub fn disable(&self, project: &str, service: &str) -> io::Result<()> {
        self.enabled.update(project, |services| {
            services.get_or_insert_default().remove(service);
            Ok(())
        })
    }

    /// # Errors
    /// `SERVICE_DISABLED`, as Google answers a call to an API that is off.
    pub fn check(&self, project: &Project, service: &str) -> Result<(), ApiError> {
        let id = &project.project_id;
        if self.is_enabled(id, service) && self.lag.shows(&lagging(id, service)) {
            return Ok(());
        }
        let number = &project.number;
        let mut error = ApiError::permission_denied(format!(
            "{service} has not been used in project {number} ({}) before or it is disabled. Enable \
             it, then retry. If you enabled this API recently, wait a few minutes for the action \
             to propagate to our systems and retry.",
            project.project_id
        ))
        .reason("accessNotConfigured");
        error.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": service, "consumer": format!("projects/{number}")},
        }));
        Err(error)
    }
}

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/services";
    vec![
        Route::new(
            Method::POST,
            "/v1/projects/{project}/services:batchEnable",
            batch_enable,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/services:batchGet",
            batch_get,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/services/{service}:enable",
            enable,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/services/{service}:disable",
            disable,
        ),
        Route::new(Method::GET, ALL, list),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/services/{service}",
            get,
        ),
        Route::new(Method::GET, "/v1/operations/{operation}", operation),
    ]
}

fn admitted(cloud: &Cloud, request: &Request, verb: &str) -> Result<Project, ApiError> {
    let project = cloud.projects.get(request.var("project"))?;
    let resource = format!("projects/{}", project.project_id);
    let permission = format!("serviceusage.services.{verb}");
    require(cloud, &request.caller, &resource, &permission)?;
    Ok(project)
}

fn catalogue() -> BTreeSet<&'static str> {
    FROM_THE_START.into_iter().chain(ALSO_KNOWN).collect()
}

/// # Errors
/// As Google answers an id that is no API or one that is not for the caller.
fn check_known<'a>(services: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let catalogue = catalogue();
    let unknown: Vec<&str> = services
        .filter(|service| !catalogue.contains(service))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ApiError::permission_denied(format!(
        "Not found or permission denied for service(s): {}.",
        unknown.join(", ")
    )))
}

async fn batch_enable(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        #[serde(default)]
        service_ids: Vec<String>,
    }
    let project = admitted(&cloud, &request, "enable")?;
    let body: Body = request.json().await?;
    if !(1..=MOST_ENABLED).contains(&body.service_ids.len()) {
        return Err(ApiError::invalid(format!(
            "A batch must name 1 to {MOST_ENABLED} services."
        )));
    }
    let changed = switch_on(&cloud, &project, &body.service_ids)?;
    let services: Vec<Value> = body
        .service_ids
        .iter()
        .map(|service| view(&cloud, &project, service))
        .collect();
    let response = json!({
        "@type": "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse",
        "services": services,
    });
    done(&cloud, &project, changed, response)
}

/// Switches on all or none; tells whether any was off.
fn switch_on(cloud: &Cloud, project: &Project, services: &[String]) -> Result<bool, ApiError> {
    check_known(services.iter().map(String::as_str))?;
    let off = services
        .iter()
        .filter(|service| !cloud.services.is_enabled(&project.project_id, service));
    billing::check(cloud, project, off.map(String::as_str))?;
    let mut changed = false;
    for service in services {
        if !cloud.services.is_enabled(&project.project_id, service) {
            cloud.services.enable(&project.project_id, service)?;
            changed = true;
        }
    }
    Ok(changed)
}

async fn enable(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "enable")?;
    let service = request.var("service").to_owned();
    let changed = switch_on(&cloud, &project, std::slice::from_ref(&service))?;
    let response = json!({
        "@type": "type.googleapis.com/google.api.serviceusage.v1.EnableServiceResponse",
        "service": view(&cloud, &project, &service),
    });
    done(&cloud, &project, changed, response)
}

async fn disable(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "disable")?;
    let service = request.var("service");
    check_known(std::iter::once(service))?;
    if FROM_THE_START.contains(&service) {
        return Err(ApiError::unimplemented(format!(
            "the local cloud does not switch {service} off"
        )));
    }
    let changed = cloud.services.is_enabled(&project.project_id, service);
    cloud.services.disable(&project.project_id, service)?;
    let response = json!({
        "@type": "type.googleapis.com/google.api.serviceusage.v1.DisableServiceResponse",
        "service": view(&cloud, &project, service),
    });
    done(&cloud, &project, changed, response)
}

/// An operation that is over; nothing to do has Google's own name for it.
fn done(cloud: &Cloud, project: &Project, changed: bool, response: Value) -> Reply {
    let id = match changed {
        true => format!("acf.p2-{}-{}", project.number, uuid::Uuid::new_v4()),
        false => "noop.DONE_OPERATION".to_owned(),
    };
    let operation = json!({
        "name": format!("operations/{id}"),
        "done": true,
        "response": response,
    });
    if changed {
        cloud.services.operations.put(&id, operation.clone())?;
    }
    Ok(Json(operation).into_response())
}

async fn operation(cloud: Arc<Cloud>, request: Request) -> Reply {
    let id = request.var("operation");
    let operation = cloud.services.operations.get(id);
    let operation =
        operation.ok_or_else(|| ApiError::not_found(format!("Operation {id} not found.")))?;
    // Its id holds the project's number.
    let number = id.split('-').nth(1).unwrap_or_default();
    let resource = format!("projects/{}", cloud.projects.id(number)?);
    let permission = "serviceusage.operations.get";
    require(&cloud, &request.caller, &resource, permission)?;
    Ok(Json(operation).into_response())
}

fn view(cloud: &Cloud, project: &Project, service: &str) -> Value {
    let enabled = cloud.services.is_enabled(&project.project_id, service);
    let parent = format!("projects/{}", project.number);
    json!({
        "name": format!("{parent}/services/{service}"),
        "config": {"name": service},
        "state": if enabled { "ENABLED" } else { "DISABLED" },
        "parent": parent,
    })
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "get")?;
    let service = request.var("service");
    check_known(std::iter::once(service))?;
    Ok(Json(view(&cloud, &project, service)).into_response())
}

async fn batch_get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "get")?;
    let services: Vec<&str> = request
        .queries("names")
        .map(|name| name.rsplit('/').next().unwrap_or(name))
        .collect();
    if !(1..=MOST_READ).contains(&services.len()) {
        return Err(ApiError::invalid(format!(
            "A batch must name 1 to {MOST_READ} services."
        )));
    }
    check_known(services.iter().copied())?;
    let views: Vec<Value> = services
        .into_iter()
        .map(|service| view(&cloud, &project, service))
        .collect();
    Ok(Json(json!({ "services": views })).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "list")?;
    let wanted = wanted_state(request.query("filter").unwrap_or(""))?;
    let services = catalogue()
        .into_iter()
        .filter(|service| {
            let enabled = cloud.services.is_enabled(&project.project_id, service);
            wanted.is_none_or(|wanted| wanted == enabled)
        })
        .map(|service| (service.to_owned(), view(&cloud, &project, service)))
        .collect();
    let (page, next) = Paging::of(&request, 200)?.take(services);
    let mut reply = json!({ "services": page });
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

/// The filters Google documents: `state:ENABLED` and `state:DISABLED`.
fn wanted_state(filter: &str) -> Result<Option<bool>, ApiError> {
    match filter.replace(' ', "").as_str() {
        "" => Ok(None),
        "state:ENABLED" => Ok(Some(true)),
        "state:DISABLED" => Ok(Some(false)),
        _ => Err(ApiError::invalid(
            "The filter must be `state:ENABLED` or `state:DISABLED`.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> Project {
        Project {
            project_id: "acme-prod".to_owned(),
            number: "123".to_owned(),
            create_time: String::new(),
            labels: Default::default(),
        }
    }

    #[test]
    fn an_api_that_is_off_says_so_as_google_does() {
        let folder = tempfile::tempdir().unwrap();
        let services = Services::open(&Store::open(folder.path()).unwrap()).unwrap();
        let error = services
            .check(&project(), "run.googleapis.com")
            .unwrap_err();
        assert_eq!(error.code, 403);
        assert_eq!(error.details[0]["reason"], "SERVICE_DISABLED");
        assert_eq!(error.details[0]["metadata"]["consumer"], "projects/123");
        services.enable("acme-prod", "run.googleapis.com").unwrap();
        assert!(services.check(&project(), "run.googleapis.com").is_ok());
        assert!(services.check(&project(), "storage.googleapis.com").is_ok());
    }

    #[test]
    fn an_id_that_is_no_api_is_refused() {
        let error = check_known(["run.googleapis.com", "rum.googleapis.com"].into_iter());
        assert!(error.unwrap_err().message.contains("rum.googleapis.com"));
    }
}
