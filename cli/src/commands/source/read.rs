//! `xetl source read`: a stream's requests, replies and records, for who writes a manifest.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use serde_json::{Value, json};
use xetl_runtime::read::read_states;
use xetl_runtime::source::{Exchange, Wanted};
use xetl_runtime::stream::{State, Stream};

use super::trial::{TrialArgs, trouble};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::view::View;

/// Read some records of a source, showing its requests and replies with secrets masked
#[derive(clap::Args, Debug)]
pub struct ReadArgs {
    #[command(flatten)]
    trial: TrialArgs,
    /// Read only this stream (may be given again)
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    /// Records to read of each stream
    #[arg(long, default_value_t = 5, value_name = "N")]
    limit: usize,
    /// State of an earlier read: a list of stream states as Airbyte writes it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Leave out streams that cannot run here
    #[arg(long)]
    skip_unsupported: bool,
}

/// Exchanges that were not shown yet.
type Seen = Arc<Mutex<Vec<Exchange>>>;

pub async fn run(context: &Context, view: &mut View, args: &ReadArgs) -> Result<(), Failure> {
    let seen = Seen::default();
    let sink = seen.clone();
    let watcher = move |exchange| lock(&sink).push(exchange);
    let wanted = Wanted {
        skip_unsupported: args.skip_unsupported,
        ..Wanted::named(&args.streams)
    };
    let opened = args.trial.open(context, &wanted, Some(Arc::new(watcher)));
    let source = opened.await?;
    let states = match &args.state {
        Some(path) => read_states(path).map_err(|error| Failure::of(Kind::Usage, &error))?,
        None => Default::default(),
    };
    let mut trial = Trial {
        view,
        seen,
        told: Vec::new(),
    };
    let mut failed = Vec::new();
    for stream in source.streams() {
        let name = &stream.info().name;
        let state = states.get(name).cloned().unwrap_or(State::Null);
        if let Err(failure) = trial.read(stream.as_ref(), &state, args.limit).await {
            trial.view.note(format!("{name}: {}", failure.sentence));
            failed.push((name.clone(), failure));
        }
    }
    trial.finish()?;
    match (failed.len(), failed.pop()) {
        (1, Some((_, failure))) if source.streams().len() == 1 => Err(failure),
        (count @ 1.., _) => {
            let sentence = format!("{count} of {} streams failed", source.streams().len());
            Err(Failure::new(Kind::Failed, sentence))
        }
        _ => Ok(()),
    }
}

fn lock(seen: &Seen) -> std::sync::MutexGuard<'_, Vec<Exchange>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Trial<'v> {
    view: &'v mut View,
    seen: Seen,
    /// What was read, where it is shown as one JSON document in the end.
    told: Vec<Value>,
}

impl Trial<'_> {
    async fn read(
        &mut self,
        stream: &dyn Stream,
        state: &State,
        limit: usize,
    ) -> Result<(), Failure> {
        let name = &stream.info().name;
        let mut exchanges = Vec::new();
        let mut records = Vec::new();
        let read = self.pages(stream, state, limit, &mut exchanges, &mut records);
        let result = read.await;
        self.exchanges(&mut exchanges)?;
        if self.view.is_json() {
            self.told.push(json!({
                "stream": name,
                "exchanges": exchanges,
                "records": records,
                "error": result.as_ref().err().map(|failure: &Failure| &failure.sentence),
            }));
        }
        result
    }

    async fn pages(
        &mut self,
        stream: &dyn Stream,
        state: &State,
        limit: usize,
        exchanges: &mut Vec<Exchange>,
        records: &mut Vec<Value>,
    ) -> Result<(), Failure> {
        let name = &stream.info().name;
        let mut slices = stream.slices(state);
        loop {
            let slice = slices.try_next().await;
            self.exchanges(exchanges)?;
            let Some(slice) = slice.map_err(|error| trouble(&error))? else {
                return Ok(());
            };
            let mut pages = stream.pages(&slice);
            loop {
                let page = pages.try_next().await;
                self.exchanges(exchanges)?;
                let Some(page) = page.map_err(|error| trouble(&error))? else {
                    break;
                };
                for record in page.records {
                    if records.len() == limit {
                        return Ok(());
                    }
                    let record = record.to_json();
                    if !self.view.is_json() {
                        self.view.record(name, &record)?;
                    }
                    records.push(record);
                }
                if records.len() == limit {
                    return Ok(());
                }
            }
        }
    }

    /// Shows what went to and fro since the last time.
    fn exchanges(&mut self, all: &mut Vec<Exchange>) -> Result<(), Failure> {
        let new = std::mem::take(&mut *lock(&self.seen));
        for exchange in new {
            if !self.view.is_json() {
                self.view.exchange(&exchange)?;
            }
            all.push(exchange);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.view.is_json() {
            self.view.json(&self.told)?;
        }
        Ok(())
    }
}
