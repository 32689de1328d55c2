//! `POST /hooks/SOURCE`: posts of other programs, for the webhook sources. The signature of a post is its authority;
//! there is no token.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Request, State};
use hearken_connectors::webhook::{self, Hooks, Refusal};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::problem::Problem;
use super::query;

/// Bytes of a body.
pub(super) const BODY: usize = 1 << 20;
/// How long a sender may take for it.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What became of a post's records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// How many were taken as messages.
    accepted: usize,
    /// The others; they are kept as dead letters.
    rejected: Vec<Rejected>,
}

/// A record that was not understood.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rejected {
    /// Its place in the body, from 0.
    index: usize,
    /// What is wrong with it.
    reason: String,
}

/// Messages for a webhook source
///
/// The body is a JSON object, an array of them, or JSON lines, and signed as the source's `signature` says; there is no
/// token. Answered when the log has acknowledged what the post holds. Sending a delivery again counts once.
#[utoipa::path(post, path = "/hooks/{source}", tag = query::MIDDLEWARE,
    params(("source" = String, Path, description = "Name of the source in the configuration")),
    request_body(description = "Records, as the source's `fields` say", content(
        (serde_json::Value = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "Durably taken; `rejected` says what was not understood", body = Receipt)))]
pub(super) async fn deliver(
    State(hooks): State<Hooks>,
    source: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Receipt>, Problem> {
    let Path(source) = source?;
    let headers = request.headers().clone();
    let late = |_| Problem::request_timeout(format!("the body did not come within {} s", BODY_TIME.as_secs()));
    let body = timeout(BODY_TIME, Bytes::from_request(request, &())).await.map_err(late)??;
    let receipt = hooks.deliver(&source, &headers, &body).await.map_err(|refusal| problem(refusal, &source))?;
    Ok(Json(receipt.into()))
}

fn problem(refusal: Refusal, source: &str) -> Problem {
    match refusal {
        Refusal::Unknown => Problem::not_found(format!("there is no webhook source `{source}` here")),
        Refusal::Forged => Problem::unsigned("the post is not signed as this source wants it, or is too old"),
        Refusal::Unreadable(reason) => Problem::unprocessable(format!("{reason}; it is kept as a dead letter")),
        Refusal::Busy(reason) => Problem::unavailable(format!("{reason}; send the post again")),
    }
}

impl From<webhook::Receipt> for Receipt {
    fn from(receipt: webhook::Receipt) -> Self {
        let rejected = |webhook::Rejected { index, reason }| Rejected { index, reason };
        Self { accepted: receipt.accepted, rejected: receipt.rejected.into_iter().map(rejected).collect() }
    }
}
