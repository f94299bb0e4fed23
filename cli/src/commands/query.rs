//! `xetl query`: SQL in the client's warehouse.

use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Ask the client's warehouse in BigQuery's SQL
#[derive(clap::Args, Debug)]
pub struct QueryArgs {
    /// Client in whose project and location it runs
    #[arg(long, value_name = "NAME")]
    client: String,
    /// The query, such as "select count(*) from acme_xero.invoices_latest"
    sql: String,
}

pub async fn run(context: &Context, view: &mut View, args: &QueryArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let table = session.cloud.query(&args.sql).await?;
    Ok(view.table(&table)?)
}
