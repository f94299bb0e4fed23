//! `xetl source check`: whether a config and its credentials work.

use serde_json::json;
use xetl_runtime::source::Wanted;

use super::trial::{TrialArgs, trouble};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Try a source's config and credentials
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    trial: TrialArgs,
}

pub async fn run(context: &Context, view: &mut View, args: &CheckArgs) -> Result<(), Failure> {
    let source = args.trial.open(context, &Wanted::nothing(), None).await?;
    source.check().await.map_err(|error| trouble(&error))?;
    if view.is_json() {
        return Ok(view.json(&json!({"status": "SUCCEEDED"}))?);
    }
    Ok(view.line("The config and its credentials work.")?)
}
