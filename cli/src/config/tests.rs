//! The files as people write them, and what they are told.

use std::fs;

use super::*;
use crate::failure::Failure;

const SOURCE: &str = r"
spec:
  connection_specification:
    required: [key]
    properties: {key: {airbyte_secret: true}, hook: {airbyte_secret: true}}
streams: [{name: accounts}, {name: invoices}]
";

fn workspace(client: &str) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("clients")).unwrap();
    fs::create_dir_all(root.join("sources")).unwrap();
    let file = "target: local\nproject: acme-prod\nregion: us-east1\ndefaults: {time_zone: Europe/London}\n";
    fs::write(root.join("xetl.yaml"), file).unwrap();
    fs::write(root.join("sources/tiny.yaml"), SOURCE).unwrap();
    fs::write(root.join("clients/acme.yaml"), client).unwrap();
    let workspace = Workspace::find(&root.join("clients")).unwrap();
    (folder, workspace)
}

/// The error and hint for a pipeline with these lines, without the folder's name.
fn told(pipeline: &str) -> String {
    let (folder, workspace) = workspace(&format!(
        "client: acme\npipelines:\n  xero:\n    source: tiny\n{pipeline}"
    ));
    let failure: Failure = workspace.client("acme").unwrap_err().into();
    let text = format!(
        "{} ({})",
        failure.sentence,
        failure.hint.unwrap_or_default()
    );
    text.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn what_does_not_read_is_told_in_a_writers_words() {
    let told = |text: &str| {
        let (folder, workspace) = workspace(text);
        let error = workspace.client("acme").unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    let of_pipeline = |keys: &str| told(&format!("client: acme\npipelines:\n  x: {keys}\n"));
    let all = [
        told(""),
        told("client: acme\nclient: acme\n"),
        told("client: acme\n"),
        told("client: acme\npipelines: {}\n---\nclient: b\n"),
        told("- acme\n"),
        of_pipeline("{source: tiny, tasks: many}"),
        of_pipeline("{source: tiny, keep_raw: maybe}"),
        of_pipeline("{source: tiny, on_overlap: wait}"),
        of_pipeline("{source: tiny, warehouse: {readers: 'group:a@b.c'}}"),
        of_pipeline("{source: tinny}"),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    clients/acme.yaml:1:1: there is nothing here where keys have to follow
    clients/acme.yaml:2:1: `client` stands there twice
    clients/acme.yaml:1:1: `pipelines` is missing
    clients/acme.yaml:4:1: a second document begins here (`---`); a file holds one
    clients/acme.yaml:1:1: must be a map, such as `{key: value}`
    clients/acme.yaml:3:28: must be a whole number from 0 to 4294967295
    clients/acme.yaml:3:31: must be `true` or `false`
    clients/acme.yaml:3:33: `wait` must be one of skip, queue
    clients/acme.yaml:3:42: must be a list, such as `[a, b]`
    clients/acme.yaml: pipelines.x.source: no source named `tinny`
    ");
}

#[test]
fn a_wrong_region_is_told_where_it_is_written() {
    let told = |shared: &str, own: &str| {
        let (folder, _) = workspace(&format!("client: acme\n{own}pipelines: {}\n", "{}"));
        let file = format!("target: local\nproject: acme-prod\nregion: {shared}\n");
        fs::write(folder.path().join("xetl.yaml"), file).unwrap();
        let workspace = Workspace::find(folder.path()).unwrap();
        workspace.client("acme").unwrap_err().to_string()
    };
    let shared = told("europe-wset1", "");
    assert!(shared.starts_with("xetl.yaml: region:"), "{shared}");
    let own = told("us-east1", "region: europe-wset1\n");
    assert!(own.contains("clients/acme.yaml: region:"), "{own}");
}

#[test]
fn a_client_is_settled_with_the_workspaces_defaults() {
    let (_folder, workspace) = workspace(
        "client: acme\npipelines:\n  xero:\n    source: tiny\n    schedule: {cron: '0 2 * * *'}\n",
    );
    let client = workspace.client("acme").unwrap();
    let pipeline = &client.pipelines[0];
    assert_eq!(
        (&*client.project, &*client.region),
        ("acme-prod", "us-east1")
    );
    assert_eq!(pipeline.dataset, "acme_xero");
    assert_eq!(pipeline.secrets, ["key"]);
    assert_eq!(
        pipeline.schedule.as_ref().unwrap().time_zone,
        "Europe/London"
    );
}

#[test]
fn an_optional_secret_is_used_where_the_file_names_it() {
    let (_folder, workspace) =
        workspace("client: acme\npipelines:\n  xero: {source: tiny, secrets: [hook]}\n");
    let client = workspace.client("acme").unwrap();
    assert_eq!(client.pipelines[0].secrets, ["hook", "key"]);
}

#[test]
fn a_wrong_key_is_told_with_its_place_and_the_nearest() {
    insta::assert_snapshot!(
        told("    shedule: {cron: x}\n"),
        @"clients/acme.yaml:5:5: unknown key `shedule` (did you mean `schedule`?)"
    );
}

#[test]
fn what_is_not_built_is_no_key() {
    assert!(told("    model: {a: SELECT 1}\n").contains("5:5: unknown key `model`"));
}

#[test]
fn a_wrong_option_of_a_stream_is_told_with_the_nearest() {
    insta::assert_snapshot!(
        told("    streams: {invoices: {clusters: [a]}}\n"),
        @"clients/acme.yaml:5:26: unknown key `clusters` (did you mean `cluster`?)"
    );
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    insta::assert_snapshot!(
        told("    streams: {invoices: {mode: merge, key: [id], load: external}}\n"),
        @"clients/acme.yaml: pipelines.xero.streams.invoices: mode `merge` changes rows, which an external table's files cannot do; take `load: table`, or mode `append` or `overwrite` ()"
    );
}

#[test]
fn a_secret_in_the_file_is_refused() {
    assert!(told("    config: {key: x}\n").contains("config.key: is a secret"));
}

#[test]
fn a_stream_the_source_has_not_is_refused() {
    assert!(told("    streams: {invoicse: {}}\n").contains("did you mean `invoices`?"));
}

#[test]
fn a_client_that_is_not_there_is_told_with_those_that_are() {
    let (_folder, workspace) = workspace("client: acme\npipelines: {}\n");
    let failure: Failure = workspace.client("globex").unwrap_err().into();
    assert_eq!(failure.sentence, "no client named `globex`");
    assert_eq!(failure.hint.unwrap(), "known clients: acme");
}

#[test]
fn two_clients_with_one_job_name_are_refused() {
    let (folder, workspace) = workspace("client: acme\npipelines:\n  nz-xero: {source: tiny}\n");
    let other = "client: acme-nz\npipelines:\n  xero: {source: tiny}\n";
    fs::write(folder.path().join("clients/acme-nz.yaml"), other).unwrap();
    let error = workspace.client("acme-nz").unwrap_err().to_string();
    assert!(error.contains("its job `acme-nz-xero` would also be client `acme`'s"));
}

#[test]
fn two_clients_with_one_dataset_are_refused_unless_their_projects_differ() {
    let (folder, workspace) =
        workspace("client: acme\npipelines:\n  a: {source: tiny, dataset: globex_crm}\n");
    let globex = |more: &str| {
        let text = format!("client: globex\n{more}pipelines:\n  crm: {{source: tiny}}\n");
        fs::write(folder.path().join("clients/globex.yaml"), text).unwrap();
        workspace.client("acme").map_err(|error| error.to_string())
    };
    let told = globex("").unwrap_err();
    assert!(
        told.contains("its dataset `globex_crm` would also be client `globex`'s"),
        "{told}"
    );
    let both = ["acme", "globex"].map(|name| workspace.clone().listed().client(name).unwrap());
    let shared = shared_datasets(both.iter());
    assert_eq!(shared.len(), 1);
    assert_eq!(shared[0].0, "globex");
    assert!(globex("project: another-one\n").is_ok());
}

#[test]
fn two_pipelines_with_one_dataset_are_refused() {
    let (_folder, workspace) = workspace(
        "client: acme\npipelines:\n  a: {source: tiny, dataset: d}\n  b: {source: tiny, dataset: D}\n",
    );
    let error = workspace.client("acme").unwrap_err().to_string();
    assert!(error.contains("pipelines `a` and `b` would share `d`"));
}

#[test]
fn a_transformation_that_cannot_be_taken_is_told_with_its_place() {
    let steps = |steps: &str| {
        told(&format!(
            "    streams: {{invoices: {{transformations: {steps}}}}}\n"
        ))
    };
    insta::assert_snapshot!(steps("[{hide: [a]}]"), @"clients/acme.yaml:5:45: unknown key `hide` (known keys: add, remove, rename, cast, hash, mask, time_zone, component)");
    insta::assert_snapshot!(steps("[{cast: {amount: MONEY}}]"), @"clients/acme.yaml:5:60: `MONEY` must be one of STRING, INT64, FLOAT64, NUMERIC, BIGNUMERIC, BOOL, TIMESTAMP, DATE, DATETIME, TIME, JSON ()");
    insta::assert_snapshot!(steps("[{time_zone: {fields: [a], from: Mars}}]"), @"clients/acme.yaml: pipelines.xero.streams: stream `invoices`, transformations[0]: there is no time zone `Mars`; name one such as Europe/London ()");
}

#[test]
fn a_hash_makes_the_pipeline_need_its_key() {
    let (_folder, workspace) = workspace(
        "client: acme\npipelines:\n  xero:\n    source: tiny\n    \
         streams: {invoices: {transformations: [{hash: [email]}]}}\n",
    );
    let client = workspace.client("acme").unwrap();
    assert_eq!(client.pipelines[0].secrets, ["key", "hash_key"]);
}
