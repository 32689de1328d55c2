//! Timelines against a server in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::parse::{Reading, item};
use super::settings::{Recheck, Settings, Timeline};
use super::timeline::{Place, Position, Range, Server, Sweep, Swept, order};
use crate::contract::{ConnectorError, Cursor, GapReason};
use crate::message::Message;
use crate::testing::MastodonTimeline;

/// A server with one timeline.
#[derive(Default)]
struct Memory {
    timeline: RefCell<MastodonTimeline>,
    /// Requests for single statuses fail.
    refuses: bool,
}

impl Server for Memory {
    async fn page(&self, _: &Timeline, range: Range<'_>, limit: usize) -> Result<Vec<Value>, ConnectorError> {
        Ok(self.timeline.borrow().page(range.min_id, range.max_id, limit))
    }

    async fn status(&self, id: &str) -> Result<Option<Value>, ConnectorError> {
        if self.refuses {
            return Err(ConnectorError::remote("no"));
        }
        Ok(self.timeline.borrow().get(id.parse().unwrap()).cloned())
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

const RECHECK: Recheck = Recheck { every: std::time::Duration::from_secs(1), statuses: 800, hours: 24 };

async fn sweep_with(memory: &Memory, place: Option<&Place>, again: bool, backfill: usize, recheck: Recheck) -> Swept {
    let timeline = Timeline::Public;
    let reading = Reading { source: "test", domain: Some("social.example"), own: &[], observed_at: now() };
    let sweep = Sweep { server: memory, timeline: &timeline, reading, backfill, recheck };
    sweep.run(place, again).await.unwrap()
}

/// From the start of the timeline, or on from a place.
async fn sweep(memory: &Memory, place: &Place, again: bool) -> Swept {
    sweep_with(memory, Some(place), again, 40, RECHECK).await
}

fn ids(swept: &Swept) -> Vec<u64> {
    swept.batch.messages.iter().map(id).collect()
}

fn id(message: &Message) -> u64 {
    message.native_id.rsplit('/').next().unwrap().parse().unwrap()
}

/// What may happen between two polls.
#[derive(Debug, Clone)]
enum Event {
    Post(u8),
    /// A status reaches the server late: its id is among older ones.
    Late(u16),
    Edit(u16),
    Like(u16),
    Delete(u16),
    Poll,
    Recheck,
    Restart(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..30_u8).prop_map(Event::Post),
        2 => any::<u16>().prop_map(Event::Late),
        1 => any::<u16>().prop_map(Event::Edit),
        1 => any::<u16>().prop_map(Event::Like),
        1 => any::<u16>().prop_map(Event::Delete),
        3 => Just(Event::Poll),
        1 => Just(Event::Recheck),
        1 => (0..4_usize).prop_map(Event::Restart),
    ];
    vec(event, 0..24)
}

/// What a listener has heard: the way to each status's last state.
#[derive(Clone, Default)]
struct Listener {
    place: Place,
    heard: BTreeMap<u64, Vec<(u64, Option<u64>, bool)>>,
}

impl Listener {
    async fn listen(&mut self, memory: &Memory, again: bool) {
        let swept = sweep(memory, &self.place, again).await;
        for message in &swept.batch.messages {
            let state = (message.version, message.engagement.likes, message.deleted);
            self.heard.entry(id(message)).or_default().push(state);
        }
        self.place = swept.place;
    }
}

fn pick(memory: &Memory, number: u16) -> Option<u64> {
    let ids = memory.timeline.borrow().ids();
    (!ids.is_empty()).then(|| ids[usize::from(number) % ids.len()])
}

proptest! {
    #[test]
    fn every_status_is_heard_once_for_each_of_its_states(
        knows_min_id in any::<bool>(),
        max_page in 20..=40_usize,
        events in events(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let memory = Memory::default();
        memory.timeline.borrow_mut().max_page = max_page;
        memory.timeline.borrow_mut().knows_min_id = knows_min_id;
        let mut newest = 1_000_000_u64;
        let mut edits = 1_900_000_000_u32;
        // The first poll is on an empty timeline: everything afterwards has to be heard.
        let mut listener = Listener::default();
        runtime.block_on(listener.listen(&memory, false));
        let mut saved = vec![listener.clone()];
        let mut gone = BTreeSet::new();

        for event in events {
            match event {
                Event::Post(count) => for _ in 0..count {
                    newest += 1000;
                    memory.timeline.borrow_mut().publish(newest, "new");
                },
                Event::Late(number) => if let Some(near) = pick(&memory, number) {
                    let free = (1..1000).map(|step| near - step).find(|id| memory.timeline.borrow().get(*id).is_none() && !gone.contains(id));
                    memory.timeline.borrow_mut().publish(free.unwrap(), "late");
                },
                Event::Edit(number) => if let Some(id) = pick(&memory, number) {
                    edits += 1;
                    memory.timeline.borrow_mut().edit(id, "edited", Timestamp::from_second(edits.into()).unwrap());
                },
                Event::Like(number) => if let Some(id) = pick(&memory, number) {
                    memory.timeline.borrow_mut().like(id, number.into());
                },
                Event::Delete(number) => if let Some(id) = pick(&memory, number) {
                    memory.timeline.borrow_mut().delete(id);
                    gone.insert(id);
                },
                Event::Poll => {
                    runtime.block_on(listener.listen(&memory, false));
                    saved.push(listener.clone());
                }
                Event::Recheck => {
                    runtime.block_on(listener.listen(&memory, true));
                    saved.push(listener.clone());
                }
                Event::Restart(back) => {
                    saved.truncate(saved.len().saturating_sub(back).max(1));
                    listener = saved.last().unwrap().clone();
                    let cursor = Cursor::of(&listener.place).unwrap();
                    listener.place = cursor.read().unwrap();
                }
            }
        }
        // Deletions are confirmed a few at a time.
        for _ in 0..=gone.len() / 20 {
            runtime.block_on(listener.listen(&memory, true));
        }

        for id in memory.timeline.borrow().ids() {
            let status = memory.timeline.borrow().get(id).unwrap().clone();
            let edited = status["edited_at"].as_str().map(|time| time.parse::<Timestamp>().unwrap().as_millisecond());
            let last = (edited.unwrap_or(0).unsigned_abs(), status["favourites_count"].as_u64(), false);
            prop_assert_eq!(listener.heard.get(&id).and_then(|states| states.last()), Some(&last), "status {}", id);
        }
        for id in gone {
            let last = listener.heard.get(&id).and_then(|states| states.last());
            prop_assert!(last.is_none_or(|(_, _, deleted)| *deleted), "status {id} is deleted");
        }
        for (id, states) in &listener.heard {
            prop_assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "status {id} is repeated: {states:?}");
        }
    }

    #[test]
    fn pages_of_any_shape_are_read_without_panic(json in "[{}\\[\\]\":,a-z0-9 ]{0,60}", id in "[0-9]{0,30}") {
        if let Ok(value) = serde_json::from_str::<Value>(&json) {
            let _ = item(&value, "test");
        }
        let status = serde_json::json!({
            "id": id, "uri": json, "created_at": "2024-01-01T00:00:00Z", "content": json, "url": json,
            "account": {"acct": json, "url": json, "created_at": json},
            "mentions": [{"acct": json}], "tags": [{"name": json}],
        });
        let item = item(&status, "test").unwrap();
        let reading = Reading { source: "test", domain: None, own: &[], observed_at: now() };
        let _ = item.status.unwrap().message(&reading, None);
    }
}

#[tokio::test]
async fn the_first_poll_takes_the_newest_and_nothing_before_them_comes_later() {
    let memory = Memory::default();
    for id in 1..=100 {
        memory.timeline.borrow_mut().publish(id, "old");
    }
    let swept = sweep_with(&memory, None, false, 60, RECHECK).await;
    assert_eq!(ids(&swept), (41..=100).collect::<Vec<_>>());
    assert!(ids(&sweep(&memory, &swept.place, true).await).is_empty());

    let swept = sweep_with(&memory, None, false, 0, RECHECK).await;
    assert!(ids(&swept).is_empty());
    memory.timeline.borrow_mut().publish(101, "new");
    assert_eq!(ids(&sweep(&memory, &swept.place, true).await), [101]);
}

#[tokio::test]
async fn a_refusal_is_no_deletion() {
    let mut memory = Memory::default();
    memory.timeline.borrow_mut().publish(1, "a");
    memory.timeline.borrow_mut().publish(2, "b");
    let place = sweep(&memory, &Place::default(), false).await.place;
    memory.timeline.borrow_mut().delete(1);
    memory.refuses = true;
    let refused = sweep(&memory, &place, true).await;
    assert!(ids(&refused).is_empty());
    memory.refuses = false;
    let confirmed = sweep(&memory, &refused.place, true).await;
    assert_eq!(ids(&confirmed), [1]);
    assert!(confirmed.batch.messages[0].deleted);
    assert!(ids(&sweep(&memory, &confirmed.place, true).await).is_empty());
}

#[tokio::test]
async fn what_cannot_be_reached_is_a_gap() {
    let memory = Memory::default();
    memory.timeline.borrow_mut().knows_min_id = false;
    memory.timeline.borrow_mut().publish(1, "a");
    let place = sweep(&memory, &Place::default(), false).await.place;
    for id in 2..=1500 {
        memory.timeline.borrow_mut().publish(id, "flood");
    }
    let swept = sweep(&memory, &place, false).await;
    assert_eq!(ids(&swept), (501..=1500).collect::<Vec<_>>());
    assert_eq!(swept.batch.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::PageCeiling]);
    assert!(swept.batch.gaps[0].from <= swept.batch.gaps[0].until);
}

