//! One author: their scores term by term, with weights and what they are made of, and what they are to the brands.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mentions::{self, Mention, Search};
use super::{Filter, millis};
use crate::store::{Store, StoreError};

/// Influence of an author, made of what they said in public.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct AuthorScores {
    /// Platform.
    pub channel: String,
    /// The platform's id of them, or their handle where it gives none.
    pub author: String,
    /// Handle as last seen.
    pub handle: String,
    /// Name as last seen.
    pub name: String,
    /// Profile page as last seen.
    pub url: String,
    /// Followers as last seen; `null` where no source says.
    pub followers: Option<u64>,
    /// The account says that it is automated: its influence is damped to a fifth.
    pub bot: bool,
    /// Public messages.
    pub messages: u64,
    /// Those that are no reposts.
    pub posts: u64,
    /// Reactions to the posts: likes + 2 replies + 3 (reposts + quotes).
    pub reactions: u64,
    /// Days with a message within the last 90.
    pub active_days: u64,
    /// First message.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Last message.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Votes of others, of which authority is made.
    pub voices: f32,
    /// Followers at the top of the channel.
    pub top_followers: f32,
    /// Followers of a typical author of the channel.
    pub typical_followers: f32,
    /// Reactions to a typical post of the channel.
    pub typical_reactions: f32,
    /// The channel counts reactions, so that a bought audience shows.
    pub counts_reactions: bool,
    /// Term: followers on a log scale, 0 to 100.
    pub reach: f32,
    /// Term: reactions against those to a typical post, 0 to 100.
    pub resonance: f32,
    /// Term: who speaks to the author, 0 to 100.
    pub authority: f32,
    /// Term: how regularly they speak, 0 to 100.
    pub activity: f32,
    /// Weight of reach.
    pub weight_reach: f32,
    /// Weight of resonance.
    pub weight_resonance: f32,
    /// Weight of authority.
    pub weight_authority: f32,
    /// Weight of activity.
    pub weight_activity: f32,
    /// 0 to 100.
    pub influence: f32,
    /// Version of the formula.
    pub version: String,
    /// The latest mention of all, as of which everything is told.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub latest_at: Timestamp,
}

/// What an author is to a brand, made of what they said in public; all that decides on the segments is beside them.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct BrandAuthor {
    /// The brand.
    pub brand: String,
    /// `influencer`, `advocate`, `detractor`, `newcomer`, `silent`; none, or several.
    pub segments: Vec<String>,
    /// Mentions of the brand; the four that follow add up to it.
    pub mentions: u64,
    /// Of positive sentiment.
    pub positive: u64,
    /// Of neutral sentiment.
    pub neutral: u64,
    /// Of negative sentiment.
    pub negative: u64,
    /// Of which the scorer is not sure.
    pub unsure: u64,
    /// First mention.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Last mention.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Share of the author's messages that speak of the brand, 0 to 100.
    pub relevance: f32,
    /// Weight of relevance.
    pub weight_relevance: f32,
    /// Influence with relevance as a term, 0 to 100.
    pub influence: f32,
    /// How reliably they speak well of the brand, -100 to 100.
    pub advocacy: f32,
    /// Weighted mean of the sides that they took, -1 to 1.
    pub advocacy_mean: f32,
    /// Sum of the weights, in mentions of today.
    pub advocacy_evidence: f32,
    /// Age in days at which a mention weighs half.
    pub half_life_days: f32,
    /// Version of the formula of influence.
    pub influence_version: String,
    /// Version of the formula of advocacy.
    pub advocacy_version: String,
    /// Version of the rules of the segments.
    pub segments_version: String,
}

/// Everything that is known of an author.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuthorPage {
    /// Who they are, and their influence.
    #[serde(flatten)]
    pub scores: AuthorScores,
    /// What they are to each brand, most mentions first.
    pub brands: Vec<BrandAuthor>,
    /// What they said last, newest first.
    pub latest: Vec<Mention>,
}

