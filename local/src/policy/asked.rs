//! Which permissions each service account needed for what it did, so that a test can compare
//! them with what is documented. `GET /_local/permissions` tells, `DELETE` forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;

use crate::cloud::Cloud;
use crate::identity::Caller;
use crate::router::{Reply, Request, Route};

type ByAccount = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default)]
pub struct Asked {
    by_account: Mutex<ByAccount>,
}

impl Asked {
    pub fn note(&self, caller: &Caller, permission: &str) {
        if let Caller::ServiceAccount(email) = caller {
            let mut all = self.lock();
            let of_account = all.entry(email.clone()).or_default();
            of_account.insert(permission.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByAccount> {
        self.by_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn routes() -> Vec<Route> {
    const PATH: &str = "/_local/permissions";
    vec![
        Route::new(Method::GET, PATH, tell),
        Route::new(Method::DELETE, PATH, forget),
    ]
}

async fn tell(cloud: Arc<Cloud>, _: Request) -> Reply {
    let asked = cloud.policies.asked.lock().clone();
    Ok(Json(asked).into_response())
}

async fn forget(cloud: Arc<Cloud>, request: Request) -> Reply {
    cloud.policies.asked.lock().clear();
    tell(cloud, request).await
}
