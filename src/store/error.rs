//! What went wrong in the store, whose turn it is now, and never what the rows say.

use std::fmt;

use clickhouse::error::Error;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Trying again makes sense: ClickHouse is away, busy, out of disk or memory.
    #[error("the store is unavailable while {doing}: {cause}; it is tried again")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        cause: Cause,
    },
    /// Trying again is useless until somebody acts.
    #[error("the store refused {doing}: {cause}; {next}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        cause: Cause,
        /// What to do.
        next: &'static str,
    },
    /// The schema in the store and the migrations of this release do not fit together.
    #[error("{0}")]
    Schema(String),
}

impl StoreError {
    /// True where the same call may succeed later, with nobody doing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// ClickHouse's own error code, where it gave one.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Unavailable { cause, .. } | Self::Refused { cause, .. } => cause.code,
            Self::Schema(_) => None,
        }
    }

    /// Classifies an error of the client library.
    pub(crate) fn new(doing: &'static str, error: &Error) -> Self {
        let cause = Cause::of(error);
        if is_passing(error, cause.code) {
            return Self::Unavailable { doing, cause };
        }
        Self::Refused { doing, next: remedy(error, cause.code), cause }
    }
}

/// What ClickHouse, or the way to it, said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// ClickHouse's error code.
    pub code: Option<u32>,
    /// ClickHouse's name of the error, or the kind of failure; safe to log.
    pub name: String,
    /// ClickHouse's explanation, only where it speaks of the query and not of the data.
    pub detail: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "ClickHouse error {code} {}", self.name)?,
            None => f.write_str(&self.name)?,
        }
        self.detail.iter().try_for_each(|detail| write!(f, ": {detail}"))
    }
}

impl Cause {
    fn of(error: &Error) -> Self {
        let Error::BadResponse(response) = error else {
            return Self { code: None, name: name_of(error), detail: None };
        };
        let Some((code, rest)) = code_of(response) else {
            // Without a code the answer is not ClickHouse's; a proxy's page could repeat what was sent.
            let name = match response.get(..3).and_then(|status| status.parse::<u16>().ok()) {
                Some(status) => format!("HTTP status {status}"),
                None => "an answer that is not ClickHouse's".to_owned(),
            };
            return Self { code: None, name, detail: None };
        };
        let detail = SPEAKS_OF_THE_QUERY.contains(&code).then(|| explanation(rest)).filter(|text| !text.is_empty());
        Self { code: Some(code), name: symbol(rest).unwrap_or("without a name").to_owned(), detail }
    }
}

/// Codes whose text quotes the query, names in it, or limits, but never a value of a row. All other texts are
/// withheld: a parse or conversion error quotes the value that it could not read.
const SPEAKS_OF_THE_QUERY: [u32; 21] = [
    36,  // BAD_ARGUMENTS
    42,  // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    46,  // UNKNOWN_FUNCTION
    47,  // UNKNOWN_IDENTIFIER
    57,  // TABLE_ALREADY_EXISTS
    60,  // UNKNOWN_TABLE
    62,  // SYNTAX_ERROR
    73,  // UNKNOWN_FORMAT
    81,  // UNKNOWN_DATABASE
    115, // UNKNOWN_SETTING
    158, // TOO_MANY_ROWS
    159, // TIMEOUT_EXCEEDED
    164, // READONLY
    184, // ILLEGAL_AGGREGATION
    215, // NOT_AN_AGGREGATE
    241, // MEMORY_LIMIT_EXCEEDED
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    456, // UNKNOWN_QUERY_PARAMETER
    497, // ACCESS_DENIED
];

/// Codes of conditions that pass, or that an operator lifts while we wait.
const PASSES: [u32; 20] = [
    76,  // CANNOT_OPEN_FILE
    159, // TIMEOUT_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    439, // CANNOT_SCHEDULE_TASK
    473, // DEADLOCK_AVOIDED
    999, // KEEPER_EXCEPTION
];

fn is_passing(error: &Error, code: Option<u32>) -> bool {
    match (error, code) {
        (_, Some(code)) => PASSES.contains(&code),
        (Error::Network(_) | Error::TimedOut, None) => true,
        // A gateway or proxy that has lost its ClickHouse.
        (Error::BadResponse(response), None) => {
            ["408", "429", "500", "502", "503", "504"].iter().any(|status| response.starts_with(status))
        }
        _ => false,
    }
}

fn remedy(error: &Error, code: Option<u32>) -> &'static str {
    match (error, code) {
        (_, Some(192..=194 | 516)) => "check the store's user and password",
        (_, Some(164 | 497)) => "grant the store's user what it needs, or use another user",
        (_, Some(46 | 47 | 60 | 81)) => "check the names; `hearken run` brings the schema up to date",
        (_, Some(36 | 42 | 43 | 62 | 73 | 115 | 184 | 215 | 456)) => "correct the query",
        (_, Some(_)) => "look the code up in the log of ClickHouse",
        (Error::InvalidParams(_), None) => "check the store's address",
        (Error::SchemaMismatch(_), None) => {
            "the table differs from this release; `hearken run` brings the schema up to date"
        }
        (Error::BadResponse(_), None) => "check that the store's address is ClickHouse's HTTP interface",
        _ => "this is a defect of hearken: report it",
    }
}

