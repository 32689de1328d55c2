//! Rows as they are inserted. Each is idempotent: inserting it again changes no figure.

use uuid::Uuid;

use super::native::{Block, Columns};

/// One revision of a mention: a message that matched a brand. Table `mention_revisions`; the view
/// `mentions` shows the highest revision of each (brand, message) that is not deleted.
///
/// Times are Unix milliseconds (`DateTime64(3, 'UTC')`).
#[derive(Debug, Clone)]
pub struct MentionRow<'a> {
    /// Name of the brand.
    pub brand: &'a str,
    /// [`Message::id`](hearken_connectors::Message::id).
    pub message_id: Uuid,
    /// Orders the revisions: message version, then time of observation, then scoring pass;
    /// see [`revision`].
    pub revision: u128,
    /// The message is gone, or this revision no longer matches the brand.
    pub deleted: bool,
    /// Platform.
    pub channel: &'a str,
    /// Source that heard it.
    pub source: &'a str,
    /// Platform's id.
    pub native_id: &'a str,
    /// Kind of message.
    pub kind: &'a str,
    /// `inbound` or `outbound`.
    pub direction: &'a str,
    /// `public` or `private`.
    pub visibility: &'a str,
    /// [`Noise`](hearken_connectors::Noise) by name.
    pub noise: &'a str,
    /// Author's id on the platform.
    pub author_id: &'a str,
    /// Author's handle.
    pub author_handle: &'a str,
    /// Author's display name.
    pub author_name: &'a str,
    /// Author's profile page.
    pub author_url: &'a str,
    /// Author's followers; `None` where the source does not say.
    pub author_followers: Option<u64>,
    /// The platform vouches for the author.
    pub author_verified: bool,
    /// The author is automated.
    pub author_bot: bool,
    /// Headline or subject.
    pub title: &'a str,
    /// What was said.
    pub text: &'a str,
    /// Where to read it.
    pub url: &'a str,
    /// Links in the text.
    pub links: &'a [String],
    /// Hashtags, lower case.
    pub hashtags: &'a [String],
    /// Handles mentioned, lower case.
    pub mentioned: &'a [String],
    /// Names of the attachments.
    pub attachments: &'a [String],
    /// Message answered; nil where there is none.
    pub in_reply_to: Uuid,
    /// Message repeated; nil where there is none.
    pub repost_of: Uuid,
    /// Thread.
    pub conversation: &'a str,
    /// Likes; 0 where not counted.
    pub likes: u64,
    /// Reposts; 0 where not counted.
    pub reposts: u64,
    /// Replies; 0 where not counted.
    pub replies: u64,
    /// Quotes; 0 where not counted.
    pub quotes: u64,
    /// Views; `None` where not counted.
    pub views: Option<u64>,
    /// Stars, 1..=5.
    pub rating: Option<f32>,
    /// Clauses of the query that matched.
    pub matched: &'a [String],
    /// Detected language.
    pub language: &'a str,
    /// 0..=1.
    pub language_confidence: f32,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: &'a str,
    /// -1..=1.
    pub sentiment_score: f32,
    /// 0..=1.
    pub sentiment_confidence: f32,
    /// Model and version that spoke, for example `linear-1`.
    pub sentiment_model: &'a str,
    /// 0..=100.
    pub influence: f32,
    /// Term of influence, 0..=100.
    pub influence_reach: f32,
    /// Term of influence, 0..=100.
    pub influence_resonance: f32,
    /// Version of the formula.
    pub influence_version: &'a str,
    /// When it was published.
    pub published_at: i64,
    /// When it was heard.
    pub observed_at: i64,
    /// When it was scored.
    pub scored_at: i64,
}

