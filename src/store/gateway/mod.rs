//! The embedded ClickHouse: libchdb behind ClickHouse's own HTTP interface, on loopback.
//!
//! ```text
//! client ─HTTP─▶ http: parameters, user ──▶ engine: a connection and a thread per statement ─ffi─▶ libchdb
//!                  ▲ encoding, blocks             │ control connection: KILL QUERY
//!                  └──────── pieces, bounded ─────┘
//! ```
//!
//! What a client can rely on, as with a ClickHouse server:
//!
//! - the statement is in the URL parameter `query`, in the body, or begins in the first and goes on in the second;
//!   the data of an INSERT follows its text and is streamed; so are the results of SELECT, in the formats
//!   that allow it;
//! - `database`, `default_format`, `param_*` and settings are URL parameters; nothing of one request is seen by
//!   the next, and there are no sessions;
//! - an acknowledged INSERT is on disk. One whose body ends early stores nothing of its last block, which is all
//!   of it below about a million rows;
//! - an error has ClickHouse's code, text and HTTP status; one in the middle of a result is written behind it as
//!   a tagged frame and breaks the connection off;
//! - a client that goes away stops its SELECT.
//!
//! There are two users: the owner, and a reader for BI tools, who can read tables and nothing else.

mod access;
mod blocks;
mod config;
mod document;
mod encoding;
mod engine;
mod exception;
mod ffi;
mod http;
mod request;
mod sql;

use std::{convert::Infallible, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hearken_connectors::secret::Secret;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::connections::{self, GRACE};

pub use access::Access;
pub use ffi::{LibraryError, find_library};

#[cfg(fuzzing)]
pub use http::fuzz;

use engine::Engine;
use http::Handler;

/// How long a client may take for the head of a request, and an idle connection stays open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A user's name and password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How the gateway runs.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Data directory; created where it does not exist.
    pub data: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Listen on an address that other hosts can reach: passwords travel in the clear.
    pub allow_remote: bool,
    /// Path of libchdb; [`find_library`] looks for it where there is none.
    pub library: Option<PathBuf>,
    /// May do everything.
    pub owner: Credentials,
    /// May read tables.
    pub reader: Option<Credentials>,
}

/// Why the gateway could not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The engine is not there.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// An address that other hosts can reach.
    #[error("the embedded ClickHouse listens on loopback only, and {0} is not; allow remote clients explicitly")]
    NotLoopback(SocketAddr),
    /// The address is taken, for one.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The engine does not start.
    #[error("cannot start ClickHouse on `{}`: {error}", data.display())]
    Start {
        /// The data directory.
        data: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use `{}`: {error}", data.display())]
    Data {
        /// The data directory.
        data: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A statement does not stop.
    #[error("ClickHouse did not stop within {} seconds; what was acknowledged is on disk", 2 * GRACE.as_secs())]
    Stop,
}

/// Name of the environment variable that tells the gateway to stop when its standard input ends: its parent holds
/// the other end, so it ends with the parent, however that goes.
pub(super) const PARENT: &str = "HEARKEN_CLICKHOUSE_PARENT";

/// Runs the gateway as a process of its own (`hearken clickhouse`) with the users and the address that [`Access`]
/// keeps in `data`, until SIGTERM, ctrl-c, or the end of its parent. Calls `bound` with the address once it answers.
///
/// With port 0 it listens where it listened last, if it can.
pub async fn run(
    data: PathBuf,
    mut listen: SocketAddr,
    library: Option<PathBuf>,
    bound: impl FnOnce(SocketAddr),
) -> Result<(), GatewayError> {
    // The engine cannot sync a directory that it was given by a relative path.
    let data = std::path::absolute(&data).map_err(|error| GatewayError::Data { data, error })?;
    let unusable = |error| GatewayError::Data { data: data.clone(), error };
    let mut access = Access::open(&data).map_err(unusable)?;
    if listen.port() == 0
        && let Some(last) = access.address
        && last.ip() == listen.ip()
        && TcpListener::bind(last).await.is_ok()
    {
        listen = last;
    }
    let options = GatewayOptions {
        data: data.clone(),
        listen,
        allow_remote: false,
        library,
        owner: access.owner.clone(),
        reader: Some(access.reader.clone()),
    };
    let shutdown = stop_requested().map_err(unusable)?;
    let keep = |address| {
        if access.address != Some(address) {
            access.address = Some(address);
            if let Err(error) = access.save(&data) {
                tracing::warn!(%error, "cannot keep the address for other commands");
            }
        }
        bound(address);
    };
    serve(options, keep, shutdown).await
}

/// Resolves when the process is asked to stop, or its parent is gone.
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let parent_gone = async {
        if std::env::var_os(PARENT).is_none() {
            return std::future::pending().await;
        }
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
    };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // A terminal sends this to parent and child alike; the parent then decides when the child stops.
            _ = interrupt.recv(), if std::env::var_os(PARENT).is_none() => {}
            () = parent_gone => {}
        }
    })
}

/// Runs the gateway until `shutdown` resolves; then finishes or stops what runs and closes the engine.
/// `bound` is called with the address once requests are answered.
pub async fn serve(
    options: GatewayOptions,
    bound: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), GatewayError> {
    let address = options.listen;
    if !address.ip().is_loopback() && !options.allow_remote {
        return Err(GatewayError::NotLoopback(address));
    }
    let library = find_library(options.library.as_deref(), |name| std::env::var_os(name))?;
    let listener = TcpListener::bind(address).await.map_err(|error| GatewayError::Listen { address, error })?;
    let address = listener.local_addr().map_err(|error| GatewayError::Listen { address, error })?;
    let engine = start(library, options.data.clone()).await?;
    let handler = Arc::new(Handler { engine, owner: options.owner, reader: options.reader });
    bound(address);
    accept(listener, &handler, shutdown).await;
    // Statements get as long again after they were told to stop.
    if handler.engine.shutdown(GRACE).await { Ok(()) } else { Err(GatewayError::Stop) }
}

async fn start(library: PathBuf, data: PathBuf) -> Result<Engine, GatewayError> {
    let start = tokio::task::spawn_blocking(move || {
        let library = ffi::Library::open(&library)?;
        tracing::debug!(version = library.version(), "libchdb loaded");
        Engine::start(library, &data).map_err(|error| GatewayError::Start { data, error })
    });
    start.await.map_err(|error| GatewayError::Start { data: PathBuf::new(), error: io::Error::other(error) })?
}

/// Answers connections until `shutdown`. Dropping one that takes too long then stops its SELECT.
async fn accept(listener: TcpListener, handler: &Arc<Handler>, shutdown: impl Future<Output = ()>) {
    let connection = |stream, _| {
        let handler = Arc::clone(handler);
        let service = service_fn(move |request| {
            let handler = Arc::clone(&handler);
            async move { Ok::<_, Infallible>(handler.handle(request).await) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    };
    connections::serve(listener, shutdown, connection).await;
}
