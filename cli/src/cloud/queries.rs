//! BigQuery queries: run to their end, all pages read.

use google_cloud_bigquery_v2::model::{
    DataFormatOptions, JobReference, QueryRequest, TableFieldSchema, TableSchema,
};
use serde_json::Value;

use super::{Cloud, CloudError};
use crate::table::{Column, Table};

/// How long one call waits for the result before it asks again.
const PATIENCE_MS: u32 = 10_000;

impl Cloud {
    /// The result of a query in the client's location.
    pub async fn query(&self, sql: &str) -> Result<Table, CloudError> {
        let request = QueryRequest::new()
            .set_query(sql)
            .set_use_legacy_sql(false)
            .set_location(&self.region)
            .set_timeout_ms(PATIENCE_MS)
            // The same request within 15 minutes is the same query, so it may be sent again.
            .set_request_id(uuid::Uuid::new_v4().to_string())
            .set_labels([("managed-by", "xetl"), ("xetl-client", &self.client)])
            .set_format_options(exact());
        let query = self.queries().await?.query();
        let reply = query
            .set_project_id(&self.project)
            .set_query_request(request)
            .send()
            .await
            .map_err(self.failed("query"))?;
        let mut table = Table::default();
        let complete = reply.job_complete.unwrap_or_default();
        if complete {
            table.columns = columns(reply.schema.as_ref());
            reply
                .rows
                .into_iter()
                .for_each(|row| table.push(&Value::Object(row)));
        }
        if !complete || !reply.page_token.is_empty() {
            let job = reply.job_reference.unwrap_or_default();
            self.read_pages(&job, reply.page_token, &mut table).await?;
        }
        Ok(table)
    }

    /// Waits for a query's end and adds the pages from `token` on.
    async fn read_pages(
        &self,
        job: &JobReference,
        mut token: String,
        table: &mut Table,
    ) -> Result<(), CloudError> {
        loop {
            let get = self.queries().await?.get_query_results();
            let page = get
                .set_project_id(&self.project)
                .set_job_id(&job.job_id)
                .set_location(&self.region)
                .set_page_token(&token)
                .set_timeout_ms(PATIENCE_MS)
                .set_format_options(exact())
                .send()
                .await
                .map_err(self.failed("query"))?;
            if !page.job_complete.unwrap_or_default() {
                continue;
            }
            table.columns = columns(page.schema.as_ref());
            page.rows
                .into_iter()
                .for_each(|row| table.push(&Value::Object(row)));
            token = page.page_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Timestamps as whole microseconds, as a float loses some.
fn exact() -> DataFormatOptions {
    DataFormatOptions::new().set_use_int64_timestamp(true)
}

fn columns(schema: Option<&TableSchema>) -> Vec<Column> {
    let fields = schema
        .map(|schema| schema.fields.as_slice())
        .unwrap_or_default();
    fields.iter().map(column).collect()
}

fn column(field: &TableFieldSchema) -> Column {
    Column {
        name: field.name.clone(),
        kind: field.r#type.clone(),
        repeated: field.mode == "REPEATED",
        fields: field.fields.iter().map(column).collect(),
    }
}
