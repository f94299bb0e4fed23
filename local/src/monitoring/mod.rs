//! Cloud Monitoring v3, as far as it is kept: alert policies and notification channels.
//!
//! They are checked as the service does. Nobody is told anything: `incidents` says who would be.

mod condition;
mod incidents;

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use condition::Condition;

use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy::require;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

const MOST: usize = 1000;
const POLICY_FIELDS: [&str; 13] = [
    "alertStrategy",
    "combiner",
    "conditions",
    "creationRecord",
    "displayName",
    "documentation",
    "enabled",
    "mutationRecord",
    "name",
    "notificationChannels",
    "severity",
    "userLabels",
    "validity",
];
const CHANNEL_FIELDS: [&str; 10] = [
    "creationRecord",
    "description",
    "displayName",
    "enabled",
    "labels",
    "mutationRecords",
    "name",
    "type",
    "userLabels",
    "verificationStatus",
];

/// What is kept, by name: `projects/P/alertPolicies/N`, `projects/P/notificationChannels/N`.
pub struct Monitoring {
    kept: Collection<Value>,
}

impl Monitoring {
    pub fn open(store: &Store) -> io::Result<Monitoring> {
        let kept = store.collection("monitoring")?;
        Ok(Monitoring { kept })
    }

    fn uses(&self, project: &str, channel: &str) -> bool {
        let policies = self
            .kept
            .list(&format!("projects/{project}/alertPolicies/"));
        policies.iter().any(|(_, policy)| {
            let channels = policy["notificationChannels"].as_array();
            channels.into_iter().flatten().any(|it| it == channel)
        })
    }
}

/// One of the two kinds that are kept.
#[derive(Clone, Copy)]
struct Kind {
    collection: &'static str,
    fields: &'static [&'static str],
    check: fn(&Cloud, &str, &Value) -> Result<(), ApiError>,
}

const POLICIES: Kind = Kind {
    collection: "alertPolicies",
    fields: &POLICY_FIELDS,
    check: check_policy,
};
const CHANNELS: Kind = Kind {
    collection: "notificationChannels",
    fields: &CHANNEL_FIELDS,
    check: check_channel,
};

pub fn routes() -> Vec<Route> {
    let policies = (
        "/v3/projects/{project}/alertPolicies",
        "/v3/projects/{project}/alertPolicies/{id}",
    );
    let channels = (
        "/v3/projects/{project}/notificationChannels",
        "/v3/projects/{project}/notificationChannels/{id}",
    );
    let mut routes = Vec::new();
    for (kind, (all, one)) in [(POLICIES, policies), (CHANNELS, channels)] {
        routes.push(Route::new(Method::POST, all, move |cloud, request| {
            create(cloud, request, kind)
        }));
        routes.push(Route::new(Method::GET, all, move |cloud, request| {
            list(cloud, request, kind)
        }));
        routes.push(Route::new(Method::GET, one, move |cloud, request| {
            get(cloud, request, kind)
        }));
        routes.push(Route::new(Method::PATCH, one, move |cloud, request| {
            patch(cloud, request, kind)
        }));
        routes.push(Route::new(Method::DELETE, one, move |cloud, request| {
            delete(cloud, request, kind)
        }));
    }
    routes
}

/// What Google does not have.
pub fn own_routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/_local/incidents",
        incidents::tell,
    )]
}

/// The project, if the caller may do `verb` there.
fn allowed(cloud: &Cloud, request: &Request, kind: Kind, verb: &str) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    let permission = format!("monitoring.{}.{verb}", kind.collection);
    require(
        cloud,
        &request.caller,
        &format!("projects/{project}"),
        &permission,
    )?;
    Ok(project)
}

fn name_of(project: &str, kind: Kind, id: &str) -> String {
    format!("projects/{project}/{}/{id}", kind.collection)
}

fn absent(name: &str) -> ApiError {
    ApiError::not_found(format!("Could not find {name}."))
}

