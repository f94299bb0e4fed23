//! Lists that a record holds cut short, fetched whole: a RecordExpander's `truncated_list_retriever`.

use std::sync::Arc;

use futures::TryStreamExt;

use crate::stream::{Slice, SourceError};
use crate::value::Value;

use super::super::component::Component;
use super::super::shared::Shared;
use super::{Part, Records, Retriever, StreamFacts};

pub struct Lists {
    retriever: Retriever,
    shared: Arc<Shared>,
}

impl Lists {
    /// The retriever of a selector's expander, where it has one.
    pub fn open(
        selector: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Option<Lists>, SourceError> {
        let expander = selector.child("extractor");
        let expander = expander.and_then(|extractor| extractor.child("record_expander"));
        let Some(retriever) = expander.and_then(|it| it.child("truncated_list_retriever")) else {
            return Ok(None);
        };
        retriever.unsupported(&["partition_router", "pagination_reset"])?;
        let facts = StreamFacts {
            name: "record_expander_truncated_list",
            transformations: Vec::new(),
            client_side: false,
        };
        Ok(Some(Lists {
            retriever: Retriever::open(&retriever, &facts, shared)?,
            shared: shared.clone(),
        }))
    }

    /// The whole list of each of these records.
    pub async fn of(&self, records: Vec<Value>) -> Result<Vec<Vec<Value>>, SourceError> {
        let mut lists = Vec::with_capacity(records.len());
        for record in records {
            let mut slice = Slice::default();
            slice
                .partition
                .insert("parent_record".to_owned(), record.to_json());
            let part = Part::alone(self.shared.scope.clone().with_slice(&slice));
            let pages = self.retriever.pages(part).map_ok(Records::into_values);
            lists.push(pages.try_concat().await?);
        }
        Ok(lists)
    }
}
