//! What the logs inside this process have in common: groups, positions, subscriptions.
//!
//! A [`LocalLog`] is a [`Storage`] plus the groups that read it. The members of a group share its
//! partitions evenly; whenever one joins or leaves, the partitions are dealt out anew, and a member
//! that gets a partition starts after the group's last commit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Delivered, EventLog, LogError, Offsets, Reader, Record, Subscription, Topic, check_sizes};

/// A topic and one of its partitions.
pub(super) type Partition = (Topic, u32);

/// Where the records and the committed offsets are.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// How many partitions each topic has.
    fn partitions(&self) -> u32;

    /// Appends records, durably.
    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError>;

    /// Some of the records of each partition from the given offset on; none where there are none.
    async fn read(&self, from: Vec<(Partition, u64)>) -> Result<Vec<Delivered>, LogError>;

    /// The last record of every key of a compacted topic.
    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError>;

    /// The first offset kept and the offset that the next record will get.
    async fn bounds(&self, partition: Partition) -> Result<(u64, u64), LogError>;

    /// Where the group goes on: the offset to read next in each partition it has ever subscribed to.
    async fn positions(&self, group: &str) -> Result<BTreeMap<Partition, u64>, LogError>;

    /// Sets positions of a group, durably.
    async fn commit(&self, group: &str, positions: BTreeMap<Partition, u64>) -> Result<(), LogError>;
}

/// A log inside this process.
pub struct LocalLog<S>(Arc<Shared<S>>);

struct Shared<S> {
    storage: S,
    groups: Mutex<Groups>,
    /// Tells the subscribers that there are new records or members.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Groups {
    by_name: HashMap<String, Group>,
    next_member: u64,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u64, Vec<Topic>>,
    /// Counts joins and leaves.
    generation: u64,
}

impl Group {
    /// The partitions of a member: the n-th of k subscribers of a topic gets every k-th partition.
    fn assignment(&self, member: u64, partitions: u32) -> Vec<Partition> {
        let mut assigned = Vec::new();
        for topic in self.members.get(&member).into_iter().flatten() {
            let subscribers = self.members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(id, _)| *id);
            for (partition, subscriber) in (0..partitions).zip(subscribers.collect::<Vec<_>>().into_iter().cycle()) {
                if subscriber == member {
                    assigned.push((*topic, partition));
                }
            }
        }
        assigned
    }
}

impl<S: Storage> LocalLog<S> {
    pub(super) fn over(storage: S) -> Self {
        Self(Arc::new(Shared { storage, groups: Mutex::default(), changed: watch::Sender::new(()) }))
    }
}

impl<S: Storage> Shared<S> {
    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, group: &str, topics: &[Topic]) -> u64 {
        let mut groups = self.groups();
        groups.next_member += 1;
        let member = groups.next_member;
        let group = groups.by_name.entry(group.to_owned()).or_default();
        group.members.insert(member, topics.to_vec());
        group.generation += 1;
        member
    }

    fn leave(&self, name: &str, member: u64) {
        let mut groups = self.groups();
        if let Some(group) = groups.by_name.get_mut(name) {
            group.members.remove(&member);
            group.generation += 1;
        }
    }

    /// The generation of the group and what it assigns to the member.
    fn assignment(&self, group: &str, member: u64) -> (u64, Vec<Partition>) {
        let groups = self.groups();
        match groups.by_name.get(group) {
            Some(group) => (group.generation, group.assignment(member, self.storage.partitions())),
            None => (0, Vec::new()),
        }
    }

    fn generation(&self, group: &str) -> u64 {
        self.groups().by_name.get(group).map_or(0, |group| group.generation)
    }

    fn is_idle(&self, group: &str) -> bool {
        self.groups().by_name.get(group).is_none_or(|group| group.members.is_empty())
    }

    fn all_partitions<'a>(&self, topics: &'a [Topic]) -> impl Iterator<Item = Partition> + use<'a, S> {
        let partitions = self.storage.partitions();
        topics.iter().flat_map(move |topic| (0..partitions).map(|partition| (*topic, partition)))
    }
}

