//! What the embedded log keeps in fjall, and under which keys.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `batches` | topic, partition, offset of the first record | a [`batch`] |
//! | `positions` | group, 0, topic, partition | the offset that the group reads next |
//! | `latest` | topic, record key | the last value of a key of a compacted topic |
//! | `meta` | `partitions` | how many partitions a topic has |
//! | `meta` | `end`, topic, partition | the offset after the last record that retention has dropped |
//!
//! Integers are big-endian: the order of the keys is the order of the log.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch};

use super::{batch, journal};
use crate::eventlog::local::Partition;
use crate::eventlog::{Delivered, LogError, Topic};

const MIB: u64 = 1 << 20;
/// For index blocks and recently read batches.
const CACHE_BYTES: u64 = 16 * MIB;
/// A memtable is flushed when it is larger; up to four of them may be in memory.
const MEMTABLE_BYTES: u64 = 8 * MIB;
/// Of `positions`, `latest` and `meta`, which are small.
const SMALL_MEMTABLE_BYTES: u64 = MIB;
/// Journals are deleted once all they hold is flushed, and forced to be beyond this size.
const JOURNAL_BYTES: u64 = 128 * MIB;
/// One read returns at least this much of a partition, uncompressed, where there is so much.
const READ_BYTES: usize = 1 << 20;

/// The fjall database of a log.
pub(super) struct Store {
    pub(super) db: Database,
    pub(super) batches: Keyspace,
    positions: Keyspace,
    latest: Keyspace,
    meta: Keyspace,
}

/// What is in the store, kept in memory.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) extents: BTreeMap<Partition, Extent>,
    /// By group: the offset to read next.
    pub(super) positions: BTreeMap<String, BTreeMap<Partition, u64>>,
}

/// The records of a partition.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Offset of the first record kept.
    pub(super) first: u64,
    /// Offset of the next record to be appended.
    pub(super) next: u64,
    /// Encoded size.
    pub(super) bytes: u64,
}

