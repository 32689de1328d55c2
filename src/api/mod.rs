//! The HTTP API: the 5 M's as JSON, for programs.
//!
//! Routes, parameters and types are described by the OpenAPI document at `/api/v1/openapi.json`, which is made from
//! them; `docs/api.md` is the guide. Three rules hold everywhere:
//!
//! - Every question to the store goes through `Caller::narrow` (`caller.rs`): a token sees its brands, and
//!   what was said in private channels only if its role may, in lists, single mentions, the live feed and figures alike.
//! - Parameters are read strictly: what is unknown, repeated or wrong refuses the request, and is named.
//! - A refusal is a [`Problem`] (RFC 9457), and says what to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hearken_connectors::webhook::Hooks;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::analyst::Catalogue;
use crate::eventlog::EventLog;
use crate::metrics::Metrics;
use crate::rescore::Rescores;
use crate::store::Store;
use crate::supervise::Board;

mod caller;
mod corrections;
mod daemon;
mod figures;
mod hooks;
mod live;
mod mentions;
mod openapi;
mod opinions;
mod page;
mod params;
mod problem;
mod queries;
mod query;
mod rate;
mod rescores;
mod token;
mod tokens;

pub use caller::Peer;
pub(crate) use caller::{Caller, identify};
pub use daemon::{LatestGap, SourceStatus, Status};
pub use openapi::document;
pub use problem::{BadParameter, Problem};
pub use token::{Role, Token, TokenError};

/// For the fuzz target `api`: the parameters of every list, and every cursor.
#[cfg(fuzzing)]
pub fn fuzz(parameters: &str) {
    use params::{Params, Query};

    fn read<Q: Query>(parameters: &str) -> Option<Q> {
        let mut params = Params::of(parameters);
        let query = Q::read(&mut params);
        params.finish().is_ok().then_some(query)
    }
    type Place = (i64, uuid::Uuid, String);

    if let Some((_, page)) = read::<(mentions::MentionQuery, page::PageQuery)>(parameters)
        && let Ok(Some(page::Cursor(place))) = page.after::<Place>("mentions")
    {
        let again = page::Cursor::<Place>::decode("mentions", &page::Cursor(&place).encode("mentions"));
        assert!(again.is_some_and(|page::Cursor(again)| again == place));
    }
    let _ = read::<(query::FilterQuery, figures::VolumeQuery)>(parameters);
    let _ = read::<(figures::TrendQuery, query::LimitQuery)>(parameters);
    let _ = read::<(figures::AuthorQuery, (figures::GapQuery, figures::SourceQuery))>(parameters);
    let _ = read::<(live::LiveQuery, mentions::BrandQuery)>(parameters);
}

use rate::RateLimit;
use tokens::Tokens;

/// What the API does not let anybody exceed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests that a token, or an address without one, may send each second.
    pub requests_per_second: u32,
    /// Requests that it may send at once, after a pause.
    pub burst: u32,
    /// Requests in work at once; more are refused.
    pub in_work: usize,
    /// Live feeds at once; more are refused.
    pub feeds: usize,
    /// Bytes of a body.
    pub body: usize,
    /// How long a request may take.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 20,
            burst: 100,
            in_work: 32,
            feeds: 64,
            body: 64 << 10,
            time: Duration::from_secs(60),
        }
    }
}

/// What the handlers work with; cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// The running daemon, as the API shows and steers it.
pub struct Daemon {
    /// Its event log.
    pub log: Arc<dyn EventLog>,
    /// What its tasks do.
    pub board: Board,
    /// What it counts.
    pub metrics: Metrics,
    /// What queries can be held against.
    pub catalogue: Catalogue,
    /// Its rescorings.
    pub rescores: Rescores,
}

