//! Middleware: the sources, how fresh they are, and what they missed.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Filter, millis, optional_millis};
use crate::store::{Store, StoreError};

/// One source: all of its time, whatever a filter says.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Last poll.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_poll_at: Option<Timestamp>,
    /// Last poll that went well.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
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
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_published_at: Option<Timestamp>,
    /// When the last of them was heard.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_observed_at: Option<Timestamp>,
    /// Median time from published to heard, milliseconds.
    pub heard_after_ms: Option<i64>,
    /// Median time from heard to stored, milliseconds; a replay stores anew.
    pub stored_after_ms: Option<i64>,
}

/// All sources, by name. Of the filter only the brands and `public_only` count, and only for what is told of
/// mentions. Over everything it is the view `source_freshness`.
pub async fn sources(store: &Store, filter: &Filter) -> Result<Vec<Source>, StoreError> {
    let access = filter.access();
    let sql = format!(
        "SELECT toString(source) AS source, toString(any(channel)) AS channel, \
             toUnixTimestamp64Milli(maxOrNull(polled_at)) AS last_poll_at, \
             toUnixTimestamp64Milli(maxOrNullIf(polled_at, error = '')) AS last_good_poll_at, \
             countIf(polled_at IS NOT NULL) AS polls, \
             countIf(polled_at IS NOT NULL AND error != '') AS failed_polls, \
             argMaxOrNull(error, polled_at) AS last_error, sum(heard) AS messages, sum(refused) AS poison, \
             uniqExactIf(message_id, published_at IS NOT NULL) AS messages_matched, \
             toUnixTimestamp64Milli(maxOrNull(published_at)) AS last_published_at, \
             toUnixTimestamp64Milli(maxOrNull(observed_at)) AS last_observed_at, \
             quantileExactOrNull(0.5)(dateDiff('millisecond', published_at, observed_at)) AS heard_after_ms, \
             quantileExactOrNull(0.5)(dateDiff('millisecond', observed_at, stored_at)) AS stored_after_ms \
         FROM ( \
             SELECT source, channel, toNullable(polled_at) AS polled_at, messages AS heard, poison AS refused, error, \
                    toUUID('00000000-0000-0000-0000-000000000000') AS message_id, \
                    NULL AS published_at, NULL AS observed_at, NULL AS stored_at \
             FROM source_polls \
             UNION ALL \
             SELECT source, channel, NULL, 0, 0, '', message_id, published_at, observed_at, stored_at \
             FROM mentions WHERE 1{}) \
         GROUP BY source ORDER BY source",
        access.conditions()
    );
    store.fetch("reading the freshness of sources", access.bind(store.query(&sql))).await
}

/// One source at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Pulse {
    /// Its name.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Last poll.
    #[serde(deserialize_with = "optional_millis")]
    pub last_poll_at: Option<Timestamp>,
    /// Last poll that heard something.
    #[serde(deserialize_with = "optional_millis")]
    pub last_heard_at: Option<Timestamp>,
    /// Error of the last poll; empty where it went well, `None` where there was no poll.
    pub last_error: Option<String>,
    /// Distinct messages that speak of a brand, stored since then.
    pub stored: u64,
}

/// All sources by name, and what was stored of them since then.
pub async fn pulses(store: &Store, since: Timestamp) -> Result<Vec<Pulse>, StoreError> {
    let sql = "SELECT toString(source) AS source, \
             toString(ifNull(anyOrNullIf(channel, polled_at IS NOT NULL), any(channel))) AS channel, \
             toUnixTimestamp64Milli(maxOrNull(polled_at)) AS last_poll_at, \
             toUnixTimestamp64Milli(maxOrNullIf(polled_at, heard > 0)) AS last_heard_at, \
             argMaxOrNull(error, polled_at) AS last_error, \
             uniqExactIf(message_id, polled_at IS NULL) AS stored \
         FROM ( \
             SELECT source, channel, toNullable(polled_at) AS polled_at, messages AS heard, error, \
                    toUUID('00000000-0000-0000-0000-000000000000') AS message_id \
             FROM source_polls \
             UNION ALL \
             SELECT source, channel, NULL, 0, '', message_id \
             FROM mentions WHERE stored_at >= fromUnixTimestamp64Milli({since:Int64})) \
         GROUP BY source ORDER BY source";
    let query = store.query(sql).param("since", since.as_millisecond());
    store.fetch("reading how the sources are", query).await
}

/// An interval in which a source missed messages, or may have.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct CoverageGap {
    /// Source.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Why: `rate_limit`, `cursor_expired`, `outage`, `page_ceiling`, `not_listening`.
    pub reason: String,
    /// Start, inclusive.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// End, exclusive.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Messages missed, where known.
    pub estimate: Option<u64>,
    /// For the operator.
    pub detail: String,
}

/// Coverage gaps that touch the filter's channels and time, latest first.
pub async fn gaps(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<CoverageGap>, StoreError> {
    let filter = Filter { brands: Vec::new(), languages: Vec::new(), public_only: false, ..filter.clone() };
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
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
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

/// One poll of a source.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Poll {
    /// Source.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// When.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub polled_at: Timestamp,
    /// Messages heard.
    pub messages: u64,
    /// Records that could not be understood.
    pub poison: u64,
    /// Why it failed; empty where it went well.
    pub error: String,
}

/// The latest polls of these sources (of all, where none is named), newest first.
pub async fn polls(store: &Store, sources: &[String], limit: usize) -> Result<Vec<Poll>, StoreError> {
    let condition = if sources.is_empty() { "" } else { "WHERE source IN {sources:Array(String)}" };
    let sql = format!(
        "SELECT toString(source) AS source, toString(channel) AS channel, \
             toUnixTimestamp64Milli(polled_at) AS polled_at, messages, poison, error \
         FROM source_polls {condition} ORDER BY source_polls.polled_at DESC, source LIMIT {limit}"
    );
    let query = store.query(&sql);
    let query = if sources.is_empty() { query } else { query.param("sources", sources) };
    store.fetch("reading polls of sources", query).await
}
