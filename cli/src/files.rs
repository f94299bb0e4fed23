//! Files that are no part of the workspace: plans that are kept.

use std::fs;
use std::path::Path;

use crate::failure::{Failure, Kind};
use crate::plan::saved::SavedPlan;

pub fn write_plan(path: &Path, plan: &SavedPlan) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(plan);
    let text = text.map_err(|error| Failure::of(Kind::Failed, &error))?;
    fs::write(path, text + "\n").map_err(|error| {
        let path = path.display();
        Failure::new(
            Kind::Failed,
            format!("cannot write the plan {path}: {error}"),
        )
    })
}

pub fn read_plan(path: &Path) -> Result<SavedPlan, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::new(Kind::Usage, format!("cannot read the plan {path}: {error}"))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        let path = path.display();
        Failure::new(Kind::Usage, format!("{path} is no plan: {error}"))
            .hint("`xetl plan --client NAME --out FILE` makes one")
    })
}
