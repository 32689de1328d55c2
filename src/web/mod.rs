//! The web address: accepts connections, and serves the API, the report as a page, and posts to webhook sources.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hearken_connectors::webhook::Hooks;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Api, Caller, Problem};
use crate::metrics;
use crate::report::{self, Report};
use crate::supervise::TaskError;
use crate::views::Filter;

mod connection;
mod page;

/// Serves until told to stop.
pub async fn serve(
    listener: Arc<std::net::TcpListener>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), TaskError> {
    // The original stays bound over restarts of this task: nobody else can take the address.
    let listener = listener.try_clone().and_then(TcpListener::from_std).map_err(TaskError::retry)?;
    connection::serve(listener, router, stop).await;
    Ok(())
}

/// API, pages and the address of posts.
pub fn router(api: Api, hooks: Hooks) -> Router {
    let pages = Router::new().route("/", get(front)).route("/report.json", get(json)).route("/metrics", get(metrics));
    api::router(api, pages).merge(api::hooks(hooks))
}

/// The address of posts alone, for a process that listens and does not serve.
pub fn hooks(hooks: Hooks) -> Router {
    let elsewhere = || async { Problem::not_found("this process takes posts to `/hooks/`, and nothing else") };
    api::hooks(hooks).fallback(elsewhere)
}

async fn front(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    Ok(Html(page::render(&whole_report(&api, &caller).await?)).into_response())
}

async fn json(State(api): State<Api>, caller: Caller) -> Result<Json<Report>, Problem> {
    Ok(Json(whole_report(&api, &caller).await?))
}

/// What the daemon counts, for Prometheus; for those who may see how the whole daemon is doing.
async fn metrics(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], api.metrics(&caller).await?).into_response())
}

/// The report of what the caller may see.
async fn whole_report(api: &Api, caller: &Caller) -> Result<Report, Problem> {
    Ok(report::report(&api.store, &caller.narrow(Filter::default())?).await?)
}
