//! Mentions: searched page by page, by id, and corrected.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::caller::Caller;
use super::page::{Cursor, Page, PageQuery};
use super::params::{Checked, Params, Query};
use super::problem::Problem;
use super::query::{FilterQuery, Text};
use super::token::Role;
use super::{Api, query};
use crate::store::rows::CorrectionRow;
use crate::views::Filter;
use crate::views::mentions::{self, Mention, Position, Search};

/// A label of sentiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sentiment {
    /// Speaks ill.
    Negative,
    /// Takes no side.
    Neutral,
    /// Speaks well.
    Positive,
    /// Cannot be told.
    Unsure,
}

impl Sentiment {
    const ALL: [(&'static str, Self); 4] = [
        ("negative", Self::Negative),
        ("neutral", Self::Neutral),
        ("positive", Self::Positive),
        ("unsure", Self::Unsure),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::Neutral => "neutral",
            Self::Positive => "positive",
            Self::Unsure => "unsure",
        }
    }
}

/// Kind of a message.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "its variants are read out of the OpenAPI document")]
pub(super) enum Kind {
    /// Said of one's own accord.
    Post,
    /// An answer to somebody.
    Reply,
    /// Somebody else's words, repeated.
    Repost,
    /// Somebody else's words, with own ones.
    Quote,
    /// Below an article, a video, a page.
    Comment,
    /// With stars, or about a product or place.
    Review,
    /// From a publication.
    Article,
    /// An e-mail.
    Email,
    /// In a chat.
    Chat,
}

const KINDS: [(&str, &str); 9] = [
    ("post", "post"),
    ("reply", "reply"),
    ("repost", "repost"),
    ("quote", "quote"),
    ("comment", "comment"),
    ("review", "review"),
    ("article", "article"),
    ("email", "email"),
    ("chat", "chat"),
];

/// Who speaks.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "its variants are read out of the OpenAPI document")]
pub(super) enum Direction {
    /// Others.
    Inbound,
    /// The brand itself.
    Outbound,
}

const DIRECTIONS: [(&str, &str); 2] = [("inbound", "inbound"), ("outbound", "outbound")];

/// What an author wants.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "its variants are read out of the OpenAPI document")]
pub(super) enum Intent {
    /// To have something put right.
    Complaint,
    /// An answer, or help.
    Question,
    /// To thank or to commend.
    Praise,
    /// To buy, or advice on what to buy.
    Purchase,
    /// To sell, or to be clicked on.
    Spam,
}

const INTENTS: [(&str, &str); 5] = [
    ("complaint", "complaint"),
    ("question", "question"),
    ("praise", "praise"),
    ("purchase", "purchase"),
    ("spam", "spam"),
];

/// What is looked for, beside brand, channel, language and time.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MentionQuery {
    /// Name of a source; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    source: Vec<String>,
    /// Label of sentiment, as corrected; may be repeated.
    #[param(required = false, inline, max_items = 20)]
    sentiment: Vec<Sentiment>,
    /// The model's score of sentiment, at least.
    #[param(minimum = -1, maximum = 1)]
    score_from: Option<f64>,
    /// The model's score of sentiment, at most.
    #[param(minimum = -1, maximum = 1)]
    score_until: Option<f64>,
    /// Id or handle of an author; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    author: Vec<String>,
    /// What title or text hold, without regard to case.
    #[param(value_type = Option<Text>, inline)]
    text: Option<String>,
    /// Kind of message; may be repeated.
    #[param(required = false, value_type = Vec<Kind>, inline, max_items = 20)]
    kind: Vec<&'static str>,
    /// Country that the source names, ISO 3166-1 alpha-2; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    country: Vec<String>,
    /// Whose words: of others (`inbound`), or of the brand itself.
    #[param(value_type = Option<Direction>, inline)]
    direction: Option<&'static str>,
    /// Only noise (automatic and bulk mail), or all but noise; both unless said otherwise.
    noise: Option<bool>,
    /// What the author wants; may be repeated.
    #[param(required = false, value_type = Vec<Intent>, inline, max_items = 20)]
    intent: Vec<&'static str>,
    /// Id of a story, as `/stories` gives it.
    story: Option<Uuid>,
}

impl Query for MentionQuery {
    fn read(params: &mut Params) -> Self {
        Self {
            source: params.texts("source"),
            sentiment: params.choices("sentiment", &Sentiment::ALL),
            score_from: params.number("score_from", -1.0, 1.0),
            score_until: params.number("score_until", -1.0, 1.0),
            author: params.texts("author"),
            text: params.text("text"),
            kind: params.choices("kind", &KINDS),
            country: params.texts("country"),
            direction: params.choice("direction", &DIRECTIONS),
            noise: params.choice("noise", &[("true", true), ("false", false)]),
            intent: params.choices("intent", &INTENTS),
            story: params.parsed("story", "the id of a story, a UUID"),
        }
    }
}

