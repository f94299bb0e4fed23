//! Xero's sign-in: access tokens that live half an hour, refresh tokens that work once.
//!
//! Knows no clock and no HTTP: each question brings the time, in milliseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::clock::{DAY, SECOND};

pub const CLIENT_ID: &str = "sandbox";
pub const CLIENT_SECRET: &str = "sandbox-secret";
pub const FIRST_REFRESH_TOKEN: &str = "sandbox-refresh-0";
pub const TENANT_ID: &str = "70784a63-d24b-46a9-a4db-0e70a274b056";

pub const ACCESS_LIFE: i64 = 1800 * SECOND;
/// A used refresh token may be sent again for this long, as its answer may have been lost.
const GRACE: i64 = 1800 * SECOND;
const UNUSED_LIFE: i64 = 60 * DAY;

/// How the caller signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A custom connection: belongs to one organisation.
    ClientCredentials,
    /// An app a person let in: names the organisation on each call.
    RefreshToken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub grant: Grant,
    /// None when all scopes are granted.
    pub scopes: Option<Vec<String>>,
    pub expires: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Refresh {
    expires: i64,
    first_used: Option<i64>,
}

/// All tokens given out. Kept on disk between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    access: BTreeMap<String, Access>,
    refresh: BTreeMap<String, Refresh>,
}

/// What a sign-in gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub access: String,
    pub refresh: Option<String>,
    /// What was asked for, where something was.
    pub scope: Option<String>,
}

/// OAuth's error codes, always with status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("invalid_client")]
    Client,
    #[error("invalid_grant")]
    Grant,
    #[error("invalid_request")]
    Request,
    #[error("invalid_scope")]
    Scope,
    #[error("unsupported_grant_type")]
    GrantType,
}

impl Tokens {
    pub fn new(now: i64) -> Tokens {
        let mut tokens = Tokens {
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
        };
        tokens.keep_refresh(FIRST_REFRESH_TOKEN.to_string(), now);
        tokens
    }

    /// Answers a sign-in whose client is known; `form` is the request's body.
    pub fn issue(&mut self, form: &BTreeMap<String, String>, now: i64) -> Result<Issued, Refused> {
        self.forget(now);
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => self.connect(form.get("scope"), now),
            Some("refresh_token") => {
                let token = form.get("refresh_token").ok_or(Refused::Request)?;
                self.rotate(token, now)
            }
            _ => Err(Refused::GrantType),
        }
    }

    fn connect(&mut self, scope: Option<&String>, now: i64) -> Result<Issued, Refused> {
        let scopes = scope.map(|scope| read_scopes(scope)).transpose()?;
        let access = self.add_access(Grant::ClientCredentials, scopes, now);
        Ok(Issued {
            access,
            refresh: None,
            scope: scope.cloned(),
        })
    }

    fn rotate(&mut self, token: &str, now: i64) -> Result<Issued, Refused> {
        let known = self.refresh.get_mut(token).ok_or(Refused::Grant)?;
        let first_used = *known.first_used.get_or_insert(now);
        if now - first_used > GRACE {
            return Err(Refused::Grant);
        }
        let next = unguessable("refresh");
        self.keep_refresh(next.clone(), now);
        let access = self.add_access(Grant::RefreshToken, None, now);
        Ok(Issued {
            access,
            refresh: Some(next),
            scope: None,
        })
    }

    fn add_access(&mut self, grant: Grant, scopes: Option<Vec<String>>, now: i64) -> String {
        let token = unguessable("access");
        let expires = now + ACCESS_LIFE;
        self.access.insert(
            token.clone(),
            Access {
                grant,
                scopes,
                expires,
            },
        );
        token
    }

    fn keep_refresh(&mut self, token: String, now: i64) {
        let expires = now + UNUSED_LIFE;
        self.refresh.insert(
            token,
            Refresh {
                expires,
                first_used: None,
            },
        );
    }

    fn forget(&mut self, now: i64) {
        self.access.retain(|_, access| now < access.expires + DAY);
        self.refresh.retain(|_, refresh| now < refresh.expires);
    }

    /// The access a token gives; an old one is known, but `expires` has passed.
    pub fn access(&self, token: &str) -> Option<&Access> {
        self.access.get(token)
    }
}

impl Access {
    /// Whether one of the scopes, to read or to write, was granted.
    pub fn opens(&self, scopes: &[&str]) -> bool {
        let Some(granted) = &self.scopes else {
            return true;
        };
        granted
            .iter()
            .any(|scope| scopes.contains(&scope.strip_suffix(".read").unwrap_or(scope)))
    }
}

const SCOPE_AREAS: [&str; 4] = ["accounting.", "offline_access", "openid", "profile"];

fn read_scopes(text: &str) -> Result<Vec<String>, Refused> {
    let scopes: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    let known = |scope: &String| SCOPE_AREAS.iter().any(|area| scope.starts_with(area));
    if scopes.is_empty() || !scopes.iter().all(known) {
        return Err(Refused::Scope);
    }
    Ok(scopes)
}

fn unguessable(kind: &str) -> String {
    format!("sandbox-{kind}-{}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh(tokens: &mut Tokens, token: &str, now: i64) -> Result<Issued, Refused> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        tokens.issue(
            &form
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .into(),
            now,
        )
    }

    #[test]
    fn each_refresh_gives_another_refresh_token() {
        let mut tokens = Tokens::new(0);
        let first = refresh(&mut tokens, FIRST_REFRESH_TOKEN, 0).unwrap();
        let next = first.refresh.unwrap();
        assert_ne!(next, FIRST_REFRESH_TOKEN);
        assert!(refresh(&mut tokens, &next, 1).is_ok());
    }

    #[test]
    fn a_used_token_works_again_for_half_an_hour_only() {
        let mut tokens = Tokens::new(0);
        refresh(&mut tokens, FIRST_REFRESH_TOKEN, 0).unwrap();
        assert!(refresh(&mut tokens, FIRST_REFRESH_TOKEN, GRACE).is_ok());
        assert_eq!(
            refresh(&mut tokens, FIRST_REFRESH_TOKEN, GRACE + 1),
            Err(Refused::Grant)
        );
    }

    #[test]
    fn an_unused_token_dies_after_sixty_days() {
        let mut tokens = Tokens::new(0);
        assert_eq!(
            refresh(&mut tokens, FIRST_REFRESH_TOKEN, UNUSED_LIFE),
            Err(Refused::Grant)
        );
    }

    #[test]
    fn tokens_survive_being_written_down() {
        let mut tokens = Tokens::new(0);
        let next = refresh(&mut tokens, FIRST_REFRESH_TOKEN, 0)
            .unwrap()
            .refresh
            .unwrap();
        let mut read: Tokens =
            serde_json::from_str(&serde_json::to_string(&tokens).unwrap()).unwrap();
        assert!(refresh(&mut read, &next, 1).is_ok());
    }

    #[test]
    fn a_scope_opens_what_it_names() {
        let scopes = Some(vec!["accounting.invoices.read".to_string()]);
        let access = Access {
            grant: Grant::ClientCredentials,
            scopes,
            expires: 0,
        };
        assert!(access.opens(&["accounting.transactions", "accounting.invoices"]));
        assert!(!access.opens(&["accounting.journals"]));
    }

    #[test]
    fn a_scope_nobody_knows_is_refused() {
        assert_eq!(
            read_scopes("accounting.contacts files"),
            Err(Refused::Scope)
        );
    }
}
