//! As much of Storage and BigQuery as a load meets, in memory, on a free port.
//!
//! It can cut a connection at the n-th write, before or after the write happens, as a
//! killed process or a lost answer would look from either side.

mod statement;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

#[derive(Default)]
pub struct World {
    pub objects: BTreeMap<String, (Bytes, i64)>,
    pub tables: BTreeMap<String, Table>,
    pub jobs: BTreeMap<String, Json>,
    /// Reasons the next jobs fail with.
    pub failures: Vec<String>,
    generation: i64,
    /// Writes until the process is cut off, and whether the last one still happens.
    pub cut: Option<(usize, bool)>,
    pub writes: usize,
}

#[derive(Default, Clone)]
pub struct Table {
    pub resource: Json,
    pub etag: i64,
    /// The `id` column of its rows.
    pub ids: Vec<i64>,
}

#[derive(Clone, Default)]
pub struct Fake {
    pub world: Arc<Mutex<World>>,
    pub cut_off: Arc<Notify>,
    pub url: String,
}

impl Fake {
    pub async fn start() -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Fake {
            url,
            ..Fake::default()
        };
        let router = Router::new()
            .route("/storage/v1/b/{bucket}/o", any(list))
            .route("/storage/v1/b/{bucket}/o/{object}", any(object))
            .route("/upload/storage/v1/b/{bucket}/o", any(upload))
            .route(
                "/bigquery/v2/projects/{project}/datasets/{dataset}/tables",
                any(insert_table),
            )
            .route(
                "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}",
                any(table),
            )
            .route("/bigquery/v2/projects/{project}/jobs", any(insert_job))
            .route("/bigquery/v2/projects/{project}/jobs/{job}", any(get_job))
            .fallback(|method: Method, uri: Uri| async move {
                error(StatusCode::NOT_IMPLEMENTED, &format!("{method} {uri}"))
            })
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    pub fn ids(&self, table: &str) -> Vec<i64> {
        let world = self.world.lock().unwrap();
        let mut ids = world
            .tables
            .get(table)
            .map(|table| table.ids.clone())
            .unwrap_or_default();
        ids.sort_unstable();
        ids
    }

    pub fn object(&self, name: &str) -> Option<Json> {
        let world = self.world.lock().unwrap();
        world
            .objects
            .get(name)
            .map(|(bytes, _)| serde_json::from_slice(bytes).unwrap())
    }

    /// Counts a write and does it, unless the process is cut off before it; a process
    /// that is cut off hears nothing any more.
    async fn write(&self, write: impl FnOnce(&mut World) -> Response) -> Response {
        let (response, is_cut) = {
            let mut world = self.world.lock().unwrap();
            world.writes += 1;
            match world.cut {
                Some((0, _)) => (StatusCode::SERVICE_UNAVAILABLE.into_response(), true),
                Some((1, happens)) => {
                    world.cut = Some((0, false));
                    let response = if happens {
                        write(&mut world)
                    } else {
                        StatusCode::OK.into_response()
                    };
                    (response, true)
                }
                Some((left, happens)) => {
                    world.cut = Some((left - 1, happens));
                    (write(&mut world), false)
                }
                None => (write(&mut world), false),
            }
        };
        if is_cut {
            self.cut_off.notify_one();
            std::future::pending::<()>().await;
        }
        response
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"code": status.as_u16(), "message": message}});
    (status, axum::Json(body)).into_response()
}

fn parameters(uri: &Uri) -> HashMap<String, String> {
    let query = uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

async fn list(State(fake): State<Fake>, uri: Uri) -> Response {
    let query = parameters(&uri);
    let world = fake.world.lock().unwrap();
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let items: Vec<Json> = world
        .objects
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, (_, generation))| json!({"name": name, "generation": generation.to_string()}))
        .collect();
    axum::Json(json!({ "items": items })).into_response()
}

