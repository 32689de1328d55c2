//! Monitoring: what is said, how much of it, in which mood, and what is new.

use clickhouse::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Filter, millis, optional_millis};
use crate::store::{Store, StoreError};

/// Length of a bucket of time; buckets begin on the full minute, hour or day of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl Step {
    /// Length in milliseconds.
    pub fn as_millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    fn start(self) -> &'static str {
        match self {
            Self::Minute => "toStartOfMinute(published_at)",
            Self::Hour => "toStartOfHour(published_at)",
            Self::Day => "toStartOfDay(published_at)",
        }
    }
}

/// What volume is split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Brand.
    Brand,
    /// Platform.
    Channel,
    /// Language.
    Language,
}

impl By {
    fn column(self) -> &'static str {
        match self {
            Self::Brand => "brand",
            Self::Channel => "channel",
            Self::Language => "language",
        }
    }
}

/// Mentions in a bucket of time.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// Start of the bucket.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Brand, channel or language.
    pub name: String,
    /// Mentions; the four that follow add up to it.
    pub mentions: u64,
    /// Of positive sentiment.
    pub positive: u64,
    /// Of neutral sentiment.
    pub neutral: u64,
    /// Of negative sentiment.
    pub negative: u64,
    /// Of which the scorer is not sure.
    pub unsure: u64,
}

/// Volume and sentiment over time of publication, oldest first; buckets without mentions are left out.
pub async fn volume(store: &Store, filter: &Filter, step: Step, by: By) -> Result<Vec<Volume>, StoreError> {
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp({start})) * 1000 AS at, toString({name}) AS name, count() AS mentions, \
             countIf(sentiment = 'positive') AS positive, countIf(sentiment = 'neutral') AS neutral, \
             countIf(sentiment = 'negative') AS negative, countIf(sentiment = 'unsure') AS unsure \
         FROM {{mentions}} GROUP BY at, name ORDER BY at, name",
        start = step.start(),
        name = by.column(),
    );
    store.fetch("reading volume over time", filter.ask(store, &sql)).await
}

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// (brand, message) pairs.
    pub mentions: u64,
    /// Messages: one that speaks of two brands counts once.
    pub messages: u64,
    /// Distinct authors that the sources name.
    pub authors: u64,
    /// Publication of the oldest mention; `None` where there is none.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first: Option<Timestamp>,
    /// Publication of the newest mention.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Timestamp>,
}

/// How much there is, and from when to when.
pub async fn totals(store: &Store, filter: &Filter) -> Result<Totals, StoreError> {
    let sql = "SELECT count() AS mentions, uniqExact(message_id) AS messages, \
                   uniqExactIf((channel, if(author_id = '', author_handle, author_id)), author_id != '' OR author_handle != '') AS authors, \
                   toUnixTimestamp64Milli(minOrNull(published_at)) AS first, toUnixTimestamp64Milli(maxOrNull(published_at)) AS last \
               FROM {mentions}";
    store.fetch_one("counting mentions", filter.ask(store, sql)).await
}

/// A term that is said more often than before.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Trend {
    /// Brand in whose mentions it rises.
    pub brand: String,
    /// `word`, `hashtag` or `emoji`.
    pub kind: String,
    /// The term.
    pub term: String,
    /// Language whose mentions it is compared in; `*` for hashtags and emoji, which belong to all.
    pub language: String,
    /// Recent mentions that hold it.
    pub recent: u64,
    /// All recent mentions.
    pub recent_of: u64,
    /// Earlier mentions that hold it.
    pub before: u64,
    /// All earlier mentions.
    pub before_of: u64,
    /// Score; see [`trending`].
    pub z: f64,
    /// 1 where every mention was looked at; n where every n-th was, chosen by message id.
    pub sampled: u64,
}

/// Mentions that are looked at for trends; of more, a sample is.
const TREND_SAMPLE: u64 = 50_000;
/// Terms read from the store, before overlapping ones are merged.
const TREND_CANDIDATES: u64 = 1_000;

