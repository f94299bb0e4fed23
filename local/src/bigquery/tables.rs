//! Tables, views and external tables.

use std::sync::Arc;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::access;
use super::datasets::Dataset;
use super::encryption;
use super::layout;
use super::load;
use super::reference::{DatasetRef, TableRef};
use super::resource::{
    Object, check_labels, check_match, matches_filter, merge, now_ms, page, writable,
};
use super::schema::Schema;
use super::sql;
use super::table::{Kind, Table};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

/// Fields that the server makes, that never change, or that are kept apart.
const FIXED: &[&str] = &[
    "kind",
    "etag",
    "id",
    "selfLink",
    "tableReference",
    "creationTime",
    "lastModifiedTime",
    "location",
    "type",
    "numRows",
    "numBytes",
    "numLongTermBytes",
    "numPhysicalBytes",
    "numActiveLogicalBytes",
    "numTotalLogicalBytes",
    "schema",
    "streamingBuffer",
];

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables";
    const ONE: &str = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}";
    vec![
        Route::new(Method::POST, ALL, insert),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::PUT, ONE, update),
        Route::new(Method::DELETE, ONE, delete),
    ]
}

pub fn not_found(reference: &TableRef) -> ApiError {
    ApiError::not_found(format!("Not found: Table {reference}"))
}

pub fn already_exists(reference: &TableRef) -> ApiError {
    ApiError::already_exists(format!("Already Exists: Table {reference}"))
}

pub fn reference(request: &Request) -> TableRef {
    TableRef::new(
        request.var("project"),
        request.var("dataset"),
        request.var("table"),
    )
}

fn schema_of(body: &Object) -> Result<Option<Schema>, ApiError> {
    let Some(schema) = body.get("schema").filter(|schema| !schema.is_null()) else {
        return Ok(None);
    };
    let schema: Schema = serde_json::from_value(schema.clone())
        .map_err(|error| ApiError::invalid(format!("Invalid value for schema: {error}")))?;
    schema.check()?;
    Ok(Some(schema))
}

async fn insert(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.create")?;
    let body: Object = request.json().await?;
    let dataset = cloud.bigquery.dataset(&DatasetRef::new(
        request.var("project"),
        request.var("dataset"),
    ))?;
    let name = body
        .get("tableReference")
        .and_then(|name| name["tableId"].as_str());
    let DatasetRef {
        project,
        dataset: id,
    } = &dataset.reference;
    let reference = TableRef::new(project, id, name.unwrap_or_default());
    reference.check()?;
    if cloud.bigquery.live(&reference).is_some() {
        return Err(already_exists(&reference));
    }
    let table = build(&cloud, &dataset, reference, &body).await?;
    create(&cloud, &table)?;
    Ok(Json(table.view(&cloud.endpoint)).into_response())
}

/// Adds a table that must not be there yet.
pub fn create(cloud: &Cloud, table: &Table) -> Result<(), ApiError> {
    cloud
        .bigquery
        .tables
        .update(&table.reference.key(), |present| match present {
            Some(_) => Err(already_exists(&table.reference)),
            None => {
                *present = Some(table.clone());
                Ok(())
            }
        })
}

/// The table a body describes.
async fn build(
    cloud: &Arc<Cloud>,
    dataset: &Dataset,
    reference: TableRef,
    body: &Object,
) -> Result<Table, ApiError> {
    let settings = writable(body, FIXED);
    let schema = schema_of(body)?;
    let (kind, schema) = if settings.contains_key("view") {
        let (query, view_schema) = (view_query(&settings)?, schema);
        let derived = describe(cloud, &reference.project, query).await?;
        (
            Kind::View,
            view_schema.map_or(derived.clone(), |given| described(derived, &given)),
        )
    } else if settings.contains_key("externalDataConfiguration") {
        (
            Kind::External,
            external_schema(cloud, dataset, &settings, schema)?,
        )
    } else {
        if settings.contains_key("materializedView") {
            return Err(ApiError::unimplemented(
                "the local cloud serves no materialized views",
            ));
        }
        (Kind::Native, schema.unwrap_or_default())
    };
    check_settings(&settings, &schema)?;
    let mut table = Table::new(reference, kind, &dataset.location, schema);
    table.settings = with_defaults(settings, dataset);
    Ok(table)
}

