//! SubstreamPartitionRouter: a partition for each record of other streams.
//!
//! The parents are read as the partitions are taken: one page of one parent at a time.

use std::sync::Arc;

use async_stream::try_stream;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SliceDone, SourceError, State};
use crate::value::Value;

use super::super::component::Component;
use super::super::python;
use super::super::request::Options;
use super::super::shared::Shared;
use super::super::template::{Scope, TemplateError};
use super::parent::Parent;
use super::{Router, Step, Steps};

pub struct SubstreamRouter {
    parents: Vec<Parent>,
}

impl SubstreamRouter {
    pub fn open(
        component: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<SubstreamRouter, SourceError> {
        let parents = component.list("parent_stream_configs")?;
        if parents.is_empty() {
            return Err(component.error("SubstreamPartitionRouter needs a parent stream"));
        }
        let parents = parents.iter().map(|parent| Parent::open(parent, shared));
        Ok(SubstreamRouter {
            parents: parents.collect::<Result<_, _>>()?,
        })
    }
}

impl Router for SubstreamRouter {
    fn steps<'a>(&'a self, state: &'a State) -> Steps<'a> {
        try_stream! {
            let mut states = ParentStates::new(&self.parents, state);
            let is_first_sync = !python::truth(&Value::from(state));
            yield states.step();
            for (index, parent) in self.parents.iter().enumerate() {
                let start = states.starts[index].clone();
                let mut slices = parent.stream.slices(&start);
                let mut next = slices.try_next().await?;
                while let Some(slice) = next.filter(|slice| slice.closing.is_none()) {
                    let mut held = None;
                    let mut cursor = None;
                    let mut pages = parent.stream.pages(&slice);
                    while let Some(page) = pages.try_next().await? {
                        for record in page.records.values().iter() {
                            // The last partition of a slice comes after the state that counts it.
                            if let Some(partition) = held.take() {
                                yield Step::Partition(partition);
                            }
                            held = parent.partition(record, &slice, is_first_sync)?;
                        }
                        cursor = page.cursor;
                    }
                    drop(pages);
                    next = slices.try_next().await?;
                    states.done(index, SliceDone::now(slice, cursor));
                    if let Some(closing) = next.take_if(|next| next.closing.is_some()) {
                        states.done(index, SliceDone::now(closing, None));
                    }
                    if states.refresh(parent, index, next.is_none()) {
                        yield states.step();
                    }
                    if let Some(partition) = held.take() {
                        yield Step::Partition(partition);
                    }
                }
            }
        }
        .boxed()
    }

    fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        for parent in &self.parents {
            let value = slice.partition.get(&parent.field).map(Value::from);
            if let (Some(option), Some(value)) = (&parent.option, value.filter(python::truth)) {
                option.inject(&mut options, value, scope)?;
            }
        }
        Ok(options)
    }

    fn fields(&self) -> Vec<String> {
        self.parents.iter().map(|it| it.field.clone()).collect()
    }

    fn has_options(&self) -> bool {
        self.parents.iter().any(|parent| parent.option.is_some())
    }
}

/// How far the parents are, of those the child's state keeps.
struct ParentStates {
    starts: Vec<State>,
    done: Vec<Vec<SliceDone>>,
    /// A state of many partitions is long; it is made anew when a tenth more is done.
    refresh_at: usize,
    shown: Map<String, Json>,
}

impl ParentStates {
    fn new(parents: &[Parent], child: &State) -> ParentStates {
        let starts: Vec<_> = parents.iter().map(|parent| parent.state(child)).collect();
        let kept = parents.iter().zip(&starts);
        let kept = kept.filter(|(parent, _)| parent.is_incremental);
        let shown = kept.map(|(parent, start)| {
            let state = parent.stream.state_after(start, &[]);
            (parent.name().to_owned(), state)
        });
        ParentStates {
            shown: shown.collect(),
            done: vec![Vec::new(); parents.len()],
            refresh_at: 0,
            starts,
        }
    }

    fn step(&self) -> Step {
        Step::Parents(Json::Object(self.shown.clone()))
    }

    fn done(&mut self, index: usize, done: SliceDone) {
        self.done[index].push(done);
    }