/// Terms, hashtags and emoji that are said more often since `since` than in the filter's time before it, by
/// score, highest first.
///
/// With `a` of `A` recent mentions holding the term and `b` of `B` earlier ones, of the same brand and language:
/// `z = ln(((a+½)(B-b+½)) / ((b+½)(A-a+½))) / √(1/(a+½) + 1/(A-a+½) + 1/(b+½) + 1/(B-b+½))`,
/// the log odds ratio (Haldane and Anscombe's half added) over its standard error (Woolf). Shown from z ≥ 2.58 (one in
/// two hundred by chance), with at least 3 recent mentions by at least 2 authors.
///
/// No list of stop words is needed in any language: what is always said is said as often as before. A language
/// that is spoken more than before does not lift its words, for they are compared within it. Without earlier
/// mentions nothing trends.
pub async fn trending(
    store: &Store,
    filter: &Filter,
    since: Timestamp,
    limit: usize,
) -> Result<Vec<Trend>, StoreError> {
    const DOING: &str = "reading trends";
    let sql = "SELECT count() FROM {mentions}";
    let mentions: u64 = store.fetch_one(DOING, filter.ask(store, sql)).await?;
    let sampled = mentions.div_ceil(TREND_SAMPLE).max(1);
    let sql = format!(
        "WITH totals AS ( \
             SELECT brand, scope, countIf(late) AS recent_of, countIf(NOT late) AS before_of \
             FROM (SELECT brand, arrayJoin(['*', toString(language)]) AS scope, \
                          published_at >= fromUnixTimestamp64Milli({{since:Int64}}) AS late \
                   FROM {{mentions}} WHERE cityHash64(message_id) % {{sampled:UInt64}} = 0) \
             GROUP BY brand, scope), \
         terms AS ( \
             SELECT brand, toString(kind) AS kind, if(kind = 'word', toString(language), '*') AS scope, term, \
                    countIf(late) AS recent, countIf(NOT late) AS before, uniqExactIf(author, late) AS authors \
             FROM (SELECT *, published_at >= fromUnixTimestamp64Milli({{since:Int64}}) AS late FROM mention_terms \
                   WHERE cityHash64(message_id) % {{sampled:UInt64}} = 0{conditions}) \
             GROUP BY brand, kind, scope, term HAVING recent >= 3 AND authors >= 2) \
         SELECT toString(terms.brand) AS brand, kind, term, scope AS language, recent, recent_of, before, before_of, \
             (log((recent + 0.5) * (before_of - before + 0.5)) - log((before + 0.5) * (recent_of - recent + 0.5))) \
             / sqrt(1 / (recent + 0.5) + 1 / (recent_of - recent + 0.5) + 1 / (before + 0.5) + 1 / (before_of - before + 0.5)) AS z, \
             {{sampled:UInt64}} AS sampled \
         FROM terms INNER JOIN totals ON terms.brand = totals.brand AND terms.scope = totals.scope \
         WHERE before_of > 0 AND z >= 2.58 \
         ORDER BY z DESC, recent DESC, term, brand LIMIT {TREND_CANDIDATES}",
        conditions = term_conditions(filter),
    );
    let query = filter.ask(store, &sql).param("since", since.as_millisecond()).param("sampled", sampled);
    let candidates: Vec<Trend> = store.fetch(DOING, query).await?;
    let mut trends = without_fragments(candidates);
    trends.truncate(limit);
    Ok(trends)
}

/// The filter for `mention_terms`, which does not know what is private: that is asked of the mentions themselves.
fn term_conditions(filter: &Filter) -> String {
    if !filter.public_only {
        return filter.conditions();
    }
    let anywhere = Filter { public_only: false, ..filter.clone() }.conditions();
    let public = "(brand, message_id) IN (SELECT brand, message_id FROM {mentions} \
                  WHERE cityHash64(message_id) % {sampled:UInt64} = 0)";
    format!("{anywhere} AND {public}")
}

/// Keeps the longest of terms of one brand that lie within each other and are said about as often: text without
/// spaces is cut into overlapping pieces, of which only the longest means something.
fn without_fragments(candidates: Vec<Trend>) -> Vec<Trend> {
    let said_alike = |a: &Trend, b: &Trend| a.recent.min(b.recent) * 5 >= a.recent.max(b.recent) * 4;
    let mut kept: Vec<Trend> = Vec::new();
    for term in candidates {
        let relative = kept.iter().position(|other| {
            other.brand == term.brand
                && other.language == term.language
                && (other.term.contains(&term.term) || term.term.contains(&other.term))
                && is_unspaced(&other.term)
                && said_alike(other, &term)
        });
        match relative.and_then(|index| kept.get_mut(index)) {
            Some(other) if other.term.len() < term.term.len() => *other = term,
            Some(_) => {}
            None => kept.push(term),
        }
    }
    // A longer piece that replaced one may hold another that was kept before it.
    let whole = |term: &Trend, all: &[Trend]| {
        !all.iter().any(|other| {
            other.brand == term.brand
                && other.language == term.language
                && other.term.len() > term.term.len()
                && other.term.contains(&term.term)
                && is_unspaced(&term.term)
                && said_alike(other, term)
        })
    };
    let keep: Vec<bool> = kept.iter().map(|term| whole(term, &kept)).collect();
    kept.into_iter().zip(keep).filter_map(|(term, keep)| keep.then_some(term)).collect()
}

/// Written without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(term: &str) -> bool {
    term.chars().any(|c| {
        matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{abff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
    })
}

