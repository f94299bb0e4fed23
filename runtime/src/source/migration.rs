//! State migrations: a state of an older form, brought into the one that is written now.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::stream::SourceError;

use super::component::Component;
use super::shared::Shared;

/// LegacyToPerPartitionStateMigration: cursors by the parent's id become states by partition.
pub struct Migration {
    /// The partition's field that the ids are for.
    partition_field: String,
    cursor_field: String,
    /// Ids of several parents cannot be told apart.
    is_possible: bool,
}

impl Migration {
    pub fn open(
        component: &Component<'_>,
        stream: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Migration, SourceError> {
        if component.kind() != "LegacyToPerPartitionStateMigration" {
            return Err(component.unknown("LegacyToPerPartitionStateMigration"));
        }
        let retriever = stream.need("retriever")?;
        let router = retriever.need("partition_router")?;
        let parents = router.children("parent_stream_configs");
        let field = match (router.kind(), parents.first()) {
            ("UnionPartitionRouter", _) => router.field("partition_field"),
            (_, Some(parent)) => parent.field("partition_field"),
            (_, None) => None,
        };
        let field = field.ok_or_else(|| {
            component.error(
                "LegacyToPerPartitionStateMigration needs a SubstreamPartitionRouter or a UnionPartitionRouter",
            )
        })?;
        let cursor = stream.need("incremental_sync")?;
        // The names are evaluated with the stream's parameters.
        let text = |json: &Json| {
            let text = stream.template_of(json)?.text(&shared.scope);
            text.map_err(|error| component.error(error.to_string()))
        };
        Ok(Migration {
            partition_field: text(field)?,
            cursor_field: text(cursor.need("cursor_field")?.json())?,
            is_possible: router.kind() == "UnionPartitionRouter" || parents.len() == 1,
        })
    }

    /// The state in the new form; `None` where it is not of the old one.
    pub fn apply(&self, state: &Json) -> Option<Json> {
        let state = state.as_object().filter(|_| self.is_possible)?;
        if state.is_empty() || !state.values().all(|cursor| self.is_cursor(cursor)) {
            return None;
        }
        let states = state.iter().map(|(id, cursor)| {
            let partition = Map::from_iter([(self.partition_field.clone(), id.as_str().into())]);
            json!({"partition": partition, "cursor": cursor})
        });
        Some(json!({"states": states.collect::<Vec<_>>()}))
    }

    fn is_cursor(&self, value: &Json) -> bool {
        value
            .as_object()
            .is_some_and(|cursor| cursor.len() == 1 && cursor.contains_key(&self.cursor_field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_form_is_changed() {
        let migration = Migration {
            partition_field: "id".to_owned(),
            cursor_field: "updated".to_owned(),
            is_possible: true,
        };
        assert_eq!(
            migration.apply(&json!({"7": {"updated": "2024"}})),
            Some(json!({"states": [{"partition": {"id": "7"}, "cursor": {"updated": "2024"}}]}))
        );
        for other in [
            json!(null),
            json!({}),
            json!({"states": []}),
            json!({"7": {"updated": "2024", "more": 1}}),
            json!({"7": {"other": "2024"}}),
        ] {
            assert_eq!(migration.apply(&other), None, "{other}");
        }
    }
}
