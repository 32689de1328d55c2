//! The one thread that writes to the store.
//!
//! Whatever is waiting is written together and shares one fsync (group commit): under load, many
//! appends and commits cost as much as one. The same thread drops what retention no longer wants,
//! and opens the store again after an I/O error, because fjall refuses every write after the first
//! one that failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::store::{Extent, Index, Oldest, Store};
use super::{EmbeddedOptions, open_error};
use crate::eventlog::local::Partition;
use crate::eventlog::{LogError, Record, Topic};

/// At most this much is written with one fsync, once it has been reached.
const GROUP_BYTES: usize = 8 << 20;
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// Batches dropped in one write.
const DROP_BATCHES: usize = 1_000;
/// How often a store that is closed after an error is tried again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Something to write, and who waits for it.
pub(super) struct Request {
    pub(super) write: Write,
    pub(super) done: oneshot::Sender<Result<(), LogError>>,
}

pub(super) enum Write {
    Append {
        topic: Topic,
        batches: Vec<EncodedBatch>,
        /// For a compacted topic: all the records again.
        latest: Vec<Record>,
    },
    Commit {
        group: String,
        positions: BTreeMap<Partition, u64>,
    },
}

pub(super) struct EncodedBatch {
    pub(super) partition: u32,
    pub(super) count: u64,
    pub(super) bytes: Vec<u8>,
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { batches, .. } => batches.iter().map(|batch| batch.bytes.len()).sum(),
            Self::Commit { positions, .. } => positions.len() * 64,
        }
    }
}

/// What the writer shares with the readers.
pub(super) struct Shared {
    /// `None` after an I/O error, until it could be opened again.
    pub(super) store: RwLock<Option<Store>>,
    index: Mutex<Index>,
}

impl Shared {
    pub(super) fn new(store: Store, index: Index) -> Self {
        Self { store: RwLock::new(Some(store)), index: Mutex::new(index) }
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the store; waits for the readers.
    pub(super) fn close(&self) {
        self.store.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) partitions: u32,
    pub(super) options: EmbeddedOptions,
    /// Bytes that must be free on the disk before anything is written.
    pub(super) reserve: u64,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    /// Writes until nobody can send any more.
    pub(super) fn run(self, requests: &Receiver<Request>) {
        let mut opened_at = Instant::now();
        let mut retained_at = None::<Instant>;
        loop {
            match requests.recv_timeout(REOPEN_INTERVAL) {
                Ok(first) => self.serve(first, requests),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.is_closed() && opened_at.elapsed() >= REOPEN_INTERVAL {
                opened_at = Instant::now();
                if let Err(error) = self.reopen() {
                    tracing::warn!(%error, "the event log stays closed");
                }
            }
            if retained_at.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL) {
                retained_at = Some(Instant::now());
                match self.retain() {
                    // Go on at once, but let the writes that came in the meantime pass.
                    Ok(DROP_BATCHES) => retained_at = None,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "event log retention failed"),
                }
            }
        }
    }

    fn serve(&self, first: Request, requests: &Receiver<Request>) {
        let mut bytes = first.write.bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES {
            let Ok(request) = requests.try_recv() else { break };
            bytes += request.write.bytes();
            group.push(request);
        }
        let (writes, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| (request.write, request.done)).unzip();
        let result = self.write(writes);
        for done in waiting {
            // Nobody waits any more where the append was cancelled.
            let _ = done.send(result.clone());
        }
    }

    /// Writes all of it or nothing, and returns when it is on disk.
    fn write(&self, writes: Vec<Write>) -> Result<(), LogError> {
        self.check_free_space()?;
        let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
        let store_ref = store.as_ref().ok_or_else(|| closed(&self.dir))?;
        let result = write_all(store_ref, &self.shared, writes);
        drop(store);
        result.map_err(|error| self.failed("write to", &error))
    }

    /// A disk that runs full makes fjall fail for good, in the middle of whatever it is doing: stop
    /// before.
    fn check_free_space(&self) -> Result<(), LogError> {
        let free = rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free >= self.reserve {
            return Ok(());
        }
        Err(LogError::Unavailable(format!(
            "the disk of the event log in {} has {} MiB left and the log needs {} MiB: make room",
            self.dir.display(),
            free >> 20,
            self.reserve >> 20
        )))
    }

    fn failed(&self, what: &str, error: &fjall::Error) -> LogError {
        self.shared.close();
        LogError::Unavailable(format!("cannot {what} the event log in {}: {error}", self.dir.display()))
    }