#[tokio::test]
async fn what_is_remembered_stays_within_bounds() {
    let memory = Memory::default();
    let recheck = Recheck { statuses: 30, ..RECHECK };
    let mut place = sweep_with(&memory, None, false, 0, recheck).await.place;
    for id in 1..=500 {
        memory.timeline.borrow_mut().publish(id, "x");
        if id % 50 == 0 {
            place = sweep_with(&memory, Some(&place), false, 0, recheck).await.place;
        }
    }
    assert!(Cursor::of(&place).unwrap().0.to_string().len() < 30 * 200);
    memory.timeline.borrow_mut().like(480, 1);
    memory.timeline.borrow_mut().like(470, 1);
    assert_eq!(ids(&sweep_with(&memory, Some(&place), true, 0, recheck).await), [480], "470 is too long ago");
    let off = Recheck { statuses: 0, ..RECHECK };
    let swept = sweep_with(&memory, Some(&place), true, 0, off).await;
    assert!(ids(&sweep_with(&memory, Some(&swept.place), true, 0, off).await).is_empty());
}

#[test]
fn ids_are_ordered_as_numbers_or_as_strings_of_one_length() {
    assert!(order("99", "100").is_lt());
    assert!(order("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW").is_lt());
}

#[test]
fn the_golden_cursor_is_read_and_written() {
    let golden: Value = serde_json::from_str(include_str!("fixtures/cursor_v1.json")).unwrap();
    let position = Position::read(Some(&Cursor(golden.clone()))).unwrap();
    assert_eq!(position.timelines.len(), 2);
    assert_eq!(Cursor::of(&position).unwrap().0, golden);
    assert!(Position::read(Some(&Cursor(serde_json::json!({"version": 2, "timelines": {}})))).is_err());
}

#[test]
fn settings_are_checked() {
    let error = |text: &str| Settings::new(text.parse().unwrap()).err().unwrap().to_string();
    let errors = [
        "",
        "server = 'a.example'",
        "sever = 'a.example'",
        "server = 'https://a.example/@ann'\ntimelines = ['public']",
        "server = 'a b'\ntimelines = ['public']",
        "server = 'a.example'\ntimelines = ['publik']",
        "server = 'a.example'\ntimelines = ['tag:']",
        "server = 'a.example'\ntimelines = ['tag:#x', 'tag:x']",
        "server = 'a.example'\ntimelines = ['mentions']",
        "server = 'a.example'\ntimelines = ['public']\ntoken = 'abc'",
        "server = 'a.example'\ntimelines = ['public']\npoll = 'often'",
        "server = 'a.example'\ntimelines = ['public']\npoll = '1ms'",
        "server = 'a.example'\ntimelines = ['public']\nbackfill = 100000",
        "server = 'a.example'\ntimelines = ['public']\nrecheck.evry = '1m'",
        "server = 'a.example'\ntimelines = ['public']\nrecheck.every = 'now'",
    ];
    insta::assert_snapshot!(errors.map(error).join("\n"));
}
