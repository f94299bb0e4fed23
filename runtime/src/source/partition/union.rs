//! UnionPartitionRouter: the partitions of several routers, each value once.

use std::collections::HashSet;

use async_stream::try_stream;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value as Json};

use crate::stream::{SourceError, State};

use super::super::component::Component;
use super::super::template::Scope;
use super::{Partition, Router, Step, Steps};

pub struct UnionRouter {
    at: String,
    field: String,
    children: Vec<Box<dyn Router>>,
}

impl UnionRouter {
    pub fn open(
        component: &Component<'_>,
        children: Vec<Box<dyn Router>>,
        scope: &Scope,
    ) -> Result<UnionRouter, SourceError> {
        let field = component.need_template("partition_field")?.text(scope);
        let field = field.map_err(|error| component.error(error.to_string()))?;
        if children.len() < 2 {
            return Err(component.error("UnionPartitionRouter needs two `partition_routers`"));
        }
        if children.iter().any(|child| child.has_options()) {
            return Err(component.error(
                "`request_option` is not possible inside a UnionPartitionRouter; \
                 use `stream_partition` in the requester",
            ));
        }
        let mut fields = children.iter().flat_map(|child| child.fields());
        if let Some(other) = fields.find(|other| *other != field) {
            return Err(component.error(format!(
                "a router's partitions are named by `{other}`, not by `partition_field: {field}`"
            )));
        }
        Ok(UnionRouter {
            at: component.at.clone(),
            field,
            children,
        })
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem,
        }
    }

    /// The partition by its one field; what else named it becomes extra.
    fn normalized(&self, partition: Partition) -> Result<Partition, SourceError> {
        let Partition {
            mut fields,
            mut extra,
            size,
        } = partition;
        let Some(value) = fields.shift_remove(&self.field) else {
            let shown = Json::Object(fields);
            return Err(self.problem(format!("the partition {shown} has no `{}`", self.field)));
        };
        if value.is_array() || value.is_object() {
            return Err(self.problem(format!("`{}` is {value}, not one value", self.field)));
        }
        extra.extend(fields);
        Ok(Partition {
            fields: Map::from_iter([(self.field.clone(), value)]),
            extra,
            size,
        })
    }
}

impl Router for UnionRouter {
    fn steps<'a>(&'a self, state: &'a State) -> Steps<'a> {
        try_stream! {
            let mut seen = HashSet::new();
            let mut parents = Map::new();
            yield Step::Parents(Json::Object(parents.clone()));
            for child in &self.children {
                let mut steps = child.steps(state);
                while let Some(step) = steps.try_next().await? {
                    match step {
                        Step::Partition(partition) => {
                            let partition = self.normalized(partition)?;
                            if seen.insert(partition.fields[&self.field].to_string()) {
                                yield Step::Partition(partition);
                            }
                        }
                        Step::Parents(Json::Object(more)) => {
                            parents.extend(more);
                            yield Step::Parents(Json::Object(parents.clone()));
                        }
                        Step::Parents(_) => {}
                    }
                }
            }
        }
        .boxed()
    }

    fn fields(&self) -> Vec<String> {
        vec![self.field.clone()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::list::ListRouter;
    use super::*;

    fn list(field: &str, values: Json) -> Box<dyn Router> {
        let json = json!({"type": "ListPartitionRouter", "cursor_field": field, "values": values});
        let scope = Scope::new(minijinja::context! {});
        Box::new(ListRouter::open(&Component::new(&json, "list"), &scope).unwrap())
    }

    fn union(children: Vec<Box<dyn Router>>) -> Result<UnionRouter, SourceError> {
        let json = json!({"type": "UnionPartitionRouter", "partition_field": "id"});
        let scope = Scope::new(minijinja::context! {});
        UnionRouter::open(&Component::new(&json, "union"), children, &scope)
    }

    #[tokio::test]
    async fn each_value_comes_once() {
        let router = union(vec![
            list("id", json!(["a", "b"])),
            list("id", json!(["b", "c"])),
        ]);
        let router = router.unwrap();
        let steps: Vec<_> = router.steps(&Json::Null).try_collect().await.unwrap();
        let values: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Partition(partition) => partition.fields["id"].as_str(),
                Step::Parents(_) => None,
            })
            .collect();
        assert_eq!(values, ["a", "b", "c"]);
    }

    #[test]
    fn routers_of_another_field_are_refused() {
        let error = union(vec![list("id", json!([])), list("key", json!([]))]);
        insta::assert_snapshot!(
            error.err().unwrap(),
            @"union: a router's partitions are named by `key`, not by `partition_field: id`"
        );
    }
}
