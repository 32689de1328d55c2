//! Logs: structured, to standard error, without secrets or message text.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `HEARKEN_LOG` sets the level or a filter (default `info`); the format is for
/// people on a terminal and JSON lines elsewhere, unless `json` decides.
pub fn start(json: Option<bool>) {
    let filter = filter("info");
    let terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    // A second start (in tests) keeps the first one.
    let _ = if json.unwrap_or(!terminal) { logs.json().try_init() } else { logs.compact().try_init() };
}

/// Starts logging for a command whose output is for people: warnings only, unless `HEARKEN_LOG`
/// says otherwise.
pub fn start_quiet() {
    let filter = filter("error");
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).compact().try_init();
}

/// `HEARKEN_LOG`, or this level; never the details of libraries that quote what people wrote.
fn filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_from_env("HEARKEN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // ClickHouse's errors may hold values of rows; the client library logs them at debug level. The
    // IMAP library logs all that is said, passwords and mails, at trace level.
    let directives = ["clickhouse=warn", "async_imap=warn"].into_iter().filter_map(|directive| directive.parse().ok());
    directives.fold(filter, EnvFilter::add_directive)
}
