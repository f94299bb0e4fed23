//! Copies between registries that are not ours: digests kept, nothing sent twice.

use std::fs;

use super::judge::{
    AMD64, ARM64, Registry, are_there, good, image, listed_program, program, raw, refusal, skopeo,
    workspace, xetl,
};

const JUDGES: [&str; 2] = ["docker-registry", "skopeo"];

#[test]
fn a_copy_has_the_same_digest_and_brings_what_refers_to_it() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&listed_program(AMD64));
    let folder = folder.path();
    let (one, other) = (Registry::start(folder), Registry::start(folder));
    let source = format!("{}/a/runtime:v1", one.host);
    let pushed = image(folder, &["push", "--insecure", "--to", &source]);
    let (_, digest) = pushed["image"].as_str().unwrap().split_once('@').unwrap();

    let target = format!("{}/b/runtime", other.host);
    let copy = ["copy", "--insecure", "--source-insecure", &source, &target];
    let copied = image(folder, &copy);
    assert_eq!(copied["image"], format!("{target}@{digest}"));
    assert_eq!(
        (&copied["tag"], &copied["referrers"]),
        (&"v1".into(), &2.into())
    );
    let list = |name: &str| raw(&format!("{name}:{}", digest.replace(':', "-")));
    assert_eq!(list(&target), list(&format!("{}/a/runtime", one.host)));
    assert_eq!(raw(&format!("{target}:v1")), raw(&source));

    let again = image(folder, &copy);
    assert_eq!(
        (&again["sent"], &again["referrers"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn within_a_registry_blobs_are_mounted() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let registry = Registry::start(folder);
    let source = format!("{}/a/runtime:v1", registry.host);
    image(folder, &["push", "--insecure", "--to", &source]);
    let target = format!("{}/b/runtime:v2", registry.host);
    let copied = image(
        folder,
        &["copy", "--insecure", "--source-insecure", &source, &target],
    );
    // Only manifests are sent: the image's, and that of its provenance.
    assert!(copied["sent"].as_u64().unwrap() < 4096, "{copied}");
    let folder = format!("dir:{}", folder.join("copy").display());
    let target = format!("docker://{target}");
    skopeo(&["copy", "--src-tls-verify=false", &target, &folder]);
}

#[test]
fn of_an_index_cloud_runs_part_is_copied_or_all_on_request() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let arm64 = folder.join("arm64").display().to_string();
    fs::write(&arm64, program(ARM64, &[])).unwrap();
    let registry = Registry::start(folder);
    let source = format!("{}/a/runtime:v1", registry.host);
    let push = [
        "push",
        "--insecure",
        "--to",
        &source,
        "--arm64-binary",
        &arm64,
    ];
    image(folder, &push);
    let index = raw(&source);
    let copy = |target: &str, more: &[&str]| {
        let target = format!("{}/{target}", registry.host);
        let copy = ["copy", "--insecure", "--source-insecure", &source, &target];
        let copied = image(folder, &[&copy, more].concat());
        raw(copied["image"].as_str().unwrap())
    };
    let part = copy("part", &[]);
    let config = &part["config"]["digest"];
    let amd64 = index["manifests"][0]["digest"].as_str().unwrap();
    let whole = raw(&format!("{}/a/runtime@{amd64}", registry.host));
    assert_eq!(config, &whole["config"]["digest"]);
    assert_eq!(copy("all", &["--all-platforms"]), index);
}

#[test]
fn bytes_that_changed_in_the_source_are_not_passed_on() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let (one, other) = (Registry::start(folder), Registry::start(folder));
    let source = format!("{}/a/runtime:v1", one.host);
    image(folder, &["push", "--insecure", "--to", &source]);
    let layer = raw(&source)["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let hex = layer.trim_start_matches("sha256:");
    let kept = one.blobs.join(&hex[..2]).join(hex).join("data");
    let mut bytes = fs::read(&kept).unwrap();
    bytes[20] ^= 1;
    fs::write(&kept, bytes).unwrap();

    let target = format!("{}/b/runtime", other.host);
    let copy = [
        "image",
        "copy",
        "--insecure",
        "--source-insecure",
        &source,
        &target,
    ];
    let error = refusal(&xetl(folder, &copy));
    assert!(error.contains(&format!("for {layer}")), "{error}");
    let listed = good(xetl(
        folder,
        &["--format", "json", "image", "list", "--insecure", &target],
    ));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["images"], serde_json::json!([]));
}

#[test]
fn an_image_that_is_not_there_is_named() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let registry = Registry::start(folder);
    let source = format!("{}/a/runtime:v9", registry.host);
    let copy = [
        "image",
        "copy",
        "--insecure",
        "--source-insecure",
        &source,
        &source,
    ];
    let error = refusal(&xetl(folder, &copy));
    assert!(error.contains("has no a/runtime under `v9`"), "{error}");
}
