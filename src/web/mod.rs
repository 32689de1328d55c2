//! The local web address: what the daemon is doing, for `hearken status`, and the views as a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::eventlog::EventLog;
use crate::report::{self, Report};
use crate::store::Store;
use crate::supervise::{Board, TaskError, TaskStatus};
use crate::views::Filter;
use crate::{ledger, pipeline};

mod page;

/// What the pages are made from.
#[derive(Clone)]
pub struct Pages {
    /// Where the views are.
    pub store: Store,
    /// What every task is doing.
    pub board: Board,
    /// Whose lag is shown.
    pub log: Arc<dyn EventLog>,
}

/// What the daemon is doing: the answer of `/status`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Release of the daemon.
    pub version: String,
    /// Every task by name.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Records of the log that are not in the store yet; `None` while the log does not answer.
    pub lag: Option<u64>,
}

/// Serves the pages until told to stop.
pub async fn serve(
    listener: Arc<std::net::TcpListener>,
    pages: Pages,
    stop: CancellationToken,
) -> Result<(), TaskError> {
    // The original stays bound over restarts of this task: nobody else can take the address.
    let listener = listener.try_clone().and_then(TcpListener::from_std).map_err(TaskError::retry)?;
    axum::serve(listener, router(pages)).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(TaskError::retry)
}

/// The routes, apart from any socket.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/report.json", get(json))
        .route("/status", get(status))
        .with_state(pages)
}

async fn front(State(pages): State<Pages>) -> Response {
    match whole_report(&pages).await {
        Ok(report) => Html(page::render(&report)).into_response(),
        Err(unavailable) => unavailable,
    }
}

async fn json(State(pages): State<Pages>) -> Response {
    match whole_report(&pages).await {
        Ok(report) => Json(report).into_response(),
        Err(unavailable) => unavailable,
    }
}

async fn whole_report(pages: &Pages) -> Result<Report, Response> {
    report::report(&pages.store, &Filter::default())
        .await
        .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response())
}

async fn status(State(pages): State<Pages>) -> Json<Status> {
    let scorer = pages.log.lag(pipeline::GROUP, &pipeline::TOPICS).await;
    let ledger = pages.log.lag(ledger::GROUP, &ledger::TOPICS).await;
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tasks: pages.board.snapshot(),
        lag: scorer.ok().zip(ledger.ok()).map(|(scorer, ledger)| scorer + ledger),
    })
}
