//! Logging's API v2: entries written and listed.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::filter::Filter;
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

const LARGEST_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 50;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v2/entries:list", list),
        Route::new(Method::POST, "/v2/entries:write", write),
        Route::new(Method::GET, "/v2/projects/{project}/logs", logs),
    ]
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ListRequest {
    resource_names: Vec<String>,
    project_ids: Vec<String>,
    filter: String,
    order_by: String,
    page_size: usize,
    page_token: String,
}

impl ListRequest {
    fn projects(&self) -> Result<BTreeSet<&str>, ApiError> {
        let named = self.resource_names.iter().map(|name| {
            name.strip_prefix("projects/")
                .map(|rest| rest.split('/').next().unwrap_or_default())
                .ok_or_else(|| {
                    ApiError::unimplemented(format!(
                        "the local cloud lists entries of projects, not of `{name}`"
                    ))
                })
        });
        let ids = self.project_ids.iter().map(|id| Ok(id.as_str()));
        let projects: BTreeSet<&str> = named.chain(ids).collect::<Result<_, _>>()?;
        if projects.is_empty() {
            return Err(ApiError::invalid("resource_names must not be empty"));
        }
        Ok(projects)
    }

    fn newest_first(&self) -> Result<bool, ApiError> {
        match self.order_by.as_str() {
            "" | "timestamp" | "timestamp asc" => Ok(false),
            "timestamp desc" => Ok(true),
            other => Err(ApiError::invalid(format!(
                "order_by `{other}` is neither `timestamp asc` nor `timestamp desc`"
            ))),
        }
    }
}

/// Where an entry stands in the order: entries of one time go by their ids.
fn position(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    format!("{} {}", text("timestamp"), text("insertId"))
}

async fn list(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let caller = request.caller.clone();
    let body: Map<String, Value> = request.json().await?;
    let list: ListRequest = forms::read(body)?;
    let filter = Filter::parse(&list.filter)?;
    let newest_first = list.newest_first()?;
    let (first, last) = filter.days();
    let mut entries = Vec::new();
    for project in list.projects()? {
        let project = cloud.projects.id(project)?;
        let resource = format!("projects/{project}");
        policy::require(&cloud, &caller, &resource, "logging.logEntries.list")?;
        entries.extend(cloud.logs.read(&project, &first, &last)?);
    }
    entries.retain(|entry| filter.matches(entry));
    let (page, next) = page(entries, newest_first, &list)?;
    Ok(Json(forms::list_reply("entries", &page, next)).into_response())
}

/// The names of all logs that have entries.
async fn logs(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.id(request.var("project"))?;
    let resource = format!("projects/{project}");
    policy::require(&cloud, &request.caller, &resource, "logging.logs.list")?;
    let entries = cloud.logs.read(&project, "0", "9")?;
    let names = entries.iter().filter_map(|entry| entry["logName"].as_str());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    let names = names
        .into_iter()
        .map(|name| (name.clone(), Value::from(name)));
    let (page, next) = Paging::of(&request, LARGEST_PAGE)?.take(names.collect());
    Ok(Json(forms::list_reply("logNames", &page, next)).into_response())
}

/// The page after the token's entry; entries that arrive between two pages do not shift it.
fn page(
    mut entries: Vec<Value>,
    newest_first: bool,
    list: &ListRequest,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    let size = match list.page_size {
        0 => DEFAULT_PAGE,
        size => size.min(LARGEST_PAGE),
    };
    entries.sort_by_cached_key(position);
    if newest_first {
        entries.reverse();
    }
    if let Some(after) = after(&list.page_token)? {
        entries.retain(|entry| match newest_first {
            true => position(entry) < after,
            false => position(entry) > after,
        });
    }
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(position);
    Ok((entries, next.map(|next| URL_SAFE_NO_PAD.encode(next))))
}

fn after(token: &str) -> Result<Option<String>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| ApiError::invalid("page_token is not one of this listing"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WriteRequest {
    log_name: String,
    resource: Option<Value>,
    labels: Map<String, Value>,
    entries: Vec<Map<String, Value>>,
    /// Entries are checked all together here, so a part is never written.
    #[allow(dead_code, reason = "taken, and without effect")]
    partial_success: bool,
    dry_run: bool,
}

async fn write(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let caller = request.caller.clone();
    let body: Map<String, Value> = request.json().await?;
    let write: WriteRequest = forms::read(body)?;
    let entries = write.entries.iter().map(|entry| {
        let entry = complete(entry.clone(), &write)?;
        let log = entry["logName"].as_str().unwrap_or_default();
        let project = log
            .strip_prefix("projects/")
            .and_then(|rest| rest.split('/').next());
        let project = project.ok_or_else(|| {
            ApiError::invalid(format!("log_name `{log}` is not projects/PROJECT/logs/LOG"))
        })?;
        let project = cloud.projects.id(project)?;
        let resource = format!("projects/{project}");
        policy::require(&cloud, &caller, &resource, "logging.logEntries.create")?;
        Ok((project, entry))
    });
    let entries: Vec<(String, Value)> = entries.collect::<Result<_, ApiError>>()?;
    for (project, entry) in entries.into_iter().filter(|_| !write.dry_run) {
        cloud.logs.write(&project, &[entry])?;
    }
    Ok(Json(json!({})).into_response())
}

/// The entry with what the request says for all, and what the service adds.
fn complete(mut entry: Map<String, Value>, write: &WriteRequest) -> Result<Value, ApiError> {
    let now = clock::now();
    entry.entry("logName").or_insert(json!(write.log_name));
    if let Some(resource) = &write.resource {
        entry.entry("resource").or_insert(resource.clone());
    }
    if let Value::Object(labels) = entry.entry("labels").or_insert(json!({})) {
        for (key, value) in &write.labels {
            labels.entry(key).or_insert(value.clone());
        }
    }
    let time =
        match entry.get("timestamp").and_then(Value::as_str) {
            None => now.clone(),
            Some(text) => forms::timestamp(text.parse().map_err(|_| {
                ApiError::invalid(format!("timestamp `{text}` is no RFC 3339 time"))
            })?),
        };
    entry.insert("timestamp".to_owned(), json!(time));
    entry.insert("receiveTimestamp".to_owned(), json!(now));
    entry
        .entry("insertId")
        .or_insert(json!(Uuid::new_v4().simple().to_string()));
    Ok(Value::Object(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_on_where_the_last_ended_even_when_entries_arrive() {
        let entry = |second: u32| json!({"timestamp": format!("2026-11-21T00:00:{second:02}Z"), "insertId": "i"});
        let mut list = ListRequest {
            page_size: 2,
            ..ListRequest::default()
        };
        let (first, next) = page(vec![entry(3), entry(1), entry(2)], true, &list).unwrap();
        assert_eq!(first, [entry(3), entry(2)]);
        list.page_token = next.unwrap();
        let later = vec![entry(4), entry(3), entry(1), entry(2)];
        assert_eq!(page(later, true, &list).unwrap(), (vec![entry(1)], None));
    }
}
