//! Who calls: the local user, or a service account by a token issued here.
//!
//! A token names its account and ends with an HMAC under a key that stays in
//! the store, so a token outlives a restart and none can be made up.

use std::fs;
use std::io;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::error::ApiError;
use crate::store::Store;

/// The bearer token of the person at the keyboard.
pub const USER_TOKEN: &str = "local-user";
/// How long a token is good, as on Google's metadata server.
pub const TOKEN_SECONDS: i64 = 3600;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Owns every project here.
    User,
    /// Has what its roles give it.
    ServiceAccount(String),
    /// Sent no credentials, as Google's clients do under anonymous ones; treated as the user.
    Anonymous,
}

impl Caller {
    /// The caller's email.
    pub fn email(&self) -> &str {
        match self {
            Caller::User | Caller::Anonymous => "local-user@localhost",
            Caller::ServiceAccount(email) => email,
        }
    }

    /// The caller as policies write it.
    pub fn member(&self) -> String {
        match self {
            Caller::User | Caller::Anonymous => format!("user:{}", self.email()),
            Caller::ServiceAccount(email) => format!("serviceAccount:{email}"),
        }
    }
}

/// Issues tokens and tells who sent one.
pub struct Identity {
    key: Vec<u8>,
    /// `127.0.0.1:PORT`.
    host: String,
}

impl Identity {
    pub fn open(store: &Store, endpoint: &str) -> io::Result<Identity> {
        let path = store.folder("identity")?.join("key");
        let key = match fs::read(&path) {
            Ok(key) if key.len() == 32 => key,
            // Without a whole key no token is out there that could still count.
            _ => {
                let key: [u8; 32] = rand::random();
                fs::write(&path, key)?;
                key.to_vec()
            }
        };
        let host = endpoint.trim_start_matches("http://").to_owned();
        Ok(Identity { key, host })
    }

    /// Who sent these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let Some(value) = headers.get("authorization") else {
            return Ok(Caller::Anonymous);
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        token.and_then(|token| self.bearer(token)).ok_or_else(|| {
            ApiError::unauthenticated(
                "Request had invalid authentication credentials. The local cloud takes the \
                     token `local-user` and the tokens of its own metadata server.",
            )
        })
    }

    /// Who holds this bearer token, unless it is unknown or has expired.
    pub fn bearer(&self, token: &str) -> Option<Caller> {
        if token == USER_TOKEN {
            return Some(Caller::User);
        }
        let text = self.verify("token", token)?;
        let (email, expires) = text.rsplit_once('|')?;
        let expires: i64 = expires.parse().ok()?;
        (Timestamp::now().as_second() < expires).then(|| Caller::ServiceAccount(email.to_owned()))
    }

    /// An access token for an account, good for [`TOKEN_SECONDS`].
    pub fn token(&self, email: &str) -> String {
        let expires = Timestamp::now().as_second() + TOKEN_SECONDS;
        self.sign("token", &format!("{email}|{expires}"))
    }

    /// What `GCE_METADATA_HOST` holds for a task that runs as `email`.
    pub fn metadata_host(&self, email: &str) -> String {
        format!("{}/metadata/{}", self.host, self.sign("metadata", email))
    }

    /// The account a metadata path belongs to.
    pub fn metadata_account(&self, id: &str) -> Option<String> {
        self.verify("metadata", id)
    }

    fn sign(&self, purpose: &str, text: &str) -> String {
        let tag = self.mac(purpose, text).finalize().into_bytes();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(text),
            URL_SAFE_NO_PAD.encode(tag)
        )
    }

    fn verify(&self, purpose: &str, signed: &str) -> Option<String> {
        let (text, tag) = signed.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(purpose, &text).verify_slice(&tag).ok()?;
        Some(text)
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(folder: &tempfile::TempDir) -> Identity {
        let store = Store::open(folder.path()).unwrap();
        Identity::open(&store, "http://127.0.0.1:1").unwrap()
    }

    #[test]
    fn a_token_names_its_account_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let token = identity(&folder).token("a@p.iam.gserviceaccount.com");
        assert_eq!(
            identity(&folder).bearer(&token),
            Some(Caller::ServiceAccount("a@p.iam.gserviceaccount.com".into()))
        );
    }

    #[test]
    fn a_changed_token_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let identity = identity(&folder);
        let token = identity.token("a@p.iam.gserviceaccount.com");
        let (_, tag) = token.split_once('.').unwrap();
        let forged = format!("{}.{tag}", URL_SAFE_NO_PAD.encode("b@p|9999999999"));
        assert_eq!(identity.bearer(&forged), None);
        assert_eq!(identity.bearer("something"), None);
    }

    #[test]
    fn a_metadata_id_is_no_access_token() {
        let folder = tempfile::tempdir().unwrap();
        let identity = identity(&folder);
        let host = identity.metadata_host("a@p|9999999999");
        let id = host.strip_prefix("127.0.0.1:1/metadata/").unwrap();
        assert_eq!(identity.bearer(id), None);
        assert_eq!(
            identity.metadata_account(id).as_deref(),
            Some("a@p|9999999999")
        );
    }
}
