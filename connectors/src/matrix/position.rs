//! The position in all rooms of a source; pure.
//!
//! `/sync` brings what is new since a token, but at most so many events of a room: of a room where
//! more was said it gives the newest, and a token from which to page back. What is left to page back,
//! and which messages have changed and are to be fetched again, is part of the position, so that a
//! crash in between loses none of it.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, Meaning};
use crate::contract::{BuildError, Cursor, Gap, GapReason};

/// Pages of [`PAGE`](super::api::PAGE) events that a room is paged back.
pub(super) const MAX_PAGES: u32 = 50;
/// Edits and reactions that are remembered, in case they are taken back.
const MAX_RELATIONS: usize = 500;
/// So many changed messages are fetched before more is read.
const MAX_CHANGES: usize = 1000;

const VERSION: u32 = 1;

/// The JSON of this is the cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    version: u32,
    /// The token for the next `/sync`; `None` starts with the newest events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    /// By room id.
    pub(super) rooms: BTreeMap<String, Room>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    relations: VecDeque<Relation>,
}

/// What is known of a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Room {
    /// The newest event that was heard; `None` where nothing was said yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// When it was sent, or when listening began.
    last_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) behind: Option<Behind>,
    /// Messages to be fetched again, in the order of their changes.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) changed: VecDeque<Change>,
    /// It has been said that the room cannot be read.
    #[serde(default, skip_serializing_if = "is_false")]
    encrypted: bool,
}

/// A part of a room that is to be paged back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Behind {
    /// The token of the next page.
    pub(super) from: String,
    /// The token to stop at; not every server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// The event to stop at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// When that was sent, or when listening began.
    until_at: Timestamp,
    /// When the newest event of this part was sent.
    newest_at: Timestamp,
    pages: u32,
    events: u64,
}

/// A message that is another one now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) event: String,
    /// The edit that changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) edit: Option<String>,
    /// When it was taken back, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redacted: Option<u64>,
}

/// An edit or a reaction, which can be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Relation {
    event: String,
    target: String,
    /// When an edit was taken back, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redacted: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    is_edit: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Position {
    pub(super) fn read(cursor: Option<&Cursor>) -> Result<Self, BuildError> {
        let first = || Ok(Self { version: VERSION, ..Self::default() });
        cursor.map_or_else(first, |cursor| cursor.read_version(VERSION))
    }

    /// A room that is to be paged back now.
    pub(super) fn behind(&self) -> Option<(&str, &Behind)> {
        let changes: usize = self.rooms.values().map(|room| room.changed.len()).sum();
        if changes >= MAX_CHANGES {
            return None;
        }
        self.rooms.iter().find_map(|(id, room)| Some((id.as_str(), room.behind.as_ref()?)))
    }

    /// A room with messages that are to be fetched again. That comes last, so that what was fetched is
    /// not heard a second time as it was before.
    pub(super) fn changed(&self) -> Option<&str> {
        self.rooms.iter().find(|(_, room)| !room.changed.is_empty()).map(|(id, _)| id.as_str())
    }

    /// Takes note of what an event of a room changes.
    pub(super) fn note(&mut self, room: &str, event: &Event) {
        let Some(room) = self.rooms.get_mut(room) else { return };
        match event.meaning() {
            Meaning::Edit(target) => {
                remember_relation(&mut self.relations, event, target, true);
                room.change(target, Some(&event.id), None);
            }
            Meaning::Reaction(target) => {
                remember_relation(&mut self.relations, event, target, false);
                room.change(target, None, None);
            }
            // The first message of a thread does not know that it is one.
            Meaning::Message => {
                if let Some(root) = event.thread_root() {
                    room.change(root, None, None);
                }
            }
            Meaning::Redaction(target) => {
                let version = event.version();
                match self.relations.iter_mut().find(|relation| relation.event == target) {
                    Some(relation) => {
                        relation.redacted = relation.is_edit.then_some(version);
                        room.change(&relation.target, None, None);
                    }
                    None => room.change(target, None, Some(version)),
                }
            }
            _ => {}
        }
    }

    /// The version of a message whose edits were taken back; 0 where there is none.
    pub(super) fn reverted(&self, event: &str) -> u64 {
        let of_event = self.relations.iter().filter(|relation| relation.target == event);
        of_event.filter_map(|relation| relation.redacted).max().unwrap_or(0)
    }

    /// True when nothing is left but to wait for news.
    pub(super) fn is_settled(&self) -> bool {
        self.behind().is_none() && self.changed().is_none()
    }
}

/// A room's part of an answer of `/sync`, oldest first.
pub(super) struct Timeline<'a> {
    pub(super) events: &'a [Event],
    /// There are more events between the last answer and these.
    pub(super) limited: bool,
    /// The token from which to page back.
    pub(super) prev_batch: Option<&'a str>,
    /// The token that this answer follows.
    pub(super) since: Option<&'a str>,
}

