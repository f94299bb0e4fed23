//! The real runtime, packed, pushed, unpacked by umoci and run by runc: as nobody, with a root
//! that cannot be written. Needs root and `make runtime`; says so and passes without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::judge::{Registry, are_there, good, image, skopeo};

fn runtime() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/xetl-runtime");
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(path.is_file() || !is_ci, "`make runtime` was not run");
    if !path.is_file() {
        eprintln!("SKIPPED: there is no bin/xetl-runtime; `make runtime` builds it");
    }
    path.is_file().then_some(path)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    let is_root = output.stdout == b"0\n";
    if !is_root {
        eprintln!("SKIPPED: umoci and runc need root");
    }
    is_root
}

/// Runs the bundle's program with these arguments.
fn run(bundle: &Path, arguments: &[&str]) -> Output {
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(config["process"]["user"]["uid"], 65532);
    let program = config["process"]["args"][0].clone();
    let arguments = std::iter::once(program).chain(arguments.iter().map(|&it| it.into()));
    config["process"]["args"] = arguments.collect();
    config["process"]["terminal"] = false.into();
    config["root"]["readonly"] = true.into();
    // The machine's limits may be lower than those umoci writes.
    config["process"]["rlimits"] = json!([]);
    config["linux"].as_object_mut().unwrap().remove("resources");
    fs::write(&path, config.to_string()).unwrap();
    let id = format!("xetl-test-{}", std::process::id());
    Command::new("runc")
        .arg("--root")
        .arg(bundle.join("state"))
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(id)
        .output()
        .unwrap()
}

#[test]
fn the_pushed_image_runs_as_nobody_on_a_root_it_cannot_write() {
    let Some(runtime) = runtime() else { return };
    if !are_there(&["docker-registry", "skopeo", "umoci", "runc"]) || !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::copy(runtime, folder.join("xetl-runtime")).unwrap();
    let registry = Registry::start(folder);
    let to = format!("{}/a/runtime:v1", registry.host);
    image(folder, &["push", "--insecure", "--to", &to]);

    let layout = folder.join("pulled").display().to_string();
    let (source, pulled) = (format!("docker://{to}"), format!("oci:{layout}:v1"));
    skopeo(&["copy", "--src-tls-verify=false", &source, &pulled]);
    let bundle = folder.join("bundle");
    let mut unpack = Command::new("umoci");
    unpack.args(["unpack", "--image", &format!("{layout}:v1")]);
    good(unpack.arg(&bundle).output().unwrap());

    let said = good(run(&bundle, &["--version"]));
    assert!(said.starts_with("xetl-runtime "), "{said}");
    let wrong = run(&bundle, &["no-such-mode"]);
    assert_eq!(wrong.status.code(), Some(2));
}
