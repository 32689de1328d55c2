//! A member of a Kafka consumer group.
//!
//! Polling happens on blocking threads, in short slices, into a buffer that outlives the poll: a
//! cancelled poll loses nothing. librdkafka fetches ahead and keeps the membership alive on threads
//! of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::client::{self, Complaint};
use super::{KafkaOptions, topic_name};
use crate::eventlog::{Delivered, LogError, Offsets, Subscription, Topic};

/// A poll on a blocking thread ends after this time, so that a dropped member leaves soon.
const SLICE: Duration = Duration::from_millis(200);
/// Once there is a record, how long the rest of a batch may take to come.
const GATHER: Duration = Duration::from_millis(2);
/// How often a commit is tried while the group deals out its partitions.
const COMMIT_TRIES: usize = 50;
/// Between two tries.
const COMMIT_PAUSE: Duration = Duration::from_millis(100);

/// A consumer with what it has read.
pub(super) struct Member {
    consumer: BaseConsumer<MemberContext>,
    brokers: String,
    group: String,
    topics: Vec<(String, Topic)>,
}

struct MemberContext {
    buffer: Mutex<VecDeque<Delivered>>,
    topics: Vec<(String, Topic)>,
    paused: AtomicBool,
    complaint: Complaint,
}

impl MemberContext {
    fn buffer(&self) -> MutexGuard<'_, VecDeque<Delivered>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaint.remember(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let revoked = partitions_of(partitions, &self.topics);
            self.buffer().retain(|record| !revoked.contains(&(record.topic, record.partition)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && self.paused.load(Ordering::SeqCst)
            && let Err(error) = consumer.pause(partitions)
        {
            tracing::warn!(%error, "cannot pause partitions that were just assigned");
        }
    }
}

fn partitions_of(list: &TopicPartitionList, topics: &[(String, Topic)]) -> BTreeSet<(Topic, u32)> {
    let known = |name: &str| topics.iter().find(|(known, _)| known == name).map(|(_, topic)| *topic);
    list.elements()
        .iter()
        .filter_map(|element| Some((known(element.topic())?, u32::try_from(element.partition()).ok()?)))
        .collect()
}

impl Member {
    /// Joins a group.
    pub(super) fn join(options: &KafkaOptions, group: &str, topics: &[Topic]) -> Result<Self, LogError> {
        let topics = topics.iter().map(|topic| (topic_name(options, *topic), *topic)).collect::<Vec<_>>();
        let context = MemberContext {
            buffer: Mutex::default(),
            topics: topics.clone(),
            paused: AtomicBool::new(false),
            complaint: Complaint::default(),
        };
        let mut config = client::config(options)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // A process that was killed is missed after this time; its successor waits so long.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            // Bounds what is fetched ahead, in memory.
            .set("queued.max.messages.kbytes", "32768");
        let explain = |error: &KafkaError| {
            Complaint::default().explain(&format!("join the group {group}"), &options.brokers, error)
        };
        let consumer: BaseConsumer<MemberContext> =
            config.create_with_context(context).map_err(|error| explain(&error))?;
        let names = topics.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        consumer.subscribe(&names).map_err(|error| explain(&error))?;
        Ok(Self { consumer, brokers: options.brokers.clone(), group: group.to_owned(), topics })
    }

