//! The built-in sources `isams` and `rest` against a small server that answers as their facts say.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State as AppState;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Reply, Router};
use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use xetl_runtime::source::{Config, SecretSink, SinkError, Wanted, open, yaml};
use xetl_runtime::stream::{SourceError, State, Stream};

const PUPILS: usize = 5;
/// The server gives no more a page, whatever is asked for.
const CAP: usize = 2;

/// Paths and queries the server saw, in order, and how many pupils there are.
#[derive(Default)]
struct School {
    seen: Vec<String>,
    left: usize,
    leaving: usize,
}

type Shared = Arc<Mutex<School>>;

async fn token(AppState(school): AppState<Shared>, body: String) -> Response {
    school.lock().unwrap().seen.push(format!("token {body}"));
    Reply(json!({"access_token": "access", "expires_in": 3600, "token_type": "Bearer"}))
        .into_response()
}

async fn api(AppState(school): AppState<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    let mut school = school.lock().unwrap();
    school.seen.push(uri.to_string());
    if headers["authorization"] != "Bearer access" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    Reply(match uri.path() {
        "/api/students" => {
            let page = students(&query, school.left);
            school.left += std::mem::take(&mut school.leaving);
            page
        }
        "/api/school/terms" => json!({"terms": null}),
        "/api/school/yeargroups" => json!({"yearGroups": [{"ncYear": -1}, {"ncYear": 7}]}),
        "/api/school/yeargroups/7/divisions" => json!({"divisions": [{"id": 1, "code": "A"}]}),
        "/api/school/yeargroups/-1/divisions" => json!({"divisions": null}),
        "/api/school/houses" => json!({"houses": [
            {"id": 1, "name": "North", "startDate": "1901-09-01T00:00:00", "closed": "0001-01-01T00:00:00"}]}),
        "/api/humanresources/employees" => {
            json!({"message": "The user is not authorised for this request"})
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    })
    .into_response()
}

fn students(query: &BTreeMap<String, String>, left: usize) -> Json {
    let page: usize = query["page"].parse().unwrap();
    let all: Vec<Json> = (left..PUPILS)
        .map(|id| {
            json!({"id": id, "schoolId": format!("s{id}"), "dob": "2008-07-14T00:00:00",
                "nationalities": [null, "French"], "languages": null, "lastUpdated": "2024-07-01T09:30:00"})
        })
        .collect();
    let students: Vec<_> = all.iter().skip((page - 1) * CAP).take(CAP).collect();
    json!({"page": page, "totalCount": all.len(), "totalPages": all.len().div_ceil(CAP), "students": students})
}

async fn list(headers: HeaderMap, uri: Uri) -> Response {
    if headers.get("x-key").is_none_or(|key| key != "s3cr3t") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let page = uri.query().unwrap().strip_prefix("p=").unwrap();
    Reply(match page {
        "1" | "2" => json!({"items": [{"id": page}, {"id": format!("{page}b")}]}),
        _ => json!({"items": []}),
    })
    .into_response()
}

async fn serve() -> (String, Shared) {
    let school = Shared::default();
    let router = Router::new()
        .route("/auth/connect/token", post(token))
        .route("/api/{*rest}", get(api))
        .route("/v1/orders", get(list))
        .with_state(school.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, school)
}

struct NoSink;

impl SecretSink for NoSink {
    fn store<'a>(
        &'a self,
        _: &'a [String],
        _: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        async { Err(SinkError("nothing is replaced".to_owned())) }.boxed()
    }
}

async fn read(manifest: &str, config: Json, name: &str) -> Result<Vec<Json>, SourceError> {
    let manifest = yaml::read(manifest).unwrap();
    let wanted = Wanted::named(&[name.to_owned()]);
    let config = Config(config.as_object().unwrap().clone());
    let source = open(&manifest, config, Arc::new(NoSink), &wanted).await?;
    let streams = source.streams().iter();
    let stream: Vec<_> = streams
        .filter(|stream| stream.info().name == name)
        .collect();
    records(stream[0].as_ref()).await
}

async fn records(stream: &dyn Stream) -> Result<Vec<Json>, SourceError> {
    let mut found = Vec::new();
    let slices: Vec<_> = stream.slices(&State::Null).try_collect().await?;
    for slice in slices {
        let mut pages = stream.pages(&slice);
        while let Some(page) = pages.try_next().await? {
            let records = page.records.into_iter();
            found.extend(records.map(|record| serde_json::to_value(record).unwrap()));
        }
    }
    Ok(found)
}

