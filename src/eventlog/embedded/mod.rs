//! The event log in a directory: nothing to install.
//!
//! Records are kept in [`fjall`](https://docs.rs/fjall), an LSM tree, the way Kafka keeps them: in
//! compressed batches, one entry each. An append becomes one batch for every partition that it
//! touches; all of them are written atomically and are on disk (`fdatasync`) before the append
//! returns. The offsets of a partition are contiguous.
//!
//! One process at a time can open a directory.
//!
//! # Retention
//!
//! Every minute the oldest batches are dropped:
//!
//! - those older than `retention_age`, whether they have been read or not: age is a promise to the
//!   people whose words these are. Losing what a group has not committed yet is logged;
//! - while all batches together are larger than `retention_bytes`, those that every known group has
//!   committed. A group is known from its first subscription on. A reader that is behind makes the
//!   log larger than that, and the free space on the disk is the limit.
//!
//! The files shrink later, when fjall merges them.
//!
//! # Disk full
//!
//! Below [`RESERVE_BYTES`] of free space, and after any I/O error, appends return
//! [`LogError::Unavailable`]; they succeed again when there is room.

mod batch;
mod journal;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::store::{Store, io_kind};
use self::writer::{EncodedBatch, Request, Shared, Write, Writer};
use super::local::{LocalLog, Partition, Storage};
use super::{Delivered, LogError, Record, Topic, partition_of};

/// Space that must be free on the disk for the log to accept records: enough to flush what is in
/// memory and to merge files.
pub const RESERVE_BYTES: u64 = 128 << 20;

/// A batch is closed when its records are longer than this; bounds what a reader has in memory.
const BATCH_BYTES: usize = 1 << 20;
/// Writes that may wait for the writer; whoever comes then waits to get in line.
const QUEUE: usize = 64;

/// For the fuzz target `log`: what is found on disk, as a batch and as a journal.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    batch::fuzz(bytes);
    journal::fuzz(bytes);
}

/// How an embedded log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Partitions of each topic, at least 1. A directory keeps the number it was created with.
    pub partitions: u32,
    /// Drop records that are older.
    pub retention_age: Option<Duration>,
    /// Drop committed records while the log is larger than this many bytes on disk.
    pub retention_bytes: Option<u64>,
}

/// The event log in a directory.
pub type EmbeddedLog = LocalLog<Disk>;

impl EmbeddedLog {
    /// Opens the log in this directory, creating it where there is none. Blocks for as long as it
    /// takes to read back the last writes.
    ///
    /// # Errors
    /// [`LogError::InUse`] where another process has it open; [`LogError::Unusable`] where it is no event log, or is
    /// corrupt; [`LogError::Unavailable`] where the disk is full.
    pub fn open(dir: impl Into<PathBuf>, options: EmbeddedOptions) -> Result<Self, LogError> {
        Disk::open(dir.into(), options, RESERVE_BYTES).map(Self::over)
    }
}

/// Where an [`EmbeddedLog`] keeps its records.
pub struct Disk {
    dir: PathBuf,
    partitions: u32,
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    requests: Option<SyncSender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Disk {
    fn open(dir: PathBuf, options: EmbeddedOptions, reserve: u64) -> Result<Self, LogError> {
        let opened = || {
            let store = Store::open(&dir)?;
            let partitions = store.partitions(options.partitions.max(1))?;
            let index = store.index(partitions)?;
            Ok((store, partitions, index))
        };
        let (store, partitions, index) = opened().map_err(|error| open_error(&dir, &error))?;
        if partitions != options.partitions {
            tracing::warn!(dir = %dir.display(), partitions, wanted = options.partitions,
                "the event log keeps the number of partitions that it was created with");
        }
        let shared = Arc::new(Shared::new(store, index));
        let (requests, queue) = sync_channel(QUEUE);
        let writer = Writer { dir: dir.clone(), partitions, options, reserve, shared: shared.clone() };
        let writer = std::thread::Builder::new()
            .name("eventlog-writer".into())
            .spawn(move || writer.run(&queue))
            .map_err(|error| LogError::Unavailable(format!("cannot start the writer of the event log: {error}")))?;
        Ok(Self { dir, partitions, shared, requests: Some(requests), writer: Some(writer) })
    }

    /// Makes a write on a thread of its own, because encoding is work for the processor, and waits
    /// until it is on disk.
    async fn write(&self, make: impl FnOnce() -> Result<Write, LogError> + Send + 'static) -> Result<(), LogError> {
        let Some(requests) = self.requests.clone() else { return Err(writer::closed(&self.dir)) };
        let (done, written) = oneshot::channel();
        let queued = spawn_blocking(move || {
            let write = make()?;
            requests.send(Request { write, done }).map_err(|_| stopped())
        });
        queued.await.map_err(|_| stopped())??;
        written.await.map_err(|_| stopped())?
    }

    async fn with_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store, &Shared) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (shared, dir) = (self.shared.clone(), self.dir.clone());
        let reading = spawn_blocking(move || {
            let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
            read(store.as_ref().ok_or_else(|| writer::closed(&dir))?, &shared)
        });
        let corrupt = || LogError::Unusable(format!("the event log in {} is corrupt", self.dir.display()));
        reading.await.map_err(|_| corrupt())?
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.shared.close();
    }
}

