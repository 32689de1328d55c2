//! Single mentions: searched page by page, by id, and as they are stored.

use clickhouse::Row;
use clickhouse::query::Query;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Filter, millis, optional_id, optional_millis, storable};
use crate::store::{Store, StoreError};

/// What was said about a brand, everything that is known of it. A message that speaks of two brands is two mentions.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Mention {
    /// Id of the message; the same under every brand.
    #[serde(deserialize_with = "clickhouse::serde::uuid::deserialize")]
    pub id: Uuid,
    /// Brand that it speaks of.
    pub brand: String,
    /// Platform.
    pub channel: String,
    /// Source that heard it.
    pub source: String,
    /// The id that the platform gave it.
    pub native_id: String,
    /// `post`, `reply`, `repost`, `quote`, `comment`, `review`, `article`, `email`, `chat`.
    pub kind: String,
    /// `inbound`; `outbound` are the words of the brand itself.
    pub direction: String,
    /// `public`, or `private` (e-mail, chat).
    pub visibility: String,
    /// `none`; `automatic` (an absence note, a receipt) and `bulk` (a newsletter, a list) are what nobody said to the
    /// brand in person.
    pub noise: String,
    /// The author's id on the platform; empty where nobody is named.
    pub author_id: String,
    /// Their handle, without @.
    pub author_handle: String,
    /// Their display name.
    pub author_name: String,
    /// Their profile page.
    pub author_url: String,
    /// Their followers; `null` where the source does not say.
    pub author_followers: Option<u64>,
    /// The platform vouches for them.
    pub author_verified: bool,
    /// The account says that it is automated.
    pub author_bot: bool,
    /// Headline or subject.
    pub title: String,
    /// What was said.
    pub text: String,
    /// Where to read it.
    pub url: String,
    /// Links in the text.
    pub links: Vec<String>,
    /// Hashtags without #, lower case.
    pub hashtags: Vec<String>,
    /// Handles mentioned, without @, lower case.
    pub mentioned: Vec<String>,
    /// Names of the attachments; the files are not kept.
    pub attachments: Vec<String>,
    /// Pictures, video or sound came with it.
    pub has_media: bool,
    /// Message answered.
    #[serde(deserialize_with = "optional_id")]
    pub in_reply_to: Option<Uuid>,
    /// Message repeated or quoted.
    #[serde(deserialize_with = "optional_id")]
    pub repost_of: Option<Uuid>,
    /// Thread, in the terms of the platform.
    pub conversation: String,
    /// Likes; 0 where not counted.
    pub likes: u64,
    /// Reposts; 0 where not counted.
    pub reposts: u64,
    /// Replies; 0 where not counted.
    pub replies: u64,
    /// Quotes; 0 where not counted.
    pub quotes: u64,
    /// Views; `null` where not counted.
    pub views: Option<u64>,
    /// Stars, 1 to 5; `null` where there are none.
    pub rating: Option<f32>,
    /// Why matched: clauses of the brand's query.
    pub matched: Vec<String>,
    /// Where it was published or where its author is, ISO 3166-1 alpha-2; `null` where the source does not say.
    pub country: Option<String>,
    /// BCP 47 primary tag; `und` where it cannot be told.
    pub language: String,
    /// 0 to 1.
    pub language_confidence: f32,
    /// `negative`, `neutral`, `positive`, `unsure`: what a person said, or else the model.
    pub sentiment: String,
    /// What the model said.
    pub sentiment_by_model: String,
    /// The model's P(positive) - P(negative), -1 to 1.
    pub sentiment_score: f32,
    /// The model's calibrated probability of its label, 0 to 1.
    pub sentiment_confidence: f32,
    /// Model and version.
    pub sentiment_model: String,
    /// What the first model said, where another one has spoken since; else `null`.
    pub first_sentiment: Option<String>,
    /// Its P(positive) - P(negative), -1 to 1.
    pub first_score: Option<f32>,
    /// Its probability of its label, 0 to 1.
    pub first_confidence: Option<f32>,
    /// The first model and its version.
    pub first_model: Option<String>,
    /// What the author wants: `complaint`, `question`, `praise`, `purchase`, `spam`; several, or none.
    pub intents: Vec<String>,
    /// Name of the token with which the sentiment was corrected; `null` where nobody did.
    pub corrected_by: Option<String>,
    /// When it was corrected.
    #[serde(deserialize_with = "optional_millis")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub corrected_at: Option<Timestamp>,
    /// The author's influence, 0 to 100.
    pub influence: f32,
    /// Its term of followers, 0 to 100.
    pub influence_reach: f32,
    /// Its term of engagement, 0 to 100.
    pub influence_resonance: f32,
    /// Version of its formula.
    pub influence_version: String,
    /// When it was published.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Timestamp,
    /// When it was heard.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub observed_at: Timestamp,
    /// When it was scored.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub scored_at: Timestamp,
    /// When it was stored; an edit and a replay store it anew.
    #[serde(deserialize_with = "millis")]
    #[schema(value_type = String, format = DateTime)]
    pub stored_at: Timestamp,
}

