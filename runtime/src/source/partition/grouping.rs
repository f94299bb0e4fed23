//! GroupingPartitionRouter: several partitions of another router in one.

use std::collections::HashSet;

use async_stream::try_stream;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value as Json};

use crate::stream::{SourceError, State};

use super::super::component::Component;
use super::{Partition, Router, Step, Steps};

const PARENT_SLICE: &str = "parent_slice";

pub struct GroupingRouter {
    at: String,
    size: usize,
    deduplicate: bool,
    child: Box<dyn Router>,
}

impl GroupingRouter {
    pub fn open(
        component: &Component<'_>,
        child: Box<dyn Router>,
    ) -> Result<GroupingRouter, SourceError> {
        let size = component.field("group_size").and_then(Json::as_u64);
        let size = size.filter(|size| *size > 0);
        if child.has_options() {
            return Err(component.error(
                "`request_option` is not possible inside a GroupingPartitionRouter; \
                 use `stream_partition` in the requester",
            ));
        }
        Ok(GroupingRouter {
            at: component.at.clone(),
            size: size.ok_or_else(|| component.error("`group_size` is not a number above 0"))?
                as usize,
            deduplicate: component
                .field("deduplicate")
                .and_then(Json::as_bool)
                .unwrap_or(true),
            child,
        })
    }

    /// The one value that names a partition.
    fn value<'p>(&self, partition: &'p Partition) -> Result<&'p Json, SourceError> {
        let mut named = partition
            .fields
            .iter()
            .filter(|(name, _)| *name != PARENT_SLICE);
        match (named.next(), named.next()) {
            (Some((_, value)), None) => Ok(value),
            _ => Err(SourceError::Config {
                at: self.at.clone(),
                problem: format!(
                    "GroupingPartitionRouter needs partitions of one field, not {}",
                    Json::Object(partition.fields.clone())
                ),
            }),
        }
    }
}

impl Router for GroupingRouter {
    fn steps<'a>(&'a self, state: &'a State) -> Steps<'a> {
        try_stream! {
            let mut seen = HashSet::new();
            let mut batch = Vec::new();
            let mut steps = self.child.steps(state);
            while let Some(step) = steps.try_next().await? {
                let partition = match step {
                    Step::Partition(partition) => partition,
                    parents => {
                        yield parents;
                        continue;
                    }
                };
                let value = self.value(&partition)?;
                if self.deduplicate && !seen.insert(value.to_string()) {
                    continue;
                }
                batch.push(partition);
                if batch.len() == self.size {
                    yield Step::Partition(grouped(&std::mem::take(&mut batch)));
                }
            }
            if !batch.is_empty() {
                yield Step::Partition(grouped(&batch));
            }
        }
        .boxed()
    }

    fn is_grouping(&self) -> bool {
        true
    }
}

/// Each field with the list of its values.
fn grouped(batch: &[Partition]) -> Partition {
    let lists = |of: fn(&Partition) -> &Map<String, Json>, names: Vec<&String>| {
        let list = |name: &String| -> Json {
            let values = batch.iter().map(|it| of(it).get(name).cloned());
            values.map(Option::unwrap_or_default).collect()
        };
        names
            .into_iter()
            .map(|name| (name.clone(), list(name)))
            .collect()
    };
    let fields = batch.first().map(|first| first.fields.keys().collect());
    let mut extra: Vec<&String> = Vec::new();
    for name in batch.iter().flat_map(|it| it.extra.keys()) {
        if !extra.contains(&name) {
            extra.push(name);
        }
    }
    Partition {
        fields: lists(|it| &it.fields, fields.unwrap_or_default()),
        extra: lists(|it| &it.extra, extra),
        size: Some(batch.iter().map(|it| it.size.unwrap_or(1)).sum()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::ListRouter;
    use super::*;
    use crate::source::template::Scope;

    async fn groups(more: Json) -> Vec<Json> {
        let list = json!({"type": "ListPartitionRouter", "cursor_field": "id", "values": ["a", "b", "a", "c", "d"]});
        let scope = Scope::new(minijinja::context! {});
        let child = ListRouter::open(&Component::new(&list, "list"), &scope).unwrap();
        let component = Component::new(&more, "group");
        let router = GroupingRouter::open(&component, Box::new(child)).unwrap();
        let steps: Vec<_> = router.steps(&Json::Null).try_collect().await.unwrap();
        let shown = steps.into_iter().map(|step| match step {
            Step::Partition(partition) => Json::Object(partition.fields),
            Step::Parents(state) => state,
        });
        shown.collect()
    }

    #[tokio::test]
    async fn groups_are_full_but_the_last_and_hold_each_value_once() {
        assert_eq!(
            groups(json!({"group_size": 3})).await,
            [json!({"id": ["a", "b", "c"]}), json!({"id": ["d"]})]
        );
        assert_eq!(
            groups(json!({"group_size": 3, "deduplicate": false})).await,
            [json!({"id": ["a", "b", "a"]}), json!({"id": ["c", "d"]})]
        );
    }
}
