//! The pipeline: event log -> brand match -> score -> store -> offset commit.
//!
//! Batches are scored and inserted concurrently, up to `DEPTH` at once, and committed in the order
//! in which they were read: an offset is committed only when everything before it is on disk in the
//! store. What is read twice after a crash collapses there by (brand, message id) and revision, so
//! neither a crash nor a replay changes a figure.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt};
use hearken_connectors::{Message, Poison};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::eventlog::{Delivered, EventLog, Offsets, Topic};
use crate::ledger::DeadLetter;
use crate::mention::{Brands, Scored};
use crate::query::{Matcher, Scratch};
use crate::score::Scorer;
use crate::store::Store;
use crate::supervise::TaskError;

/// Consumer group of the pipeline.
pub const GROUP: &str = "hearken.scorer";
/// Topics that it reads.
pub const TOPICS: [Topic; 2] = [Topic::Messages, Topic::Backfill];
/// Batches in work at once.
const DEPTH: usize = 3;
/// Most records in a batch.
const BATCH: usize = 10_000;
/// How long a batch may wait for more records: bounds the time from heard to queryable, and keeps
/// the number of inserts low when messages trickle in.
const LINGER: Duration = Duration::from_millis(200);
/// How long a read waits for records.
const POLL: Duration = Duration::from_millis(500);

/// What every batch needs; shared by the batches in work.
pub struct Pipeline {
    /// Where messages come from, and where dead letters go.
    pub log: Arc<dyn EventLog>,
    /// Where mentions go.
    pub store: Store,
    /// The brands, in the order in which `matcher` was compiled.
    pub brands: Brands,
    /// All brands' queries.
    pub matcher: Matcher,
    /// The first tier of scoring.
    pub scorer: Scorer,
    /// Scored mentions also go to the topic `hearken.mentions`.
    pub publish: bool,
}

/// Runs until told to stop; then finishes what is in work.
pub async fn run(pipeline: Arc<Pipeline>, stop: CancellationToken) -> Result<(), TaskError> {
    let mut subscription = pipeline.log.subscribe(GROUP, &TOPICS).await.map_err(TaskError::retry)?;
    let mut in_work: FuturesOrdered<JoinHandle<Result<Offsets, TaskError>>> = FuturesOrdered::new();
    let mut waiting: Vec<Delivered> = Vec::new();
    let mut oldest = Instant::now();
    loop {
        let due = waiting.len() >= BATCH || (!waiting.is_empty() && oldest.elapsed() >= LINGER);
        if due && in_work.len() < DEPTH {
            let batch = std::mem::take(&mut waiting);
            in_work.push_back(tokio::spawn(process(pipeline.clone(), batch)));
            continue;
        }
        // A full pipeline stays a member of its group: it goes on polling, and gets nothing.
        if waiting.len() >= BATCH { subscription.pause() } else { subscription.resume() }.map_err(TaskError::retry)?;
        let wait = if waiting.is_empty() { POLL } else { LINGER.saturating_sub(oldest.elapsed()) };
        tokio::select! {
            Some(done) = in_work.next() => {
                let offsets = done.map_err(TaskError::retry)??;
                subscription.commit(&offsets).await.map_err(TaskError::retry)?;
            }
            polled = subscription.poll(BATCH - waiting.len().min(BATCH), wait) => {
                let records = polled.map_err(TaskError::retry)?;
                if waiting.is_empty() {
                    oldest = Instant::now();
                }
                waiting.extend(records);
            }
            () = stop.cancelled() => break,
        }
    }
    while let Some(done) = in_work.next().await {
        subscription.commit(&done.map_err(TaskError::retry)??).await.map_err(TaskError::retry)?;
    }
    Ok(())
}

/// Takes one batch all the way; returns the offsets that it covers.
async fn process(pipeline: Arc<Pipeline>, records: Vec<Delivered>) -> Result<Offsets, TaskError> {
    let offsets = Offsets::covering(&records);
    let work = pipeline.clone();
    let (scored, poison) = tokio::task::spawn_blocking(move || work.score(&records)).await.map_err(TaskError::retry)?;
    let dead_letters = poison.iter().map(DeadLetter::record).collect::<Result<Vec<_>, _>>();
    pipeline.log.append(Topic::DeadLetter, dead_letters.map_err(TaskError::retry)?).await.map_err(TaskError::retry)?;
    pipeline.insert(&scored).await?;
    if pipeline.publish {
        let published = scored.iter().flat_map(|one| one.records(&pipeline.brands)).collect::<Result<Vec<_>, _>>();
        pipeline.log.append(Topic::Mentions, published.map_err(TaskError::retry)?).await.map_err(TaskError::retry)?;
    }
    Ok(offsets)
}

impl Pipeline {
    /// Pure: records in, scored messages and dead letters out.
    fn score(&self, records: &[Delivered]) -> (Vec<Scored>, Vec<DeadLetter>) {
        let now = Timestamp::now();
        let mut scored = Vec::with_capacity(records.len());
        let mut poison = Vec::new();
        let mut scratch = Scratch::default();
        for record in records {
            match serde_json::from_slice::<Message>(&record.value) {
                Ok(message) => {
                    let matches =
                        if message.deleted { Vec::new() } else { self.matcher.matches(&message, &mut scratch) };
                    if matches.is_empty() && message.version == 0 && !message.deleted {
                        continue;
                    }
                    let score = self.scorer.score(&message);
                    scored.push(Scored { message, matches, score, at: now });
                }
                Err(error) => poison.push(dead_letter(record, &error, now)),
            }
        }
        (scored, poison)
    }

    /// Inserts until the store acknowledges; while it is away, the pipeline waits here.
    async fn insert(&self, scored: &[Scored]) -> Result<(), TaskError> {
        /// The first and the longest pause between two tries.
        const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
        let rows: Vec<_> = scored.iter().flat_map(|one| one.rows(&self.brands, &self.scorer)).collect();
        let mut pause = PAUSE.0;
        loop {
            match self.store.insert_mentions(&rows).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "scoring waits: the store cannot be written");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(error) => return Err(TaskError::retry(error)),
            }
        }
    }
}

fn dead_letter(record: &Delivered, error: &serde_json::Error, at: Timestamp) -> DeadLetter {
    let origin = format!("{}/{}/{}", record.topic.name(), record.partition, record.offset);
    let reason =
        format!("not a message: {:?} error at line {}, column {}", error.classify(), error.line(), error.column());
    DeadLetter { source: "pipeline".to_owned(), at, poison: Poison { origin, reason, payload: record.value.clone() } }
}
