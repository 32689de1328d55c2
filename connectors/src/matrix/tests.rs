//! The position against a room in memory, and the parser against anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::event::Event;
use super::parse::Reading;
use super::position::{MAX_PAGES, Position, Room, Timeline};
use super::settings::Settings;
use crate::contract::{Cursor, Gap, GapReason};
use crate::testing::MatrixRoom;

fn events(values: &Value) -> Vec<Event> {
    values.as_array().unwrap().iter().map(|value| Event::read(value, "!r").unwrap()).collect()
}

/// A listener of one room.
#[derive(Clone)]
struct Listener {
    since: Option<String>,
    room: Option<Room>,
    heard: BTreeMap<String, u32>,
    gaps: Vec<Gap>,
}

impl Listener {
    fn new() -> Self {
        Self { since: None, room: None, heard: BTreeMap::new(), gaps: Vec::new() }
    }

    fn hear(&mut self, new: &[Event]) {
        for event in new {
            *self.heard.entry(event.id.clone()).or_default() += 1;
        }
    }

    /// One turn: a page back, or what is new.
    fn turn(&mut self, remote: &MatrixRoom) {
        if let Some(behind) = self.room.as_ref().and_then(|room| room.behind.clone()) {
            let answer = remote.messages(&behind.from, behind.to.as_deref());
            let page = events(&answer["chunk"]);
            let (new, gap) = self.room.as_mut().unwrap().page_back(&page, answer["end"].as_str(), "!r");
            self.gaps.extend(gap);
            self.hear(&page[..new]);
            return;
        }
        let answer = remote.sync(self.since.as_deref());
        let since = self.since.replace(answer["next_batch"].as_str().unwrap().to_owned());
        let timeline = answer.pointer("/rooms/join/!r/timeline").cloned().unwrap_or(json!({"events": []}));
        let page = events(&timeline["events"]);
        let timeline = Timeline {
            events: &page,
            limited: timeline["limited"] == true,
            prev_batch: timeline["prev_batch"].as_str(),
            since: since.as_deref(),
        };
        match &mut self.room {
            Some(room) => {
                let new = room.advance(&timeline);
                self.hear(new);
            }
            None => {
                let mut room = Room::new(Timestamp::UNIX_EPOCH);
                room.remember(&page);
                self.room = Some(room);
                self.hear(&page);
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.behind.is_some())
    }

    fn settle(&mut self, remote: &MatrixRoom) {
        while self.is_behind() {
            self.turn(remote);
        }
        self.turn(remote);
        while self.is_behind() {
            self.turn(remote);
        }
    }
}

#[derive(Debug, Clone)]
enum Action {
    Say(u8),
    Turn,
    /// Back to the position some turns ago.
    Restart(usize),
    /// The server forgets its tokens.
    Expire,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (1..8_u8).prop_map(Action::Say),
        5 => Just(Action::Turn),
        1 => (0..4_usize).prop_map(Action::Restart),
        1 => Just(Action::Expire),
    ];
    vec(action, 0..30)
}

proptest! {
    #[test]
    fn every_event_is_heard_once(knows_to in any::<bool>(), limit in 5..10_usize, actions in actions()) {
        let mut remote = MatrixRoom::new("!r");
        (remote.limit, remote.knows_to) = (limit, knows_to);
        let mut listener = Listener::new();
        listener.turn(&remote);
        let mut saved = vec![listener.clone()];
        for action in actions {
            match action {
                Action::Say(count) => for _ in 0..count {
                    remote.say("x");
                },
                Action::Turn => {
                    listener.turn(&remote);
                    saved.push(listener.clone());
                }
                Action::Restart(back) => {
                    saved.truncate(saved.len().saturating_sub(back).max(1));
                    listener = saved.last().unwrap().clone();
                    let cursor = Cursor::of(&listener.room).unwrap();
                    listener.room = cursor.read().unwrap();
                }
                // Known only when it is used, which is when there is nothing to page back.
                Action::Expire => if !listener.is_behind() {
                    listener.since = None;
                },
            }
        }
        listener.settle(&remote);
        prop_assert_eq!(listener.gaps, []);
        prop_assert_eq!(listener.heard.len(), remote.len());
        prop_assert!(listener.heard.values().all(|times| *times == 1), "{:?}", listener.heard);
    }

    #[test]
    fn events_of_any_shape_are_read_without_panic(
        json in "[{}\\[\\]\":,a-z0-9 ]{0,60}", text in "\\PC{0,30}", html in "[<>/a-z&;-]{0,40}", at in any::<i64>(),
    ) {
        if let Ok(value) = serde_json::from_str::<Value>(&json) {
            let _ = Event::read(&value, "!r");
        }
        let formatted = format!("<mx-reply>{html}</mx-reply>{html}");
        let value = json!({
            "event_id": text, "type": "m.room.message", "sender": text, "origin_server_ts": at,
            "content": {
                "msgtype": text, "body": format!("> <@{text}"), "format": "org.matrix.custom.html",
                "formatted_body": formatted, "m.relates_to": {"m.in_reply_to": {"event_id": text}},
                "m.mentions": {"user_ids": [text, 7]},
            },
        });
        let event = Event::read(&value, "!r").unwrap();
        let names = HashMap::new();
        let reading =
            Reading { source: "test", room: "!r", public: true, own: "", names: &names, observed_at: Timestamp::now() };
        reading.message(&event, Some(&event)).unwrap();
    }
}

