//! What an execution is to do, checked before anything runs.

use jiff::Timestamp;
use xetl_runtime::options::Mode;
use xetl_runtime::range::RangeArgs;

use crate::config::Pipeline;
use crate::failure::{Failure, Kind};

/// What an execution is to do: a pipeline as it is, or some of its streams, or a range of
/// these, or all of it anew.
pub struct Order<'p> {
    pub pipeline: &'p Pipeline,
    streams: Vec<String>,
    range: RangeArgs,
    full_refresh: bool,
    /// Whether kept pages of that range of time are loaded again.
    replay: bool,
    /// Tasks that share the work, instead of the job's own number.
    pub tasks: Option<u32>,
}

impl<'p> Order<'p> {
    /// All of a pipeline.
    pub fn whole(pipeline: &'p Pipeline) -> Order<'p> {
        Order {
            pipeline,
            streams: Vec::new(),
            range: RangeArgs::default(),
            full_refresh: false,
            replay: false,
            tasks: None,
        }
    }

    /// Some streams, and a range of them where one is asked for.
    pub fn new(
        pipeline: &'p Pipeline,
        streams: &[String],
        range: &RangeArgs,
    ) -> Result<Order<'p>, Failure> {
        let streams = streams.iter().map(|name| known(pipeline, name));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        let usage = |error: &dyn std::error::Error| Failure::of(Kind::Usage, error);
        let asked = range
            .range(Timestamp::now())
            .map_err(|error| usage(&error))?;
        if asked.is_some() {
            streams
                .iter()
                .try_for_each(|name| has_range(pipeline, name))?;
        }
        Ok(Order {
            pipeline,
            streams,
            range: range.clone(),
            full_refresh: false,
            replay: false,
            tasks: None,
        })
    }

    /// Kept pages of streams, of the runs in a range of time.
    pub fn replay(
        pipeline: &'p Pipeline,
        streams: &[String],
        range: &RangeArgs,
    ) -> Result<Order<'p>, Failure> {
        let order = Order::new(pipeline, streams, &RangeArgs::default())?;
        let asked = range.range(Timestamp::now());
        asked.map_err(|error| Failure::of(Kind::Usage, &error))?;
        Ok(Order {
            range: range.clone(),
            replay: true,
            ..order
        })
    }

    /// A range of the named streams, or of all that have one; and the names of the others.
    pub fn backfill(
        pipeline: &'p Pipeline,
        streams: &[String],
        range: &RangeArgs,
    ) -> Result<(Order<'p>, Vec<String>), Failure> {
        let all = pipeline.stream_names();
        let (fit, others): (Vec<String>, Vec<String>) = match streams.is_empty() {
            false => (streams.to_vec(), Vec::new()),
            true => all
                .into_iter()
                .partition(|name| has_range(pipeline, name).is_ok()),
        };
        if fit.is_empty() {
            let sentence = "no stream of the pipeline can be read by time";
            return Err(Failure::new(Kind::Usage, sentence)
                .hint("name one with --stream to hear why, or load all with `xetl run`"));
        }
        Ok((Order::new(pipeline, &fit, range)?, others))
    }

    /// All of it read anew, instead of what is new.
    pub fn refreshed(mut self, full_refresh: bool) -> Order<'p> {
        self.full_refresh = full_refresh;
        self
    }

    /// Instead of the job's own arguments; `None` leaves them as they are.
    pub fn arguments(&self) -> Option<Vec<String>> {
        if self.streams.is_empty() && !self.full_refresh {
            return None;
        }
        let mut arguments = vec!["run".to_owned()];
        for stream in &self.streams {
            arguments.extend(["--stream".to_owned(), stream.clone()]);
        }
        arguments.extend(self.range.arguments());
        if self.replay {
            arguments.push("--replay".to_owned());
        }
        if self.full_refresh {
            arguments.push("--full-refresh".to_owned());
        }
        Some(arguments)
    }
}

/// The stream meant by `name`: of that name, or its plural.
fn known(pipeline: &Pipeline, name: &str) -> Result<String, Failure> {
    let known = pipeline.known_streams();
    let named = |name: &str| known.iter().any(|stream| stream == name);
    // A manifest may make its streams while it runs.
    if known.is_empty() || named(name) || pipeline.manifest.has_dynamic_streams() {
        return Ok(name.to_owned());
    }
    let plurals = [
        format!("{name}s"),
        format!("{}ies", name.trim_end_matches('y')),
    ];
    match plurals.into_iter().find(|plural| named(plural)) {
        Some(plural) => Ok(plural),
        None => {
            let sentence = format!("source `{}` has no stream `{name}`", pipeline.source);
            Err(Failure::new(Kind::Usage, sentence)
                .hint(format!("its streams: {}", known.join(", "))))
        }
    }
}