/// A batch as retention sees it.
pub(super) struct Oldest {
    pub(super) header: batch::Header,
    pub(super) base: u64,
    pub(super) bytes: u64,
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Self, fjall::Error> {
        let db = match open_database(dir) {
            Err(error @ fjall::Error::JournalRecovery(fjall::JournalRecoveryError::ChecksumMismatch)) => {
                if !journal::cut_torn_write(dir)? {
                    return Err(error);
                }
                open_database(dir)?
            }
            opened => opened?,
        };
        // Batches are written once and dropped in the same order: apart from their keys, compaction
        // would only copy them around, and nearly all of a file becomes garbage at the same time.
        let separated = KvSeparationOptions::default().compression(CompressionType::None).staleness_threshold(0.8);
        let batches = db.keyspace("batches", || {
            KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES).with_kv_separation(Some(separated))
        })?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(SMALL_MEMTABLE_BYTES);
        Ok(Self {
            batches,
            positions: db.keyspace("positions", small)?,
            latest: db.keyspace("latest", small)?,
            meta: db.keyspace("meta", small)?,
            db,
        })
    }

    /// How many partitions the topics have; `wanted`, if the store is new.
    pub(super) fn partitions(&self, wanted: u32) -> Result<u32, fjall::Error> {
        let stored = self.meta.get("partitions")?;
        if let Some(partitions) = stored.as_deref().and_then(<[u8]>::first_chunk) {
            return Ok(u32::from_be_bytes(*partitions));
        }
        self.meta.insert("partitions", wanted.to_be_bytes())?;
        self.db.persist(fjall::PersistMode::SyncAll)?;
        Ok(wanted)
    }

    /// Reads what is there; takes time in proportion to the number of batches.
    pub(super) fn index(&self, partitions: u32) -> Result<Index, fjall::Error> {
        let mut index = Index::default();
        for partition in Topic::ALL.into_iter().flat_map(|topic| (0..partitions).map(move |number| (topic, number))) {
            let mut extent = Extent::default();
            let stored = batch_key(partition, 0)..batch_key(partition, u64::MAX);
            if let Some(end) = self.meta.get(end_key(partition))?.as_deref().and_then(parse_offset) {
                extent.first = end;
                extent.next = end;
            }
            if let Some(oldest) = self.batches.range(stored.clone()).next() {
                extent.first = base(&oldest.key()?);
            }
            if let Some(newest) = self.batches.range(stored.clone()).next_back() {
                let (key, value) = newest.into_inner()?;
                // A corrupt batch is reported when it is read; appending behind it stays possible.
                let count = batch::header(&value).map_or(1 << 32, |header| u64::from(header.count));
                extent.next = base(&key) + count;
            }
            for batch in self.batches.range(stored) {
                extent.bytes += u64::from(batch.size()?);
            }
            index.extents.insert(partition, extent);
        }
        for position in self.positions.iter() {
            let (key, value) = position.into_inner()?;
            if let (Some((group, partition)), Some(next)) = (parse_position_key(&key), parse_offset(&value)) {
                index.positions.entry(group).or_default().insert(partition, next);
            }
        }
        Ok(index)
    }

    pub(super) fn put_batch(&self, write: &mut OwnedWriteBatch, partition: Partition, base: u64, batch: Vec<u8>) {
        write.insert(&self.batches, batch_key(partition, base), batch);
    }

    pub(super) fn put_latest(&self, write: &mut OwnedWriteBatch, topic: Topic, key: &[u8], value: Vec<u8>) {
        write.insert(&self.latest, [&[topic_byte(topic)], key].concat(), value);
    }

    pub(super) fn put_position(&self, write: &mut OwnedWriteBatch, group: &str, partition: Partition, next: u64) {
        write.insert(&self.positions, position_key(group, partition), next.to_be_bytes());
    }

    /// Drops the batch that starts at `base`; `end` is the offset after it.
    pub(super) fn drop_batch(&self, write: &mut OwnedWriteBatch, partition: Partition, base: u64, end: u64) {
        write.remove(&self.batches, batch_key(partition, base));
        write.insert(&self.meta, end_key(partition), end.to_be_bytes());
    }

    /// The first batch from this offset on.
    pub(super) fn oldest(&self, partition: Partition, from: u64) -> Result<Option<Oldest>, LogError> {
        let Some(oldest) = self.batches.range(batch_key(partition, from)..batch_key(partition, u64::MAX)).next() else {
            return Ok(None);
        };
        let (key, value) = oldest.into_inner().map_err(|error| unreadable(partition, from, &error))?;
        let base = base(&key);
        let header = batch::header(&value).map_err(|error| unreadable(partition, base, &error))?;
        Ok(Some(Oldest { header, base, bytes: value.len() as u64 }))
    }

    /// Appends to `delivered` some of the records of a partition from an offset on.
    pub(super) fn read(
        &self,
        partition: Partition,
        extent: Extent,
        from: u64,
        delivered: &mut Vec<Delivered>,
    ) -> Result<(), LogError> {
        let from = from.max(extent.first);
        let mut up_to_from = self.batches.range(batch_key(partition, extent.first)..=batch_key(partition, from));
        let start = match up_to_from.next_back() {
            Some(containing) => base(&containing.key().map_err(|error| unreadable(partition, from, &error))?),
            None => from,
        };
        let mut read = 0;
        for batch in self.batches.range(batch_key(partition, start)..batch_key(partition, extent.next)) {
            let (key, value) = batch.into_inner().map_err(|error| unreadable(partition, from, &error))?;
            let base = base(&key);
            let records = batch::decode(&value).map_err(|error| unreadable(partition, base, &error))?;
            for (offset, record) in (base..).zip(records).filter(|(offset, _)| *offset >= from) {
                read += record.key.len() + record.value.len();
                let (topic, partition) = partition;
                delivered.push(Delivered { topic, partition, offset, key: record.key, value: record.value });
            }
            if read >= READ_BYTES {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, fjall::Error> {
        self.latest
            .prefix([topic_byte(topic)])
            .map(|entry| {
                let (key, value) = entry.into_inner()?;
                Ok((key.iter().skip(1).copied().collect(), value.to_vec()))
            })
            .collect()
    }
}

fn open_database(dir: &Path) -> Result<Database, fjall::Error> {
    Database::builder(dir)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .worker_threads(2)
        .open()
}

fn unreadable((topic, partition): Partition, offset: u64, error: &dyn std::fmt::Display) -> LogError {
    LogError::Unusable(format!(
        "cannot read the batch of {} partition {partition} at offset {offset}: {error}",
        topic.name()
    ))
}

/// Part of the format on disk.
fn topic_byte(topic: Topic) -> u8 {
    match topic {
        Topic::Messages => 0,
        Topic::Backfill => 1,
        Topic::Mentions => 2,
        Topic::DeadLetter => 3,
        Topic::Ledger => 4,
        Topic::Cursors => 5,
    }
}

fn partition_key((topic, partition): Partition) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [topic_byte(topic), a, b, c, d]
}

fn batch_key(partition: Partition, base: u64) -> Vec<u8> {
    [partition_key(partition).as_slice(), &base.to_be_bytes()].concat()
}

/// The offset in a [`batch_key`].
fn base(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |base| u64::from_be_bytes(*base))
}

fn parse_offset(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|offset| u64::from_be_bytes(*offset))
}

fn end_key(partition: Partition) -> Vec<u8> {
    [b"end".as_slice(), &partition_key(partition)].concat()
}

fn position_key(group: &str, partition: Partition) -> Vec<u8> {
    [group.as_bytes(), &[0], &partition_key(partition)].concat()
}

fn parse_position_key(key: &[u8]) -> Option<(String, Partition)> {
    let (group, partition) = key.split_last_chunk::<5>()?;
    let [topic, partition @ ..] = partition;
    let topic = Topic::ALL.into_iter().find(|known| topic_byte(*known) == *topic)?;
    let group = std::str::from_utf8(group.strip_suffix(&[0])?).ok()?;
    Some((group.to_owned(), (topic, u32::from_be_bytes(*partition))))
}

/// The I/O error behind an error of fjall, if that is what it is.
pub(super) fn io_kind(error: &fjall::Error) -> Option<ErrorKind> {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Some(error.kind()),
        _ => None,
    }
}
