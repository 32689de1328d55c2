//! The `webhook` connector between its senders and a caller that acknowledges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use hearken_connectors::registry::{Context, channel};
use hearken_connectors::testing::{Scenario, conform};
use hearken_connectors::webhook::{Hooks, Receipt, Refusal, Rejected};
use hearken_connectors::{Connector, Cursor, MessageId, http};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const SECRET: &str = "It's a Secret to Everybody";
const SETTINGS: &str =
    "signature = 'github'\nfields = { id = 'id', version = 'version', deleted = 'deleted', text = 'text' }";

fn connector(hooks: &Hooks, settings: &str) -> Box<dyn Connector> {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), SECRET).unwrap();
    let settings = format!("secret = 'file:{}'\n{settings}", secret.path().display()).parse().unwrap();
    let http = http::Client::new(http::Settings::default()).unwrap();
    (channel("webhook").unwrap().build)(settings, Context { source: "test", http: &http, hooks, cursor: None }).unwrap()
}

/// Where posts to the source `test` are handed in.
fn hooks() -> Hooks {
    let hooks = Hooks::default();
    hooks.configure(["test"]);
    hooks
}

fn signed(delivery: &str, body: &[u8]) -> HeaderMap {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(body).finalize().into_bytes();
    let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", format!("sha256={signature}").parse().unwrap());
    headers.insert("x-github-delivery", delivery.parse().unwrap());
    headers
}

/// A sender that posts once.
fn post(hooks: &Hooks, delivery: &str, body: &Value) -> JoinHandle<Result<Receipt, Refusal>> {
    let (hooks, body) = (hooks.clone(), body.to_string());
    let headers = signed(delivery, body.as_bytes());
    tokio::spawn(async move { hooks.deliver("test", &headers, body.as_bytes()).await })
}

fn said(id: usize) -> Value {
    json!({"id": id, "text": "hello"})
}

/// Senders that post until they are told that it is safe.
struct Senders {
    hooks: Hooks,
    posted: usize,
}

impl Senders {
    fn post_until_safe(&mut self, body: Value) {
        self.posted += 1;
        let (hooks, delivery) = (self.hooks.clone(), self.posted.to_string());
        tokio::spawn(async move {
            while let Err(refusal) = post(&hooks, &delivery, &body).await.unwrap() {
                assert!(matches!(refusal, Refusal::Busy(_)), "{refusal:?}");
                sleep(Duration::from_millis(5)).await;
            }
        });
    }

    fn revise(&mut self, body: Value) -> Option<MessageId> {
        self.post_until_safe(body);
        Some(MessageId::of("webhook", "1"))
    }
}

impl Scenario for Senders {
    fn connector(&self, _: Option<Cursor>) -> Box<dyn Connector> {
        connector(&self.hooks, SETTINGS)
    }

    fn publish(&mut self, count: usize) -> Vec<MessageId> {
        let publish_one = |_| {
            self.post_until_safe(said(self.posted + 1));
            MessageId::of("webhook", &self.posted.to_string())
        };
        (0..count).map(publish_one).collect()
    }

    fn publish_garbage(&mut self) -> bool {
        self.post_until_safe(json!({"id": 7, "txt": "hello"}));
        true
    }

    fn remembers(&self) -> bool {
        false
    }

    fn edit(&mut self) -> Option<MessageId> {
        self.revise(json!({"id": 1, "text": "hello again", "version": 1}))
    }

    fn delete(&mut self) -> Option<MessageId> {
        self.revise(json!({"id": 1, "version": 2, "deleted": true}))
    }

