//! The process: one folder, one port on loopback, a start and an end.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::premises::Said;
use crate::record::Record;
use crate::router::{Router, Served, served_by, service};
use crate::store::Store;
use crate::{
    accounts, assets, bigquery, billing, faults, kms, lag, logging, metadata, monitoring,
    operations, policy, premises, projects, registry, run, scheduler, secrets, services, status,
    storage,
};

/// How long requests under way may take once the end is asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Why the cloud does not come up; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("`{dir}` is already served by process {pid}; stop it first, or serve another folder")]
    Served { dir: String, pid: String },
    #[error("port {port} is in use; choose another with --port, or leave it out to get a free one")]
    PortInUse { port: u16 },
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen { port: u16, source: io::Error },
    #[error(
        "the state in `{dir}` cannot be read: {source}; mend or remove that file, or start over \
         with an empty folder"
    )]
    State { dir: String, source: io::Error },
}

/// A cloud that serves.
pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub cloud: Arc<Cloud>,
    task: JoinHandle<io::Result<()>>,
    folder: Folder,
}

impl Running {
    /// Lets requests under way finish, and removes `endpoint.json`.
    pub async fn shutdown(self) -> io::Result<()> {
        self.cloud.shutdown.cancel();
        self.cloud.run.idle().await;
        let abort = self.task.abort_handle();
        if tokio::time::timeout(GRACE, self.task).await.is_err() {
            abort.abort();
        }
        self.folder.leave()
    }
}

/// Serves the folder `dir`. Without a port it is that of last time if free, else any;
/// port 0 is always any.
pub async fn start(dir: &Path, port: Option<u16>) -> Result<Running, ServeError> {
    start_with(dir, port, Options::default()).await
}

/// What a start may be given besides.
#[derive(Default)]
pub struct Options {
    /// Takes down what goes over the wire.
    pub record: Option<Record>,
    /// Which projects there are.
    pub projects: Said,
}

/// As [`start`], with options.
pub async fn start_with(
    dir: &Path,
    port: Option<u16>,
    options: Options,
) -> Result<Running, ServeError> {
    let folder = Folder::enter(dir)?;
    let listener = listen(port, folder.last_port()).await?;
    let state_error = |source| ServeError::State {
        dir: dir.display().to_string(),
        source,
    };
    let address = listener.local_addr().map_err(state_error)?;
    let url = format!("http://{address}");
    let store = Store::open(dir).map_err(state_error)?;
    let cloud = Arc::new(Cloud::open(store, url.clone()).map_err(state_error)?);
    cloud.projects.premises.set(options.projects);
    background(&cloud);
    let task = tokio::spawn(serve(listener, cloud.clone(), options.record));
    folder.announce(&url, address.port()).map_err(state_error)?;
    Ok(Running {
        url,
        cloud,
        task,
        folder,
    })
}

/// All methods of all services.
fn router() -> Router {
    Router::default()
        .with(status::routes())
        .with(faults::routes())
        .with(bigquery::fault_routes())
        .with(lag::routes())
        .with(premises::routes())
        .with(policy::asked_routes())
        .with(metadata::routes())
        .with(monitoring::own_routes())
        .with(service("secretmanager.googleapis.com", secrets::routes()))
        .with(service("storage.googleapis.com", storage::routes()))
        .with(service("iam.googleapis.com", accounts::routes()))
        .with(service("cloudkms.googleapis.com", kms::routes()))
        .with(service("monitoring.googleapis.com", monitoring::routes()))
        .with(service("cloudasset.googleapis.com", assets::routes()))
        .with(service(
            "iamcredentials.googleapis.com",
            accounts::token_routes(),
        ))
        .with(accounts::oauth_routes())
        .with(service("bigquery.googleapis.com", bigquery::routes()))
        .with(service(
            "cloudresourcemanager.googleapis.com",
            projects::routes(),
        ))
        .with(service("cloudbilling.googleapis.com", billing::routes()))
        .with(service("serviceusage.googleapis.com", services::routes()))
        .with(served_by(Served::AnyApi, operations::routes()))
        .with(service(
            "artifactregistry.googleapis.com",
            registry::routes(),
        ))
        .with(service("logging.googleapis.com", logging::routes()))
        .with(service("run.googleapis.com", run::routes()))
        .with(service(
            "cloudscheduler.googleapis.com",
            scheduler::routes(),
        ))
        // Last: it takes every path under /v2/.
        .with(registry::protocol_routes())
}

/// Work that goes on without a request; it ends when `cloud.shutdown` is cancelled.
fn background(cloud: &Arc<Cloud>) {
    run::recover(cloud);
    tokio::spawn(scheduler::run(cloud.clone()));
}

