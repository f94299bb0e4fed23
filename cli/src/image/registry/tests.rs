//! The protocol's corners, against a server that answers as told.
//! What an ordinary push looks like, a real registry judges (`tests/image/`).

use secrecy::ExposeSecret;
use wiremock::matchers::{any, header, method, path, path_regex, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::auth::Basic;
use super::super::elf::tests::executable;
use super::super::{Machine, local_image};
use super::*;

const REPOSITORY: &str = "p/xetl-acme/runtime";

/// An image with nothing attached, as that is a matter of its own.
fn image(folder: &tempfile::TempDir) -> BuiltImage {
    let binary = folder.path().join("runtime");
    std::fs::write(&binary, executable(&[(1, b"code")])).unwrap();
    let cache = folder.path().join("cache");
    let mut image = local_image(&binary, Machine::Amd64, &cache).unwrap();
    image.attachments.clear();
    image
}

fn package(image: &BuiltImage) -> Package {
    Package::of(vec![image.clone()]).unwrap()
}

fn registry(server: &MockServer, login: Login) -> Registry {
    let mut registry = Registry::new(Url::parse(&server.uri()).unwrap(), REPOSITORY, login);
    registry.patience = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_times(2);
    registry
}

fn basic() -> Login {
    Login::Basic(Basic {
        user: "me".to_owned(),
        password: "hunter2".into(),
    })
}

fn put_manifest(image: &BuiltImage) -> ResponseTemplate {
    ResponseTemplate::new(201).insert_header("docker-content-digest", image.digest.as_str())
}

/// Blobs and manifests are missing at first; uploads are sent to `location`.
async fn empty_registry(server: &MockServer, image: &BuiltImage, location: &str) {
    let head = Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404));
    head.up_to_n_times(3).mount(server).await;
    Mock::given(method("HEAD"))
        .respond_with(put_manifest(image))
        .mount(server)
        .await;
    let place = ResponseTemplate::new(202).insert_header("location", location);
    Mock::given(method("POST"))
        .respond_with(place)
        .mount(server)
        .await;
    Mock::given(method("PUT"))
        .and(path_regex("/manifests/"))
        .respond_with(put_manifest(image))
        .mount(server)
        .await;
}

#[tokio::test]
async fn another_host_gets_the_bytes_but_not_the_credentials() {
    let (server, storage) = (MockServer::start().await, MockServer::start().await);
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    Mock::given(method("HEAD"))
        .and(|request: &wiremock::Request| !request.headers.contains_key("authorization"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", "Basic"))
        .with_priority(1)
        .mount(&server)
        .await;
    empty_registry(
        &server,
        &image,
        &format!("{}/put?signature=s", storage.uri()),
    )
    .await;
    Mock::given(method("PUT"))
        .and(query_param("signature", "s"))
        .respond_with(ResponseTemplate::new(201))
        .expect(2)
        .mount(&storage)
        .await;

    registry(&server, basic())
        .push(&package(&image), None)
        .await
        .unwrap();
    for request in storage.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"));
        assert!(request.url.query().unwrap().contains("&digest=sha256"));
    }
}

#[tokio::test]
async fn a_token_for_the_registry_is_shown_as_it_is() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(header("authorization", "Bearer made-elsewhere"))
        .respond_with(ResponseTemplate::new(404))
        .expect(1)
        .mount(&server)
        .await;
    let challenge = "Bearer realm=\"https://nowhere.example/token\"";
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", challenge))
        .expect(1)
        .mount(&server)
        .await;
    let login = Login::Bearer("made-elsewhere".into());
    let registry = registry(&server, login).to_read();
    let error = registry.manifest("latest").await.unwrap_err();
    assert!(matches!(error, RegistryError::Absent { .. }), "{error}");
}

#[tokio::test]
async fn a_relative_place_keeps_its_query_and_a_503_is_tried_again() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    empty_registry(&server, &image, "/upload/1?state=x").await;
    Mock::given(path("/upload/1"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/upload/1"))
        .and(query_param("state", "x"))
        .and(query_param("digest", image.layer.digest.as_str()))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/upload/1"))
        .and(query_param("digest", image.config_info().digest))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&server)
        .await;
    let pushed = registry(&server, Login::Anonymous)
        .push(&package(&image), None)
        .await;
    assert_eq!(pushed.unwrap().sent, image.size());
}

#[tokio::test]
async fn a_registry_that_asks_for_an_hour_is_not_waited_for() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "3600");
    Mock::given(any())
        .respond_with(busy)
        .expect(1)
        .mount(&server)
        .await;
    let asked = registry(&server, Login::Anonymous).manifest("latest").await;
    let error = asked.unwrap_err();
    assert_eq!(error.status(), Some(429));
    assert!(error.hint().unwrap().contains("for 3600 s"));
}

#[tokio::test]
async fn without_a_digest_in_the_header_the_manifest_under_a_tag_is_read() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let document = image(&folder).document();
    Mock::given(method("HEAD"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let body = document.bytes.to_vec();
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, &document.media_type))
        .mount(&server)
        .await;
    let registry = registry(&server, Login::Anonymous);
    let found = registry.manifest_digest("v1").await;
    assert_eq!(found.unwrap(), Some(document.digest));
}

