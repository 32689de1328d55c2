//! Second opinions: which texts wait for one, and which of them stand.
//!
//! What waits is found from the time of storing, without `FINAL`: only a window of the table is read, and no more of it
//! than a page needs. Of each message found there, the key alone is then asked for its current revision. The lowest bit of
//! a revision says whether a second scorer has spoken.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::mentions::store_clock;
use super::storable;
use crate::store::rows::Opinion;
use crate::store::{Store, StoreError};

/// Characters of title and of text that are given to a scorer; none of ours reads more.
const CHARS: usize = 4_096;
/// How far back the next look goes, milliseconds: a row is seen some time after the moment that it carries. An insert
/// may take two minutes and a half, and the servers of a cluster have clocks of their own.
const OVERLAP: i64 = 300_000;
/// The shortest window of time that is looked through, milliseconds.
const WINDOW: i64 = 10_000;
/// How much longer the next window is where this one holds little.
const WIDER: i64 = 8;
/// Rows that make a window worth looking through.
const ENOUGH: usize = 10_000;

/// A text that waits for a second opinion, and what the first scorer said of it.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Wanted {
    /// Id of the message.
    #[serde(deserialize_with = "clickhouse::serde::uuid::deserialize")]
    pub id: Uuid,
    /// Version of the message; an edit has a higher one.
    pub version: u64,
    /// BCP 47 primary tag; `und` where it cannot be told.
    pub language: String,
    /// Headline or subject, its first 4,096 characters.
    pub title: String,
    /// What was said, its first 4,096 characters.
    pub text: String,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: String,
    /// P(positive) - P(negative), -1 to 1.
    pub score: f32,
    /// Probability of the best guess, 0 to 1.
    pub confidence: f32,
    /// Model and version.
    pub model: String,
}

/// A place in the order of storing: latest first.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Place {
    /// Unix milliseconds of the store's clock.
    pub stored_at: i64,
    /// Id of the message.
    #[serde(with = "clickhouse::serde::uuid")]
    pub id: Uuid,
}

/// A page of texts.
#[derive(Debug)]
pub struct Page {
    /// The texts, latest stored first. There may be none on a page that is not the last one.
    pub texts: Vec<Wanted>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Place>,
    /// `from` of the next look, once the last page is read: what was stored before has been seen.
    pub resume_from: Timestamp,
}

/// Texts that wait for a second opinion, stored `from` then on and after a place, latest stored first.
///
/// These are what others said in person: neither the brand's own words (outbound), nor automatic or bulk mail.
pub async fn wanted(
    store: &Store,
    from: Option<Timestamp>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Page, StoreError> {
    let clock = store_clock(store).await?;
    let floor = from.map_or(0, |from| storable(from.as_millisecond()).max(0));
    let top = Place { stored_at: clock.saturating_add(OVERLAP), id: Uuid::max() };
    let after = after.map_or(top, |place| Place { stored_at: storable(place.stored_at), id: place.id });
    let start = window(store, floor, &after, clock).await?;
    let found = candidates(store, start, &after, limit).await?;
    let next = match found.last() {
        Some(last) if found.len() == limit => Some(last.clone()),
        _ if start > floor => Some(Place { stored_at: start, id: Uuid::nil() }),
        _ => None,
    };
    let texts = standing(store, &found).await?;
    let resume_from = Timestamp::from_millisecond(clock.saturating_sub(OVERLAP)).unwrap_or_default();
    Ok(Page { texts, next, resume_from })
}

/// Where a window begins that ends at a place and holds enough, or everything from the floor on.
async fn window(store: &Store, floor: i64, end: &Place, clock: i64) -> Result<i64, StoreError> {
    let sql = format!(
        "SELECT count() FROM (SELECT 1 FROM mention_revisions \
         WHERE stored_at >= fromUnixTimestamp64Milli({{start:Int64}}) \
             AND stored_at <= fromUnixTimestamp64Milli({{end:Int64}}) LIMIT {ENOUGH})"
    );
    let mut width = WINDOW;
    loop {
        let start = end.stored_at.min(clock).saturating_sub(width).max(floor);
        if start == floor {
            return Ok(floor);
        }
        let query = store.query(&sql).param("start", storable(start)).param("end", end.stored_at);
        let rows: u64 = store.fetch_one("looking for texts without a second opinion", query).await?;
        if rows >= ENOUGH as u64 {
            return Ok(start);
        }
        width = width.saturating_mul(WIDER);
    }
}

/// Messages of a window of which the first scorer spoke last, as far as the window tells.
async fn candidates(store: &Store, start: i64, after: &Place, limit: usize) -> Result<Vec<Place>, StoreError> {
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(max(latest)) AS stored_at, id FROM ( \
             SELECT message_id AS id, max(revision) AS newest, max(mention_revisions.stored_at) AS latest \
             FROM mention_revisions \
             WHERE mention_revisions.stored_at >= fromUnixTimestamp64Milli({{start:Int64}}) \
                 AND mention_revisions.stored_at <= fromUnixTimestamp64Milli({{end:Int64}}) \
             GROUP BY brand, message_id HAVING bitAnd(newest, 1) = 0) \
         GROUP BY id HAVING (stored_at, id) < ({{end:Int64}}, toUUID({{after:String}})) \
         ORDER BY stored_at DESC, id DESC LIMIT {limit}"
    );
    let query = store.query(&sql).param("start", storable(start)).param("end", after.stored_at);
    store.fetch("looking for texts without a second opinion", query.param("after", after.id.to_string())).await
}

/// What these messages say, where it still waits for a second opinion.
async fn standing(store: &Store, found: &[Place]) -> Result<Vec<Wanted>, StoreError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT message_id AS id, toUInt64(bitShiftRight(revision, 64)) AS version, toString(language) AS language, \
             substringUTF8(mention_revisions.title, 1, {CHARS}) AS title, \
             substringUTF8(mention_revisions.text, 1, {CHARS}) AS text, toString(sentiment) AS sentiment, \
             sentiment_score AS score, sentiment_confidence AS confidence, toString(sentiment_model) AS model \
         FROM mention_revisions FINAL \
         WHERE message_id IN (SELECT toUUID(arrayJoin({{ids:Array(String)}}))) AND NOT deleted \
             AND bitAnd(revision, 1) = 0 AND direction = 'inbound' AND noise = 'none' \
         ORDER BY stored_at DESC, message_id DESC LIMIT 1 BY message_id"
    );
    let ids: Vec<String> = found.iter().map(|place| place.id.to_string()).collect();
    store.fetch("reading texts without a second opinion", store.query(&sql).param("ids", ids)).await
}

/// Of how many of these (message, version) a second opinion stands, under every brand.
pub async fn applied(store: &Store, opinions: &[Opinion]) -> Result<u64, StoreError> {
    let sql = "SELECT count() FROM ( \
                   SELECT message_id, toUInt64(bitShiftRight(revision, 64)) AS version \
                   FROM mention_revisions FINAL \
                   WHERE message_id IN (SELECT toUUID(arrayJoin({ids:Array(String)}))) AND NOT deleted \
                   GROUP BY message_id, version HAVING min(bitAnd(revision, 1)) > 0) \
               WHERE (message_id, version) IN ( \
                   SELECT toUUID(opinion.1), opinion.2 \
                   FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {versions:Array(UInt64)})) AS opinion))";
    let ids: Vec<String> = opinions.iter().map(|opinion| opinion.message_id.to_string()).collect();
    let versions: Vec<u64> = opinions.iter().map(|opinion| opinion.version).collect();
    store.fetch_one("counting second opinions", store.query(sql).param("ids", ids).param("versions", versions)).await
}
