//! The demo's web server: serves the filled feeds on a free loopback port.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::Failure;

type Feeds = Arc<HashMap<&'static str, String>>;

/// Takes a free loopback port.
pub(super) async fn bind() -> Result<TcpListener, Failure> {
    TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| Failure::unavailable(format!("cannot serve the demo's feeds: {error}")))
}

/// Serves the feeds until `stop`.
pub(super) fn serve(listener: TcpListener, feeds: HashMap<&'static str, String>, stop: CancellationToken) {
    let router = Router::new().route("/{name}", get(feed)).with_state(Arc::new(feeds));
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::warn!(%error, "the demo's feeds are no longer served");
        }
    });
}

async fn feed(State(feeds): State<Feeds>, Path(name): Path<String>) -> Response {
    let media_type = if name.ends_with(".json") { "application/feed+json" } else { "application/xml" };
    match feeds.get(name.as_str()) {
        Some(text) => ([(header::CONTENT_TYPE, media_type)], text.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