impl Columns for MentionRow<'_> {
    const TABLE: &'static str = "mention_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.name("brand", |row| row.brand);
        block.uuid("message_id", |row| row.message_id);
        block.u128("revision", |row| row.revision);
        block.bool("deleted", |row| row.deleted);
        block.name("channel", |row| row.channel);
        block.name("source", |row| row.source);
        block.string("native_id", |row| row.native_id.as_bytes());
        block.name("kind", |row| row.kind);
        block.name("direction", |row| row.direction);
        block.name("visibility", |row| row.visibility);
        block.name("noise", |row| row.noise);
        block.string("author_id", |row| row.author_id.as_bytes());
        block.string("author_handle", |row| row.author_handle.as_bytes());
        block.string("author_name", |row| row.author_name.as_bytes());
        block.string("author_url", |row| row.author_url.as_bytes());
        block.optional_u64("author_followers", |row| row.author_followers);
        block.bool("author_verified", |row| row.author_verified);
        block.bool("author_bot", |row| row.author_bot);
        block.string("title", |row| row.title.as_bytes());
        block.string("text", |row| row.text.as_bytes());
        block.string("url", |row| row.url.as_bytes());
        block.strings("links", |row| row.links);
        block.strings("hashtags", |row| row.hashtags);
        block.strings("mentioned", |row| row.mentioned);
        block.strings("attachments", |row| row.attachments);
        block.uuid("in_reply_to", |row| row.in_reply_to);
        block.uuid("repost_of", |row| row.repost_of);
        block.string("conversation", |row| row.conversation.as_bytes());
        block.u64("likes", |row| row.likes);
        block.u64("reposts", |row| row.reposts);
        block.u64("replies", |row| row.replies);
        block.u64("quotes", |row| row.quotes);
        block.optional_u64("views", |row| row.views);
        block.optional_f32("rating", |row| row.rating);
        block.strings("matched", |row| row.matched);
        block.name("language", |row| row.language);
        block.f32("language_confidence", |row| row.language_confidence);
        block.name("sentiment", |row| row.sentiment);
        block.f32("sentiment_score", |row| row.sentiment_score);
        block.f32("sentiment_confidence", |row| row.sentiment_confidence);
        block.name("sentiment_model", |row| row.sentiment_model);
        block.f32("influence", |row| row.influence);
        block.f32("influence_reach", |row| row.influence_reach);
        block.f32("influence_resonance", |row| row.influence_resonance);
        block.name("influence_version", |row| row.influence_version);
        block.millis("published_at", |row| row.published_at);
        block.millis("observed_at", |row| row.observed_at);
        block.millis("scored_at", |row| row.scored_at);
    }
}

/// Orders the revisions of a mention: `version` (edits), then `observed_at` in milliseconds (a
/// later look at the same version knows newer engagement), then `pass` (a later scorer).
pub fn revision(version: u64, observed_at: i64, pass: u16) -> u128 {
    let observed_at = u64::try_from(observed_at).unwrap_or(0);
    (u128::from(version) << 64) | (u128::from(observed_at & 0xffff_ffff_ffff) << 16) | u128::from(pass)
}

/// What a second scorer says of a message, of this version of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// [`Message::id`](hearken_connectors::Message::id).
    pub message_id: Uuid,
    /// Version of the message that was read.
    pub version: u64,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: &'static str,
    /// P(positive) - P(negative), -1..=1.
    pub score: f32,
    /// 0..=1.
    pub confidence: f32,
    /// Model and version that spoke.
    pub model: String,
}

/// One interval in which a source missed messages. Table `coverage_gap_revisions`, keyed by `id`; view
/// `coverage_gaps`.
#[derive(Debug, Clone)]
pub struct GapRow<'a> {
    /// Stable id of (source, reason, from).
    pub id: Uuid,
    /// Name of the source.
    pub source: &'a str,
    /// Platform.
    pub channel: &'a str,
    /// [`GapReason`](hearken_connectors::contract::GapReason) by name.
    pub reason: &'a str,
    /// Start, Unix milliseconds, inclusive.
    pub from: i64,
    /// End, Unix milliseconds, exclusive; the greatest one wins.
    pub until: i64,
    /// Messages missed, where known.
    pub estimate: Option<u64>,
    /// For the operator.
    pub detail: &'a str,
}

impl Columns for GapRow<'_> {
    const TABLE: &'static str = "coverage_gap_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.uuid("id", |row| row.id);
        block.name("source", |row| row.source);
        block.name("channel", |row| row.channel);
        block.name("reason", |row| row.reason);
        block.millis("from_at", |row| row.from);
        block.millis("until_at", |row| row.until);
        block.optional_u64("estimate", |row| row.estimate);
        block.string("detail", |row| row.detail.as_bytes());
    }
}

