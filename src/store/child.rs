//! The embedded ClickHouse as a child process: started, watched, restarted, stopped.
//!
//! It is a process of its own so that a crash of the engine never takes the listeners down. What was acknowledged
//! is on disk, and writers repeat what was not, so a restart loses nothing.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use hearken_connectors::secret::Secret;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::gateway::{self, Access, LibraryError};

/// How long the engine may take to load its tables.
const START: Duration = Duration::from_secs(120);

/// How long another process that holds the directory may take to answer.
const JOIN: Duration = Duration::from_secs(15);

/// How long the child may take to stop before it is killed: more than it takes itself.
const STOP: Duration = Duration::from_secs(25);

/// Pause before the first restart; doubled with each that follows soon, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);

/// Longest pause before a restart.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A child that lived this long begins again with the shortest pause.
const STEADY: Duration = Duration::from_secs(60);

/// Why the embedded ClickHouse is not there.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Its engine is not installed.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Its directory cannot be used.
    #[error("cannot use `{}` for the embedded ClickHouse: {error}", data.display())]
    Data {
        /// The directory.
        data: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It could not be started.
    #[error("cannot start `{} clickhouse`: {error}", executable.display())]
    Spawn {
        /// Our own program.
        executable: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It ended before it answered; it has said why on standard error.
    #[error("the embedded ClickHouse ended with {0} before it answered; its own message is above")]
    Ended(ExitStatus),
    /// It does not answer.
    #[error("the embedded ClickHouse has not answered within {} seconds", START.as_secs())]
    Slow,
}

/// How the child is started.
#[derive(Debug, Clone)]
pub struct ChildOptions {
    /// The `hearken` program.
    pub executable: PathBuf,
    /// The child's directory.
    pub data: PathBuf,
    /// Loopback address; port 0 takes a free one, and keeps it.
    pub listen: SocketAddr,
    /// Path of libchdb, where it is not in one of the usual places.
    pub library: Option<PathBuf>,
}

/// An embedded ClickHouse that answers: one that this process runs, or one that another process runs.
#[derive(Debug)]
pub struct ClickHouseChild {
    address: SocketAddr,
    access: Access,
    supervisor: Option<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ClickHouseChild {
    /// Joins the embedded ClickHouse that another process runs in `data_dir`, or starts one with this program,
    /// and waits until it answers.
    pub async fn start(data_dir: &Path, listen: SocketAddr, library: Option<&Path>) -> Result<Self, ChildError> {
        let executable = std::env::current_exe()
            .map_err(|error| ChildError::Spawn { executable: PathBuf::from("hearken"), error })?;
        Self::open(ChildOptions {
            executable,
            data: data_dir.join("clickhouse"),
            listen,
            library: library.map(Path::to_owned),
        })
        .await
    }

    /// [`ClickHouseChild::start`] with every choice given.
    pub async fn open(mut options: ChildOptions) -> Result<Self, ChildError> {
        let mut access = open_access(&options.data)?;
        if let Some(address) = answering(&access).await {
            return Ok(Self { address, access, supervisor: None });
        }
        options.library = Some(gateway::find_library(options.library.as_deref(), |name| std::env::var_os(name))?);
        let (running, address) = match launch(&options).await {
            Ok(started) => started,
            // Another process may have started one at the same moment, and holds the directory.
            Err(ChildError::Ended(status)) => {
                access = open_access(&options.data)?;
                let Some(address) = join(&options.data).await else { return Err(ChildError::Ended(status)) };
                return Ok(Self { address, access, supervisor: None });
            }
            Err(error) => return Err(error),
        };
        options.listen = address;
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(options, running, stop.clone()));
        Ok(Self { address, access, supervisor: Some(Supervisor { stop, task }) })
    }

    /// Its HTTP interface.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The user who may do everything.
    pub fn user(&self) -> &str {
        &self.access.owner.user
    }

    /// That user's password.
    pub fn password(&self) -> &Secret {
        &self.access.owner.password
    }

    /// How to reach it, the reader for BI tools included.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Stops it, where this process runs it, once its statements have ended.
    pub async fn stop(self) {
        let Some(Supervisor { stop, task }) = self.supervisor else { return };
        stop.cancel();
        let _ = task.await;
    }
}

fn open_access(data: &Path) -> Result<Access, ChildError> {
    Access::open(data).map_err(|error| ChildError::Data { data: data.to_owned(), error })
}

/// The address, if somebody answers there who knows the owner.
async fn answering(access: &Access) -> Option<SocketAddr> {
    let address = access.address?;
    let client = clickhouse::Client::default()
        .with_url(format!("http://{address}"))
        .with_user(&access.owner.user)
        .with_password(access.owner.password.expose());
    let answer = timeout(Duration::from_secs(5), client.query("SELECT 1").fetch_one::<u8>()).await;
    matches!(answer, Ok(Ok(1))).then_some(address)
}

/// The address of another process that is about to answer, if one does.
async fn join(data: &Path) -> Option<SocketAddr> {
    let started = Instant::now();
    while started.elapsed() < JOIN {
        let access = Access::open(data).ok()?;
        if let Some(address) = answering(&access).await {
            return Some(address);
        }
        sleep(PAUSE).await;
    }
    None
}

/// A child that answers.
struct Running {
    child: Child,
    /// It stops when this closes. Held apart, because waiting for a [`Child`] closes what it holds.
    stdin: Option<ChildStdin>,
}

/// Starts the child and waits for the address that it prints once it answers.
async fn launch(options: &ChildOptions) -> Result<(Running, SocketAddr), ChildError> {
    let mut command = Command::new(&options.executable);
    command.arg("clickhouse").arg("--data").arg(&options.data).arg("--listen").arg(options.listen.to_string());
    if let Some(library) = &options.library {
        command.arg("--library").arg(library);
    }
    let mut child = command
        .env(gateway::PARENT, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| ChildError::Spawn { executable: options.executable.clone(), error })?;
    let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
    let first = async {
        match &mut lines {
            Some(lines) => lines.next_line().await.ok().flatten(),
            None => None,
        }
    };
    let line = timeout(START, first).await.map_err(|_| ChildError::Slow)?;
    match line.and_then(|line| line.trim().strip_prefix("http://")?.parse().ok()) {
        Some(address) => Ok((Running { stdin: child.stdin.take(), child }, address)),
        None => {
            let status = timeout(STOP, child.wait()).await.map_err(|_| ChildError::Slow)?;
            let executable = options.executable.clone();
            Err(status.map_or_else(|error| ChildError::Spawn { executable, error }, ChildError::Ended))
        }
    }
}

/// Restarts the child, on the same address, whenever it ends by itself.
async fn supervise(options: ChildOptions, mut running: Running, stop: CancellationToken) {
    let mut pause = PAUSE;
    loop {
        let started = Instant::now();
        let ended = tokio::select! {
            ended = running.child.wait() => ended,
            () = stop.cancelled() => return end(running).await,
        };
        match ended {
            Ok(status) => tracing::error!(%status, "the embedded ClickHouse ended; it is started again"),
            Err(error) => tracing::error!(%error, "the embedded ClickHouse is lost; it is started again"),
        }
        if started.elapsed() > STEADY {
            pause = PAUSE;
        }
        running = loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(MAX_PAUSE);
            let started = tokio::select! {
                started = launch(&options) => started,
                () = stop.cancelled() => return,
            };
            match started {
                Ok((running, _)) => break running,
                Err(error) => tracing::error!(%error, "the embedded ClickHouse does not start again"),
            }
        };
        tracing::info!("the embedded ClickHouse answers again");
    }
}

/// Closes the child's standard input, which tells it to stop, and kills it if it does not.
async fn end(Running { mut child, stdin }: Running) {
    drop(stdin);
    if timeout(STOP, child.wait()).await.is_err() {
        tracing::error!("the embedded ClickHouse does not stop; it is killed");
        let _ = child.kill().await;
    }
}
