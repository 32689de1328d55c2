//! Standard output. A reader that goes away (`| head`) ends the command quietly.

use std::io::{ErrorKind, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::exit::Failure;

/// Writes text as it is.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes one value as one line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value).map_err(Failure::bug)?;
    line.push(b'\n');
    bytes(&line)
}

/// Writes one value as JSON for people.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    text(&(serde_json::to_string_pretty(value).map_err(Failure::bug)? + "\n"))
}

/// Writes bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::unavailable(format!("cannot write to standard output: {error}"))),
    }
}

/// Tells something beside the answer, on standard error.
pub(super) fn note(text: &str) -> Result<(), Failure> {
    let written = writeln!(std::io::stderr(), "hearken: {text}");
    written.map_err(|error| Failure::unavailable(format!("cannot write to standard error: {error}")))
}

/// A progress bar on standard error; invisible where that is no terminal.
pub(super) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {human_pos}/{human_len} {eta}");
    ProgressBar::new(total).with_prefix(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// True where standard output is a terminal that shows colours (<https://no-color.org>).
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
