//! The contract between a connector and the daemon.
//!
//! # Delivery semantics
//!
//! 1. **A cursor travels with its batch.** [`Connector::next_batch`] returns messages together
//!    with the [`Cursor`] that covers them. The caller appends the messages to the event log,
//!    waits for the acknowledgement, and only then stores the cursor. A connector never writes
//!    its cursor anywhere.
//! 2. **At least once.** After a crash a connector is built again with the last stored cursor, so
//!    a batch that was not stored is heard again. Message ids are deterministic, therefore hearing
//!    twice counts once.
//! 3. **In order.** Batches are handed over one at a time; the next call comes only after the
//!    previous batch is acknowledged (or after the same connector value is dropped). Within
//!    itself, a connector moves its position forward as soon as it returns a batch.
//! 4. **Cancel-safe.** The future of `next_batch` may be dropped at any await point. A dropped call
//!    loses nothing: the next call on the same value returns what the dropped one would have.
//! 5. **Bad input is kept, not fatal.** What cannot be understood comes back as [`Poison`] beside
//!    the good part of the page; the cursor covers both.
//! 6. **Gaps are admitted.** Whatever a connector knows that it missed is returned as a [`Gap`],
//!    with the interval, the reason and an estimate where there is one.
//! 7. **No policy.** A connector does not retry and does not back off: it returns a
//!    [`ConnectorError`] that says whose fault it is and when trying again makes sense, and the
//!    supervisor decides. Rate limiting is the exception: waiting for one's turn is part of a call.
//! 8. **Silence in logs.** Neither secrets nor message text are ever logged or put into an error.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::message::Message;

/// One source, listened to.
///
/// Built by the [registry](crate::registry) from its configuration and the last stored cursor.
#[async_trait]
pub trait Connector: Send {
    /// Connects and authenticates without consuming anything; returns one line for the operator
    /// that says what was reached, for example `4 feeds, 3 reachable as RSS 2.0, 1 as Atom`.
    async fn check(&mut self) -> Result<String, ConnectorError>;

    /// Waits until there is something to hand over, or until the connector's own poll interval has
    /// passed, and returns it. An empty batch is an answer too: "polled, nothing new".
    ///
    /// Bounded: at most a few thousand messages a batch.
    async fn next_batch(&mut self) -> Result<Batch, ConnectorError>;
}

/// What one poll heard, and the position after it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// New, changed and deleted messages, oldest first where the source has an order.
    pub messages: Vec<Message>,
    /// Records that could not be understood.
    pub poison: Vec<Poison>,
    /// What the connector knows that it missed.
    pub gaps: Vec<Gap>,
    /// The position that covers all of the above; `None` when it has not moved.
    pub cursor: Option<Cursor>,
    /// True when the source has more at hand: the next call will not wait for its poll interval.
    pub more: bool,
    /// True when a finite source (a file read once) is drained: the caller stops polling.
    pub end: bool,
}

/// A connector's position in its source: opaque to everybody else, stable across releases.
///
/// JSON, so that an operator can read it. Every connector keeps a golden file of each version that
/// it ever wrote, and reads all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub serde_json::Value);

impl Cursor {
    /// Wraps a connector's own typed position.
    pub fn of(position: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(position).map(Self)
    }

    /// Reads the connector's own typed position back.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }

    /// Reads a position back that says in `version` which form it has; this release knows one of them.
    pub(crate) fn read_version<T: for<'de> Deserialize<'de>>(&self, known: u32) -> Result<T, BuildError> {
        match self.0.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(known) => {
                self.read().map_err(|error| BuildError::Cursor(error.to_string()))
            }
            Some(version) => Err(BuildError::Cursor(format!("version {version} is not known here"))),
            None => Err(BuildError::Cursor("it has no version".to_owned())),
        }
    }
}