async fn serve(listener: TcpListener, cloud: Arc<Cloud>, record: Option<Record>) -> io::Result<()> {
    let router = Arc::new(router());
    let record = Arc::new(record);
    let shutdown: CancellationToken = cloud.shutdown.clone();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let (router, cloud, record) = (router.clone(), cloud.clone(), record.clone());
        async move { answer(&router, cloud, record.as_ref().as_ref(), request).await }
    });
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await
}

async fn answer(
    router: &Router,
    cloud: Arc<Cloud>,
    record: Option<&Record>,
    request: axum::extract::Request,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = shown(request.uri().path());
    let response = match record {
        Some(record) => record.answer(router, cloud, request).await,
        None => router.answer(cloud, request).await,
    };
    tracing::info!(
        method = %method,
        path,
        status = response.status().as_u16(),
        ms = began.elapsed().as_millis() as u64,
        "request"
    );
    response
}

/// A path as the log may show it: a metadata path holds a task's credentials.
fn shown(path: &str) -> String {
    match path
        .strip_prefix("/metadata/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, rest)) => format!("/metadata/-/{rest}"),
        None => path.to_owned(),
    }
}

async fn listen(port: Option<u16>, last: Option<u16>) -> Result<TcpListener, ServeError> {
    if let (None, Some(last)) = (port, last)
        && let Ok(listener) = bind(last).await
    {
        return Ok(listener);
    }
    let port = port.unwrap_or(0);
    bind(port).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortInUse { port },
        _ => ServeError::Listen { port, source },
    })
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// The folder as this process's own: the lock is held as long as this lives.
struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    fn enter(dir: &Path) -> Result<Folder, ServeError> {
        let state_error = |source| ServeError::State {
            dir: dir.display().to_string(),
            source,
        };
        fs::create_dir_all(dir).map_err(state_error)?;
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(state_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(state_error)?;
                return Err(ServeError::Served {
                    dir: dir.display().to_string(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(state_error(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(state_error)?;
        let folder = Folder {
            dir: dir.to_owned(),
            _lock: lock,
        };
        // A killed process left its own; nobody may follow it to a port that is not ours.
        folder.leave().map_err(state_error)?;
        Ok(folder)
    }

    fn last_port(&self) -> Option<u16> {
        let text = fs::read_to_string(self.dir.join("port")).ok()?;
        text.trim().parse().ok()
    }

    /// Says where the cloud is; whoever reads `endpoint.json` may call at once.
    fn announce(&self, url: &str, port: u16) -> io::Result<()> {
        self.replace("port", port.to_string().as_bytes())?;
        let endpoint = json!({"url": url, "pid": std::process::id()});
        self.replace("endpoint.json", endpoint.to_string().as_bytes())
    }

    fn leave(&self) -> io::Result<()> {
        match fs::remove_file(self.dir.join("endpoint.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.persist(self.dir.join(name))?;
        Ok(())
    }
}

#[cfg(test)]
mod admission;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_served_once() {
        let folder = tempfile::tempdir().unwrap();
        let running = start(folder.path(), Some(0)).await.unwrap();
        let second = start(folder.path(), Some(0)).await.err().unwrap();
        let pid = std::process::id().to_string();
        assert!(second.to_string().contains(&pid), "{second}");
        running.shutdown().await.unwrap();
        start(folder.path(), Some(0)).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let taken = bind(0).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = start(folder.path(), Some(port)).await.err().unwrap();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }

    #[tokio::test]
    async fn the_endpoint_is_announced_and_taken_back_and_the_port_kept() {
        let folder = tempfile::tempdir().unwrap();
        let running = start(folder.path(), None).await.unwrap();
        let text = fs::read_to_string(folder.path().join("endpoint.json")).unwrap();
        let endpoint: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(endpoint["url"], running.url);
        let url = running.url.clone();
        running.shutdown().await.unwrap();
        assert!(!folder.path().join("endpoint.json").exists());
        assert_eq!(start(folder.path(), None).await.unwrap().url, url);
    }

    #[tokio::test]
    async fn what_is_not_served_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let running = start(folder.path(), Some(0)).await.unwrap();
        let reply = reqwest::get(format!("{}/v1/unheard/of", running.url))
            .await
            .unwrap();
        // Neither a resource that is missing nor what is worth another try.
        assert_eq!(reply.status(), 405);
        let body: serde_json::Value = reply.json().await.unwrap();
        insta::assert_snapshot!(
            body["error"]["message"].as_str().unwrap(),
            @"the local cloud does not serve GET /v1/unheard/of"
        );
    }

    #[test]
    fn a_metadata_id_is_not_logged() {
        assert_eq!(
            shown("/metadata/abc.def/computeMetadata"),
            "/metadata/-/computeMetadata"
        );
    }
}
