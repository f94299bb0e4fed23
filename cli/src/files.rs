//! Files that are no part of the workspace: plans that are kept, and receipts.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::failure::{Failure, Kind};
use crate::fleet::KeptPlans;
use crate::plan::saved::SavedPlan;

/// What a file of `plan --out` holds.
pub enum Kept {
    One(SavedPlan),
    Many(KeptPlans),
}

/// Writes a document, its folder made where it is not there.
pub fn write_json(path: &Path, document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document);
    let text = text.map_err(|error| Failure::of(Kind::Failed, &error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text + "\n"));
    written.map_err(|error| {
        let path = path.display();
        Failure::new(Kind::Failed, format!("cannot write {path}: {error}"))
    })
}

pub fn read_plan(path: &Path) -> Result<Kept, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::new(Kind::Usage, format!("cannot read the plan {path}: {error}"))
    })?;
    kept(&text).map_err(|error| {
        let path = path.display();
        Failure::new(Kind::Usage, format!("{path} is no plan: {error}"))
            .hint("`xetl plan --client NAME --out FILE` makes one")
    })
}

/// One client's plan names it, and that of many has them all.
fn kept(text: &str) -> serde_json::Result<Kept> {
    let document: serde_json::Value = serde_json::from_str(text)?;
    match document.get("clients") {
        None => serde_json::from_value(document).map(Kept::One),
        Some(_) => serde_json::from_value(document).map(Kept::Many),
    }
}
