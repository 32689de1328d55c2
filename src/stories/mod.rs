//! Stories: messages that say nearly the same are one story, named after the earliest of them.
//!
//! A task reads fingerprints from the store, and writes the story of each message that is new or has changed. It can be
//! stopped at any moment and run twice: what it finds depends on what is stored alone.

mod cluster;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::score::Fingerprint;
use crate::store::rows::StoryRow;
use crate::store::{Store, StoreError};
use crate::supervise::TaskError;
use cluster::{Told, stories};

/// The latest so many mentions are looked at; the stories of older ones stay as they are. Bounds memory to 70 MB.
const MOST: usize = 200_000;
/// Shortest pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// A pause is so many times as long as the look before it, so that stories take 5 % of a core at most.
const SHARE: u32 = 20;

/// A message in the store, with the story that it has so far.
#[derive(Debug, Row, Deserialize)]
struct Stored {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    published_at: i64,
    fingerprint: Vec<u16>,
    #[serde(with = "clickhouse::serde::uuid")]
    story: Uuid,
    /// How many brands it speaks of.
    mentions: u64,
}

/// Looks for stories whenever something was stored, until told to stop.
pub async fn run(store: Store, stop: CancellationToken) -> Result<(), TaskError> {
    let mut seen = None;
    loop {
        let started = Instant::now();
        let latest = latest(&store).await.map_err(TaskError::retry)?;
        if seen != Some(latest) {
            find(&store).await.map_err(TaskError::retry)?;
            seen = Some(latest);
        }
        let pause = PAUSE.max(started.elapsed() * SHARE);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(());
        }
    }
}

/// When something was stored last, Unix milliseconds.
async fn latest(store: &Store) -> Result<i64, StoreError> {
    let sql = "SELECT toUnixTimestamp64Milli(max(stored_at)) FROM mention_revisions";
    store.fetch_one("looking for new mentions", store.query(sql)).await
}

/// Finds the stories of the latest messages, and writes what differs from what is stored.
///
/// # Errors
/// The store cannot be read or written.
pub async fn find(store: &Store) -> Result<(), StoreError> {
    let sql = "SELECT message_id AS id, toUnixTimestamp64Milli(min(published_at)) AS published_at, \
                   any(fingerprint) AS fingerprint, any(story) AS story, count() AS mentions \
               FROM (SELECT message_id, published_at, fingerprint FROM mentions \
                     WHERE notEmpty(fingerprint) AND noise = 'none' \
                     ORDER BY published_at DESC, message_id, brand LIMIT ?) AS latest \
               LEFT JOIN story_messages ON latest.message_id = story_messages.message_id \
               GROUP BY id ORDER BY id";
    let stored: Vec<Stored> = store.fetch("reading fingerprints", store.query(sql).bind(MOST)).await?;
    let found_at = Timestamp::now().as_millisecond();
    let changed = tokio::task::spawn_blocking(move || changed(&stored)).await;
    // A panic goes on here; the supervisor tells of it.
    let changed = changed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let row = |(message_id, story)| StoryRow { message_id, story, found_at };
    store.insert_stories(&changed.into_iter().map(row).collect::<Vec<_>>()).await
}

/// The messages whose story is not the one that is stored; nil for those that have none.
fn changed(stored: &[Stored]) -> Vec<(Uuid, Uuid)> {
    let told = stored.iter().filter_map(|message| {
        let fingerprint = Fingerprint(message.fingerprint.as_slice().try_into().ok()?);
        Some(Told { fingerprint, published_at: message.published_at, id: message.id })
    });
    let mut found: HashMap<Uuid, Uuid> = stories(told.collect()).into_iter().collect();
    let mentions: u64 = stored.iter().map(|message| message.mentions).sum();
    if mentions >= MOST as u64 {
        keep_older_names(stored, &mut found);
    }
    let story = |message: &Stored| found.get(&message.id).copied().unwrap_or_default();
    stored
        .iter()
        .map(|message| (message, story(message)))
        .filter(|(message, story)| message.story != *story)
        .map(|(message, story)| (message.id, story))
        .collect()
}

/// A story that began before the messages that are looked at keeps its name, and its messages their story.
fn keep_older_names(stored: &[Stored], found: &mut HashMap<Uuid, Uuid>) {
    let looked_at: HashSet<Uuid> = stored.iter().map(|message| message.id).collect();
    let mut older: HashMap<Uuid, Uuid> = HashMap::new();
    for message in stored.iter().filter(|message| !message.story.is_nil() && !looked_at.contains(&message.story)) {
        let name = found.get(&message.id).copied().unwrap_or(message.id);
        found.insert(message.id, name);
        older.entry(name).and_modify(|known| *known = (*known).min(message.story)).or_insert(message.story);
    }
    for name in found.values_mut() {
        if let Some(known) = older.get(name) {
            *name = *known;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_the_latest_messages_keeps_its_name() {
        let id = |number: u128| Uuid::from_u128(number);
        let stored = |number, story| Stored {
            id: id(number),
            published_at: 0,
            fingerprint: Vec::new(),
            story: id(story),
            mentions: 1,
        };
        // Message 1 and 2 are no longer looked at; 5 was of the story of 1, and 6 is new and like 5.
        let stored = [stored(5, 1), stored(6, 0), stored(7, 0), stored(8, 7), stored(9, 2)];
        let mut found = HashMap::from([(id(5), id(5)), (id(6), id(5)), (id(7), id(7)), (id(8), id(7))]);
        keep_older_names(&stored, &mut found);
        let kept = [(5, 1), (6, 1), (7, 7), (8, 7), (9, 2)];
        assert_eq!(found, kept.into_iter().map(|(message, story)| (id(message), id(story))).collect());
    }
}
