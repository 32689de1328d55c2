//! Logs: structured, to standard error, without secrets or message text.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging: for people on a terminal, JSON lines elsewhere. `HEARKEN_LOG` sets the level or a filter (default
/// `info`), as for the daemon.
pub fn start() {
    let filter = EnvFilter::try_from_env("HEARKEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    // A second start keeps the first one.
    let _ = if terminal { logs.compact().try_init() } else { logs.json().try_init() };
}
