//! Rows as they are inserted. Each is idempotent: inserting it again changes no figure.

use uuid::Uuid;

use super::native::{Block, Columns};

/// One revision of a mention: a message that matched a brand. Table `mention_revisions`; the view
/// `mentions` shows the highest revision of each (brand, message) that is not deleted.
///
/// Times are Unix milliseconds (`DateTime64(3, 'UTC')`).
#[derive(Debug, Clone, Default)]
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
    /// Pictures, video or sound came with it.
    pub has_media: bool,
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
    /// [`Country`](hearken_connectors::Country); empty where the source does not say.
    pub country: &'a str,
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
    /// What the first scorer said, where another one has spoken since and these four are its words.
    pub first: Option<FirstOpinion<'a>>,
    /// What the author wants.
    pub intents: Vec<&'a str>,
    /// Version of the rules of `intents`.
    pub intent_version: &'a str,
    /// To find texts that say nearly the same; empty where too little is said.
    pub fingerprint: &'a [u16],
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

/// What the first scorer said of a mention that has a second opinion.
#[derive(Debug, Clone, Copy)]
pub struct FirstOpinion<'a> {
    /// `negative`, `neutral`, `positive`, `unsure`.
    pub sentiment: &'a str,
    /// -1..=1.
    pub score: f32,
    /// 0..=1.
    pub confidence: f32,
    /// Model and version.
    pub model: &'a str,
}

impl<'a> MentionRow<'a> {
    /// What it says of the sentiment.
    pub fn opinion(&self) -> FirstOpinion<'a> {
        FirstOpinion {
            sentiment: self.sentiment,
            score: self.sentiment_score,
            confidence: self.sentiment_confidence,
            model: self.sentiment_model,
        }
    }
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
        block.bool("has_media", |row| row.has_media);
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
        block.name("country", |row| row.country);
        block.name("language", |row| row.language);
        block.f32("language_confidence", |row| row.language_confidence);
        block.name("sentiment", |row| row.sentiment);
        block.f32("sentiment_score", |row| row.sentiment_score);
        block.f32("sentiment_confidence", |row| row.sentiment_confidence);
        block.name("sentiment_model", |row| row.sentiment_model);
        block.name("first_sentiment", |row| row.first.map_or("", |first| first.sentiment));
        block.f32("first_score", |row| row.first.map_or(0.0, |first| first.score));
        block.f32("first_confidence", |row| row.first.map_or(0.0, |first| first.confidence));
        block.name("first_model", |row| row.first.map_or("", |first| first.model));
        block.strings("intents", |row| &row.intents);
        block.name("intent_version", |row| row.intent_version);
        block.u16s("fingerprint", |row| row.fingerprint);
        block.f32("influence", |row| row.influence);
        block.f32("influence_reach", |row| row.influence_reach);
        block.f32("influence_resonance", |row| row.influence_resonance);
        block.name("influence_version", |row| row.influence_version);
        block.millis("published_at", |row| row.published_at);
        block.millis("observed_at", |row| row.observed_at);
        block.millis("scored_at", |row| row.scored_at);
    }
}

/// Bits of the scoring pass at the end of a revision: 15 of the generation, and one that is set where a second scorer
/// has spoken.
const PASS_BITS: u32 = 16;
const LAST_GENERATION: u16 = (1 << 15) - 1;

/// Orders the revisions of a mention: `version` (edits), then `observed_at` in milliseconds (a
/// later look at the same version knows newer engagement), then `pass` (a later scorer; see [`rescored`]).
pub fn revision(version: u64, observed_at: i64, pass: u16) -> u128 {
    let observed_at = u64::try_from(observed_at).unwrap_or(0);
    (u128::from(version) << 64) | (u128::from(observed_at & 0xffff_ffff_ffff) << 16) | u128::from(pass)
}

/// A revision without its scoring pass: which look at which version of the message it is.
pub fn look(revision: u128) -> u128 {
    revision >> PASS_BITS
}

/// True where a second scorer has spoken.
pub fn has_second_opinion(revision: u128) -> bool {
    revision & 1 == 1
}

