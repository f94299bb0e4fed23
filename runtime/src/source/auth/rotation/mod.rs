//! Interchangeable tokens: each request goes with one that has calls left.
//!
//! How many are left is asked once for each token, told by replies, and asked again after a wait;
//! `quota` decides.

mod quota;
mod settings;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::source::budget::Call;
use crate::source::component::Component;
use crate::source::moment::Moment;
use crate::source::request::Options;
use crate::source::requester::{Requester, bare};
use crate::source::response::Response;
use crate::source::shared::{PARK_AFTER_BUDGET, Shared};
use crate::stream::SourceError;
use crate::value::Value;
use quota::{Quota, Quotas, Turn};
use settings::Settings;

pub struct Rotation {
    settings: Settings,
    status: Requester,
    quotas: Mutex<Option<Quotas>>,
}

impl Rotation {
    /// One for equal definitions, so that all streams count in the same quotas.
    pub fn open(
        component: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Arc<Rotation>, SourceError> {
        let settings = Settings::open(component, &shared.scope)?;
        let known = || {
            let rotations = shared.rotations.lock();
            rotations.unwrap_or_else(PoisonError::into_inner)
        };
        let same = |rotation: &&Arc<Rotation>| rotation.settings.is(&settings);
        if let Some(found) = known().iter().find(same) {
            return Ok(found.clone());
        }
        for token in &settings.tokens {
            shared.redactor.hide(token.expose_secret());
        }
        let status = Component::new(&settings.status, component.at.clone());
        let rotation = Arc::new(Rotation {
            status: Requester::open(&status, shared)?,
            settings,
            quotas: Mutex::default(),
        });
        known().push(rotation.clone());
        Ok(rotation)
    }

    /// The header's name and value for this call, which is counted, once a token has one left;
    /// boxed, as the quotas are asked for by a request that may have an authenticator.
    pub fn take<'a>(
        &'a self,
        call: Call<'a>,
        shared: &'a Shared,
    ) -> BoxFuture<'a, Result<(String, String), SourceError>> {
        async move {
            let (pool, began) = (self.settings.pool(call), Instant::now());
            loop {
                let patience = self.settings.patience.saturating_sub(began.elapsed());
                match self.turn(pool, patience, shared).await? {
                    Turn::Token(token, pause) => {
                        tokio::time::sleep(pause).await;
                        let value = self.settings.value(token);
                        return Ok((self.settings.header.clone(), value));
                    }
                    Turn::Wait(wait) if wait <= PARK_AFTER_BUDGET => {
                        self.wait(pool, wait, shared).await?;
                    }
                    Turn::Wait(wait) | Turn::Spent(wait) => {
                        return Err(SourceError::Parked { retry_after: wait });
                    }
                }
            }
        }
        .boxed()
    }

    async fn turn(
        &self,
        pool: usize,
        patience: Duration,
        shared: &Shared,
    ) -> Result<Turn, SourceError> {
        let mut held = self.quotas.lock().await;
        let quotas = match held.as_mut() {
            Some(quotas) => quotas,
            None => held.insert(Quotas::new(self.ask(shared).await?, self.settings.reserve)),
        };
        Ok(quotas.take(pool, Moment::now(), patience))
    }

    /// Waits for the window's end, and asks what is left unless another has by then.
    async fn wait(&self, pool: usize, wait: Duration, shared: &Shared) -> Result<(), SourceError> {
        let seconds = wait.as_secs_f64();
        tracing::info!(seconds, "all tokens are spent: waiting for one");
        tokio::time::sleep(wait).await;
        let mut held = self.quotas.lock().await;
        if let Some(quotas) = held.as_mut().filter(|quotas| quotas.is_spent(pool)) {
            quotas.renew(self.ask(shared).await?);
        }
        Ok(())
    }

    /// Takes a reply's word for what the token it was asked with has left.
    pub async fn learn(&self, call: Call<'_>, response: &Response) {
        let pool = self.settings.pool(call);
        let report = self.settings.pools[pool].report(response);
        let mut held = self.quotas.lock().await;
        if let (Some(quotas), Some(token)) = (held.as_mut(), self.settings.token(call)) {
            quotas.learn(token, pool, report);
        }
    }

    /// Whether the token of this call is spent while another is not.
    pub async fn has_other(&self, call: Call<'_>) -> bool {
        let pool = self.settings.pool(call);
        let held = self.quotas.lock().await;
        match (held.as_ref(), self.settings.token(call)) {
            (Some(quotas), Some(token)) => quotas.has_other(token, pool),
            _ => false,
        }
    }

    /// What the source says of each token.
    async fn ask(&self, shared: &Shared) -> Result<Vec<Vec<Quota>>, SourceError> {
        let mut states = Vec::new();
        for token in 0..self.settings.tokens.len() {
            let mut options = Options::default();
            let value = Value::String(self.settings.value(token));
            options.headers.insert(self.settings.header.clone(), value);
            let scope = bare(&shared.scope);
            let response = self.status.send(&scope, None, vec![options]).await?;
            states.push(self.settings.read(&response)?);
        }
        Ok(states)
    }
}
