//! A list of routers: every combination of their partitions.

use async_stream::try_stream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SourceError, State};

use super::super::request::Options;
use super::super::template::{Scope, TemplateError};
use super::{LookUp, Partition, Router, Step, Steps};

pub struct ProductRouter {
    pub routers: Vec<Box<dyn Router>>,
}

impl Router for ProductRouter {
    /// The last router's partitions change fastest. What parents say of their state is
    /// not kept, as no state could say which combinations are done.
    fn steps<'a>(&'a self, state: &'a State) -> Steps<'a> {
        try_stream! {
            let mut all = Vec::new();
            for router in &self.routers {
                all.push(partitions(router.as_ref(), state).await?);
            }
            let count: usize = all.iter().map(Vec::len).product();
            for number in 0..count {
                yield Step::Partition(combination(&all, number));
            }
        }
        .boxed()
    }

    fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut result = Options::default();
        for router in self.routers.iter().rev() {
            result.replace_with(router.options(slice, scope)?);
        }
        Ok(result)
    }

    fn look_up<'a>(&'a self, slice: &'a Slice) -> LookUp<'a> {
        async move {
            let mut found = Map::new();
            for router in &self.routers {
                found.extend(router.look_up(slice).await?);
            }
            Ok(found)
        }
        .boxed()
    }
}

async fn partitions(router: &dyn Router, state: &State) -> Result<Vec<Partition>, SourceError> {
    router
        .steps(state)
        .try_filter_map(|step| async move {
            Ok(match step {
                Step::Partition(partition) => Some(partition),
                Step::Parents(_) => None,
            })
        })
        .try_collect()
        .await
}

fn combination(all: &[Vec<Partition>], mut number: usize) -> Partition {
    let mut chosen = Vec::new();
    for partitions in all.iter().rev() {
        chosen.push(&partitions[number % partitions.len()]);
        number /= partitions.len();
    }
    // A name that several routers use is the first one's.
    let sizes = chosen.iter().filter_map(|partition| partition.size);
    let mut result = Partition {
        size: sizes.reduce(u64::saturating_mul),
        ..Partition::default()
    };
    for partition in chosen {
        extend(&mut result.fields, &partition.fields);
        extend(&mut result.extra, &partition.extra);
    }
    result
}

fn extend(target: &mut Map<String, Json>, source: &Map<String, Json>) {
    for (name, value) in source {
        target.insert(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_combination_comes_once_and_the_first_router_keeps_its_names() {
        let part = |json: Json| Partition {
            fields: json.as_object().unwrap().clone(),
            ..Partition::default()
        };
        let all = [
            vec![part(json!({"a": 1, "x": 0})), part(json!({"a": 2, "x": 0}))],
            vec![part(json!({"b": 1, "x": 9})), part(json!({"b": 2, "x": 9}))],
        ];
        let shown: Vec<_> = (0..4)
            .map(|number| Json::Object(combination(&all, number).fields))
            .collect();
        assert_eq!(
            shown,
            [
                json!({"a": 1, "b": 1, "x": 0}),
                json!({"a": 1, "b": 2, "x": 0}),
                json!({"a": 2, "b": 1, "x": 0}),
                json!({"a": 2, "b": 2, "x": 0}),
            ]
        );
    }
}