/// One poll of a source. Table `source_poll_revisions`, keyed by (source, polled_at); view `source_polls`.
#[derive(Debug, Clone)]
pub struct PollRow<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Platform.
    pub channel: &'a str,
    /// When, Unix milliseconds.
    pub polled_at: i64,
    /// Messages heard.
    pub messages: u64,
    /// Records that could not be understood.
    pub poison: u64,
    /// Error of the poll; empty where it went well.
    pub error: &'a str,
}

impl Columns for PollRow<'_> {
    const TABLE: &'static str = "source_poll_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.name("source", |row| row.source);
        block.name("channel", |row| row.channel);
        block.millis("polled_at", |row| row.polled_at);
        block.u64("messages", |row| row.messages);
        block.u64("poison", |row| row.poison);
        block.string("error", |row| row.error.as_bytes());
    }
}

/// A record that could not be processed. Table `dead_letter_revisions`, keyed by `id`; view `dead_letters`.
#[derive(Debug, Clone)]
pub struct DeadLetterRow<'a> {
    /// Stable id of (origin, payload).
    pub id: Uuid,
    /// Source or stage that refused it.
    pub source: &'a str,
    /// Where it came from.
    pub origin: &'a str,
    /// Why it was refused.
    pub reason: &'a str,
    /// The record itself.
    pub payload: &'a [u8],
    /// When, Unix milliseconds.
    pub refused_at: i64,
}

impl Columns for DeadLetterRow<'_> {
    const TABLE: &'static str = "dead_letter_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.uuid("id", |row| row.id);
        block.name("source", |row| row.source);
        block.string("origin", |row| row.origin.as_bytes());
        block.string("reason", |row| row.reason.as_bytes());
        block.string("payload", |row| row.payload);
        block.millis("refused_at", |row| row.refused_at);
    }
}

/// What a person says the sentiment of a mention is. Table `sentiment_correction_revisions`, keyed by
/// (brand, message_id), of which the latest `corrected_at` wins; view `sentiment_corrections`.
#[derive(Debug, Clone)]
pub struct CorrectionRow<'a> {
    /// Brand of the mention.
    pub brand: &'a str,
    /// Message of the mention.
    pub message_id: Uuid,
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: &'a str,
    /// Who says so.
    pub corrected_by: &'a str,
    /// When, Unix milliseconds.
    pub corrected_at: i64,
}

impl Columns for CorrectionRow<'_> {
    const TABLE: &'static str = "sentiment_correction_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.name("brand", |row| row.brand);
        block.uuid("message_id", |row| row.message_id);
        block.name("sentiment", |row| row.sentiment);
        block.string("corrected_by", |row| row.corrected_by.as_bytes());
        block.millis("corrected_at", |row| row.corrected_at);
    }
}

/// A token of the HTTP API. Table `api_token_revisions`, keyed by `id`, of which a revoked row wins; view
/// `api_tokens`.
#[derive(Debug, Clone)]
pub struct TokenRow<'a> {
    /// Public part of the token.
    pub id: &'a str,
    /// Whose it is, or what it is for.
    pub name: &'a str,
    /// Argon2id of the secret part, as a PHC string.
    pub hash: &'a str,
    /// `viewer`, `analyst`, `manager`, `admin`.
    pub role: &'a str,
    /// Brands that it may see; empty is all.
    pub brands: &'a [String],
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// When it ends, Unix milliseconds; `None` is never.
    pub expires_at: Option<i64>,
    /// It is no longer accepted.
    pub revoked: bool,
}

impl Columns for TokenRow<'_> {
    const TABLE: &'static str = "api_token_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.string("id", |row| row.id.as_bytes());
        block.string("name", |row| row.name.as_bytes());
        block.string("hash", |row| row.hash.as_bytes());
        block.name("role", |row| row.role);
        block.strings("brands", |row| row.brands);
        block.millis("created_at", |row| row.created_at);
        block.optional_millis("expires_at", |row| row.expires_at);
        block.u8("revoked", |row| u8::from(row.revoked));
    }
}
