//! Where a client's checkpoints are kept, settled: the file's word, else the workspace's.

use std::path::Path;

use xetl_runtime::bundle::STATE_PASSWORD;
use xetl_runtime::store::address::{AddressError, ServerKind};

use super::error::shown;
use super::{ClientFile, ConfigError, StateBackend, StateFile, TargetKind, Workspace};

/// Where checkpoints and the records of runs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Bucket,
    /// An absolute path.
    Sqlite {
        path: String,
    },
    /// Without the password.
    Postgres {
        url: String,
    },
    Mysql {
        url: String,
    },
}

impl State {
    /// Adds the password to a pipeline's secrets, where there is one.
    pub(super) fn add_secret(
        &self,
        at: &str,
        secrets: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        if matches!(self, State::Bucket | State::Sqlite { .. }) {
            return Ok(());
        }
        if secrets.iter().any(|path| path == STATE_PASSWORD) {
            let problem = format!("the source's secret `{STATE_PASSWORD}` is the state database's");
            return Err(ConfigError::invalid(at, problem));
        }
        secrets.push(STATE_PASSWORD.to_owned());
        Ok(())
    }
}

pub(super) fn settle(
    workspace: &Workspace,
    path: &Path,
    file: &ClientFile,
) -> Result<State, ConfigError> {
    let (at, state) = match (&file.state, &workspace.file.state) {
        (Some(state), _) => (format!("{}: state", shown(path)), state),
        (None, Some(state)) => {
            let path = workspace.root.join("xetl.yaml");
            (format!("{}: state", shown(&path)), state)
        }
        (None, None) => return Ok(State::Bucket),
    };
    match state.backend {
        StateBackend::Bucket => {
            without(&at, "url", &state.url)?;
            without(&at, "path", &state.path)?;
            Ok(State::Bucket)
        }
        StateBackend::Sqlite => sqlite(workspace, &at, state),
        StateBackend::Postgres => Ok(State::Postgres {
            url: server(&at, state, ServerKind::Postgres)?,
        }),
        StateBackend::Mysql => Ok(State::Mysql {
            url: server(&at, state, ServerKind::Mysql)?,
        }),
    }
}

fn sqlite(workspace: &Workspace, at: &str, state: &StateFile) -> Result<State, ConfigError> {
    without(at, "url", &state.url)?;
    if workspace.file.target == TargetKind::Gcp {
        return Err(ConfigError::Invalid {
            at: format!("{at}.backend"),
            problem: "a task on Cloud Run keeps no file: `sqlite` is for `target: local`"
                .to_owned(),
            hint: Some("use `postgres` or `mysql`, or leave `state` out".to_owned()),
        });
    }
    let path = wanted(at, "path", &state.path)?;
    let path = workspace.root.join(path);
    let path = std::path::absolute(&path).unwrap_or(path);
    Ok(State::Sqlite {
        path: path.display().to_string(),
    })
}

fn server(at: &str, state: &StateFile, kind: ServerKind) -> Result<String, ConfigError> {
    without(at, "path", &state.path)?;
    let url = wanted(at, "url", &state.url)?;
    let at = format!("{at}.url");
    if url.contains("/cloudsql/") {
        return Err(ConfigError::Invalid {
            at,
            problem: "names a socket of Cloud SQL, which xetl does not put into a job yet"
                .to_owned(),
            hint: Some("name the instance's IP address; it is spoken to over TLS".to_owned()),
        });
    }
    match kind.read(url) {
        Ok(_) => Ok(url.to_owned()),
        Err(error) => Err(ConfigError::Invalid {
            at,
            problem: error.to_string(),
            hint: (error == AddressError::Password).then(|| {
                format!("remove it here and store it with `xetl secrets set ... {STATE_PASSWORD}`")
            }),
        }),
    }
}

fn wanted<'a>(at: &str, key: &str, value: &'a Option<String>) -> Result<&'a str, ConfigError> {
    match value.as_deref() {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(ConfigError::invalid(
            at,
            format!("this backend needs `{key}`"),
        )),
    }
}

