//! Cloud Logging: what the tasks of executions wrote.

use google_cloud_logging_v2::model::LogEntry;
use google_cloud_logging_v2::model::log_entry::Payload;
use serde_json::{Map, Value};

use super::executions::time;
use super::{Cloud, CloudError};
use crate::execution::{LogLine, LogQuery};

impl Cloud {
    /// The newest `limit` entries, oldest first.
    pub async fn newest_logs(
        &self,
        query: &LogQuery,
        limit: usize,
    ) -> Result<Vec<LogLine>, CloudError> {
        let mut lines = self.logs_in_order(query, "timestamp desc", limit).await?;
        lines.reverse();
        Ok(lines)
    }

    /// The oldest entries, oldest first, as many as a page has.
    pub async fn next_logs(&self, query: &LogQuery) -> Result<Vec<LogLine>, CloudError> {
        self.logs_in_order(query, "timestamp asc", 1000).await
    }

    async fn logs_in_order(
        &self,
        query: &LogQuery,
        order: &str,
        limit: usize,
    ) -> Result<Vec<LogLine>, CloudError> {
        let (mut lines, mut token) = (Vec::new(), String::new());
        while lines.len() < limit {
            let page = self
                .logs()
                .await?
                .list_log_entries()
                .set_resource_names([self.in_project("")])
                .set_filter(query.filter())
                .set_order_by(order)
                .set_page_size((limit - lines.len()).min(1000) as i32)
                .set_page_token(&token)
                .send()
                .await
                .map_err(self.failed(&format!("logs of job {}", query.job)))?;
            lines.extend(page.entries.into_iter().map(line));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        lines.truncate(limit);
        Ok(lines)
    }
}

fn line(entry: LogEntry) -> LogLine {
    let (message, fields) = match entry.payload {
        Some(Payload::TextPayload(text)) => (text, Map::new()),
        Some(Payload::JsonPayload(mut fields)) => {
            let message = match fields.remove("message") {
                Some(Value::String(message)) => message,
                other => other.map(|value| value.to_string()).unwrap_or_default(),
            };
            (message, *fields)
        }
        _ => (String::new(), Map::new()),
    };
    LogLine {
        time: entry.timestamp.as_ref().and_then(time).unwrap_or_default(),
        severity: entry.severity.name().unwrap_or("DEFAULT").to_owned(),
        message,
        fields,
        id: entry.insert_id,
    }
}
