//! Pushes to a registry that is not ours, read back with a program that is not ours.

use std::sync::atomic::Ordering;

use super::judge::{
    AMD64, ARM64, BadNetwork, Registry, are_there, command, good, image, listed_program, noise,
    program, raw, refusal, skopeo, workspace, xetl,
};

const JUDGES: [&str; 2] = ["docker-registry", "skopeo"];

#[test]
fn a_registry_keeps_the_image_and_skopeo_reads_it() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let registry = Registry::start(folder);
    let name = format!("{}/p1/xetl-acme/runtime", registry.host);
    let to = format!("{name}:v1");
    let push = ["push", "--insecure", "--to", &to];

    let first = image(folder, &push);
    assert!(first["sent"].as_u64().unwrap() > 0);
    let again = image(folder, &push);
    assert_eq!(again["sent"], 0);
    assert_eq!(again["image"], first["image"]);

    let pinned = first["image"].as_str().unwrap();
    for reference in [pinned, to.as_str()] {
        let reference = format!("docker://{reference}");
        let found = skopeo(&["inspect", "--tls-verify=false", &reference]);
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        let digest = found["Digest"].as_str().unwrap();
        assert_eq!(format!("{name}@{digest}"), pinned);
        assert_eq!(
            (&found["Os"], &found["Architecture"]),
            (&"linux".into(), &"amd64".into())
        );
    }
    // A copy reads every blob and checks its digest.
    let copy = format!("dir:{}", folder.join("copy").display());
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        &format!("docker://{pinned}"),
        &copy,
    ]);
}

#[test]
fn components_and_provenance_are_listed_under_the_digest() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&listed_program(AMD64));
    let folder = folder.path();
    let registry = Registry::start(folder);
    let name = format!("{}/a/runtime", registry.host);
    let push = ["push", "--insecure", "--to", &name];
    let pushed = image(folder, &push);
    let (_, digest) = pushed["image"].as_str().unwrap().split_once('@').unwrap();

    // Debian's registry keeps no lists of referrers, so a tag holds it.
    let list = raw(&format!("{name}:{}", digest.replace(':', "-")));
    let kinds = list["manifests"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds
        .map(|it| it["artifactType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "application/vnd.cyclonedx+json",
            "application/vnd.in-toto+json"
        ]
    );
    let sbom = raw(&format!(
        "{name}@{}",
        list["manifests"][0]["digest"].as_str().unwrap()
    ));
    assert_eq!(sbom["subject"]["digest"], digest);

    let shown = image(folder, &["inspect", "--insecure", &name]);
    assert_eq!(shown["digest"], digest);
    let labels = &shown["images"][0]["config"]["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "7.8.9");
    assert_eq!(shown["images"][0]["referrers"], list["manifests"]);
    let listed = image(folder, &["list", "--insecure", &name]);
    let latest = listed["images"].as_array().unwrap().iter();
    let mut latest = latest.filter(|it| it["digest"] == digest);
    assert_eq!(
        latest.next().unwrap()["tags"],
        serde_json::json!(["latest"])
    );

    assert_eq!(image(folder, &push)["sent"], 0);
}

#[test]
fn an_index_holds_both_machines_images() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let arm64 = folder.join("arm64").display().to_string();
    std::fs::write(&arm64, program(ARM64, &[])).unwrap();
    let registry = Registry::start(folder);
    let name = format!("{}/a/runtime", registry.host);
    let push = [
        "push",
        "--insecure",
        "--to",
        &name,
        "--arm64-binary",
        &arm64,
    ];
    let pushed = image(folder, &push);
    let pinned = pushed["image"].as_str().unwrap();

    let index = raw(pinned);
    assert_eq!(
        index["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    for (machine, child) in [("amd64", 0), ("arm64", 1)] {
        assert_eq!(
            index["manifests"][child]["platform"]["architecture"],
            machine
        );
        let reference = format!("docker://{pinned}");
        let found = skopeo(&[
            &format!("--override-arch={machine}"),
            "inspect",
            "--tls-verify=false",
            &reference,
        ]);
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["Architecture"], machine);
    }
    let copy = format!("oci:{}", folder.join("copy").display());
    let source = format!("docker://{pinned}");
    skopeo(&["copy", "--all", "--src-tls-verify=false", &source, &copy]);
    assert_eq!(image(folder, &push)["sent"], 0);
    let shown = good(xetl(folder, &["image", "inspect", "--insecure", pinned]));
    assert!(shown.contains("linux/arm64"), "{shown}");
}

#[test]
fn a_binary_of_another_machine_is_refused_by_name() {
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let own = folder.join("xetl-runtime").display().to_string();
    let layout = folder.join("layout").display().to_string();
    let build = [
        "image",
        "build",
        "--oci-layout",
        &layout,
        "--arm64-binary",
        &own,
    ];
    let error = refusal(&xetl(folder, &build));
    assert!(error.contains("it is not built for arm64"), "{error}");
}

#[test]
fn a_large_layer_arrives_over_a_network_that_cuts() {
    if !are_there(&JUDGES) {
        return;
    }
    // Three chunks, and a network that cuts within the first and the second.
    let folder = workspace(&program(AMD64, &noise(20 << 20)));
    let folder = folder.path();
    let registry = Registry::start(folder);
    let network = BadNetwork::before(&registry.host, 5 << 20, 2);
    let to = format!("{}/a/runtime:v1", network.host);
    let pushed = image(folder, &["push", "--insecure", "--to", &to]);
    assert_eq!(network.cuts.load(Ordering::SeqCst), 2);
    let (_, digest) = pushed["image"].as_str().unwrap().split_once('@').unwrap();
    let source = format!("docker://{}/a/runtime@{digest}", registry.host);
    let copy = format!("dir:{}", folder.join("copy").display());
    skopeo(&["copy", "--src-tls-verify=false", &source, &copy]);
}

#[test]
fn a_helper_of_docker_signs_in() {
    if !are_there(&JUDGES) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let registry = Registry::closed(folder);
    let to = format!("{}/a/runtime:v1", registry.host);
    let push = ["image", "push", "--insecure", "--to", &to];
    let error = refusal(&xetl(folder, &push));
    assert!(error.contains("wants a user and a password"), "{error}");

    let helper = folder.join("docker-credential-xetltest");
    let script = format!(
        "#!/bin/sh\nread server\ntest \"$1 $server\" = 'get {}' || exit 1\n\
         echo '{{\"Username\": \"me\", \"Secret\": \"secret\"}}'\n",
        registry.host
    );
    std::fs::write(&helper, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&helper, mode).unwrap();
    let config = serde_json::json!({"credHelpers": {registry.host.as_str(): "xetltest"}});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", folder.display());
    good(command(folder, &push).env("PATH", path).output().unwrap());
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let folder = workspace(&program(AMD64, &[]));
    let push = ["image", "push", "--insecure", "--to", "127.0.0.1:9/a/b:v1"];
    let output = xetl(folder.path(), &push);
    assert_eq!(output.status.code(), Some(3));
    let error = refusal(&output);
    assert!(
        error.contains("cannot reach the registry at 127.0.0.1:9"),
        "{error}"
    );
}
