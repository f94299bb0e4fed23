//! The process: a port on loopback, a folder, a start and an end.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::control;
use super::folder::{Folder, Saved};
use super::shared::{Sandbox, Shared, Time, World};

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
        "the folder `{dir}` holds {world}; leave {options} out to go on with it, or remove the folder"
    )]
    OtherWorld {
        dir: String,
        world: String,
        options: &'static str,
    },
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
    #[error("the server ended: {0}")]
    Served(io::Error),
}

pub struct Running {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// What `sandbox.json` says: the address and how to sign in.
    pub announcement: Value,
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

/// Where and how a sandbox serves, the same for each.
#[derive(Args, Debug, Clone, Default)]
pub struct ServerArgs {
    /// Port on 127.0.0.1 [default: that of last time if there is a folder, else any]
    #[arg(long)]
    pub port: Option<u16>,
    /// Milliseconds each call takes
    #[arg(long, default_value_t = 0)]
    pub latency: u64,
    /// Folder for `sandbox.json` (where it serves) and for what must survive a restart
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// A folder that is open, and what it kept: the moment between two lives of a sandbox.
pub struct Opening<K> {
    args: ServerArgs,
    folder: Folder,
    saved: Option<Saved<K>>,
}

impl<K: Serialize + DeserializeOwned> Opening<K> {
    pub fn of(args: &ServerArgs) -> Result<Opening<K>, SandboxError> {
        let error = |source| folder_error(args, source);
        let folder = Folder::open(args.dir.as_deref()).map_err(error)?;
        let saved = folder.read().map_err(error)?;
        Ok(Opening {
            args: args.clone(),
            folder,
            saved,
        })
    }

    /// What the last life left behind.
    pub fn kept(&self) -> Option<&K> {
        self.saved.as_ref().map(|saved| &saved.world)
    }

    /// That the folder belongs to another world than the one asked for.
    pub fn other_world(&self, world: String, options: &'static str) -> SandboxError {
        SandboxError::OtherWorld {
            dir: self.folder.to_string(),
            world,
            options,
        }
    }

    /// Serves `world` with its routes; `announcement` is what a client needs beside the address.
    pub async fn serve<W: World<Kept = K>>(
        self,
        world: W,
        routes: Router<Shared<W>>,
        announcement: Value,
    ) -> Result<Running, SandboxError> {
        let (port, time) = self
            .saved
            .as_ref()
            .map_or((0, Time::default()), |saved| (saved.port, saved.time));
        let listener = listen(self.args.port, port).await?;
        let address = listener.local_addr().map_err(SandboxError::Served)?;
        let url = format!("http://{address}");
        let latency = Duration::from_millis(self.args.latency);
        let sandbox = Sandbox::new(world, time, address.port(), latency, self.folder.clone());
        let error = |source| folder_error(&self.args, source);
        sandbox.save().map_err(error)?;
        let routes = routes
            .merge(control::router())
            .with_state(Arc::new(sandbox));
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, routes, stop.clone()));
        let announcement = announced(&url, announcement);
        self.folder.announce(&announcement).map_err(error)?;
        Ok(Running {
            url,
            announcement,
            folder: self.folder,
            stop,
            task,
        })
    }
}

fn folder_error(args: &ServerArgs, source: io::Error) -> SandboxError {
    let dir = args.dir.as_deref().unwrap_or(Path::new(""));
    SandboxError::Folder {
        dir: dir.display().to_string(),
        source,
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

fn announced(url: &str, mut announcement: Value) -> Value {
    announcement["url"] = json!(url);
    announcement["pid"] = json!(std::process::id());
    announcement
}

async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

/// Any path a sandbox does not serve.
pub async fn nothing(method: Method, uri: Uri) -> Response {
    not_served(&method, uri.path())
}

pub fn not_served(method: &Method, path: &str) -> Response {
    (
        StatusCode::NOT_IMPLEMENTED,
        format!("the sandbox does not serve {method} {path}"),
    )
        .into_response()
}
