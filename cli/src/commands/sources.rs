//! `xetl sources`: what can be onboarded.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// List the sources there are
#[derive(clap::Args, Debug)]
pub struct SourcesArgs {}

pub fn run(context: &Context, view: &mut View, _: &SourcesArgs) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    let sources = workspace.source_names().into_iter().map(|name| {
        let own = workspace.source_file(&name).is_file();
        (name, if own { "workspace" } else { "built in" })
    });
    let sources: Vec<_> = sources.collect();
    if view.is_json() {
        let objects = sources
            .iter()
            .map(|(name, from)| json!({"source": name, "from": from}));
        return Ok(view.json(&objects.collect::<Vec<_>>())?);
    }
    let rows = sources
        .into_iter()
        .map(|(name, from)| vec![name, from.to_owned()]);
    Ok(view.cells(&["source", "from"], rows.collect(), &[])?)
}