/// A record that could not be turned into a message; kept for the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poison {
    /// Where it came from, exact enough to find it again: a URL, or `path:line`.
    pub origin: String,
    /// Why it could not be understood, for a person; holds no message text.
    pub reason: String,
    /// The record as it came, cut at 64 KiB; base64 in JSON.
    #[serde(with = "base64_bytes")]
    pub payload: Vec<u8>,
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An interval in which messages were, or may have been, missed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Start of the interval, inclusive.
    pub from: Timestamp,
    /// End of the interval, exclusive.
    pub until: Timestamp,
    /// Why.
    pub reason: GapReason,
    /// How many messages were missed, where that can be estimated.
    pub estimate: Option<u64>,
    /// One sentence for the operator; names the remote, holds no message text.
    pub detail: String,
}

/// Why messages were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The source refused further requests for a while.
    RateLimit,
    /// The stored cursor is older than what the source still has.
    CursorExpired,
    /// The source could not be reached, or answered with errors or garbage.
    Outage,
    /// The source returned fewer pages or items than it had.
    PageCeiling,
    /// Hearken itself was not listening.
    NotListening,
}

impl GapReason {
    /// The name used in JSON, SQL and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::CursorExpired => "cursor_expired",
            Self::Outage => "outage",
            Self::PageCeiling => "page_ceiling",
            Self::NotListening => "not_listening",
        }
    }
}

/// Whose fault an error is; decides who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The operator has to change a setting or a credential.
    Configuration,
    /// The remote misbehaved.
    Remote,
    /// The network between us did.
    Network,
    /// We did: a bug.
    Bug,
}

/// Why a call to a connector failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectorError {
    /// What was being done and what went wrong, for a person; lower case, no message text.
    pub message: String,
    /// Whose fault it is.
    pub fault: Fault,
    /// When to try again: `None` means that trying again is useless until somebody acts;
    /// `Some(ZERO)` leaves the choice to the supervisor's backoff; anything longer is the remote's
    /// own word (Retry-After, a rate-limit reset) and is honoured.
    pub retry_after: Option<Duration>,
    /// True when the remote limited our rate (the gap, if one comes of it, says so).
    pub rate_limited: bool,
}

impl ConnectorError {
    /// The operator must act; not retried.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self { message: message.into(), fault: Fault::Configuration, retry_after: None, rate_limited: false }
    }

    /// The remote misbehaved; retried with backoff.
    pub fn remote(message: impl Into<String>) -> Self {
        Self { fault: Fault::Remote, retry_after: Some(Duration::ZERO), ..Self::configuration(message) }
    }

    /// The network failed; retried with backoff.
    pub fn network(message: impl Into<String>) -> Self {
        Self { fault: Fault::Network, retry_after: Some(Duration::ZERO), ..Self::configuration(message) }
    }

    /// The remote asked us to wait.
    pub fn rate_limited(message: impl Into<String>, wait: Duration) -> Self {
        Self { retry_after: Some(wait), rate_limited: true, ..Self::remote(message) }
    }

    /// We have a bug; retried with backoff, reported loudly.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { fault: Fault::Bug, retry_after: Some(Duration::ZERO), ..Self::configuration(message) }
    }
}

/// Why a connector could not be built from its configuration or cursor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// No connector has this name.
    #[error("unknown channel `{name}`{}; the channels are {}", nearest(.suggestion), .known.join(", "))]
    UnknownChannel {
        /// The name that was asked for.
        name: String,
        /// The valid name closest to it.
        suggestion: Option<String>,
        /// All valid names.
        known: Vec<String>,
    },
    /// A setting is missing, unknown or wrong.
    #[error("{path}: {reason}")]
    Setting {
        /// Key path below the source, for example `fields.text`.
        path: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The stored cursor cannot be read by this release.
    #[error("the stored cursor cannot be read: {0}")]
    Cursor(String),
}

impl BuildError {
    /// A setting that is wrong, by its key path below the source.
    pub(crate) fn setting(path: &str, reason: &str) -> Self {
        Self::Setting { path: path.to_owned(), reason: reason.to_owned() }
    }
}

fn nearest(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
