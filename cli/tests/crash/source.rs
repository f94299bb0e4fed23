//! A small source that changes once: records of two parts, two pages each, asked for by when
//! they were last changed.

use std::collections::BTreeMap;

use axum::Json as Reply;
use axum::extract::Path;
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value as Json, json};

/// Records on a page.
const PAGE: usize = 2;
const PARTS: [&str; 2] = ["a", "b"];

/// What tells one version of a record from another.
pub type Row = (String, String, i64);

fn row(part: &str, number: i64, day: &str, amount: i64) -> Row {
    (
        format!("{part}{number}"),
        format!("{day}T00:00:00Z"),
        amount,
    )
}

/// The records of a part at first.
fn before(part: &str) -> Vec<Row> {
    let day = |number| format!("2024-01-{number:02}");
    (1..4)
        .map(|number| row(part, number, &day(number), number))
        .collect()
}

/// Those that were changed or added then.
fn changed(part: &str) -> Vec<Row> {
    let day = |number| format!("2024-02-{number:02}");
    (2..5)
        .map(|number| row(part, number, &day(number), number * 10))
        .collect()
}

/// The records of a part, each in its newest version.
fn current(phase: usize, part: &str) -> Vec<Row> {
    let mut newest: BTreeMap<String, Row> = BTreeMap::new();
    let changed = (phase > 0).then(|| changed(part));
    for row in before(part)
        .into_iter()
        .chain(changed.into_iter().flatten())
    {
        newest.insert(row.0.clone(), row);
    }
    let mut rows: Vec<Row> = newest.into_values().collect();
    rows.sort_by(|a, b| a.1.cmp(&b.1));
    rows
}

/// What a table is to have that shows each record once.
pub fn newest(phase: usize) -> Vec<Row> {
    sorted(PARTS.iter().flat_map(|part| current(phase, part)))
}

/// What a table is to have that shows each version of a record once.
pub fn versions(phase: usize) -> Vec<Row> {
    let of_part = |part| {
        let changed = (phase > 0).then(|| changed(part));
        before(part)
            .into_iter()
            .chain(changed.into_iter().flatten())
    };
    sorted(PARTS.into_iter().flat_map(of_part))
}

/// The newest change of each part.
pub fn cursors(phase: usize) -> BTreeMap<String, String> {
    let last = |part: &str| current(phase, part).pop().unwrap().1;
    PARTS
        .iter()
        .map(|part| ((*part).to_owned(), last(part)))
        .collect()
}

pub fn sorted(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.into_iter().collect();
    rows.sort();
    rows
}

async fn things(Path((way, phase)): Path<(String, usize)>, uri: Uri) -> Reply<Json> {
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if way == "stalled" && query["part"] == PARTS[1] {
        std::future::pending::<()>().await;
    }
    let page: usize = query["page"].parse().unwrap();
    let rows = current(phase, &query["part"]).into_iter();
    let rows = rows.filter(|row| row.1 > query["since"]);
    let rows = rows.skip((page - 1) * PAGE).take(PAGE);
    let rows = rows.map(|(id, at, amount)| json!({"id": id, "at": at, "amount": amount}));
    Reply(json!({"data": rows.collect::<Vec<_>>()}))
}

/// Serves until the test ends; gives its URL.
pub async fn serve() -> String {
    let app = axum::Router::new().route("/{way}/{phase}/things", get(things));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn parameter(name: &str) -> Json {
    json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": name})
}

/// The built-in source that reads tables.
pub fn bigquery() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../sources/bigquery.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    xetl_runtime::source::yaml::read(&text).unwrap()
}

pub fn manifest() -> Json {
    json!({
        "version": "6.0.0", "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["things"]},
        "streams": [{
            "type": "DeclarativeStream", "name": "things", "primary_key": ["id"],
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {"type": "HttpRequester", "url_base": "{{ config.url }}", "path": "things", "http_method": "GET"},
                "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}},
                "partition_router": {"type": "ListPartitionRouter", "values": PARTS, "cursor_field": "part", "request_option": parameter("part")},
                "paginator": {
                    "type": "DefaultPaginator",
                    "pagination_strategy": {"type": "PageIncrement", "page_size": PAGE, "start_from_page": 1, "inject_on_first_request": true},
                    "page_token_option": parameter("page"),
                },
            },
            "incremental_sync": {
                "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%dT%H:%M:%SZ",
                "start_datetime": "2023-01-01T00:00:00Z", "start_time_option": parameter("since"),
            },
            "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {
                "id": {"type": "string"},
                "at": {"type": "string", "format": "date-time"},
                "amount": {"type": "integer"},
            }}},
        }],
    })
}
