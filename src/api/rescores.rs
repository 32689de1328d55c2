//! Rescoring: stored history compared with, and brought in line with, a changed query or model
//! ([ADR 0019](../../../docs/adr/0019-rescoring-writes-generations.md)).

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::mentions::Id;
use super::opinions::whole;
use super::params::Checked;
use super::problem::Problem;
use super::query::{self, Nothing};
use crate::rescore::{self, Order, Refused, Rescoring};

/// Samples of each kind, unless said otherwise, and at most.
const SAMPLES: u64 = 10;
const MOST_SAMPLES: usize = 100;

/// What is to be compared.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRescoring {
    /// Name of a brand of the configuration.
    #[schema(min_length = 1, max_length = 200)]
    brand: String,
    /// A query to try instead of all that the configuration says of the brand; it cannot be applied.
    #[schema(min_length = 1, max_length = 20_000)]
    query: Option<String>,
    /// Published at this time (RFC 3339), or on this day (UTC), or later; all of the log unless said.
    #[schema(min_length = 10, max_length = 40, example = "2026-01-31")]
    since: Option<String>,
    /// Write what differs.
    #[serde(default)]
    apply: bool,
    /// Samples of each kind at most; 10 unless said otherwise.
    #[serde(default = "samples", deserialize_with = "whole")]
    #[schema(required = false, minimum = 0, maximum = 100)]
    samples: u64,
}

fn samples() -> u64 {
    SAMPLES
}

impl NewRescoring {
    fn checked(self) -> Result<Order, Problem> {
        let Self { brand, query, since, apply, samples } = self;
        let moment = |text: &String| {
            let wrong = || "`since` has to be a day or a time (RFC 3339): `2026-01-31`, `2026-01-31T12:00:00Z`";
            rescore::since(text).ok_or_else(|| Problem::unprocessable(wrong()))
        };
        let since = since.as_ref().map(moment).transpose()?;
        let samples = usize::try_from(samples).ok().filter(|samples| *samples <= MOST_SAMPLES);
        let samples = samples.ok_or_else(|| Problem::unprocessable(format!("`samples` is {MOST_SAMPLES} at most")))?;
        Ok(Order { brand, query, since, apply, samples })
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Query(_) | Refused::Trial => Self::unprocessable(detail),
            Refused::Busy(..) | Refused::NotCompared(_) | Refused::OtherRules => Self::conflict(detail),
            Refused::UnknownBrand(..) | Refused::Unknown(_) => Self::not_found(detail),
        }
    }
}

/// Compare the stored history of a brand with the log
///
/// By the query, the accounts and the model that the daemon has, or by a query to try. It takes its time: follow it by its
/// `id`. There is one at a time, and the last one is remembered until the daemon ends. With `apply`, what differs is
/// written as well. Needs the role `admin` for all brands.
#[utoipa::path(post, path = "/rescores", tag = query::DAEMON, request_body = NewRescoring,
    responses((status = 202, description = "It begins", body = Rescoring),
              (status = 404, description = "There is no such brand", body = Problem,
               content_type = "application/problem+json"),
              (status = 409, description = "Another one is under way", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    _: Checked<Nothing>,
    body: Result<Json<NewRescoring>, JsonRejection>,
) -> Result<(StatusCode, Json<Rescoring>), Problem> {
    caller.operates()?;
    let Json(wanted) = body?;
    Ok((StatusCode::ACCEPTED, Json(api.daemon.rescores.start(wanted.checked()?)?)))
}

/// Follow a rescoring
///
/// How far it is, and what it has found. Needs the role `admin` for all brands.
#[utoipa::path(get, path = "/rescores/{id}", tag = query::DAEMON,
    params(("id" = Uuid, Path, description = "Id of the rescoring")),
    responses((status = 200, description = "How far it is", body = Rescoring),
              (status = 404, description = "It is not the last one", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Checked<Nothing>,
) -> Result<Json<Rescoring>, Problem> {
    caller.operates()?;
    Ok(Json(api.daemon.rescores.get(id)?))
}

/// Cancel a rescoring
///
/// And forget it. What it has written stays, and is right; the rest is written when it is done again. Needs the role `admin`
/// for all brands.
#[utoipa::path(delete, path = "/rescores/{id}", tag = query::DAEMON,
    params(("id" = Uuid, Path, description = "Id of the rescoring")),
    responses((status = 200, description = "What became of it", body = Rescoring),
              (status = 404, description = "It is not the last one", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Checked<Nothing>,
) -> Result<Json<Rescoring>, Problem> {
    caller.operates()?;
    Ok(Json(api.daemon.rescores.cancel(id)?))
}

/// Apply a rescoring
///
/// It is compared again with the store as it is then, and what differs is written. Needs the role `admin` for all brands.
#[utoipa::path(post, path = "/rescores/{id}/apply", tag = query::DAEMON,
    params(("id" = Uuid, Path, description = "Id of the rescoring")),
    responses((status = 202, description = "It begins", body = Rescoring),
              (status = 404, description = "It is not the last one", body = Problem,
               content_type = "application/problem+json"),
              (status = 409, description = "It is not compared, or by rules that no longer hold", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn apply(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Checked<Nothing>,
) -> Result<(StatusCode, Json<Rescoring>), Problem> {
    caller.operates()?;
    Ok((StatusCode::ACCEPTED, Json(api.daemon.rescores.apply(id)?)))
}
