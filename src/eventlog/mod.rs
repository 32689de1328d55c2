//! The event log: durable, partitioned, replayable.
//!
//! # Delivery semantics
//!
//! - [`EventLog::append`] returns `Ok` only when every record is on disk (embedded: fsync) or
//!   acknowledged by all in-sync replicas (Kafka: `acks=all`, idempotent producer). When it returns
//!   an error, any part of the records may have been written; the caller appends again, and readers
//!   see at-least-once.
//! - Records of one key stay in order: they share a partition.
//! - A group's offsets move only through [`Subscription::commit`]; a new subscription starts after
//!   the last committed record, or at the beginning where there is none.
//! - A subscriber that is not ready calls [`Subscription::pause`] and keeps polling: it stays a
//!   member of its group and gets nothing until [`Subscription::resume`].
//!
//! Both implementations pass the same suite (`tests/eventlog.rs`).

pub mod embedded;
pub mod kafka;
mod local;
pub mod memory;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

/// The topics of Hearken; names and settings are part of the public interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What the connectors hear now: JSON messages keyed by message id.
    Messages,
    /// History fetched on demand, kept apart so that it never delays live messages.
    Backfill,
    /// Scored mentions, for everybody else.
    Mentions,
    /// Records that could not be processed, with origin and reason.
    DeadLetter,
    /// What sources did and what they missed: the coverage ledger.
    Ledger,
    /// Connector cursors keyed by source name; compacted.
    Cursors,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 6] =
        [Self::Messages, Self::Backfill, Self::Mentions, Self::DeadLetter, Self::Ledger, Self::Cursors];

    /// The name on the broker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "hearken.messages",
            Self::Backfill => "hearken.backfill",
            Self::Mentions => "hearken.mentions",
            Self::DeadLetter => "hearken.deadletter",
            Self::Ledger => "hearken.ledger",
            Self::Cursors => "hearken.cursors",
        }
    }

    /// True where only the last record of a key is kept.
    pub fn is_compacted(self) -> bool {
        self == Self::Cursors
    }
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Decides the partition; in a compacted topic, the identity.
    pub key: Vec<u8>,
    /// JSON, in every topic of Hearken.
    pub value: Vec<u8>,
}

/// A record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Where it was read.
    pub topic: Topic,
    /// Partition of the topic.
    pub partition: u32,
    /// Position in the partition; grows, not necessarily by one.
    pub offset: u64,
    /// As appended.
    pub key: Vec<u8>,
    /// As appended.
    pub value: Vec<u8>,
}

/// The largest record, key and value together, that a log accepts.
pub const MAX_RECORD_BYTES: usize = 8 << 20;
/// The longest key of a record.
pub const MAX_KEY_BYTES: usize = 32 << 10;

/// Refuses records that are too large before any of them is appended.
fn check_sizes(topic: Topic, records: &[Record]) -> Result<(), LogError> {
    let too_large =
        |record: &&Record| record.key.len() > MAX_KEY_BYTES || record.key.len() + record.value.len() > MAX_RECORD_BYTES;
    match records.iter().find(too_large) {
        None => Ok(()),
        Some(record) => Err(LogError::Unusable(format!(
            "cannot append to {}: a record has a key of {} bytes and a value of {} bytes, allowed are {MAX_KEY_BYTES} for the key and {MAX_RECORD_BYTES} for both",
            topic.name(),
            record.key.len(),
            record.value.len(),
        ))),
    }
}

/// The partition of a key in the logs that Hearken partitions itself (on a broker, the client does).
///
/// Part of the format on disk: another hash would put the records of one key out of order.
fn partition_of(key: &[u8], partitions: u32) -> u32 {
    let hash = xxhash_rust::xxh3::xxh3_64(key);
    u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}

/// Positions up to which everything is done: for each partition the offset of the last processed
/// record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<(Topic, u32), u64>);

impl Offsets {
    /// The offsets that cover these records.
    pub fn covering<'a>(records: impl IntoIterator<Item = &'a Delivered>) -> Self {
        let mut offsets = Self::default();
        for record in records {
            let last = offsets.0.entry((record.topic, record.partition)).or_default();
            *last = record.offset.max(*last);
        }
        offsets
    }

    /// Covers what either of them covers.
    pub fn extend(&mut self, others: Self) {
        for (partition, offset) in others.0 {
            let last = self.0.entry(partition).or_default();
            *last = offset.max(*last);
        }
    }
}

/// Why the log could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Trying again makes sense: the broker is away, the disk is full.
    #[error("{0}")]
    Unavailable(String),
    /// Trying again is useless until somebody acts: wrong address, wrong credentials, corrupt data.
    #[error("{0}")]
    Unusable(String),
    /// Another process has the log open; only one can.
    #[error("{0}")]
    InUse(String),
}

/// A durable, partitioned, replayable log.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends records in order and waits until they are durable.
    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError>;

    /// Joins a group; partitions are shared among the members of a group.
    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError>;

    /// The last record of every key of a compacted topic.
    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError>;

    /// Records of these topics that the group has not committed yet.
    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<u64, LogError>;

    /// Moves a group back to the beginning of these topics; only while it has no members.
    async fn rewind(&self, group: &str, topics: &[Topic]) -> Result<(), LogError>;

    /// Reads what these topics hold now, after these positions. A reader belongs to no group: it moves nobody's offsets,
    /// and retention does not wait for it.
    async fn read(&self, topics: &[Topic], after: &Offsets) -> Result<Box<dyn Reader>, LogError>;
}

/// Reads a stretch of the log from its beginning to its end.
#[async_trait]
pub trait Reader: Send + Sync {
    /// The next records, at most `max`, topic by topic; none at the end. What retention has dropped meanwhile is left out.
    async fn next(&mut self, max: usize) -> Result<Vec<Delivered>, LogError>;

    /// Records that are still to be read, at most.
    fn left(&self) -> u64;

    /// The positions that cover the whole stretch.
    fn end(&self) -> Offsets;

    /// Records up to the end of the stretch that a group has not committed yet.
    async fn lag(&self, group: &str) -> Result<u64, LogError>;
}

/// A member of a group.
#[async_trait]
pub trait Subscription: Send {
    /// Waits up to `wait` for records and returns at most `max` of them; may return none.
    /// Cancel-safe.
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivered>, LogError>;

    /// Commits, durably. Positions of partitions that have moved to another member are ignored.
    async fn commit(&mut self, offsets: &Offsets) -> Result<(), LogError>;

    /// Polls return nothing until [`resume`](Self::resume).
    fn pause(&mut self) -> Result<(), LogError>;

    /// Undoes [`pause`](Self::pause).
    fn resume(&mut self) -> Result<(), LogError>;
}
