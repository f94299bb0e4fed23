//! Someone writes a manifest and tries it: mistakes are told, secrets are not.
#![allow(clippy::unwrap_used)] // A test may panic.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const MANIFEST: &str = r#"version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [users]}
streams:
  - type: DeclarativeStream
    name: users
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url: "{{ config['url'] }}/users"
        http_method: POST
        request_parameters: {key: "{{ config['key'] }}"}
        request_body_json: {note: "{{ config['key'] }}"}
        authenticator:
          type: OAuthAuthenticator
          token_refresh_endpoint: "{{ config['url'] }}/token"
          grant_type: client_credentials
          client_id: me
          client_secret: "{{ config['unmarked'] }}"
      record_selector:
        type: RecordSelector
        extractor: {type: DpathExtractor, field_path: [data]}
spec:
  type: Spec
  connection_specification:
    type: object
    required: [url, key]
    properties:
      url: {type: string}
      key: {type: string, airbyte_secret: true}
      pages: {type: integer}
"#;

/// Answers every request: `/token` with tokens, all else with records that hold the query.
struct Server {
    address: String,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                answer(stream.unwrap());
            }
        });
        Server {
            address,
            stopped,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    let mut length = 0;
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let body = match path {
        "/token" => r#"{"access_token": "t0k3n-of-reply", "expires_in": 3600}"#.to_owned(),
        path => {
            format!(r#"{{"data": [{{"id": 1, "asked": "{path}"}}, {{"id": 2}}, {{"id": 3}}]}}"#)
        }
    };
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
    let _ = write!(
        stream,
        "{head}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The exit code and all that was said.
fn xetl(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xetl"))
        .arg("source")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_reading_shows_requests_replies_and_records_without_secrets() {
    let server = Server::start();
    let config = format!(
        r#"{{"url": "http://{}", "key": "k3y/+ \"q\"", "unmarked": "s3cret-unmarked"}}"#,
        server.address
    );
    let folder = folder(&[("m.yaml", MANIFEST), ("c.json", &config)]);
    for more in [&[][..], &["--format", "json"][..]] {
        let arguments = ["read", "./m.yaml", "--config", "c.json", "--limit", "2"];
        let (code, said) = xetl(folder.path(), &[&arguments[..], more].concat());
        assert_eq!(code, Some(0), "{said}");
        for secret in ["k3y", "s3cret", "t0k3n"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        for shown in [
            "/token",
            "/users?key=****",
            "access_token",
            "note",
            "/users",
        ] {
            assert!(said.contains(shown), "{shown}: {said}");
        }
        assert!(
            said.contains(r#""asked":"/users?key=****"#) || !more.is_empty(),
            "{said}"
        );
    }
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let misspelt = MANIFEST.replace("record_selector:", "record_selctor:");
    let tab = MANIFEST.replace("    retriever:", "\tretriever:");
    let start = MANIFEST.find("streams:\n").unwrap();
    let end = MANIFEST.find("spec:\n").unwrap();
    let none = format!("{}{}", &MANIFEST[..start], &MANIFEST[end..]);
    let folder = folder(&[
        ("m.yaml", MANIFEST),
        ("misspelt.yaml", &misspelt),
        ("tab.yaml", &tab),
        ("none.yaml", &none),
        ("c.json", r#"{"url": "http://127.0.0.1:1", "key": "k3y"}"#),
        ("misfit.json", r#"{"key": 12345, "pages": "s3cret"}"#),
    ]);
    let told = |arguments: &[&str]| {
        let (code, said) = xetl(folder.path(), arguments);
        format!("{}: {}", code.unwrap(), said.trim_end())
    };
    insta::assert_snapshot!(told(&["read", "./m.yaml", "--config", "misfit.json"]), @"
    2: error: misfit.json does not fit the source:
      \"url\" is a required property
      key: value is not of type \"string\"
      pages: value is not of type \"integer\"
    hint: xetl source show ./m.yaml lists what it takes
    ");
    insta::assert_snapshot!(told(&["check", "./m.yaml", "--config", "none.json"]), @"2: error: cannot read none.json: No such file or directory (os error 2)");
    insta::assert_snapshot!(told(&["read", "./m.yaml", "--config", "c.json", "--stream", "user"]), @"2: error: the source has no stream `user`; it has: users");
    insta::assert_snapshot!(told(&["discover", "./misspelt.yaml", "--config", "c.json"]), @"
    2: error: 1 stream cannot run:
      stream `users`: streams[0].retriever: SimpleRetriever needs `record_selector`
    no other stream can
    hint: xetl source lint ./misspelt.yaml may show where
    ");
    insta::assert_snapshot!(told(&["lint", "misspelt.yaml"]), @"
    1: misspelt.yaml:9:7: error: SimpleRetriever needs `record_selector`
    misspelt.yaml:22:7: error: SimpleRetriever has no `record_selctor`; did you mean `record_selector`?
    error: 2 errors, 0 warnings
    ");
    insta::assert_snapshot!(told(&["lint", "tab.yaml"]), @"
    1: tab.yaml:7:18: error: while scanning a plain scalar, found a tab (YAML is indented with spaces)
    error: 1 error, 0 warnings
    ");
    insta::assert_snapshot!(told(&["lint", "none.yaml"]), @"
    1: none.yaml:1:1: error: a manifest needs `streams` or `dynamic_streams`
    none.yaml:3:43: error: there is no stream `users`
    error: 2 errors, 0 warnings
    ");
    insta::assert_snapshot!(told(&["read", "./none.yaml", "--config", "c.json"]), @"
    2: error: there is no stream to read
    hint: xetl source lint ./none.yaml may show where
    ");
    insta::assert_snapshot!(told(&["show", "./gone.yaml"]), @"2: error: cannot read `./gone.yaml`: No such file or directory (os error 2)");
}
