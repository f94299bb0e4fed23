//! Metrics that count log entries, in Logging's API v2.
//!
//! Kept and checked as the service does. Nothing is counted beforehand: who wants a number reads
//! the log (`monitoring::incidents`).

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::filter::Filter;
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::lag::Lag;
use crate::paging::Paging;
use crate::policy::require;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

const MOST: usize = 1000;
const LONGEST_NAME: usize = 100;
const LONGEST_FILTER: usize = 20_000;
const LONGEST_DESCRIPTION: usize = 8000;
const FIELDS: [&str; 13] = [
    "bucketName",
    "bucketOptions",
    "createTime",
    "description",
    "disabled",
    "filter",
    "labelExtractors",
    "metricDescriptor",
    "name",
    "resourceName",
    "updateTime",
    "valueExtractor",
    "version",
];
/// What it is where nobody says: a count of entries.
const USUAL: [(&str, &str); 3] = [
    ("metricKind", "DELTA"),
    ("valueType", "INT64"),
    ("unit", "1"),
];

/// The metrics, by `projects/P/metrics/NAME`.
pub struct Metrics {
    kept: Collection<Value>,
    /// Monitoring learns of a new one after a while.
    pub lag: Lag,
}

impl Metrics {
    pub fn open(store: &Store) -> io::Result<Metrics> {
        Ok(Metrics {
            kept: store.collection("log-metrics")?,
            lag: Lag::default(),
        })
    }

    /// The metric of Monitoring's type `logging.googleapis.com/user/NAME`, as Monitoring knows it.
    pub fn of_type(&self, project: &str, kind: &str) -> Option<Value> {
        let name = kind.strip_prefix("logging.googleapis.com/user/")?;
        let name = full_name(project, name);
        let metric = self.kept.get(&name)?;
        self.lag.shows(&name).then_some(metric)
    }
}

pub fn routes() -> Vec<Route> {
    let (all, one) = (
        "/v2/projects/{project}/metrics",
        "/v2/projects/{project}/metrics/{metric}",
    );
    vec![
        Route::new(Method::POST, all, create),
        Route::new(Method::GET, all, list),
        Route::new(Method::GET, one, get),
        Route::new(Method::PUT, one, update),
        Route::new(Method::DELETE, one, delete),
    ]
}

fn full_name(project: &str, name: &str) -> String {
    format!("projects/{project}/metrics/{name}")
}

fn absent(name: &str) -> ApiError {
    ApiError::not_found(format!("Metric {name} does not exist"))
}

