//! `hearken run`: the daemon.

use clap::{Args, ValueEnum};
use hearken::app::{App, Roles};
use tokio_util::sync::CancellationToken;

use super::Session;
use super::exit::Failure;

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
        let app = App::start(&config, self.roles(), stop.clone()).await?;
        if let Some(address) = app.address {
            tracing::info!(%address, "listening; the pages are at http://{address}/, the API at http://{address}/api/v1/");
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "other machines are answered only with a token: `hearken token create`; put TLS in front"
                );
            }
        }
        let done = tokio::select! {
            idle = app.idle(), if self.until_idle => idle.map_err(Failure::from),
            () = stop.cancelled() => match self.until_idle {
                true => Err(Failure::interrupted("stopped before everything was stored")),
                false => Ok(()),
            },
        };
        stop.cancel();
        tracing::info!("stopping: finishing what is in hand");
        app.drain().await.map_err(Failure::from).and(done)
    }

    fn roles(&self) -> Roles {
        if self.role.is_empty() {
            return Roles::ALL;
        }
        let has = |role| self.role.contains(&role);
        Roles { listen: has(Role::Listen), score: has(Role::Score), serve: has(Role::Serve) }
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
