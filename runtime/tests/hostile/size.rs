//! Much of everything: bodies, lists, slices. Memory stays bounded.

use std::io::Write;

use jiff::civil::DateTime;
use serde_json::{Value as Json, json};

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
    assert!(ran.peak < 1_350, "{} MiB", ran.peak);
}

/// Partitions in one list, and windows of a minute each.
fn read_partitions(count: usize) -> (Ran, usize) {
    let values: Vec<_> = (0..count).map(|id| format!("partition-{id}")).collect();
    let router = json!({"type": "ListPartitionRouter", "values": values, "cursor_field": "part",
        "request_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "part"}});
    read_empty(&json!({"retriever": {"partition_router": router}}))
}

fn read_windows(count: usize) -> (Ran, usize) {
    let start = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);
    let end = start + jiff::Span::new().minutes(i64::try_from(count).unwrap());
    let cursor = json!({"type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%dT%H:%M:%SZ",
        "start_datetime": format!("{start}Z"), "end_datetime": format!("{end}Z"),
        "step": "PT1M", "cursor_granularity": "PT1S"});
    read_empty(&json!({"incremental_sync": cursor}))
}

/// The run, and how many requests it took.
fn read_empty(stream: &Json) -> (Ran, usize) {
    let server = Server::new(|_| reply_json("{\"data\": []}"));
    let ran = Input::of(&server.url(), stream).read();
    ran.succeeds();
    (ran, server.asked().len())
}

/// Half a kilobyte each, beside what reading takes at all.
fn takes_little_each(read: fn(usize) -> (Ran, usize)) {
    let (few, _) = read(SLICES / 40);
    let (many, asked) = read(SLICES);
    assert_eq!(asked, SLICES);
    let each = (many.peak.saturating_sub(few.peak)) * 1024 * 1024 / (SLICES as u64);
    assert!(
        each < 700,
        "{each} bytes each: {} and {} MiB",
        few.peak,
        many.peak
    );
}

#[test]
fn partitions_take_little_memory_each() {
    takes_little_each(read_partitions);
}

#[test]
fn windows_take_little_memory_each() {
    takes_little_each(read_windows);
}
