//! Names of datasets and tables, and the rules they keep.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetRef {
    #[serde(rename = "projectId", default)]
    pub project: String,
    #[serde(rename = "datasetId")]
    pub dataset: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableRef {
    #[serde(rename = "projectId", default)]
    pub project: String,
    #[serde(rename = "datasetId")]
    pub dataset: String,
    #[serde(rename = "tableId")]
    pub table: String,
}

impl DatasetRef {
    pub fn new(project: &str, dataset: &str) -> DatasetRef {
        DatasetRef {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
        }
    }

    /// Key of the dataset's document.
    pub fn key(&self) -> String {
        format!("{}/{}", self.project, self.dataset)
    }

    pub fn check(&self) -> Result<(), ApiError> {
        let name = &self.dataset;
        let good = !name.is_empty()
            && name.len() <= 1024
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        good.then_some(()).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid dataset ID \"{name}\". Dataset IDs must be alphanumeric (plus underscores) \
                 and must be at most 1024 characters long."
            ))
        })
    }
}

impl TableRef {
    pub fn new(project: &str, dataset: &str, table: &str) -> TableRef {
        TableRef {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        }
    }

    /// Key of the table's document; a dataset's tables share the prefix `<dataset key>/`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.project, self.dataset, self.table)
    }

    pub fn dataset(&self) -> DatasetRef {
        DatasetRef::new(&self.project, &self.dataset)
    }

    /// The table without the partition after its `$`, and that.
    pub fn undecorated(self) -> (TableRef, Option<String>) {
        match self.table.split_once('$') {
            Some((table, partition)) => (
                TableRef::new(&self.project, &self.dataset, table),
                Some(partition.to_owned()),
            ),
            None => (self, None),
        }
    }

    pub fn check(&self) -> Result<(), ApiError> {
        self.dataset().check()?;
        let name = &self.table;
        if name.contains('$') || name.contains('@') {
            return Err(ApiError::unimplemented(format!(
                "the local cloud serves no table decorators (`{name}`)"
            )));
        }
        let good = !name.is_empty()
            && name.len() <= 1024
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
        good.then_some(()).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid table ID \"{name}\". Table IDs must be alphanumeric (plus underscores, dashes \
                 and spaces) and must be at most 1024 bytes long."
            ))
        })
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.dataset)
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.project, self.dataset, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_name_has_no_dash_and_a_table_name_may() {
        assert!(DatasetRef::new("p", "acme_xero").check().is_ok());
        assert_eq!(
            DatasetRef::new("p", "acme-xero").check().unwrap_err().code,
            400
        );
        assert!(TableRef::new("p", "d", "bank-fees").check().is_ok());
        assert_eq!(
            TableRef::new("p", "d", "a/b").check().unwrap_err().code,
            400
        );
    }

    #[test]
    fn decorators_are_not_served() {
        assert_eq!(
            TableRef::new("p", "d", "t$20260101")
                .check()
                .unwrap_err()
                .code,
            501
        );
    }
}
