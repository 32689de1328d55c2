//! The `mastodon` connector against a server that speaks the documented API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearken_connectors::registry::{Context, channel};
use hearken_connectors::testing::{Answer, MastodonTimeline, Scenario, Server, conform};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{
    Batch, Connector, ConnectorError, Cursor, Direction, Fault, Kind, Message, MessageId, Visibility, http,
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn client() -> http::Client {
    let settings = http::Settings {
        read_timeout: Duration::from_millis(500),
        timeout: Duration::from_secs(2),
        ..http::Settings::default()
    };
    http::Client::new(settings).unwrap()
}

/// An error as the API gives it.
fn api_error(status: u16, error: &str) -> Answer {
    Answer::status(status).body(json!({ "error": error }).to_string()).header("content-type", "application/json")
}

fn not_found() -> Answer {
    api_error(404, "Record not found")
}

fn json_answer(value: &Value) -> Answer {
    Answer::ok(value.to_string()).header("content-type", "application/json; charset=utf-8")
}

/// A server with one public timeline.
struct Remote {
    server: Server,
    timeline: Arc<Mutex<MastodonTimeline>>,
    http: http::Client,
    newest: u64,
    rest: String,
}

impl Remote {
    async fn start() -> Self {
        let server = Server::start().await;
        let timeline = Arc::<Mutex<MastodonTimeline>>::default();
        server.answer(
            "/api/v2/instance",
            json_answer(&json!({"domain": "social.example", "version": "4.5.0", "title": "Social"})),
        );
        let pages = Arc::clone(&timeline);
        server.handle("/api/v1/timelines/public", move |request| {
            json_answer(&Value::Array(pages.lock().unwrap().asked(&request.path)))
        });
        let rest = "timelines = ['public']\npoll = '1s'\nrecheck.every = '1s'".to_owned();
        Self { server, timeline, http: client(), newest: 110_000_000_000_000_000, rest }
    }

    /// The answers for a single status follow the timeline.
    fn serve_status(&self, id: u64) {
        let statuses = Arc::clone(&self.timeline);
        self.server.handle(&format!("/api/v1/statuses/{id}"), move |_| {
            statuses.lock().unwrap().get(id).map_or_else(not_found, json_answer)
        });
    }

    fn settings(&self) -> toml::Table {
        format!("server = '{}'\n{}", self.server.url(""), self.rest).parse().unwrap()
    }

    fn post(&mut self, count: usize) -> Vec<u64> {
        let ids: Vec<u64> = (0..count)
            .map(|_| {
                self.newest += 65536;
                self.newest
            })
            .collect();
        for id in &ids {
            self.timeline.lock().unwrap().publish(*id, "hello");
            self.serve_status(*id);
        }
        ids
    }
}

fn message_id(id: u64) -> MessageId {
    MessageId::of("mastodon", &format!("https://social.example/users/ann/statuses/{id}"))
}

impl Scenario for Remote {
    fn server(&self) -> Option<&Server> {
        Some(&self.server)
    }

    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector> {
        let context = Context { source: "test", http: &self.http, hooks: &Hooks::default(), cursor };
        (channel("mastodon").unwrap().build)(self.settings(), context).unwrap()
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        self.post(count).into_iter().map(message_id).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.newest += 65536;
        self.timeline.lock().unwrap().put(self.newest, json!({"id": self.newest.to_string(), "content": 7}));
        true
    }

    fn edit(&mut self) -> Option<MessageId> {
        let id = self.timeline.lock().unwrap().ids()[0];
        self.timeline.lock().unwrap().edit(id, "edited", Timestamp::now());
        Some(message_id(id))
    }

    fn delete(&mut self) -> Option<MessageId> {
        let id = self.timeline.lock().unwrap().ids()[1];
        self.timeline.lock().unwrap().delete(id);
        Some(message_id(id))
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    conform(Remote::start).await;
}

async fn first_batch(remote: &Remote) -> Result<Batch, ConnectorError> {
    remote.connector(None).next_batch().await
}

#[tokio::test]
async fn a_page_cut_by_the_server_is_followed_by_the_next() {
    let mut remote = Remote::start().await;
    remote.timeline.lock().unwrap().max_page = 7;
    remote.rest += "\nbackfill = 30";
    let ids = remote.post(100);
    let mut connector = remote.connector(None);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!(
        batch.messages.iter().map(|message| message.id).collect::<Vec<_>>(),
        ids[70..].iter().copied().map(message_id).collect::<Vec<_>>()
    );
    let more = remote.post(50);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!(batch.messages.len(), more.len());
}

#[tokio::test]
async fn an_error_page_is_no_deletion() {
    let mut remote = Remote::start().await;
    let ids = remote.post(2);
    let mut connector = remote.connector(None);
    connector.next_batch().await.unwrap();
    remote.timeline.lock().unwrap().delete(ids[0]);
    let path = format!("/api/v1/statuses/{}", ids[0]);
    for answer in [
        Answer::status(500),
        Answer::status(404),
        Answer::ok("<html>not found</html>").header("content-type", "text/html"),
        api_error(401, "This API requires an authenticated user"),
    ] {
        remote.server.answer(&path, answer);
        assert_eq!(connector.next_batch().await.unwrap().messages, []);
    }
    remote.serve_status(ids[0]);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!((batch.messages.len(), batch.messages[0].deleted, batch.messages[0].id), (1, true, message_id(ids[0])));
}

#[tokio::test]
async fn the_rate_limit_headers_are_heard() {
    let mut remote = Remote::start().await;
    remote.post(1);
    let reset = Timestamp::now() + Duration::from_secs(120);
    remote.server.fail(
        api_error(429, "Too many requests")
            .header("x-ratelimit-limit", "300")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &reset.to_string()),
    );
    let error = first_batch(&remote).await.unwrap_err();
    assert!(error.rate_limited);
    assert!(error.retry_after.unwrap() > Duration::from_secs(100), "{error:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let mut remote = Remote::start().await;
    let page = Answer::ok("<!doctype html><title>Welcome</title>").header("content-type", "text/html; charset=utf-8");
    remote.server.answer("/api/v2/instance", page.clone());
    let error = first_batch(&remote).await.unwrap_err();
    assert!(
        error
            .message
            .ends_with("answered with a web page, not with JSON: is `server` a Mastodon server, with its API open?"),
        "{error}"
    );

    remote.server.answer("/api/v2/instance", json_answer(&json!({"hello": "world"})));
    let error = first_batch(&remote).await.unwrap_err();
    assert!(error.message.ends_with("answers, but not as a Mastodon server: is `server` right?"), "{error}");

    remote.server.answer("/api/v2/instance", not_found());
    let error = first_batch(&remote).await.unwrap_err();
    assert_eq!((error.fault, error.retry_after.is_some()), (Fault::Configuration, true), "{error}");
    remote
        .server
        .answer("/api/v1/instance", json_answer(&json!({"uri": "https://social.example", "version": "3.5.0"})));
    let wants_account = api_error(422, "This method requires an authenticated user");
    remote.server.answer("/api/v1/timelines/public", wants_account);
    assert!(first_batch(&remote).await.unwrap_err().message.contains("answered 422"));
    let wants_token = api_error(401, "The access token is invalid");
    remote.server.answer("/api/v1/timelines/public", wants_token);
    let error = first_batch(&remote).await.unwrap_err();
    assert!(error.message.ends_with("needs an account: set `token`"), "{error}");
    assert_eq!((error.fault, error.retry_after), (Fault::Configuration, None));

    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "s3cret").unwrap();
    remote.rest += &format!("\ntoken = 'file:{}'", token.path().display());
    let error = first_batch(&remote).await.unwrap_err();
    assert!(error.message.ends_with("the token was refused: renew `token`"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"));
    let asked = remote.server.requests().pop().unwrap();
    assert_eq!(asked.headers.get("authorization").map(String::as_str), Some("Bearer s3cret"));
}

#[tokio::test]
async fn mentions_and_own_accounts() {
    let mut remote = Remote::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "s3cret").unwrap();
    remote.rest = format!(
        "timelines = ['mentions', 'account:@acme', 'tag:#nobody']\npoll = '1s'\ntoken = 'file:{}'",
        token.path().display()
    );
    let status = |id: u64, acct: &str, reply: Option<u64>| {
        json!({
            "id": id.to_string(), "uri": format!("https://social.example/statuses/{id}"), "visibility": "direct",
            "created_at": "2024-01-01T00:00:00Z", "content": "<p>hi</p>", "account": {"acct": acct},
            "in_reply_to_id": reply.map(|id| id.to_string()),
        })
    };
    let mention = json!([{"id": "34", "type": "mention", "status": status(1001, "ann@other.example", Some(900))}]);
    remote.server.handle("/api/v1/notifications", move |request| {
        assert!(request.path.contains("types%5B%5D=mention"), "{}", request.path);
        json_answer(&mention)
    });
    remote.server.answer("/api/v1/accounts/lookup", json_answer(&json!({"id": "14", "acct": "acme"})));
    let said = json!([status(1002, "acme", Some(1001))]);
    remote.server.answer("/api/v1/accounts/14/statuses", json_answer(&said));
    remote.server.answer("/api/v1/timelines/tag/nobody", not_found());
    remote.server.answer("/api/v1/statuses/900", json_answer(&status(900, "acme", None)));
    remote.server.answer("/api/v1/statuses/1001", json_answer(&status(1001, "ann@other.example", Some(900))));

    let mut connector = remote.connector(None);
    assert_eq!(
        connector.check().await.unwrap(),
        "social.example 4.5.0: 3 timelines can be read, empty now: tag:nobody"
    );
    let mut messages: Vec<Message> = Vec::new();
    for _ in 0..3 {
        messages.extend(connector.next_batch().await.unwrap().messages);
    }
    let reference = |id: u64| Some(MessageId::of("mastodon", &format!("https://social.example/statuses/{id}")));
    let shown: Vec<_> = messages
        .iter()
        .map(|message| {
            (message.author.handle.as_str(), message.direction, message.visibility, message.kind, message.in_reply_to)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("ann@other.example", Direction::Inbound, Visibility::Private, Kind::Reply, reference(900)),
            ("acme@social.example", Direction::Outbound, Visibility::Private, Kind::Reply, reference(1001)),
        ]
    );
}

#[test]
fn statuses_become_messages() {
    let settings = "server = 'social.example'\ntimelines = ['account:@acme@air.example']";
    let payload = include_bytes!("../src/mastodon/fixtures/statuses.json");
    let parse = channel("mastodon").unwrap().parse;
    let parsed = parse(settings.parse().unwrap(), "test", payload).unwrap();
    let messages: Vec<Message> =
        parsed.messages.into_iter().map(|message| Message { observed_at: Timestamp::UNIX_EPOCH, ..message }).collect();
    insta::assert_json_snapshot!(messages);
    let poison: Vec<_> = parsed.poison.into_iter().map(|poison| (poison.origin, poison.reason)).collect();
    assert!(poison.iter().all(|(_, reason)| !reason.contains("secret")));
    insta::assert_debug_snapshot!(poison);

    assert!(parse(toml::Table::new(), "test", b"<html>").is_err());
    let one = parse(toml::Table::new(), "test", br#"{"id":"1","uri":"https://a.example/1","created_at":"2024-01-01T00:00:00Z","account":{"acct":"ann","url":"https://a.example/@ann"}}"#).unwrap();
    assert_eq!(one.messages[0].author.handle, "ann@a.example");
}

#[test]
fn the_example_is_valid() {
    let example: toml::Table = include_str!("../../config/examples/mastodon.toml").parse().unwrap();
    let sources = example["source"].as_table().unwrap().values();
    assert!(sources.len() > 0);
    for source in sources {
        let mut settings = source.as_table().unwrap().clone();
        assert_eq!(settings.remove("channel").unwrap().as_str(), Some("mastodon"));
        let context = Context { source: "test", http: &client(), hooks: &Hooks::default(), cursor: None };
        (channel("mastodon").unwrap().build)(settings, context).unwrap();
    }
}
