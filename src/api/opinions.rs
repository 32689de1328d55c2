//! Second opinions: texts for a second scorer, and what it says of them
//! ([ADR 0016](../../../docs/adr/0016-second-opinion-as-a-revision.md)).

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::caller::Caller;
use super::mentions::Sentiment;
use super::page::Cursor;
use super::params::{Checked, Params, Query};
use super::problem::Problem;
use super::query;
use crate::store::rows::Opinion;
use crate::views::opinions::{self, Place, Wanted};

/// Most texts of an answer.
const MOST_WANTED: usize = 1_000;
/// Most opinions of a request: they go to the store in the head of one, which has at most 64 KiB.
const MOST_OPINIONS: usize = 200;
/// The longest name of a model.
const MODEL_BYTES: usize = 60;

/// Which texts are wanted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WantedQuery {
    /// Stored at this time (RFC 3339) or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// The `next` of the answer before; the first question has none.
    #[param(min_length = 1, max_length = 2000)]
    cursor: Option<String>,
    /// Texts at most; 50 unless said otherwise.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: usize,
}

impl Query for WantedQuery {
    fn read(params: &mut Params) -> Self {
        Self { from: params.time("from"), cursor: params.opaque("cursor"), limit: params.limit(50, MOST_WANTED) }
    }
}

/// Texts for a second scorer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WantedTexts {
    /// Latest stored first. There may be none although there is a `next`.
    items: Vec<Wanted>,
    /// The `cursor` of what was stored before; `null` at the end.
    next: Option<String>,
    /// `from` of the next question, once the end is reached: what was stored before has been seen.
    #[schema(value_type = String, format = DateTime)]
    resume_from: Timestamp,
}

/// Texts that wait for a second opinion
///
/// Latest stored first: what others said in person, and only the first scorer has judged. Needs the role `admin` for
/// all brands, because it reads everything.
#[utoipa::path(get, path = "/opinions/wanted", tag = query::DAEMON, params(WantedQuery),
    responses((status = 200, description = "Texts", body = WantedTexts)))]
pub(super) async fn wanted(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<WantedQuery>,
) -> Result<Json<WantedTexts>, Problem> {
    caller.operates()?;
    let after = query.cursor.as_deref().map(|text| Cursor::<Place>::decode("wanted", text));
    let wrong = || Problem::bad_parameter("cursor", "it is not the `next` of an answer of this list");
    let after = after.map(|cursor| cursor.ok_or_else(wrong)).transpose()?;
    let after = after.map(|Cursor(place)| place);
    let page = opinions::wanted(&api.store, query.from, after.as_ref(), query.limit).await?;
    let next = page.next.map(|place| Cursor(place).encode("wanted"));
    Ok(Json(WantedTexts { items: page.texts, next, resume_from: page.resume_from }))
}

/// What a second scorer says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOpinions {
    /// One for each text.
    #[schema(min_items = 1, max_items = 200)]
    opinions: Vec<NewOpinion>,
}

/// What a second scorer says of a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOpinion {
    /// Id of the message.
    id: Uuid,
    /// Version of the message that was read.
    #[serde(deserialize_with = "whole")]
    #[schema(maximum = 18_446_744_073_709_551_615_u64)]
    version: u64,
    /// The label.
    sentiment: Sentiment,
    /// P(positive) - P(negative).
    #[schema(minimum = -1, maximum = 1)]
    score: f64,
    /// Probability of the best guess.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Model and version: letters, digits and `._+-`.
    #[schema(min_length = 1, max_length = 60, pattern = "^[A-Za-z0-9._+-]+$")]
    model: String,
}

/// What became of the opinions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outcome {
    /// Messages on which a second opinion stands now, at the version that was read.
    applied: u64,
    /// Messages that are gone, or have another version by now.
    outdated: u64,
}

/// Give second opinions
///
/// Each mention of the message that only the first scorer has judged, at the version that was read, becomes one with
/// both opinions, and the new one counts. Sending the same again changes nothing; neither does an opinion on what
/// already has a second one. Needs the role `admin` for all brands.
#[utoipa::path(post, path = "/opinions", tag = query::DAEMON, request_body = NewOpinions,
    responses((status = 200, description = "What became of them", body = Outcome)))]
pub(super) async fn give(
    State(api): State<Api>,
    caller: Caller,
    _: Checked<query::Nothing>,
    body: Result<Json<NewOpinions>, JsonRejection>,
) -> Result<Json<Outcome>, Problem> {
    caller.operates()?;
    let Json(NewOpinions { opinions }) = body?;
    if opinions.is_empty() || opinions.len() > MOST_OPINIONS {
        return Err(Problem::unprocessable(format!("`opinions` has to hold 1 to {MOST_OPINIONS} entries")));
    }
    let opinions: Vec<Opinion> =
        opinions.into_iter().enumerate().map(|(number, opinion)| opinion.checked(number)).collect::<Result<_, _>>()?;
    api.store.insert_opinions(&opinions).await?;
    let applied = opinions::applied(&api.store, &opinions).await?;
    let texts: std::collections::BTreeSet<_> = opinions.iter().map(|it| (it.message_id, it.version)).collect();
    Ok(Json(Outcome { applied, outdated: (texts.len() as u64).saturating_sub(applied) }))
}

/// Reads a whole number, which JSON may write as `7.0`.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    const PAST: f64 = 18_446_744_073_709_551_616.0;
    let number = serde_json::Number::deserialize(deserializer)?;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..PAST).contains(float));
    let whole = number.as_u64().or_else(|| float().map(|float| float as u64));
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number that fits")))
}

impl NewOpinion {
    /// The opinion, if it can be one; `number` counts from 0.
    fn checked(self, number: usize) -> Result<Opinion, Problem> {
        let wrong = |what: &str| Problem::unprocessable(format!("opinion {}: {what}", number + 1));
        if !(-1.0..=1.0).contains(&self.score) {
            return Err(wrong("`score` has to be from -1 to 1"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(wrong("`confidence` has to be from 0 to 1"));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        if self.model.is_empty() || self.model.len() > MODEL_BYTES || !self.model.bytes().all(is_name) {
            return Err(wrong("`model` has to be 1 to 60 letters, digits and `._+-`"));
        }
        Ok(Opinion {
            message_id: self.id,
            version: self.version,
            sentiment: self.sentiment.name(),
            score: self.score as f32,
            confidence: self.confidence as f32,
            model: self.model,
        })
    }
}
