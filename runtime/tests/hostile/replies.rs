//! Replies that are not what they should be.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::run::{Input, Ran};
use super::server::{Answer, Server, cut, head, json as reply_json, reply, silence};

fn read(answer: impl Fn() -> Answer + Send + Sync + 'static, stream: &Json) -> Ran {
    let server = Server::new(move |_| answer());
    Input::of(&server.url(), stream).read()
}

/// A page with this body.
fn body(text: impl Into<Vec<u8>>) -> Ran {
    let text = text.into();
    read(move || reply_json(text.clone()), &json!({}))
}

#[test]
fn html_where_json_is_expected_is_an_error_with_its_title() {
    let page = "<!DOCTYPE html>\n<html><head><title>Down for\n maintenance</title></head></html>";
    let ran = read(
        move || reply(200, &[("content-type", "text/html")], page),
        &json!({}),
    );
    ran.fails(1, &["/things", "HTML", "Down for maintenance"]);
}

#[test]
fn a_reply_without_documents_is_an_empty_page() {
    for text in [
        "",
        "null",
        "OK",
        "{}",
        "{\"data\": null}",
        "{\"data\": []}",
        "[]",
    ] {
        let ran = body(text);
        assert_eq!(
            (ran.code, ran.records().len()),
            (0, 0),
            "{text}: {}",
            ran.log
        );
    }
}

#[test]
fn records_that_are_no_objects_are_an_error_that_names_the_path() {
    for (text, kind) in [
        ("{\"data\": [1]}", "a number"),
        ("{\"data\": \"text\"}", "text"),
        ("{\"data\": [[]]}", "a list"),
    ] {
        body(text).fails(1, &["stream `things`", kind, "field_path"]);
    }
}

#[test]
fn a_json_body_that_breaks_off_says_where() {
    let ran = body("{\"data\": [{\"id\": 1}, {\"id\"");
    ran.fails(1, &["/things", "cannot decode", "line 1 column"]);
    assert!(ran.records().is_empty());
}

#[test]
fn a_cut_connection_is_an_error_that_names_the_address() {
    let ran = read(|| cut("{\"data\": [{\"id\": 1}]}"), &json!({}));
    ran.fails(1, &["/things", "cannot"]);
    assert!(ran.records().is_empty());
}

#[test]
fn a_gzipped_body_that_breaks_off_is_an_error() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let text: String = (0..1000).map(|id| format!("{{\"id\": {id}}}\n")).collect();
    packer.write_all(text.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let half = packed[..packed.len() / 2].to_vec();
    let packed_half = half.clone();
    let ran = read(
        move || reply(200, &[("content-encoding", "gzip")], packed_half.clone()),
        &json!({}),
    );
    ran.fails(1, &["/things"]);
    let decoder = json!({"type": "GzipDecoder", "decoder": {"type": "JsonlDecoder"}});
    let extractor = json!({"extractor": {"field_path": []}});
    let stream = json!({"retriever": {"decoder": decoder, "record_selector": extractor}});
    read(move || reply_json(half.clone()), &stream).fails(1, &["/things", "cannot decode"]);
}

