//! `xetl source list`: what can be onboarded.

use serde_json::json;

use crate::config::{SourceText, built_in_sources};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// List the sources there are
#[derive(clap::Args, Debug)]
pub struct ListArgs {}

pub fn run(context: &Context, view: &mut View, _: &ListArgs) -> Result<(), Failure> {
    let workspace = super::workspace(context);
    let names = match &workspace {
        Some(workspace) => workspace.source_names(),
        None => built_in_sources().map(str::to_owned).collect(),
    };
    let sources = names.iter().map(|name| {
        let text = SourceText::find(workspace.as_ref(), name)?;
        Ok((name.clone(), text.path.map_or("built in", |_| "workspace")))
    });
    let sources = sources.collect::<Result<Vec<_>, Failure>>()?;
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