const ISAMS: &str = include_str!("../../sources/isams.yaml");
const REST: &str = include_str!("../../sources/rest.yaml");

/// The config of a school whose secret is one JSON document.
fn school(url: &str, more: Json) -> Json {
    let document = json!({"CLIENT_ID": "id", "CLIENT_SECRET": "s3cr3t!", "API_BASE_URL": format!("{url}/"),
        "TOKEN_URL": format!("{url}/auth/connect/token")});
    let mut config = json!({"credentials": {"auth_type": "document", "document": document.to_string()},
        "time_zone": "Europe/London"});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

#[tokio::test]
async fn pages_end_where_the_reply_says_and_dates_are_what_the_schema_means() {
    let (url, seen) = serve().await;
    let students = read(ISAMS, school(&url, json!({})), "students")
        .await
        .unwrap();
    assert_eq!(students.len(), PUPILS);
    assert_eq!(
        students[0],
        json!({"id": 0, "schoolId": "s0", "dob": "2008-07-14", "nationalities": ["French"], "languages": [],
            "lastUpdated": "2024-07-01T08:30:00Z", "homeAddresses": []})
    );
    assert_eq!(
        seen.lock().unwrap().seen,
        [
            "token grant_type=client_credentials&client_id=id&client_secret=s3cr3t%21&scope=restapi",
            "/api/students?page=1&pageSize=1000",
            "/api/students?page=2&pageSize=1000",
            "/api/students?page=3&pageSize=1000",
        ]
    );
}

#[tokio::test]
async fn what_moved_while_it_was_read_is_read_again_and_comes_once() {
    let (url, seen) = serve().await;
    seen.lock().unwrap().leaving = 1;
    let students = read(ISAMS, school(&url, json!({})), "students")
        .await
        .unwrap();
    let ids: Vec<_> = students
        .iter()
        .map(|pupil| pupil["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2, 3, 4]);
}

#[tokio::test]
async fn each_parent_has_a_list_and_its_id_is_a_column() {
    let (url, _) = serve().await;
    let divisions = read(ISAMS, school(&url, json!({})), "divisions")
        .await
        .unwrap();
    assert_eq!(divisions, [json!({"id": 1, "code": "A", "ncYear": 7})]);
}

#[tokio::test]
async fn an_endpoint_is_a_few_lines_of_the_config() {
    let (url, _) = serve().await;
    let endpoint = json!({"name": "houses2", "url": "api/school/houses", "object": "houses", "pages": "single",
        "schema": {"id": "INTEGER", "startDate": "DATE", "closed": "DATE", "heads": "STRING[]"}, "nulls": ["closed"]});
    let config = school(&url, json!({"endpoints": [endpoint]}));
    assert_eq!(
        read(ISAMS, config, "houses2").await.unwrap(),
        [json!({"id": 1, "name": "North", "startDate": "1901-09-01", "closed": null, "heads": []})]
    );
}

#[tokio::test]
async fn nothing_where_there_must_be_something_is_an_error_unless_the_config_says_so() {
    let (url, _) = serve().await;
    let error = read(ISAMS, school(&url, json!({})), "terms")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing permission"), "{error}");
    let config = school(&url, json!({"allow_empty": ["terms"]}));
    assert_eq!(read(ISAMS, config, "terms").await.unwrap(), [] as [Json; 0]);
}

#[tokio::test]
async fn a_refusal_inside_a_good_reply_fails_and_says_what_to_do() {
    let (url, _) = serve().await;
    let error = read(ISAMS, school(&url, json!({})), "employees")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("allow its module"), "{error}");
}

#[tokio::test]
async fn the_template_for_ones_own_source_reads_a_list_by_pages() {
    let (url, _) = serve().await;
    let config = json!({"base_url": format!("{url}/v1"), "path": "orders", "records_path": "items",
        "auth": {"method": "header", "header": "X-Key", "key": "s3cr3t"},
        "pagination": {"method": "page", "parameter": "p"}});
    let records = read(REST, config, "records").await.unwrap();
    assert_eq!(
        records,
        [
            json!({"id": "1"}),
            json!({"id": "1b"}),
            json!({"id": "2"}),
            json!({"id": "2b"})
        ]
    );
}
