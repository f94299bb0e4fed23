//! The built-in source `isams` against its sandbox, read by the reference.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::path::Path;
use std::process::Command;

use world::{World, python};

#[test]
fn the_reference_reads_the_isams_manifest_to_the_sandboxs_own_truth() {
    let Some(python) = python() else { return };
    let mut world = World::new();
    let school = world.sandbox_of("isams", &["--students", "120", "--page-cap", "50"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/isams.py");
    let output = Command::new(python)
        .arg(script)
        .arg(school)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
