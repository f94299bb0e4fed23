//! Every method of Google's APIs is called here as a service account without a role.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::*;
use crate::identity::Caller;

const PROJECT: &str = "acme-prod";

/// What a template's variables stand for.
fn path_of(template: &str) -> String {
    let parts = template.split('/').map(|part| {
        let (name, verb) = match part.split_once(':') {
            Some((name, verb)) => (name, format!(":{verb}")),
            None => (part, String::new()),
        };
        match name.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            None => part.to_owned(),
            Some("project" | "namespace") => format!("{PROJECT}{verb}"),
            Some("location") => "europe-west2".to_owned(),
            Some("service") => format!("run.googleapis.com{verb}"),
            Some("account") => format!("{}{verb}", nobody()),
            Some("rest=**") => "acme".to_owned(),
            Some(_) => format!("acme{verb}"),
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

fn nobody() -> String {
    format!("nobody@{PROJECT}.iam.gserviceaccount.com")
}

/// What a method has to be sent before it looks at who calls.
fn body_of(template: &str) -> Value {
    match template {
        "/v2/entries:list" => json!({"resourceNames": [format!("projects/{PROJECT}")]}),
        "/v2/entries:write" => {
            json!({"entries": [{"logName": format!("projects/{PROJECT}/logs/l")}]})
        }
        _ if template.ends_with(":generateAccessToken") => json!({"scope": ["cloud-platform"]}),
        _ if template.ends_with("/jobs") && template.starts_with("/bigquery") => {
            json!({"configuration": {"query": {"query": "select 1", "useLegacySql": false}}})
        }
        _ if template.ends_with("/queries") => json!({"query": "select 1", "useLegacySql": false}),
        _ if template.ends_with("/compose") => json!({"sourceObjects": [{"name": "a"}]}),
        _ => json!({}),
    }
}

/// What there has to be for its absence not to be told first.
async fn furnish(url: &str) {
    let make = async |path: &str, body: Value| {
        let call = reqwest::Client::new().post(format!("{url}{path}"));
        let reply = call.json(&body).send().await.unwrap();
        assert!(reply.status().is_success(), "{path}");
    };
    let services = format!("/v1/projects/{PROJECT}/services");
    let router = router();
    let all: BTreeSet<_> = router
        .routes()
        .filter_map(|(served, ..)| match served {
            Served::Api(name) => Some(name),
            _ => None,
        })
        .collect();
    make(
        &format!("{services}:batchEnable"),
        json!({"serviceIds": all}),
    )
    .await;
    let accounts = format!("/v1/projects/{PROJECT}/serviceAccounts");
    make(&accounts, json!({"accountId": "nobody"})).await;
    make(
        &format!("/storage/v1/b?project={PROJECT}"),
        json!({"name": "acme"}),
    )
    .await;
    let datasets = format!("/bigquery/v2/projects/{PROJECT}/datasets");
    let dataset = json!({"datasetReference": {"datasetId": "acme"}});
    make(&datasets, dataset).await;
}

#[tokio::test]
async fn who_has_no_role_may_do_nothing_but_what_is_open_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), Some(0)).await.unwrap();
    furnish(&running.url).await;
    let token = running.cloud.identity.token(&nobody());
    let caller = running.cloud.bearer(&token);
    assert_eq!(caller, Some(Caller::ServiceAccount(nobody())));
    let mut admitted = Vec::new();
    let router = router();
    for (served, method, template) in router.routes() {
        let Served::Api(_) = served else { continue };
        // Whoever sees a resource may ask what else it may do to it.
        if template.to_lowercase().contains("testiampermissions")
            || template.ends_with("/iam/testPermissions")
        {
            continue;
        }
        let mut url = format!("{}{}", running.url, path_of(template));
        if template.starts_with("/storage") || template.contains("/o") {
            url.push_str(&format!("?project={PROJECT}&uploadType=media&name=a"));
        }
        let method = Method::from_bytes(method.as_str().as_bytes()).unwrap();
        let call = reqwest::Client::new().request(method.clone(), &url);
        let call = call.bearer_auth(&token).json(&body_of(template));
        // Cloud Run's v1 has the location in its host.
        let call = match template.starts_with("/apis/run") {
            true => call.header("host", "europe-west2-run.googleapis.com"),
            false => call,
        };
        let status = call.send().await.unwrap().status().as_u16();
        if status != 403 {
            admitted.push(format!("{status} {method} {template}"));
        }
    }
    // Lists of what one may see, one's own jobs, an upload that is under way (its id is the
    // right to go on), what is not served, and an operation without its project.
    insta::assert_snapshot!(admitted.join("\n"), @r"
    400 PUT /upload/storage/v1/b/{bucket}/o
    400 DELETE /upload/storage/v1/b/{bucket}/o
    200 GET /bigquery/v2/projects/{project}/datasets
    200 GET /bigquery/v2/projects/{project}/jobs
    404 GET /bigquery/v2/projects/{project}/jobs/{job}
    404 POST /bigquery/v2/projects/{project}/jobs/{job}/cancel
    404 GET /bigquery/v2/projects/{project}/queries/{job}
    501 POST /upload/bigquery/v2/{rest=**}
    501 PUT /upload/bigquery/v2/{rest=**}
    200 GET /v1/projects
    404 GET /v1/operations/{operation}
    ");
}
