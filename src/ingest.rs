//! Ingest: connector -> event log -> cursor, one task per source.
//!
//! The order of writes is the promise: messages, dead letters and ledger events are acknowledged
//! first, the cursor that covers them is written last. A crash in between makes the source speak
//! twice, never not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hearken_connectors::{Batch, Connector, ConnectorError, Cursor, Fault, Gap, GapReason, Message};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::eventlog::{EventLog, LogError, Record, Topic};
use crate::ledger::{DeadLetter, LedgerEvent, What};
use crate::metrics::Metrics;
use crate::supervise::TaskError;

/// Name and channel of a source, and whether everything that it has now was heard.
#[derive(Debug)]
pub struct Source {
    /// Its name in the configuration.
    pub name: String,
    /// Its channel.
    pub channel: String,
    caught_up: AtomicBool,
}

impl Source {
    /// A source that has not been polled yet.
    pub fn new(name: &str, channel: &str) -> Self {
        Self { name: name.to_owned(), channel: channel.to_owned(), caught_up: AtomicBool::new(false) }
    }

    /// True when the last poll left nothing behind that could be heard at once, or failed.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }
}

/// The stored cursor of a source, if there is one.
pub async fn stored_cursor(log: &dyn EventLog, source: &str) -> Result<Option<Cursor>, LogError> {
    let cursors = log.latest(Topic::Cursors).await?;
    let stored = cursors.get(source.as_bytes());
    stored
        .map(|json| serde_json::from_slice(json))
        .transpose()
        .map_err(|error| LogError::Unusable(format!("the stored cursor of source `{source}` is not JSON: {error}")))
}

/// Listens to one source until it is drained, fails, or is told to stop.
pub async fn listen(
    source: &Source,
    mut connector: Box<dyn Connector>,
    log: Arc<dyn EventLog>,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), TaskError> {
    let mut ingest = Ingest { source, log, metrics, heard_until: Timestamp::now() };
    while let Some(polled) = stop.run_until_cancelled(connector.next_batch()).await {
        match polled {
            Ok(batch) => {
                let (more, end) = (batch.more, batch.end);
                ingest.store(batch).await?;
                source.caught_up.store(!more, Ordering::Relaxed);
                if end {
                    return Ok(());
                }
            }
            Err(error) => {
                ingest.outage(&error).await?;
                source.caught_up.store(true, Ordering::Relaxed);
                wait_out(error, &stop).await?;
            }
        }
    }
    Ok(())
}

/// Stays with the same connector value over a failure of the remote, so that what it knows about
/// its outage is not forgotten; anything else is for the supervisor.
async fn wait_out(error: ConnectorError, stop: &CancellationToken) -> Result<(), TaskError> {
    /// The shortest pause between two tries of a failing remote.
    const PAUSE: Duration = Duration::from_secs(5);
    let Some(asked) = error.retry_after else {
        return Err(TaskError::Fatal(error.message));
    };
    match error.fault {
        Fault::Remote | Fault::Network => {
            tracing::warn!(error = error.message, wait_s = asked.max(PAUSE).as_secs(), "the source cannot be heard");
            stop.run_until_cancelled(tokio::time::sleep(asked.max(PAUSE))).await;
            Ok(())
        }
        Fault::Bug | Fault::Configuration => Err(TaskError::Retry { reason: error.message, after: asked }),
    }
}

struct Ingest<'a> {
    source: &'a Source,
    log: Arc<dyn EventLog>,
    metrics: Metrics,
    /// Until when the source is known to have been heard; an outage begins here.
    heard_until: Timestamp,
}

impl Ingest<'_> {
    /// Makes a batch durable, then its cursor.
    async fn store(&mut self, batch: Batch) -> Result<(), TaskError> {
        let now = Timestamp::now();
        let poll = What::Poll {
            at: now,
            messages: batch.messages.len() as u64,
            poison: batch.poison.len() as u64,
            error: String::new(),
        };
        let messages = encode(batch.messages).await?;
        self.append(Topic::Messages, messages).await;
        let dead_letter = |poison| DeadLetter { source: self.source.name.clone(), at: now, poison }.record();
        let dead_letters = batch.poison.into_iter().map(dead_letter).collect::<Result<_, _>>();
        self.append(Topic::DeadLetter, dead_letters.map_err(TaskError::retry)?).await;
        self.note(batch.gaps.into_iter().map(What::Gap).chain([poll])).await?;
        if let Some(cursor) = batch.cursor {
            let value = serde_json::to_vec(&cursor).map_err(TaskError::retry)?;
            self.append(Topic::Cursors, vec![Record { key: self.source.name.clone().into_bytes(), value }]).await;
        }
        self.heard_until = now;
        Ok(())
    }

    /// Admits that the source cannot be heard.
    async fn outage(&self, error: &ConnectorError) -> Result<(), TaskError> {
        let now = Timestamp::now();
        let reason = if error.rate_limited { GapReason::RateLimit } else { GapReason::Outage };
        let gap = Gap { from: self.heard_until, until: now, reason, estimate: None, detail: error.message.clone() };
        let poll = What::Poll { at: now, messages: 0, poison: 0, error: error.message.clone() };
        self.note([What::Gap(gap), poll]).await
    }

    async fn note(&self, entries: impl IntoIterator<Item = What>) -> Result<(), TaskError> {
        let (source, channel) = (&self.source.name, &self.source.channel);
        let event = |what| LedgerEvent { source: source.clone(), channel: channel.clone(), what };
        let events: Vec<_> = entries.into_iter().map(event).collect();
        let records = events.iter().map(LedgerEvent::record).collect::<Result<_, _>>().map_err(TaskError::retry)?;
        self.append(Topic::Ledger, records).await;
        events.iter().for_each(|event| self.metrics.ledger(event));
        Ok(())
    }

    /// Appends until it is acknowledged. While the log is away, listening pauses here: nothing is
    /// lost, because the source is not asked for more.
    async fn append(&self, topic: Topic, records: Vec<Record>) {
        /// The first and the longest pause between two tries.
        const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
        if records.is_empty() {
            return;
        }
        let mut pause = PAUSE.0;
        while let Err(error) = self.log.append(topic, records.clone()).await {
            tracing::warn!(source = self.source.name, topic = topic.name(), %error, "listening pauses: cannot append");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Messages as records keyed by id; off the async threads, because a batch is thousands of them.
async fn encode(messages: Vec<Message>) -> Result<Vec<Record>, TaskError> {
    let encode_all = move || -> Result<Vec<Record>, serde_json::Error> {
        let encode_one = |message: &Message| {
            Ok(Record { key: message.id.0.as_bytes().to_vec(), value: serde_json::to_vec(message)? })
        };
        messages.iter().map(encode_one).collect()
    };
    tokio::task::spawn_blocking(encode_all).await.map_err(TaskError::retry)?.map_err(TaskError::retry)
}
