//! Texts of the topic `hearken.mentions`, as a member of the consumer group `hearken.bert`.
//!
//! Offsets are committed after the daemon has acknowledged the opinions. While texts are in work, partitions are paused
//! and the member goes on polling, so that it stays in its group however long that takes.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::BATCH;
use crate::daemon::Wanted;
use crate::metrics::Metrics;

/// The topic that the daemon writes in the cluster profile.
const TOPIC: &str = "hearken.mentions";
/// The consumer group.
const GROUP: &str = "hearken.bert";
/// Once there is a record, how long others may take to come.
const GATHER: Duration = Duration::from_millis(200);
/// Pause after an error that passes.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the topic cannot be read, and will not be by trying again.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {TOPIC} from the Kafka brokers {brokers} (--kafka) as group {GROUP}: {source}")]
pub struct KafkaError {
    brokers: String,
    source: ClientError,
}

struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, message, "kafka client");
            }
            _ => tracing::warn!(facility, message, "kafka client"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Context {}

/// A record: where it is, and the text if it wants an opinion.
struct Record {
    partition: i32,
    offset: i64,
    text: Option<Wanted>,
}

/// What is read of a record: `Published` in the daemon's `src/mention.rs`. What is usual is left out there.
#[derive(Deserialize)]
struct Published {
    deleted: bool,
    sentiment: String,
    sentiment_score: f32,
    sentiment_confidence: f32,
    sentiment_model: String,
    message: PublishedMessage,
}

#[derive(Deserialize)]
struct PublishedMessage {
    id: Uuid,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    noise: Option<String>,
}

/// A member of the group with what it has read.
pub struct KafkaTexts {
    consumer: StreamConsumer<Context>,
    brokers: String,
    /// Read while others were in work.
    ahead: VecDeque<Record>,
    /// Offsets to be committed once what is in work is acknowledged.
    offsets: BTreeMap<i32, i64>,
    metrics: Metrics,
}

impl KafkaTexts {
    /// Joins the group.
    pub fn join(brokers: &str, metrics: Metrics) -> Result<Self, KafkaError> {
        let failed = |source| KafkaError { brokers: brokers.to_owned(), source };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "hearken-bert")
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("reconnect.backoff.max.ms", "2000")
            // A process that was killed is missed after this time; its successor waits so long.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            // Where the topic is not there yet, the daemon has not made it.
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", "10000")
            // Bounds what is fetched ahead, in memory.
            .set("queued.max.messages.kbytes", "16384")
            .set_log_level(RDKafkaLogLevel::Warning);
        let consumer: StreamConsumer<Context> = config.create_with_context(Context).map_err(failed)?;
        consumer.subscribe(&[TOPIC]).map_err(failed)?;
        let brokers = brokers.to_owned();
        Ok(Self { consumer, brokers, ahead: VecDeque::new(), offsets: BTreeMap::new(), metrics })
    }

    /// The next texts, each message once; none where no record wants an opinion. `None` after `stop`.
    pub(super) async fn next(&mut self, stop: &CancellationToken) -> Result<Option<Vec<Wanted>>, KafkaError> {
        let mut until = (!self.ahead.is_empty()).then(|| Instant::now() + GATHER);
        while self.ahead.len() < BATCH {
            // What is read is kept in `ahead`, whenever this is cut off.
            let read = tokio::select! {
                read = self.consumer.recv() => read.map(|message| self.record(&message)),
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
            };
            match read {
                Ok(record) => self.ahead.push_back(record),
                Err(error) => self.passes(error).await?,
            }
            until = until.or_else(|| (!self.ahead.is_empty()).then(|| Instant::now() + GATHER));
        }
        let mut seen = HashSet::new();
        let mut texts = Vec::new();
        for record in self.ahead.drain(..self.ahead.len().min(BATCH)) {
            self.offsets.insert(record.partition, record.offset + 1);
            // A message that speaks of two brands is two records.
            texts.extend(record.text.filter(|text| seen.insert((text.id, text.version))));
        }
        Ok(Some(texts))
    }

    /// Polls, paused, while the work is done.
    pub(super) async fn work<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        self.pause(true);
        let done = loop {
            let read = tokio::select! {
                biased;
                done = &mut work => break done,
                read = self.consumer.recv() => read.map(|message| self.record(&message)),
            };
            match read {
                // Fetched before the pause, or from a partition that was assigned since.
                Ok(record) => {
                    self.ahead.push_back(record);
                    self.pause(true);
                }
                Err(error) => {
                    tracing::debug!(%error, "the topic cannot be read at the moment");
                    tokio::select! { biased; done = &mut work => break done, () = tokio::time::sleep(PAUSE) => {} }
                }
            }
        };
        self.pause(false);
        done
    }

    fn pause(&self, pause: bool) {
        let consumer = &self.consumer;
        let set = |all: TopicPartitionList| if pause { consumer.pause(&all) } else { consumer.resume(&all) };
        if let Err(error) = consumer.assignment().and_then(set) {
            tracing::debug!(%error, "cannot pause or resume partitions");
        }
    }

    /// Commits what was read last. Where that fails, a later commit covers it, or it is read again.
    pub(super) fn commit(&mut self) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.offsets) {
            // The only error is an offset that cannot be one.
            let _ = list.add_partition_offset(TOPIC, partition, Offset::Offset(offset));
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = tokio::task::block_in_place(|| self.consumer.commit(&list, CommitMode::Sync)) {
            self.metrics.error("kafka");
            tracing::warn!(%error, "offsets are not committed; the records come again");
        }
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        let read = serde_json::from_slice::<Published>(message.payload().unwrap_or_default());
        let text = read.map(wanted).unwrap_or_else(|error| {
            self.metrics.error("record");
            let (partition, offset) = (message.partition(), message.offset());
            // The place only: the error may quote the text.
            tracing::warn!(
                partition,
                offset,
                line = error.line(),
                column = error.column(),
                "a record is not understood"
            );
            None
        });
        Record { partition: message.partition(), offset: message.offset(), text }
    }

    /// Waits where trying again makes sense.
    async fn passes(&self, error: ClientError) -> Result<(), KafkaError> {
        self.metrics.error("kafka");
        let code = error.rdkafka_error_code();
        let is_final = matches!(
            code,
            Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::Authentication | Code::Fatal)
        );
        if is_final {
            return Err(KafkaError { brokers: self.brokers.clone(), source: error });
        }
        tracing::warn!(%error, "the topic cannot be read at the moment");
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// What wants an opinion: neither what is gone nor what nobody said to the brand in person.
fn wanted(published: Published) -> Option<Wanted> {
    let Published { deleted, sentiment, sentiment_score, sentiment_confidence, sentiment_model, message } = published;
    let is_noise = message.noise.is_some_and(|noise| noise != "none");
    let is_own = message.direction.is_some_and(|direction| direction == "outbound");
    (!deleted && !is_noise && !is_own).then_some(Wanted {
        id: message.id,
        version: message.version,
        title: message.title,
        text: message.text,
        sentiment,
        score: sentiment_score,
        confidence: sentiment_confidence,
        model: sentiment_model,
    })
}
