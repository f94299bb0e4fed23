//! `xetl schema`: JSON Schema of the files a workspace holds, for editors.

use clap::ValueEnum;
use schemars::schema_for;

use crate::config::{ClientFile, WorkspaceFile};
use crate::failure::Failure;
use crate::plan::document::PlanDocument;
use crate::view::View;

/// Print the JSON Schema of a workspace's files
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {
    /// Which file
    file: File,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum File {
    /// clients/<name>.yaml
    Client,
    /// xetl.yaml
    Workspace,
    /// What `plan --format json` prints
    Plan,
}

pub fn run(view: &mut View, args: &SchemaArgs) -> Result<(), Failure> {
    let schema = match args.file {
        File::Client => schema_for!(ClientFile),
        File::Workspace => schema_for!(WorkspaceFile),
        File::Plan => schema_for!(PlanDocument),
    };
    Ok(view.json(&schema)?)
}