async fn object(
    State(fake): State<Fake>,
    method: Method,
    Path((_, name)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let query = parameters(&uri);
    if method == Method::DELETE {
        return fake.write(|world| delete(world, &name, &query)).await;
    }
    let world = fake.world.lock().unwrap();
    match world.objects.get(&name) {
        Some((bytes, generation)) => (
            [("x-goog-generation", generation.to_string())],
            bytes.clone(),
        )
            .into_response(),
        None => error(StatusCode::NOT_FOUND, "no such object"),
    }
}

fn delete(world: &mut World, name: &str, query: &HashMap<String, String>) -> Response {
    if !world.objects.contains_key(name) {
        return error(StatusCode::NOT_FOUND, "no such object");
    }
    if !matches(world, name, query) {
        return error(StatusCode::PRECONDITION_FAILED, "generation");
    }
    world.objects.remove(name);
    StatusCode::NO_CONTENT.into_response()
}

fn matches(world: &World, name: &str, query: &HashMap<String, String>) -> bool {
    let there = world
        .objects
        .get(name)
        .map_or(0, |(_, generation)| *generation);
    query
        .get("ifGenerationMatch")
        .is_none_or(|wanted| wanted.parse() == Ok(there))
}

async fn upload(State(fake): State<Fake>, uri: Uri, body: Bytes) -> Response {
    let query = parameters(&uri);
    let name = query["name"].clone();
    fake.write(|world| {
        if !matches(world, &name, &query) {
            return error(StatusCode::PRECONDITION_FAILED, "generation");
        }
        world.generation += 1;
        let generation = world.generation;
        world.objects.insert(name.clone(), (body, generation));
        axum::Json(json!({"name": name, "generation": generation.to_string()})).into_response()
    })
    .await
}

async fn insert_table(
    State(fake): State<Fake>,
    axum::Json(resource): axum::Json<Json>,
) -> Response {
    let id = resource["tableReference"]["tableId"]
        .as_str()
        .unwrap()
        .to_owned();
    fake.write(|world| {
        if world.tables.contains_key(&id) {
            return error(StatusCode::CONFLICT, "duplicate");
        }
        let table = Table {
            resource: resource.clone(),
            etag: 1,
            ids: Vec::new(),
        };
        world.tables.insert(id.clone(), table);
        show_files(world, &id);
        axum::Json(resource).into_response()
    })
    .await
}

async fn table(
    State(fake): State<Fake>,
    method: Method,
    headers: HeaderMap,
    Path((_, _, id)): Path<(String, String, String)>,
    body: Bytes,
) -> Response {
    if method == Method::GET {
        let world = fake.world.lock().unwrap();
        return world.tables.get(&id).map_or_else(
            || error(StatusCode::NOT_FOUND, "no such table"),
            |table| {
                let mut resource = table.resource.clone();
                resource["etag"] = table.etag.to_string().into();
                axum::Json(resource).into_response()
            },
        );
    }
    if method == Method::DELETE {
        return fake
            .write(|world| match world.tables.remove(&id) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => error(StatusCode::NOT_FOUND, "no such table"),
            })
            .await;
    }
    let etag = headers
        .get("if-match")
        .map(|value| value.to_str().unwrap().to_owned());
    fake.write(|world| {
        let Some(table) = world.tables.get_mut(&id) else {
            return error(StatusCode::NOT_FOUND, "no such table");
        };
        if etag != Some(table.etag.to_string()) {
            return error(StatusCode::PRECONDITION_FAILED, "etag");
        }
        table.etag += 1;
        let patch: Json = serde_json::from_slice(&body).unwrap();
        for (field, value) in patch.as_object().unwrap() {
            table.resource[field] = value.clone();
        }
        let resource = table.resource.clone();
        show_files(world, &id);
        axum::Json(resource).into_response()
    })
    .await
}

async fn insert_job(State(fake): State<Fake>, axum::Json(mut job): axum::Json<Json>) -> Response {
    let id = job["jobReference"]["jobId"].as_str().unwrap().to_owned();
    fake.write(|world| {
        if world.jobs.contains_key(&id) {
            return error(StatusCode::CONFLICT, "duplicate");
        }
        job["status"] = json!({"state": "DONE"});
        assert_eq!(job["jobReference"]["location"], "australia-southeast1");
        assert_eq!(job["configuration"]["labels"]["managed-by"], "xetl");
        if world.failures.is_empty() {
            job["statistics"] = match &job["configuration"]["query"] {
                Json::Null => {
                    let rows = load(world, &job["configuration"]["load"]);
                    json!({"load": {"outputRows": rows.to_string()}})
                }
                query => json!({"query": statement::run(world, query)}),
            };
        } else {
            let reason = world.failures.remove(0);
            job["status"]["errorResult"] = json!({"reason": reason, "message": "as told"});
        }
        world.jobs.insert(id, job.clone());
        axum::Json(job).into_response()
    })
    .await
}

fn load(world: &mut World, load: &Json) -> usize {
    assert_eq!(load["parquetOptions"]["enableListInference"], json!(true));
    let mut ids = Vec::new();
    for uri in load["sourceUris"].as_array().unwrap() {
        let name = uri.as_str().unwrap().strip_prefix("gs://bucket/").unwrap();
        ids.extend(ids_of(world.objects[name].0.clone()));
    }
    let rows = ids.len();
    let id = load["destinationTable"]["tableId"].as_str().unwrap();
    let table = world.tables.entry(id.to_owned()).or_default();
    if load["writeDisposition"] == "WRITE_TRUNCATE" {
        table.ids.clear();
        table.resource["schema"] = load["schema"].clone();
        for kept_by in ["timePartitioning", "clustering"] {
            if !load[kept_by].is_null() {
                table.resource[kept_by] = load[kept_by].clone();
            }
        }
    }
    assert_eq!(
        table.resource["schema"], load["schema"],
        "a load must name the table's columns"
    );
    table.ids.extend(ids);
    rows
}

/// Gives an external table the rows of its files.
fn show_files(world: &mut World, id: &str) {
    let files = world.tables[id].resource["externalDataConfiguration"]["sourceUris"].clone();
    let Some(files) = files.as_array() else {
        return;
    };
    let names = files.iter().map(|uri| uri.as_str().unwrap());
    let names = names.map(|uri| uri.strip_prefix("gs://bucket/").unwrap());
    let ids = names.flat_map(|name| ids_of(world.objects[name].0.clone()));
    let ids = ids.collect();
    world.tables.get_mut(id).unwrap().ids = ids;
}

pub fn ids_of(parquet: Bytes) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet)
        .unwrap()
        .build()
        .unwrap();
    let mut ids = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = batch
            .column_by_name("id")
            .unwrap()
            .as_primitive::<Int64Type>()
            .clone();
        ids.extend((0..column.len()).map(|row| column.value(row)));
    }
    ids
}

async fn get_job(
    State(fake): State<Fake>,
    Path((_, id)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    assert_eq!(parameters(&uri)["location"], "australia-southeast1");
    let world = fake.world.lock().unwrap();
    world.jobs.get(&id).map_or_else(
        || error(StatusCode::NOT_FOUND, "no such job"),
        |job| axum::Json(job.clone()).into_response(),
    )
}