/// The columns of [`Mention`].
const COLUMNS: &str = "message_id AS id, toString(brand) AS brand, toString(channel) AS channel, \
     toString(source) AS source, native_id, toString(kind) AS kind, toString(direction) AS direction, \
     toString(visibility) AS visibility, toString(noise) AS noise, author_id, author_handle, author_name, author_url, \
     author_followers, author_verified, author_bot, title, text, url, links, hashtags, mentioned, attachments, has_media, \
     in_reply_to, repost_of, conversation, likes, reposts, replies, quotes, views, rating, CAST(matched AS Array(String)) AS matched, \
     nullIf(toString(mentions.country), '') AS country, \
     toString(language) AS language, language_confidence, toString(sentiment) AS sentiment, \
     toString(sentiment_by_model) AS sentiment_by_model, sentiment_score, sentiment_confidence, \
     toString(sentiment_model) AS sentiment_model, nullIf(toString(mentions.first_sentiment), '') AS first_sentiment, \
     if(mentions.first_model = '', NULL, mentions.first_score) AS first_score, \
     if(mentions.first_model = '', NULL, mentions.first_confidence) AS first_confidence, \
     nullIf(toString(mentions.first_model), '') AS first_model, CAST(intents AS Array(String)) AS intents, corrected_by, \
     toUnixTimestamp64Milli(corrected_at) AS corrected_at, influence, influence_reach, influence_resonance, \
     toString(influence_version) AS influence_version, toUnixTimestamp64Milli(published_at) AS published_at, \
     toUnixTimestamp64Milli(observed_at) AS observed_at, toUnixTimestamp64Milli(scored_at) AS scored_at, \
     toUnixTimestamp64Milli(stored_at) AS stored_at";

/// Which mentions are looked for; what is empty or `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// Brands, channels, languages and time.
    pub filter: Filter,
    /// Sources that heard them.
    pub sources: Vec<String>,
    /// Labels: `negative`, `neutral`, `positive`, `unsure`.
    pub sentiments: Vec<String>,
    /// The model's score, at least.
    pub score_from: Option<f64>,
    /// The model's score, at most.
    pub score_until: Option<f64>,
    /// Ids or handles of authors; handles without regard to case.
    pub authors: Vec<String>,
    /// What title or text hold, without regard to case.
    pub text: Option<String>,
    /// Kinds.
    pub kinds: Vec<String>,
    /// Countries, upper case.
    pub countries: Vec<String>,
    /// `inbound` or `outbound`.
    pub direction: Option<&'static str>,
    /// Only noise, or all but noise.
    pub noise: Option<bool>,
    /// Names of intents, one of which the author has.
    pub intents: Vec<String>,
    /// The story that they belong to.
    pub story: Option<Uuid>,
}

