//! A web address with a database of its own, and a client for it.
#![allow(unreachable_pub)]

use std::net::SocketAddr;
use std::sync::Arc;

use hearken::analyst::{Catalogue, Entries};
use hearken::api::{Api, Daemon, Limits, Role, Token};
use hearken::eventlog::memory::MemoryLog;
use hearken::mention::Brand;
use hearken::metrics::Metrics;
use hearken::pipeline::Rules;
use hearken::query::{BrandQuery, Matcher};
use hearken::rescore::{History, Rescores};
use hearken::score::Scorer;
use hearken::store::Store;
use hearken::store::rows::MentionRow;
use hearken::supervise::Supervisor;
use hearken_connectors::webhook::Hooks;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clickhouse::{HOUR, MARCH, mention, store};

/// A running web address; stops when dropped.
pub struct Server {
    pub store: Store,
    pub stop: CancellationToken,
    address: SocketAddr,
    client: Client,
    _stop: DropGuard,
}

/// Serves an empty database; `None` where there is no ClickHouse.
pub async fn server(database: &str) -> Option<Server> {
    server_with(database, Limits { requests_per_second: 10_000, burst: 10_000, ..Limits::default() }).await
}

/// Serves an empty database with these limits.
pub async fn server_with(database: &str, limits: Limits) -> Option<Server> {
    Some(serve(store(database).await?, limits))
}

/// Serves a store.
pub fn serve(store: Store, limits: Limits) -> Server {
    let stop = CancellationToken::new();
    let board = Supervisor::new(stop.clone()).board();
    let log = Arc::new(MemoryLog::new(1));
    let rescores = rescores(log.clone(), store.clone());
    tokio::spawn(hearken::rescore::run(rescores.clone(), stop.clone()));
    let daemon = Daemon { log, board, metrics: Metrics::default(), catalogue: catalogue(), rescores };
    let api = Api::new(store.clone(), daemon, limits, stop.clone()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(hearken::web::serve(Arc::new(listener), hearken::web::router(api, Hooks::default()), stop.clone()));
    // Chooses how TLS is done, without which no client can be built.
    drop(hearken_connectors::http::Client::new(hearken_connectors::http::Settings::default()).unwrap());
    Server { store, address, client: Client::new(), _stop: stop.clone().drop_guard(), stop }
}

/// Two brands and a source, as a configuration would name them.
fn catalogue() -> Catalogue {
    let query = |brand: &str, query: &str| BrandQuery { brand: brand.to_owned(), query: query.to_owned() };
    let catalogue = Catalogue::default();
    catalogue.set(Entries {
        brands: vec![query("acme", "acme NOT publishing"), query("globex", "globex")],
        channels: vec!["feed".to_owned(), "mastodon".to_owned()],
        sources: vec!["care".to_owned()],
    });
    catalogue
}

/// Rescorings of the brand Acme.
fn rescores(log: Arc<MemoryLog>, store: Store) -> Rescores {
    let query = BrandQuery { brand: "Acme".to_owned(), query: "acme".to_owned() };
    let rules = Rules {
        brands: vec![Brand { name: "Acme".to_owned(), accounts: Vec::new() }],
        matcher: Matcher::compile(std::slice::from_ref(&query)).unwrap(),
        scorer: Scorer::built_in().unwrap(),
    };
    Rescores::new(History { log, store, publish: false }, Arc::new(rules), vec![query])
}

impl Server {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: &str, path: &str, token: &str) -> RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), self.url(path));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    /// What a GET answers.
    pub async fn answer(&self, path: &str, token: &str) -> Response {
        self.request("GET", path, token).send().await.unwrap()
    }

    /// Status and body of a GET.
    pub async fn get_as(&self, path: &str, token: &str) -> (StatusCode, Value) {
        read(self.answer(path, token).await).await
    }

    /// The body of a GET that goes well.
    pub async fn get(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.get_as(path, token).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Corrects a sentiment.
    pub async fn correct(
        &self,
        id: impl std::fmt::Display,
        brand: &str,
        label: &str,
        token: &str,
    ) -> (StatusCode, Value) {
        let path = format!("/api/v1/mentions/{id}/sentiment?brand={brand}");
        let body = serde_json::json!({ "sentiment": label });
        read(self.request("PUT", &path, token).json(&body).send().await.unwrap()).await
    }

    /// A token that sees these brands (all, where none is named).
    pub async fn token(&self, role: Role, brands: &[&str]) -> String {
        let name = format!("{}-{}", role.name(), brands.join("-"));
        let brands = brands.iter().map(|brand| (*brand).to_owned()).collect();
        let (_, text) = Token::create(&self.store, &name, role, brands, None).await.unwrap();
        // What was read of the tokens before is believed for two seconds.
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        text.expose().to_owned()
    }
}

/// Status and JSON of an answer.
pub async fn read(response: Response) -> (StatusCode, Value) {
    let (status, text) = (response.status(), response.text().await.unwrap());
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, body)
}

/// The ids of a list's mentions.
pub fn ids(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Four public mentions and two private ones, of two brands, by three authors.
pub fn talk() -> Vec<MentionRow<'static>> {
    let row = |brand, number, text, sentiment, score| MentionRow {
        published_at: MARCH + number as i64 * HOUR,
        sentiment,
        sentiment_score: score,
        ..mention(brand, number, text)
    };
    vec![
        MentionRow { intents: vec!["praise"], ..row("acme", 1, "Acme is great", "positive", 0.8) },
        MentionRow {
            author_id: "b2",
            author_handle: "Bob",
            intents: vec!["complaint", "question"],
            ..row("acme", 2, "ACME broke again", "negative", -0.9)
        },
        MentionRow { author_id: "b2", author_handle: "Bob", ..row("globex", 2, "ACME broke again", "neutral", 0.1) },
        MentionRow {
            kind: "article",
            channel: "feed",
            source: "news",
            language: "de",
            country: "DE",
            ..row("globex", 3, "Größe zählt: Globex", "neutral", 0.0)
        },
        MentionRow {
            visibility: "private",
            noise: "automatic",
            kind: "email",
            channel: "email",
            ..row("acme", 4, "secret complaint", "negative", -0.7)
        },
        MentionRow {
            visibility: "private",
            kind: "chat",
            channel: "chat",
            ..row("globex", 5, "secret praise", "positive", 0.9)
        },
    ]
}
