//! The language's reference and this runtime read the same cases from the same server;
//! `tests/reference/README.md` tells how. The linter's table of components is its schema.
#![allow(clippy::unwrap_used)] // A test may panic.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Python of `.venv` with the reference in it; `None` (said aloud) where it is
/// not set up, which is a failure in CI.
fn python() -> Option<PathBuf> {
    let path = repository().join(".venv/bin/python");
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "`.venv` is missing: tests/setup.sh makes it"
    );
    eprintln!(
        "SKIPPED: `.venv` is missing, the reference did not judge this run; tests/setup.sh makes it"
    );
    None
}

#[test]
fn every_case_makes_the_references_requests_records_and_state() {
    let Some(python) = python() else { return };
    let output = Command::new(python)
        .arg(repository().join("tests/reference/differential.py"))
        .args(["--runtime", env!("CARGO_BIN_EXE_xetl-runtime")])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[test]
fn the_linter_knows_the_references_language() {
    const KEPT: &str = "runtime/src/source/lint/language.yaml";
    let Some(python) = python() else { return };
    let script = repository().join("tests/reference/language.py");
    let output = Command::new(python).arg(script).output().unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problems}");
    let made = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(repository().join(KEPT)).unwrap();
    let differs = made
        .lines()
        .zip(kept.lines())
        .find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "{KEPT} is not what tests/reference/language.py makes (made, kept): {differs:?}"
    );
}