/// A place in the order of mentions: newest published first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Unix milliseconds.
    pub published_at: i64,
    /// Id of the message.
    pub id: Uuid,
    /// Brand.
    pub brand: String,
}

impl Mention {
    /// Where it stands in the order of mentions.
    pub fn position(&self) -> Position {
        Position { published_at: self.published_at.as_millisecond(), id: self.id, brand: self.brand.clone() }
    }
}

/// Mentions after a position (from the newest on, where there is none), newest first.
///
/// What arrives in the meantime moves nothing: every mention that is there all the time and keeps its time of
/// publication comes exactly once.
pub async fn search(
    store: &Store,
    search: &Search,
    after: Option<&Position>,
    limit: usize,
) -> Result<Vec<Mention>, StoreError> {
    let after_it = match after {
        // The first condition is implied by the second, and cheaper.
        Some(_) => {
            " AND published_at <= fromUnixTimestamp64Milli({at:Int64}) \
             AND (published_at, message_id, brand) < (fromUnixTimestamp64Milli({at:Int64}), toUUID({id:String}), {after:String})"
        }
        None => "",
    };
    // First which, then what they say: long columns are read for the page only.
    let sql = format!(
        "SELECT {COLUMNS} FROM mentions WHERE (mentions.brand, mentions.message_id) IN ( \
             SELECT brand, message_id FROM mentions WHERE 1{conditions}{after_it} \
             ORDER BY published_at DESC, message_id DESC, brand DESC LIMIT {limit}) \
         ORDER BY mentions.published_at DESC, mentions.message_id DESC, mentions.brand DESC",
        conditions = search.conditions(),
    );
    let mut query = search.bind(store.query(&sql));
    if let Some(position) = after {
        query = query.param("at", storable(position.published_at));
        query = query.param("id", position.id.to_string()).param("after", &position.brand);
    }
    store.fetch("searching mentions", query).await
}

/// A message under every brand that it speaks of and that the filter lets through, by brand.
pub async fn of_message(store: &Store, filter: &Filter, id: Uuid) -> Result<Vec<Mention>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM mentions WHERE mentions.message_id = toUUID({{id:String}}){} ORDER BY mentions.brand",
        filter.conditions()
    );
    store.fetch("reading a mention", filter.bind(store.query(&sql)).param("id", id.to_string())).await
}

impl Search {
    fn conditions(&self) -> String {
        const AUTHOR: &str = " AND (author_id IN {authors:Array(String)} \
                              OR lowerUTF8(author_handle) IN arrayMap(author -> lowerUTF8(author), {authors:Array(String)}))";
        const TEXT: &str = " AND (positionCaseInsensitiveUTF8(text, {text:String}) > 0 \
                            OR positionCaseInsensitiveUTF8(title, {text:String}) > 0)";
        let conditions = [
            (!self.sources.is_empty()).then_some(" AND source IN {sources:Array(String)}"),
            (!self.sentiments.is_empty()).then_some(" AND sentiment IN {sentiments:Array(String)}"),
            self.score_from.map(|_| " AND sentiment_score >= {score_from:Float64}"),
            self.score_until.map(|_| " AND sentiment_score <= {score_until:Float64}"),
            (!self.authors.is_empty()).then_some(AUTHOR),
            self.text.as_ref().map(|_| TEXT),
            (!self.kinds.is_empty()).then_some(" AND kind IN {kinds:Array(String)}"),
            (!self.countries.is_empty()).then_some(" AND country IN {countries:Array(String)}"),
            self.direction.map(|_| " AND direction = {direction:String}"),
            (!self.intents.is_empty()).then_some(" AND hasAny(intents, {intents:Array(String)})"),
            self.story.map(
                |_| " AND message_id IN (SELECT message_id FROM story_messages WHERE story = toUUID({story:String}))",
            ),
            self.noise.map(|is_noise| if is_noise { " AND noise != 'none'" } else { " AND noise = 'none'" }),
        ];
        self.filter.conditions() + &conditions.into_iter().flatten().collect::<String>()
    }

