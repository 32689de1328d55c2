//! What the scores of authors are made of: everything that was said in public by others, noise left out.
//!
//! A mention's time is when it was published, or when it was heard where that is earlier: a source that dates its
//! messages into the future moves nothing. An author is the platform's id of them, or their handle where it gives none;
//! `node` stands for (channel, author) in 64 bits.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::mapping::AUTHOR;
use crate::score::author::{ACTIVE_WINDOW_DAYS, Heard};
use crate::score::influence::{REPLY_WEIGHT, REPOST_WEIGHT};
use crate::store::{Rows, Store, StoreError};

const DOING: &str = "reading what authors said";
/// Which mentions count.
const COUNTS: &str = "direction = 'inbound' AND visibility = 'public' AND noise = 'none' AND \
                      if(author_id = '', author_handle, author_id) != ''";
/// When a mention was said.
const AT: &str = "least(published_at, observed_at)";
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// The messages that count, each once however many brands it speaks of.
fn messages() -> String {
    format!(
        "(SELECT *, {AUTHOR} AS author, {AT} AS at FROM mentions WHERE {COUNTS} \
          ORDER BY revision DESC, brand LIMIT 1 BY message_id)"
    )
}

/// Weighted reactions to a message. Each count is capped, so that no sum of them runs over.
fn reactions() -> String {
    let capped = |name: &str| format!("least({name}, 1000000000)");
    let [likes, replies, reposts, quotes] = ["likes", "replies", "reposts", "quotes"].map(capped);
    format!("({likes} + {REPLY_WEIGHT} * {replies} + {REPOST_WEIGHT} * ({reposts} + {quotes}))")
}

/// What is in the store, and what was computed from it last. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Row, Deserialize)]
pub(crate) struct State {
    /// When the latest row was stored; 0 in an empty store.
    pub(crate) stored_at: i64,
    /// The latest complete run; 0 where there is none.
    pub(crate) run: u64,
    /// `stored_at` of that run.
    pub(crate) run_stored_at: i64,
    /// Its rules.
    pub(crate) rules: String,
}

/// What is in the store, and what was computed from it last.
pub(crate) async fn state(store: &Store) -> Result<State, StoreError> {
    let sql = "SELECT greatest( \
             ifNull((SELECT toUnixTimestamp64Milli(maxOrNull(stored_at)) FROM mention_revisions), 0), \
             ifNull((SELECT toUnixTimestamp64Milli(maxOrNull(corrected_at)) FROM sentiment_correction_revisions), 0)) \
             AS stored_at, \
             max(runs.run) AS run, \
             toUnixTimestamp64Milli(argMax(runs.stored_at, (runs.run, runs.computed_at))) AS run_stored_at, \
             argMax(runs.rules, (runs.run, runs.computed_at)) AS rules \
         FROM author_score_runs AS runs";
    store.fetch_one(DOING, store.query(sql)).await
}

/// The latest mention that counts, in Unix milliseconds; 0 where there is none.
pub(crate) async fn latest_at(store: &Store) -> Result<i64, StoreError> {
    let sql = format!("SELECT ifNull(toUnixTimestamp64Milli(maxOrNull({AT})), 0) FROM mentions WHERE {COUNTS}");
    store.fetch_one(DOING, store.query(&sql)).await
}

