//! Queries as requests: `jobs.query` and `jobs.getQueryResults`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::access;
use super::faults::error_of;
use super::job::{Failure, Job, State};
use super::jobs;
use super::resource::number;
use super::schema::Schema;
use super::table::Kind;
use super::tabledata::{self, Window, timestamps};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Reply, Request, Route};

/// How long a request waits for a job when it does not say.
const TIMEOUT_MS: usize = 10_000;
const LONGEST_MS: usize = 200_000;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/bigquery/v2/projects/{project}/queries",
            query,
        ),
        Route::new(
            Method::GET,
            "/bigquery/v2/projects/{project}/queries/{job}",
            results,
        ),
    ]
}

async fn query(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body: Value = request.json().await?;
    let project = request.var("project");
    let job = start(&cloud, project, &request.caller, &body).await?;
    if body["dryRun"].as_bool() == Some(true) {
        return Ok(Json(dry_reply(&job)).into_response());
    }
    let limit = wait_limit(integer(&body["timeoutMs"]));
    let job = jobs::wait(&cloud, job, limit).await;
    let options = &body["formatOptions"];
    let window = Window {
        start: 0,
        count: integer(&body["maxResults"]).unwrap_or(50_000).min(50_000),
        timestamps: timestamps(
            options["useInt64Timestamp"].as_bool().unwrap_or(false),
            options["timestampOutputFormat"].as_str(),
        ),
    };
    let mut reply = reply(&cloud, &job, window).await?;
    reply["kind"] = "bigquery#queryResponse".into();
    // The results of a job that is asked for again do not have these.
    if job.state == State::Done {
        reply["location"] = job.location.clone().into();
        reply["creationTime"] = job.created.to_string().into();
        for (name, time) in [("startTime", job.started), ("endTime", job.ended)] {
            reply[name] = time.unwrap_or(job.created).to_string().into();
        }
    }
    let statistics = job.statistics.get("query");
    for name in ["dmlStats", "statementType"] {
        if let Some(value) = statistics.and_then(|statistics| statistics.get(name)) {
            reply[name] = value.clone();
        }
    }
    Ok(Json(reply).into_response())
}

fn integer(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok()
}

fn wait_limit(asked_ms: Option<usize>) -> Duration {
    Duration::from_millis(asked_ms.unwrap_or(TIMEOUT_MS).min(LONGEST_MS) as u64)
}

/// Starts the query's job, or finds the one an earlier try of the same request started.
async fn start(
    cloud: &Arc<Cloud>,
    project: &str,
    caller: &Caller,
    body: &Value,
) -> Result<Job, ApiError> {
    let mut reference = json!({"projectId": project});
    if let Some(location) = body["location"].as_str() {
        reference["location"] = location.into();
    }
    let request_id = body["requestId"].as_str().filter(|id| !id.is_empty());
    if let Some(id) = request_id {
        if id.len() > 36 || !id.is_ascii() {
            return Err(ApiError::invalid(
                "Invalid requestId: at most 36 ASCII characters",
            ));
        }
        let digest = hex::encode(Sha256::digest(format!("{project}/{id}")));
        reference["jobId"] = format!("job_{}", &digest[..32]).into();
    }
    let job = json!({"jobReference": reference, "configuration": configuration(body)});
    match jobs::submit(cloud, project, caller, job).await {
        Err(error) if error.code == 409 && request_id.is_some() => {
            let id = reference["jobId"].as_str().unwrap_or_default();
            same_request(cloud, project, id, body).ok_or(error)
        }
        other => other,
    }
}

/// The job of a repeated request, wherever it ran.
fn same_request(cloud: &Cloud, project: &str, id: &str, body: &Value) -> Option<Job> {
    let jobs = cloud.bigquery.jobs.list(&format!("{project}/"));
    let job = jobs
        .into_iter()
        .map(|(_, job)| job)
        .find(|job| job.id == id)?;
    (job.configuration["query"]["query"] == body["query"]).then_some(job)
}

/// `configuration` of the job a `jobs.query` request stands for.
fn configuration(body: &Value) -> Value {
    const QUERY: &[&str] = &[
        "query",
        "defaultDataset",
        "useLegacySql",
        "useQueryCache",
        "queryParameters",
        "parameterMode",
        "maximumBytesBilled",
        "createSession",
        "connectionProperties",
        "destinationEncryptionConfiguration",
    ];
    let kept = |names: &[&str]| -> Map<String, Value> {
        let found = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone())));
        found.filter(|(_, value)| !value.is_null()).collect()
    };
    let mut configuration = kept(&["dryRun", "labels", "jobTimeoutMs"]);
    configuration.insert("query".to_owned(), Value::Object(kept(QUERY)));
    Value::Object(configuration)
}

