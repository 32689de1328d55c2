//! `hearken run`: the daemon.

use clap::{Args, ValueEnum};
use hearken::app::{App, Roles};
use tokio_util::sync::CancellationToken;

use super::Session;
use super::exit::Failure;
use super::systemd;

/// Arguments of `hearken run`.
#[derive(Args)]
pub(super) struct Run {
    /// Part of the daemon to run; may be repeated. Without it, everything runs.
    #[arg(long, value_enum, value_delimiter = ',')]
    role: Vec<Role>,
    /// Stop once every finite source is drained and everything is stored.
    #[arg(long)]
    until_idle: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Connectors into the event log.
    Listen,
    /// Event log through scoring into the store.
    Score,
    /// The web address: API and pages.
    Serve,
}

impl Run {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        hearken::telemetry::start(session.json.then_some(true));
        let config = session.config()?;
        let stop = stop_on_signal();
        let mut app = App::start(config, self.roles(), stop.clone()).await?;
        if let Some(address) = app.address.filter(|_| self.roles().serve) {
            tracing::info!(%address, "listening; the pages are at http://{address}/, the API at http://{address}/api/v1/");
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "other machines are answered only with a token: `hearken token create`; put TLS in front"
                );
            }
        }
        systemd::ready();
        let done = tokio::select! {
            done = self.attend(&mut app, session, &stop) => done,
            never = systemd::keep_alive() => match never {},
        };
        stop.cancel();
        systemd::stopping();
        tracing::info!("stopping: finishing what is in hand");
        app.drain().await.map_err(Failure::from).and(done)
    }

    /// Does what signals ask for, until the daemon is to stop.
    async fn attend(&self, app: &mut App, session: &Session, stop: &CancellationToken) -> Result<(), Failure> {
        let mut reloads = Reloads::new()?;
        loop {
            tokio::select! {
                idle = app.idle(), if self.until_idle => return idle.map_err(Failure::from),
                () = stop.cancelled() => return match self.until_idle {
                    true => Err(Failure::interrupted("stopped before everything was stored")),
                    false => Ok(()),
                },
                () = reloads.next() => {
                    systemd::reloading();
                    reload(app, session).await;
                    systemd::ready();
                }
            }
        }
    }

    fn roles(&self) -> Roles {
        if self.role.is_empty() {
            return Roles::ALL;
        }
        let has = |role| self.role.contains(&role);
        Roles { listen: has(Role::Listen), score: has(Role::Score), serve: has(Role::Serve) }
    }
}

/// Reads the configuration again. Where it is wrong the daemon goes on with the old one, and says why.
async fn reload(app: &mut App, session: &Session) {
    let taken_over = match session.config() {
        Ok(config) => app.reload(config).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match taken_over {
        Ok(()) => tracing::info!("the configuration was read again and holds from now on"),
        Err(error) => tracing::error!(%error, "the configuration was read again, and the old one stays"),
    }
}

/// SIGHUP, again and again.
struct Reloads {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Reloads {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = signal(SignalKind::hangup());
        Ok(Self { signals: signals.map_err(|error| Failure::unavailable(format!("cannot wait for SIGHUP: {error}")))? })
    }

    async fn next(&mut self) {
        if self.signals.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
impl Reloads {
    fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}

/// A token that SIGINT and SIGTERM cancel.
pub(super) fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        signal().await;
        cancelled.cancel();
    });
    stop
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
