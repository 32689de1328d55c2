//! Rescorings over the API: who may, what is refused, and what is told. What they do is told by `tests/rescore.rs`.

use std::time::Duration;

use hearken::api::Role;
use hearken::store::rows::MentionRow;
use serde_json::{Value, json};

use crate::clickhouse::{MARCH, mention, sql};
use crate::server::{Server, read, server};

const RESCORES: &str = "/api/v1/rescores";

impl Server {
    async fn post(&self, path: &str, body: &Value, token: &str) -> (u16, Value) {
        let (status, answer) = read(self.request("POST", path, token).json(body).send().await.unwrap()).await;
        (status.as_u16(), answer)
    }

    async fn until(&self, id: &Value, state: &str) -> Value {
        let path = format!("{RESCORES}/{}", id.as_str().unwrap());
        let ended = async {
            loop {
                let shown = self.get(&path, "").await;
                if shown["state"] == state {
                    break shown;
                }
                assert_ne!(shown["state"], "failed", "{shown}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap_or_else(|_| panic!("it is never {state}"))
    }
}

#[tokio::test]
async fn a_rescoring_is_started_followed_applied_and_cancelled() {
    let Some(server) = server("rescores").await else { return };
    // The log is empty: what is stored stays.
    let row = MentionRow { published_at: MARCH, ..mention("Acme", 1, "my Acme kettle broke") };
    server.store.insert_mentions(&[row]).await.unwrap();
    let (status, begun) = server.post(RESCORES, &json!({"brand": "Acme", "since": "2026-01-01"}), "").await;
    assert_eq!(
        (status, &begun["query"], &begun["since"]),
        (202, &json!("acme"), &json!("2026-01-01T00:00:00Z")),
        "{begun}"
    );
    let compared = server.until(&begun["id"], "compared").await;
    let counts = json!({"added": 0, "removed": 0, "changed": 0, "unchanged": 0, "kept": 1});
    assert_eq!(compared["findings"]["mentions"], counts);
    assert_eq!(compared["findings"]["channels"], json!({"mastodon": counts}));
    assert_eq!(compared["findings"]["samples"]["kept"][0]["text"], "my Acme kettle broke");
    let path = format!("{RESCORES}/{}", begun["id"].as_str().unwrap());
    assert_eq!(server.post(&format!("{path}/apply"), &json!({}), "").await.0, 202);
    assert_eq!(server.until(&begun["id"], "applied").await["written"], 0);
    assert_eq!(server.post(&format!("{path}/apply"), &json!({}), "").await.0, 409, "it is applied");
    assert_eq!(sql(&server.store, "SELECT count() FROM mention_revisions").await, "1");

    let trial = json!({"brand": "Acme", "query": "kettle -broke", "samples": 0});
    let (_, trial) = server.post(RESCORES, &trial, "").await;
    server.until(&trial["id"], "compared").await;
    assert_eq!(server.get_as(&path, "").await.0.as_u16(), 404, "the last one alone is remembered");
    let path = format!("{RESCORES}/{}", trial["id"].as_str().unwrap());
    let (status, refused) = server.post(&format!("{path}/apply"), &json!({}), "").await;
    assert_eq!(status, 422, "{refused}");
    let (status, cancelled) = read(server.request("DELETE", &path, "").send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &cancelled["state"]), (200, &json!("cancelled")));
    assert_eq!(server.get_as(&path, "").await.0.as_u16(), 404, "it is forgotten");

    for (body, status, word) in [
        (json!({"brand": "Globex"}), 404, "`Acme`"),
        (json!({"brand": "Acme", "query": "acme AND"}), 422, "character"),
        (json!({"brand": "Acme", "since": "yesterday"}), 422, "2026-01-31"),
        (json!({"brand": "Acme", "samples": 101}), 422, "100"),
        (json!({"brand": "Acme", "query": "kettle", "apply": true}), 422, "save it"),
        (json!({"brand": "Acme", "until": "2026-01-01"}), 422, "until"),
    ] {
        let (answered, problem) = server.post(RESCORES, &body, "").await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }

    // Whoever does not see everything may not.
    let (some, manager) = (server.token(Role::Admin, &["Acme"]).await, server.token(Role::Manager, &[]).await);
    for token in [&some, &manager] {
        assert_eq!(server.post(RESCORES, &json!({"brand": "Acme"}), token).await.0, 403);
        assert_eq!(server.get_as(&path, token).await.0.as_u16(), 403);
        assert_eq!(server.post(&format!("{path}/apply"), &json!({}), token).await.0, 403);
    }
}
