//! A source against a small server that behaves as Xero documents it: tokens that
//! rotate, pages, If-Modified-Since, limits and errors.

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
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use xetl_runtime::source::{Config, SecretSink, SinkError, Wanted, open};
use xetl_runtime::stream::{SliceDone, Source, SourceError, State, Stream};

const RECORDS: usize = 250;

/// What the server saw, in order.
type Seen = Arc<Mutex<Vec<String>>>;

fn note(seen: &Seen, text: String) -> usize {
    let mut seen = seen.lock().unwrap();
    seen.push(text);
    seen.len()
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let query = uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

async fn token(AppState(seen): AppState<Seen>, headers: HeaderMap, body: String) -> Response {
    let basic = headers["authorization"].to_str().unwrap().to_owned();
    let number = note(&seen, format!("token {body} {basic}"));
    if !body.contains("refresh_token=first") {
        let refusal = Reply(json!({"error": "invalid_grant"}));
        return (StatusCode::BAD_REQUEST, refusal).into_response();
    }
    let access = format!("access-{number}");
    Reply(json!({"access_token": access, "expires_in": 1800, "refresh_token": "second-token"}))
        .into_response()
}

async fn invoices(AppState(seen): AppState<Seen>, headers: HeaderMap, uri: Uri) -> Response {
    let query = query(&uri);
    let text = |name: &str| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    let page: usize = query["page"].parse().unwrap();
    let since = text("if-modified-since");
    let count = note(
        &seen,
        format!(
            "invoices page={page} since={since} {} {}",
            text("authorization"),
            text("xero-tenant-id")
        ),
    );
    // The third call is over the limit.
    if count == 3 {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response();
    }
    let records: Vec<Json> = (0..RECORDS)
        .skip((page - 1) * 100)
        .take(100)
        .map(invoice)
        .collect();
    Reply(json!({"Status": "OK", "Invoices": records})).into_response()
}

fn invoice(number: usize) -> Json {
    let millis = 1_704_067_200_000 + number * 60_000;
    json!({"InvoiceID": format!("i{number}"), "Total": 10.10, "UpdatedDateUTC": format!("/Date({millis}+0000)/")})
}

async fn spent() -> Response {
    let headers = [("retry-after", "66975"), ("x-rate-limit-problem", "day")];
    (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
}

async fn forbidden(uri: Uri) -> Response {
    let query = query(&uri);
    let body =
        Reply(json!({"Detail": "no", "message": format!("key {} is not allowed", query["key"])}));
    (StatusCode::FORBIDDEN, body).into_response()
}

async fn serve() -> (String, Seen) {
    let seen = Seen::default();
    let router = Router::new()
        .route("/token", post(token))
        .route("/api/Invoices", get(invoices))
        .route("/api/Spent", get(spent))
        .route("/api/Forbidden", get(forbidden))
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen)
}

/// Notes what is stored among what the server sees, so that the order shows.
struct Sink(Seen);

impl SecretSink for Sink {
    fn store<'a>(
        &'a self,
        path: &'a [String],
        value: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        note(
            &self.0,
            format!("stored {}={}", path.join("."), value.expose_secret()),
        );
        async { Ok(()) }.boxed()
    }
}

fn manifest() -> Json {
    json!({
        "version": "7.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["invoices"]},
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": 5},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {
            "credentials": {"properties": {"client_secret": {"airbyte_secret": true}, "refresh_token": {"airbyte_secret": true}}},
        }}},
        "definitions": {
            "requester": {
                "type": "HttpRequester",
                "url_base": "{{ config.url }}/api",
                "path": "{{ parameters.path }}",
                "request_headers": {"xero-tenant-id": "{{ config.tenant }}"},
                "authenticator": {
                    "type": "OAuthAuthenticator",
                    "token_refresh_endpoint": "{{ config.url }}/token",
                    "client_id": "{{ config.credentials.client_id }}",
                    "client_secret": "{{ config.credentials.client_secret }}",
                    "refresh_token": "{{ config.credentials.refresh_token }}",
                    "refresh_request_headers": {"Authorization": "Basic {{ (config.credentials.client_id ~ ':' ~ config.credentials.client_secret) | base64encode }}"},
                    "refresh_token_updater": {},
                },
            },
            "selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["{{ parameters.path }}"]}},
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {"$ref": "#/definitions/requester"},
                "record_selector": {"$ref": "#/definitions/selector"},
                "paginator": {
                    "type": "DefaultPaginator",
                    "pagination_strategy": {"type": "PageIncrement", "page_size": 100, "start_from_page": 1, "inject_on_first_request": true},
                    "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"},
                },
            },
        },
        "streams": [
            {
                "type": "DeclarativeStream", "name": "invoices", "primary_key": "InvoiceID",
                "$parameters": {"path": "Invoices"},
                "retriever": {"$ref": "#/definitions/retriever"},
                "transformations": [{"type": "CustomTransformation", "class_name": "xetl.DotNetDates", "timestamps": ["UpdatedDateUTC"]}],
                "incremental_sync": {
                    "type": "DatetimeBasedCursor", "cursor_field": "UpdatedDateUTC",
                    "datetime_format": "%Y-%m-%dT%H:%M:%S", "cursor_datetime_formats": ["%Y-%m-%dT%H:%M:%SZ"],
                    "start_datetime": "2024-01-01T00:00:00",
                    "start_time_option": {"type": "RequestOption", "inject_into": "header", "field_name": "If-Modified-Since"},
                },
            },
            {"type": "DeclarativeStream", "name": "spent", "$parameters": {"path": "Spent"}, "retriever": {"$ref": "#/definitions/retriever"}},
            {"type": "DeclarativeStream", "name": "forbidden", "$parameters": {"path": "Forbidden"}, "retriever": {
                "$ref": "#/definitions/retriever",
                "requester": {"$ref": "#/definitions/requester", "request_parameters": {"key": "{{ config.credentials.client_secret }}"}},
            }},
            {"type": "DeclarativeStream", "name": "custom", "retriever": {"type": "CustomRetriever", "class_name": "source_x.Retriever"}},
        ],
    })
}

