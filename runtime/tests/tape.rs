//! A source and a tape: what is kept of a reply, and that a replay asks for nothing.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use wiremock::matchers::{method, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};
use xetl_runtime::source::{Config, SecretSink, SinkError, Wanted, open};
use xetl_runtime::stream::{Slice, Source, SourceError};
use xetl_runtime::tape::{Entry, Reply, Tape, Told};

struct Nowhere;

impl SecretSink for Nowhere {
    fn store<'a>(
        &'a self,
        _: &'a [String],
        _: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        std::future::ready(Ok(())).boxed()
    }
}

/// Pages by a token, a key in the address; records shaped by `add`.
fn manifest(url: &str, add: &str) -> Json {
    json!({
        "version": "6.0.0", "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["things"]},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {
            "key": {"type": "string", "airbyte_secret": true}}}},
        "streams": [{
            "type": "DeclarativeStream", "name": "things", "primary_key": "id",
            "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
            "transformations": [{"type": "AddFields", "fields": [
                {"path": ["added"], "value": add}]}],
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {"type": "HttpRequester", "url_base": url, "path": "/things",
                    "authenticator": {"type": "ApiKeyAuthenticator", "api_token": "{{ config['key'] }}",
                        "inject_into": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "who"}}},
                "record_selector": {"type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": ["data"]}},
                "paginator": {"type": "DefaultPaginator",
                    "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"},
                    "pagination_strategy": {"type": "CursorPagination",
                        "cursor_value": "{{ response.next }}", "stop_condition": "{{ not response.next }}"}}},
        }],
    })
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let reply = |body: Json| {
        ResponseTemplate::new(200)
            .insert_header("set-cookie", "session=s3cret")
            .insert_header("x-request-id", "r-7")
            .set_body_json(body)
    };
    let first = json!({"data": [{"id": 1}, {"id": 2}], "next": "n2"});
    Mock::given(method("GET"))
        .and(query_param_is_missing("page"))
        .respond_with(reply(first))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(query_param("page", "n2"))
        .respond_with(reply(json!({"data": [{"id": 3}], "next": null})))
        .mount(&server)
        .await;
    server
}

async fn source(url: &str, add: &str, offline: bool) -> Box<dyn Source> {
    let config = json!({"key": "k3y-of-acme"}).as_object().unwrap().clone();
    let secrets = Arc::new(Nowhere);
    let wanted = Wanted {
        offline,
        ..Wanted::default()
    };
    open(&manifest(url, add), Config(config), secrets, &wanted)
        .await
        .unwrap()
}

async fn records(source: &dyn Source, tape: Tape) -> Result<Vec<Json>, SourceError> {
    let slice = Slice::default();
    let mut pages = source.streams()[0].pages_on(&slice, &tape);
    let mut records = Vec::new();
    while let Some(page) = pages.try_next().await? {
        let page = page.records.into_iter();
        records.extend(page.map(|record| serde_json::to_value(&record).unwrap()));
    }
    Ok(records)
}

/// What a tape is told while the stream is read.
async fn kept(url: &str) -> (Vec<Json>, Vec<Reply>) {
    let (to, mut told) = mpsc::channel(16);
    let read = records(&*source(url, "old", false).await, Tape::keeping(to))
        .await
        .unwrap();
    let mut replies = Vec::new();
    while let Some(told) = told.recv().await {
        match told {
            Told::Entry(Entry::Reply(reply)) => replies.push(reply),
            other => panic!("{other:?}"),
        }
    }
    (read, replies)
}

#[tokio::test]
async fn a_reply_is_kept_as_it_came_and_nothing_secret_with_it() {
    let server = server().await;
    let (read, replies) = kept(&server.uri()).await;
    assert_eq!(read.len(), 3);
    let bodies: Vec<Json> = replies
        .iter()
        .map(|reply| serde_json::from_slice(&reply.body).unwrap())
        .collect();
    assert_eq!(bodies[1], json!({"data": [{"id": 3}], "next": null}));
    let about = &replies[1].about;
    let path = about.url.strip_prefix(&server.uri()).unwrap();
    assert_eq!((about.method.as_str(), about.status), ("GET", 200));
    assert_eq!(path, "/things?who=****&page=n2");
    let names: Vec<&str> = about
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(names.contains(&"x-request-id") && !names.contains(&"set-cookie"));
    let all = serde_json::to_string(&replies.iter().map(|it| &it.about).collect::<Vec<_>>());
    let all = all.unwrap();
    assert!(
        !all.contains("k3y-of-acme") && !all.contains("s3cret"),
        "{all}"
    );
}

#[tokio::test]
async fn a_replay_gives_the_pages_to_the_stream_as_it_is_now_and_asks_for_nothing() {
    let server = server().await;
    let (_, replies) = kept(&server.uri()).await;
    let asked = server.received_requests().await.unwrap().len();
    let (to, entries) = mpsc::channel(16);
    for reply in replies {
        to.send(Entry::Reply(reply)).await.unwrap();
    }
    drop(to);
    let source = source(&server.uri(), "new", true).await;
    let again = records(&*source, Tape::playing(entries)).await.unwrap();
    let expected: Vec<Json> = (1..=3)
        .map(|id| json!({"id": id, "added": "new"}))
        .collect();
    assert_eq!(again, expected);
    let slice = Slice::default();
    let refused = source.streams()[0].pages(&slice).try_next().await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("a replay asks the source for nothing")
    );
    assert_eq!(server.received_requests().await.unwrap().len(), asked);
}
