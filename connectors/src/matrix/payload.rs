//! `hearken parse matrix`: events in a file, as exported or as the API gives them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::event::{Event, Meaning};
use super::parse::Reading;
use super::settings::Settings;
use crate::contract::BuildError;
use crate::message::Message;
use crate::registry::Parsed;

/// Reads an answer of `/sync` or `/messages`, an export, a list of events, or a single one. Reactions
/// are not counted: they are asked for where a room is heard.
pub(super) fn parse(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    Settings::for_payload(settings)?;
    let answer: Value = serde_json::from_slice(payload)
        .map_err(|error| BuildError::setting("payload", &format!("is no JSON: wrong at line {}", error.line())))?;
    let mut parsed = Parsed::default();
    if let Some(rooms) = answer.pointer("/rooms/join").and_then(Value::as_object) {
        for (id, room) in rooms {
            let events = room.pointer("/timeline/events").and_then(Value::as_array);
            read(events.map(Vec::as_slice).unwrap_or_default(), Some(id), source, &mut parsed);
        }
        return Ok(parsed);
    }
    let room = answer.get("room_id").and_then(Value::as_str);
    let events = match &answer {
        Value::Array(events) => events.as_slice(),
        Value::Object(fields) => {
            let list = ["chunk", "messages", "events"].iter().find_map(|name| fields.get(*name)?.as_array());
            list.map_or(std::slice::from_ref(&answer), Vec::as_slice)
        }
        _ => return Err(BuildError::setting("payload", "is no event of a Matrix room")),
    };
    read(events, room, source, &mut parsed);
    Ok(parsed)
}

fn read(values: &[Value], room: Option<&str>, source: &str, parsed: &mut Parsed) {
    let mut events = Vec::with_capacity(values.len());
    for value in values {
        match Event::read(value, room.unwrap_or("payload")) {
            Ok(event) => events.push(event),
            Err(poison) => parsed.poison.push(poison),
        }
    }
    let by_id: HashMap<&str, &Event> = events.iter().map(|event| (event.id.as_str(), event)).collect();
    let names = HashMap::new();
    for event in &events {
        let room = event.room_id.as_deref().or(room).unwrap_or_default();
        let observed_at = Timestamp::now();
        let reading = Reading { source, room, public: false, own: "", names: &names, observed_at };
        match heard(&reading, event, &by_id) {
            Ok(message) => parsed.messages.extend(message),
            Err(reason) => parsed.poison.push(event.poison(room, reason)),
        }
    }
}

fn heard(reading: &Reading<'_>, event: &Event, by_id: &HashMap<&str, &Event>) -> Result<Option<Message>, &'static str> {
    match event.meaning() {
        Meaning::Message => reading.message(event, None).map(Some),
        Meaning::Edit(target) => match by_id.get(target).filter(|original| original.meaning() == Meaning::Message) {
            Some(original) => reading.message(original, Some(event)).map(Some),
            None => reading.edit_alone(event),
        },
        Meaning::Redaction(target) => {
            let original = by_id.get(target);
            let is_other = original.is_some_and(|original| original.kind != "m.room.message");
            let published_at = original.map_or(event.at(), |original| original.at());
            Ok((!is_other).then(|| reading.tombstone(target, published_at, event.version())))
        }
        Meaning::Encrypted => Err("is encrypted"),
        Meaning::Reaction(_) | Meaning::Access | Meaning::Other => Ok(None),
    }
}