fn without(at: &str, key: &str, value: &Option<String>) -> Result<(), ConfigError> {
    match value {
        None => Ok(()),
        Some(_) => Err(ConfigError::invalid(
            format!("{at}.{key}"),
            "means nothing to this backend",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    /// What becomes of this `state` in a client's file, in a workspace of this target.
    fn settled(target: &str, state: &str) -> Result<State, String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("xetl.yaml"), format!("target: {target}\n")).unwrap();
        let workspace = Workspace::open(root).unwrap();
        let path = root.join("clients/acme.yaml");
        let text = format!("client: acme\nstate: {state}\npipelines: {{}}\n");
        let file = super::super::parse_yaml(&path, &text);
        let state = file.and_then(|file| settle(&workspace, &path, &file));
        state.map_err(|error| {
            let failure: Failure = error.into();
            let hint = failure.hint.unwrap_or_default();
            let text = format!("{} ({hint})", failure.sentence);
            text.replace(&format!("{}/", root.display()), "")
        })
    }

    #[test]
    fn a_server_is_named_without_its_password() {
        let url = "postgres://xetl@10.0.0.3/xetl".to_owned();
        let state = format!("{{backend: postgres, url: '{url}'}}");
        assert_eq!(settled("gcp", &state), Ok(State::Postgres { url }));
        insta::assert_snapshot!(
            settled("gcp", "{backend: postgres, url: 'postgres://u:p@h/d'}").unwrap_err(),
            @"clients/acme.yaml: state.url: holds a password, which does not belong into a file (remove it here and store it with `xetl secrets set ... state.password`)"
        );
    }

    #[test]
    fn what_cannot_be_used_says_so() {
        let told = |target: &str, state: &str| settled(target, state).unwrap_err();
        insta::assert_snapshot!(told("gcp", "{backend: sqlite, path: x.db}"), @"clients/acme.yaml: state.backend: a task on Cloud Run keeps no file: `sqlite` is for `target: local` (use `postgres` or `mysql`, or leave `state` out)");
        insta::assert_snapshot!(told("gcp", "{backend: postgres}"), @"clients/acme.yaml: state: this backend needs `url` ()");
        insta::assert_snapshot!(told("gcp", "{backend: bucket, url: 'mysql://u@h/d'}"), @"clients/acme.yaml: state.url: means nothing to this backend ()");
        insta::assert_snapshot!(told("gcp", "{backend: mysql, url: 'postgres://u@h/d'}"), @"clients/acme.yaml: state.url: begins with `postgres://`, not with `mysql://` ()");
        let typo = told("gcp", "{backend: mysql, ulr: x}");
        assert!(
            typo.ends_with("unknown key `ulr` (did you mean `url`?)"),
            "{typo}"
        );
        insta::assert_snapshot!(told("gcp", "{backend: mysql, url: 'mysql://u@h/d?socket=/cloudsql/p:r:i'}"), @"clients/acme.yaml: state.url: names a socket of Cloud SQL, which xetl does not put into a job yet (name the instance's IP address; it is spoken to over TLS)");
    }

    #[test]
    fn a_file_is_looked_for_from_the_workspaces_folder() {
        let state = settled("local", "{backend: sqlite, path: state.db}").unwrap();
        let State::Sqlite { path } = state else {
            panic!("{state:?}");
        };
        assert!(
            path.starts_with('/') && path.ends_with("/state.db"),
            "{path}"
        );
    }

    #[test]
    fn a_source_cannot_have_the_databases_secret() {
        let url = "mysql://u@h/d".to_owned();
        let mut secrets = vec!["key".to_owned()];
        let state = State::Mysql { url };
        state.add_secret("p", &mut secrets).unwrap();
        assert_eq!(secrets, ["key", STATE_PASSWORD]);
        assert!(state.add_secret("p", &mut secrets).is_err());
    }
}