/// The revision of a mention that is scored again, as the first scorer's: it beats the one in the store, where there is
/// one, and whatever the pipeline writes of the look at the message that it is made from (`heard`). A later look beats
/// it. `None` where the generations are used up.
///
/// The pipeline writes generation 0, each rescoring the generation above the one that it finds.
pub fn rescored(stored: Option<u128>, heard: u128) -> Option<u128> {
    let stored = stored.unwrap_or(0);
    let look = look(stored).max(self::look(heard));
    let before = if self::look(stored) == look { (stored & 0xffff) as u16 >> 1 } else { 0 };
    (before < LAST_GENERATION).then(|| (look << PASS_BITS) | u128::from((before + 1) << 1))
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

/// The story of a message. Table `story_revisions`; view `story_messages`.
#[derive(Debug, Clone)]
pub struct StoryRow {
    /// The message.
    pub message_id: Uuid,
    /// The earliest message of its story; nil where it has none any more.
    pub story: Uuid,
    /// When this was found, Unix milliseconds; the latest wins.
    pub found_at: i64,
}

impl Columns for StoryRow {
    const TABLE: &'static str = "story_revisions";

    fn write(block: &mut Block<'_, Self>) {
        block.uuid("message_id", |row| row.message_id);
        block.uuid("story", |row| row.story);
        block.millis("found_at", |row| row.found_at);
    }
}

/// A complete computation of the scores of authors. Table `author_score_runs`.
#[derive(Debug, Clone)]
pub struct ScoreRunRow<'a> {
    /// Rises with each computation.
    pub run: u64,
    /// The latest mention, Unix milliseconds.
    pub latest_at: i64,
    /// When the latest row that was read had been stored, Unix milliseconds.
    pub stored_at: i64,
    /// Authors scored.
    pub authors: u64,
    /// Pairs of authors of whom one spoke to the other.
    pub contacts: u64,
    /// Versions of the formulas, and the configuration that they used.
    pub rules: &'a str,
    /// Of the terms.
    pub weights: Weights,
    /// Of advocacy.
    pub half_life_days: f32,
}

/// How much the terms of influence weigh.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of reach.
    pub reach: f32,
    /// Of resonance.
    pub resonance: f32,
    /// Of authority.
    pub authority: f32,
    /// Of relevance.
    pub relevance: f32,
    /// Of activity.
    pub activity: f32,
}

impl Columns for ScoreRunRow<'_> {
    const TABLE: &'static str = "author_score_runs";

    fn write(block: &mut Block<'_, Self>) {
        block.u64("run", |row| row.run);
        block.millis("latest_at", |row| row.latest_at);
        block.millis("stored_at", |row| row.stored_at);
        block.u64("authors", |row| row.authors);
        block.u64("contacts", |row| row.contacts);
        block.string("rules", |row| row.rules.as_bytes());
        block.f32("weight_reach", |row| row.weights.reach);
        block.f32("weight_resonance", |row| row.weights.resonance);
        block.f32("weight_authority", |row| row.weights.authority);
        block.f32("weight_relevance", |row| row.weights.relevance);
        block.f32("weight_activity", |row| row.weights.activity);
        block.f32("half_life_days", |row| row.half_life_days);
    }
}

/// Influence of an author. Table `author_score_rows`, keyed by (run, channel, author); view `author_scores`.
#[derive(Debug, Clone)]
pub struct AuthorScoreRow<'a> {
    /// Computation.
    pub run: u64,
    /// Platform.
    pub channel: &'a str,
    /// Id on the platform, or handle where there is none.
    pub author: &'a str,
    /// Handle as last seen.
    pub handle: &'a str,
    /// Display name as last seen.
    pub name: &'a str,
    /// Profile page as last seen.
    pub url: &'a str,
    /// Followers as last seen; `None` where no source says.
    pub followers: Option<u64>,
    /// The account says that it is automated.
    pub bot: bool,
    /// Public messages.
    pub messages: u64,
    /// Those that are no reposts.
    pub posts: u64,
    /// Weighted reactions to the posts.
    pub reactions: u64,
    /// Days with a message within the last 90.
    pub active_days: u64,
    /// First message, Unix milliseconds.
    pub first_at: i64,
    /// Last message, Unix milliseconds.
    pub last_at: i64,
    /// Votes of others that authority is made of.
    pub voices: f32,
    /// Followers at the top of the channel.
    pub top_followers: f32,
    /// Followers of a typical author of the channel.
    pub typical_followers: f32,
    /// Reactions to a typical post of the channel.
    pub typical_reactions: f32,
    /// The channel counts reactions.
    pub counts_reactions: bool,
    /// Term of influence, 0..=100.
    pub reach: f32,
    /// Term of influence, 0..=100.
    pub resonance: f32,
    /// Term of influence, 0..=100.
    pub authority: f32,
    /// Term of influence, 0..=100.
    pub activity: f32,
    /// 0..=100.
    pub influence: f32,
    /// Version of the formula.
    pub version: &'a str,
}