    fn bind(&self, query: Query) -> Query {
        let mut query = self.filter.bind(query);
        let lists = [
            ("sources", &self.sources),
            ("sentiments", &self.sentiments),
            ("authors", &self.authors),
            ("kinds", &self.kinds),
            ("countries", &self.countries),
            ("intents", &self.intents),
        ];
        for (name, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            query = query.param(name, values);
        }
        for (name, score) in [("score_from", self.score_from), ("score_until", self.score_until)] {
            if let Some(score) = score {
                query = query.param(name, score);
            }
        }
        let story = self.story.map(|story| story.to_string());
        for (name, text) in [("text", self.text.as_deref()), ("direction", self.direction), ("story", story.as_deref())]
        {
            if let Some(text) = text {
                query = query.param(name, text);
            }
        }
        query
    }
}

// As they are stored -----------------------------------------------------------------------------------------

/// A place in the order in which revisions of mentions were stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Row, Serialize, Deserialize)]
pub struct Stored {
    /// Unix milliseconds of the store's clock.
    pub at: i64,
    /// Brand.
    pub brand: String,
    /// Id of the message.
    #[serde(with = "clickhouse::serde::uuid")]
    pub id: Uuid,
}

/// What the store's clock says, Unix milliseconds.
pub async fn store_clock(store: &Store) -> Result<i64, StoreError> {
    store.fetch_one("asking for the time", store.query("SELECT toUnixTimestamp64Milli(now64(3))")).await
}

/// Revisions stored after a place, oldest first; those that are superseded or deletions are among them.
pub async fn stored_after(
    store: &Store,
    filter: &Filter,
    place: &Stored,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    // The table itself, without FINAL: only what was stored lately is read. Ids are compared as text, which orders
    // them as `Stored` does; ClickHouse orders UUIDs by their second half.
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(stored_at) AS at, toString(brand) AS brand, message_id AS id \
         FROM mention_revisions WHERE stored_at >= fromUnixTimestamp64Milli({{at:Int64}}){} \
             AND (stored_at, toString(brand), toString(message_id)) > \
                 (fromUnixTimestamp64Milli({{at:Int64}}), {{after:String}}, {{id:String}}) \
         ORDER BY mention_revisions.stored_at, brand, toString(mention_revisions.message_id) \
         LIMIT {limit}",
        filter.conditions()
    );
    let query = filter.bind(store.query(&sql));
    let query = query.param("at", storable(place.at)).param("after", &place.brand).param("id", place.id.to_string());
    store.fetch("reading what was stored lately", query).await
}

/// The mentions that stand at these places now, in the order of storing; what was replaced since is not among them.
pub async fn at_places(store: &Store, filter: &Filter, places: &[Stored]) -> Result<Vec<Mention>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM mentions WHERE (mentions.brand, mentions.message_id) IN ( \
             SELECT place.1, toUUID(place.2) FROM (SELECT arrayJoin(arrayZip({{of:Array(String)}}, {{ids:Array(String)}})) AS place)) \
             {} ORDER BY mentions.stored_at, mentions.brand, mentions.message_id",
        filter.conditions()
    );
    let brands: Vec<&str> = places.iter().map(|place| place.brand.as_str()).collect();
    let ids: Vec<String> = places.iter().map(|place| place.id.to_string()).collect();
    let query = filter.bind(store.query(&sql)).param("of", brands).param("ids", ids);
    let mut mentions: Vec<Mention> = store.fetch("reading mentions", query).await?;
    let wanted: std::collections::HashSet<(i64, &str, Uuid)> =
        places.iter().map(|place| (place.at, place.brand.as_str(), place.id)).collect();
    mentions
        .retain(|mention| wanted.contains(&(mention.stored_at.as_millisecond(), mention.brand.as_str(), mention.id)));
    Ok(mentions)
}
