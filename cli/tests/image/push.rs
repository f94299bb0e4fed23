//! `xetl image push`, judged by a registry and a client that are not ours:
//! Debian's docker-registry keeps the image, skopeo reads and copies it.
//!
//! Without those programs the test says so and passes; with CI=true it fails.

// A test that cannot go on ends; one that is skipped says so.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The smallest static program: ends with status 0.
fn program() -> Vec<u8> {
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]; // exit(0)
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64
    elf.extend(0x40_0078u64.to_le_bytes()); // entry, behind the headers
    elf.extend(64u64.to_le_bytes()); // program headers
    elf.extend([0; 12]);
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load, read and execute
    let size = 64 + 56 + code.len() as u64;
    for word in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !ci, "{program} is not installed");
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

struct Registry {
    server: Child,
    host: String,
}

impl Registry {
    fn start(folder: &Path) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{host}'}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            folder.join("registry").display()
        );
        std::fs::write(&config, text).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(&host).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Registry { server, host }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn xetl(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xetl"))
        .args(args)
        .current_dir(folder)
        .env("XETL_RUNTIME_BIN", folder.join("xetl-runtime"))
        .env("DOCKER_CONFIG", folder)
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap()
}

fn good(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn skopeo(args: &[&str]) -> String {
    good(Command::new("skopeo").args(args).output().unwrap())
}

#[test]
fn a_registry_keeps_the_image_and_skopeo_reads_it() {
    if !is_there("docker-registry") || !is_there("skopeo") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("xetl-runtime"), program()).unwrap();
    good(xetl(folder, &["init"]));
    let registry = Registry::start(folder);
    let name = format!("{}/p1/xetl-acme/runtime", registry.host);
    let to = format!("{name}:v1");
    let push = [
        "--format",
        "json",
        "image",
        "push",
        "--insecure",
        "--to",
        &to,
    ];

    let first: Value = serde_json::from_str(&good(xetl(folder, &push))).unwrap();
    assert!(first["sent"].as_u64().unwrap() > 0);
    let again: Value = serde_json::from_str(&good(xetl(folder, &push))).unwrap();
    assert_eq!(again["sent"], 0);
    assert_eq!(again["image"], first["image"]);

    let image = first["image"].as_str().unwrap();
    for reference in [image, to.as_str()] {
        let found = skopeo(&[
            "inspect",
            "--tls-verify=false",
            &format!("docker://{reference}"),
        ]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(
            format!("{name}@{}", found["Digest"].as_str().unwrap()),
            image
        );
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
        &format!("docker://{image}"),
        &copy,
    ]);
}

#[test]
fn the_layout_is_the_image_that_is_pushed() {
    if !is_there("docker-registry") || !is_there("skopeo") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("xetl-runtime"), program()).unwrap();
    good(xetl(folder, &["init"]));
    let layout = folder.join("layout").display().to_string();
    let built = good(xetl(
        folder,
        &[
            "--format",
            "json",
            "image",
            "build",
            "--oci-layout",
            &layout,
        ],
    ));
    let built: Value = serde_json::from_str(&built).unwrap();
    let found = skopeo(&["inspect", &format!("oci:{layout}")]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["Digest"], built["digest"]);
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("xetl-runtime"), program()).unwrap();
    good(xetl(folder, &["init"]));
    let output = xetl(
        folder,
        &["image", "push", "--insecure", "--to", "127.0.0.1:9/a/b:v1"],
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("cannot reach the registry at 127.0.0.1:9"),
        "{errors}"
    );
}
