//! What went over the wire in a test, judged by Google's discovery documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xetl_wire::{Judge, exchanges};

/// Names the record's file to a local cloud.
pub const RECORD: &str = "XETL_LOCAL_RECORD";
/// So many are shown; one fault is usually in many calls.
const SHOWN: usize = 40;

/// Panics where something in the record is not as Google's documents say.
pub fn judge(record: &Path, tolerated: &[&str]) {
    let Ok(record) = std::fs::read(record) else {
        return;
    };
    let Some(documents) = documents() else { return };
    let judge = Judge::open(&documents).unwrap_or_else(|error| panic!("{error}"));
    let mut findings = BTreeMap::new();
    for exchange in exchanges(&String::from_utf8_lossy(&record)) {
        for finding in judge.findings(&exchange) {
            let text = finding.to_string();
            if tolerated.iter().any(|known| text.contains(known)) {
                continue;
            }
            // Places in a list differ only in their number.
            let problem = finding.problem.replace(|c: char| c.is_ascii_digit(), "");
            findings.entry(problem).or_insert(finding);
        }
    }
    let shown: Vec<_> = findings
        .values()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    assert!(
        findings.is_empty(),
        "not as Google's documents say, {} in all:\n{}",
        findings.len(),
        shown.join("\n")
    );
}

/// Google's documents in `.venv`; none (said aloud) where it is not set up, which is a failure in CI.
pub fn documents() -> Option<PathBuf> {
    const WITHIN: &str = "site-packages/googleapiclient/discovery_cache/documents";
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/lib");
    let pythons = std::fs::read_dir(libraries).into_iter().flatten();
    let folders = pythons.map(|python| python.unwrap().path().join(WITHIN));
    let found = folders.into_iter().find(|folder| folder.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "`.venv` has no discovery documents: tests/setup.sh brings them"
        );
        eprintln!("SKIPPED: `.venv` has no discovery documents, the wire was not judged");
    }
    found
}
