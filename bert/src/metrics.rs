//! What the scorer counts about itself, in the OpenMetrics text format, and the address at which Prometheus reads it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::daemon::Outcome;

/// Connections at once; more wait.
const CONNECTIONS: usize = 16;
/// How long a connection may last: Prometheus opens a new one where it finds it closed.
const CONNECTION: Duration = Duration::from_secs(60);
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(5);

/// All counters of a process; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    waiting: Gauge,
    batch: Histogram,
    batch_seconds: Histogram,
    scored: Counter,
    remembered: Counter,
    failed: Counter,
    agreed: Counter,
    disagreed: Counter,
    applied: Counter,
    outdated: Counter,
    errors: Family<Vec<(&'static str, &'static str)>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut families = Families {
            registry: Registry::default(),
            waiting: Gauge::default(),
            // 1 to 256 texts.
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            // 10 ms to 82 s.
            batch_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
            scored: Counter::default(),
            remembered: Counter::default(),
            failed: Counter::default(),
            agreed: Counter::default(),
            disagreed: Counter::default(),
            applied: Counter::default(),
            outdated: Counter::default(),
            errors: Family::default(),
        };
        families.register();
        Self(Arc::new(families))
    }
}

impl Families {
    fn register(&mut self) {
        let own = self.registry.sub_registry_with_prefix("hearken_bert");
        own.register("build", "Release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register(
            "texts_waiting",
            "Texts that were read and have no opinion in the daemon yet",
            self.waiting.clone(),
        );
        own.register("batch_texts", "Texts that are judged together", self.batch.clone());
        own.register("batch_seconds", "How long that takes", self.batch_seconds.clone());
        own.register("texts_scored", "Texts that the model was given", self.scored.clone());
        own.register("texts_remembered", "Texts whose score was known from lately", self.remembered.clone());
        own.register("texts_failed", "Texts that the model fails on; they are left out", self.failed.clone());
        own.register("agreed", "Texts of which both tiers alone say the same", self.agreed.clone());
        own.register(
            "disagreed",
            "Texts of which they do not; where one is unsure, neither counts",
            self.disagreed.clone(),
        );
        own.register("opinions_applied", "Opinions that stand, as the daemon says", self.applied.clone());
        own.register("opinions_outdated", "Opinions on messages that changed meanwhile", self.outdated.clone());
        own.register("errors", "What went wrong, by what it was with", self.errors.clone());
    }
}

impl Metrics {
    /// Texts were read.
    pub fn waiting(&self, texts: usize) {
        self.0.waiting.set(i64::try_from(texts).unwrap_or(i64::MAX));
    }

    /// Texts were judged.
    pub fn judged(&self, texts: usize, took: Duration) {
        self.0.batch.observe(texts as f64);
        self.0.batch_seconds.observe(took.as_secs_f64());
    }

    /// Where their scores came from.
    pub fn scored(&self, scored: usize, remembered: usize, failed: usize) {
        self.0.scored.inc_by(scored as u64);
        self.0.remembered.inc_by(remembered as u64);
        self.0.failed.inc_by(failed as u64);
    }

    /// Both tiers have a label.
    pub fn compared(&self, agree: bool) {
        if agree {
            self.0.agreed.inc()
        } else {
            self.0.disagreed.inc()
        };
    }

    /// The daemon has taken opinions.
    pub fn given(&self, outcome: Outcome) {
        self.0.applied.inc_by(outcome.applied);
        self.0.outdated.inc_by(outcome.outdated);
    }

    /// Something went wrong with `daemon`, `kafka`, `model` or `record`.
    pub fn error(&self, with: &'static str) {
        self.0.errors.get_or_create(&vec![("with", with)]).inc();
    }

    /// As text for Prometheus.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

/// Listens; the error says where.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
    TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address} (--metrics): {error}")))
}

/// Answers `/metrics` for ever.
pub async fn serve(listener: TcpListener, metrics: Metrics) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(turn) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(answer(&request, &metrics)));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever goes wrong with a connection is the client's.
            drop(tokio::time::timeout(CONNECTION, connection).await);
            drop(turn);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Result<Response<String>, Infallible> {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    let (status, kind, body) = match request.uri().path() {
        "/metrics" if is_read => (StatusCode::OK, TEXT, metrics.encode()),
        "/metrics" => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "there is `/metrics`\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted() {
        let metrics = Metrics::default();
        metrics.waiting(7);
        metrics.judged(7, Duration::from_millis(20));
        metrics.scored(4, 2, 1);
        metrics.compared(true);
        metrics.compared(false);
        metrics.compared(true);
        metrics.given(Outcome { applied: 5, outdated: 1 });
        metrics.error("daemon");
        let text = metrics.encode();
        for line in [
            "hearken_bert_texts_waiting 7",
            "hearken_bert_batch_texts_sum 7.0",
            "hearken_bert_texts_scored_total 4",
            "hearken_bert_texts_remembered_total 2",
            "hearken_bert_texts_failed_total 1",
            "hearken_bert_agreed_total 2",
            "hearken_bert_disagreed_total 1",
            "hearken_bert_opinions_applied_total 5",
            "hearken_bert_opinions_outdated_total 1",
            "hearken_bert_errors_total{with=\"daemon\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let operations = include_str!("../../docs/operations.md");
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_whitespace().next());
        for name in names {
            assert!(operations.contains(&format!("`{name}")), "{name} is not in docs/operations.md");
        }
    }
}