impl Room {
    /// A room that is listened to from now on.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { last: None, last_at: now, behind: None, changed: VecDeque::new(), encrypted: false }
    }

    /// Moves on over a timeline; returns the events that are new.
    pub(super) fn advance<'a>(&mut self, timeline: &Timeline<'a>) -> &'a [Event] {
        let known = timeline.events.iter().rposition(|event| Some(&event.id) == self.last.as_ref());
        let new = timeline.events.get(known.map_or(0, |known| known + 1)..).unwrap_or_default();
        let follows = known.is_some() || (!timeline.limited && timeline.since.is_some());
        if let (false, Some(from)) = (follows, timeline.prev_batch) {
            self.behind = Some(Behind {
                from: from.to_owned(),
                to: timeline.since.map(str::to_owned),
                until: self.last.clone(),
                until_at: self.last_at,
                newest_at: new.first().map_or(self.last_at, Event::at),
                pages: 0,
                events: 0,
            });
        }
        self.remember(new);
        new
    }

    /// Starts after these events, which are the newest.
    pub(super) fn remember(&mut self, events: &[Event]) {
        if let Some(last) = events.last() {
            self.last = Some(last.id.clone());
            self.last_at = last.at();
        }
    }

    /// Moves back over a page, newest first; returns how many of its events are new. `next` is the
    /// token of the next page. The gap is what lies beyond the last page.
    pub(super) fn page_back(&mut self, page: &[Event], next: Option<&str>, room: &str) -> (usize, Option<Gap>) {
        let Some(mut behind) = self.behind.take() else { return (0, None) };
        let is_known = |event: &Event| match &behind.until {
            Some(until) => event.id == *until,
            None => event.at() < behind.until_at,
        };
        let end = page.iter().position(is_known);
        let new = end.unwrap_or(page.len());
        let next = next.filter(|next| end.is_none() && **next != *behind.from);
        let Some(next) = next else { return (new, None) };
        behind.pages += 1;
        behind.events += new as u64;
        next.clone_into(&mut behind.from);
        let gap = (behind.pages >= MAX_PAGES).then(|| behind.ceiling(page.last(), room));
        if gap.is_none() {
            self.behind = Some(behind);
        }
        (new, gap)
    }

    /// Stops paging back, because the server refuses to.
    pub(super) fn give_up(&mut self, detail: &str) -> Option<Gap> {
        let behind = self.behind.take()?;
        Some(Gap {
            from: behind.until_at.min(behind.newest_at),
            until: behind.newest_at,
            reason: GapReason::CursorExpired,
            estimate: None,
            detail: detail.to_owned(),
        })
    }

    /// The gap to admit for an encrypted event, once for a room.
    pub(super) fn encrypted(&mut self, event: &Event, room: &str, now: Timestamp) -> Option<Gap> {
        if std::mem::replace(&mut self.encrypted, true) {
            return None;
        }
        Some(Gap {
            from: event.at().min(now),
            until: now,
            reason: GapReason::NotListening,
            estimate: None,
            detail: format!("{room}: the room is encrypted: what is said there cannot be read, now and later"),
        })
    }

    fn change(&mut self, event: &str, edit: Option<&str>, redacted: Option<u64>) {
        let edit = edit.map(str::to_owned);
        match self.changed.iter_mut().find(|change| change.event == event) {
            Some(change) => {
                change.edit = edit.or(change.edit.take());
                change.redacted = redacted.or(change.redacted);
            }
            None => self.changed.push_back(Change { event: event.to_owned(), edit, redacted }),
        }
    }
}

fn remember_relation(relations: &mut VecDeque<Relation>, event: &Event, target: &str, is_edit: bool) {
    if relations.iter().any(|relation| relation.event == event.id) {
        return;
    }
    if relations.len() >= MAX_RELATIONS {
        relations.pop_front();
    }
    relations.push_back(Relation { event: event.id.clone(), target: target.to_owned(), redacted: None, is_edit });
}

impl Behind {
    /// The gap between what was known and the oldest event that was paged back to. Its size is
    /// estimated from how much was said after it.
    fn ceiling(&self, oldest: Option<&Event>, room: &str) -> Gap {
        let until = oldest.map_or(self.newest_at, Event::at);
        let from = self.until_at.min(until);
        let heard_s = self.newest_at.duration_since(until).as_secs_f64();
        let missed_s = until.duration_since(from).as_secs_f64();
        let estimate = (heard_s > 0.0).then(|| (self.events as f64 / heard_s * missed_s) as u64);
        Gap {
            from,
            until,
            reason: GapReason::PageCeiling,
            estimate,
            detail: format!("{room}: more was said than {MAX_PAGES} pages of history"),
        }
    }
}
