//! Reads a stretch of the log without joining a group, topic by topic, from the first record to where the topics ended
//! when it began.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::client::{Context, TIMEOUT, config};
use super::{Inner, topic_name};
use crate::eventlog::{Delivered, LogError, Offsets, Reader, Topic};

/// One wait for records; between two of them a reader that nobody wants any more is noticed.
const SLICE: Duration = Duration::from_millis(200);

/// Next and last offset of what is to be read of a partition, the last one exclusive.
type Stretch = (i64, i64);

/// A consumer without a group, and what it has still to read.
pub(super) struct Reading {
    inner: Arc<Inner>,
    consumer: BaseConsumer<Context>,
    /// The topic that is being read, and those after it.
    topics: VecDeque<(Topic, BTreeMap<i32, Stretch>)>,
    /// The first topic is assigned.
    assigned: bool,
    ends: BTreeMap<(Topic, u32), i64>,
}

impl Reading {
    /// Notes where the topics end now. Blocks.
    pub(super) fn open(inner: Arc<Inner>, topics: &[Topic], after: &Offsets) -> Result<Self, LogError> {
        let observer = inner.observer(&inner.group("reader"))?;
        let (mut ends, mut stretches) = (BTreeMap::new(), VecDeque::new());
        for topic in topics {
            let mut partitions = BTreeMap::new();
            for element in observer.partitions(&[*topic], Offset::Invalid)?.elements() {
                let (low, high) = observer.watermarks(&element)?;
                let number = u32::try_from(element.partition()).unwrap_or(u32::MAX);
                let next = after.0.get(&(*topic, number)).and_then(|last| i64::try_from(last + 1).ok());
                partitions.insert(element.partition(), (next.unwrap_or(low).max(low), high));
                ends.insert((*topic, number), high);
            }
            stretches.push_back((*topic, partitions));
        }
        let context = Context::default();
        let mut config = config(&inner.options)?;
        config
            .set("group.id", inner.group("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // Bounds what is fetched ahead, in memory.
            .set("queued.max.messages.kbytes", "16384");
        let consumer = config
            .create_with_context(context.clone())
            .map_err(|error| context.complaint.explain("connect", &inner.options.brokers, &error))?;
        drop(observer);
        Ok(Self { inner, consumer, topics: stretches, assigned: false, ends })
    }

    /// At most `max` records; none at the end. Blocks.
    fn read(&mut self, max: usize) -> Result<Vec<Delivered>, LogError> {
        let mut records = Vec::new();
        let mut heard = Instant::now();
        while records.len() < max && self.advance()? {
            let Some((topic, partitions)) = self.topics.front_mut() else { break };
            match self.consumer.poll(SLICE) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let Some((next, end)) = partitions.get_mut(&message.partition()) else { continue };
                    *next = message.offset() + 1;
                    if message.offset() < *end {
                        records.extend(delivered(*topic, &message));
                    }
                }
                // Where the last records of a partition cannot be read, its end is all that comes.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    heard = Instant::now();
                    partitions.remove(&partition);
                }
                Some(Err(error)) => return Err(self.explain(&error)),
                None if !records.is_empty() => break,
                None if heard.elapsed() > TIMEOUT => return Err(self.explain(&KafkaError::NoMessageReceived)),
                None => {}
            }
        }
        Ok(records)
    }

    /// Goes to the next topic where one is read to its end; false after the last.
    fn advance(&mut self) -> Result<bool, LogError> {
        loop {
            let Some((topic, partitions)) = self.topics.front_mut() else { return Ok(false) };
            partitions.retain(|_, (next, end)| next < end);
            if partitions.is_empty() {
                self.topics.pop_front();
                self.assigned = false;
                continue;
            }
            if self.assigned {
                return Ok(true);
            }
            let name = topic_name(&self.inner.options, *topic);
            let mut list = TopicPartitionList::new();
            let added = partitions.iter().try_for_each(|(partition, (next, _))| {
                list.add_partition_offset(&name, *partition, Offset::Offset(*next))
            });
            added.and_then(|()| self.consumer.assign(&list)).map_err(|error| self.explain(&error))?;
            self.assigned = true;
        }
    }

    fn explain(&self, error: &KafkaError) -> LogError {
        self.consumer.context().complaint.explain("read the topics", &self.inner.options.brokers, error)
    }
}

fn delivered(topic: Topic, message: &impl Message) -> Option<Delivered> {
    Some(Delivered {
        topic,
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().unwrap_or_default().to_vec(),
    })
}

/// What the trait hands out; the consumer itself is shared with the blocking threads.
pub(super) struct KafkaReader {
    inner: Arc<Inner>,
    reading: Arc<Mutex<Reading>>,
    ends: BTreeMap<(Topic, u32), i64>,
    left: u64,
}

impl KafkaReader {
    pub(super) fn new(reading: Reading) -> Self {
        let left = left(&reading);
        let (inner, ends) = (reading.inner.clone(), reading.ends.clone());
        Self { inner, reading: Arc::new(Mutex::new(reading)), ends, left }
    }
}

fn left(reading: &Reading) -> u64 {
    let stretches = reading.topics.iter().flat_map(|(_, partitions)| partitions.values());
    stretches.map(|(next, end)| u64::try_from(end - next).unwrap_or(0)).sum()
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivered>, LogError> {
        let reading = self.reading.clone();
        let read = spawn_blocking(move || {
            let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((reading.read(max)?, left(&reading)))
        });
        let read = read.await.map_err(|_| LogError::Unavailable("reading from Kafka was interrupted".into()))?;
        let (records, left) = read?;
        self.left = left;
        Ok(records)
    }

    fn left(&self) -> u64 {
        self.left
    }

    fn end(&self) -> Offsets {
        let last = |end: i64| u64::try_from(end - 1).ok();
        Offsets(self.ends.iter().filter_map(|(partition, end)| Some((*partition, last(*end)?))).collect())
    }

    async fn lag(&self, group: &str) -> Result<u64, LogError> {
        let (inner, group, ends) = (self.inner.clone(), self.inner.group(group), self.ends.clone());
        let asked = spawn_blocking(move || inner.observer(&group)?.uncommitted(&ends));
        asked.await.map_err(|_| LogError::Unavailable("asking Kafka for the lag was interrupted".into()))?
    }
}
