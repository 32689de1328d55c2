//! The event log on Apache Kafka or a broker that speaks its protocol.
//!
//! Appends go through one idempotent producer with `acks=all`, zstd and the partitioner of the Java
//! client. Members join with `cooperative-sticky` and commit exactly what they are told to. Topics
//! that are missing are created; those that are there are kept as they are.

mod client;
mod reader;
mod subscription;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hearken_connectors::secret::Secret;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use self::client::{Context, Pending, TIMEOUT, config, watermarks};
use self::reader::{KafkaReader, Reading};
use self::subscription::{KafkaSubscription, Member};
use super::{EventLog, LogError, Offsets, Reader, Record, Subscription, Topic, check_sizes};

/// How a broker is reached and used.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Put before the names of topics and groups, so that several Hearkens can share a cluster.
    pub prefix: String,
    /// Partitions of a topic that is created.
    pub partitions: u32,
    /// Replicas of a topic that is created.
    pub replication: u16,
    /// `retention.ms` of a topic that is created; for ever where there is none.
    pub retention_age: Option<Duration>,
    /// `retention.bytes` of a topic that is created: per partition, as Kafka counts.
    pub retention_bytes: Option<u64>,
    /// Further settings of the client (librdkafka): `security.protocol`, `sasl.username` and so on.
    pub client: BTreeMap<String, String>,
    /// `sasl.password`.
    pub password: Option<Secret>,
}

fn topic_name(options: &KafkaOptions, topic: Topic) -> String {
    format!("{}{}", options.prefix, topic.name())
}

type LogProducer = ThreadedProducer<Context>;

/// The event log on Kafka.
pub struct KafkaLog(Arc<Inner>);

struct Inner {
    options: KafkaOptions,
    producer: Mutex<Arc<LogProducer>>,
}

impl KafkaLog {
    /// Connects, and creates the topics that are missing.
    ///
    /// # Errors
    /// [`LogError::Unusable`] where a setting is wrong (the message says which);
    /// [`LogError::Unavailable`] where no broker answers.
    pub async fn connect(options: KafkaOptions) -> Result<Self, LogError> {
        let producer = Mutex::new(Arc::new(producer(&options)?));
        let log = Self(Arc::new(Inner { options, producer }));
        let existing = log.blocking("connecting to Kafka", |inner| inner.observer("connect")?.topics()).await?;
        topics::ensure(&log.0.options, &existing).await?;
        Ok(log)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let inner = self.0.clone();
        let result = spawn_blocking(move || work(&inner)).await;
        result.map_err(|_| LogError::Unavailable(format!("{what} was interrupted")))?
    }
}

fn producer(options: &KafkaOptions) -> Result<LogProducer, LogError> {
    let mut config = config(options)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "zstd")
        .set("compression.level", "1")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("message.timeout.ms", TIMEOUT.as_millis().to_string())
        // Bounds what waits for the broker, in memory.
        .set("queue.buffering.max.kbytes", "32768")
        .set("queue.buffering.max.messages", "100000");
    let context = Context::default();
    config
        .create_with_context(context.clone())
        .map_err(|error| context.complaint.explain("connect", &options.brokers, &error))
}

impl Inner {
    fn group(&self, group: &str) -> String {
        format!("{}{group}", self.options.prefix)
    }