impl MentionQuery {
    fn search(self, filter: Filter) -> Search {
        Search {
            filter,
            sources: self.source,
            sentiments: self.sentiment.iter().map(|sentiment| sentiment.name().to_owned()).collect(),
            score_from: self.score_from,
            score_until: self.score_until,
            authors: self.author,
            text: self.text,
            kinds: self.kind.into_iter().map(str::to_owned).collect(),
            countries: self.country.iter().map(|country| country.to_ascii_uppercase()).collect(),
            direction: self.direction,
            noise: self.noise,
            intents: self.intent.into_iter().map(str::to_owned).collect(),
            story: self.story,
        }
    }
}

/// Search mentions
///
/// Newest published first, page by page. A page holds mentions after the `cursor`, which is the `next` of the page
/// before it. What arrives in the meantime moves nothing: every mention that is there all the time comes exactly once.
#[utoipa::path(get, path = "/mentions", tag = query::MONITORING,
    params(FilterQuery, MentionQuery, PageQuery),
    responses((status = 200, description = "A page of mentions", body = Page<Mention>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<(FilterQuery, (MentionQuery, PageQuery))>,
) -> Result<Json<Page<Mention>>, Problem> {
    let (filter, (wanted, page)) = query;
    let search = wanted.search(caller.narrow(filter.into())?);
    let after = page.after::<(i64, Uuid, String)>("mentions")?;
    let after = after.map(|Cursor((published_at, id, brand))| Position { published_at, id, brand });
    // One more than asked for, to know whether there is a next page.
    let found = mentions::search(&api.store, &search, after.as_ref(), page.limit + 1).await?;
    Ok(Json(page.cut(found, |mention| {
        let Position { published_at, id, brand } = mention.position();
        Cursor((published_at, id, brand)).encode("mentions")
    })))
}

/// A message under every brand that it speaks of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneMessage {
    /// Its id.
    id: Uuid,
    /// One mention for each brand, by brand.
    mentions: Vec<Mention>,
}

/// Read one message
///
/// Under every brand that it speaks of and that the token may see.
#[utoipa::path(get, path = "/mentions/{id}", tag = query::MONITORING,
    params(("id" = Uuid, Path, description = "Id of the message")),
    responses((status = 200, description = "The message", body = OneMessage),
              (status = 404, description = "There is no such message, or none that the token may see",
               body = Problem, content_type = "application/problem+json")))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Checked<query::Nothing>,
) -> Result<Json<OneMessage>, Problem> {
    let mentions = mentions::of_message(&api.store, &caller.narrow(Filter::default())?, id).await?;
    if mentions.is_empty() {
        return Err(unknown(id));
    }
    Ok(Json(OneMessage { id, mentions }))
}

/// Of which brand the sentiment is meant.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BrandQuery {
    /// Name of the brand.
    #[param(value_type = Text, inline)]
    brand: String,
}

impl Query for BrandQuery {
    fn read(params: &mut Params) -> Self {
        Self { brand: params.required("brand") }
    }
}

/// What a person says the sentiment is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSentiment {
    /// The right label.
    sentiment: Sentiment,
}

/// Correct the sentiment of a mention
///
/// Needs the role `analyst`. The correction stays with the mention over edits and rescoring, and counts in every
/// figure; the model's own label and score are kept beside it. The latest correction wins.
#[utoipa::path(put, path = "/mentions/{id}/sentiment", tag = query::MONITORING,
    params(("id" = Uuid, Path, description = "Id of the message"), BrandQuery),
    request_body = NewSentiment,
    responses((status = 200, description = "The mention, corrected", body = Mention),
              (status = 404, description = "There is no such mention, or none that the token may see",
               body = Problem, content_type = "application/problem+json")))]
pub(super) async fn correct(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    Checked(query): Checked<BrandQuery>,
    body: Result<Json<NewSentiment>, JsonRejection>,
) -> Result<Json<Mention>, Problem> {
    let BrandQuery { brand } = query;
    caller.at_least(Role::Analyst)?;
    let Json(NewSentiment { sentiment }) = body?;
    let filter = caller.narrow(Filter { brands: vec![brand], ..Filter::default() })?;
    let found = mentions::of_message(&api.store, &filter, id).await?;
    let mention = found.into_iter().next().ok_or_else(|| unknown(id))?;
    let now = Timestamp::now();
    let row = CorrectionRow {
        brand: &mention.brand,
        message_id: id,
        sentiment: sentiment.name(),
        corrected_by: &caller.name,
        corrected_at: now.as_millisecond(),
    };
    api.store.insert_corrections(&[row]).await?;
    let corrected_at = Timestamp::from_millisecond(now.as_millisecond()).ok();
    let (sentiment, corrected_by) = (sentiment.name().to_owned(), Some(caller.name));
    Ok(Json(Mention { sentiment, corrected_by, corrected_at, ..mention }))
}

fn unknown(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no mention with the id {id} that this token may see"))
}

/// The id in the path.
pub(super) struct Id(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        let id = text.parse().map_err(|_| Problem::bad_parameter("id", "expected a UUID"))?;
        Ok(Self(id))
    }
}