/// That a range of the stream can be read, and would not replace its table by a part.
fn has_range(pipeline: &Pipeline, name: &str) -> Result<(), Failure> {
    let options = pipeline.streams.get(name);
    if options.is_some_and(|options| options.mode == Some(Mode::Overwrite)) {
        let sentence =
            format!("a range of stream `{name}` would replace its table by a part of it");
        return Err(Failure::new(Kind::Usage, sentence).hint(
            "it is loaded with mode `overwrite`; leave --from and --to out, or take mode `merge` or `append`",
        ));
    }
    let by_time = pipeline
        .manifest
        .reads_by_time(&pipeline.config, name)
        .map_err(|error| Failure::of(Kind::Usage, &error))?;
    if by_time == Some(false) {
        let sentence =
            format!("stream `{name}` has no cursor over time, so no range of it can be read");
        return Err(Failure::new(Kind::Usage, sentence)
            .hint("leave --from and --to out: it is always read whole"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use std::time::Duration;
    use xetl_runtime::options::StreamOptions;

    use super::*;
    use crate::config::Manifest;

    fn pipeline() -> Pipeline {
        let manifest = json!({"version": "7.0.0", "type": "DeclarativeSource", "streams": [
            {"type": "DeclarativeStream", "name": "leads", "incremental_sync": {"type": "DatetimeBasedCursor"}},
            {"type": "DeclarativeStream", "name": "opportunities", "incremental_sync": {"type": "DatetimeBasedCursor"}},
            {"type": "DeclarativeStream", "name": "users"},
        ]});
        let options = StreamOptions {
            mode: Some(Mode::Overwrite),
            ..StreamOptions::default()
        };
        Pipeline {
            name: "close".to_owned(),
            source: "close".to_owned(),
            manifest: Manifest(manifest.into()),
            config: serde_json::Map::new(),
            secrets: Vec::new(),
            schedule: None,
            dataset: "acme_close".to_owned(),
            tasks: 1,
            cpu: 1,
            memory: "512Mi".to_owned(),
            timeout: Duration::from_secs(60),
            missed_after: None,
            retries: 1,
            parallelism: 1,
            env: Default::default(),
            labels: Default::default(),
            vpc: None,
            warehouse: Default::default(),
            streams: [("opportunities".to_owned(), options)].into(),
            models: Vec::new(),
            on_overlap: Default::default(),
            keep_raw: false,
            specification: json!({}),
        }
    }

    fn ordered(
        streams: &[&str],
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let pipeline = pipeline();
        let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
        let range = RangeArgs {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        match Order::new(&pipeline, &streams, &range) {
            Ok(order) => Ok(order.arguments().unwrap_or_default()),
            Err(failure) => Err(format!(
                "{} ({})",
                failure.sentence,
                failure.hint.unwrap_or_default()
            )),
        }
    }

    #[test]
    fn streams_and_a_range_replace_the_jobs_arguments() {
        assert!(ordered(&[], None, None).unwrap().is_empty());
        assert_eq!(
            ordered(&["leads", "users"], None, None).unwrap(),
            ["run", "--stream", "leads", "--stream", "users"]
        );
        assert_eq!(
            ordered(&["lead"], Some("2025-06-01"), Some("2025-06-30")).unwrap(),
            [
                "run",
                "--stream",
                "leads",
                "--from",
                "2025-06-01",
                "--to",
                "2025-06-30"
            ]
        );
    }

    #[test]
    fn a_full_refresh_is_of_all_or_of_some() {
        let pipeline = pipeline();
        let whole = Order::whole(&pipeline).refreshed(true);
        assert_eq!(whole.arguments().unwrap(), ["run", "--full-refresh"]);
        let range = RangeArgs::default();
        let some = Order::new(&pipeline, &["lead".to_owned()], &range).unwrap();
        assert_eq!(
            some.refreshed(true).arguments().unwrap(),
            ["run", "--stream", "leads", "--full-refresh"]
        );
    }

    #[test]
    fn a_replay_needs_no_cursor_over_time() {
        let pipeline = pipeline();
        let range = RangeArgs {
            from: Some("2025-06-01".to_owned()),
            to: None,
        };
        let order = Order::replay(&pipeline, &["user".to_owned()], &range).unwrap();
        assert_eq!(
            order.arguments().unwrap(),
            [
                "run",
                "--stream",
                "users",
                "--from",
                "2025-06-01",
                "--replay"
            ]
        );
        let range = RangeArgs {
            from: Some("yesterday".to_owned()),
            to: None,
        };
        assert!(Order::replay(&pipeline, &["user".to_owned()], &range).is_err());
    }

    #[test]
    fn a_backfill_is_of_the_streams_that_can_be_read_by_time() {
        let mut pipeline = pipeline();
        pipeline.streams.clear();
        let range = RangeArgs {
            from: Some("2025-06-01".to_owned()),
            to: None,
        };
        let (order, others) = Order::backfill(&pipeline, &[], &range).unwrap();
        assert_eq!(order.streams, ["leads", "opportunities"]);
        assert_eq!(others, ["users"]);
        assert!(Order::backfill(&pipeline, &["users".to_owned()], &range).is_err());
    }

    #[test]
    fn what_cannot_be_ordered_is_said_before_anything_runs() {
        let refused = |streams: &[&str]| ordered(streams, Some("2025-06-01"), None).unwrap_err();
        insta::assert_snapshot!(refused(&["lead", "x"]), @"source `close` has no stream `x` (its streams: leads, opportunities, users)");
        insta::assert_snapshot!(refused(&["user"]), @"stream `users` has no cursor over time, so no range of it can be read (leave --from and --to out: it is always read whole)");
        insta::assert_snapshot!(refused(&["opportunity"]), @"a range of stream `opportunities` would replace its table by a part of it (it is loaded with mode `overwrite`; leave --from and --to out, or take mode `merge` or `append`)");
        insta::assert_snapshot!(ordered(&["lead"], Some("1.6."), None).unwrap_err(), @"--from is `1.6.`; give a day as 2025-06-30 or a moment as 2025-06-30T12:00:00Z ()");
    }
}
