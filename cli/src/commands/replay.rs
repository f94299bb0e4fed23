//! `xetl replay`: kept pages loaded again, without the source.

use xetl_runtime::range::RangeArgs;

use super::run::{Order, execute, the_pipeline};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Load pages again that were kept with `keep_raw`, without asking the source
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// Client whose pipeline to run
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Pipeline to run; may be left out where the client has one
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Stream to load again; may be repeated
    #[arg(long = "stream", value_name = "NAME", required = true)]
    streams: Vec<String>,
    /// Pages of runs that began on this day or moment (UTC), or later
    #[arg(long, value_name = "DATE")]
    from: String,
    /// ... up to this day, which counts whole, or moment [default: now]
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Cloud Run tasks that share the work [default: the pipeline's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tasks: Option<u32>,
    /// Wait for the end and show the log on the way
    #[arg(long)]
    wait: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &ReplayArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let range = RangeArgs {
        from: Some(args.from.clone()),
        to: args.to.clone(),
    };
    let mut order = Order::replay(pipeline, &args.streams, &range)?;
    order.tasks = args.tasks;
    execute(&session, view, &order, args.wait).await
}
