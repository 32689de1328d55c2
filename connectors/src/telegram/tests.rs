//! The position against a queue in memory, and the parser against anything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::entities::{Entity, Marked};
use super::parse::{Heard, Reading, item};
use super::position::Position;
use crate::contract::Cursor;
use crate::testing::BotQueue;

/// What may happen to a bot.
#[derive(Debug, Clone)]
enum Event {
    Publish(u8),
    Poll,
    /// Back to the position before so many polls.
    Restart(usize),
    Hours(u8),
    /// After a quiet week, Telegram numbers from somewhere else on.
    QuietWeek(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..5_u8).prop_map(Event::Publish),
        4 => Just(Event::Poll),
        1 => (0..3_usize).prop_map(Event::Restart),
        1 => (1..40_u8).prop_map(Event::Hours),
        1 => (1..5000_i64).prop_map(Event::QuietWeek),
    ];
    vec(event, 0..30)
}

/// A bot with its listener.
struct World {
    now: Timestamp,
    queue: BotQueue,
    position: Position,
    saved: Vec<Position>,
    /// How often each update was heard, by its words.
    heard: BTreeMap<u64, u32>,
    gap_until: Option<Timestamp>,
}

impl World {
    fn pass(&mut self, hours: i64) {
        self.now += SignedDuration::from_hours(hours);
    }

    fn poll(&mut self) {
        self.now += SignedDuration::from_secs(1);
        let updates = self.queue.get(self.position.offset(self.now), 3, self.now);
        if let Some((_, until)) = self.position.expired(self.now) {
            self.gap_until = Some(until);
        }
        for update in &updates {
            *self.heard.entry(update["words"].as_u64().unwrap()).or_default() += 1;
        }
        let ids: Vec<i64> = updates.iter().map(|update| update["update_id"].as_i64().unwrap()).collect();
        if self.position.advance(&ids, ids.len() < 3, self.now) {
            let cursor = Cursor::of(&self.position).unwrap();
            self.saved.push(Position::read(Some(&cursor)).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn every_update_is_heard_or_its_loss_admitted(events in events()) {
        let start: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        let mut world = World {
            now: start,
            queue: BotQueue::default(),
            position: Position::read(None).unwrap(),
            saved: Vec::new(),
            heard: BTreeMap::new(),
            gap_until: None,
        };
        world.poll();
        let mut published: Vec<Timestamp> = Vec::new();
        let mut restarted = false;
        for event in events {
            match event {
                Event::Publish(count) => for _ in 0..count {
                    world.queue.publish(json!({"words": published.len()}), world.now);
                    published.push(world.now);
                },
                Event::Poll => world.poll(),
                Event::Restart(back) => {
                    restarted |= back > 0;
                    world.saved.truncate(world.saved.len().saturating_sub(back).max(1));
                    world.position = world.saved.last().unwrap().clone();
                }
                Event::Hours(hours) => world.pass(hours.into()),
                Event::QuietWeek(next) => {
                    // Nothing may be waiting, or the week would not be quiet.
                    while !world.queue.is_empty() {
                        world.poll();
                    }
                    world.pass(8 * 24);
                    world.queue.next = next;
                }
            }
        }
        while !world.queue.is_empty() {
            world.poll();
        }
        for (number, at) in published.into_iter().enumerate() {
            let times = world.heard.get(&(number as u64)).copied().unwrap_or(0);
            prop_assert!(times > 0 || world.gap_until.is_some_and(|until| at < until), "update {number} is lost");
            prop_assert!(times <= 1 || restarted, "update {number} was heard {times} times");
        }
    }

    #[test]
    fn updates_of_any_shape_are_read_without_panic(
        text in "\\PC{0,20}", offset in 0..30_usize, length in any::<usize>(), date in any::<i64>(), id in any::<i64>(),
    ) {
        let entity = json!({"type": "mention", "offset": offset, "length": length});
        let update = json!({"update_id": id, "edited_message": {
            "message_id": id, "date": date, "edit_date": date, "chat": {"id": id, "type": text},
            "from": {"id": id, "username": text}, "text": text, "entities": [entity],
        }});
        let reading = Reading { source: "test", bot: "1", observed_at: Timestamp::now() };
        if let Heard::Post(post) = item(&update).unwrap().heard.unwrap() {
            let _ = post.message(&reading);
        }
    }

    #[test]
    fn an_entity_is_found_behind_characters_of_any_width(before in "\\PC{0,20}", name in "[a-z]{5,8}") {
        let text = format!("{before}@{name} etc.");
        let entity = json!({"type": "mention", "offset": before.encode_utf16().count(), "length": name.len() + 1});
        let entities: Vec<Entity> = serde_json::from_value(json!([entity])).unwrap();
        prop_assert_eq!(Marked::read(&text, &entities).mentioned, [name]);
    }
}

#[test]
fn a_position_in_the_cursor_is_refreshed_now_and_then() {
    let start: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let mut position = Position::read(None).unwrap();
    assert!(position.advance(&[], true, start));
    assert!(!position.advance(&[], true, start + SignedDuration::from_secs(60)));
    assert!(position.advance(&[], true, start + SignedDuration::from_secs(700)));
}

#[test]
fn the_golden_cursor_is_read_and_written() {
    let golden: Value = serde_json::from_str(include_str!("fixtures/cursor_v1.json")).unwrap();
    let position = Position::read(Some(&Cursor(golden.clone()))).unwrap();
    assert_eq!(Cursor::of(&position).unwrap().0, golden);
    assert!(Position::read(Some(&Cursor(json!({"version": 2})))).is_err());
}
