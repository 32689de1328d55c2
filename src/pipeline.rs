//! The pipeline: event log -> brand match -> score -> store -> offset commit.
//!
//! Records are scored in chunks, a few at once, and gathered in the order in which they were read. What
//! has gathered is inserted as one part of the table: large ones when there is a backlog, because merging
//! small parts is what costs ClickHouse most, and small ones at once when there is none. An offset is
//! committed only when everything before it is on disk in the store. What is read twice after a crash
//! collapses there by (brand, message id) and revision, so neither a crash nor a replay changes a figure.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::OptionFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use hearken_connectors::{Message, Poison};
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::eventlog::{Delivered, EventLog, Offsets, Record, Topic};
use crate::ledger::DeadLetter;
use crate::mention::{self, Brands, Scored};
use crate::metrics::Metrics;
use crate::query::{Fields, Match, Matcher, Scratch};
use crate::score::Scorer;
use crate::store::{EncodedMentions, Store};
use crate::supervise::TaskError;

/// Consumer group of the pipeline.
pub const GROUP: &str = "hearken.scorer";
/// Topics that it reads.
pub const TOPICS: [Topic; 2] = [Topic::Messages, Topic::Backfill];
/// Most records of a chunk, scored on one thread.
const CHUNK: usize = 4_000;
/// Chunks being scored at once.
const SCORING: usize = 2;
/// Mentions are inserted when they are this large; at most that much is inserted while as much gathers.
const INSERT_BYTES: usize = 16 << 20;
/// How long a mention may wait to be inserted with others: bounds the time from heard to queryable, and
/// keeps the number of inserts low when messages trickle in.
const LINGER: Duration = Duration::from_millis(200);
/// The same while there is a backlog.
const BACKLOG_LINGER: Duration = Duration::from_secs(1);
/// A read that returns this many records says that there is one.
const BACKLOG: usize = CHUNK / 2;
/// How long a read waits for records.
const POLL: Duration = Duration::from_millis(500);

/// What messages are matched and scored by.
pub struct Rules {
    /// The brands, in the order in which `matcher` was compiled.
    pub brands: Brands,
    /// All brands' queries.
    pub matcher: Matcher,
    /// The first tier of scoring.
    pub scorer: Scorer,
}

/// What every chunk needs; shared by the chunks in work.
pub struct Pipeline {
    /// Where messages come from, and where dead letters go.
    pub log: Arc<dyn EventLog>,
    /// Where mentions go.
    pub store: Store,
    /// What holds for the next chunk; replaced as a whole when the configuration is read again.
    pub rules: RwLock<Arc<Rules>>,
    /// Scored mentions also go to the topic `hearken.mentions`.
    pub publish: bool,
    /// What is counted.
    pub metrics: Metrics,
}

/// Runs until told to stop; then finishes what is in work.
pub async fn run(pipeline: Arc<Pipeline>, stop: CancellationToken) -> Result<(), TaskError> {
    let mut subscription = pipeline.log.subscribe(GROUP, &TOPICS).await.map_err(TaskError::retry)?;
    let mut scoring: FuturesOrdered<JoinHandle<Result<Gathered, TaskError>>> = FuturesOrdered::new();
    let mut gathered = Gathered::default();
    let mut inserting: Option<JoinHandle<Result<Offsets, TaskError>>> = None;
    let (mut paused, mut stopping) = (false, false);
    loop {
        let finishing = stopping && scoring.is_empty();
        let due = gathered.due().filter(|_| inserting.is_none());
        if due.is_some_and(|due| finishing || due <= Instant::now()) {
            inserting = Some(tokio::spawn(insert(pipeline.clone(), std::mem::take(&mut gathered))));
            continue;
        }
        if finishing && inserting.is_none() {
            return Ok(());
        }
        // A full pipeline stays a member of its group: it goes on polling, and gets nothing.
        let full = scoring.len() >= SCORING || gathered.is_full();
        if full != paused {
            if full { subscription.pause() } else { subscription.resume() }.map_err(TaskError::retry)?;
            paused = full;
        }
        tokio::select! {
            Some(stored) = OptionFuture::from(inserting.as_mut()) => {
                inserting = None;
                let offsets = stored.map_err(TaskError::retry)??;
                subscription.commit(&offsets).await.map_err(TaskError::retry)?;
            }
            Some(chunk) = scoring.next() => gathered.add(chunk.map_err(TaskError::retry)??),
            polled = subscription.poll(CHUNK, POLL), if !stopping => {
                let records = polled.map_err(TaskError::retry)?;
                if !records.is_empty() {
                    scoring.push_back(tokio::spawn(score(pipeline.clone(), records)));
                }
            }
            Some(()) = OptionFuture::from(due.map(tokio::time::sleep_until)) => {}
            () = stop.cancelled(), if !stopping => stopping = true,
        }
    }
}

