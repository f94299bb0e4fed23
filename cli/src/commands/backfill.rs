//! `xetl backfill`: a range of time read again, by as many tasks as it takes.

use xetl_runtime::range::RangeArgs;

use super::run::{Order, execute, the_pipeline};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Read a range of time again, whatever was read before
#[derive(clap::Args, Debug)]
pub struct BackfillArgs {
    /// Client whose pipeline to run
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Pipeline to run; may be left out where the client has one
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Stream to read; may be repeated [default: all that can be read by time]
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// From this day or moment (UTC)
    #[arg(long, value_name = "DATE")]
    from: String,
    /// ... up to this day, which is read whole, or moment [default: now]
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Cloud Run tasks that share the work [default: the pipeline's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tasks: Option<u32>,
    /// Wait for the end and show the log on the way
    #[arg(long)]
    wait: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &BackfillArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let range = RangeArgs {
        from: Some(args.from.clone()),
        to: args.to.clone(),
    };
    let (mut order, others) = Order::backfill(pipeline, &args.streams, &range)?;
    order.tasks = args.tasks;
    if !others.is_empty() {
        view.note(format!(
            "Left out, as no range of them can be loaded: {}.",
            others.join(", ")
        ));
    }
    execute(&session, view, &order, args.wait).await
}