/// Holds settings against the columns they speak of.
pub fn check_settings(settings: &Object, schema: &Schema) -> Result<(), ApiError> {
    check_labels(settings)?;
    layout::check(settings, schema)
}

/// What a dataset gives its new tables: an expiration and a customer's key.
pub fn with_defaults(mut settings: Object, dataset: &Dataset) -> Object {
    encryption::inherit(&mut settings, dataset);
    let default = dataset
        .settings
        .get("defaultTableExpirationMs")
        .and_then(layout::number);
    if let (Some(life), false) = (default, settings.contains_key("expirationTime")) {
        settings.insert(
            "expirationTime".to_owned(),
            (now_ms() + life).to_string().into(),
        );
    }
    settings
}

/// The query of a view; legacy SQL is the API's default and is refused.
fn view_query(settings: &Object) -> Result<&str, ApiError> {
    let view = settings.get("view").unwrap_or(&Value::Null);
    let query = view["query"].as_str().unwrap_or_default();
    if query.is_empty() {
        return Err(ApiError::invalid(
            "Required parameter is missing: view.query",
        ));
    }
    if query.chars().count() > 256 * 1024 {
        return Err(ApiError::invalid(
            "The view's query is longer than 256K characters.",
        ));
    }
    if view["useLegacySql"].as_bool().unwrap_or(true) {
        return Err(sql::legacy("view.useLegacySql"));
    }
    Ok(query)
}

async fn describe(cloud: &Arc<Cloud>, project: &str, query: &str) -> Result<Schema, ApiError> {
    let (inner, project, query) = (Arc::clone(cloud), project.to_owned(), query.to_owned());
    cloud
        .bigquery
        .engine
        .run(async move { sql::describe(&inner, &project, &query) })
        .await
}

/// `derived` with the descriptions of `given`: all a view's schema may carry.
fn described(mut derived: Schema, given: &Schema) -> Schema {
    for field in &mut derived.fields {
        if let Some(given) = given.field(&field.name) {
            field.other = given.other.clone();
        }
    }
    derived
}