/// The kind of an error that did not come from ClickHouse; its text could quote what was sent.
fn name_of(error: &Error) -> String {
    match error {
        Error::InvalidParams(_) => "the request could not be built".to_owned(),
        Error::Network(cause) => innermost(cause.as_ref()),
        Error::TimedOut => "no answer in time".to_owned(),
        Error::Compression(_) | Error::Decompression(_) => "the compressed data is damaged".to_owned(),
        // Names columns and types, never values.
        Error::SchemaMismatch(text) => text.clone(),
        Error::RowNotFound => "no row came back".to_owned(),
        Error::NotEnoughData => "the answer ended too early".to_owned(),
        Error::InvalidColumnsHeader(_) => "the columns of the answer could not be read".to_owned(),
        Error::InvalidUtf8Encoding(_) => "the answer holds text that is not UTF-8".to_owned(),
        Error::Custom(_) => "a value of the answer could not be read".to_owned(),
        _ => "the answer could not be read".to_owned(),
    }
}

/// The operating system's word on a failed connection, for example `connection refused`.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => io.kind().to_string(),
        None => "the connection failed".to_owned(),
    }
}

/// Splits `Code: 60. DB::Exception: ...` into 60 and what follows.
fn code_of(response: &str) -> Option<(u32, &str)> {
    let (_, rest) = response.split_once("Code: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (code, rest) = rest.split_at_checked(digits)?;
    Some((code.parse().ok()?, rest))
}

/// ClickHouse ends its explanations with the symbol in parentheses: `... (UNKNOWN_TABLE) (version 26.7)`.
fn symbol(rest: &str) -> Option<&str> {
    rest.rsplit('(').filter_map(|part| part.split(')').next()).find(|name| {
        name.contains('_') && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            || *name == "READONLY"
            || *name == "ABORTED"
    })
}

/// The explanation without prefix, symbol and version, on one line of bounded length.
fn explanation(rest: &str) -> String {
    const LONGEST: usize = 400;
    let text = rest.trim_start_matches(['.', ' ']).trim_start_matches("DB::Exception:").trim_start();
    let text = symbol(text).and_then(|name| text.rsplit_once(&format!(" ({name})"))).map_or(text, |(text, _)| text);
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(cut);
        line.push('…');
    }
    line.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answered(text: &str) -> StoreError {
        StoreError::new("reading mentions", &Error::BadResponse(text.to_owned()))
    }

    #[test]
    fn explains_what_is_wrong_with_a_query() {
        let error = answered(
            "Code: 60. DB::Exception: Table hearken.mention does not exist. Maybe you meant hearken.mentions?. \
             (UNKNOWN_TABLE) (version 26.7.2.1 (official build))",
        );
        assert_eq!(error.code(), Some(60));
        assert_eq!(
            error.to_string(),
            "the store refused reading mentions: ClickHouse error 60 UNKNOWN_TABLE: Table hearken.mention does not \
             exist. Maybe you meant hearken.mentions?; check the names; `hearken run` brings the schema up to date"
        );
    }

    #[test]
    fn withholds_what_could_be_data() {
        let error = answered(
            "Code: 27. DB::Exception: Cannot parse input: expected '(' before: 'my secret words': \
             While executing ParallelParsingBlockInputFormat. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)",
        );
        assert!(!error.is_retryable());
        assert_eq!(
            error.to_string(),
            "the store refused reading mentions: ClickHouse error 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED; look the \
             code up in the log of ClickHouse"
        );
        assert!(!answered("<html>my secret words</html>").to_string().contains("secret"));
    }

    #[test]
    fn full_disk_lost_gateway_and_lost_network_pass() {
        assert!(
            answered("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)")
                .is_retryable()
        );
        assert!(answered("503 Service Unavailable").is_retryable());
        assert!(StoreError::new("writing mentions", &Error::TimedOut).is_retryable());
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = StoreError::new("writing mentions", &Error::Network(Box::new(refused)));
        assert_eq!(
            error.to_string(),
            "the store is unavailable while writing mentions: connection refused; it is tried again"
        );
    }

    #[test]
    fn a_wrong_password_names_the_setting() {
        let error = answered("Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)");
        assert!(error.to_string().ends_with("check the store's user and password"), "{error}");
    }

    #[test]
    fn odd_answers_are_survived() {
        for text in ["", "Code: ", "Code: x", "Code: 99999999999999", "Code: 60", "Code: 62. (", "é"] {
            let _ = answered(text).to_string();
        }
    }
}
