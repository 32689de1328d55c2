//! Events of a room, as far as they are used here; pure.
//!
//! <https://spec.matrix.org/latest/client-server-api/#events>

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::Poison;

/// Types of events that are asked for.
pub(super) const TYPES: [&str; 7] = [
    "m.room.message",
    "m.sticker",
    "m.reaction",
    "m.room.redaction",
    "m.room.encrypted",
    "m.room.join_rules",
    "m.room.history_visibility",
];

/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

/// An event in the form that clients get.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "event_id")]
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) sender: String,
    /// Unix time in milliseconds.
    origin_server_ts: i64,
    #[serde(default)]
    pub(super) content: Value,
    #[serde(default)]
    unsigned: Value,
    /// Up to version 10 of rooms, a redaction's target stands here.
    #[serde(default)]
    redacts: Option<String>,
    /// Left out where the answer says it elsewhere.
    #[serde(default)]
    pub(super) room_id: Option<String>,
}

/// What an event means to a listener.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning<'e> {
    /// Something new was said.
    Message,
    /// An earlier message is another one now.
    Edit(&'e str),
    /// Somebody reacted to a message.
    Reaction(&'e str),
    /// An earlier event was taken back.
    Redaction(&'e str),
    /// Something that only the members' devices can read.
    Encrypted,
    /// Who may join or read the room.
    Access,
    /// Anything else, also what was taken back meanwhile.
    Other,
}

impl Event {
    /// Reads an event of a room; poison where it is none.
    pub(super) fn read(value: &Value, room: &str) -> Result<Self, Poison> {
        Self::deserialize(value).map_err(|error| {
            let shown = error.to_string();
            // A value of the wrong type would be quoted.
            let is_safe = shown.starts_with("missing field");
            let reason = if is_safe { shown.as_str() } else { "a field is not what the API documents" };
            poison(value, room, &format!("is not an event: {reason}"))
        })
    }

    pub(super) fn meaning(&self) -> Meaning<'_> {
        if self.redacted_at().is_some() {
            return Meaning::Other;
        }
        let relation = self.text("/m.relates_to/rel_type");
        let target = self.text("/m.relates_to/event_id");
        match (self.kind.as_str(), relation, target) {
            ("m.room.message", Some("m.replace"), Some(target)) => Meaning::Edit(target),
            ("m.room.message" | "m.sticker", ..) => Meaning::Message,
            ("m.reaction", Some("m.annotation"), Some(target)) => Meaning::Reaction(target),
            ("m.room.redaction", ..) => {
                let target = self.text("/redacts").or(self.redacts.as_deref());
                target.map_or(Meaning::Other, Meaning::Redaction)
            }
            ("m.room.encrypted", ..) => Meaning::Encrypted,
            ("m.room.join_rules" | "m.room.history_visibility", ..) => Meaning::Access,
            _ => Meaning::Other,
        }
    }

    /// When it was sent, by its server's clock.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.origin_server_ts).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The same in Unix milliseconds, as a version.
    pub(super) fn version(&self) -> u64 {
        u64::try_from(self.origin_server_ts).unwrap_or(0)
    }

    /// The version of its redaction; `None` where it was not taken back.
    pub(super) fn redacted_at(&self) -> Option<u64> {
        let Some(because) = self.unsigned.get("redacted_because") else {
            // Redaction leaves nothing of what was said.
            let is_empty = self.content.as_object().is_some_and(serde_json::Map::is_empty);
            let had_content = matches!(self.kind.as_str(), "m.room.message" | "m.sticker" | "m.reaction");
            return (is_empty && had_content).then(|| self.version());
        };
        Some(because.get("origin_server_ts").and_then(Value::as_u64).unwrap_or_else(|| self.version()))
    }

    /// Its last edit, which servers put beside it.
    pub(super) fn edit(&self) -> Option<Self> {
        Self::deserialize(self.unsigned.pointer("/m.relations/m.replace")?).ok()
    }

    /// How many messages its thread has, where it starts one.
    pub(super) fn thread_replies(&self) -> Option<u64> {
        self.unsigned.pointer("/m.relations/m.thread/count")?.as_u64()
    }

    /// The message that started the thread in which this one is.
    pub(super) fn thread_root(&self) -> Option<&str> {
        self.text("/m.relates_to/event_id").filter(|_| self.text("/m.relates_to/rel_type") == Some("m.thread"))
    }

    /// The poison for it.
    pub(super) fn poison(&self, room: &str, reason: &str) -> Poison {
        let event = json!({
            "event_id": self.id, "type": self.kind, "sender": self.sender,
            "origin_server_ts": self.origin_server_ts, "content": self.content,
        });
        poison(&event, room, reason)
    }

    /// A text in its content, by JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.content.pointer(pointer)?.as_str()
    }
}

/// The poison for an event that cannot be understood.
fn poison(value: &Value, room: &str, reason: &str) -> Poison {
    let id = value.get("event_id").and_then(Value::as_str).unwrap_or("an event without id");
    let mut payload = value.to_string().into_bytes();
    payload.truncate(POISON_PAYLOAD);
    Poison { origin: format!("{room} {id}"), reason: reason.to_owned(), payload }
}
