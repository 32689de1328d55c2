//! Rescoring: brings the stored history of a brand in line with a changed query, model or account, and shows first what
//! would change.
//!
//! The log is read from its beginning by a reader of its own, every message is judged by the rules that hold now, and what
//! the pipeline would have written is held against what the store holds ([`comparison`]). To apply it, the log is read
//! again, and only what differs is written, each row with a revision above the one that stands
//! ([ADR 0019](../../docs/adr/0019-rescoring-writes-generations.md)). It may be killed at any moment and done again: what
//! is written already differs no more.
//!
//! It is done in chunks on the blocking threads, one at a time, so it takes one core at most and the pipeline goes on
//! beside it. What is held in memory is told by [`comparison`]; texts pass through.

pub mod comparison;
mod findings;
mod jobs;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hearken_connectors::Message;
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

pub use findings::{Counts, Findings, Sample, Samples};
pub use jobs::{Order, Refused, Rescores, Rescoring, State, run};

use crate::eventlog::{Delivered, EventLog, LogError, Offsets, Reader, Topic};
use crate::mention::{Brand, Scored, first_revision, is_revised};
use crate::pipeline::{self, GROUP, Rules, TOPICS};
use crate::query::{BrandQuery, Matcher, QueryError, Scratch};
use crate::score::Label;
use crate::store::rows::{FirstOpinion, MentionRow};
use crate::store::{EncodedMentions, Store, StoreError};
use crate::views::history::{self, Held, Second, Short};
use comparison::{Comparison, Exhausted, Facts, Heard, Holdings, Judgement, Said, Stored, Verdict, Writing, label};
use findings::Chosen;

/// Most records of a chunk, judged on one thread without a pause.
const CHUNK: usize = 4_000;
/// Rows are inserted when they are this large.
const INSERT_BYTES: usize = 16 << 20;
/// Tombstones of an insert.
const TOMBSTONES: usize = 20_000;
/// How often it is looked whether the pipeline has stored what was heard before.
const LOOK: Duration = Duration::from_millis(500);
/// A pipeline that has stored nothing for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of a sample.
const SAMPLE_CHARACTERS: usize = 100;
/// So many times the samples are gathered of what seems to be added: some of it is taken back by a later edit.
const SPARE: usize = 4;

