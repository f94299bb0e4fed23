//! Who signs in to a registry, as Docker's `config.json` has it.
//!
//! The one place of `image` that reads that file and starts programs: credential helpers, which
//! keep passwords in a keychain or ask a cloud for them. What they answer is never shown.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::auth::{Basic, Login};

/// Docker Hub is kept under an address of its own.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// A helper may ask the person, but not forever.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot read `{path}`")]
    Read { path: String, source: io::Error },
    #[error("`{path}` is no config of Docker: {problem}")]
    NoConfig { path: String, problem: String },
    #[error("cannot start `{program}`, which `{path}` names for {host}")]
    Start {
        program: String,
        path: String,
        host: String,
        source: io::Error,
    },
    #[error("`{program}` gave no credentials for {host}: {problem}")]
    Helper {
        program: String,
        host: String,
        problem: String,
    },
}

/// What of `config.json` says who signs in.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    #[serde(deserialize_with = "null_as_none")]
    auths: BTreeMap<String, Entry>,
    #[serde(deserialize_with = "null_as_none")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<SecretString>,
    /// In place of `auth`, as Kubernetes and podman's kin write it.
    username: Option<String>,
    password: Option<SecretString>,
    #[serde(rename = "identitytoken")]
    identity: Option<SecretString>,
    /// Sent to the registry as it is.
    #[serde(rename = "registrytoken")]
    bearer: Option<SecretString>,
}

/// Go writes an empty map as `null`.
fn null_as_none<'d, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'d>,
    T: Default + Deserialize<'d>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: SecretString,
}

/// Where a login comes from.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// `docker-credential-NAME`, asked for this server.
    Helper {
        name: String,
        server: String,
    },
    Entry(String),
    Nowhere,
}

/// The login for a registry by Docker's config; anonymous where it has none.
pub async fn docker_login(host: &str) -> Result<Login, CredentialsError> {
    let Some(path) = config_file().filter(|path| path.is_file()) else {
        return Ok(Login::Anonymous);
    };
    let shown = path.display().to_string();
    let text = std::fs::read(&path).map_err(|source| CredentialsError::Read {
        path: shown.clone(),
        source,
    })?;
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| CredentialsError::NoConfig {
            // The line and the column; its words could hold a password.
            problem: format!("line {}, column {}", error.line(), error.column()),
            path: shown.clone(),
        })?;
    match config.origin(host) {
        Origin::Nowhere => Ok(Login::Anonymous),
        Origin::Entry(key) => Ok(config
            .auths
            .get(&key)
            .map_or(Login::Anonymous, Entry::login)),
        Origin::Helper { name, server } => ask(&shown, host, &name, &server).await,
    }
}

fn config_file() -> Option<PathBuf> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".docker")));
    Some(folder?.join("config.json"))
}

impl Config {
    /// A registry's own helper goes before its entry, and the store for all comes last.
    fn origin(&self, host: &str) -> Origin {
        let server = match is_docker_hub(host) {
            true => DOCKER_HUB,
            false => host,
        };
        let helper = |name: &String| Origin::Helper {
            name: name.clone(),
            server: server.to_owned(),
        };
        if let Some(name) = self.cred_helpers.get(host) {
            return helper(name);
        }
        let entry = self.auths.iter().find(|(key, _)| serves(key, host));
        match (entry, &self.creds_store) {
            (Some((key, entry)), _) if entry.has_login() => Origin::Entry(key.clone()),
            (_, Some(store)) => helper(store),
            _ => Origin::Nowhere,
        }
    }
}

impl Entry {
    fn has_login(&self) -> bool {
        let tokens = [&self.auth, &self.identity, &self.bearer];
        tokens.iter().any(|token| token.is_some()) || self.username.is_some()
    }

    fn login(&self) -> Login {
        let said = |token: &Option<SecretString>| {
            let token = token.as_ref();
            token.filter(|it| !it.expose_secret().is_empty()).cloned()
        };
        if let Some(bearer) = said(&self.bearer) {
            return Login::Bearer(bearer);
        }
        if let Some(identity) = said(&self.identity) {
            return Login::Identity(identity);
        }
        let pair = self.auth.as_ref().and_then(|auth| {
            let pair = STANDARD.decode(auth.expose_secret()).ok()?;
            let pair = String::from_utf8(pair).ok()?;
            let (user, password) = pair.split_once(':')?;
            Some(basic(user, password))
        });
        let apart = || {
            let password = self.password.as_ref()?.expose_secret();
            Some(basic(self.username.as_deref()?, password))
        };
        let pair = pair.or_else(apart);
        pair.map_or(Login::Anonymous, Login::Basic)
    }
}

fn basic(user: &str, password: &str) -> Basic {
    Basic {
        user: user.to_owned(),
        // Some versions of Docker end it with zeros.
        password: password.trim_end_matches('\0').into(),
    }
}

