//! The image without a registry: the same bytes wherever it is packed, in forms others read.

use std::process::Command;

use serde_json::Value;

use super::judge::{AMD64, are_there, good, image, listed_program, program, skopeo, workspace};

#[test]
fn the_digest_is_the_same_on_another_day_in_another_place() {
    let digest = |umask: &str, zone: &str, age: u64| {
        let folder = workspace(&listed_program(AMD64));
        let folder = folder.path();
        let binary = folder.join("xetl-runtime");
        let file = std::fs::File::options().write(true).open(&binary).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(then).unwrap();
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_xetl")])
            .args(["--format", "json", "image", "build"])
            .args(["--oci-layout", "layout", "--sbom", "s", "--provenance", "p"])
            .current_dir(folder)
            .env("XETL_RUNTIME_BIN", binary)
            .env("TZ", zone)
            .env("SOURCE_DATE_EPOCH", age.to_string())
            .output();
        let built: Value = serde_json::from_str(&good(output.unwrap())).unwrap();
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        (built["digest"].clone(), read("s"), read("p"))
    };
    assert_eq!(
        digest("022", "UTC", 0),
        digest("077", "Pacific/Auckland", 400 * 86400)
    );
}

#[test]
fn the_layout_is_the_image_that_is_pushed() {
    if !are_there(&["skopeo"]) {
        return;
    }
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let layout = folder.join("layout").display().to_string();
    let built = image(folder, &["build", "--oci-layout", &layout]);
    let found = skopeo(&["inspect", &format!("oci:{layout}")]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["Digest"], built["digest"]);
}

#[test]
fn the_list_of_components_is_the_programs_own() {
    let folder = workspace(&listed_program(AMD64));
    let folder = folder.path();
    let file = folder.join("sbom.json").display().to_string();
    image(folder, &["build", "--sbom", &file]);
    let sbom: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(sbom["metadata"]["component"]["version"], "7.8.9");
    let purls = sbom["components"].as_array().unwrap().iter();
    let purls: Vec<_> = purls.filter_map(|it| it["purl"].as_str()).collect();
    assert_eq!(
        purls,
        ["pkg:generic/rust@1.95.0", "pkg:cargo/serde@1.0.229"]
    );
}
