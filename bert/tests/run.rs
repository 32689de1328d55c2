//! The loop, between a model that a test can foresee and a daemon that plays the API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearken_bert::daemon::{Daemon, DaemonError};
use hearken_bert::judge::Judge;
use hearken_bert::metrics::Metrics;
use hearken_bert::model::ModelError;
use hearken_bert::opinion::Probabilities;
use hearken_bert::run::{RunError, run};
use hearken_bert::texts::{ApiTexts, Texts, TextsError};
use hearken_bert::worker::Worker;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the daemon holds: texts by the time at which they were stored, and the times of those that got an opinion.
#[derive(Default)]
struct Held {
    texts: BTreeMap<u64, &'static str>,
    judged: Vec<u64>,
    /// Answers that come first, instead of what was asked for.
    refusals: Vec<u16>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Held>>);

impl Fake {
    fn answer(&self, method: &Method, path: &str, query: &BTreeMap<String, String>, body: &[u8]) -> (u16, Value) {
        let mut held = self.0.lock().unwrap();
        if let Some(status) = held.refusals.pop() {
            return (status, json!({"detail": "not now"}));
        }
        if method == Method::POST {
            let given: Value = serde_json::from_slice(body).unwrap();
            let times = given["opinions"].as_array().unwrap().iter();
            let times: Vec<u64> =
                times.map(|it| it["id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128() as u64).collect();
            held.judged.extend(&times);
            return (200, json!({"applied": times.len(), "outdated": 0}));
        }
        assert_eq!(path, "/api/v1/opinions/wanted");
        let number = |name: &str, usual: u64| query.get(name).map_or(usual, |value| value.parse().unwrap());
        let (from, cursor, limit) = (number("from", 0), number("cursor", u64::MAX), number("limit", 0) as usize);
        let judged = &held.judged;
        let waits = held.texts.range(from..cursor).rev().filter(|(time, _)| !judged.contains(time));
        let found: Vec<(u64, &str)> = waits.take(limit).map(|(time, text)| (*time, *text)).collect();
        let items: Vec<Value> = found.iter().map(|(time, text)| wanted(*time, text)).collect();
        let next = found.last().filter(|_| found.len() == limit).map(|(time, _)| time.to_string());
        let newest = held.texts.last_key_value().map_or(0, |(time, _)| *time);
        (200, json!({"items": items, "next": next, "resume_from": newest.saturating_sub(50).to_string()}))
    }

    /// Serves for ever; the address.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fake = fake.clone();
                let service = service_fn(move |request| respond(fake.clone(), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        format!("http://{address}")
    }

    /// Waits until so many texts have an opinion.
    async fn judged(&self, count: usize) {
        let enough = async {
            while self.0.lock().unwrap().judged.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), enough).await.expect("the texts get their opinions");
    }
}

fn wanted(time: u64, text: &str) -> Value {
    json!({"id": Uuid::from_u128(time.into()), "version": 0, "language": "en", "title": "", "text": text,
           "sentiment": "neutral", "score": 0.0, "confidence": 0.5, "model": "linear-1"})
}

async fn respond(fake: Fake, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut incoming = request.into_body();
    let mut body = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await {
        body.extend(frame.unwrap().into_data().unwrap());
    }
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (status, answer) = fake.answer(&method, uri.path(), &query, &body);
    let response = Response::builder().status(status).header("retry-after", "0");
    Ok(response.body(answer.to_string()).unwrap())
}

/// The loop at work, over a model that fails on "poison".
async fn start(api: &str, metrics: &Metrics, stop: &CancellationToken) -> JoinHandle<Result<(), RunError>> {
    let score = |texts: &[String]| match texts.iter().any(|text| text == "poison") {
        true => Err(ModelError::Network { rows: texts.len(), width: 1 }),
        false => Ok(vec![Probabilities { negative: 0.1, neutral: 0.1, positive: 0.8 }; texts.len()]),
    };
    let worker = Worker::over(move || Ok(score), 1).await.unwrap();
    let judge = Judge::new(worker, "test-1", metrics.clone());
    let daemon = Daemon::new(api, None, metrics.clone()).unwrap();
    tokio::spawn(run(Texts::Api(ApiTexts::default()), judge, daemon, metrics.clone(), stop.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn new_texts_go_before_old_ones_and_poison_keeps_nothing_waiting() {
    let fake = Fake::default();
    let poison = [7, 2_000, 2_999];
    let text = |time| if poison.contains(&time) { "poison" } else { "fine" };
    fake.0.lock().unwrap().texts.extend((0..3_000).map(|time| (time, text(time))));
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let running = start(&fake.serve().await, &metrics, &stop).await;
    fake.judged(400).await;
    fake.0.lock().unwrap().texts.extend((5_000..5_010).map(|time| (time, "new")));
    fake.judged(3_010 - poison.len()).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let judged = fake.0.lock().unwrap().judged.clone();
    let mut each = judged.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!((judged.len(), each.len()), (3_007, 3_007), "each once");
    assert_eq!(judged[0], 2_998, "the latest first");
    let at = |time| judged.iter().position(|judged| *judged == time).unwrap();
    assert!(at(5_000) < at(0), "what is new does not wait for all that is old");
    assert!(metrics.encode().contains("hearken_bert_texts_waiting 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_gets_its_opinion_although_poison_is_the_newest() {
    let fake = Fake::default();
    fake.0.lock().unwrap().texts.extend([(10, "fine"), (20, "poison")]);
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let running = start(&fake.serve().await, &metrics, &stop).await;
    fake.judged(1).await;
    fake.0.lock().unwrap().texts.insert(15, "stored late");
    fake.judged(2).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(fake.0.lock().unwrap().judged, [10, 15]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
    let fake = Fake::default();
    fake.0.lock().unwrap().texts.extend([(1, "fine")]);
    fake.0.lock().unwrap().refusals.extend([503, 429, 500, 503]);
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let api = fake.serve().await;
    let running = start(&api, &metrics, &stop).await;
    fake.judged(1).await;
    assert!(metrics.encode().contains("hearken_bert_errors_total{with=\"daemon\"} 4\n"), "{}", metrics.encode());
    stop.cancel();
    running.await.unwrap().unwrap();

    for (status, is_token) in [(401, true), (403, true), (404, false)] {
        fake.0.lock().unwrap().refusals.push(status);
        let ended = start(&api, &metrics, &CancellationToken::new()).await.await.unwrap().unwrap_err();
        let RunError::Texts(TextsError::Daemon(error)) = ended else { panic!("{ended}") };
        assert_eq!(matches!(error, DaemonError::Token { .. }), is_token, "{error}");
        assert!(error.to_string().contains("not now"), "{error}");
    }
}
