//! Mapping: who speaks.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Filter;
use crate::store::{Store, StoreError};

/// What authors are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Messages.
    Messages,
    /// Followers as last seen; authors of unknown reach come last.
    Reach,
    /// Influence, then messages.
    Influence,
}

/// Somebody who speaks of the brands.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
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
    /// The highest influence among their mentions, 0..=100.
    pub influence: f32,
}

/// The authors who rank highest; equal ones in the order of their ids.
pub async fn top_authors(
    store: &Store,
    filter: &Filter,
    rank: Rank,
    limit: usize,
) -> Result<Vec<TopAuthor>, StoreError> {
    const AUTHOR: &str = "if(author_id = '', author_handle, author_id)";
    const FOLLOWERS: &str = "argMax(author_followers, (observed_at, message_id, brand))";
    let order = match rank {
        Rank::Messages => "uniqExact(message_id) DESC, max(mentions.influence) DESC".to_owned(),
        Rank::Reach => format!("ifNull({FOLLOWERS}, 0) DESC, uniqExact(message_id) DESC"),
        Rank::Influence => "max(mentions.influence) DESC, uniqExact(message_id) DESC".to_owned(),
    };
    // Ranks everybody by few columns first, then reads the profiles of those who are shown. The mean is taken over
    // integers, so that it does not depend on the order of addition.
    let sql = format!(
        "WITH top AS (SELECT channel, {AUTHOR} AS author FROM {{mentions}} WHERE author != '' \
             GROUP BY channel, author ORDER BY {order}, channel, author LIMIT {limit}) \
         SELECT toString(channel) AS channel, {AUTHOR} AS author, \
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
         GROUP BY channel, author ORDER BY {order}, channel, author"
    );
    store.fetch("reading top authors", filter.ask(store, &sql)).await
}