    /// Counts what is done in; whether that changed what is shown.
    fn refresh(&mut self, parent: &Parent, index: usize, is_last: bool) -> bool {
        if !parent.is_incremental {
            self.done[index].clear();
            return false;
        }
        let count = self.done[index].len();
        if !is_last && count < self.refresh_at {
            return false;
        }
        self.refresh_at = if is_last { 0 } else { count + count / 10 };
        let state = parent
            .stream
            .state_after(&self.starts[index], &self.done[index]);
        let before = self.shown.insert(parent.name().to_owned(), state);
        before.as_ref() != self.shown.get(parent.name())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use serde_json::json;

    use super::super::super::slicer::NO_CURSOR;
    use super::super::parent::path;
    use super::*;
    use crate::stream::{Page, Stream, StreamInfo};

    /// Two slices of many pages, each of ten records.
    struct Many {
        info: StreamInfo,
        pages: usize,
        asked: Arc<AtomicUsize>,
    }

    impl Stream for Many {
        fn info(&self) -> &StreamInfo {
            &self.info
        }

        fn slices<'a>(
            &'a self,
            _: &'a State,
        ) -> futures::stream::BoxStream<'a, Result<Slice, SourceError>> {
            let slice = |number: usize| Slice {
                partition: Map::from_iter([("slice".to_owned(), number.into())]),
                ..Slice::default()
            };
            stream::iter((0..2).map(slice).map(Ok)).boxed()
        }

        fn pages<'a>(
            &'a self,
            _: &'a Slice,
        ) -> futures::stream::BoxStream<'a, Result<Page, SourceError>> {
            let page = |number: usize| {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let record = |id: usize| Value::from(&json!({"key": {"id": number * 10 + id}}));
                Ok(Page {
                    records: (0..10).map(record).collect(),
                    cursor: None,
                })
            };
            stream::iter((0..self.pages).map(page)).boxed()
        }

        fn state_after(&self, _: &State, done: &[SliceDone]) -> State {
            json!({"done": done.len()})
        }
    }

    fn router(pages: usize, asked: &Arc<AtomicUsize>) -> SubstreamRouter {
        let info = StreamInfo {
            name: "parents".to_owned(),
            primary_key: Vec::new(),
            cursor_field: Some("at".to_owned()),
            schema: json!({}),
            types: json!({}),
            mode: None,
        };
        let stream = Many {
            info,
            pages,
            asked: asked.clone(),
        };
        SubstreamRouter {
            parents: vec![Parent {
                at: "here".to_owned(),
                stream: Box::new(stream),
                key: path("key/id"),
                field: "id".to_owned(),
                extra: Vec::new(),
                option: None,
                is_incremental: true,
                children: None,
            }],
        }
    }

    #[tokio::test]
    async fn parents_are_read_only_as_far_as_partitions_are_taken() {
        let asked = Arc::new(AtomicUsize::new(0));
        let router = router(10_000, &asked);
        let mut steps = router.steps(&Json::Null);
        for _ in 0..16 {
            steps.next().await.unwrap().unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(steps.count().await, 2 * 100_000 + 3 - 16);
    }

    #[tokio::test]
    async fn the_last_partition_of_a_parents_slice_comes_with_its_state() {
        let router = router(1, &Arc::new(AtomicUsize::new(0)));
        let steps: Vec<_> = router.steps(&Json::Null).try_collect().await.unwrap();
        let shown: Vec<_> = steps
            .into_iter()
            .map(|step| match step {
                Step::Partition(partition) => partition.fields["id"].to_string(),
                Step::Parents(state) => state.to_string(),
            })
            .collect();
        assert_eq!(shown[0], r#"{"parents":{"done":0}}"#);
        assert_eq!(shown[9..12], ["8", r#"{"parents":{"done":1}}"#, "9"]);
        assert_eq!(shown[21..], [r#"{"parents":{"done":2}}"#, "9"]);
    }

    #[test]
    fn a_parent_starts_where_the_childs_state_says() {
        let router = router(1, &Arc::new(AtomicUsize::new(0)));
        let parent = &router.parents[0];
        let own = json!({"at": "2024-01-01"});
        for (child, start) in [
            (json!(null), json!(null)),
            (
                json!({"parent_state": {"parents": own}, "state": 1}),
                own.clone(),
            ),
            (json!({"state": own}), own.clone()),
            (json!({"updated": "2024-01-01"}), own.clone()),
            (json!({NO_CURSOR: true}), json!(null)),
            (json!({"states": []}), json!(null)),
        ] {
            assert_eq!(parent.state(&child), start, "{child}");
        }
    }
}
