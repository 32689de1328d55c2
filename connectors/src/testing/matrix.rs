//! One room of a Matrix homeserver, as far as `/sync`, `/messages`, `/context` and `/relations` go:
//! <https://spec.matrix.org/latest/client-server-api/#syncing>.

use serde_json::{Value, json};

/// The events of a room, in order. Tokens are `s` and a position in it.
#[derive(Debug, Clone)]
pub struct MatrixRoom {
    /// Its id.
    pub id: String,
    events: Vec<Value>,
    /// The most events in one answer.
    pub limit: usize,
    /// Some servers page back beyond the token to stop at.
    pub knows_to: bool,
}

impl MatrixRoom {
    /// An empty room.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), events: Vec::new(), limit: 100, knows_to: true }
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True when nothing was said.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Adds an event of `@ann:hs`; its id.
    pub fn send(&mut self, kind: &str, content: Value) -> String {
        let id = format!("$e{}", self.events.len());
        self.events.push(json!({
            "event_id": id, "type": kind, "sender": "@ann:hs", "content": content,
            // A minute between two.
            "origin_server_ts": 1_700_000_000_000_i64 + 60_000 * i64::try_from(self.events.len()).expect("few events"),
        }));
        id
    }

    /// Says something; the event's id.
    pub fn say(&mut self, words: &str) -> String {
        self.send("m.room.message", json!({ "msgtype": "m.text", "body": words }))
    }

    /// Edits a message.
    pub fn edit(&mut self, event: &str, words: &str) -> String {
        let relation = json!({ "rel_type": "m.replace", "event_id": event });
        let new_content = json!({ "msgtype": "m.text", "body": words });
        self.send(
            "m.room.message",
            json!({ "msgtype": "m.text", "body": words, "m.new_content": new_content, "m.relates_to": relation }),
        )
    }

    /// Takes an event back.
    pub fn redact(&mut self, event: &str) {
        self.send("m.room.redaction", json!({ "redacts": event }));
        let because = self.events.last().cloned();
        if let Some(event) = self.events.iter_mut().find(|other| other["event_id"] == *event) {
            event["content"] = json!({});
            event["unsigned"] = json!({ "redacted_because": because });
        }
    }

    /// An answer of `/sync` after this token.
    pub fn sync(&self, since: Option<&str>) -> Value {
        let end = self.events.len();
        let from = since.map_or(0, position).min(end);
        let first = from.max(end.saturating_sub(self.limit));
        let events = self.events.get(first..).unwrap_or_default();
        let timeline = json!({
            "events": events, "limited": first > from || since.is_none(), "prev_batch": format!("s{first}"),
        });
        let mut rooms = json!({});
        if !events.is_empty() || since.is_none() {
            rooms[&self.id] = json!({ "timeline": timeline, "state": { "events": [] } });
        }
        json!({ "next_batch": format!("s{end}"), "rooms": { "join": rooms } })
    }

    /// A page before `from`, newest first, down to `to`.
    pub fn messages(&self, from: &str, to: Option<&str>) -> Value {
        let end = position(from).min(self.events.len());
        let stop = to.filter(|_| self.knows_to).map_or(0, position);
        let first = end.saturating_sub(self.limit).max(stop).min(end);
        let mut page = self.events.get(first..end).unwrap_or_default().to_vec();
        page.reverse();
        let mut answer = json!({ "start": from, "chunk": page });
        if first > stop {
            answer["end"] = json!(format!("s{first}"));
        }
        answer
    }

    /// An event with its last edit, as `/context` gives it.
    pub fn context(&self, event: &str) -> Option<Value> {
        let mut found = self.events.iter().find(|other| other["event_id"] == *event)?.clone();
        if let Some(edit) = self.related(event, "m.replace").pop() {
            found["unsigned"]["m.relations"] = json!({ "m.replace": edit });
        }
        Some(json!({ "event": found, "state": [] }))
    }

    /// The reactions to an event, as `/relations` gives them.
    pub fn reactions(&self, event: &str) -> Value {
        json!({ "chunk": self.related(event, "m.annotation") })
    }

    fn related(&self, event: &str, relation: &str) -> Vec<Value> {
        let is_related = |other: &&Value| {
            let relates_to = &other["content"]["m.relates_to"];
            relates_to["rel_type"] == *relation && relates_to["event_id"] == *event
        };
        self.events.iter().filter(is_related).cloned().collect()
    }
}

fn position(token: &str) -> usize {
    token.trim_start_matches('s').parse().expect("a token of this server")
}