fn is_docker_hub(host: &str) -> bool {
    matches!(
        host,
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// Whether an entry's key, a host or an address of it, means the registry.
fn serves(key: &str, host: &str) -> bool {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.split('/').next().unwrap_or(key);
    key == host || (is_docker_hub(key) && is_docker_hub(host))
}

async fn ask(path: &str, host: &str, name: &str, server: &str) -> Result<Login, CredentialsError> {
    let program = format!("docker-credential-{name}");
    let failed = |problem: String| CredentialsError::Helper {
        program: program.clone(),
        host: host.to_owned(),
        problem,
    };
    let mut helper = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CredentialsError::Start {
            program: program.clone(),
            path: path.to_owned(),
            host: host.to_owned(),
            source,
        })?;
    if let Some(mut stdin) = helper.stdin.take() {
        // One that asks nothing may close its end early.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let output = tokio::time::timeout(PATIENCE, helper.wait_with_output())
        .await
        .map_err(|_| failed(format!("it took longer than {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    answer(output.status.success(), &output.stdout).map_err(failed)
}

/// What a helper's output stands for; one that knows nothing says so in words.
fn answer(is_good: bool, output: &[u8]) -> Result<Login, String> {
    if !is_good {
        let words = String::from_utf8_lossy(output);
        return match words.contains("credentials not found") {
            true => Ok(Login::Anonymous),
            false => Err("it failed; run it by hand to see why".to_owned()),
        };
    }
    let answer: Answer = serde_json::from_slice(output)
        .map_err(|error| format!("its answer is wrong at column {}", error.column()))?;
    Ok(match answer.username.as_str() {
        "<token>" => Login::Identity(answer.secret),
        user => Login::Basic(basic(user, answer.secret.expose_secret())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: serde_json::Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    fn helper(name: &str, server: &str) -> Origin {
        Origin::Helper {
            name: name.to_owned(),
            server: server.to_owned(),
        }
    }

    #[test]
    fn a_registrys_own_helper_goes_before_its_entry_and_the_store_last() {
        let config = config(json!({
            "auths": {"ghcr.io": {"auth": "bWU6YQ=="}, "quay.io": {}, "r.dev": {"auth": "bWU6YQ=="}},
            "credHelpers": {"r.dev": "gcloud"}, "credsStore": "pass",
        }));
        assert_eq!(config.origin("r.dev"), helper("gcloud", "r.dev"));
        assert_eq!(
            config.origin("ghcr.io"),
            Origin::Entry("ghcr.io".to_owned())
        );
        assert_eq!(config.origin("quay.io"), helper("pass", "quay.io"));
        assert_eq!(config.origin("docker.io"), helper("pass", DOCKER_HUB));
        assert_eq!(Config::default().origin("ghcr.io"), Origin::Nowhere);
    }

    #[test]
    fn entries_are_found_by_their_host() {
        assert!(serves(
            "https://index.docker.io/v1/",
            "registry-1.docker.io"
        ));
        assert!(serves("https://ghcr.io/v2/", "ghcr.io"));
        assert!(!serves("ghcr.io.evil.example", "ghcr.io"));
    }

    #[test]
    fn a_password_may_hold_colons_and_an_identity_goes_before_it() {
        let entry = |value| serde_json::from_value::<Entry>(value).unwrap();
        let auth = STANDARD.encode("me:a:b");
        let Login::Basic(basic) = entry(json!({"auth": auth})).login() else {
            panic!("no login")
        };
        assert_eq!(
            (basic.user.as_str(), basic.password.expose_secret()),
            ("me", "a:b")
        );
        let both = entry(json!({"auth": auth, "identitytoken": "t"}));
        assert!(matches!(both.login(), Login::Identity(_)));
        assert!(matches!(
            entry(json!({"auth": "?"})).login(),
            Login::Anonymous
        ));
    }

    #[test]
    fn a_token_for_the_registry_itself_goes_first() {
        let config = config(json!({
            "auths": {"r.dev": {"registrytoken": "t"}}, "credsStore": "pass",
        }));
        assert_eq!(config.origin("r.dev"), Origin::Entry("r.dev".to_owned()));
        let all = json!({"registrytoken": "t", "identitytoken": "i", "username": "me"});
        let all = serde_json::from_value::<Entry>(all).unwrap();
        assert!(matches!(all.login(), Login::Bearer(token) if token.expose_secret() == "t"));
        let empty = json!({"registrytoken": "", "identitytoken": "i"});
        let empty = serde_json::from_value::<Entry>(empty).unwrap();
        assert!(matches!(empty.login(), Login::Identity(_)));
    }

    #[test]
    fn a_user_and_a_password_may_stand_apart() {
        let config = config(json!({
            "auths": {"r.dev": {"username": "me", "password": "s"}}, "credHelpers": null, "credsStore": "pass",
        }));
        assert_eq!(config.origin("r.dev"), Origin::Entry("r.dev".to_owned()));
        let Login::Basic(basic) = config.auths["r.dev"].login() else {
            panic!("no login")
        };
        assert_eq!((&*basic.user, basic.password.expose_secret()), ("me", "s"));
    }

    #[test]
    fn a_helper_answers_with_a_user_a_token_or_nothing() {
        let good = |text: &str| answer(true, text.as_bytes());
        let basic = good(r#"{"ServerURL": "r", "Username": "me", "Secret": "s"}"#).unwrap();
        assert!(matches!(basic, Login::Basic(_)));
        let token = good(r#"{"Username": "<token>", "Secret": "s"}"#).unwrap();
        assert!(matches!(token, Login::Identity(_)));
        let none = answer(false, b"credentials not found in native keychain\n").unwrap();
        assert!(matches!(none, Login::Anonymous));
    }

    #[test]
    fn what_a_helper_says_is_not_shown() {
        for output in [r#"{"Username": "me", "Secret": hunter2}"#, "hunter2"] {
            for is_good in [true, false] {
                let problem = answer(is_good, output.as_bytes()).err().unwrap();
                assert!(!problem.contains("hunter2"), "{problem}");
            }
        }
    }
}
