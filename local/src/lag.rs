//! What is done shows only after a while, as Google's parts learn of each other by and by.
//!
//! `POST /_local/lag` asks for it, of new accounts, of APIs just enabled, of grants or of
//! new metrics, and of deletions: a name is free only after a while; `GET` tells what was asked for, `DELETE` has all show at once. It is
//! kept in memory only: a restart is time enough for anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

/// How long something new is not seen: so many looks, and so many seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    pub looks: u32,
    pub seconds: f64,
}

/// The lag of one sort of things, by their names.
#[derive(Debug, Default)]
pub struct Lag(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rule: Rule,
    hidden: HashMap<String, Hidden>,
}

#[derive(Debug)]
struct Hidden {
    looks: u32,
    until: Instant,
}

impl Lag {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, rule: Rule) {
        let mut state = self.state();
        state.rule = rule;
        state.hidden.clear();
    }

    fn rule(&self) -> Rule {
        self.state().rule
    }

    /// Something was made that is not seen at first.
    pub fn made(&self, name: &str) {
        let mut state = self.state();
        let Rule { looks, seconds } = state.rule;
        if state.rule != Rule::default() {
            let until = Instant::now() + Duration::try_from_secs_f64(seconds).unwrap_or_default();
            state
                .hidden
                .insert(name.to_owned(), Hidden { looks, until });
        }
    }

    /// Whether it is still not seen; this is no look.
    pub fn hides(&self, name: &str) -> bool {
        self.state().hidden.contains_key(name)
    }

    /// Whether it is seen by now; this is a look.
    pub fn shows(&self, name: &str) -> bool {
        let mut state = self.state();
        let Some(hidden) = state.hidden.get_mut(name) else {
            return true;
        };
        if hidden.looks == 0 && Instant::now() >= hidden.until {
            state.hidden.remove(name);
            return true;
        }
        hidden.looks = hidden.looks.saturating_sub(1);
        false
    }
}

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    of: Of,
    #[serde(default)]
    looks: u32,
    #[serde(default)]
    seconds: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    Accounts,
    Apis,
    Grants,
    Metrics,
    Deletions,
}

fn lag(cloud: &Cloud, of: Of) -> &Lag {
    match of {
        Of::Accounts => &cloud.accounts.lag,
        Of::Apis => &cloud.services.lag,
        Of::Grants => &cloud.policies.lag,
        Of::Metrics => &cloud.logs.metrics.lag,
        Of::Deletions => &cloud.deletions,
    }
}

pub fn routes() -> Vec<Route> {
    const PATH: &str = "/_local/lag";
    vec![
        Route::new(Method::POST, PATH, ask),
        Route::new(Method::GET, PATH, tell),
        Route::new(Method::DELETE, PATH, clear),
    ]
}

async fn ask(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let Asked { of, looks, seconds } = request.json().await?;
    if !(0.0..=3600.0).contains(&seconds) {
        return Err(ApiError::invalid("`seconds` must be from 0 to 3600"));
    }
    lag(&cloud, of).set(Rule { looks, seconds });
    tell(cloud, request).await
}

async fn tell(cloud: Arc<Cloud>, _: Request) -> Reply {
    let rule = |of| lag(&cloud, of).rule();
    let rules = json!({
        "accounts": rule(Of::Accounts), "apis": rule(Of::Apis), "grants": rule(Of::Grants),
        "metrics": rule(Of::Metrics),
        "deletions": rule(Of::Deletions),
    });
    Ok(Json(rules).into_response())
}

async fn clear(cloud: Arc<Cloud>, request: Request) -> Reply {
    for of in [
        Of::Accounts,
        Of::Apis,
        Of::Grants,
        Of::Metrics,
        Of::Deletions,
    ] {
        lag(&cloud, of).set(Rule::default());
    }
    tell(cloud, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_shows_after_some_looks() {
        let lag = Lag::default();
        lag.set(Rule {
            looks: 2,
            seconds: 0.0,
        });
        lag.made("a");
        assert_eq!([(); 4].map(|()| lag.shows("a")), [false, false, true, true]);
        assert!(lag.shows("made before"));
    }

    #[test]
    fn without_lag_all_shows_at_once() {
        let lag = Lag::default();
        lag.made("a");
        assert!(lag.shows("a"));
    }
}
