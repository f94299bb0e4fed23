//! Cloud Asset Inventory v1, as far as a project's own assets go: `assets.list`.
//!
//! Every service tells its assets in its own words; here they become pages. Unlike
//! Google's, it never lags behind the services.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy::require;
use crate::projects::Project;
use crate::router::{Reply, Request, Route};
use crate::{bigquery, clock, registry, run, secrets, storage};

const MOST: usize = 1000;

/// Something of a project, as its service describes it.
pub struct Asset {
    /// `run.googleapis.com/Job`
    pub kind: &'static str,
    /// The part behind the service: `projects/P/locations/R/jobs/J`.
    pub name: String,
    /// What its policy is kept by, where it has one.
    pub policy: Option<String>,
    pub data: Value,
}

impl Asset {
    /// `//run.googleapis.com/projects/P/locations/R/jobs/J`
    fn full_name(&self) -> String {
        let service = self.kind.split('/').next().unwrap_or_default();
        format!("//{service}/{}", self.name)
    }

    fn view(&self, cloud: &Cloud, content: Content) -> Option<Value> {
        let mut view = json!({
            "name": self.full_name(),
            "assetType": self.kind,
            "updateTime": clock::now(),
        });
        match content {
            Content::None => {}
            Content::Resource => view["resource"] = json!({"version": "v1", "data": self.data}),
            Content::Policy => {
                let policy = cloud.policies.get(self.policy.as_ref()?);
                if policy.bindings.is_empty() {
                    return None;
                }
                view["iamPolicy"] = json!(policy);
            }
        }
        Some(view)
    }
}

#[derive(Debug, Clone, Copy)]
enum Content {
    None,
    Resource,
    Policy,
}

impl Content {
    fn of(request: &Request) -> Result<Content, ApiError> {
        match request.query("contentType").unwrap_or_default() {
            "" | "CONTENT_TYPE_UNSPECIFIED" => Ok(Content::None),
            "RESOURCE" => Ok(Content::Resource),
            "IAM_POLICY" => Ok(Content::Policy),
            other => Err(ApiError::unimplemented(format!(
                "the local cloud does not serve assets with contentType {other}"
            ))),
        }
    }

    fn permission(self) -> &'static str {
        match self {
            Content::Policy => "cloudasset.assets.listIamPolicy",
            _ => "cloudasset.assets.listResource",
        }
    }
}

pub fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/v1/projects/{project}/assets",
        list,
    )]
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.get(request.var("project"))?;
    let content = Content::of(&request)?;
    let resource = format!("projects/{}", project.project_id);
    require(&cloud, &request.caller, &resource, content.permission())?;
    let types: Vec<&str> = request.queries("assetTypes").collect();
    let assets = all(&cloud, &project)?;
    let wanted = assets
        .iter()
        .filter(|asset| types.is_empty() || types.contains(&asset.kind));
    let mut views: Vec<(String, Value)> = wanted
        .filter_map(|asset| Some((asset.full_name(), asset.view(&cloud, content)?)))
        .collect();
    views.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (page, next) = Paging::of(&request, MOST)?.take(views);
    let mut reply = json!({"readTime": clock::now(), "assets": page});
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

fn all(cloud: &Cloud, project: &Project) -> Result<Vec<Asset>, ApiError> {
    let id = &project.project_id;
    let mut assets = storage::assets(cloud, id)?;
    assets.extend(secrets::assets(cloud, project)?);
    assets.extend(run::assets(cloud, id));
    assets.extend(bigquery::assets(cloud, id));
    assets.extend(registry::assets(cloud, id));
    Ok(assets)
}
