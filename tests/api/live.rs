//! The live feed.

use std::collections::BTreeSet;
use std::time::Duration;

use hearken::api::{Role, Token};
use hearken::store::rows::{MentionRow, revision};
use reqwest::Response;
use serde_json::Value;

use crate::clickhouse::{MARCH, id, mention};
use crate::server::{Server, server, talk};

/// How long a feed may take to tell what it has to tell.
const PATIENCE: Duration = Duration::from_secs(30);

/// A feed that is being read.
struct Feed {
    response: Response,
    text: String,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Feed {
    async fn open(server: &Server, query: &str, token: &str, last: &str) -> Self {
        let mut request = server.request("GET", &format!("/api/v1/mentions/live{query}"), token);
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.unwrap_or_default().trim().to_owned()
                };
                let (kind, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if kind.is_empty() {
                    continue; // a heartbeat
                }
                return Some(Event { kind, id, data: serde_json::from_str(&data).unwrap() });
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("the feed says nothing");
            self.text += std::str::from_utf8(&chunk.unwrap()?).unwrap();
        }
    }

    /// So many mentions, as (message, brand), and the id of the last event.
    async fn read(&mut self, count: usize) -> (Vec<(String, String)>, String) {
        let (mut mentions, mut last) = (Vec::new(), String::new());
        while mentions.len() < count {
            let event = self.next().await.expect("the feed has ended");
            assert_eq!(event.kind, "mention", "{event:?}");
            let text = |name: &str| event.data[name].as_str().unwrap().to_owned();
            mentions.push((text("id"), text("brand")));
            last = event.id;
        }
        (mentions, last)
    }
}

fn key(number: u64, brand: &str) -> (String, String) {
    (id(number).to_string(), brand.to_owned())
}

#[tokio::test]
async fn what_is_stored_is_told_once_and_what_was_there_is_not() {
    let Some(server) = server("api_live").await else { return };
    server.store.insert_mentions(&[mention("acme", 1, "before")]).await.unwrap();
    let mut feed = Feed::open(&server, "", "", "").await;
    server.store.insert_mentions(&[mention("acme", 2, "after"), mention("globex", 2, "after")]).await.unwrap();
    let (told, _) = feed.read(2).await;
    assert_eq!(BTreeSet::from_iter(told), BTreeSet::from([key(2, "acme"), key(2, "globex")]));
    // Nothing comes twice, though the last half minute is looked through again and again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.store.insert_mentions(&[mention("acme", 3, "later")]).await.unwrap();
    assert_eq!(feed.read(1).await.0, [key(3, "acme")]);
    // An edit is told, a deletion is not.
    let row = mention("acme", 3, "edited");
    server.store.insert_mentions(&[MentionRow { revision: revision(1, MARCH, 0), ..row.clone() }]).await.unwrap();
    assert_eq!(feed.next().await.unwrap().data["text"], "edited");
    server
        .store
        .insert_mentions(&[MentionRow { revision: revision(2, MARCH, 0), deleted: true, ..row }])
        .await
        .unwrap();
    server.store.insert_mentions(&[mention("acme", 4, "last")]).await.unwrap();
    assert_eq!(feed.read(1).await.0, [key(4, "acme")]);
}

#[tokio::test]
async fn a_resumed_feed_misses_nothing() {
    let Some(server) = server("api_resume").await else { return };
    let mut feed = Feed::open(&server, "", "", "").await;
    let rows: Vec<_> = (0..500).map(|number| mention("acme", number, "")).collect();
    server.store.insert_mentions(&rows).await.unwrap();
    // Cut off in the middle, also of a moment: all rows carry the same.
    let (first, last) = feed.read(123).await;
    drop(feed);
    let more: Vec<_> = (500..700).map(|number| mention("acme", number, "")).collect();
    server.store.insert_mentions(&more).await.unwrap();
    let mut feed = Feed::open(&server, "", "", &last).await;
    let mut told: BTreeSet<_> = first.into_iter().collect();
    assert_eq!(told.len(), 123);
    while told.len() < 700 {
        told.extend(feed.read(1).await.0);
    }
}

#[tokio::test]
async fn feeds_are_narrowed_to_what_is_asked_for_and_may_be_seen() {
    let Some(server) = server("api_live_roles").await else { return };
    let viewer = server.token(Role::Viewer, &[]).await;
    let scoped = server.token(Role::Manager, &["acme"]).await;
    let mut feeds = Vec::new();
    for (query, token, expected) in [
        ("", &viewer, vec![key(1, "acme"), key(2, "acme"), key(2, "globex"), key(3, "globex")]),
        ("?brand=globex", &viewer, vec![key(2, "globex"), key(3, "globex")]),
        ("?channel=feed", &viewer, vec![key(3, "globex")]),
        ("", &scoped, vec![key(1, "acme"), key(2, "acme"), key(4, "acme")]),
    ] {
        feeds.push((Feed::open(&server, query, token, "").await, expected));
    }
    server.store.insert_mentions(&talk()).await.unwrap();
    // What comes after all of it shows that nothing more came.
    let last = MentionRow { channel: "feed", ..mention("acme", 99, "") };
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.store.insert_mentions(&[last.clone(), MentionRow { brand: "globex", ..last }]).await.unwrap();
    for (mut feed, expected) in feeds {
        let (mut told, _) = feed.read(expected.len() + 1).await;
        assert_eq!(told.pop().unwrap().0, id(99).to_string());
        told.sort();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_feed_ends_with_its_reason() {
    let Some(server) = server("api_live_end").await else { return };
    let (token, text) = Token::create(&server.store, "ada", Role::Viewer, Vec::new(), None).await.unwrap();
    let other = server.token(Role::Viewer, &[]).await;
    let mut feed = Feed::open(&server, "", text.expose(), "").await;
    let mut stays = Feed::open(&server, "", &other, "").await;
    Token::revoke(&server.store, &token.id).await.unwrap();
    let end = feed.next().await.unwrap();
    assert_eq!(end.kind, "end");
    assert!(end.data["reason"].as_str().unwrap().contains("revoked"), "{end:?}");
    assert!(feed.next().await.is_none());
    server.stop.cancel();
    let end = stays.next().await.unwrap();
    assert_eq!((end.kind.as_str(), &end.data["reason"]), ("end", &"the server is stopping".into()));
    assert!(stays.next().await.is_none());
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    let Some(server) = server("api_live_id").await else { return };
    for last in ["nonsense", "1", "WyJtZW50aW9ucyIsWzEsIiIsIiJdXQ"] {
        let request = server.request("GET", "/api/v1/mentions/live", "").header("last-event-id", last);
        let (status, problem) = crate::server::read(request.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &problem["parameters"][0]["name"]), (400, &"Last-Event-ID".into()), "{last}");
    }
}