#[derive(Debug, Row, Deserialize)]
struct Audience {
    channel: String,
    authors: u64,
    typical_followers: u64,
    top_followers: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Engagement {
    channel: String,
    posts: u64,
    typical_reactions: u64,
    counts_reactions: bool,
}

/// What was heard of each channel.
pub(crate) async fn channels(store: &Store) -> Result<BTreeMap<String, Heard>, StoreError> {
    let audience = format!(
        "SELECT toString(channel) AS channel, countIf(known) AS authors, \
             quantileExactIf(0.5)(count, known) AS typical_followers, quantileExactIf(0.99)(count, known) AS top_followers \
         FROM (SELECT channel, {AUTHOR} AS author, max(author_followers IS NOT NULL) AS known, \
                   ifNull(argMax(author_followers, (observed_at, message_id)), 0) AS count \
               FROM mentions WHERE {COUNTS} GROUP BY channel, author) \
         GROUP BY channel"
    );
    let engagement = format!(
        "SELECT toString(channel) AS channel, count() AS posts, quantileExact(0.5)(reactions) AS typical_reactions, \
             max(reactions) > 0 AS counts_reactions \
         FROM (SELECT channel, {} AS reactions FROM {} WHERE kind != 'repost') GROUP BY channel",
        reactions(),
        messages(),
    );
    let mut channels: BTreeMap<String, Heard> = BTreeMap::new();
    for row in store.fetch::<Audience>(DOING, store.query(&audience)).await? {
        let heard = channels.entry(row.channel).or_default();
        heard.authors = row.authors;
        heard.typical_followers = row.typical_followers;
        heard.top_followers = row.top_followers;
    }
    for row in store.fetch::<Engagement>(DOING, store.query(&engagement)).await? {
        let heard = channels.entry(row.channel).or_default();
        heard.posts = row.posts;
        heard.typical_reactions = row.typical_reactions;
        heard.counts_reactions = row.counts_reactions;
    }
    Ok(channels)
}

#[derive(Debug, Row, Deserialize)]
struct Begin {
    brand: String,
    first_at: i64,
}

/// When each brand was first spoken of, in Unix milliseconds.
pub(crate) async fn beginnings(store: &Store) -> Result<BTreeMap<String, i64>, StoreError> {
    let sql = format!(
        "SELECT toString(brand) AS brand, toUnixTimestamp64Milli(min({AT})) AS first_at FROM mentions WHERE {COUNTS} \
         GROUP BY brand"
    );
    let rows: Vec<Begin> = store.fetch(DOING, store.query(&sql)).await?;
    Ok(rows.into_iter().map(|row| (row.brand, row.first_at)).collect())
}

/// How long an author was heard.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Presence {
    /// The author.
    pub(crate) node: u64,
    /// Whole days from the first to the last message.
    pub(crate) heard_days: u32,
}

/// Every author.
pub(crate) fn presences(store: &Store) -> Result<Rows<Presence>, StoreError> {
    let sql = format!(
        "SELECT sipHash64(toString(channel), {AUTHOR}) AS node, \
             toUInt32(intDiv(toUnixTimestamp64Milli(max({AT})) - toUnixTimestamp64Milli(min({AT})), {DAY})) AS heard_days \
         FROM mentions WHERE {COUNTS} GROUP BY node"
    );
    store.stream(DOING, store.query(&sql))
}

/// Somebody spoke to somebody.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Contact {
    /// Who spoke.
    pub(crate) from: u64,
    /// To whom; 0 where they were never heard.
    pub(crate) to: u64,
    /// Days on which they did.
    pub(crate) days: u32,
}

/// Who replied to, repeated or named whom. Whom a reply or repost goes to is known only where that message was heard;
/// who is named, by the handle that they had last. What automated accounts say is left out.
pub(crate) fn contacts(store: &Store) -> Result<Rows<Contact>, StoreError> {
    let messages = messages();
    let sql = format!(
        "WITH said AS (SELECT channel, author, at, in_reply_to, repost_of, mentioned FROM {messages} WHERE NOT author_bot), \
         heard AS (SELECT message_id, author FROM {messages}), \
         handles AS (SELECT channel, lowerUTF8(author_handle) AS handle, argMax(author, (observed_at, message_id)) AS author \
                     FROM {messages} WHERE author_handle != '' GROUP BY channel, handle), \
         named AS (SELECT channel, author, at, arrayJoin(arrayDistinct(mentioned)) AS handle FROM said), \
         answered AS (SELECT channel, author, at, arrayJoin([in_reply_to, repost_of]) AS target FROM said), \
         contacts AS ( \
             SELECT answered.channel AS channel, answered.author AS author, answered.at AS at, heard.author AS target \
             FROM answered INNER JOIN heard ON heard.message_id = answered.target \
             UNION ALL \
             SELECT named.channel AS channel, named.author AS author, named.at AS at, handles.author AS target \
             FROM named LEFT JOIN handles ON handles.channel = named.channel AND handles.handle = named.handle) \
         SELECT sipHash64(toString(channel), author) AS `from`, \
             if(target = '', 0, sipHash64(toString(channel), target)) AS `to`, \
             toUInt32(uniqExact(toDate(at))) AS days \
         FROM contacts WHERE target != author GROUP BY `from`, `to`"
    );
    store.stream(DOING, store.query(&sql))
}