/// What is compared.
#[derive(Clone)]
pub struct History {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The store.
    pub store: Store,
    /// Scored mentions also go to the topic `hearken.mentions`.
    pub publish: bool,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The brand.
    pub brand: Brand,
    /// Its query: the one that is configured, or another one.
    pub query: String,
    /// Messages that were published then or later; all of them where it is `None`.
    pub since: Option<Timestamp>,
    /// Most samples of each kind.
    pub samples: usize,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The pipeline has to store so many records first.
    Waiting(u64),
    /// So many of so many records are compared.
    Comparing(u64, u64),
    /// So many of so many records were read again, and so many rows are written.
    Applying(u64, u64, u64),
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum RescoreError {
    /// The log cannot be read.
    #[error("reading the log: {0}")]
    Log(#[from] LogError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The query is none.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A record of the topic `hearken.mentions` cannot be made.
    #[error("making a record of a mention: {0}")]
    Record(#[from] serde_json::Error),
    /// A mention cannot be written anew.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// The day, or the moment (RFC 3339), from which on messages are looked at; a day begins in UTC.
pub fn since(text: &str) -> Option<Timestamp> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    text.parse().ok().or_else(|| Some(day()?.timestamp()))
}

/// Names of channels by number.
#[derive(Default)]
struct Channels(Vec<String>);

impl Channels {
    fn number(&mut self, name: &str) -> u16 {
        let known = self.0.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn name(&self, number: u16) -> &str {
        self.0.get(usize::from(number)).map_or("", String::as_str)
    }
}

/// A comparison with what it is made by; passed from chunk to chunk.
struct Work {
    question: Question,
    rules: Arc<Rules>,
    matcher: Matcher,
    scratch: Scratch,
    /// The brand alone, as the matcher numbers it.
    brands: Vec<Brand>,
    channels: Channels,
    comparison: Comparison,
    /// Samples of what may be added, and the revisions that they are of.
    added: BTreeMap<Uuid, (u128, Sample)>,
    records: u64,
    unreadable: u64,
}

/// A comparison that is complete.
pub struct Compared {
    /// What it has found.
    pub findings: Findings,
    work: Work,
}

/// Compares what the store holds of a brand with what the log says by this query and these rules. Writes nothing.
///
/// What was heard before it began is compared once the pipeline has stored it. What is heard meanwhile is left to the
/// pipeline.
///
/// # Errors
/// The query is none, or log or store cannot be read.
pub async fn compare(
    history: &History,
    question: &Question,
    rules: &Arc<Rules>,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Compared, RescoreError> {
    let query = BrandQuery { brand: question.brand.name.clone(), query: question.query.clone() };
    let matcher = Matcher::compile(&[query])?;
    let mut reader = history.log.read(&TOPICS, &Offsets::default()).await?;
    let backlog = settle(&*reader, tell).await?;
    let (comparison, channels) = stored(&history.store, question).await?;
    // Opened after the store was read: whatever the store holds is in what either of the two reads.
    let mut later = history.log.read(&TOPICS, &reader.end()).await?;
    let mut work = Work {
        question: question.clone(),
        rules: rules.clone(),
        matcher,
        scratch: Scratch::default(),
        brands: vec![question.brand.clone()],
        channels,
        comparison,
        added: BTreeMap::new(),
        records: 0,
        unreadable: 0,
    };
    loop {
        let records = reader.next(CHUNK).await?;
        if records.is_empty() {
            break;
        }
        work = aside(move || {
            work.hear(&records);
            work
        })
        .await;
        tell(Progress::Comparing(work.records, work.records + reader.left()));
    }
    loop {
        let records = later.next(CHUNK).await?;
        if records.is_empty() {
            break;
        }
        records.iter().filter_map(id).for_each(|id| work.comparison.hear_later(id));
    }
    work.comparison.check()?;
    let findings = work.findings(&history.store, backlog).await?;
    Ok(Compared { findings, work })
}

impl Compared {
    /// Writes what differs; returns how many rows that were. May be broken off and done again.
    ///
    /// Whoever derives something from mentions looks whether the latest time of storing has changed. The rows of a long
    /// insert carry its beginning, and the pipeline may have stored something since. So the last row is written once more
    /// when all are there.
    ///
    /// # Errors
    /// The log cannot be read, or the store not be read or written.
    pub async fn apply(self, history: &History, tell: &(dyn Fn(Progress) + Sync)) -> Result<u64, RescoreError> {
        let Self { mut work, findings: Findings { mentions, .. } } = self;
        let (mut written, mut last) = work.remove(&history.store).await?;
        tell(Progress::Applying(0, 0, written));
        if mentions.added + mentions.changed == 0 {
            history.store.insert_encoded(&last).await?;
            return Ok(written);
        }
        let mut reader = history.log.read(&TOPICS, &Offsets::default()).await?;
        let total = reader.left();
        let (mut rows, mut records) = (EncodedMentions::default(), Vec::new());
        loop {
            let read = reader.next(CHUNK).await?;
            let is_last = read.is_empty();
            let writings;
            (work, writings) = aside(move || {
                let writings = work.writings(&read);
                (work, writings)
            })
            .await;
            let writings = writings?;
            let seconds = work.second_opinions(&history.store, &writings).await?;
            let chunk = work.rows(&writings, &seconds);
            written += chunk.len() as u64;
            rows.append(EncodedMentions::of(&chunk));
            if let Some(row) = chunk.last() {
                last = EncodedMentions::of(std::slice::from_ref(row));
            }
            if history.publish {
                let published =
                    writings.iter().flat_map(|(scored, _)| scored.records(&work.brands, &work.rules.scorer));
                records.extend(published.collect::<Result<Vec<_>, _>>()?);
            }
            if rows.bytes() >= INSERT_BYTES || is_last {
                history.store.insert_encoded(&std::mem::take(&mut rows)).await?;
                history.log.append(Topic::Mentions, std::mem::take(&mut records)).await?;
            }
            tell(Progress::Applying(total.saturating_sub(reader.left()), total, written));
            if is_last {
                history.store.insert_encoded(&last).await?;
                return Ok(written);
            }
        }
    }
}

/// Waits until the pipeline has stored what the reader reads; returns what it has not, where it does not go on.
///
/// A chunk that was scored by rules from before a change is stored when this returns.
async fn settle(reader: &dyn Reader, tell: &(dyn Fn(Progress) + Sync)) -> Result<u64, LogError> {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    loop {
        let lag = reader.lag(GROUP).await?;
        if lag < least {
            (least, since) = (lag, Instant::now());
        }
        if lag == 0 || since.elapsed() > PATIENCE {
            return Ok(lag);
        }
        tell(Progress::Waiting(lag));
        tokio::time::sleep(LOOK).await;
    }
}

/// What the store holds of the brand.
async fn stored(store: &Store, question: &Question) -> Result<(Comparison, Channels), StoreError> {
    let (mut holdings, mut channels) = (Holdings::default(), Channels::default());
    let mut rows = history::held(store, &question.brand.name, question.since)?;
    while let Some(row) = rows.next().await? {
        holdings.hold(Stored {
            id: row.id,
            revision: row.revision,
            deleted: row.deleted,
            channel: channels.number(&row.channel),
            judgement: Judgement::of(&facts(&row)),
            shown: label(&row.shown),
        });
    }
    Ok((holdings.compare(), channels))
}

fn facts(held: &Held) -> Facts<'_> {
    Facts {
        sentiment: FirstOpinion {
            sentiment: &held.sentiment,
            score: held.score,
            confidence: held.confidence,
            model: &held.model,
        },
        matched: &held.matched,
        language: &held.language,
        language_confidence: held.language_confidence,
        intents: held.intents.iter().map(String::as_str).collect(),
        intent_version: &held.intent_version,
        influence: [held.influence, held.influence_reach, held.influence_resonance],
        influence_version: &held.influence_version,
        direction: &held.direction,
        fingerprint: &held.fingerprint,
        observed_at: held.observed_at,
    }
}

/// Works on a blocking thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // A panic goes on here; the supervisor tells of it.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The message of a record by its key, as every record of a message is keyed.
fn id(record: &Delivered) -> Option<Uuid> {
    Uuid::from_slice(&record.key).ok()
}

impl Work {
    /// Takes records into the comparison.
    fn hear(&mut self, records: &[Delivered]) {
        for record in records {
            self.records += 1;
            let Some((heard, scored)) = self.judge(record) else {
                self.unreadable += 1;
                continue;
            };
            self.comparison.hear(&heard);
            if let Some(scored) = scored
                && heard.in_scope
                && !self.comparison.holds(heard.id)
            {
                self.sample(heard.revision, &scored.message);
            }
        }
    }

    /// What a record says of the brand, and its scores where it is a mention; `None` where it is no message.
    fn judge(&mut self, record: &Delivered) -> Option<(Heard, Option<Scored>)> {
        let message: Message = serde_json::from_slice(&record.value).ok()?;
        let matches = match message.deleted {
            true => Vec::new(),
            false => pipeline::matches(&self.matcher, &self.rules.scorer, &message, &mut self.scratch),
        };
        let mut heard = Heard {
            id: message.id.0,
            revision: first_revision(&message),
            channel: self.channels.number(&message.channel),
            in_scope: self.question.since.is_none_or(|since| message.published_at >= since),
            said: if is_revised(&message) { Said::Gone } else { Said::Nothing },
        };
        if matches.is_empty() {
            return Some((heard, None));
        }
        let score = self.rules.scorer.score(&message);
        let scored = Scored { message, matches, score, at: Timestamp::now() };
        if let Some(row) = scored.rows(&self.brands, &self.rules.scorer).next() {
            heard.said = Said::Mention(Judgement::of(&Facts::from(&row)));
        }
        Some((heard, Some(scored)))
    }

    /// Remembers a mention that may be added, among the ones with the smallest ids.
    fn sample(&mut self, revision: u128, message: &Message) {
        let id = message.id.0;
        let is_full = self.added.len() >= self.question.samples * SPARE;
        let is_in = self.added.last_key_value().is_some_and(|(last, _)| id <= *last);
        let is_newer = self.added.get(&id).is_none_or(|(known, _)| *known < revision);
        if is_full && !is_in || !is_newer {
            return;
        }
        let author = [&message.author.handle, &message.author.name, &message.author.id];
        let author = author.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        let said = format!("{} {}", message.title, message.text);
        let text = said.trim().chars().take(SAMPLE_CHARACTERS).collect();
        let (channel, published_at) = (message.channel.clone(), message.published_at);
        self.added.insert(id, (revision, Sample { id, channel, author, published_at, text, changed_in: Vec::new() }));
        if self.added.len() > self.question.samples * SPARE {
            self.added.pop_last();
        }
    }

    async fn findings(&self, store: &Store, backlog: u64) -> Result<Findings, StoreError> {
        let (brand, most) = (&self.question.brand.name, self.question.samples);
        let corrected: HashMap<Uuid, Label> =
            history::corrections(store, brand).await?.into_iter().map(|(id, name)| (id, label(&name))).collect();
        let outcomes = self.comparison.outcomes(|id| corrected.get(&id).copied());
        let (mut findings, Chosen { removed, changed, kept }) = Findings::of(outcomes, &self.channels.0, most);
        let added =
            self.added.values().filter(|(_, sample)| self.comparison.verdict(sample.id) == Some(Verdict::Added));
        findings.samples = Samples {
            added: added.map(|(_, sample)| sample.clone()).take(most).collect(),
            removed: self.samples(store, &removed).await?,
            changed: self.samples(store, &changed).await?,
            kept: self.samples(store, &kept).await?,
        };
        (findings.records, findings.unreadable, findings.backlog) = (self.records, self.unreadable, backlog);
        Ok(findings)
    }

    async fn samples(&self, store: &Store, ids: &[Uuid]) -> Result<Vec<Sample>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let shorts = history::shorts(store, &self.question.brand.name, ids, SAMPLE_CHARACTERS).await?;
        let sample = |short: Short| {
            let changed_in = match self.comparison.verdict(short.id) {
                Some(Verdict::Changed(aspects)) => aspects.iter().map(|aspect| aspect.as_str().to_owned()).collect(),
                _ => Vec::new(),
            };
            let Short { id, channel, author, text, published_at } = short;
            Sample { id, channel, author, published_at, text, changed_in }
        };
        Ok(shorts.into_iter().map(sample).collect())
    }

    /// Writes the tombstones; returns how many, and the last of them. They hold nothing of what was said.
    async fn remove(&self, store: &Store) -> Result<(u64, EncodedMentions), RescoreError> {
        let removals = self.comparison.removals().collect::<Result<Vec<_>, _>>()?;
        let now = Timestamp::now().as_millisecond();
        let tombstone = |(message_id, revision, channel): &(Uuid, u128, u16)| MentionRow {
            brand: &self.question.brand.name,
            message_id: *message_id,
            revision: *revision,
            deleted: true,
            channel: self.channels.name(*channel),
            scored_at: now,
            ..MentionRow::default()
        };
        for chunk in removals.chunks(TOMBSTONES) {
            store.insert_mentions(&chunk.iter().map(tombstone).collect::<Vec<_>>()).await?;
        }
        let last: Vec<_> = removals.last().map(tombstone).into_iter().collect();
        Ok((removals.len() as u64, EncodedMentions::of(&last)))
    }

    /// The messages of a chunk that have to be written.
    fn writings(&mut self, records: &[Delivered]) -> Result<Vec<(Scored, Writing)>, Exhausted> {
        let mut writings = Vec::new();
        for record in records {
            // Most of them need not be read at all.
            let differs = |id| matches!(self.comparison.verdict(id), Some(Verdict::Added | Verdict::Changed(_)));
            if id(record).is_some_and(|id| !differs(id)) {
                continue;
            }
            if let Some((heard, Some(scored))) = self.judge(record)
                && let Some(writing) = self.comparison.writing(&heard)?
            {
                writings.push((scored, writing));
            }
        }
        Ok(writings)
    }

    /// The second opinions that stay, by the revision of their row and message.
    async fn second_opinions(
        &self,
        store: &Store,
        writings: &[(Scored, Writing)],
    ) -> Result<HashMap<(Uuid, u128), Second>, StoreError> {
        let staying = writings.iter().filter(|(_, writing)| writing.second_opinion_of.is_some());
        let ids: Vec<Uuid> = staying.map(|(scored, _)| scored.message.id.0).collect();
        let mut seconds = HashMap::new();
        for ids in ids.chunks(history::IDS) {
            let found = history::second_opinions(store, &self.question.brand.name, ids).await?;
            seconds.extend(found.into_iter().map(|second| ((second.id, second.revision), second)));
        }
        Ok(seconds)
    }

    /// The rows to be written. Where a second opinion was to stay and its row does not stand any more, somebody has heard
    /// or judged the message since, by the rules that hold: it is left as it is.
    fn rows<'w>(
        &'w self,
        writings: &'w [(Scored, Writing)],
        seconds: &'w HashMap<(Uuid, u128), Second>,
    ) -> Vec<MentionRow<'w>> {
        let row = |(scored, writing): &'w (Scored, Writing)| {
            let row = scored.rows(&self.brands, &self.rules.scorer).next()?;
            let Some(stored) = writing.second_opinion_of else {
                return Some(MentionRow { revision: writing.revision, ..row });
            };
            let second = seconds.get(&(row.message_id, stored))?;
            Some(MentionRow {
                revision: writing.revision | 1,
                first: Some(row.opinion()),
                sentiment: &second.sentiment,
                sentiment_score: second.score,
                sentiment_confidence: second.confidence,
                sentiment_model: &second.model,
                ..row
            })
        };
        writings.iter().filter_map(row).collect()
    }
}
