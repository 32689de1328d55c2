//! Mentions: a scored message becomes rows of the store and records of the topic `hearken.mentions`.

use hearken_connectors::{Country, Direction, Message};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::eventlog::Record;
use crate::query::Match;
use crate::score::{Intent, Score, Scorer, influence, intent};
use crate::store::rows::{MentionRow, revision};

/// Scoring pass of the first tier; a later tier's rows carry a higher one and replace these.
const FIRST_PASS: u16 = 0;

/// What the pipeline has to know of each brand, in the order of the compiled queries.
pub type Brands = Vec<Brand>;

/// A brand as the pipeline sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// Its name.
    pub name: String,
    /// Its own accounts as (channel, handle), lower case; what they say is outbound.
    pub accounts: Vec<(String, String)>,
}

impl Brand {
    fn owns(&self, message: &Message) -> bool {
        let is_author = |(channel, handle): &(String, String)| {
            *channel == message.channel && handle.eq_ignore_ascii_case(&message.author.handle)
        };
        self.accounts.iter().any(is_author)
    }
}

/// A message with the brands that it speaks of and its scores.
#[derive(Debug)]
pub struct Scored {
    /// The message.
    pub message: Message,
    /// The brands that it speaks of.
    pub matches: Vec<Match>,
    /// Its scores.
    pub score: Score,
    /// When it was scored.
    pub at: Timestamp,
}

/// One mention in the topic `hearken.mentions`.
#[derive(Serialize)]
struct Published<'a> {
    brand: &'a str,
    matched: &'a [String],
    deleted: bool,
    language: &'a str,
    sentiment: &'a str,
    sentiment_score: f32,
    sentiment_confidence: f32,
    sentiment_model: &'a str,
    intents: &'a [Intent],
    influence: f32,
    scored_at: Timestamp,
    message: &'a Message,
}

/// A deletion beats every revision that was heard before it, also where the source numbers its
/// revisions instead of dating them.
fn effective_version(message: &Message) -> u64 {
    let heard = u64::try_from(message.observed_at.as_millisecond()).unwrap_or(0);
    if message.deleted { message.version.max(heard) } else { message.version }
}

/// The revision of what the pipeline writes of a message.
pub fn first_revision(message: &Message) -> u128 {
    revision(effective_version(message), message.observed_at.as_millisecond(), FIRST_PASS)
}

/// True where a message takes itself away from every brand that it does not speak of.
pub fn is_revised(message: &Message) -> bool {
    message.deleted || message.version > 0
}

impl Scored {
    /// The rows of this message: one for each brand that it speaks of.
    ///
    /// An edit or a deletion may take a brand away, so it also writes a tombstone for every other
    /// brand. No look-up is needed, and replaying revisions in any order ends the same.
    pub fn rows<'a>(&'a self, brands: &'a [Brand], scorer: &'a Scorer) -> impl Iterator<Item = MentionRow<'a>> {
        let spoken_of = self.matches.iter().filter_map(|matched| {
            let brand = brands.get(matched.brand)?;
            Some(self.row(brand, &matched.clauses, self.message.deleted, scorer))
        });
        let revised = is_revised(&self.message);
        let others = brands.iter().enumerate().filter(move |(index, _)| revised && !self.speaks_of(*index));
        spoken_of.chain(others.map(|(_, brand)| self.row(brand, &[], true, scorer)))
    }

    fn speaks_of(&self, brand: usize) -> bool {
        self.matches.iter().any(|matched| matched.brand == brand)
    }

    fn row<'a>(&'a self, brand: &'a Brand, matched: &'a [String], deleted: bool, scorer: &'a Scorer) -> MentionRow<'a> {
        let Self { message, score, at, .. } = self;
        let Message { author, engagement, .. } = message;
        let observed_at = message.observed_at.as_millisecond();
        let direction = if brand.owns(message) { Direction::Outbound } else { message.direction };
        MentionRow {
            brand: &brand.name,
            message_id: message.id.0,
            revision: first_revision(message),
            deleted,
            channel: &message.channel,
            source: &message.source,
            native_id: &message.native_id,
            kind: message.kind.as_str(),
            direction: direction.as_str(),
            visibility: message.visibility.as_str(),
            noise: message.noise.as_str(),
            author_id: &author.id,
            author_handle: &author.handle,
            author_name: &author.name,
            author_url: &author.url,
            author_followers: author.followers,
            author_verified: author.verified,
            author_bot: author.bot,
            title: &message.title,
            text: &message.text,
            url: &message.url,
            links: &message.links,
            hashtags: &message.hashtags,
            mentioned: &message.mentioned,
            attachments: &message.attachments,
            has_media: message.media,
            in_reply_to: message.in_reply_to.map_or(Uuid::nil(), |parent| parent.0),
            repost_of: message.repost_of.map_or(Uuid::nil(), |original| original.0),
            conversation: &message.conversation,
            likes: engagement.likes.unwrap_or(0),
            reposts: engagement.reposts.unwrap_or(0),
            replies: engagement.replies.unwrap_or(0),
            quotes: engagement.quotes.unwrap_or(0),
            views: engagement.views,
            rating: engagement.rating,
            matched,
            country: message.country.as_ref().map_or("", Country::as_str),
            language: score.language,
            language_confidence: score.language_confidence,
            sentiment: score.sentiment.label.as_str(),
            sentiment_score: score.sentiment.score,
            sentiment_confidence: score.sentiment.confidence,
            sentiment_model: scorer.model_name(),
            first: None,
            intents: score.intents.iter().map(|intent| intent.as_str()).collect(),
            intent_version: intent::VERSION,
            fingerprint: score.fingerprint.as_ref().map_or(&[], |fingerprint| &fingerprint.0),
            influence: score.influence.score,
            influence_reach: score.influence.reach,
            influence_resonance: score.influence.resonance,
            influence_version: influence::VERSION,
            published_at: message.published_at.as_millisecond(),
            observed_at,
            scored_at: at.as_millisecond(),
        }
    }

    /// The same as records of the topic `hearken.mentions`, keyed by message id.
    pub fn records(
        &self,
        brands: &[Brand],
        scorer: &Scorer,
    ) -> impl Iterator<Item = Result<Record, serde_json::Error>> {
        self.matches.iter().filter_map(|matched| Some((brands.get(matched.brand)?, matched))).map(|(brand, matched)| {
            let published = Published {
                brand: &brand.name,
                matched: &matched.clauses,
                deleted: self.message.deleted,
                language: self.score.language,
                sentiment: self.score.sentiment.label.as_str(),
                sentiment_score: self.score.sentiment.score,
                sentiment_confidence: self.score.sentiment.confidence,
                sentiment_model: scorer.model_name(),
                intents: &self.score.intents,
                influence: self.score.influence.score,
                scored_at: self.at,
                message: &self.message,
            };
            Ok(Record { key: self.message.id.0.as_bytes().to_vec(), value: serde_json::to_vec(&published)? })
        })
    }
}
