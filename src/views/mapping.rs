//! Mapping: who speaks.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Filter, millis};
pub use crate::score::author::segment::Segment;
use crate::store::{Store, StoreError};

/// An author: the platform's id of them, or their handle where it gives none.
pub(super) const AUTHOR: &str = "if(author_id = '', author_handle, author_id)";

/// What authors are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Messages.
    Messages,
    /// Followers as last seen; authors of unknown reach come last.
    Reach,
    /// Influence, then messages.
    Influence,
    /// Advocacy, highest first; those of whom none is known come last.
    Advocacy,
    /// Advocacy, lowest first; those of whom none is known come last.
    Detraction,
}

/// Somebody who speaks of the brands.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct TopAuthor {
    /// Platform.
    pub channel: String,
    /// The platform's id of them, or their handle where it gives none.
    pub author: String,
    /// Handle as last seen.
    pub handle: String,
    /// Name as last seen.
    pub name: String,
    /// Followers as last seen; `None` where no source says.
    pub followers: Option<u64>,
    /// The platform vouches for them.
    pub verified: bool,
    /// The account says that it is automated.
    pub bot: bool,
    /// Distinct messages.
    pub messages: u64,
    /// Of positive sentiment (mentions).
    pub positive: u64,
    /// Of negative sentiment (mentions).
    pub negative: u64,
    /// Mean of the sentiment score over their mentions, -1..=1.
    pub mean_sentiment: f64,
    /// Influence, 0..=100; until it is computed, and for those heard in private only, the highest among their mentions.
    pub influence: f32,
    /// Advocacy for the brand that they spoke of most, -100..=100; `None` until it is computed, and for those heard in
    /// private only.
    pub advocacy: Option<f32>,
    /// Their segments, of all brands that are asked for.
    pub segments: Vec<String>,
}

impl TopAuthor {
    /// What to call them: handle, name or id.
    pub fn called(&self) -> &str {
        [&self.handle, &self.name].into_iter().find(|name| !name.is_empty()).unwrap_or(&self.author)
    }
}

/// The authors who rank highest, of these segments where any are named; equal ones in the order of their ids. Scores
/// are those of all of time.
pub async fn top_authors(
    store: &Store,
    filter: &Filter,
    segments: &[Segment],
    rank: Rank,
    limit: usize,
) -> Result<Vec<TopAuthor>, StoreError> {
    const FOLLOWERS: &str = "argMax(author_followers, (observed_at, message_id, brand))";
    let order = match rank {
        Rank::Messages => "messages DESC, influence DESC",
        Rank::Reach => "ifNull(followers, 0) DESC, messages DESC",
        Rank::Influence => "influence DESC, messages DESC",
        Rank::Advocacy => "advocacy DESC NULLS LAST, messages DESC",
        Rank::Detraction => "advocacy ASC NULLS LAST, messages DESC",
    };
    let of_brands = if filter.brands.is_empty() { "1" } else { "brand IN {brands:Array(String)}" };
    let of_segments = if segments.is_empty() { "1" } else { "hasAny(segments, {segments:Array(String)})" };
    let scored = format!(
        "LEFT JOIN (SELECT channel, author, influence FROM author_scores) AS scores \
             ON scores.channel = heard.channel AND scores.author = heard.author \
         LEFT JOIN (SELECT channel, author, argMax(advocacy, (mentions, brand)) AS advocacy, \
                        arraySort(groupUniqArrayArray(segments)) AS segments \
                    FROM brand_authors WHERE {of_brands} GROUP BY channel, author) AS judged \
             ON judged.channel = heard.channel AND judged.author = heard.author"
    );
    const INFLUENCE: &str = "if(scores.author = '', heard.influence, scores.influence) AS influence";
    const ADVOCACY: &str = "if(judged.author = '', NULL, judged.advocacy) AS advocacy";
    // Ranks everybody by few columns first, then reads the profiles of those who are shown. The mean is taken over
    // integers, so that it does not depend on the order of addition.
    let sql = format!(
        "WITH top AS (SELECT heard.channel AS channel, heard.author AS author, messages, followers, {INFLUENCE}, \
                 {ADVOCACY}, judged.segments AS segments \
             FROM (SELECT channel, {AUTHOR} AS author, uniqExact(message_id) AS messages, {FOLLOWERS} AS followers, \
                       max(mentions.influence) AS influence \
                   FROM {{mentions}} WHERE author != '' GROUP BY channel, author) AS heard {scored} \
             WHERE {of_segments} ORDER BY {order}, channel, author LIMIT {limit}) \
         SELECT toString(heard.channel) AS channel, heard.author AS author, handle, name, followers, verified, bot, \
             messages, positive, negative, mean_sentiment, {INFLUENCE}, {ADVOCACY}, judged.segments AS segments \
         FROM (SELECT channel, {AUTHOR} AS author, \
                   argMax(author_handle, (observed_at, message_id, brand)) AS handle, \
                   argMax(author_name, (observed_at, message_id, brand)) AS name, \
                   {FOLLOWERS} AS followers, \
                   argMax(author_verified, (observed_at, message_id, brand)) AS verified, \
                   argMax(author_bot, (observed_at, message_id, brand)) AS bot, \
                   uniqExact(message_id) AS messages, countIf(sentiment = 'positive') AS positive, \
                   countIf(sentiment = 'negative') AS negative, \
                   sum(toInt64(round(sentiment_score * 1e6))) / 1e6 / count() AS mean_sentiment, \
                   max(mentions.influence) AS influence \
               FROM {{mentions}} WHERE (mentions.channel, {AUTHOR}) IN (SELECT channel, author FROM top) \
               GROUP BY channel, author) AS heard {scored} \
         ORDER BY {order}, channel, author"
    );
    let mut query = filter.ask(store, &sql);
    if !segments.is_empty() {
        let names: Vec<&str> = segments.iter().map(|segment| segment.as_str()).collect();
        query = query.param("segments", names);
    }
    store.fetch("reading top authors", query).await
}

