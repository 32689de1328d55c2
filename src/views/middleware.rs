//! Middleware: the sources, how fresh they are, and what they missed.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Filter, millis, optional_millis};
use crate::store::{Store, StoreError};

/// One source: all of its time, whatever a filter says.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Last poll.
    #[serde(deserialize_with = "optional_millis")]
    pub last_poll_at: Option<Timestamp>,
    /// Last poll that went well.
    #[serde(deserialize_with = "optional_millis")]
    pub last_good_poll_at: Option<Timestamp>,
    /// Polls.
    pub polls: u64,
    /// Polls that failed.
    pub failed_polls: u64,
    /// Error of the last poll; empty where it went well, `None` where there was no poll.
    pub last_error: Option<String>,
    /// Messages heard, repeated ones included.
    pub messages: u64,
    /// Records that could not be understood.
    pub poison: u64,
    /// Distinct messages that speak of a brand.
    pub messages_matched: u64,
    /// Publication of the newest of them.
    #[serde(deserialize_with = "optional_millis")]
    pub last_published_at: Option<Timestamp>,
    /// When the last of them was heard.
    #[serde(deserialize_with = "optional_millis")]
    pub last_observed_at: Option<Timestamp>,
    /// Median time from published to heard, milliseconds.
    pub heard_after_ms: Option<i64>,
    /// Median time from heard to stored, milliseconds; a replay stores anew.
    pub stored_after_ms: Option<i64>,
}

/// All sources, by name.
pub async fn sources(store: &Store) -> Result<Vec<Source>, StoreError> {
    let sql = "SELECT toString(source) AS source, toString(channel) AS channel, \
                   toUnixTimestamp64Milli(last_poll_at) AS last_poll_at, \
                   toUnixTimestamp64Milli(last_good_poll_at) AS last_good_poll_at, \
                   polls, failed_polls, last_error, messages, poison, messages_matched, \
                   toUnixTimestamp64Milli(last_published_at) AS last_published_at, \
                   toUnixTimestamp64Milli(last_observed_at) AS last_observed_at, \
                   heard_after_ms, stored_after_ms \
               FROM source_freshness ORDER BY source";
    store.fetch("reading the freshness of sources", store.query(sql)).await
}

/// An interval in which a source missed messages, or may have.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub struct CoverageGap {
    /// Source.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Why: `rate_limit`, `cursor_expired`, `outage`, `page_ceiling`, `not_listening`.
    pub reason: String,
    /// Start, inclusive.
    #[serde(deserialize_with = "millis")]
    pub from: Timestamp,
    /// End, exclusive.
    #[serde(deserialize_with = "millis")]
    pub until: Timestamp,
    /// Messages missed, where known.
    pub estimate: Option<u64>,
    /// For the operator.
    pub detail: String,
}

/// Coverage gaps that touch the filter's channels and time, latest first.
pub async fn gaps(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<CoverageGap>, StoreError> {
    let filter = Filter { brands: Vec::new(), languages: Vec::new(), ..filter.clone() };
    // What touches the window has not ended before it and begins within it or earlier.
    let conditions =
        filter.conditions().replace("published_at >=", "until_at >").replace("published_at <", "from_at <");
    let sql = format!(
        "SELECT toString(source) AS source, toString(channel) AS channel, toString(reason) AS reason, \
             toUnixTimestamp64Milli(from_at) AS from, toUnixTimestamp64Milli(until_at) AS until, estimate, detail \
         FROM coverage_gaps WHERE 1{conditions} ORDER BY coverage_gaps.from_at DESC, source, reason LIMIT {limit}"
    );
    store.fetch("reading coverage gaps", filter.bind(store.query(&sql))).await
}

/// Dead letters of one source for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Refused {
    /// Source or stage that refused them.
    pub source: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub records: u64,
}

/// Dead letters by source and reason, most frequent first.
pub async fn refused(store: &Store, limit: usize) -> Result<Vec<Refused>, StoreError> {
    let sql = format!(
        "SELECT toString(source) AS source, reason, count() AS records FROM dead_letters \
         GROUP BY source, reason ORDER BY records DESC, source, reason LIMIT {limit}"
    );
    store.fetch("reading dead letters", store.query(&sql)).await
}