const SCORES: &str = "toString(channel) AS channel, author, handle, name, url, followers, bot, messages, posts, reactions, \
     active_days, toUnixTimestamp64Milli(author_scores.first_at) AS first_at, \
     toUnixTimestamp64Milli(author_scores.last_at) AS last_at, voices, top_followers, typical_followers, \
     typical_reactions, counts_reactions, reach, resonance, authority, activity, weight_reach, weight_resonance, \
     weight_authority, weight_activity, influence, toString(version) AS version, \
     toUnixTimestamp64Milli(author_scores.latest_at) AS latest_at";
const BRANDS: &str = "toString(brand) AS brand, segments, mentions, positive, neutral, negative, unsure, \
     toUnixTimestamp64Milli(brand_authors.first_at) AS first_at, \
     toUnixTimestamp64Milli(brand_authors.last_at) AS last_at, relevance, weight_relevance, influence, advocacy, \
     advocacy_mean, advocacy_evidence, half_life_days, toString(influence_version) AS influence_version, \
     toString(advocacy_version) AS advocacy_version, toString(segments_version) AS segments_version";

/// Everything about an author: of their brands and of what they said, what passes the filter; the last `limit` mentions.
/// `None` where nobody of that name was heard in public.
pub async fn author(
    store: &Store,
    filter: &Filter,
    channel: &str,
    author: &str,
    limit: usize,
) -> Result<Option<AuthorPage>, StoreError> {
    const DOING: &str = "reading an author";
    const IS_AUTHOR: &str = "channel = {channel:String} AND author = {author:String}";
    let ask = |sql: &str| store.query(sql).param("channel", channel).param("author", author);
    let scores = format!("SELECT {SCORES} FROM author_scores WHERE author_scores.{IS_AUTHOR}");
    let Some(scores) = store.fetch::<AuthorScores>(DOING, ask(&scores)).await?.pop() else { return Ok(None) };
    let of = if filter.brands.is_empty() { "" } else { " AND brand_authors.brand IN {brands:Array(String)}" };
    let brands =
        format!("SELECT {BRANDS} FROM brand_authors WHERE brand_authors.{IS_AUTHOR}{of} ORDER BY mentions DESC, brand");
    let mut brands = ask(&brands);
    if !filter.brands.is_empty() {
        brands = brands.param("brands", &filter.brands);
    }
    let brands = store.fetch(DOING, brands).await?;
    let said = Search {
        filter: Filter { channels: vec![channel.to_owned()], ..filter.clone() },
        authors: vec![author.to_owned()],
        direction: Some("inbound"),
        ..Search::default()
    };
    let latest = mentions::search(store, &said, None, limit).await?;
    Ok(Some(AuthorPage { scores, brands, latest }))
}

/// Somebody whom a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Named {
    /// Platform.
    pub channel: String,
    /// The platform's id of them, or their handle where it gives none.
    pub author: String,
    /// Handle as last seen.
    pub handle: String,
    /// Name as last seen.
    pub name: String,
}

/// Those whom a handle or an id stands for, on one channel or on all; where there are none, those who have it as their
/// name. Without regard to case, and at most `limit`.
pub async fn named(store: &Store, channel: Option<&str>, name: &str, limit: usize) -> Result<Vec<Named>, StoreError> {
    let on = if channel.is_some() { "channel = {channel:String}" } else { "1" };
    let sql = format!(
        "WITH lowerUTF8({{name:String}}) AS wanted, lowerUTF8(handle) = wanted OR lowerUTF8(author) = wanted AS is_handle \
         SELECT toString(channel) AS channel, author, handle, name FROM author_scores \
         WHERE {on} AND (is_handle OR lowerUTF8(name) = wanted) \
         ORDER BY is_handle DESC, messages DESC, author_scores.channel, author LIMIT {limit}"
    );
    let mut query = store.query(&sql).param("name", name);
    if let Some(channel) = channel {
        query = query.param("channel", channel);
    }
    let found: Vec<Named> = store.fetch("looking for an author", query).await?;
    let name = name.to_lowercase();
    let is_handle = |one: &Named| [&one.handle, &one.author].iter().any(|handle| handle.to_lowercase() == name);
    let (handles, names): (Vec<Named>, Vec<Named>) = found.into_iter().partition(is_handle);
    Ok(if handles.is_empty() { names } else { handles })
}
