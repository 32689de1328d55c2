//! ClickHouse's errors as its HTTP interface shows them.

use std::fmt;

use hyper::StatusCode;

/// An error of the engine, or of the gateway in the engine's words:
/// `Code: 60. DB::Exception: Table x.y does not exist. (UNKNOWN_TABLE)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) struct Exception {
    /// ClickHouse's error code.
    pub(super) code: u16,
    text: String,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A code of ClickHouse's `ErrorCodes.cpp` with its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code(u16, &'static str);

impl Exception {
    /// A parameter or a body that makes no sense.
    pub(super) const BAD_ARGUMENTS: Code = Code(36, "BAD_ARGUMENTS");
    /// Input that ends too early.
    pub(super) const CANNOT_READ_ALL_DATA: Code = Code(33, "CANNOT_READ_ALL_DATA");
    /// Corrupt compressed block.
    pub(super) const CHECKSUM_DOESNT_MATCH: Code = Code(40, "CHECKSUM_DOESNT_MATCH");
    /// What the gateway does not do.
    pub(super) const NOT_IMPLEMENTED: Code = Code(48, "NOT_IMPLEMENTED");
    /// Our own fault.
    pub(super) const LOGICAL_ERROR: Code = Code(49, "LOGICAL_ERROR");
    /// Text that is no statement.
    pub(super) const SYNTAX_ERROR: Code = Code(62, "SYNTAX_ERROR");
    /// A setting that does not exist.
    pub(super) const UNKNOWN_SETTING: Code = Code(115, "UNKNOWN_SETTING");
    /// A write by somebody who may only read.
    pub(super) const READONLY: Code = Code(164, "READONLY");
    /// No slot within the wait.
    pub(super) const TOO_MANY_SIMULTANEOUS_QUERIES: Code = Code(202, "TOO_MANY_SIMULTANEOUS_QUERIES");
    /// SQL text over the limit.
    pub(super) const QUERY_IS_TOO_LARGE: Code = Code(229, "QUERY_IS_TOO_LARGE");
    /// The engine is being stopped.
    pub(super) const ABORTED: Code = Code(236, "ABORTED");
    /// Compressed block that cannot be decompressed.
    pub(super) const CANNOT_DECOMPRESS: Code = Code(271, "CANNOT_DECOMPRESS");
    /// Compressed block over the limit.
    pub(super) const TOO_LARGE_SIZE_COMPRESSED: Code = Code(39, "TOO_LARGE_SIZE_COMPRESSED");
    /// Something that this user may not do.
    pub(super) const ACCESS_DENIED: Code = Code(497, "ACCESS_DENIED");
    /// A role that the user has not.
    pub(super) const SET_NON_GRANTED_ROLE: Code = Code(512, "SET_NON_GRANTED_ROLE");
    /// Wrong user or password.
    pub(super) const AUTHENTICATION_FAILED: Code = Code(516, "AUTHENTICATION_FAILED");

    /// An exception of the gateway itself.
    pub(super) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code: code.0, text: format!("Code: {}. DB::Exception: {message}. ({})", code.0, code.1) }
    }

    /// Takes the text of the engine; a text without a code is ClickHouse's `STD_EXCEPTION`, 1001.
    pub(super) fn from_engine(text: String) -> Self {
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next())
            .and_then(|code| code.parse().ok())
            .unwrap_or(1001);
        Self { code, text }
    }

    /// The line that a client gets: the text with the version, which some texts of the engine already have, and a
    /// line end.
    pub(super) fn line(&self, version: &str) -> String {
        let text = self.text.trim_end();
        let version = format!("(version {version})");
        if text.ends_with(&version) { format!("{text}\n") } else { format!("{text} {version}\n") }
    }

    /// HTTP status that ClickHouse gives this code (`exceptionCodeToHTTPStatus.cpp`).
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6
            | 8
            | 15
            | 25..=27
            | 36..=38
            | 41
            | 44
            | 53
            | 62
            | 72
            | 117
            | 123
            | 167
            | 168
            | 223
            | 321
            | 376
            | 427
            | 441
            | 675
            | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            159 => StatusCode::REQUEST_TIMEOUT,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_text() {
        let text = "Code: 60. DB::Exception: Table x.y does not exist. (UNKNOWN_TABLE)";
        let exception = Exception::from_engine(text.to_owned());
        assert_eq!((exception.code, exception.status()), (60, StatusCode::NOT_FOUND));
        let line = format!("{text} (version 26.7.2.1)\n");
        assert_eq!(exception.line("26.7.2.1"), line);
        assert_eq!(Exception::from_engine(line.clone()).line("26.7.2.1"), line);
    }

    #[test]
    fn a_text_without_a_code_is_an_internal_error() {
        for text in ["", "Code: ", "Code: 99999999. x", "Another streaming query is already active"] {
            let exception = Exception::from_engine(text.to_owned());
            assert_eq!((exception.code, exception.status()), (1001, StatusCode::INTERNAL_SERVER_ERROR), "{text}");
        }
    }
}
