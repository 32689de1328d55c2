//! Brand queries, tried before they are relied on: what they find in given texts, and what is odd about them. Nothing
//! that was heard is read.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use hearken_connectors::Message;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::params::Checked;
use super::problem::Problem;
use super::query;
use crate::analyst::{self, Explained, Explainer, Finding, Linter, WrongQuery};
use crate::views::Filter;

/// Most texts of a request, and most messages.
const MOST_TEXTS: usize = 200;

/// A query and what it is tried on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTrial {
    /// The query; either this or `brand`.
    #[schema(min_length = 1)]
    query: Option<String>,
    /// Brand of the configuration whose query it is.
    brand: Option<String>,
    /// Texts.
    #[serde(default)]
    #[schema(max_items = 200)]
    texts: Vec<String>,
    /// Messages: at least `text` or `title`, and any other field of a message; what else they have is ignored.
    #[serde(default)]
    #[schema(max_items = 200, value_type = Vec<Object>)]
    messages: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// What a query makes of texts and messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trial {
    /// One for each text, then one for each message, in the order of the request.
    items: Vec<Explained>,
}

/// Explain a query
///
/// Says of each text and message whether the query matches, which clauses were found where, and what keeps it from
/// matching. A wrong query is refused; `query` of the refusal has `span`, `reason` and `suggestion`. The query of a brand needs a token that sees
/// the brand.
#[utoipa::path(post, path = "/queries/explain", tag = query::MONITORING, request_body = NewTrial,
    responses((status = 200, description = "What the query makes of them", body = Trial),
              (status = 404, description = "There is no such brand", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn explain(
    State(api): State<Api>,
    caller: Caller,
    _: Checked<query::Nothing>,
    body: Result<Json<NewTrial>, JsonRejection>,
) -> Result<Json<Trial>, Problem> {
    let Json(NewTrial { query, brand, texts, messages }) = body?;
    let query = match (query, brand) {
        (Some(query), None) => query,
        (None, Some(brand)) => query_of(&api, &caller, brand)?,
        _ => return Err(Problem::unprocessable("give either `query` or `brand`")),
    };
    let messages = read(&texts, messages)?;
    let items = apart(move || {
        let explainer = Explainer::new(&query)?;
        Ok(messages.iter().map(|message| explainer.explain(message)).collect())
    });
    Ok(Json(Trial { items: items.await? }))
}

fn query_of(api: &Api, caller: &Caller, brand: String) -> Result<String, Problem> {
    caller.narrow(Filter { brands: vec![brand.clone()], ..Filter::default() })?;
    let query = api.daemon.catalogue.entries().query_of(&brand).map(str::to_owned);
    query.ok_or_else(|| Problem::not_found("no brand of the configuration has this name"))
}

/// A query, and texts to measure it on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLint {
    /// The query.
    #[schema(min_length = 1)]
    query: String,
    /// Texts: how the query is used in them, and what stands beside it.
    #[serde(default)]
    #[schema(max_items = 200)]
    texts: Vec<String>,
}

/// What is odd about a query.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lint {
    /// By place in the query.
    items: Vec<Finding>,
}

/// Lint a query
///
/// Says what is odd about a query: parts that never match, match everything or have no effect, sources and channels that
/// are not known, and names that mean other things as well. With texts it says what share of them the query claims, and
/// which words would tell the brand from other things of its name; both hold for these texts.
#[utoipa::path(post, path = "/queries/lint", tag = query::MONITORING, request_body = NewLint,
    responses((status = 200, description = "What is odd", body = Lint)))]
pub(super) async fn lint(
    State(api): State<Api>,
    _: Caller,
    _: Checked<query::Nothing>,
    body: Result<Json<NewLint>, JsonRejection>,
) -> Result<Json<Lint>, Problem> {
    let Json(NewLint { query, texts }) = body?;
    let messages = read(&texts, Vec::new())?;
    let known = api.daemon.catalogue.entries();
    let items = apart(move || {
        let mut linter = Linter::new(&query, Some(&known))?;
        messages.iter().for_each(|message| linter.read(message));
        Ok(linter.findings())
    });
    Ok(Json(Lint { items: items.await? }))
}

/// The texts and messages of a request.
fn read(texts: &[String], messages: Vec<serde_json::Map<String, serde_json::Value>>) -> Result<Vec<Message>, Problem> {
    for (name, length) in [("texts", texts.len()), ("messages", messages.len())] {
        if length > MOST_TEXTS {
            return Err(Problem::unprocessable(format!("`{name}` may have {MOST_TEXTS} entries, and has {length}")));
        }
    }
    let now = Timestamp::now();
    let mut all: Vec<Message> = texts.iter().map(|text| analyst::message_of_text(text, now)).collect();
    for (number, message) in messages.into_iter().enumerate() {
        let wrong = |error| Problem::unprocessable(format!("message {}: {error}", number + 1));
        all.push(analyst::message_of(message, now).map_err(wrong)?);
    }
    Ok(all)
}

/// Works where it does not keep other requests waiting.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, WrongQuery> + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Problem::unavailable("the query could not be worked on; this is a bug"))??)
}
