//! What systemd is told of the daemon, where it runs as a service of `Type=notify`
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>). Elsewhere nobody listens.

use std::convert::Infallible;

use sd_notify::NotifyState;

/// The daemon has started, or goes on after a reload.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The daemon finishes what is in hand.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says again and again that the daemon lives, twice as often as systemd wants to hear it; never returns. It runs
/// beside the tasks, on the same threads: when those are stuck, so is this, and systemd starts the daemon anew.
pub(super) async fn keep_alive() -> Infallible {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(interval / 2).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd how the daemon is doing");
    }
}