impl Columns for AuthorScoreRow<'_> {
    const TABLE: &'static str = "author_score_rows";

    fn write(block: &mut Block<'_, Self>) {
        block.u64("run", |row| row.run);
        block.name("channel", |row| row.channel);
        block.string("author", |row| row.author.as_bytes());
        block.string("handle", |row| row.handle.as_bytes());
        block.string("name", |row| row.name.as_bytes());
        block.string("url", |row| row.url.as_bytes());
        block.optional_u64("followers", |row| row.followers);
        block.bool("bot", |row| row.bot);
        block.u64("messages", |row| row.messages);
        block.u64("posts", |row| row.posts);
        block.u64("reactions", |row| row.reactions);
        block.u64("active_days", |row| row.active_days);
        block.millis("first_at", |row| row.first_at);
        block.millis("last_at", |row| row.last_at);
        block.f32("voices", |row| row.voices);
        block.f32("top_followers", |row| row.top_followers);
        block.f32("typical_followers", |row| row.typical_followers);
        block.f32("typical_reactions", |row| row.typical_reactions);
        block.bool("counts_reactions", |row| row.counts_reactions);
        block.f32("reach", |row| row.reach);
        block.f32("resonance", |row| row.resonance);
        block.f32("authority", |row| row.authority);
        block.f32("activity", |row| row.activity);
        block.f32("influence", |row| row.influence);
        block.name("version", |row| row.version);
    }
}

/// What an author is to a brand. Table `brand_author_rows`, keyed by (run, brand, channel, author); view
/// `brand_authors`.
#[derive(Debug, Clone)]
pub struct BrandAuthorRow<'a> {
    /// Computation.
    pub run: u64,
    /// Name of the brand.
    pub brand: &'a str,
    /// Platform.
    pub channel: &'a str,
    /// Id on the platform, or handle where there is none.
    pub author: &'a str,
    /// Public mentions of the brand.
    pub mentions: u64,
    /// Of positive sentiment.
    pub positive: u64,
    /// Of neutral sentiment.
    pub neutral: u64,
    /// Of negative sentiment.
    pub negative: u64,
    /// Of which the scorer is not sure.
    pub unsure: u64,
    /// First mention, Unix milliseconds.
    pub first_at: i64,
    /// Last mention, Unix milliseconds.
    pub last_at: i64,
    /// 0..=100.
    pub relevance: f32,
    /// Influence with relevance as a term, 0..=100.
    pub influence: f32,
    /// Version of its formula.
    pub influence_version: &'a str,
    /// -100..=100.
    pub advocacy: f32,
    /// Weighted mean of the sides taken, -1..=1.
    pub advocacy_mean: f32,
    /// Sum of the weights.
    pub advocacy_evidence: f32,
    /// Version of its formula.
    pub advocacy_version: &'a str,
    /// Segments by name.
    pub segments: Vec<String>,
    /// Version of their rules.
    pub segments_version: &'a str,
}

impl Columns for BrandAuthorRow<'_> {
    const TABLE: &'static str = "brand_author_rows";

    fn write(block: &mut Block<'_, Self>) {
        block.u64("run", |row| row.run);
        block.name("brand", |row| row.brand);
        block.name("channel", |row| row.channel);
        block.string("author", |row| row.author.as_bytes());
        block.u64("mentions", |row| row.mentions);
        block.u64("positive", |row| row.positive);
        block.u64("neutral", |row| row.neutral);
        block.u64("negative", |row| row.negative);
        block.u64("unsure", |row| row.unsure);
        block.millis("first_at", |row| row.first_at);
        block.millis("last_at", |row| row.last_at);
        block.f32("relevance", |row| row.relevance);
        block.f32("influence", |row| row.influence);
        block.name("influence_version", |row| row.influence_version);
        block.f32("advocacy", |row| row.advocacy);
        block.f32("advocacy_mean", |row| row.advocacy_mean);
        block.f32("advocacy_evidence", |row| row.advocacy_evidence);
        block.name("advocacy_version", |row| row.advocacy_version);
        block.strings("segments", |row| &row.segments);
        block.name("segments_version", |row| row.segments_version);
    }
}