#[tokio::test]
async fn a_registry_that_knows_no_referrers_may_call_the_question_wrong() {
    let server = MockServer::start().await;
    Mock::given(path_regex("/referrers/"))
        .respond_with(ResponseTemplate::new(400))
        .mount(&server)
        .await;
    let registry = registry(&server, Login::Anonymous);
    let found = registry.referrers("sha256:00").await;
    assert!(found.unwrap().manifests.is_empty());
}

#[tokio::test]
async fn a_mount_that_is_refused_with_401_becomes_an_upload() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let neighbour = Mock::given(method("HEAD")).and(path_regex("/p/other/blobs/"));
    neighbour
        .respond_with(ResponseTemplate::new(200))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(query_param("from", "p/other"))
        .respond_with(ResponseTemplate::new(401))
        .with_priority(1)
        .mount(&server)
        .await;
    empty_registry(&server, &image, "/upload/1").await;
    Mock::given(path("/upload/1"))
        .respond_with(ResponseTemplate::new(201))
        .expect(2)
        .mount(&server)
        .await;
    let registry = registry(&server, Login::Anonymous).beside(vec!["p/other".to_owned()]);
    registry.push(&package(&image), None).await.unwrap();
}

#[tokio::test]
async fn a_token_is_fetched_with_the_login_and_used() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let realm = format!(r#"Bearer realm="{}/token",service="r""#, server.uri());
    Mock::given(method("GET"))
        .and(path("/token"))
        .and(query_param(
            "scope",
            format!("repository:{REPOSITORY}:pull,push"),
        ))
        .and(header("authorization", basic_header()))
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({"token": "t"})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .and(header("authorization", "Bearer t"))
        .respond_with(put_manifest(&image))
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", realm.as_str()))
        .expect(1)
        .mount(&server)
        .await;
    let pushed = registry(&server, basic())
        .push(&package(&image), Some("v1"))
        .await;
    assert_eq!(pushed.unwrap().sent, 0);
}

fn basic_header() -> String {
    Basic {
        user: "me".to_owned(),
        password: "hunter2".into(),
    }
    .header()
    .expose_secret()
    .to_owned()
}

#[tokio::test]
async fn a_google_token_goes_to_no_other_host() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let challenge = r#"Bearer realm="https://evil.example/token""#;
    Mock::given(method("HEAD"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", challenge))
        .mount(&server)
        .await;
    let google = Login::Google(std::sync::Arc::new(|| {
        Box::pin(async { Ok(SecretString::from("ya29")) })
    }));
    let error = registry(&server, google)
        .push(&package(&image(&folder)), None)
        .await;
    assert!(
        matches!(error, Err(RegistryError::Realm { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_digest_is_final_and_no_manifest_follows() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    Mock::given(method("HEAD"))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let place = ResponseTemplate::new(202).insert_header("location", "/upload/1");
    Mock::given(method("POST"))
        .respond_with(place)
        .mount(&server)
        .await;
    let refusal = serde_json::json!({"errors": [{"code": "DIGEST_INVALID", "message": "no"}]});
    Mock::given(method("PUT"))
        .respond_with(ResponseTemplate::new(400).set_body_json(refusal))
        .expect(1..=2)
        .mount(&server)
        .await;
    let error = registry(&server, Login::Anonymous)
        .push(&package(&image), Some("v1"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("answered 400 to the upload: DIGEST_INVALID: no"),
        "{error}"
    );
}

#[tokio::test]
async fn a_blob_of_a_neighbour_is_mounted_with_a_token_for_both() {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image(&folder);
    let realm = format!(r#"Bearer realm="{}/token",service="r""#, server.uri());
    Mock::given(method("HEAD"))
        .and(|request: &wiremock::Request| !request.headers.contains_key("authorization"))
        .respond_with(ResponseTemplate::new(401).insert_header("www-authenticate", realm.as_str()))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path("/token"))
        .and(|request: &wiremock::Request| {
            let query = request.url.query_pairs();
            let scopes: Vec<String> = query
                .filter(|(key, _)| key == "scope")
                .map(|(_, scope)| scope.into_owned())
                .collect();
            scopes
                == [
                    "repository:p/xetl-acme/runtime:pull,push",
                    "repository:p/xetl-globex/runtime:pull",
                ]
        })
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({"token": "t"})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("HEAD"))
        .and(path_regex("^/v2/p/xetl-globex/runtime/blobs/"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(query_param("from", "p/xetl-globex/runtime"))
        .and(query_param("mount", image.layer.digest.as_str()))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&server)
        .await;
    // The config is not mounted; the reply says where to send it instead.
    Mock::given(method("POST"))
        .and(query_param("mount", image.config_info().digest))
        .respond_with(ResponseTemplate::new(202).insert_header("location", "/upload/1"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/upload/1"))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&server)
        .await;
    empty_registry(&server, &image, "/nowhere").await;
    let pushed = registry(&server, basic())
        .beside(vec!["p/xetl-globex/runtime".to_owned()])
        .push(&package(&image), None)
        .await
        .unwrap();
    assert_eq!(
        pushed.sent,
        (image.config.len() + image.manifest.len()) as u64
    );
}

#[tokio::test]
async fn other_bytes_than_the_digest_names_are_refused() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("other bytes"))
        .mount(&server)
        .await;
    let registry = registry(&server, Login::Anonymous).to_read();
    let wanted = super::super::digest(b"bytes");
    let error = registry.small_blob(&wanted).await.unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error}");
}
