//! What a run stands on: arguments, environment, bundle, and the signal to stop.

use jiff::Timestamp;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::bundle::Bundle;
use crate::google::Google;
use crate::range::Range;
use crate::settings::{self, SettingsError};
use crate::task::Task;

use super::{RunArgs, RunError};

/// What a run stands on, once settings and credentials are read.
pub struct Setup {
    pub google: Google,
    pub bundle: Bundle,
    /// The password of the state database; empty where there is none.
    pub state_password: SecretString,
    pub run: String,
    pub task: Task,
    /// Streams to load; empty for the bundle's.
    pub streams: Vec<String>,
    /// The only time to read of them, where one is asked for.
    pub range: Option<Range>,
    /// When the pages were read that are loaded again, where that is asked for.
    pub replay: Option<Range>,
    /// Whether all is read anew and replaces what is in the tables.
    pub full_refresh: bool,
    /// Whether streams that cannot run are left out.
    pub skip_unsupported: bool,
    pub stop: CancellationToken,
}

impl Setup {
    /// The streams that are asked for; none for all of the source's.
    pub(super) fn wanted(&self) -> Vec<String> {
        match self.streams.is_empty() {
            false => self.streams.clone(),
            true => self.bundle.streams.keys().cloned().collect(),
        }
    }
}

/// Settings and credentials of this process.
pub async fn setup(args: RunArgs) -> Result<Setup, RunError> {
    let range = args.range.range(Timestamp::now())?;
    let (range, replay) = match args.replay {
        true => (None, range),
        false => (range, None),
    };
    let at = args
        .bundle
        .filter(|at| !at.is_empty())
        .ok_or(SettingsError::NoBundle)?;
    let env = |name: &str| std::env::var(name).ok();
    let google = Google::from_environment()?;
    let bundle = settings::bundle(&google, &at).await?;
    Ok(Setup {
        google,
        state_password: settings::state_password(&bundle.state, env)?,
        bundle,
        run: settings::run_id(env),
        task: settings::task(env),
        streams: args.streams,
        range,
        replay,
        full_refresh: args.full_refresh,
        skip_unsupported: args.skip_unsupported,
        stop: CancellationToken::new(),
    })
}

/// Cloud Run tells a task to end (timeout, cancel) with SIGTERM, and kills it 10 s later.
pub fn stop_on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::warn!("told to stop: no more pages are taken, finished slices are committed");
        stop.cancel();
    });
}
