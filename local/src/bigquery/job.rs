//! A job's document: what was asked, how it stands, what came of it.

use std::collections::HashMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::BigQuery;
use super::reference::TableRef;
use super::resource::{Object, etag, now_ms};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    Pending,
    Running,
    Done,
}

/// `status.errorResult`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub reason: String,
    pub message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub project: String,
    pub id: String,
    pub location: String,
    pub configuration: Value,
    pub state: State,
    pub failure: Option<Failure>,
    pub statistics: Object,
    pub user: String,
    pub created: i64,
    pub started: Option<i64>,
    pub ended: Option<i64>,
    #[serde(default)]
    pub cancelled: bool,
}

pub fn key(project: &str, location: &str, id: &str) -> String {
    format!("{project}/{}/{id}", location.to_lowercase())
}

impl Job {
    pub fn key(&self) -> String {
        key(&self.project, &self.location, &self.id)
    }

    /// `LOAD`, `QUERY`, `COPY` or `EXTRACT`.
    pub fn kind(&self) -> &str {
        self.configuration["jobType"].as_str().unwrap_or_default()
    }

    pub fn reference(&self) -> Value {
        json!({"projectId": self.project, "jobId": self.id, "location": self.location})
    }

    /// Where a query's rows are.
    pub fn results(&self) -> Option<TableRef> {
        serde_json::from_value(self.configuration["query"]["destinationTable"].clone()).ok()
    }

    fn status(&self) -> Value {
        let mut status = json!({"state": self.state});
        if let Some(failure) = &self.failure {
            let error = json!({"reason": failure.reason, "message": failure.message});
            status["errors"] = json!([error]);
            status["errorResult"] = error;
        }
        status
    }

    fn statistics(&self) -> Value {
        let mut statistics = json!({"creationTime": self.created.to_string()});
        let times = [("startTime", self.started), ("endTime", self.ended)];
        for (name, time) in times {
            if let Some(time) = time {
                statistics[name] = time.to_string().into();
            }
        }
        if let Value::Object(into) = &mut statistics {
            into.extend(self.statistics.clone());
        }
        statistics
    }

    /// The resource as `jobs.get` answers it.
    pub fn view(&self, endpoint: &str) -> Value {
        let version = self.state as u64;
        json!({
            "kind": "bigquery#job",
            "etag": etag(&self.key(), version),
            "id": format!("{}:{}.{}", self.project, self.location, self.id),
            "selfLink": format!(
                "{endpoint}/bigquery/v2/projects/{}/jobs/{}?location={}", self.project, self.id, self.location
            ),
            "user_email": self.user,
            "configuration": self.configuration,
            "jobReference": self.reference(),
            "statistics": self.statistics(),
            "status": self.status(),
        })
    }

    /// The shorter form in a list.
    pub fn item(&self, endpoint: &str) -> Value {
        let mut item = self.view(endpoint);
        if let Value::Object(item) = &mut item {
            item.remove("etag");
            item.remove("selfLink");
        }
        item["state"] = json!(self.state);
        if let Some(error) = item["status"].get("errorResult").cloned() {
            item["errorResult"] = error;
        }
        item
    }
}

/// Jobs that ran when the process died: done if their commit is in the table, failed if not.
pub fn settle_interrupted(service: &BigQuery) -> io::Result<()> {
    let tables = service.tables.list("").into_iter();
    let mut commits: HashMap<String, Object> = tables
        .flat_map(|(_, table)| table.commits)
        .map(|commit| (commit.job, commit.statistics))
        .collect();
    for (key, mut job) in service.jobs.list("") {
        if job.state == State::Done {
            continue;
        }
        match commits.remove(&key) {
            Some(statistics) => job.statistics = statistics,
            None => {
                job.failure = Some(Failure {
                    reason: "backendError".to_owned(),
                    message: "The local cloud stopped while the job ran; nothing of it was kept. Retry with a new job id."
                        .to_owned(),
                });
            }
        }
        job.state = State::Done;
        job.ended = Some(now_ms());
        service.jobs.put(&key, job)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schema;
    use super::super::table::{Commit, Kind, Table};
    use super::*;
    use crate::store::Store;

    fn running(id: &str) -> Job {
        let table = json!({"projectId": "p", "datasetId": "d", "tableId": "t"});
        Job {
            project: "p".to_owned(),
            id: id.to_owned(),
            location: "US".to_owned(),
            configuration: json!({"load": {"destinationTable": table}}),
            state: State::Running,
            failure: None,
            statistics: Object::new(),
            user: String::new(),
            created: 1,
            started: Some(1),
            ended: None,
            cancelled: false,
        }
    }

    #[test]
    fn a_job_cut_off_is_done_if_it_had_committed_and_failed_if_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let service = BigQuery::open(&store).unwrap();
        for id in ["committed", "lost"] {
            let job = running(id);
            service.jobs.put(&job.key(), job).unwrap();
        }
        let mut table = Table::new(
            TableRef::new("p", "d", "t"),
            Kind::Native,
            "US",
            Schema::default(),
        );
        let statistics = json!({"load": {"outputRows": "7"}});
        table.commit(Commit {
            job: running("committed").key(),
            statistics: statistics.as_object().cloned().unwrap(),
        });
        service.tables.put("p/d/t", table).unwrap();
        drop(service);

        let service = BigQuery::open(&store).unwrap();
        let job = |id: &str| service.jobs.get(&running(id).key()).unwrap();
        assert_eq!(
            (job("committed").failure, job("committed").state),
            (None, State::Done)
        );
        assert_eq!(job("committed").statistics["load"]["outputRows"], "7");
        assert_eq!(job("lost").failure.unwrap().reason, "backendError");
    }
}
