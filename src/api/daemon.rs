//! How the daemon itself is doing: for `hearken status`, and for whoever watches over the process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::params::Checked;
use super::problem::Problem;
use super::query::{self, Nothing};
use crate::supervise::TaskStatus;
use crate::{ledger, pipeline};

/// How long log and store may take to answer whether they are there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long their answer is believed: everybody may ask, so asking has to be cheap.
const FRESH: Duration = Duration::from_secs(1);

/// What the daemon is doing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Release of the daemon.
    pub version: String,
    /// Every task by name.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Records of the log that are not in the store yet; `null` while the log does not answer.
    pub lag: Option<u64>,
}

/// What the daemon is doing
///
/// The tasks of the process that answers, and what is heard and not yet stored. Needs the role `admin` for all brands.
#[utoipa::path(get, path = "/status", tag = query::DAEMON,
    responses((status = 200, description = "Its tasks", body = Status)))]
pub(super) async fn status(
    State(api): State<Api>,
    caller: Caller,
    _: Checked<Nothing>,
) -> Result<Json<Status>, Problem> {
    caller.operates()?;
    let scorer = api.log.lag(pipeline::GROUP, &pipeline::TOPICS).await;
    let ledger = api.log.lag(ledger::GROUP, &ledger::TOPICS).await;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tasks: api.board.snapshot(),
        lag: scorer.ok().zip(ledger.ok()).map(|(scorer, ledger)| scorer + ledger),
    }))
}

impl Api {
    /// What the daemon counts, as text for Prometheus. Needs the role `admin` for all brands.
    pub(crate) async fn metrics(&self, caller: &Caller) -> Result<String, Problem> {
        caller.operates()?;
        let mut lags = Vec::new();
        for (group, topics) in [(pipeline::GROUP, pipeline::TOPICS), (ledger::GROUP, ledger::TOPICS)] {
            if let Ok(lag) = self.log.lag(group, &topics).await {
                lags.push((group, lag));
            }
        }
        Ok(self.metrics.encode(&self.board.snapshot(), &lags))
    }
}

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

const OK: Health = Health { status: "ok" };

/// The process lives
///
/// Needs no token.
#[utoipa::path(get, path = "/healthz", tag = query::DAEMON, security(()),
    responses((status = 200, description = "It lives", body = Health)))]
pub(super) async fn healthz() -> Json<Health> {
    Json(OK)
}

/// Log and store answer
///
/// Needs no token.
#[utoipa::path(get, path = "/readyz", tag = query::DAEMON, security(()),
    responses((status = 200, description = "Both answer", body = Health),
              (status = 503, description = "Which of them does not", body = Problem,
               content_type = "application/problem+json")))]
pub(super) async fn readyz(State(api): State<Api>) -> Result<Json<Health>, Problem> {
    let mut last = api.ready.lock().await;
    let answer = match last.take().filter(|(at, _)| at.elapsed() < FRESH) {
        Some((at, answer)) => (at, answer),
        None => (Instant::now(), missing(&api).await),
    };
    let missing = last.insert(answer).1.clone();
    drop(last);
    if missing.is_empty() {
        return Ok(Json(OK));
    }
    Err(Problem::unavailable(format!("{} does not answer", missing.join(" and "))))
}

/// What does not answer. The cause is in the daemon's log, and not for everybody.
async fn missing(api: &Api) -> Vec<&'static str> {
    let log = tokio::time::timeout(PATIENCE, api.log.lag(pipeline::GROUP, &pipeline::TOPICS));
    let store = tokio::time::timeout(PATIENCE, api.store.ping());
    let (log, store) = tokio::join!(log, store);
    let mut missing = Vec::new();
    for (part, cause) in [
        ("the log", log.map(|answer| answer.err().map(|error| error.to_string()))),
        ("the store", store.map(|answer| answer.err().map(|error| error.to_string()))),
    ] {
        let cause = cause.unwrap_or_else(|_| Some(format!("no answer within {} s", PATIENCE.as_secs())));
        if let Some(cause) = cause {
            tracing::warn!(cause, "not ready: {part} does not answer");
            missing.push(part);
        }
    }
    missing
}