    /// The producer; a new one where the old one has given up for good.
    fn producer(&self) -> Result<Arc<LogProducer>, LogError> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = current.client().fatal_error() {
            tracing::warn!(%code, reason, "the Kafka producer has failed and is replaced");
            *current = Arc::new(producer(&self.options)?);
        }
        Ok(current.clone())
    }

    /// Hands records to the producer, waiting where its queue is full.
    fn send(&self, topic: Topic, records: &[Record], pending: &Arc<Pending>) -> Result<(), LogError> {
        let producer = self.producer()?;
        let topic = topic_name(&self.options, topic);
        let deadline = Instant::now() + TIMEOUT;
        for record in records {
            let mut unsent =
                BaseRecord::with_opaque_to(&topic, pending.clone()).key(&record.key).payload(&record.value);
            loop {
                match producer.send(unsent) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned))
                        if Instant::now() < deadline =>
                    {
                        unsent = returned;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    Err((error, _)) => return Err(self.explain_append(&producer, &topic, &error)),
                }
            }
        }
        Ok(())
    }

    fn explain_append(&self, producer: &LogProducer, topic: &str, error: &KafkaError) -> LogError {
        let complaint = &producer.context().complaint;
        complaint.explain(&format!("append to {topic}"), &self.options.brokers, error)
    }

    /// A consumer that never joins its group, to ask and to read without one.
    fn observer(&self, group: &str) -> Result<Observer<'_>, LogError> {
        let context = Context::default();
        let mut config = config(&self.options)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let consumer = config
            .create_with_context(context.clone())
            .map_err(|error| context.complaint.explain("connect", &self.options.brokers, &error))?;
        Ok(Observer { inner: self, consumer, context })
    }
}

struct Observer<'a> {
    inner: &'a Inner,
    consumer: BaseConsumer<Context>,
    context: Context,
}