/// Scored records that wait for the store, or are on their way into it.
#[derive(Default)]
struct Gathered {
    offsets: Offsets,
    mentions: EncodedMentions,
    by_brand: BTreeMap<String, u64>,
    /// When the oldest message was heard.
    heard: Option<Timestamp>,
    dead_letters: Vec<Record>,
    published: Vec<Record>,
    /// When the oldest of them was read.
    since: Option<Instant>,
    /// More is on its way.
    backlog: bool,
}

impl Gathered {
    fn add(&mut self, chunk: Self) {
        self.offsets.extend(chunk.offsets);
        self.mentions.append(chunk.mentions);
        for (brand, count) in chunk.by_brand {
            *self.by_brand.entry(brand).or_default() += count;
        }
        self.heard = self.heard.into_iter().chain(chunk.heard).min();
        self.dead_letters.extend(chunk.dead_letters);
        self.published.extend(chunk.published);
        self.since = self.since.or(chunk.since);
        self.backlog = chunk.backlog;
    }

    fn is_full(&self) -> bool {
        self.mentions.bytes() >= INSERT_BYTES
    }

    /// When to insert; `None` while there is nothing.
    fn due(&self) -> Option<Instant> {
        let linger = match (self.is_full(), self.backlog) {
            (true, _) => Duration::ZERO,
            (false, true) => BACKLOG_LINGER,
            (false, false) => LINGER,
        };
        self.since.map(|since| since + linger)
    }
}

/// Scores a chunk, off the async threads.
async fn score(pipeline: Arc<Pipeline>, records: Vec<Delivered>) -> Result<Gathered, TaskError> {
    let since = Some(Instant::now());
    let scored = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let rules = pipeline.rules();
        let (scored, poison) = rules.score(&records);
        let rows: Vec<_> = scored.iter().flat_map(|one| one.rows(&rules.brands, &rules.scorer)).collect();
        let mut by_brand = BTreeMap::new();
        for row in rows.iter().filter(|row| !row.deleted) {
            *by_brand.entry(row.brand.to_owned()).or_default() += 1;
        }
        let published =
            scored.iter().filter(|_| pipeline.publish).flat_map(|one| one.records(&rules.brands, &rules.scorer));
        pipeline.metrics.scored(started.elapsed());
        Ok::<_, serde_json::Error>(Gathered {
            offsets: Offsets::covering(&records),
            mentions: EncodedMentions::of(&rows),
            by_brand,
            heard: scored.iter().map(|one| one.message.observed_at).min(),
            dead_letters: poison.iter().map(DeadLetter::record).collect::<Result<_, _>>()?,
            published: published.collect::<Result<_, _>>()?,
            since,
            backlog: records.len() >= BACKLOG,
        })
    });
    scored.await.map_err(TaskError::retry)?.map_err(TaskError::retry)
}

/// Makes everything that has gathered durable; returns the offsets that it covers.
async fn insert(pipeline: Arc<Pipeline>, gathered: Gathered) -> Result<Offsets, TaskError> {
    let (started, dead_letters) = (Instant::now(), gathered.dead_letters.len());
    pipeline.log.append(Topic::DeadLetter, gathered.dead_letters).await.map_err(TaskError::retry)?;
    pipeline.insert(&gathered.mentions).await?;
    pipeline.metrics.stored(started.elapsed(), &gathered.by_brand, dead_letters, gathered.heard);
    pipeline.log.append(Topic::Mentions, gathered.published).await.map_err(TaskError::retry)?;
    Ok(gathered.offsets)
}

/// The brands that a message speaks of. Its language is told first, where a query asks for it.
pub fn matches(matcher: &Matcher, scorer: &Scorer, message: &Message, scratch: &mut Scratch) -> Vec<Match> {
    let language = if matcher.asks_language() { scorer.language(message) } else { "" };
    matcher.matches(Fields { language, ..Fields::from(message) }, scratch)
}

impl Rules {
    /// Pure: records in, scored messages and dead letters out.
    fn score(&self, records: &[Delivered]) -> (Vec<Scored>, Vec<DeadLetter>) {
        let now = Timestamp::now();
        let mut scored = Vec::with_capacity(records.len());
        let mut poison = Vec::new();
        let mut scratch = Scratch::default();
        for record in records {
            match serde_json::from_slice::<Message>(&record.value) {
                Ok(message) => {
                    let matches = if message.deleted {
                        Vec::new()
                    } else {
                        matches(&self.matcher, &self.scorer, &message, &mut scratch)
                    };
                    if matches.is_empty() && !mention::is_revised(&message) {
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
}

impl Pipeline {
    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next chunk is matched and scored by these.
    pub fn set_rules(&self, rules: Arc<Rules>) {
        self.metrics.queries(rules.brands.len(), rules.matcher.bytes());
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Inserts until the store acknowledges; while it is away, the pipeline waits here.
    async fn insert(&self, mentions: &EncodedMentions) -> Result<(), TaskError> {
        /// The first and the longest pause between two tries.
        const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
        let mut pause = PAUSE.0;
        loop {
            match self.store.insert_encoded(mentions).await {
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