/// The schema given, else that of the last file by name.
fn external_schema(
    cloud: &Cloud,
    dataset: &Dataset,
    settings: &Object,
    given: Option<Schema>,
) -> Result<Schema, ApiError> {
    let external = settings
        .get("externalDataConfiguration")
        .cloned()
        .unwrap_or_default();
    let source = load::Source::of_external(&external)?;
    let objects = load::resolve(cloud, &source.uris, &dataset.location)?;
    let own = external.get("schema").filter(|schema| !schema.is_null());
    match (given, own) {
        (Some(schema), _) => Ok(schema),
        (None, Some(schema)) => serde_json::from_value(schema.clone())
            .map_err(|error| ApiError::invalid(format!("Invalid value for schema: {error}"))),
        (None, None) => load::infer(&objects, &source),
    }
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.get")?;
    let reference = reference(&request);
    cloud.bigquery.dataset(&reference.dataset())?;
    reference.check()?;
    let table = cloud.bigquery.table(&reference)?;
    Ok(Json(table.view(&cloud.endpoint)).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.list")?;
    let dataset = DatasetRef::new(request.var("project"), request.var("dataset"));
    cloud.bigquery.dataset(&dataset)?;
    let filter = request.query("filter").unwrap_or_default();
    let all: Vec<Table> = cloud
        .bigquery
        .tables_of(&dataset)
        .into_iter()
        .filter(|table| matches_filter(&table.settings, filter))
        .collect();
    let total = all.len();
    let (tables, next) = page(all, &request, 1000)?;
    let items: Vec<Value> = tables.iter().map(Table::item).collect();
    let mut reply =
        json!({"kind": "bigquery#tableList", "etag": "", "tables": items, "totalItems": total});
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

/// Whether the schema is to be read from the files; Google takes both forms of the name.
fn detects(request: &Request) -> bool {
    let names = ["autodetect_schema", "autodetectSchema"];
    names.iter().any(|name| request.query(name) == Some("true"))
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.update")?;
    let body: Object = request.json().await?;
    let table = cloud.bigquery.table(&reference(&request))?;
    let mut settings = table.settings.clone();
    let mut changes = body.clone();
    changes.retain(|key, _| !FIXED.contains(&key.as_str()));
    merge(&mut settings, &changes);
    check_match(&request, &table.etag())?;
    let detect = detects(&request);
    write(&cloud, table, settings, &body, detect).await
}

async fn update(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.update")?;
    let body: Object = request.json().await?;
    let table = cloud.bigquery.table(&reference(&request))?;
    let mut settings = writable(&body, FIXED);
    // What the table is does not change with a PUT that leaves it out.
    for name in ["timePartitioning", "rangePartitioning"] {
        if let (Some(value), false) = (table.settings.get(name), settings.contains_key(name)) {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    check_match(&request, &table.etag())?;
    let detect = detects(&request);
    write(&cloud, table, settings, &body, detect).await
}

/// Replaces settings and schema of a table, if it is still as `before` says;
/// `detect` reads an external table's schema from its files again.
async fn write(
    cloud: &Arc<Cloud>,
    before: Table,
    settings: Object,
    body: &Object,
    detect: bool,
) -> Reply {
    check_same_kind(&before, &settings)?;
    let given = schema_of(body)?;
    let schema = match before.kind {
        Kind::Native => match given {
            Some(schema) => before
                .schema
                .patched(&schema, &before.reference.to_string())?,
            None => before.schema.clone(),
        },
        Kind::View => {
            let derived =
                describe(cloud, &before.reference.project, view_query(&settings)?).await?;
            let descriptions = given.as_ref().unwrap_or(&before.schema);
            described(derived, descriptions)
        }
        Kind::External => {
            let dataset = cloud.bigquery.dataset(&before.reference.dataset())?;
            let kept = (!detect).then(|| before.schema.clone());
            external_schema(cloud, &dataset, &settings, given.or(kept))?
        }
    };
    check_settings(&settings, &schema)?;
    let table = cloud
        .bigquery
        .tables
        .update(&before.reference.key(), |present| {
            let table = present
                .as_mut()
                .ok_or_else(|| not_found(&before.reference))?;
            if table.etag() != before.etag() {
                return Err(ApiError::condition_not_met(
                    "Precondition check failed: the table has changed.",
                ));
            }
            table.settings = settings;
            table.schema = schema;
            table.touch();
            Ok::<_, ApiError>(table.clone())
        })?;
    Ok(Json(table.view(&cloud.endpoint)).into_response())
}

fn check_same_kind(table: &Table, settings: &Object) -> Result<(), ApiError> {
    let kind = match () {
        () if settings.contains_key("view") => Kind::View,
        () if settings.contains_key("externalDataConfiguration") => Kind::External,
        () => Kind::Native,
    };
    if kind != table.kind {
        return Err(ApiError::invalid(format!(
            "Cannot change the type of table {}; delete it and insert the new one.",
            table.reference
        )));
    }
    if !layout::same(&table.settings, settings)? {
        let what = match layout::Partitioning::of(&table.settings)? {
            Some(_) => "Cannot change partitioning spec for a partitioned table.",
            None => {
                "Cannot convert non partitioned/clustered table to partitioned/clustered table."
            }
        };
        return Err(ApiError::invalid(what));
    }
    Ok(())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    access::for_request(&cloud, &request, "bigquery.tables.delete")?;
    let reference = reference(&request);
    cloud.bigquery.dataset(&reference.dataset())?;
    let table = cloud.bigquery.table(&reference)?;
    check_match(&request, &table.etag())?;
    cloud.bigquery.drop_table(&reference.key())?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