#[test]
fn a_document_nested_deep_is_an_error_and_no_crash() {
    let deep = format!(
        "{{\"data\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    body(deep).fails(1, &["/things", "recursion limit"]);
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let stream = json!({"retriever": {"decoder": {"type": "XmlDecoder"}}});
    let ran = read(
        move || reply_json(format!("<?xml version=\"1.0\"?>{deep}")),
        &stream,
    );
    ran.fails(1, &["/things", "deep"]);
}

#[test]
fn numbers_keep_a_thousand_digits() {
    let digits = "7".repeat(1000);
    let ran = body(format!(
        "{{\"data\": [{{\"id\": {digits}, \"x\": 0.{digits}, \"e\": 1e99999}}]}}"
    ));
    ran.succeeds();
    let line = format!("{{\"id\":{digits},\"x\":0.{digits},\"e\":1e99999}}");
    assert!(ran.printed.contains(&line), "{}", ran.printed);
}

#[test]
fn bytes_that_are_no_text_are_an_error_that_says_where() {
    body(b"{\"data\": [{\"id\": \"\xff\xfe\"}]}".to_vec()).fails(1, &["/things", "line 1 column"]);
    body(b"{\"data\": [{\"id\": \"\0\"}]}".to_vec()).fails(1, &["/things", "line 1 column"]);
}

#[test]
fn an_escaped_nul_is_a_letter_like_any_other() {
    let ran = body(r#"{"data": [{"id": "a\u0000b"}]}"#);
    ran.succeeds();
    assert_eq!(ran.records(), [json!({"id": "a\0b"})]);
}

#[test]
fn an_error_in_a_reply_of_status_200_is_found_by_a_filter() {
    let text = r#"{"error": {"message": "quota of the tenant exceeded"}}"#;
    let filtered = |filter: Json| {
        let handler = json!({"response_filters": [filter]});
        let stream = json!({"retriever": {"requester": {"error_handler": handler}}});
        read(move || reply_json(text), &stream)
    };
    let by_text =
        json!({"type": "HttpResponseFilter", "action": "FAIL", "error_message_contains": "quota"});
    filtered(by_text).fails(1, &["/things", "quota of the tenant exceeded"]);
    let by_predicate = json!({"type": "HttpResponseFilter", "action": "FAIL",
        "predicate": "{{ 'error' in response }}", "error_message": "Ask for more: {{ response.error.message }}"});
    filtered(by_predicate).fails(
        1,
        &["/things", "Ask for more: quota of the tenant exceeded"],
    );
}

#[test]
fn an_error_in_a_reply_of_status_200_is_told_where_no_filter_looks() {
    let ran = body(r#"{"error": {"message": "quota of the tenant exceeded"}}"#);
    ran.succeeds();
    assert!(
        ran.log.contains("quota of the tenant exceeded"),
        "{}",
        ran.log
    );
}

#[test]
fn a_wait_of_ten_hours_parks_the_read_at_once() {
    for status in [429, 503] {
        let ran = read(
            move || reply(status, &[("retry-after", "36000")], ""),
            &json!({"retriever": {"requester": {"error_handler": {"max_retries": 3}}}}),
        );
        ran.fails(75, &["parked", "36001s"]);
    }
}

#[test]
fn a_wait_that_is_no_number_is_not_waited_for() {
    for wait in ["-1", "nan", "1e400", "soon", ""] {
        let server = Server::new(move |_| reply(429, &[("retry-after", wait)], ""));
        let stream = json!({});
        let ran = Input::of(&server.url(), &stream).read();
        ran.fails(1, &["answered 429"]);
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let timeout = json!({"read_timeout_in_seconds": 1});
    let ran = read(silence, &json!({"retriever": {"requester": timeout}}));
    ran.fails(1, &["cannot reach", "/things", "timed out"]);
}

#[test]
fn headers_without_end_are_an_error() {
    let many: Vec<_> = (0..20_000)
        .map(|n| (format!("x-{n}"), "a".repeat(100)))
        .collect();
    let long = vec![("x-long".to_owned(), "a".repeat(4 << 20))];
    for headers in [many, long] {
        let head = head(200, &headers, 2);
        let answer = move || -> Answer {
            let head = head.clone();
            Box::new(move |stream| stream.write_all(head.as_bytes()))
        };
        let ran = read(answer, &json!({}));
        ran.fails(1, &["cannot reach", "/things"]);
        assert!(ran.peak < 100, "{} MiB", ran.peak);
    }
}

#[test]
fn what_is_no_http_is_an_error() {
    let ran = read(
        || {
            Box::new(|stream| {
                stream.write_all(b"\x16\x03\x01\x02hello\r\n\r\n")?;
                stream.shutdown(std::net::Shutdown::Both)
            })
        },
        &json!({}),
    );
    ran.fails(1, &["cannot reach", "/things"]);
}