    /// It reaches for nothing that could fail.
    fn faults(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn fail(&mut self, _: &str) {}

    fn heal(&mut self) {}
}

#[tokio::test]
async fn it_keeps_the_contract() {
    conform(async || Senders { hooks: hooks(), posted: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_post_is_answered_when_its_batch_is_acknowledged_and_not_before() {
    let hooks = hooks();
    let mut connector = connector(&hooks, SETTINGS);
    assert_eq!(connector.next_batch().await.unwrap().messages, []);
    let body = json!([{"id": 1, "text": "hello"}, {"id": 2}]);
    let sender = post(&hooks, "a", &body);
    let batch = connector.next_batch().await.unwrap();
    assert_eq!((batch.messages.len(), batch.poison.len(), batch.cursor, batch.end), (1, 1, None, false));
    assert_eq!(batch.poison[0].origin, "a:1");
    sleep(Duration::from_secs(9)).await;
    assert!(!sender.is_finished());
    // The next call, even one that is dropped, says that the batch is acknowledged.
    drop(timeout(Duration::from_millis(1), connector.next_batch()).await);
    let rejected = vec![Rejected { index: 1, reason: "`text` (fields.text) is missing".to_owned() }];
    assert_eq!(sender.await.unwrap(), Ok(Receipt { accepted: 1, rejected }));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_is_to_be_sent_again() {
    let hooks = hooks();
    let mut first = connector(&hooks, SETTINGS);
    first.next_batch().await.unwrap();

    // The log is away: the batch stays in hand, and what waits behind it is not heard once its sender has gone.
    let in_hand = post(&hooks, "a", &said(1));
    assert_eq!(first.next_batch().await.unwrap().messages.len(), 1);
    let behind = post(&hooks, "b", &said(2));
    let late = Err(Refusal::Busy("the log has not acknowledged the post in time"));
    assert_eq!((in_hand.await.unwrap(), behind.await.unwrap()), (late.clone(), late));
    let (again, too) = (post(&hooks, "a", &said(1)), post(&hooks, "b", &said(2)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(first.next_batch().await.unwrap().messages.len(), 2);

    // A reload: the connector is dropped before the acknowledgement, and another one takes its place.
    drop(first);
    let gone = Err(Refusal::Busy("the source stopped listening before the post was safe"));
    assert_eq!((again.await.unwrap(), too.await.unwrap()), (gone.clone(), gone));
    let away = Err(Refusal::Busy("the source is not listening at this moment"));
    assert_eq!(post(&hooks, "a", &said(1)).await.unwrap(), away);
    let mut second = connector(&hooks, SETTINGS);
    assert_eq!(post(&hooks, "a", &said(1)).await.unwrap(), away, "building a connector is not listening");
    second.next_batch().await.unwrap();
    let safe = post(&hooks, "a", &said(1));
    assert_eq!(second.next_batch().await.unwrap().messages[0].id, MessageId::of("webhook", "1"));
    second.next_batch().await.unwrap();
    assert!(safe.await.unwrap().is_ok());
    hooks.configure([]);
    assert_eq!(post(&hooks, "a", &said(1)).await.unwrap(), Err(Refusal::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_is_late_to_go_takes_nothing_with_it() {
    let hooks = hooks();
    let (mut old, mut new) = (connector(&hooks, SETTINGS), connector(&hooks, SETTINGS));
    old.next_batch().await.unwrap();
    new.next_batch().await.unwrap();
    drop(old);
    let sender = post(&hooks, "a", &said(1));
    assert_eq!(new.next_batch().await.unwrap().messages.len(), 1);
    new.next_batch().await.unwrap();
    assert!(sender.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_what_a_batch_takes_is_bounded() {
    let hooks = hooks();
    let mut connector = connector(&hooks, SETTINGS);
    connector.next_batch().await.unwrap();
    let many = |from: usize| Value::Array((from..from + 600).map(said).collect());
    let senders: Vec<_> = (0..65).map(|number| post(&hooks, &number.to_string(), &many(number * 600))).collect();
    sleep(Duration::from_millis(1)).await;
    let refused: Vec<_> = senders.iter().filter(|sender| sender.is_finished()).collect();
    assert_eq!(refused.len(), 1, "one more than fit");
    let (mut heard, mut more) = (0, true);
    while more {
        let batch = connector.next_batch().await.unwrap();
        assert!(batch.messages.len() <= 1_200);
        (heard, more) = (heard + batch.messages.len(), batch.more);
    }
    assert_eq!(heard, 64 * 600);
    connector.next_batch().await.unwrap();
    let mut answers = Vec::new();
    for sender in senders {
        answers.push(sender.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 64);
    assert!(answers.contains(&Err(Refusal::Busy("too many posts wait at this moment"))));
}

#[tokio::test(start_paused = true)]
async fn what_is_forged_is_not_heard_and_what_is_unreadable_is_kept() {
    let hooks = hooks();
    let mut connector = connector(&hooks, SETTINGS);
    connector.next_batch().await.unwrap();
    let body = said(1).to_string();
    let deliver = async |headers: &HeaderMap, body: &[u8]| hooks.deliver("test", headers, body).await;
    assert_eq!(deliver(&HeaderMap::new(), body.as_bytes()).await, Err(Refusal::Forged));
    assert_eq!(deliver(&signed("a", b"other"), body.as_bytes()).await, Err(Refusal::Forged));
    assert!(connector.next_batch().await.unwrap().messages.is_empty());

    let sender = tokio::spawn({
        let hooks = hooks.clone();
        async move { hooks.deliver("test", &signed("b", b"hello"), b"hello").await }
    });
    let batch = connector.next_batch().await.unwrap();
    assert_eq!((batch.poison[0].origin.as_str(), batch.poison[0].payload.as_slice()), ("b", b"hello".as_slice()));
    connector.next_batch().await.unwrap();
    let unreadable = "the body is not JSON: expected value at column 1".to_owned();
    assert_eq!(sender.await.unwrap(), Err(Refusal::Unreadable(unreadable)));

    let lines = b"{\"id\": 1, \"text\": \"a\"}\n{\"id\": 2, \"text\": \"b\"}\n";
    let mut headers = signed("c", lines);
    headers.insert(CONTENT_TYPE, "Application/X-NDJSON; charset=utf-8".parse().unwrap());
    let sender = tokio::spawn(async move { hooks.deliver("test", &headers, lines).await });
    assert_eq!(connector.next_batch().await.unwrap().messages.len(), 2);
    connector.next_batch().await.unwrap();
    assert_eq!(sender.await.unwrap(), Ok(Receipt { accepted: 2, rejected: Vec::new() }));
}

#[tokio::test]
async fn a_check_says_where_to_post_and_parse_needs_no_secret() {
    let checked = connector(&hooks(), SETTINGS).check().await.unwrap();
    assert_eq!(checked, "takes posts to /hooks/test, signed as `github` says");
    let parse = |settings: &str, payload: &[u8]| {
        (channel("webhook").unwrap().parse)(settings.parse().unwrap(), "parse", payload).unwrap()
    };
    assert_eq!(parse("fields.text = 'a'", b"{\"a\": \"x\"}").messages.len(), 1);
    assert_eq!(parse("fields.text = 'a'", b"[\n{\"a\": \"x\"},\n{\"a\": \"y\"}\n]\n").messages.len(), 2);
    assert_eq!(parse("fields.text = 'a'", b"{\"a\": \"x\"}\n{\"a\": \"y\"}\n").messages.len(), 2);
}