#[async_trait]
impl Storage for Disk {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError> {
        let partitions = self.partitions;
        self.write(move || encode(topic, records, partitions)).await
    }

    async fn read(&self, from: Vec<(Partition, u64)>) -> Result<Vec<Delivered>, LogError> {
        let unread = {
            let index = self.shared.index();
            let with_extent = from.into_iter().filter_map(|(partition, from)| {
                let extent = *index.extents.get(&partition)?;
                (from < extent.next).then_some((partition, extent, from))
            });
            with_extent.collect::<Vec<_>>()
        };
        if unread.is_empty() {
            return Ok(Vec::new());
        }
        self.with_store(move |store, _| {
            let mut delivered = Vec::new();
            for (partition, extent, from) in unread {
                store.read(partition, extent, from, &mut delivered)?;
            }
            Ok(delivered)
        })
        .await
    }

    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        let dir = self.dir.clone();
        self.with_store(move |store, _| store.latest(topic).map_err(|error| open_error(&dir, &error))).await
    }

    async fn bounds(&self, partition: Partition) -> Result<(u64, u64), LogError> {
        let extent = self.shared.index().extents.get(&partition).copied().unwrap_or_default();
        Ok((extent.first, extent.next))
    }

    async fn positions(&self, group: &str) -> Result<BTreeMap<Partition, u64>, LogError> {
        Ok(self.shared.index().positions.get(group).cloned().unwrap_or_default())
    }

    async fn commit(&self, group: &str, positions: BTreeMap<Partition, u64>) -> Result<(), LogError> {
        let group = group.to_owned();
        self.write(move || Ok(Write::Commit { group, positions })).await
    }
}

fn encode(topic: Topic, records: Vec<Record>, partitions: u32) -> Result<Write, LogError> {
    let appended_at = Timestamp::now();
    let latest = if topic.is_compacted() { records.clone() } else { Vec::new() };
    let mut by_partition = BTreeMap::<u32, Vec<Record>>::new();
    for record in records {
        by_partition.entry(partition_of(&record.key, partitions)).or_default().push(record);
    }
    let mut batches = Vec::new();
    for (partition, records) in by_partition {
        let mut bytes = 0;
        let fits = |_: &Record, next: &Record| {
            bytes += next.key.len() + next.value.len();
            let fits = bytes <= BATCH_BYTES;
            if !fits {
                bytes = 0;
            }
            fits
        };
        for records in records.chunk_by(fits) {
            let bytes = batch::encode(records, appended_at)
                .map_err(|error| LogError::Unusable(format!("cannot encode records of {}: {error}", topic.name())))?;
            batches.push(EncodedBatch { partition, count: records.len() as u64, bytes });
        }
    }
    Ok(Write::Append { topic, batches, latest })
}

fn stopped() -> LogError {
    LogError::Unavailable("the writer of the event log has stopped".into())
}

/// What an error of fjall means to whoever opens or reads the directory.
fn open_error(dir: &Path, error: &fjall::Error) -> LogError {
    let dir = dir.display();
    match (error, io_kind(error)) {
        (fjall::Error::Locked, _) => LogError::InUse(format!(
            "the event log in {dir} is open in another process: stop that one or choose another directory"
        )),
        (_, Some(std::io::ErrorKind::StorageFull)) => {
            LogError::Unavailable(format!("cannot open the event log in {dir}: the disk is full, make room"))
        }
        (_, Some(_)) => LogError::Unusable(format!("cannot open the event log in {dir}: {error}")),
        _ => LogError::Unusable(format!("the event log in {dir} is corrupt or of another version: {error}")),
    }
}
