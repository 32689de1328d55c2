//! The coverage ledger: what every source did, and what it missed.
//!
//! `ingest` writes events to the topic `hearken.ledger` beside the messages; [`run`] brings them,
//! and the dead letters, into ClickHouse, where every chart can show them.

use std::sync::Arc;
use std::time::Duration;

use hearken_connectors::{Gap, Poison};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::eventlog::{Delivered, EventLog, Offsets, Record, Topic};
use crate::store::Store;
use crate::store::rows::{DeadLetterRow, GapRow, PollRow};
use crate::supervise::TaskError;

/// Consumer group that writes the ledger.
pub const GROUP: &str = "hearken.ledger-writer";
/// Topics that it reads.
pub const TOPICS: [Topic; 2] = [Topic::Ledger, Topic::DeadLetter];
/// Records read at once.
const BATCH: usize = 5_000;
/// How long a read waits for records.
const POLL: Duration = Duration::from_millis(500);
/// Name space of gap and dead-letter ids; never changes.
const ID_NAMESPACE: Uuid = Uuid::from_u128(0x9a1c_2f6e_54d3_5b0a_8e71_60c4_d2f9_3b18);

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerEvent {
    /// Name of the source.
    pub source: String,
    /// Its channel.
    pub channel: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It was polled.
    Poll {
        /// When.
        at: Timestamp,
        /// Messages heard.
        messages: u64,
        /// Records that could not be understood.
        poison: u64,
        /// Why the poll failed; empty where it went well.
        error: String,
    },
    /// It missed messages, or may have.
    Gap(Gap),
}

/// A record that could not be processed, as kept in the topic `hearken.deadletter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Source or stage that refused it.
    pub source: String,
    /// When.
    pub at: Timestamp,
    /// Origin, reason and the record itself.
    #[serde(flatten)]
    pub poison: Poison,
}

impl LedgerEvent {
    /// As a record of the topic `hearken.ledger`, keyed by source.
    pub fn record(&self) -> Result<Record, serde_json::Error> {
        Ok(Record { key: self.source.clone().into_bytes(), value: serde_json::to_vec(self)? })
    }
}

impl DeadLetter {
    /// As a record of the topic `hearken.deadletter`, keyed by source.
    pub fn record(&self) -> Result<Record, serde_json::Error> {
        Ok(Record { key: self.source.clone().into_bytes(), value: serde_json::to_vec(self)? })
    }

    /// Stable id: the same bad record, heard again, is the same dead letter.
    fn id(&self) -> Uuid {
        stable_id(&[self.source.as_bytes(), self.poison.origin.as_bytes(), &self.poison.payload])
    }
}

/// Moves ledger events and dead letters into the store until told to stop.
pub async fn run(log: Arc<dyn EventLog>, store: Store, stop: CancellationToken) -> Result<(), TaskError> {
    let mut subscription = log.subscribe(GROUP, &TOPICS).await.map_err(TaskError::retry)?;
    while let Some(polled) = stop.run_until_cancelled(subscription.poll(BATCH, POLL)).await {
        let records = polled.map_err(TaskError::retry)?;
        if records.is_empty() {
            continue;
        }
        write(&store, &records).await?;
        subscription.commit(&Offsets::covering(&records)).await.map_err(TaskError::retry)?;
    }
    Ok(())
}

async fn write(store: &Store, records: &[Delivered]) -> Result<(), TaskError> {
    let events: Vec<LedgerEvent> = decode(records, Topic::Ledger);
    let letters: Vec<DeadLetter> = decode(records, Topic::DeadLetter);
    let polls: Vec<PollRow<'_>> = events.iter().filter_map(poll_row).collect();
    let gaps: Vec<GapRow<'_>> = events.iter().filter_map(gap_row).collect();
    let letters: Vec<DeadLetterRow<'_>> = letters.iter().map(dead_letter_row).collect();
    store.insert_polls(&polls).await.map_err(TaskError::retry)?;
    store.insert_gaps(&gaps).await.map_err(TaskError::retry)?;
    store.insert_dead_letters(&letters).await.map_err(TaskError::retry)
}

/// Reads the records of one topic. Only Hearken writes these topics; a record that it cannot read
/// comes from a newer release, and is passed over with a warning rather than blocking the ledger.
fn decode<T: for<'de> Deserialize<'de>>(records: &[Delivered], topic: Topic) -> Vec<T> {
    let decode_one = |record: &Delivered| {
        serde_json::from_slice(&record.value)
            .inspect_err(|error| {
                let (topic, partition, offset) = (record.topic.name(), record.partition, record.offset);
                tracing::warn!(topic, partition, offset, %error, "passed over a ledger record that cannot be read");
            })
            .ok()
    };
    records.iter().filter(|record| record.topic == topic).filter_map(decode_one).collect()
}

fn poll_row(event: &LedgerEvent) -> Option<PollRow<'_>> {
    let What::Poll { at, messages, poison, error } = &event.what else { return None };
    Some(PollRow {
        source: &event.source,
        channel: &event.channel,
        polled_at: at.as_millisecond(),
        messages: *messages,
        poison: *poison,
        error,
    })
}

fn gap_row(event: &LedgerEvent) -> Option<GapRow<'_>> {
    let What::Gap(gap) = &event.what else { return None };
    let from = gap.from.as_millisecond();
    Some(GapRow {
        id: stable_id(&[event.source.as_bytes(), gap.reason.as_str().as_bytes(), &from.to_be_bytes()]),
        source: &event.source,
        channel: &event.channel,
        reason: gap.reason.as_str(),
        from,
        until: gap.until.as_millisecond(),
        estimate: gap.estimate,
        detail: &gap.detail,
    })
}

fn dead_letter_row(letter: &DeadLetter) -> DeadLetterRow<'_> {
    DeadLetterRow {
        id: letter.id(),
        source: &letter.source,
        origin: &letter.poison.origin,
        reason: &letter.poison.reason,
        payload: &letter.poison.payload,
        refused_at: letter.at.as_millisecond(),
    }
}

/// Hashes parts with their lengths, so that no two lists of parts run together.
fn stable_id(parts: &[&[u8]]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&ID_NAMESPACE, &name)
}
