//! Redirects: what goes along to another host, and how far a request travels.

use serde_json::{Value as Json, json};

use super::run::{Input, Ran};
use super::server::{Asked, Server, json as reply_json, reply};

/// A stream whose server sends every request on to another host; what that is asked.
fn sent_on(status: u16, stream: &Json) -> (Ran, Vec<Asked>) {
    let other = Server::new(|_| reply_json(r#"{"data": [{"id": 1}]}"#));
    let target = format!("{}/elsewhere", other.url_elsewhere());
    let first = Server::new(move |_| {
        let headers = [
            ("location", target.as_str()),
            ("set-cookie", "session=c00kie; Path=/"),
        ];
        reply(status, &headers, "")
    });
    let ran = Input::of(&first.url(), stream).read();
    (ran, other.asked())
}

fn requester(requester: &Json) -> Json {
    json!({"retriever": {"requester": requester}})
}

#[test]
fn nothing_secret_follows_to_another_host() {
    let token = "{{ config.key }}";
    let requesters = [
        json!({"authenticator": {"type": "BearerAuthenticator", "api_token": token}}),
        json!({"authenticator": {"type": "BasicHttpAuthenticator", "username": "me", "password": token}}),
        json!({"authenticator": {"type": "ApiKeyAuthenticator", "api_token": token, "header": "X-Api-Key"}}),
        json!({"authenticator": {"type": "ApiKeyAuthenticator", "api_token": token,
            "inject_into": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "key"}}}),
        json!({"request_headers": {"Authorization": "Token abc"}}),
        json!({"request_headers": {"Cookie": "sid=abc"}}),
        json!({"request_headers": {"X-Custom": "v1 {{ config.key }}"}}),
        json!({"request_headers": {"X-Auth-Token": "abc"}}),
        json!({"request_headers": {"Shop-Api-Key": "abc"}}),
        json!({"request_parameters": {"key": token}}),
    ];
    for auth in requesters {
        let (ran, asked) = sent_on(302, &requester(&auth));
        ran.succeeds();
        assert_eq!(ran.records(), [json!({"id": 1})]);
        let [asked] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(asked.target, "/elsewhere", "{auth}");
        let names: Vec<_> = asked
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let harmless = ["accept", "accept-encoding", "host", "user-agent"];
        assert!(
            names.iter().all(|name| harmless.contains(name)),
            "{auth}: {names:?}"
        );
    }
}

#[test]
fn a_body_with_a_secret_is_not_sent_on() {
    let body = json!({"http_method": "POST", "request_body_json": {"key": "{{ config.key }}"}});
    let (ran, asked) = sent_on(307, &requester(&body));
    ran.fails(
        1,
        &["redirected to another host (localhost)", "credentials"],
    );
    assert!(asked.is_empty());
    assert!(!ran.log.contains("s3cr3t"), "{}", ran.log);
}

#[test]
fn a_circle_of_redirects_ends() {
    let server = Server::new(|_| reply(302, &[("location", "/things")], ""));
    let ran = Input::of(&server.url(), &json!({})).read();
    ran.fails(1, &["/things", "more than 30 redirects"]);
    assert_eq!(server.asked().len(), 31);
}

#[test]
fn a_redirect_to_what_is_no_web_address_is_an_error() {
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://"] {
        let server = Server::new(move |_| reply(302, &[("location", target)], ""));
        let ran = Input::of(&server.url(), &json!({})).read();
        assert!(ran.records().is_empty(), "{target}");
        assert!(!ran.log.contains("panicked"), "{target}: {}", ran.log);
    }
}

#[test]
fn the_next_page_of_another_host_gets_no_credentials_from_a_redirect() {
    // The first host sends page 1 on; the cookie it gave stays with it.
    let (ran, asked) = sent_on(301, &json!({}));
    ran.succeeds();
    assert_eq!(asked[0].header("cookie"), None);
}
