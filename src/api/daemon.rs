//! How the daemon itself is doing: for `hearken status`, and for whoever watches over the process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::params::Checked;
use super::problem::Problem;
use super::query::{self, Nothing};
use crate::store::{Store, StoreError};
use crate::supervise::TaskStatus;
use crate::views::Filter;
use crate::views::middleware::{self, CoverageGap, Pulse};
use crate::{ledger, pipeline};

/// How long log and store may take to answer whether they are there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most coverage gaps that are looked at.
const GAPS: usize = 10_000;
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
    /// Every source that was polled, by name; `null` while the store does not answer.
    pub sources: Option<Vec<SourceStatus>>,
}

/// How a source is, as the store knows it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceStatus {
    /// Its name.
    pub source: String,
    /// Platform.
    pub channel: String,
    /// Last poll.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_poll_at: Option<Timestamp>,
    /// Last poll that heard something.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heard_at: Option<Timestamp>,
    /// Error of the last poll; `null` where it went well.
    pub last_error: Option<String>,
    /// Distinct messages that speak of a brand, stored in the last 24 hours.
    pub stored_24h: u64,
    /// Coverage gaps that reach into the last 24 hours.
    pub gaps_24h: usize,
    /// The one of them that began last.
    pub latest_gap: Option<LatestGap>,
}

/// When a source last missed messages, or may have.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LatestGap {
    /// Why: `rate_limit`, `cursor_expired`, `outage`, `page_ceiling`, `not_listening`.
    pub reason: String,
    /// Start, inclusive.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// End, exclusive.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// The source has not been heard since.
    pub is_open: bool,
}

/// What the daemon is doing
///
/// The tasks of the process that answers, what is heard and not yet stored, and how fresh each source is. Needs the role
/// `admin` for all brands.
#[utoipa::path(get, path = "/status", tag = query::DAEMON,
    responses((status = 200, description = "Its tasks and sources", body = Status)))]
pub(super) async fn status(
    State(api): State<Api>,
    caller: Caller,
    _: Checked<Nothing>,
) -> Result<Json<Status>, Problem> {
    caller.operates()?;
    let scorer = api.daemon.log.lag(pipeline::GROUP, &pipeline::TOPICS).await;
    let ledger = api.daemon.log.lag(ledger::GROUP, &ledger::TOPICS).await;
    let sources = tokio::time::timeout(PATIENCE, sources(&api.store, Timestamp::now())).await;
    if let Ok(Err(cause)) = &sources {
        tracing::warn!(%cause, "the store does not say how the sources are");
    }
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tasks: api.daemon.board.snapshot(),
        lag: scorer.ok().zip(ledger.ok()).map(|(scorer, ledger)| scorer + ledger),
        sources: sources.ok().and_then(Result::ok),
    }))
}

async fn sources(store: &Store, now: Timestamp) -> Result<Vec<SourceStatus>, StoreError> {
    let yesterday = now - SignedDuration::from_hours(24);
    let pulses = middleware::pulses(store, yesterday).await?;
    let filter = Filter { from: Some(yesterday), ..Filter::default() };
    let gaps = middleware::gaps(store, &filter, GAPS).await?;
    Ok(pulses.into_iter().map(|pulse| source(pulse, &gaps)).collect())
}

/// `gaps` are those of all sources, latest first.
fn source(pulse: Pulse, gaps: &[CoverageGap]) -> SourceStatus {
    let last_error = pulse.last_error.filter(|error| !error.is_empty());
    let mut own = gaps.iter().filter(|gap| gap.source == pulse.source).peekable();
    let latest_gap = own.peek().map(|gap| LatestGap {
        reason: gap.reason.clone(),
        from: gap.from,
        until: gap.until,
        // An outage is reported with each poll that fails, and grows up to it.
        is_open: last_error.is_some() && Some(gap.until) >= pulse.last_poll_at,
    });
    let gaps_24h = own.count();
    SourceStatus {
        source: pulse.source,
        channel: pulse.channel,
        last_poll_at: pulse.last_poll_at,
        last_heard_at: pulse.last_heard_at,
        last_error,
        stored_24h: pulse.stored,
        gaps_24h,
        latest_gap,
    }
}

impl Api {
    /// What the daemon counts, as text for Prometheus. Needs the role `admin` for all brands.
    pub(crate) async fn metrics(&self, caller: &Caller) -> Result<String, Problem> {
        caller.operates()?;
        let mut lags = Vec::new();
        for (group, topics) in [(pipeline::GROUP, pipeline::TOPICS), (ledger::GROUP, ledger::TOPICS)] {
            if let Ok(lag) = self.daemon.log.lag(group, &topics).await {
                lags.push((group, lag));
            }
        }
        Ok(self.daemon.metrics.encode(&self.daemon.board.snapshot(), &lags))
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
    let log = tokio::time::timeout(PATIENCE, api.daemon.log.lag(pipeline::GROUP, &pipeline::TOPICS));
    let store = tokio::time::timeout(PATIENCE, api.store.check_schema());
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
