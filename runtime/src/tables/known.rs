//! What BigQuery says of a stream's table or query, and whether its cursor can be one.

use crate::google::ApiError;
use crate::google::bigquery::Shape;
use crate::stream::SourceError;

use super::cursor::CursorKind;
use super::fields::{Field, fields};
use super::settings::{Origin, wrong};
use super::stream::{Shared, TableStream};

/// What BigQuery says of the table or the query.
#[derive(Debug, Clone)]
pub struct Known {
    pub fields: Vec<Field>,
    pub location: String,
    pub key: Vec<String>,
    pub cursor: Option<CursorKind>,
}

impl TableStream {
    pub(super) async fn look(&self) -> Result<Known, SourceError> {
        let shape = self
            .shape()
            .await
            .map_err(|error| self.about().error(error))?;
        let is_query = matches!(self.settings.origin, Origin::Query(_));
        if is_query && shape.kind != "SELECT" {
            let problem = format!("`query` is to be one SELECT, and this is {}", shape.kind);
            return Err(wrong(&self.at(), problem));
        }
        let fields = fields(&shape.fields);
        Ok(Known {
            cursor: self.cursor_kind(&fields)?,
            fields,
            location: self.shared.location.clone().unwrap_or(shape.location),
            key: shape.key,
        })
    }

    async fn shape(&self) -> Result<Shape, ApiError> {
        let Shared {
            reader, location, ..
        } = self.shared.as_ref();
        match &self.settings.origin {
            Origin::Table(name) => reader.table(name).await,
            Origin::Query(query) => reader.dry_run(query, location.as_deref()).await,
        }
    }

    fn cursor_kind(&self, fields: &[Field]) -> Result<Option<CursorKind>, SourceError> {
        let Some(cursor) = &self.settings.cursor else {
            return Ok(None);
        };
        // As it is written, as the state names it so.
        let found = fields.iter().find(|field| field.name == *cursor);
        let Some(field) = found else {
            let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            let problem = format!(
                "there is no column `{cursor}`; there are: {}",
                known.join(", ")
            );
            return Err(wrong(&format!("{}.cursor", self.at()), problem));
        };
        let Some(kind) = CursorKind::of(field) else {
            let problem = format!(
                "column `{cursor}` is {}{}, whose values have no order to go on by; take a \
                 TIMESTAMP, DATETIME, DATE, INT64, NUMERIC, BIGNUMERIC or STRING",
                field.kind.name(),
                if field.repeated { " REPEATED" } else { "" }
            );
            return Err(wrong(&format!("{}.cursor", self.at()), problem));
        };
        if let Some(lookback) = &self.settings.lookback
            && !kind.takes(lookback)
        {
            let problem = format!(
                "`{lookback}` is no look-back of column `{cursor}` ({}): give a duration such as \
                 P3D or PT6H for a time, a number for INT64",
                field.kind.name()
            );
            return Err(wrong(&format!("{}.lookback", self.at()), problem));
        }
        Ok(Some(kind))
    }
}