impl Observer<'_> {
    fn explain(&self, what: &str, error: &KafkaError) -> LogError {
        // What the client has to say arrives as events, and only by polling.
        for _ in 0..100 {
            let _ = self.consumer.poll(Duration::ZERO);
        }
        self.context.complaint.explain(what, &self.inner.options.brokers, error)
    }

    /// The topics of the cluster and how many partitions they have.
    fn topics(&self) -> Result<BTreeMap<String, usize>, LogError> {
        let metadata = self.consumer.fetch_metadata(None, TIMEOUT).map_err(|error| self.explain("connect", &error))?;
        Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    /// All partitions of these topics, at this offset.
    fn partitions(&self, topics: &[Topic], offset: Offset) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let name = topic_name(&self.inner.options, *topic);
            let metadata = self.consumer.fetch_metadata(Some(&name), TIMEOUT);
            let metadata = metadata.map_err(|error| self.explain(&format!("find the topic {name}"), &error))?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                list.add_partition_offset(&name, partition.id(), offset)
                    .map_err(|error| self.explain(&format!("read the topic {name}"), &error))?;
            }
        }
        Ok(list)
    }

    fn watermarks(&self, partition: &TopicPartitionListElem<'_>) -> Result<(i64, i64), LogError> {
        watermarks(self.consumer.client(), partition.topic(), partition.partition())
            .map_err(|error| self.explain("read where the topics begin and end", &error))
    }

    fn lag(&self, topics: &[Topic]) -> Result<u64, LogError> {
        let partitions = self.partitions(topics, Offset::Invalid)?;
        let committed = self.consumer.committed_offsets(partitions, TIMEOUT);
        let committed = committed.map_err(|error| self.explain("read the committed offsets", &error))?;
        let mut lag = 0;
        for element in committed.elements() {
            let (low, high) = self.watermarks(&element)?;
            let position = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            lag += u64::try_from(high - position).unwrap_or(0);
        }
        Ok(lag)
    }

    /// Records before these offsets that the group has not committed.
    fn uncommitted(&self, ends: &BTreeMap<(Topic, u32), i64>) -> Result<u64, LogError> {
        let mut lag = 0;
        let topics: Vec<Topic> = ends.keys().map(|(topic, _)| *topic).collect::<BTreeSet<_>>().into_iter().collect();
        for topic in topics {
            let committed = self.consumer.committed_offsets(self.partitions(&[topic], Offset::Invalid)?, TIMEOUT);
            for element in committed.map_err(|error| self.explain("read the committed offsets", &error))?.elements() {
                let partition = u32::try_from(element.partition()).unwrap_or(u32::MAX);
                let end = ends.get(&(topic, partition)).copied().unwrap_or(0);
                let (low, _) = self.watermarks(&element)?;
                let position = match element.offset() {
                    Offset::Offset(offset) => offset.max(low),
                    _ => low,
                };
                lag += u64::try_from(end - position).unwrap_or(0);
            }
        }
        Ok(lag)
    }

    fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        let what = format!("read {}", topic.name());
        let partitions = self.partitions(&[topic], Offset::Beginning)?;
        self.consumer.assign(&partitions).map_err(|error| self.explain(&what, &error))?;
        let mut unread = partitions.count();
        let mut latest = BTreeMap::new();
        while unread > 0 {
            match self.consumer.poll(TIMEOUT) {
                Some(Ok(message)) => {
                    let key = message.key().unwrap_or_default().to_vec();
                    match message.payload() {
                        Some(value) => latest.insert(key, value.to_vec()),
                        None => latest.remove(&key),
                    };
                }
                Some(Err(KafkaError::PartitionEOF(_))) => unread -= 1,
                Some(Err(error)) => return Err(self.explain(&what, &error)),
                None => return Err(self.explain(&what, &KafkaError::NoMessageReceived)),
            }
        }
        Ok(latest)
    }

    /// The broker refuses this while the group has members.
    fn rewind(&self, group: &str, topics: &[Topic]) -> Result<(), LogError> {
        let mut partitions = TopicPartitionList::new();
        for element in self.partitions(topics, Offset::Invalid)?.elements() {
            let (low, _) = self.watermarks(&element)?;
            partitions
                .add_partition_offset(element.topic(), element.partition(), Offset::Offset(low))
                .map_err(|error| self.explain("rewind", &error))?;
        }
        use RDKafkaErrorCode as Code;
        self.consumer.commit(&partitions, CommitMode::Sync).map_err(|error| match error.rdkafka_error_code() {
            Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress) => {
                LogError::Unusable(format!("cannot rewind group {group}: it has members, stop them and try again"))
            }
            _ => self.explain(&format!("rewind group {group}"), &error),
        })
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError> {
        check_sizes(topic, &records)?;
        let (pending, outcome) = Pending::new();
        self.blocking("appending to Kafka", move |inner| inner.send(topic, &records, &pending)).await?;
        // Closed without an error once the last delivery has let go of it.
        match outcome.await {
            Err(_) => Ok(()),
            Ok(error) => {
                let producer = self.0.producer()?;
                Err(self.0.explain_append(&producer, &topic_name(&self.0.options, topic), &error))
            }
        }
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        let (group, topics) = (self.0.group(group), topics.to_vec());
        let join = move |inner: &Inner| Member::join(&inner.options, &group, &topics);
        Ok(Box::new(KafkaSubscription::new(self.blocking("joining a group of Kafka", join).await?)))
    }

    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        self.blocking("reading from Kafka", move |inner| inner.observer(&inner.group("latest"))?.latest(topic)).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<u64, LogError> {
        let (group, topics) = (self.0.group(group), topics.to_vec());
        self.blocking("asking Kafka for the lag", move |inner| inner.observer(&group)?.lag(&topics)).await
    }

    async fn read(&self, topics: &[Topic], after: &Offsets) -> Result<Box<dyn Reader>, LogError> {
        let (inner, topics, after) = (self.0.clone(), topics.to_vec(), after.clone());
        let open = move |_: &Inner| Reading::open(inner, &topics, &after);
        Ok(Box::new(KafkaReader::new(self.blocking("reading from Kafka", open).await?)))
    }

    async fn rewind(&self, group: &str, topics: &[Topic]) -> Result<(), LogError> {
        let (group, topics) = (self.0.group(group), topics.to_vec());
        self.blocking("rewinding a group of Kafka", move |inner| inner.observer(&group)?.rewind(&group, &topics)).await
    }
}