/// How often somebody spoke to somebody else in one way.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Interaction {
    /// Platform.
    pub channel: String,
    /// `reply`, `repost` or `mention`.
    pub kind: String,
    /// Who spoke: handle, lower case, or id where there is no handle.
    pub author: String,
    /// To whom.
    pub target: String,
    /// Messages; one that speaks of two brands counts once.
    pub interactions: u64,
    /// Publication of the first.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Publication of the last.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
}

/// Who spoke to whom, most often first; the words of the brands themselves are part of it. Whom a reply or repost
/// goes to is known only where that message is a mention too. Over all of time and everything it is the view
/// `interactions`.
pub async fn interactions(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<Interaction>, StoreError> {
    const NAME: &str = "lowerUTF8(if(author_handle = '', author_id, author_handle))";
    const NOBODY: &str = "toUUID('00000000-0000-0000-0000-000000000000')";
    // A message that was answered may be older than the filter's time, but is nobody's secret.
    let targets = filter.access();
    let sql = format!(
        "WITH messages AS (SELECT channel, message_id, in_reply_to, repost_of, mentioned, published_at, {NAME} AS author \
             FROM mentions WHERE 1{said} ORDER BY revision DESC, brand LIMIT 1 BY message_id), \
         targets AS (SELECT message_id, {NAME} AS author FROM mentions WHERE 1{answered} \
             ORDER BY revision DESC, brand LIMIT 1 BY message_id), \
         edges AS ( \
             SELECT 'reply' AS kind, channel, in_reply_to AS target_id, author, '' AS handle, published_at \
             FROM messages WHERE in_reply_to != {NOBODY} \
             UNION ALL \
             SELECT 'repost' AS kind, channel, repost_of AS target_id, author, '' AS handle, published_at \
             FROM messages WHERE repost_of != {NOBODY} \
             UNION ALL \
             SELECT 'mention' AS kind, channel, {NOBODY} AS target_id, author, \
                    arrayJoin(arrayDistinct(mentioned)) AS handle, published_at FROM messages) \
         SELECT toString(edges.channel) AS channel, edges.kind AS kind, edges.author AS author, \
             if(edges.kind = 'mention', edges.handle, targets.author) AS target, count() AS interactions, \
             toUnixTimestamp64Milli(min(edges.published_at)) AS first_at, \
             toUnixTimestamp64Milli(max(edges.published_at)) AS last_at \
         FROM edges LEFT JOIN targets ON targets.message_id = edges.target_id \
         WHERE edges.author != '' AND target != '' AND target != edges.author \
         GROUP BY channel, kind, author, target \
         ORDER BY interactions DESC, channel, kind, author, target LIMIT {limit}",
        said = filter.conditions(),
        answered = targets.conditions(),
    );
    store.fetch("reading interactions", filter.bind(store.query(&sql))).await
}
