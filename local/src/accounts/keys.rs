//! Keys of service accounts, and the signed assertions that stand for a token.
//!
//! A private key is handed out once and not kept, as with Google.

use std::io;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::named;
use super::{Account, missing};
use crate::clock::now;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};

/// Google's limit for an account.
const MOST_KEYS: usize = 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    id: String,
    /// X.509, in base64.
    public: String,
    created: String,
}

/// The public halves, by `email/id`.
pub struct Keys {
    known: Collection<Key>,
}

impl Keys {
    pub fn open(store: &Store) -> io::Result<Keys> {
        Ok(Keys {
            known: store.collection("account-keys")?,
        })
    }

    fn of(&self, email: &str) -> Vec<Key> {
        let known = self.known.list(&format!("{email}/"));
        known.into_iter().map(|(_, key)| key).collect()
    }

    /// The account that signed this assertion, unless it is forged or over.
    pub fn signer(&self, assertion: &str) -> Option<String> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
        };
        let (header, claims) = (json(header)?, json(claims)?);
        let email = claims["iss"].as_str()?;
        let key = self
            .known
            .get(&format!("{email}/{}", header["kid"].as_str()?))?;
        let public = STANDARD.decode(&key.public).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?)
            .ok()?;
        let is_good =
            header["alg"] == "RS256" && Timestamp::now().as_second() < claims["exp"].as_i64()?;
        is_good.then(|| email.to_owned())
    }
}

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/serviceAccounts/{account}/keys";
    const ONE: &str = "/v1/projects/{project}/serviceAccounts/{account}/keys/{key}";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::DELETE, ONE, delete),
    ]
}

async fn create(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccountKeys.create")?;
    let keys = &cloud.accounts.keys;
    if keys.of(&account.email).len() >= MOST_KEYS {
        return Err(ApiError::failed_precondition(
            "Precondition check failed: the account has 10 keys already.",
        ));
    }
    let (pair, private) = generated()?;
    let key = Key {
        id: hex::encode(rand::random::<[u8; 20]>()),
        public: STANDARD.encode(pair),
        created: now(),
    };
    let file = credentials_file(&cloud.endpoint, &account, &key.id, &private);
    keys.known
        .put(&format!("{}/{}", account.email, key.id), key.clone())?;
    let mut shown = shown(&account, &key);
    shown["privateKeyType"] = "TYPE_GOOGLE_CREDENTIALS_FILE".into();
    shown["privateKeyData"] = STANDARD.encode(file.to_string()).into();
    Ok(Json(shown).into_response())
}

/// A public key in X.509 and its private one in PEM.
fn generated() -> Result<(Vec<u8>, String), ApiError> {
    let failed = |_| ApiError::internal("no key could be made");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
    let text = STANDARD.encode(private.as_ref());
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    Ok((public.as_ref().to_vec(), pem))
}

/// What Google's clients read as a key file.
fn credentials_file(endpoint: &str, account: &Account, id: &str, private: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": account.project_id,
        "private_key_id": id,
        "private_key": private,
        "client_email": account.email,
        "client_id": account.oauth2_client_id,
        "auth_uri": format!("{endpoint}/o/oauth2/auth"),
        "token_uri": format!("{endpoint}/token"),
        "universe_domain": "googleapis.com",
    })
}

fn shown(account: &Account, key: &Key) -> Value {
    json!({
        "name": format!("{}/keys/{}", account.name, key.id),
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        "validAfterTime": key.created,
        "validBeforeTime": "9999-12-31T23:59:59Z",
    })
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccountKeys.list")?;
    let keys = cloud.accounts.keys.of(&account.email);
    let keys: Vec<Value> = keys.iter().map(|key| shown(&account, key)).collect();
    Ok(Json(json!({ "keys": keys })).into_response())
}

fn found(cloud: &Cloud, request: &Request, permission: &str) -> Result<(Account, Key), ApiError> {
    let account = named(cloud, request, permission)?;
    let id = request.var("key");
    let key = cloud
        .accounts
        .keys
        .known
        .get(&format!("{}/{id}", account.email));
    key.map(|key| (account, key)).ok_or_else(|| missing(id))
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (account, key) = found(&cloud, &request, "iam.serviceAccountKeys.get")?;
    Ok(Json(shown(&account, &key)).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (account, key) = found(&cloud, &request, "iam.serviceAccountKeys.delete")?;
    let name = format!("{}/{}", account.email, key.id);
    cloud.accounts.keys.known.remove(&name)?;
    Ok(Json(json!({})).into_response())
}