#[async_trait]
impl<S: Storage> EventLog for LocalLog<S> {
    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError> {
        check_sizes(topic, &records)?;
        if records.is_empty() {
            return Ok(());
        }
        self.0.storage.append(topic, records).await?;
        self.0.changed.send_replace(());
        Ok(())
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        let known = self.0.storage.positions(group).await?;
        let new = self.0.all_partitions(topics).filter(|partition| !known.contains_key(partition));
        let new = new.map(|partition| (partition, 0)).collect::<BTreeMap<_, _>>();
        if !new.is_empty() {
            self.0.storage.commit(group, new).await?;
        }
        let changed = self.0.changed.subscribe();
        let member = self.0.join(group, topics);
        self.0.changed.send_replace(());
        Ok(Box::new(LocalSubscription {
            shared: self.0.clone(),
            changed,
            group: group.to_owned(),
            member,
            generation: 0,
            positions: BTreeMap::new(),
            buffer: VecDeque::new(),
            paused: false,
        }))
    }

    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        self.0.storage.latest(topic).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<u64, LogError> {
        let positions = self.0.storage.positions(group).await?;
        let mut lag = 0;
        for partition in self.0.all_partitions(topics) {
            let (first, next) = self.0.storage.bounds(partition).await?;
            let position = positions.get(&partition).copied().unwrap_or(0);
            lag += next.saturating_sub(position.max(first));
        }
        Ok(lag)
    }

    async fn rewind(&self, group: &str, topics: &[Topic]) -> Result<(), LogError> {
        if !self.0.is_idle(group) {
            return Err(LogError::Unusable(format!(
                "cannot rewind group {group}: it has members, stop them and try again"
            )));
        }
        let beginning = self.0.all_partitions(topics).map(|partition| (partition, 0)).collect();
        self.0.storage.commit(group, beginning).await
    }

    async fn read(&self, topics: &[Topic], after: &Offsets) -> Result<Box<dyn Reader>, LogError> {
        let mut stretches = VecDeque::new();
        for partition in self.0.all_partitions(topics) {
            let (first, end) = self.0.storage.bounds(partition).await?;
            let next = after.0.get(&partition).map_or(first, |last| first.max(last + 1));
            stretches.push_back(Stretch { partition, next, end });
        }
        let ends = stretches.iter().map(|stretch| (stretch.partition, stretch.end)).collect();
        Ok(Box::new(LocalReader { shared: self.0.clone(), stretches, ends, buffer: VecDeque::new() }))
    }
}

/// What is still to be read of a partition.
struct Stretch {
    partition: Partition,
    next: u64,
    end: u64,
}

struct LocalReader<S: Storage> {
    shared: Arc<Shared<S>>,
    /// Read one after the other.
    stretches: VecDeque<Stretch>,
    ends: BTreeMap<Partition, u64>,
    /// Records read and not yet returned.
    buffer: VecDeque<Delivered>,
}

#[async_trait]
impl<S: Storage> Reader for LocalReader<S> {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivered>, LogError> {
        while self.buffer.is_empty() {
            let Some(stretch) = self.stretches.front_mut() else { return Ok(Vec::new()) };
            let records = match stretch.next < stretch.end {
                true => self.shared.storage.read(vec![(stretch.partition, stretch.next)]).await?,
                false => Vec::new(),
            };
            match records.last() {
                Some(last) => stretch.next = last.offset + 1,
                None => drop(self.stretches.pop_front()),
            }
            let end = |record: &Delivered| self.ends.get(&(record.topic, record.partition)).copied().unwrap_or(0);
            self.buffer.extend(records.into_iter().filter(|record| record.offset < end(record)));
        }
        Ok(self.buffer.drain(..max.min(self.buffer.len())).collect())
    }

