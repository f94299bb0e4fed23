//! The process: a port on loopback, a folder, a start and an end.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shared::{Sandbox, real_clock};
use super::state::{Folder, State};
use super::tokens::{CLIENT_ID, CLIENT_SECRET, FIRST_REFRESH_TOKEN, TENANT_ID, Tokens};
use super::{XeroArgs, api, control};

const DEFAULT_DOCUMENTS: usize = 20_000;
const DEFAULT_SEED: u64 = 42;
/// How long requests under way may take once the end is asked for.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("port {port} is in use; choose another with --port, or leave it out to get a free one")]
    PortInUse { port: u16 },
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    Listen { port: u16, source: io::Error },
    #[error("cannot use the sandbox's folder `{dir}`: {source}; remove it to start over")]
    Folder { dir: String, source: io::Error },
    #[error(
        "the folder `{dir}` holds a ledger of {documents} documents from seed {seed}; leave \
         --documents and --seed out to go on with it, or remove the folder"
    )]
    OtherLedger {
        dir: String,
        documents: usize,
        seed: u64,
    },
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
    #[error("the server ended: {0}")]
    Served(io::Error),
}

pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    folder: Folder,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    pub async fn shutdown(self) -> Result<(), SandboxError> {
        self.stop.cancel();
        self.folder.withdraw().map_err(SandboxError::Served)?;
        let abort = self.task.abort_handle();
        match tokio::time::timeout(GRACE, self.task).await {
            Ok(Ok(served)) => served.map_err(SandboxError::Served),
            Ok(Err(failed)) => Err(SandboxError::Served(io::Error::other(failed))),
            Err(_) => {
                abort.abort();
                Ok(())
            }
        }
    }
}

pub async fn start(args: &XeroArgs) -> Result<Running, SandboxError> {
    let dir = args.dir.as_deref().unwrap_or(Path::new("")).display();
    let folder_error = |source| SandboxError::Folder {
        dir: dir.to_string(),
        source,
    };
    let folder = Folder::open(args.dir.as_deref()).map_err(folder_error)?;
    let mut state = begin(args, folder.read().map_err(folder_error)?, &folder)?;
    let listener = listen(args.port, state.port).await?;
    let address = listener.local_addr().map_err(SandboxError::Served)?;
    state.port = address.port();
    let url = format!("http://{address}");
    let latency = Duration::from_millis(args.latency);
    let sandbox = Sandbox::new(state, args.allowance(), latency, folder.clone());
    sandbox.save().map_err(folder_error)?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, Arc::new(sandbox), stop.clone()));
    folder.announce(&announcement(&url)).map_err(folder_error)?;
    Ok(Running {
        url,
        folder,
        stop,
        task,
    })
}

/// Goes on with what the folder holds, if that is what was asked for.
fn begin(args: &XeroArgs, kept: Option<State>, folder: &Folder) -> Result<State, SandboxError> {
    let Some(state) = kept else {
        return Ok(fresh(args));
    };
    let same_seed = args.seed.is_none_or(|seed| seed == state.seed);
    let same_size = args
        .documents
        .is_none_or(|documents| documents == state.documents);
    if same_seed && same_size {
        return Ok(state);
    }
    Err(SandboxError::OtherLedger {
        dir: folder.to_string(),
        documents: state.documents,
        seed: state.seed,
    })
}

fn fresh(args: &XeroArgs) -> State {
    State {
        seed: args.seed.unwrap_or(DEFAULT_SEED),
        documents: args.documents.unwrap_or(DEFAULT_DOCUMENTS),
        days: 0,
        seconds: 0,
        port: 0,
        tokens: Tokens::new(real_clock()),
    }
}

/// Without a port: last time's if it is free, else any.
async fn listen(port: Option<u16>, last: u16) -> Result<TcpListener, SandboxError> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let bound = match port {
        Some(port) => bind(port).await,
        None => match bind(last).await {
            Err(_) => bind(0).await,
            bound => bound,
        },
    };
    let port = port.unwrap_or(last);
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => SandboxError::PortInUse { port },
        _ => SandboxError::Listen { port, source },
    })
}

fn announcement(url: &str) -> serde_json::Value {
    json!({
        "url": url,
        "pid": std::process::id(),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": FIRST_REFRESH_TOKEN,
        "tenant_id": TENANT_ID,
    })
}

async fn serve(
    listener: TcpListener,
    sandbox: Arc<Sandbox>,
    stop: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, router(sandbox))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

fn router(sandbox: Arc<Sandbox>) -> Router {
    Router::new()
        .route("/connect/token", any(api::token))
        .route("/connections", any(api::connections))
        .route("/api.xro/2.0/{*rest}", any(api::accounting))
        .route("/_sandbox/advance", post(control::advance))
        .route("/_sandbox/fail", post(control::fail))
        .route("/_sandbox/requests", get(control::requests))
        .route("/_sandbox/truth", get(control::truth))
        .fallback(api::nothing)
        .with_state(sandbox)
}
