//! Much of everything: bodies, lists, slices. Memory stays bounded.

use std::io::Write;

use serde_json::json;

use super::run::{Input, Ran};
use super::server::{Server, json as reply_json};

/// Enough for half a kilobyte each to show.
const SLICES: usize = 40_000;

/// As many bytes of records, a reply in one piece.
fn large(bytes: usize, before: &str, after: &str) -> (String, usize) {
    let filler = "x".repeat(1_400);
    let mut body = String::with_capacity(bytes + 2_000);
    body.push_str(before);
    let mut count = 0;
    while body.len() < bytes {
        let comma = if count == 0 { "" } else { "," };
        body.push_str(&format!("{comma}{{\"id\": {count}, \"amount\": {count}.50, \"lines\": [{{\"a\": 1}}], \"note\": \"{filler}\"}}"));
        count += 1;
    }
    body.push_str(after);
    (body, count)
}

fn lines(ran: &Ran) -> usize {
    ran.printed.lines().count()
}

#[test]
fn a_body_of_100_megabytes_is_held_once() {
    for (before, after, path) in [
        ("{\"data\": [", "], \"next\": null}", json!(["data"])),
        ("[", "]", json!([])),
    ] {
        let (body, count) = large(100_000_000, before, after);
        let server = Server::new(move |_| reply_json(body.clone()));
        let extractor = json!({"extractor": {"field_path": path}});
        let stream = json!({"retriever": {"record_selector": extractor}});
        let ran = Input::of(&server.url(), &stream).read();
        ran.succeeds();
        assert_eq!(lines(&ran), count);
        assert!(ran.peak < 250, "{} MiB", ran.peak);
    }
}

#[test]
fn a_body_without_end_is_an_error() {
    let server = Server::new(|_| {
        Box::new(|stream| {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: gzip\r\n\r\n",
            )?;
            let mut packer = flate2::write::GzEncoder::new(stream, flate2::Compression::fast());
            let spaces = vec![b' '; 1 << 20];
            loop {
                packer.write_all(&spaces)?;
            }
        })
    });
    let ran = Input::of(&server.url(), &json!({})).read();
    ran.fails(1, &["/things", "longer than"]);
    assert!(ran.peak < 1_700, "{} MiB", ran.peak);
}

#[test]
fn partitions_take_little_memory_each() {
    let values: Vec<_> = (0..SLICES).map(|id| format!("partition-{id}")).collect();
    let router = json!({"type": "ListPartitionRouter", "values": values, "cursor_field": "part",
        "request_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "part"}});
    let server = Server::new(|_| reply_json("{\"data\": []}"));
    let ran = Input::of(
        &server.url(),
        &json!({"retriever": {"partition_router": router}}),
    )
    .read();
    ran.succeeds();
    assert_eq!(server.asked().len(), SLICES);
    assert!(ran.peak < 80, "{} MiB", ran.peak);
}

#[test]
fn windows_take_little_memory_each() {
    let cursor = json!({"type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%dT%H:%M:%SZ",
        "start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-01-28T18:40:00Z",
        "step": "PT1M", "cursor_granularity": "PT1S"});
    let server = Server::new(|_| reply_json("{\"data\": []}"));
    let ran = Input::of(&server.url(), &json!({"incremental_sync": cursor})).read();
    ran.succeeds();
    assert_eq!(server.asked().len(), SLICES);
    assert!(ran.peak < 80, "{} MiB", ran.peak);
}