/// The project, if the caller may do `verb` there.
fn allowed(cloud: &Cloud, request: &Request, verb: &str) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    let permission = format!("logging.logMetrics.{verb}");
    let resource = format!("projects/{project}");
    require(cloud, &request.caller, &resource, &permission)?;
    Ok(project)
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let project = allowed(&cloud, &request, "create")?;
    let body: Map<String, Value> = request.json().await?;
    let id = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let name = full_name(&project, id);
    if cloud.logs.metrics.kept.get(&name).is_some() {
        return Err(ApiError::already_exists(format!(
            "Metric {id} already exists"
        )));
    }
    let metric = checked(&project, body, None)?;
    cloud.logs.metrics.lag.made(&name);
    cloud.logs.metrics.kept.put(&name, metric.clone())?;
    Ok(Json(metric).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = allowed(&cloud, &request, "list")?;
    let all = cloud.logs.metrics.kept.list(&full_name(&project, ""));
    let (page, next) = Paging::of(&request, MOST)?.take(all);
    Ok(Json(crate::forms::list_reply("metrics", &page, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = allowed(&cloud, &request, "get")?;
    let id = request.var("metric");
    let found = cloud.logs.metrics.kept.get(&full_name(&project, id));
    Ok(Json(found.ok_or_else(|| absent(id))?).into_response())
}

/// Replaces it, or makes it where it is not there.
async fn update(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let project = allowed(&cloud, &request, "update")?;
    let id = request.var("metric").to_owned();
    let name = full_name(&project, &id);
    let mut body: Map<String, Value> = request.json().await?;
    let before = cloud.logs.metrics.kept.get(&name);
    if before.is_none() {
        allowed(&cloud, &request, "create")?;
        cloud.logs.metrics.lag.made(&name);
    }
    if *body.entry("name").or_insert(json!(id)) != json!(id) {
        return Err(ApiError::invalid("The name of a metric cannot change"));
    }
    let metric = checked(&project, body, before.as_ref())?;
    cloud.logs.metrics.kept.put(&name, metric.clone())?;
    Ok(Json(metric).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = allowed(&cloud, &request, "delete")?;
    let id = request.var("metric");
    let gone = cloud.logs.metrics.kept.remove(&full_name(&project, id))?;
    gone.ok_or_else(|| absent(id))?;
    Ok(Json(json!({})).into_response())
}

/// The metric with what the service adds, if the service would take it.
fn checked(
    project: &str,
    mut body: Map<String, Value>,
    before: Option<&Value>,
) -> Result<Value, ApiError> {
    if let Some(field) = body.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(ApiError::invalid(format!(
            "Invalid JSON payload received. Unknown name \"{field}\": Cannot find field."
        )));
    }
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let (id, filter) = (text("name").to_owned(), text("filter"));
    check_name(&id)?;
    if filter.is_empty() || filter.len() > LONGEST_FILTER {
        return Err(ApiError::invalid(
            "A metric needs a filter of at most 20000 characters",
        ));
    }
    Filter::parse(filter)?;
    if text("description").len() > LONGEST_DESCRIPTION {
        return Err(ApiError::invalid("The description is too long"));
    }
    let descriptor = descriptor(project, &id, &body, before)?;
    let now = clock::now();
    let made = before.map_or(json!(now), |before| before["createTime"].clone());
    body.insert("metricDescriptor".to_owned(), descriptor);
    body.insert("createTime".to_owned(), made);
    body.insert("updateTime".to_owned(), json!(now));
    body.insert("version".to_owned(), json!("V2"));
    body.insert("resourceName".to_owned(), json!(full_name(project, &id)));
    Ok(Value::Object(body))
}

fn check_name(id: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.,+!*',()%/".contains(c);
    let fits = !id.is_empty() && id.len() <= LONGEST_NAME && !id.starts_with('/');
    match fits && id.chars().all(good) {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "`{id}` is no name of a metric: at most 100 letters, digits and _-.,+!*',()%/"
        ))),
    }
}

fn descriptor(
    project: &str,
    id: &str,
    body: &Map<String, Value>,
    before: Option<&Value>,
) -> Result<Value, ApiError> {
    let sent = body.get("metricDescriptor").cloned().unwrap_or(json!({}));
    let Value::Object(mut descriptor) = sent else {
        return Err(ApiError::invalid("metric_descriptor is no object"));
    };
    for (key, usual) in USUAL {
        let value = descriptor.entry(key).or_insert(json!(usual)).clone();
        let counts = key == "unit" || value == usual;
        if !counts {
            return Err(ApiError::unimplemented(format!(
                "the local cloud keeps metrics that count (DELTA, INT64), not {value}"
            )));
        }
        let changed = before.is_some_and(|it| it["metricDescriptor"][key] != value);
        if changed && key != "unit" {
            return Err(ApiError::invalid(format!(
                "{key} of a metric cannot change"
            )));
        }
    }
    let kind = format!("logging.googleapis.com/user/{id}");
    let name = format!("projects/{project}/metricDescriptors/{kind}");
    descriptor.insert("name".to_owned(), json!(name));
    descriptor.insert("type".to_owned(), json!(kind));
    if let Some(description) = body.get("description") {
        descriptor.insert("description".to_owned(), description.clone());
    }
    Ok(Value::Object(descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(body: Value) -> Result<Value, ApiError> {
        let Value::Object(body) = body else {
            unreachable!()
        };
        checked("p", body, None)
    }

    #[test]
    fn a_metric_counts_entries_where_nobody_says_otherwise() {
        let metric = made(json!({"name": "n", "filter": "severity>=ERROR"})).unwrap();
        let descriptor = &metric["metricDescriptor"];
        assert_eq!(descriptor["type"], "logging.googleapis.com/user/n");
        assert_eq!(descriptor["metricKind"], "DELTA");
        assert_eq!(metric["resourceName"], "projects/p/metrics/n");
    }

    #[test]
    fn what_google_would_not_take_is_refused() {
        for body in [
            json!({"name": "n"}),
            json!({"filter": "a=b"}),
            json!({"name": "/n", "filter": "a=b"}),
            json!({"name": "a b", "filter": "a=b"}),
            json!({"name": "n", "filter": "a=("}),
            json!({"name": "n", "filter": "a=b", "labels": {}}),
        ] {
            assert_eq!(made(body.clone()).unwrap_err().code, 400, "{body}");
        }
    }
}