/// An author, as last seen, and what they said.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct Voice {
    pub(crate) node: u64,
    pub(crate) channel: String,
    pub(crate) author: String,
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) followers: Option<u64>,
    pub(crate) bot: bool,
    pub(crate) messages: u64,
    /// Messages that are no reposts.
    pub(crate) posts: u64,
    /// Weighted reactions to the posts.
    pub(crate) reactions: u64,
    /// Days with a message within [`ACTIVE_WINDOW_DAYS`] before the latest mention.
    pub(crate) active_days: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

/// Every author, as of the latest mention.
pub(crate) fn voices(store: &Store, latest_at: i64) -> Result<Rows<Voice>, StoreError> {
    let sql = format!(
        "SELECT sipHash64(toString(channel), author) AS node, toString(channel) AS channel, author, \
             argMax(author_handle, (observed_at, message_id)) AS handle, \
             argMax(author_name, (observed_at, message_id)) AS name, \
             argMax(author_url, (observed_at, message_id)) AS url, \
             argMax(author_followers, (observed_at, message_id)) AS followers, \
             argMax(author_bot, (observed_at, message_id)) AS bot, \
             count() AS messages, countIf(kind != 'repost') AS posts, sumIf({}, kind != 'repost') AS reactions, \
             uniqExactIf(toDate(at), toUnixTimestamp64Milli(at) > {{latest:Int64}} - {}) AS active_days, \
             toUnixTimestamp64Milli(min(at)) AS first_at, toUnixTimestamp64Milli(max(at)) AS last_at \
         FROM {} GROUP BY channel, author",
        reactions(),
        i64::from(ACTIVE_WINDOW_DAYS) * DAY,
        messages(),
    );
    store.stream(DOING, store.query(&sql).param("latest", latest_at))
}

/// What an author said of a brand.
#[derive(Debug, Row, Deserialize)]
pub(crate) struct OfBrand {
    pub(crate) node: u64,
    pub(crate) brand: String,
    pub(crate) channel: String,
    pub(crate) author: String,
    pub(crate) mentions: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    /// Sentiment, intent, whole weeks before the latest mention, and how many.
    pub(crate) said: Vec<(String, String, u32, u64)>,
}

/// What every author said of every brand, as of the latest mention.
pub(crate) fn of_brands(store: &Store, latest_at: i64) -> Result<Rows<OfBrand>, StoreError> {
    const WEEK: i64 = 7 * DAY;
    // Of several intents one that weighs most.
    let sql = format!(
        "SELECT sipHash64(toString(channel), author) AS node, toString(brand) AS brand, toString(channel) AS channel, author, \
             sum(count) AS mentions, min(first) AS first_at, max(last) AS last_at, \
             groupArray((sentiment, intent, age_weeks, count)) AS said \
         FROM (SELECT brand, channel, {AUTHOR} AS author, toString(sentiment) AS sentiment, \
                   arrayFirst(one -> has(intents, one), ['spam', 'complaint', 'praise', 'purchase', 'question']) AS intent, \
                   toUInt32(greatest(0, intDiv({{latest:Int64}} - toUnixTimestamp64Milli({AT}), {WEEK}))) AS age_weeks, \
                   count() AS count, toUnixTimestamp64Milli(min({AT})) AS first, toUnixTimestamp64Milli(max({AT})) AS last \
               FROM mentions WHERE {COUNTS} GROUP BY brand, channel, author, sentiment, intent, age_weeks) \
         GROUP BY brand, channel, author"
    );
    store.stream(DOING, store.query(&sql).param("latest", latest_at))
}
