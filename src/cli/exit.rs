//! Exit codes (see `hearken --help`; the numbers are those of sysexits.h) and how a failure is told.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use hearken::app::AppError;

/// The command line or the configuration is wrong.
pub(super) const USAGE: u8 = 64;
const DATA: u8 = 65;
const UNAVAILABLE: u8 = 69;
const BUG: u8 = 70;
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked, and the exit code that says so.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The configuration is wrong; nothing was started.
    pub(super) fn configuration(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// The command line is wrong.
    pub(super) fn usage(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// Input data is wrong.
    pub(super) fn data(message: impl Display) -> Self {
        Self { code: DATA, message: message.to_string() }
    }

    /// Something needed is not there.
    pub(super) fn unavailable(message: impl Display) -> Self {
        Self { code: UNAVAILABLE, message: message.to_string() }
    }

    /// A bug.
    pub(super) fn bug(message: impl Display) -> Self {
        Self { code: BUG, message: message.to_string() }
    }

    /// Stopped before it was done.
    pub(super) fn interrupted(message: impl Display) -> Self {
        Self { code: INTERRUPTED, message: message.to_string() }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Config(_) | AppError::Query(_) | AppError::NeedsRestart(_) => Self::configuration(error),
            AppError::Model(_) => Self::data(error),
            AppError::Overdue(_) => Self::bug(error),
            _ => Self::unavailable(error),
        }
    }
}

/// Tells a failure on standard error and returns its exit code.
pub(super) fn report(failure: &Failure) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "hearken: {}", failure.message);
    failure.code.into()
}
