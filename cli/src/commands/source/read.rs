//! `xetl source read`: a stream's requests, replies and records, for who writes a manifest.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;
use serde_json::{Value, json};
use xetl_runtime::read::read_states;
use xetl_runtime::source::{Exchange, Seen, Wanted};
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
type Waiting = Arc<Mutex<Vec<Seen>>>;

pub async fn run(context: &Context, view: &mut View, args: &ReadArgs) -> Result<(), Failure> {
    let waiting = Waiting::default();
    let sink = waiting.clone();
    let watcher = move |seen| lock(&sink).push(seen);
    let wanted = Wanted {
        skip_unsupported: args.skip_unsupported,
        ..Wanted::named(&args.streams)
    };
    let opened = args.trial.open(context, &wanted, Some(Arc::new(watcher)));
    let source = opened.await?;
    if source.streams().is_empty() {
        let failure = Failure::new(Kind::Usage, "there is no stream to read");
        return Err(failure.hint(args.trial.hint()));
    }
    let states = match &args.state {
        Some(path) => read_states(path).map_err(|error| Failure::of(Kind::Usage, &error))?,
        None => Default::default(),
    };
    let mut trial = Trial {
        view,
        waiting,
        last: None,
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

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, Vec<Seen>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Trial<'v> {
    view: &'v mut View,
    waiting: Waiting,
    /// The last exchange: it knows every secret so far.
    last: Option<Seen>,
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
                    let record = self.masked(record.to_json());
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
        let new = std::mem::take(&mut *lock(&self.waiting));
        for seen in new {
            let exchange = seen.exchange();
            if !self.view.is_json() {
                self.view.exchange(&exchange)?;
            }
            all.push(exchange);
            self.last = Some(seen);
        }
        Ok(())
    }

    /// A record without secrets; a source may send back what it was asked with.
    fn masked(&self, record: Value) -> Value {
        let Some(last) = &self.last else {
            return record;
        };
        let text = record.to_string();
        let clean = last.clean(&text);
        match clean == text {
            true => record,
            false => serde_json::from_str(&clean).unwrap_or(Value::String(clean)),
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.view.is_json() {
            self.view.json(&self.told)?;
        }
        Ok(())
    }
}