    fn left(&self) -> u64 {
        let unread = self.stretches.iter().map(|stretch| stretch.end.saturating_sub(stretch.next));
        unread.sum::<u64>() + self.buffer.len() as u64
    }

    fn end(&self) -> Offsets {
        let read = self.ends.iter().filter(|(_, end)| **end > 0);
        Offsets(read.map(|(partition, end)| (*partition, end - 1)).collect())
    }

    async fn lag(&self, group: &str) -> Result<u64, LogError> {
        let positions = self.shared.storage.positions(group).await?;
        let mut lag = 0;
        for (partition, end) in &self.ends {
            let (first, _) = self.shared.storage.bounds(*partition).await?;
            let position = positions.get(partition).copied().unwrap_or(0);
            lag += end.saturating_sub(position.max(first));
        }
        Ok(lag)
    }
}

struct LocalSubscription<S: Storage> {
    shared: Arc<Shared<S>>,
    changed: watch::Receiver<()>,
    group: String,
    member: u64,
    /// Of the group when `positions` was last brought up to date; 0 before the first poll.
    generation: u64,
    /// The assigned partitions and the offset to read next in each.
    positions: BTreeMap<Partition, u64>,
    /// Records read and not yet returned.
    buffer: VecDeque<Delivered>,
    paused: bool,
}

impl<S: Storage> LocalSubscription<S> {
    /// Brings the positions up to date with the group's membership.
    async fn follow_group(&mut self) -> Result<(), LogError> {
        if self.generation == self.shared.generation(&self.group) {
            return Ok(());
        }
        let (generation, assigned) = self.shared.assignment(&self.group, self.member);
        let committed = self.shared.storage.positions(&self.group).await?;
        let position =
            |partition| self.positions.get(&partition).or_else(|| committed.get(&partition)).copied().unwrap_or(0);
        self.positions = assigned.into_iter().map(|partition| (partition, position(partition))).collect();
        self.buffer.retain(|record| self.positions.contains_key(&(record.topic, record.partition)));
        self.generation = generation;
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), LogError> {
        let from = self.positions.iter().map(|(partition, offset)| (*partition, *offset)).collect();
        let records = self.shared.storage.read(from).await?;
        for record in &records {
            self.positions.insert((record.topic, record.partition), record.offset + 1);
        }
        self.buffer.extend(records);
        Ok(())
    }
}

#[async_trait]
impl<S: Storage> Subscription for LocalSubscription<S> {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivered>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            self.changed.mark_unchanged();
            self.follow_group().await?;
            if !self.paused {
                if self.buffer.is_empty() {
                    self.fill().await?;
                }
                if !self.buffer.is_empty() {
                    return Ok(self.buffer.drain(..max.min(self.buffer.len())).collect());
                }
            }
            if tokio::time::timeout_at(deadline, self.changed.changed()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn commit(&mut self, offsets: &Offsets) -> Result<(), LogError> {
        let (_, assigned) = self.shared.assignment(&self.group, self.member);
        let committed = self.shared.storage.positions(&self.group).await?;
        let next = offsets.0.iter().map(|(partition, offset)| (*partition, offset + 1));
        // A partition may have been to another member and back: never undo what that one committed.
        let news = next
            .filter(|(partition, next)| {
                assigned.contains(partition) && committed.get(partition).is_none_or(|done| done < next)
            })
            .collect::<BTreeMap<_, _>>();
        if news.is_empty() {
            return Ok(());
        }
        self.shared.storage.commit(&self.group, news).await
    }

    fn pause(&mut self) -> Result<(), LogError> {
        self.paused = true;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), LogError> {
        self.paused = false;
        Ok(())
    }
}

impl<S: Storage> Drop for LocalSubscription<S> {
    fn drop(&mut self) {
        self.shared.leave(&self.group, self.member);
        self.shared.changed.send_replace(());
    }
}
