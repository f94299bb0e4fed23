//! Routers: the partitions of a stream, one after another, never all at once in memory
//! unless the language asks for it.

mod bucket;
mod grouping;
mod key;
mod list;
mod parent;
mod product;
mod substream;
mod union;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SourceError, State};

use super::component::Component;
use super::request::Options;
use super::shared::Shared;
use super::template::{Scope, TemplateError};

pub use key::partition_key;
pub use parent::FIRST_PAGE;

/// A part of a stream, such as all that belongs to one record of another stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partition {
    /// What names it; the state is kept by it.
    pub fields: Map<String, Json>,
    /// What templates may use besides.
    pub extra: Map<String, Json>,
    /// How much there is to read of it, where that is known.
    pub size: Option<u64>,
}

/// What a router comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Partition(Partition),
    /// The state of the parent streams once the partitions up to the next one are done.
    Parents(Json),
}

pub type Steps<'a> = BoxStream<'a, Result<Step, SourceError>>;

pub type LookUp<'a> = BoxFuture<'a, Result<Map<String, Json>, SourceError>>;

/// Where a stream's partitions come from.
pub trait Router: Send + Sync {
    /// The partitions, given the state of the stream they are for.
    fn steps<'a>(&'a self, state: &'a State) -> Steps<'a>;

    /// What a partition adds to its requests.
    fn options(&self, _slice: &Slice, _scope: &Scope) -> Result<Options, TemplateError> {
        Ok(Options::default())
    }

    /// What templates may use of a partition that its slice is too small to hold.
    fn look_up<'a>(&'a self, _slice: &'a Slice) -> LookUp<'a> {
        std::future::ready(Ok(Map::new())).boxed()
    }

    /// Whether the partitions are sets of other partitions, which no state can be kept by.
    fn is_grouping(&self) -> bool {
        false
    }

    /// The names under which the router puts what it finds; empty where it cannot say.
    fn fields(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it adds to requests, so that a router around it would lose that.
    fn has_options(&self) -> bool {
        false
    }
}

/// Opens a `partition_router`: one, or a list of which every combination is read.
pub fn open(
    component: &Component<'_>,
    shared: &Arc<Shared>,
) -> Result<Box<dyn Router>, SourceError> {
    if let Some(list) = component.json().as_array() {
        let routers = list.iter().enumerate().map(|(index, json)| {
            let component = Component::new(json, format!("{}[{index}]", component.at));
            open(&component, shared)
        });
        let routers = routers.collect::<Result<_, _>>()?;
        return Ok(Box::new(product::ProductRouter { routers }));
    }
    Ok(match component.kind() {
        "ListPartitionRouter" => Box::new(list::ListRouter::open(component, &shared.scope)?),
        "SubstreamPartitionRouter" => {
            Box::new(substream::SubstreamRouter::open(component, shared)?)
        }
        "GroupingPartitionRouter" => {
            let child = component.need("underlying_partition_router")?;
            let child = open(&child, shared)?;
            Box::new(grouping::GroupingRouter::open(component, child)?)
        }
        "CustomPartitionRouter"
            if component.text("class_name") == Some("xetl.BucketPartitionRouter") =>
        {
            Box::new(bucket::BucketRouter::open(
                component,
                &shared.scope,
                shared.objects.clone(),
            )?)
        }
        "UnionPartitionRouter" => {
            let children = component.list("partition_routers")?;
            let children = children.iter().map(|child| open(child, shared));
            let children = children.collect::<Result<_, _>>()?;
            Box::new(union::UnionRouter::open(
                component,
                children,
                &shared.scope,
            )?)
        }
        _ => {
            return Err(component.unknown(
                "ListPartitionRouter, SubstreamPartitionRouter, GroupingPartitionRouter or UnionPartitionRouter",
            ));
        }
    })
}
