//! An event log in memory, for tests: forgets everything when it is dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::local::{LocalLog, Partition, Storage};
use super::{Delivered, LogError, Record, Topic, partition_of};

/// Records that one read returns from each partition.
const READ_AHEAD: usize = 1_000;

/// An event log in memory.
pub type MemoryLog = LocalLog<MemoryStorage>;

impl MemoryLog {
    /// An empty log with this many partitions per topic.
    pub fn new(partitions: u32) -> Self {
        Self::over(MemoryStorage { partitions: partitions.max(1), state: Mutex::default() })
    }
}

/// Where a [`MemoryLog`] keeps its records.
pub struct MemoryStorage {
    partitions: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A record's offset is its index.
    records: BTreeMap<Partition, Vec<Record>>,
    positions: BTreeMap<String, BTreeMap<Partition, u64>>,
}

impl MemoryStorage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError> {
        let mut state = self.state();
        for record in records {
            let partition = partition_of(&record.key, self.partitions);
            state.records.entry((topic, partition)).or_default().push(record);
        }
        Ok(())
    }

    async fn read(&self, from: Vec<(Partition, u64)>) -> Result<Vec<Delivered>, LogError> {
        let state = self.state();
        let mut delivered = Vec::new();
        for ((topic, partition), from) in from {
            let records = state.records.get(&(topic, partition)).into_iter().flatten();
            let numbered = (0..).zip(records).skip(usize::try_from(from).unwrap_or(usize::MAX)).take(READ_AHEAD);
            delivered.extend(numbered.map(|(offset, record)| Delivered {
                topic,
                partition,
                offset,
                key: record.key.clone(),
                value: record.value.clone(),
            }));
        }
        Ok(delivered)
    }

    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        let state = self.state();
        let partitions = state.records.iter().filter(|((of, _), _)| *of == topic);
        Ok(partitions
            .flat_map(|(_, records)| records)
            .map(|record| (record.key.clone(), record.value.clone()))
            .collect())
    }

    async fn bounds(&self, partition: Partition) -> Result<(u64, u64), LogError> {
        let next = self.state().records.get(&partition).map_or(0, Vec::len);
        Ok((0, next as u64))
    }

    async fn positions(&self, group: &str) -> Result<BTreeMap<Partition, u64>, LogError> {
        Ok(self.state().positions.get(group).cloned().unwrap_or_default())
    }

    async fn commit(&self, group: &str, positions: BTreeMap<Partition, u64>) -> Result<(), LogError> {
        self.state().positions.entry(group.to_owned()).or_default().extend(positions);
        Ok(())
    }
}