    fn is_closed(&self) -> bool {
        self.shared.store.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn reopen(&self) -> Result<(), LogError> {
        self.check_free_space()?;
        let store = Store::open(&self.dir).map_err(|error| open_error(&self.dir, &error))?;
        let index = store.index(self.partitions).map_err(|error| open_error(&self.dir, &error))?;
        *self.shared.index() = index;
        *self.shared.store.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
        tracing::info!(dir = %self.dir.display(), "the event log is open again");
        Ok(())
    }

    /// Drops the oldest batches: those older than the retention age, and, where the log is larger
    /// than the retention size, those that every group has committed. Returns how many it dropped,
    /// at most [`DROP_BATCHES`].
    fn retain(&self) -> Result<usize, LogError> {
        if self.options.retention_age.is_none() && self.options.retention_bytes.is_none() {
            return Ok(0);
        }
        let store = self.shared.store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store_ref) = store.as_ref() else { return Ok(0) };
        let (extents, low_waters) = {
            let index = self.shared.index();
            (index.extents.clone(), low_waters(&index))
        };
        let mut size = extents.values().map(|extent| extent.bytes).sum::<u64>();
        let mut dropped = Vec::new();
        let mut uncommitted = 0;
        let mut oldest = BTreeMap::new();
        for (partition, extent) in &extents {
            if let Some(batch) = store_ref.oldest(*partition, extent.first)? {
                oldest.insert(*partition, batch);
            }
        }
        let horizon = self.options.retention_age.and_then(|age| Timestamp::now().checked_sub(age).ok());
        while dropped.len() < DROP_BATCHES {
            let too_large = self.options.retention_bytes.is_some_and(|limit| size > limit);
            let unwanted = |(partition, batch): &(&Partition, &Oldest)| {
                let too_old = horizon.is_some_and(|horizon| batch.header.appended_at < horizon);
                too_old || (too_large && low_waters.get(*partition).is_none_or(|position| batch.end() <= *position))
            };
            let next = oldest.iter().filter(unwanted).min_by_key(|(_, batch)| batch.header.appended_at);
            let Some(partition) = next.map(|(partition, _)| *partition) else { break };
            let Some(batch) = oldest.remove(&partition) else { break };
            let position = low_waters.get(&partition).copied().unwrap_or(u64::MAX);
            uncommitted += batch.end().saturating_sub(position.max(batch.base));
            size -= batch.bytes.min(size);
            let end = batch.end();
            dropped.push((partition, batch));
            if let Some(following) = store_ref.oldest(partition, end)? {
                oldest.insert(partition, following);
            }
        }
        if uncommitted > 0 {
            tracing::warn!(records = uncommitted, "records became too old before every group had committed them");
        }
        let result = drop_all(store_ref, &self.shared, &dropped);
        drop(store);
        result.map_err(|error| self.failed("drop old batches from", &error))?;
        Ok(dropped.len())
    }
}

impl Oldest {
    fn end(&self) -> u64 {
        self.base + u64::from(self.header.count)
    }
}

/// The lowest position of any group in each partition that a group reads.
fn low_waters(index: &Index) -> BTreeMap<Partition, u64> {
    let mut low_waters = BTreeMap::new();
    for (partition, position) in index.positions.values().flatten() {
        low_waters.entry(*partition).and_modify(|low: &mut u64| *low = (*low).min(*position)).or_insert(*position);
    }
    low_waters
}

pub(super) fn closed(dir: &std::path::Path) -> LogError {
    LogError::Unavailable(format!(
        "the event log in {} is closed after an I/O error and is opened again as soon as it can be",
        dir.display()
    ))
}

fn write_all(store: &Store, shared: &Shared, writes: Vec<Write>) -> Result<(), fjall::Error> {
    await_flush(store)?;
    let mut batch = store.db.batch().durability(Some(fjall::PersistMode::SyncData));
    let mut extents = shared.index().extents.clone();
    let mut committed = Vec::new();
    for write in writes {
        match write {
            Write::Append { topic, batches, latest } => {
                for encoded in batches {
                    let partition = (topic, encoded.partition);
                    let extent = extents.entry(partition).or_default();
                    let (base, bytes) = (extent.next, encoded.bytes.len() as u64);
                    *extent = Extent { next: base + encoded.count, bytes: extent.bytes + bytes, ..*extent };
                    store.put_batch(&mut batch, partition, base, encoded.bytes);
                }
                for record in latest {
                    store.put_latest(&mut batch, topic, &record.key, record.value);
                }
            }
            Write::Commit { group, positions } => {
                for (partition, next) in &positions {
                    store.put_position(&mut batch, &group, *partition, *next);
                }
                committed.push((group, positions));
            }
        }
    }
    batch.commit()?;
    let mut index = shared.index();
    index.extents = extents;
    for (group, positions) in committed {
        index.positions.entry(group).or_default().extend(positions);
    }
    Ok(())
}

/// Waits until fjall has flushed enough that a write will not block.
///
/// Memtables and tables that are not merged yet are bounded by making writers wait. fjall does that
/// too, but waits for ever where the thread that flushes has died of an I/O error; here that error
/// ends the waiting.
fn await_flush(store: &Store) -> Result<(), fjall::Error> {
    while store.batches.sealed_memtable_count() > 1 || store.batches.l0_table_count() > 15 {
        store.db.persist(fjall::PersistMode::Buffer)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn drop_all(store: &Store, shared: &Shared, batches: &[(Partition, Oldest)]) -> Result<(), fjall::Error> {
    let mut write = store.db.batch();
    let mut index = shared.index();
    for (partition, batch) in batches {
        store.drop_batch(&mut write, *partition, batch.base, batch.end());
        let extent = index.extents.entry(*partition).or_default();
        extent.first = batch.end();
        extent.bytes -= batch.bytes.min(extent.bytes);
    }
    write.commit()
}