/// A mention, as it is shown.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Latest {
    /// When it was published.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Timestamp,
    /// Brand.
    pub brand: String,
    /// Platform.
    pub channel: String,
    /// Source that heard it.
    pub source: String,
    /// Author's handle, or name where there is no handle; empty where nobody is named.
    pub author: String,
    /// Headline or subject.
    pub title: String,
    /// What was said.
    pub text: String,
    /// Where to read it.
    pub url: String,
    /// Language.
    pub language: String,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: String,
    /// -1..=1.
    pub sentiment_score: f32,
    /// Author's influence, 0..=100.
    pub influence: f32,
    /// Why matched: clauses of the brand's query.
    pub matched: Vec<String>,
}

/// Something that was told more than once in nearly the same words: reposts, syndicated texts, light edits.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// Its id: that of its earliest message.
    #[serde(deserialize_with = "clickhouse::serde::uuid::deserialize")]
    pub id: Uuid,
    /// The earliest text that passes the filter; its headline where it has one.
    pub told_first: String,
    /// Mentions.
    pub mentions: u64,
    /// Distinct messages.
    pub messages: u64,
    /// Distinct authors.
    pub authors: u64,
    /// Platforms, by name.
    pub channels: Vec<String>,
    /// Brands, by name.
    pub brands: Vec<String>,
    /// Of positive sentiment.
    pub positive: u64,
    /// Of negative sentiment.
    pub negative: u64,
    /// Publication of the first that passes the filter.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// Publication of the last.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
}

/// The stories of which most messages pass the filter, two at least; equal ones latest first.
pub async fn stories(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<Story>, StoreError> {
    let sql = format!(
        "SELECT story AS id, argMin(if(title = '', text, title), (published_at, message_id)) AS told_first, \
             count() AS mentions, uniqExact(mentions.message_id) AS messages, \
             uniqExact(channel, if(author_id = '', author_handle, author_id)) AS authors, \
             CAST(arraySort(groupUniqArray(channel)) AS Array(String)) AS channels, \
             CAST(arraySort(groupUniqArray(brand)) AS Array(String)) AS brands, \
             countIf(sentiment = 'positive') AS positive, countIf(sentiment = 'negative') AS negative, \
             toUnixTimestamp64Milli(min(published_at)) AS first_at, \
             toUnixTimestamp64Milli(max(published_at)) AS last_at \
         FROM {{mentions}} INNER JOIN story_messages ON mentions.message_id = story_messages.message_id \
         GROUP BY id HAVING messages > 1 ORDER BY messages DESC, last_at DESC, id LIMIT {limit}"
    );
    store.fetch("reading stories", filter.ask(store, &sql)).await
}

/// The columns of [`Latest`].
pub(super) const LATEST: &str = "toUnixTimestamp64Milli(published_at) AS published_at, toString(brand) AS brand, \
     toString(channel) AS channel, toString(source) AS source, \
     if(author_handle = '', author_name, author_handle) AS author, title, text, url, toString(language) AS language, \
     toString(sentiment) AS sentiment, sentiment_score, influence, \
     CAST(matched AS Array(String)) AS matched";

/// The newest mentions, newest first.
pub async fn latest(store: &Store, filter: &Filter, limit: usize) -> Result<Vec<Latest>, StoreError> {
    let sql = format!(
        "SELECT {LATEST} FROM {{mentions}} ORDER BY mentions.published_at DESC, message_id, mentions.brand LIMIT {limit}"
    );
    store.fetch("reading the latest mentions", filter.ask(store, &sql)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(term: &str, recent: u64) -> Trend {
        Trend {
            brand: "b".to_owned(),
            kind: "word".to_owned(),
            term: term.to_owned(),
            language: "zh".to_owned(),
            recent,
            recent_of: 100,
            before: 0,
            before_of: 100,
            z: 3.0,
            sampled: 1,
        }
    }

    fn kept(terms: &[(&str, u64)]) -> Vec<String> {
        let trends = without_fragments(terms.iter().map(|(term, recent)| trend(term, *recent)).collect());
        trends.into_iter().map(|trend| trend.term).collect()
    }

    #[test]
    fn of_overlapping_pieces_the_longest_stays() {
        assert_eq!(kept(&[("手机", 9), ("机发", 9), ("手机发", 9), ("手机发布", 9)]), ["手机发布"]);
        assert_eq!(kept(&[("ครั", 5), ("ครับ", 5)]), ["ครับ"]);
    }

    #[test]
    fn a_piece_that_is_said_alone_too_stays() {
        assert_eq!(kept(&[("手机", 30), ("手机发布", 9)]), ["手机", "手机发布"]);
    }

    #[test]
    fn words_with_spaces_around_them_are_never_pieces() {
        assert_eq!(kept(&[("delay", 9), ("delayed", 9)]), ["delay", "delayed"]);
    }
}