/// The parts of [`Api`].
pub struct Parts {
    /// Where the views are.
    pub(crate) store: Store,
    daemon: Daemon,
    tokens: Tokens,
    rate: RateLimit,
    limits: Limits,
    in_work: Semaphore,
    feeds: Arc<Semaphore>,
    /// When log and store were last asked whether they are there, and which was not.
    ready: Mutex<Option<(Instant, Vec<&'static str>)>>,
    stop: CancellationToken,
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    /// Live feeds end when `stop` is cancelled. Fails where the system gives no random numbers.
    pub fn new(store: Store, daemon: Daemon, limits: Limits, stop: CancellationToken) -> Result<Self, std::io::Error> {
        let tokens = Tokens::new(store.clone()).map_err(std::io::Error::other)?;
        Ok(Self(Arc::new(Parts {
            store,
            daemon,
            tokens,
            rate: RateLimit::new(limits.requests_per_second, limits.burst),
            in_work: Semaphore::new(limits.in_work),
            feeds: Arc::new(Semaphore::new(limits.feeds)),
            limits,
            ready: Mutex::default(),
            stop,
        })))
    }

    /// True where somebody has made a token; while there are none, only this machine is answered.
    pub async fn has_tokens(&self) -> Result<bool, Problem> {
        Ok(!self.tokens.known().await?.is_empty())
    }
}

/// The routes, together with `pages`: everything but the probes `/healthz` and `/readyz` asks who is there.
pub fn router(api: Api, pages: Router<Api>) -> Router {
    let (routes, document) = openapi::routes();
    let document = Arc::new(document);
    let (probes, _) = openapi::probes();
    let json = routes
        .route("/api/v1/openapi.json", axum::routing::get(move |caller| openapi::serve(document.clone(), caller)))
        .route_layer(from_fn(acceptable));
    json.merge(pages)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(api.limits.body))
        .layer(from_fn_with_state(api.clone(), bounded))
        .layer(from_fn_with_state(api.clone(), identify))
        .merge(probes)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(secured))
        .with_state(api)
}

/// The address of posts to webhook sources; it asks for signatures instead of tokens.
pub fn hooks(hooks: Hooks) -> Router {
    let (routes, _) = openapi::posts();
    routes
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(hooks::BODY))
        .layer(from_fn(secured))
        .with_state(hooks)
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no `{}`; `/api/v1/openapi.json` says what there is", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("`{}` does not answer `{method}`; `Allow` says what it answers", uri.path()))
}

/// Bounds how many requests are in work, and how long.
async fn bounded(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_turn) = api.in_work.try_acquire() else {
        return Problem::unavailable("too many requests are in work at this moment; ask again").into_response();
    };
    match tokio::time::timeout(api.limits.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = api.limits.time.as_secs();
            Problem::unavailable(format!("the answer took longer than {seconds} s; ask for less")).into_response()
        }
    }
}

/// Refuses a request that does not accept what would be sent (RFC 9110, section 12.5.1).
async fn acceptable(request: Request, next: Next) -> Response {
    let sent = if request.uri().path().ends_with("/live") { "text/event-stream" } else { "application/json" };
    if accepts(request.headers(), sent) {
        return next.run(request).await;
    }
    Problem::not_acceptable(format!("what is sent here is `{sent}`, and `Accept` does not allow it")).into_response()
}

fn accepts(headers: &HeaderMap, sent: &str) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let family = sent.split('/').next().unwrap_or_default();
    headers.get(ACCEPT).is_none()
        || ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let refused = parts.any(|part| {
                let weight = part.to_ascii_lowercase();
                weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0))
            });
            !refused && (kind.is_empty() || kind == "*/*" || kind == sent || kind == format!("{family}/*"))
        })
}

/// Headers that keep browsers from doing more with an answer than showing it. There is no CORS: no page of anybody
/// else may read anything.
async fn secured(request: Request, next: Next) -> Response {
    use axum::http::HeaderValue;
    use axum::http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    };
    let mut response = next.run(request).await;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn accept_is_read_as_http_says() {
        let accepted = |accept: &str| {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            accepts(&headers, "application/json")
        };
        assert!(accepts(&HeaderMap::new(), "application/json"));
        for yes in ["*/*", "application/json", "text/html, application/*;q=0.1", "Application/JSON; charset=utf-8"] {
            assert!(accepted(yes), "{yes}");
        }
        for no in ["text/html", "application/json;q=0", "application/xml, image/*"] {
            assert!(!accepted(no), "{no}");
        }
    }
}
