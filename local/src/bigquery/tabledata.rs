//! Rows of tables and of query results, a page at a time.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::access;
use super::files::{RESULTS, Source};
use super::resource::number;
use super::schema::Schema;
use super::table::{Kind, Table};
use super::tables;
use super::values::{Timestamps, rows};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

/// Most rows of one page.
const PAGE: usize = 50_000;

pub fn routes() -> Vec<Route> {
    const DATA: &str = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}/data";
    vec![Route::new(Method::GET, DATA, list)]
}

/// Which rows, and how they are written.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub start: usize,
    pub count: usize,
    pub timestamps: Timestamps,
}

impl Window {
    /// From `startIndex`, `pageToken`, `maxResults` and `formatOptions` of a request.
    pub fn of(request: &Request) -> Result<Window, ApiError> {
        let token = request.query("pageToken").filter(|token| !token.is_empty());
        let start = match token {
            Some(token) => token
                .parse()
                .map_err(|_| ApiError::invalid(format!("Invalid page token `{token}`.")))?,
            None => number(request, "startIndex")?.unwrap_or(0),
        };
        let int64 = request.query("formatOptions.useInt64Timestamp");
        let format = request.query("formatOptions.timestampOutputFormat");
        Ok(Window {
            start,
            count: number(request, "maxResults")?.map_or(PAGE, |asked| asked.min(PAGE)),
            timestamps: timestamps(
                int64.is_some_and(|text| text.eq_ignore_ascii_case("true")),
                format,
            ),
        })
    }
}

/// Timestamp form of `formatOptions`; the named format wins.
pub fn timestamps(int64: bool, format: Option<&str>) -> Timestamps {
    match format {
        Some("INT64" | "2") => Timestamps::Int64Micros,
        Some("ISO8601_STRING" | "3") => Timestamps::Iso8601,
        Some("FLOAT64" | "1") => Timestamps::FloatSeconds,
        _ if int64 => Timestamps::Int64Micros,
        _ => Timestamps::FloatSeconds,
    }
}

/// A page of a table's rows, and the token of the next page.
pub async fn read(
    cloud: &Arc<Cloud>,
    table: Table,
    schema: Schema,
    window: Window,
) -> Result<(Vec<Value>, Option<String>), ApiError> {
    if window.count == 0 {
        let more = table.rows() > window.start as u64;
        return Ok((Vec::new(), more.then(|| window.start.to_string())));
    }
    let folder = cloud.bigquery.data.clone();
    let read = move || read_window(&folder, &table, &schema, window);
    let rows = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(rows?)
}

fn read_window(
    folder: &Path,
    table: &Table,
    schema: &Schema,
    window: Window,
) -> io::Result<(Vec<Value>, Option<String>)> {
    let mut skip = window.start;
    let mut out = Vec::new();
    for file in &table.files {
        let size = usize::try_from(file.rows).unwrap_or(usize::MAX);
        if skip >= size {
            skip -= size;
            continue;
        }
        for batch in Source::open(&folder.join(&file.name))?.batches(schema)? {
            let batch = batch?;
            let first = skip.min(batch.num_rows());
            skip -= first;
            let count = (batch.num_rows() - first).min(window.count - out.len());
            out.extend(rows(&batch.slice(first, count), window.timestamps));
            if out.len() == window.count {
                let next = window.start + out.len();
                let more = (next as u64) < table.rows();
                return Ok((out, more.then(|| next.to_string())));
            }
        }
    }
    Ok((out, None))
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    // A query's own results are its user's.
    if request.var("dataset") != RESULTS {
        access::for_request(&cloud, &request, "bigquery.tables.getData")?;
    }
    let table = cloud.bigquery.table(&tables::reference(&request))?;
    if table.kind != Kind::Native {
        let kind = if table.kind == Kind::View {
            "VIEW"
        } else {
            "EXTERNAL"
        };
        return Err(ApiError::invalid(format!(
            "Cannot list a table of type {kind}."
        )));
    }
    let schema = match request.query("selectedFields") {
        None | Some("") => table.schema.clone(),
        Some(names) => selected(&table.schema, names)?,
    };
    let total = table.rows();
    let etag = table.etag();
    let (rows, next) = read(&cloud, table, schema, Window::of(&request)?).await?;
    let mut reply = json!({"kind": "bigquery#tableDataList", "etag": etag, "totalRows": total.to_string(), "rows": rows});
    if let Some(next) = next {
        reply["pageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

fn selected(schema: &Schema, names: &str) -> Result<Schema, ApiError> {
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if let Some(unknown) = names.iter().find(|name| schema.field(name).is_none()) {
        return Err(ApiError::invalid(format!(
            "Invalid field name \"{unknown}\" in selectedFields"
        )));
    }
    let fields = schema
        .fields
        .iter()
        .filter(|field| names.iter().any(|name| field.is(name)));
    Ok(Schema {
        fields: fields.cloned().collect(),
    })
}
