//! What a job's configuration asks for, and where.

use serde_json::Value;

use super::copy::Copy;
use super::extract::Extract;
use super::load::Load;
use super::reference::DatasetRef;
use super::resource::{Object, check_labels};
use super::sql::{self, Query};
use crate::cloud::Cloud;
use crate::error::ApiError;

/// What a configuration asks for, checked.
pub enum Work {
    Load(Box<Load>),
    Query(Box<Query>),
    Copy(Box<Copy>),
    Extract(Box<Extract>),
}

impl Work {
    pub fn parse(project: &str, configuration: &mut Value) -> Result<Work, ApiError> {
        check_labels(configuration.as_object().unwrap_or(&Object::new()))?;
        if configuration["load"].is_object() {
            own_project(project, configuration.pointer_mut("/load/destinationTable"));
            configuration["jobType"] = "LOAD".into();
            return Ok(Work::Load(Box::new(Load::parse(&configuration["load"])?)));
        }
        if configuration["query"].is_object() {
            own_project(
                project,
                configuration.pointer_mut("/query/destinationTable"),
            );
            own_project(project, configuration.pointer_mut("/query/defaultDataset"));
            configuration["jobType"] = "QUERY".into();
            return Ok(Work::Query(Box::new(Query::parse(
                project,
                &configuration["query"],
            )?)));
        }
        if configuration["copy"].is_object() {
            let copy = &mut configuration["copy"];
            own_project(project, copy.get_mut("destinationTable"));
            own_project(project, copy.get_mut("sourceTable"));
            let sources = copy.get_mut("sourceTables").and_then(Value::as_array_mut);
            for source in sources.into_iter().flatten() {
                own_project(project, Some(source));
            }
            configuration["jobType"] = "COPY".into();
            return Ok(Work::Copy(Box::new(Copy::parse(&configuration["copy"])?)));
        }
        if configuration["extract"].is_object() {
            own_project(project, configuration.pointer_mut("/extract/sourceTable"));
            configuration["jobType"] = "EXTRACT".into();
            let extract = Extract::parse(&configuration["extract"])?;
            return Ok(Work::Extract(Box::new(extract)));
        }
        Err(ApiError::invalid(
            "Required parameter is missing: configuration.load, query, copy or extract",
        ))
    }

    /// Where the job runs when the request does not say.
    pub fn location(&self, cloud: &Cloud) -> Result<String, ApiError> {
        match self.dataset() {
            Ok(dataset) => Ok(cloud.bigquery.dataset(&dataset)?.location),
            Err(query) => Ok(sql::location(cloud, query)),
        }
    }

    /// The dataset a job works in, unless its SQL says.
    fn dataset(&self) -> Result<DatasetRef, &Query> {
        match self {
            Work::Load(load) => Ok(load.destination.dataset()),
            Work::Copy(copy) => Ok(copy.destination.dataset()),
            Work::Extract(extract) => Ok(extract.source.dataset()),
            Work::Query(query) => Err(query),
        }
    }

    pub fn check_location(&self, cloud: &Cloud, location: &str) -> Result<(), ApiError> {
        let Ok(dataset) = self.dataset() else {
            return Ok(());
        };
        let place = cloud.bigquery.dataset(&dataset)?.location;
        if place.eq_ignore_ascii_case(location) {
            return Ok(());
        }
        Err(ApiError::not_found(format!(
            "Not found: Dataset {dataset} was not found in location {location}"
        )))
    }
}

/// A reference without a project means the job's.
fn own_project(project: &str, reference: Option<&mut Value>) {
    if let Some(Value::Object(reference)) = reference {
        reference
            .entry("projectId")
            .or_insert_with(|| project.into());
    }
}