    /// Reads into the buffer until there are `max` records or nothing more comes at once.
    fn read(&self, max: usize, wait: Duration) -> Result<(), LogError> {
        let buffer = &self.consumer.context().buffer;
        let mut wait = wait;
        loop {
            match self.consumer.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                    buffer.extend(self.delivered(&message));
                    if buffer.len() >= max {
                        return Ok(());
                    }
                    wait = GATHER;
                }
                Some(Err(error)) => return self.passes(&error),
            }
        }
    }

    fn delivered(&self, message: &BorrowedMessage<'_>) -> Option<Delivered> {
        let (_, topic) = self.topics.iter().find(|(name, _)| name == message.topic())?;
        Some(Delivered {
            topic: *topic,
            partition: u32::try_from(message.partition()).ok()?,
            offset: u64::try_from(message.offset()).ok()?,
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
        })
    }

    /// Errors that the client gets over by itself are none.
    fn passes(&self, error: &KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::PollExceeded | Code::RebalanceInProgress | Code::IllegalGeneration) => {
                tracing::warn!(%error, group = self.group, "the group goes on without this member for a moment");
                Ok(())
            }
            _ => Err(self.explain("read", error)),
        }
    }

    fn explain(&self, what: &str, error: &KafkaError) -> LogError {
        let what = format!("{what} in the group {}", self.group);
        self.consumer.context().complaint.explain(&what, &self.brokers, error)
    }

    fn commit(&self, offsets: &Offsets) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        for _ in 0..COMMIT_TRIES {
            let assignment = self.consumer.assignment().map_err(|error| self.explain("commit", &error))?;
            let assigned = partitions_of(&assignment, &self.topics);
            let mut list = TopicPartitionList::new();
            for (name, topic) in &self.topics {
                for ((of, partition), offset) in &offsets.0 {
                    if of != topic || !assigned.contains(&(*topic, *partition)) {
                        continue;
                    }
                    let (Ok(partition), Ok(next)) = (i32::try_from(*partition), i64::try_from(offset + 1)) else {
                        continue;
                    };
                    list.add_partition_offset(name, partition, Offset::Offset(next))
                        .map_err(|error| self.explain("commit", &error))?;
                }
            }
            if list.count() == 0 {
                return Ok(());
            }
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                Err(error) => match error.rdkafka_error_code() {
                    // The group deals out its partitions again, which goes on while we poll. What we keep has
                    // to be committed then, because nobody reads it again; what we lose drops out above.
                    Some(Code::RebalanceInProgress | Code::IllegalGeneration | Code::UnknownMemberId) => {
                        let ahead = self.consumer.context().buffer().len();
                        self.read(ahead + 1, COMMIT_PAUSE)?;
                    }
                    _ => return Err(self.explain("commit", &error)),
                },
            }
        }
        Err(LogError::Unavailable(format!(
            "cannot commit in the group {}: it does not finish dealing out its partitions",
            self.group
        )))
    }
}

/// What the trait hands out; the member itself is shared with the blocking threads.
pub(super) struct KafkaSubscription(Arc<Member>);

impl KafkaSubscription {
    pub(super) fn new(member: Member) -> Self {
        Self(Arc::new(member))
    }

    fn take(&self, max: usize) -> Vec<Delivered> {
        let mut buffer = self.0.consumer.context().buffer();
        let len = max.min(buffer.len());
        buffer.drain(..len).collect()
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivered>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let paused = self.0.consumer.context().paused.load(Ordering::SeqCst);
            if !paused {
                let ready = self.take(max);
                if !ready.is_empty() {
                    return Ok(ready);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let member = self.0.clone();
            spawn_blocking(move || member.read(max, left))
                .await
                .map_err(|_| LogError::Unavailable("reading from Kafka was interrupted".into()))??;
            if Instant::now() >= deadline {
                return Ok(if paused { Vec::new() } else { self.take(max) });
            }
        }
    }

    async fn commit(&mut self, offsets: &Offsets) -> Result<(), LogError> {
        if offsets.0.is_empty() {
            return Ok(());
        }
        let (member, offsets) = (self.0.clone(), offsets.clone());
        spawn_blocking(move || member.commit(&offsets))
            .await
            .map_err(|_| LogError::Unavailable("committing to Kafka was interrupted".into()))?
    }

    fn pause(&mut self) -> Result<(), LogError> {
        self.0.consumer.context().paused.store(true, Ordering::SeqCst);
        let paused = self.0.consumer.assignment().and_then(|assigned| self.0.consumer.pause(&assigned));
        paused.map_err(|error| self.0.explain("pause", &error))
    }

    fn resume(&mut self) -> Result<(), LogError> {
        self.0.consumer.context().paused.store(false, Ordering::SeqCst);
        let resumed = self.0.consumer.assignment().and_then(|assigned| self.0.consumer.resume(&assigned));
        resumed.map_err(|error| self.0.explain("resume", &error))
    }
}