fn dry_reply(job: &Job) -> Value {
    json!({
        "kind": "bigquery#queryResponse",
        "jobReference": {"projectId": job.project, "location": job.location},
        "jobComplete": true,
        "schema": job.statistics.get("query").map(|query| query["schema"].clone()),
        "totalBytesProcessed": job.statistics.get("totalBytesProcessed"),
        "totalRows": "0",
        "cacheHit": false,
    })
}

async fn results(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = jobs::find(
        &cloud,
        request.var("project"),
        request.var("job"),
        request.query("location"),
    )?;
    if !job.configuration["query"].is_object() {
        return Err(ApiError::invalid(
            "Cannot retrieve results of a job that is not a query job.",
        ));
    }
    access::for_made(&cloud, &request.caller, &job, "bigquery.jobs.get")?;
    let limit = wait_limit(number(&request, "timeoutMs")?);
    let job = jobs::wait(&cloud, job, limit).await;
    let mut reply = reply(&cloud, &job, Window::of(&request)?).await?;
    reply["kind"] = "bigquery#getQueryResultsResponse".into();
    reply["etag"] = super::resource::etag(&job.key(), 2).into();
    Ok(Json(reply).into_response())
}

async fn reply(cloud: &Arc<Cloud>, job: &Job, window: Window) -> Result<Value, ApiError> {
    let mut reply =
        json!({"jobReference": job.reference(), "jobComplete": job.state == State::Done});
    if job.state != State::Done {
        return Ok(reply);
    }
    if let Some(failure) = &job.failure {
        return Err(raised(failure));
    }
    reply["cacheHit"] = false.into();
    reply["totalBytesProcessed"] = job
        .statistics
        .get("totalBytesProcessed")
        .cloned()
        .unwrap_or_else(|| "0".into());
    let statistics = job.statistics.get("query").cloned().unwrap_or_default();
    if let Some(affected) = statistics.get("numDmlAffectedRows") {
        reply["numDmlAffectedRows"] = affected.clone();
    }
    let script = statistics["statementType"] == "SCRIPT";
    let select = script || statistics["statementType"] == "SELECT";
    let table = job
        .results()
        .and_then(|results| cloud.bigquery.tables.get(&results.key()));
    match table.filter(|table| select && table.kind == Kind::Native) {
        Some(table) => {
            reply["schema"] = json!(table.schema);
            reply["totalRows"] = table.rows().to_string().into();
            let schema = table.schema.clone();
            let (rows, next) = tabledata::read(cloud, table, schema, window).await?;
            reply["rows"] = rows.into();
            if let Some(next) = next {
                reply["pageToken"] = next.into();
            }
        }
        None if select && !script => {
            return Err(ApiError::not_found(format!(
                "Not found: the results of job {}:{} have expired",
                job.project, job.id
            )));
        }
        None => {
            reply["schema"] = json!(Schema::default());
            reply["totalRows"] = "0".into();
        }
    }
    Ok(reply)
}

/// A job's failure as the error of the request that asks for its results.
fn raised(failure: &Failure) -> ApiError {
    let message = failure.message.clone();
    match failure.reason.as_str() {
        "notFound" => ApiError::not_found(message),
        "duplicate" => ApiError::already_exists(message),
        "notImplemented" => ApiError::unimplemented(message),
        "internalError" => ApiError::internal(message),
        other => error_of(other, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_query_raises_what_its_job_recorded() {
        let failure = |reason: &str| Failure {
            reason: reason.to_owned(),
            message: "x".to_owned(),
        };
        assert_eq!(raised(&failure("notFound")).code, 404);
        let invalid = raised(&failure("invalidQuery"));
        assert_eq!((invalid.code, invalid.reason), (400, "invalidQuery"));
    }

    #[test]
    fn legacy_sql_stays_the_default() {
        let made = configuration(&json!({"query": "SELECT 1", "maxResults": 5}));
        assert_eq!(made, json!({"query": {"query": "SELECT 1"}}));
    }
}