async fn source(refresh_token: &str) -> (Box<dyn Source>, Seen) {
    let (url, seen) = serve().await;
    let wanted = Wanted {
        skip_unsupported: true,
        ..Wanted::default()
    };
    let sink = Arc::new(Sink(seen.clone()));
    let source = open(&manifest(), config(&url, refresh_token), sink, &wanted).await;
    (source.unwrap(), seen)
}

fn config(url: &str, refresh_token: &str) -> Config {
    let config = json!({"url": url, "tenant": "t1",
        "credentials": {"client_id": "id", "client_secret": "s3cr3t!", "refresh_token": refresh_token}});
    Config(config.as_object().unwrap().clone())
}

fn stream<'s>(source: &'s dyn Source, name: &str) -> &'s dyn Stream {
    let mut streams = source.streams().iter();
    streams
        .find(|stream| stream.info().name == name)
        .unwrap()
        .as_ref()
}

/// All records of a stream and the state after them.
async fn read(stream: &dyn Stream, state: &State) -> Result<(Vec<Json>, State), SourceError> {
    let (mut records, mut done) = (Vec::new(), Vec::new());
    let slices: Vec<_> = stream.slices(state).try_collect().await?;
    for slice in slices {
        let mut cursor = None;
        let mut pages = stream.pages(&slice);
        while let Some(page) = pages.try_next().await? {
            records.extend(
                page.records
                    .values()
                    .iter()
                    .map(|record| serde_json::to_value(record).unwrap()),
            );
            cursor = page.cursor;
        }
        drop(pages);
        done.push(SliceDone::now(slice, cursor));
    }
    Ok((records, stream.state_after(state, &done)))
}

#[tokio::test]
async fn a_paged_stream_is_read_and_its_state_moves() {
    let (source, seen) = source("first").await;
    let invoices = stream(source.as_ref(), "invoices");
    assert_eq!(invoices.info().primary_key, ["InvoiceID"]);
    let (records, state) = read(invoices, &State::Null).await.unwrap();
    assert_eq!(records.len(), RECORDS);
    assert_eq!(
        records[249],
        json!({"InvoiceID": "i249", "Total": 10.1, "UpdatedDateUTC": "2024-01-01T04:09:00Z"})
    );
    assert_eq!(state, json!({"UpdatedDateUTC": "2024-01-01T04:09:00"}));
    let page =
        |page: usize, since: &str| format!("invoices page={page} since={since} Bearer access-1 t1");
    let first = "2024-01-01T00:00:00";
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "token grant_type=refresh_token&refresh_token=first Basic aWQ6czNjcjN0IQ==".to_owned(),
            "stored credentials.refresh_token=second-token".to_owned(),
            // Over the limit, then again.
            page(1, first),
            page(1, first),
            page(2, first),
            page(3, first),
        ]
    );
    read(invoices, &state).await.unwrap();
    assert_eq!(seen.lock().unwrap()[6], page(1, "2024-01-01T04:09:00"));
}

#[tokio::test]
async fn a_check_shows_that_the_credentials_work() {
    let (source, _) = source("first").await;
    source.check().await.unwrap();
}

#[tokio::test]
async fn a_refused_refresh_token_needs_a_person() {
    let (source, _) = source("stale-token").await;
    let error = source.check().await.unwrap_err();
    assert!(matches!(error, SourceError::Credentials(_)), "{error}");
    assert!(error.to_string().contains("sign in again"), "{error}");
}

#[tokio::test]
async fn a_spent_day_parks_the_stream() {
    let (source, _) = source("first").await;
    let error = read(stream(source.as_ref(), "spent"), &State::Null)
        .await
        .unwrap_err();
    let SourceError::Parked { retry_after } = error else {
        panic!("{error}")
    };
    assert_eq!(retry_after.as_secs(), 66_975);
}

#[tokio::test]
async fn an_error_shows_no_secret() {
    let (source, _) = source("first").await;
    let error = read(stream(source.as_ref(), "forbidden"), &State::Null)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("answered 403") && text.contains("****"),
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[tokio::test]
async fn a_stream_that_cannot_run_is_named_with_those_that_can() {
    let wanted = Wanted::default();
    let (url, seen) = serve().await;
    let sink = || Arc::new(Sink(seen.clone()));
    let error = open(&manifest(), config(&url, "first"), sink(), &wanted).await;
    let error = error.err().unwrap().to_string();
    insta::assert_snapshot!(error, @"
    1 stream cannot run:
      stream `custom`: streams[3].retriever: CustomRetriever `source_x.Retriever` is code that does not run here
    these can: invoices, spent, forbidden
    choose streams (--stream, or `streams` in the client file), or skip the others with --skip-unsupported
    ");
    let wanted = Wanted::named(&["invoices".to_owned()]);
    assert!(
        open(&manifest(), config(&url, "first"), sink(), &wanted)
            .await
            .is_ok()
    );
}
