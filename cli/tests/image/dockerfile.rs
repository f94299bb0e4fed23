//! The Dockerfile makes the image that `xetl image` packs: it copies the files xetl writes, and
//! its few lines of settings say what the image's config says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::judge::{AMD64, image, program, workspace};

/// The settings of the Dockerfile's last stage, as a config has them.
fn settings(dockerfile: &str) -> Value {
    let (_, last) = dockerfile.rsplit_once("\nFROM scratch\n").unwrap();
    let mut settings = json!({});
    for line in last.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "COPY" => assert_eq!(rest, "--from=build /image/ /"),
            "ENV" => settings["Env"] = rest.split(' ').collect(),
            "WORKDIR" => settings["WorkingDir"] = rest.into(),
            "USER" => settings["User"] = rest.into(),
            "ENTRYPOINT" => settings["Entrypoint"] = serde_json::from_str(rest).unwrap(),
            word => panic!("the last stage has {word}, which this test does not know"),
        }
    }
    settings
}

/// Every path below a folder with its mode, and a file's bytes.
fn tree(root: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            let bytes = path.is_file().then(|| fs::read(&path).unwrap());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.insert(name, (mode, bytes));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// The same of the image's one layer.
fn layer(layout: &Path, manifest: &Value) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let blob = blob(layout, &manifest["layers"][0]["digest"]);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.as_slice()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mode = entry.header().mode().unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let is_file = entry.header().entry_type().is_file();
        (
            name.trim_end_matches('/').to_owned(),
            (mode, is_file.then_some(bytes)),
        )
    });
    entries.collect()
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let digest = digest.as_str().unwrap().replace(':', "/");
    fs::read(layout.join("blobs").join(digest)).unwrap()
}

fn document(layout: &Path, digest: &Value) -> Value {
    serde_json::from_slice(&blob(layout, digest)).unwrap()
}

#[test]
fn the_dockerfile_builds_the_same_contents() {
    let folder = workspace(&program(AMD64, &[]));
    let folder = folder.path();
    let built = image(
        folder,
        &["build", "--oci-layout", "layout", "--rootfs", "rootfs"],
    );
    let layout = folder.join("layout");
    let manifest = document(&layout, &built["digest"]);

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dockerfile = fs::read_to_string(root.join("Dockerfile")).unwrap();
    // The stage before makes the folder with the very command used above.
    assert!(dockerfile.contains("xetl image build --rootfs /image\n"));
    assert_eq!(tree(&folder.join("rootfs")), layer(&layout, &manifest));

    let mut config = document(&layout, &manifest["config"]["digest"])["config"].take();
    // Docker dates and describes its images itself.
    config.as_object_mut().unwrap().remove("Labels");
    assert_eq!(settings(&dockerfile), config);
}
