//! Standard output. A reader that goes away (`| head`) ends the command quietly.

use std::io::{ErrorKind, Write};

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