async fn create(cloud: Arc<Cloud>, mut request: Request, kind: Kind) -> Reply {
    let project = allowed(&cloud, &request, kind, "create")?;
    let mut body: Map<String, Value> = request.json().await?;
    let id = uuid::Uuid::new_v4().as_u128() % 10_u128.pow(19);
    let name = name_of(&project, kind, &id.to_string());
    body.insert("name".to_owned(), json!(name));
    if kind.collection == POLICIES.collection {
        let record = json!({"mutateTime": clock::now()});
        body.insert("creationRecord".to_owned(), record);
    }
    let document = checked(&cloud, &project, body, kind)?;
    cloud.monitoring.kept.put(&name, document.clone())?;
    Ok(Json(document).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request, kind: Kind) -> Reply {
    let project = allowed(&cloud, &request, kind, "list")?;
    if request
        .query("filter")
        .is_some_and(|filter| !filter.is_empty())
    {
        return Err(ApiError::unimplemented(
            "the local cloud lists these without a filter",
        ));
    }
    let all = cloud.monitoring.kept.list(&name_of(&project, kind, ""));
    let total = all.len();
    let (page, next) = Paging::of(&request, MOST)?.take(all);
    let mut reply = json!({"totalSize": total});
    reply[kind.collection] = json!(page);
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request, kind: Kind) -> Reply {
    let project = allowed(&cloud, &request, kind, "get")?;
    let name = name_of(&project, kind, request.var("id"));
    let found = cloud.monitoring.kept.get(&name);
    Ok(Json(found.ok_or_else(|| absent(&name))?).into_response())
}

/// Replaces the fields the mask names, or all.
async fn patch(cloud: Arc<Cloud>, mut request: Request, kind: Kind) -> Reply {
    let project = allowed(&cloud, &request, kind, "update")?;
    let name = name_of(&project, kind, request.var("id"));
    let sent: Map<String, Value> = request.json().await?;
    let mask = request.query("updateMask").unwrap_or_default().to_owned();
    let before = cloud.monitoring.kept.get(&name);
    let Value::Object(mut after) = before.ok_or_else(|| absent(&name))? else {
        return Err(absent(&name));
    };
    match mask.is_empty() {
        true => {
            let record = after.remove("creationRecord");
            after = sent;
            after.extend(record.map(|it| ("creationRecord".to_owned(), it)));
        }
        false => {
            for field in mask.split(',') {
                match sent.get(field) {
                    Some(value) => after.insert(field.to_owned(), value.clone()),
                    None => after.remove(field),
                };
            }
        }
    }
    after.insert("name".to_owned(), json!(name));
    let document = checked(&cloud, &project, after, kind)?;
    cloud.monitoring.kept.put(&name, document.clone())?;
    Ok(Json(document).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request, kind: Kind) -> Reply {
    let project = allowed(&cloud, &request, kind, "delete")?;
    let name = name_of(&project, kind, request.var("id"));
    let forced = request.query("force") == Some("true");
    if !forced && cloud.monitoring.uses(&project, &name) {
        return Err(ApiError::failed_precondition(format!(
            "Cannot delete {name}: it is in use by an alerting policy."
        )));
    }
    let gone = cloud.monitoring.kept.remove(&name)?;
    gone.ok_or_else(|| absent(&name))?;
    Ok(Json(json!({})).into_response())
}

/// The document with the service's defaults, if the service would take it.
fn checked(
    cloud: &Cloud,
    project: &str,
    mut body: Map<String, Value>,
    kind: Kind,
) -> Result<Value, ApiError> {
    if let Some(field) = body.keys().find(|key| !kind.fields.contains(&key.as_str())) {
        return Err(ApiError::invalid(format!(
            "Invalid JSON payload received. Unknown name \"{field}\": Cannot find field."
        )));
    }
    body.entry("enabled").or_insert(json!(true));
    let mut document = Value::Object(body);
    (kind.check)(cloud, project, &document)?;
    let name = document["name"].as_str().unwrap_or_default().to_owned();
    let conditions = document.get_mut("conditions");
    if let Some(conditions) = conditions.and_then(Value::as_array_mut) {
        for (at, condition) in conditions.iter_mut().enumerate() {
            if condition["name"].is_null() {
                condition["name"] = json!(format!("{name}/conditions/{at}"));
            }
        }
    }
    Ok(document)
}

fn check_policy(cloud: &Cloud, project: &str, policy: &Value) -> Result<(), ApiError> {
    let conditions = policy["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if policy["displayName"].as_str().is_none_or(str::is_empty) || conditions.is_empty() {
        return Err(ApiError::invalid(
            "An alert policy needs a display_name and 1 to 6 conditions.",
        ));
    }
    if !matches!(
        policy["combiner"].as_str(),
        Some("AND" | "OR" | "AND_WITH_MATCHING_RESOURCE")
    ) {
        return Err(ApiError::invalid(
            "Field alert_policy.combiner had an invalid value.",
        ));
    }
    let limited = !policy["alertStrategy"]["notificationRateLimit"]["period"].is_null();
    let by_log = conditions
        .iter()
        .any(|it| it.get("conditionMatchedLog").is_some());
    if by_log != limited || by_log && conditions.len() > 1 {
        return Err(ApiError::invalid(
            "A condition_matched_log stands alone and needs alert_strategy.notification_rate_limit, which others do not take.",
        ));
    }
    for condition in conditions {
        check_condition(cloud, project, condition)?;
    }
    let channels = policy["notificationChannels"].as_array();
    let names = channels.into_iter().flatten().filter_map(Value::as_str);
    for name in names {
        if cloud.monitoring.kept.get(name).is_none() {
            return Err(ApiError::invalid(format!(
                "Could not find the notification channel {name}."
            )));
        }
    }
    Ok(())
}

/// A metric is watched once Monitoring knows it, minutes after it was made.
fn check_condition(cloud: &Cloud, project: &str, condition: &Value) -> Result<(), ApiError> {
    let Condition::Silence(silence) = Condition::of(condition)? else {
        return Ok(());
    };
    let metric = silence.metric;
    match cloud.logs.metrics.of_type(project, &metric) {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found(format!(
            "Cannot find metric that matches type = \"{metric}\". If a metric was created \
             recently, it could take up to 10 minutes to become available. Please try again soon."
        ))),
    }
}

fn check_channel(_: &Cloud, _: &str, channel: &Value) -> Result<(), ApiError> {
    let address = channel["labels"]["email_address"].as_str();
    match channel["type"].as_str() {
        Some("email") if address.is_some_and(|it| it.contains('@')) => Ok(()),
        Some("email") => Err(ApiError::invalid("The label email_address is no address.")),
        other => Err(ApiError::unimplemented(format!(
            "the local cloud keeps channels of type email, not {}",
            other.unwrap_or("none")
        ))),
    }
}
