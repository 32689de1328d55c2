//! One turn of listening: paging back, fetching what has changed, or waiting for news.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::Joined;
use super::api::{Api, Refusal};
use super::event::{Event, Meaning};
use super::parse::Reading;
use super::position::{Change, Position, Room, Timeline};
use crate::contract::{Batch, ConnectorError};
use crate::message::Message;

/// Changed messages fetched in one turn.
const MAX_FETCHED: usize = 20;

/// What a turn works on; dropped halfway, it leaves no trace.
pub(super) struct Turn<'a> {
    source: &'a str,
    api: &'a Api,
    joined: &'a mut Joined,
    position: &'a mut Position,
    backfill: usize,
    now: Timestamp,
    pub(super) batch: Batch,
}

/// Events of a room, with the names of those who sent them.
struct Page {
    events: Vec<Event>,
    names: HashMap<String, String>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        source: &'a str,
        api: &'a Api,
        joined: &'a mut Joined,
        position: &'a mut Position,
        backfill: usize,
    ) -> Self {
        Self { source, api, joined, position, backfill, now: Timestamp::now(), batch: Batch::default() }
    }

    /// Takes the turn; true when our user is no longer in one of the rooms.
    pub(super) async fn take(&mut self) -> Result<bool, ConnectorError> {
        if self.position.behind().is_some() {
            self.page_back().await?;
        } else if let Some(room) = self.position.changed().map(str::to_owned) {
            self.fetch_changed(&room).await?;
        } else {
            return self.sync().await;
        }
        Ok(false)
    }

    async fn sync(&mut self) -> Result<bool, ConnectorError> {
        let since = self.position.since.clone();
        // A first answer comes at once in any case. Synapse repeats it for two minutes when it is asked
        // the same again, which starting over must not be.
        let wait = !self.position.rooms.is_empty();
        let answer = match self.api.sync(&self.joined.filter, since.as_deref(), wait).await? {
            Ok(answer) => answer,
            Err(refusal) if since.is_some() && refusal.is_unknown_token() => {
                // From the newest events back to the last known ones.
                self.position.since = None;
                return Ok(false);
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.now = Timestamp::now();
        let next = answer.get("next_batch").and_then(Value::as_str).ok_or_else(|| self.api.unusable("sync"))?;
        self.position.since = Some(next.to_owned());
        let mut is_out = false;
        for (part, out) in [("join", false), ("leave", true)] {
            let rooms = answer.pointer(&format!("/rooms/{part}")).and_then(Value::as_object);
            for (id, room) in rooms.into_iter().flatten() {
                if self.joined.access.contains_key(id) {
                    is_out |= out;
                    self.timeline(id, room, since.as_deref());
                }
            }
        }
        for id in self.joined.access.keys() {
            self.position.rooms.entry(id.clone()).or_insert_with(|| Room::new(self.now));
        }
        Ok(is_out)
    }

    /// A room's part of an answer of `/sync`.
    fn timeline(&mut self, id: &str, answer: &Value, since: Option<&str>) {
        let page = self.page(id, answer.pointer("/timeline/events"), answer.pointer("/state/events"));
        let timeline = Timeline {
            events: &page.events,
            limited: answer.pointer("/timeline/limited") == Some(&Value::Bool(true)),
            prev_batch: answer.pointer("/timeline/prev_batch").and_then(Value::as_str),
            since,
        };
        let new = match self.position.rooms.get_mut(id) {
            Some(room) => room.advance(&timeline),
            None => {
                let mut room = Room::new(self.now);
                room.remember(&page.events);
                self.position.rooms.insert(id.to_owned(), room);
                let first = page.events.len().saturating_sub(self.backfill);
                page.events.get(first..).unwrap_or_default()
            }
        };
        if let Some(access) = self.joined.access.get_mut(id) {
            for event in new.iter().filter(|event| event.meaning() == Meaning::Access) {
                access.learn(&event.kind, &event.content);
            }
        }
        self.hear(id, new.iter(), &page.names);
    }

    async fn page_back(&mut self) -> Result<(), ConnectorError> {
        let Some((id, behind)) = self.position.behind() else { return Ok(()) };
        let id = id.to_owned();
        let answer = self.api.messages(&id, &behind.from, behind.to.as_deref()).await?;
        let Some(room) = self.position.rooms.get_mut(&id) else { return Ok(()) };
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                self.batch.gaps.extend(room.give_up(&format!("{id}: the history is refused ({})", refusal.code)));
                return Ok(());
            }
        };
        let page = self.page(&id, answer.get("chunk"), answer.get("state"));
        let Some(room) = self.position.rooms.get_mut(&id) else { return Ok(()) };
        let (new, gap) = room.page_back(&page.events, answer.get("end").and_then(Value::as_str), &id);
        self.batch.gaps.extend(gap);
        let new = page.events.get(..new).unwrap_or_default();
        self.hear(&id, new.iter().rev(), &page.names);
        Ok(())
    }

    async fn fetch_changed(&mut self, id: &str) -> Result<(), ConnectorError> {
        for _ in 0..MAX_FETCHED {
            let change = self.position.rooms.get_mut(id).and_then(|room| room.changed.pop_front());
            let Some(change) = change else { break };
            let message = self.fetch(id, &change).await?;
            self.batch.messages.extend(message);
        }
        Ok(())
    }

    /// A message as it is now; `None` where it is none that we could read.
    async fn fetch(&mut self, id: &str, change: &Change) -> Result<Option<Message>, ConnectorError> {
        let answer = match self.api.event(id, &change.event).await? {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_hidden() => return self.fetch_hidden(id, change).await,
            Err(refusal) => return Err(refusal.into()),
        };
        let Some((event, names)) = self.context(id, &answer) else { return Ok(None) };
        let reading = self.reading(id, &names);
        if let Some(version) = event.redacted_at() {
            let was_message = matches!(event.kind.as_str(), "m.room.message" | "m.sticker");
            return Ok(was_message.then(|| reading.tombstone(&event.id, event.at(), version)));
        }
        if event.meaning() != Meaning::Message {
            return Ok(None);
        }
        match reading.message(&event, event.edit().as_ref()) {
            Ok(mut message) => {
                message.version = message.version.max(self.position.reverted(&event.id));
                message.engagement.likes = self.api.reactions(id, &event.id).await?;
                Ok(Some(message))
            }
            Err(reason) => {
                self.batch.poison.push(event.poison(id, reason));
                Ok(None)
            }
        }
    }

    /// What is known of a changed message that is not for us to see, as it was said before we came.
    async fn fetch_hidden(&mut self, id: &str, change: &Change) -> Result<Option<Message>, ConnectorError> {
        if let Some(version) = change.redacted {
            let published_at = i64::try_from(version).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
            let nobody = HashMap::new();
            let reading = self.reading(id, &nobody);
            return Ok(Some(reading.tombstone(&change.event, published_at.unwrap_or(self.now), version)));
        }
        let Some(edit) = &change.edit else { return Ok(None) };
        let Ok(answer) = self.api.event(id, edit).await? else { return Ok(None) };
        let Some((edit, names)) = self.context(id, &answer) else { return Ok(None) };
        match self.reading(id, &names).edit_alone(&edit) {
            Ok(message) => Ok(message),
            Err(reason) => {
                self.batch.poison.push(edit.poison(id, reason));
                Ok(None)
            }
        }
    }

    /// Turns events into messages, gaps and notes of what has changed.
    fn hear<'e>(&mut self, id: &str, events: impl Iterator<Item = &'e Event>, names: &HashMap<String, String>) {
        for event in events {
            match event.meaning() {
                Meaning::Message => match self.reading(id, names).message(event, None) {
                    Ok(message) => {
                        self.batch.messages.push(message);
                        self.position.note(id, event);
                    }
                    Err(reason) => self.batch.poison.push(event.poison(id, reason)),
                },
                Meaning::Encrypted => {
                    let room = self.position.rooms.get_mut(id);
                    self.batch.gaps.extend(room.and_then(|room| room.encrypted(event, id, self.now)));
                }
                _ => self.position.note(id, event),
            }
        }
    }

    fn reading<'r>(&'r self, id: &'r str, names: &'r HashMap<String, String>) -> Reading<'r> {
        Reading {
            source: self.source,
            room: id,
            public: self.joined.access.get(id).is_some_and(super::api::Access::is_public),
            own: &self.joined.own,
            names,
            observed_at: self.now,
        }
    }

    fn page(&mut self, id: &str, events: Option<&Value>, state: Option<&Value>) -> Page {
        let values = events.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut page = Page { events: Vec::with_capacity(values.len()), names: names(state) };
        for value in values {
            match Event::read(value, id) {
                Ok(event) => page.events.push(event),
                Err(poison) => self.batch.poison.push(poison),
            }
        }
        page
    }

    /// The event in an answer of `/context`.
    fn context(&mut self, id: &str, answer: &Value) -> Option<(Event, HashMap<String, String>)> {
        match Event::read(answer.get("event").unwrap_or(&Value::Null), id) {
            Ok(event) => Some((event, names(answer.get("state")))),
            Err(poison) => {
                self.batch.poison.push(poison);
                None
            }
        }
    }
}

/// Display names out of events of type `m.room.member`.
fn names(state: Option<&Value>) -> HashMap<String, String> {
    let members = state.and_then(Value::as_array).into_iter().flatten();
    let name = |member: &Value| {
        let user = member.get("state_key")?.as_str()?;
        let name = member.pointer("/content/displayname")?.as_str()?;
        Some((user.to_owned(), name.to_owned()))
    };
    members
        .filter(|event| event.get("type").and_then(Value::as_str) == Some("m.room.member"))
        .filter_map(name)
        .collect()
}

impl Refusal {
    /// True for the refusal of a token of `/sync` that comes from another life of the server.
    fn is_unknown_token(&self) -> bool {
        matches!(self.code.as_str(), "M_UNKNOWN" | "M_INVALID_PARAM" | "M_UNKNOWN_POS")
    }
}
