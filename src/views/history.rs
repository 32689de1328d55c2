//! What the store holds of a brand, as a rescoring compares it with the log.

use std::collections::HashMap;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::millis;
use crate::store::{Rows, Store, StoreError};

/// Ids of a question: they go to the store in the head of a request, which has at most 64 KiB.
pub(crate) const IDS: usize = 1_000;

/// A mention as its first scorer left it, or a tombstone of a rescoring.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Held {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) id: Uuid,
    pub(crate) revision: u128,
    pub(crate) deleted: bool,
    pub(crate) channel: String,
    pub(crate) direction: String,
    pub(crate) matched: Vec<String>,
    pub(crate) language: String,
    pub(crate) language_confidence: f32,
    /// The label that counts by the scorers.
    pub(crate) shown: String,
    pub(crate) sentiment: String,
    pub(crate) score: f32,
    pub(crate) confidence: f32,
    pub(crate) model: String,
    pub(crate) intents: Vec<String>,
    pub(crate) intent_version: String,
    pub(crate) fingerprint: Vec<u16>,
    pub(crate) influence: f32,
    pub(crate) influence_reach: f32,
    pub(crate) influence_resonance: f32,
    pub(crate) influence_version: String,
    pub(crate) observed_at: i64,
}

/// Every mention of a brand that was published since then, and every tombstone that a rescoring has written.
pub(crate) fn held(store: &Store, brand: &str, since: Option<Timestamp>) -> Result<Rows<Held>, StoreError> {
    // Every column is named with its table: a bare name would stand for what the question calls so.
    let sql = "SELECT r.message_id AS id, r.revision AS revision, r.deleted AS deleted, toString(r.channel) AS channel, \
                   toString(r.direction) AS direction, CAST(r.matched AS Array(String)) AS matched, \
                   toString(r.language) AS language, r.language_confidence AS language_confidence, \
                   toString(r.sentiment) AS shown, \
                   if(r.first_model = '', toString(r.sentiment), toString(r.first_sentiment)) AS sentiment, \
                   if(r.first_model = '', r.sentiment_score, r.first_score) AS score, \
                   if(r.first_model = '', r.sentiment_confidence, r.first_confidence) AS confidence, \
                   if(r.first_model = '', toString(r.sentiment_model), toString(r.first_model)) AS model, \
                   CAST(r.intents AS Array(String)) AS intents, toString(r.intent_version) AS intent_version, \
                   r.fingerprint AS fingerprint, r.influence AS influence, r.influence_reach AS influence_reach, \
                   r.influence_resonance AS influence_resonance, toString(r.influence_version) AS influence_version, \
                   toUnixTimestamp64Milli(r.observed_at) AS observed_at \
               FROM mention_revisions AS r FINAL \
               WHERE r.brand = {brand:String} AND if(r.deleted, bitAnd(r.revision, 65535) > 0, \
                   r.published_at >= fromUnixTimestamp64Milli({since:Int64}))";
    let since = since.map_or(i64::MIN, |since| since.as_millisecond());
    let query = store.query(sql).param("brand", brand).param("since", super::storable(since));
    store.stream("reading the mentions of a brand", query)
}

#[derive(Debug, Row, Deserialize)]
struct Corrected {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    sentiment: String,
}

/// The labels that people gave to mentions of a brand.
pub(crate) async fn corrections(store: &Store, brand: &str) -> Result<HashMap<Uuid, String>, StoreError> {
    let sql = "SELECT c.message_id AS id, toString(c.sentiment) AS sentiment FROM sentiment_corrections AS c \
               WHERE c.brand = {brand:String}";
    let mut rows = store.stream::<Corrected>("reading corrections", store.query(sql).param("brand", brand))?;
    let mut corrections = HashMap::new();
    while let Some(row) = rows.next().await? {
        corrections.insert(row.id, row.sentiment);
    }
    Ok(corrections)
}

/// A mention in short.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Short {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) id: Uuid,
    pub(crate) channel: String,
    pub(crate) author: String,
    pub(crate) text: String,
    #[serde(deserialize_with = "millis")]
    pub(crate) published_at: Timestamp,
}

/// These mentions of a brand in short: the beginning of title and text.
pub(crate) async fn shorts(
    store: &Store,
    brand: &str,
    ids: &[Uuid],
    characters: usize,
) -> Result<Vec<Short>, StoreError> {
    let sql = format!(
        "SELECT m.message_id AS id, toString(m.channel) AS channel, \
             if(m.author_handle = '', if(m.author_name = '', m.author_id, m.author_name), m.author_handle) AS author, \
             substringUTF8(trim(concat(m.title, ' ', m.text)), 1, {characters}) AS text, \
             toUnixTimestamp64Milli(m.published_at) AS published_at \
         FROM mentions AS m WHERE m.brand = {{brand:String}} \
             AND m.message_id IN (SELECT toUUID(arrayJoin({{ids:Array(String)}}))) ORDER BY m.message_id"
    );
    let query = store.query(&sql).param("brand", brand).param("ids", texts(ids));
    store.fetch("reading mentions", query).await
}

/// A second opinion that stands.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Second {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) id: Uuid,
    pub(crate) revision: u128,
    pub(crate) sentiment: String,
    pub(crate) score: f32,
    pub(crate) confidence: f32,
    pub(crate) model: String,
}

/// The second opinions on these mentions of a brand, at most [`IDS`].
pub(crate) async fn second_opinions(store: &Store, brand: &str, ids: &[Uuid]) -> Result<Vec<Second>, StoreError> {
    let sql = "SELECT r.message_id AS id, r.revision AS revision, toString(r.sentiment) AS sentiment, \
                   r.sentiment_score AS score, r.sentiment_confidence AS confidence, toString(r.sentiment_model) AS model \
               FROM mention_revisions AS r FINAL \
               WHERE r.brand = {brand:String} AND r.message_id IN (SELECT toUUID(arrayJoin({ids:Array(String)}))) \
                   AND NOT r.deleted AND bitAnd(r.revision, 1) = 1";
    let query = store.query(sql).param("brand", brand).param("ids", texts(ids));
    store.fetch("reading second opinions", query).await
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}