#[test]
fn a_room_that_is_too_far_behind_has_a_gap() {
    let mut remote = MatrixRoom::new("!r");
    remote.limit = 2;
    remote.say("first");
    let mut listener = Listener::new();
    listener.settle(&remote);
    for _ in 0..1000 {
        remote.say("flood");
    }
    listener.settle(&remote);
    let heard = 1 + 2 + 2 * MAX_PAGES as usize;
    assert_eq!(listener.heard.len(), heard);
    let [gap] = listener.gaps.as_slice() else { panic!("one gap, not {:?}", listener.gaps) };
    assert_eq!(gap.reason, GapReason::PageCeiling);
    // One event a minute was said.
    let missed = (1001 - heard) as u64;
    assert!(gap.estimate.unwrap().abs_diff(missed) < 20, "{missed} were missed: {gap:?}");
    assert_eq!(gap.until.duration_since(gap.from).as_mins().unsigned_abs(), missed + 1);

    remote.say("on it goes");
    listener.settle(&remote);
    assert_eq!((listener.heard.len(), listener.gaps.len()), (heard + 1, 1));
}

#[test]
fn edits_and_reactions_that_are_remembered_stay_within_bounds() {
    let mut position = Position::read(None).unwrap();
    position.rooms.insert("!r".to_owned(), Room::new(Timestamp::UNIX_EPOCH));
    let mut remote = MatrixRoom::new("!r");
    let first = remote.say("x");
    let edits: Vec<String> = (0..2000).map(|_| remote.edit(&first, "y")).collect();
    remote.redact(&edits[0]);
    remote.redact(&edits[1999]);
    let all = remote.messages("s2003", None);
    assert!(all["chunk"].as_array().unwrap().len() <= 100);
    remote.limit = 5000;
    // As it came, before the redactions.
    for mut value in remote.sync(None).pointer("/rooms/join/!r/timeline/events").unwrap().as_array().unwrap().clone() {
        if value["content"] == json!({}) {
            value["content"] = json!({"m.relates_to": {"rel_type": "m.replace", "event_id": first}});
            value["unsigned"] = json!({});
        }
        position.note("!r", &Event::read(&value, "!r").unwrap());
    }
    assert!(Cursor::of(&position).unwrap().0.to_string().len() < 500 * 200);
    assert!(position.reverted(&first) > 0, "the last edit was taken back");
    let changed: Vec<&str> = position.rooms["!r"].changed.iter().map(|change| change.event.as_str()).collect();
    assert_eq!(changed, [&first, &edits[0]], "the first edit is forgotten");
}

#[test]
fn the_golden_cursor_is_read_and_written() {
    let golden: Value = serde_json::from_str(include_str!("fixtures/cursor_v1.json")).unwrap();
    let position = Position::read(Some(&Cursor(golden.clone()))).unwrap();
    assert_eq!(position.rooms.len(), 2);
    assert_eq!(Cursor::of(&position).unwrap().0, golden);
    assert!(Position::read(Some(&Cursor(json!({"version": 2, "rooms": {}})))).is_err());
}

#[test]
fn settings_are_checked() {
    let error = |text: &str| Settings::new(text.parse().unwrap()).err().map_or_else(String::new, |e| e.to_string());
    let secret = "/dev/null";
    let errors = [
        String::new(),
        "server = 'a.example'".to_owned(),
        "sever = 'a.example'".to_owned(),
        "server = 'a.example'\nrooms = ['acme']".to_owned(),
        "server = 'a.example'\nrooms = ['#acme']".to_owned(),
        "server = 'a.example'\nrooms = ['#acme:a.example', '#acme:a.example']".to_owned(),
        "server = 'a.example'\nrooms = ['#acme:a.example']".to_owned(),
        "server = 'a.example'\nrooms = ['#acme:a.example']\nuser = 'ann'".to_owned(),
        "server = 'a.example'\nrooms = ['#acme:a.example']\ntoken = 's3cret'".to_owned(),
        format!("server = 'a.example'\nrooms = ['!x']\ntoken = 'file:{secret}'"),
    ];
    insta::assert_snapshot!(errors.map(|text| error(&text)).join("\n"));
}
