//! Scores of authors: read what they said from the store, compute, write.
//!
//! Scores are a function of the mentions alone: "now" is the time of the latest mention, every order is fixed, and a
//! replay computes the same. They are computed as a whole, and shown as a whole once everything is written; see
//! [ADR 0017](../docs/adr/0017-scores-of-authors-are-computed-as-a-whole.md).
//!
//! What is held in memory is compact: for each author about 100 bytes, for each pair of authors of whom one spoke to the
//! other 20 bytes at most. Names and texts of what was said pass through.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::score::author::advocacy::{self, Evidence, advocacy};
use crate::score::author::authority::{Contacts, Graph};
use crate::score::author::segment::{self, Standing, segments};
use crate::score::author::{self, Author, Channel, Heard, Rules, Terms, relevance};
use crate::store::rows::{AuthorScoreRow, BrandAuthorRow, ScoreRunRow, Weights};
use crate::store::{Store, StoreError};
use crate::supervise::TaskError;
use crate::views::voices::{self, OfBrand, State, Voice};

/// Rows of an insert.
const BATCH: usize = 20_000;

/// Computes the scores again whenever something new was stored, at most this often, until told to stop.
pub async fn run(store: Store, rules: Rules, every: Duration, stop: CancellationToken) -> Result<(), TaskError> {
    while let Some(refreshed) = stop.run_until_cancelled(refresh(&store, &rules)).await {
        refreshed.map_err(TaskError::retry)?;
        stop.run_until_cancelled(tokio::time::sleep(every)).await;
    }
    Ok(())
}

/// Computes the scores unless they are those of what is stored; true where that was needed.
pub async fn refresh(store: &Store, rules: &Rules) -> Result<bool, StoreError> {
    let state = voices::state(store).await?;
    let is_empty = state.run == 0 && state.stored_at == 0;
    if is_empty || state.run > 0 && state.run_stored_at == state.stored_at && state.rules == rules.to_string() {
        return Ok(false);
    }
    let started = std::time::Instant::now();
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    let computation = Computation {
        store,
        rules,
        run: now.max(state.run + 1),
        latest_at: voices::latest_at(store).await?,
        channels: voices::channels(store).await?,
        beginnings: voices::beginnings(store).await?,
        population: Population::read(store).await?,
    };
    let (authors, contacts) = computation.write(&state).await?;
    tracing::info!(authors, contacts, took_ms = started.elapsed().as_millis(), "scored the authors");
    Ok(true)
}

/// Every author by number, in the order of their nodes.
struct Population {
    nodes: Vec<u64>,
    /// Voices that each is given.
    voices: Vec<f64>,
    contacts: usize,
}

impl Population {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut heard = Vec::new();
        let mut rows = voices::presences(store)?;
        while let Some(row) = rows.next().await? {
            heard.push((row.node, row.heard_days));
        }
        heard.sort_unstable();
        let (nodes, heard_days): (Vec<u64>, Vec<u32>) = heard.into_iter().unzip();
        let mut contacts = Contacts::new(nodes.len());
        let mut rows = voices::contacts(store)?;
        while let Some(row) = rows.next().await? {
            if let Some(from) = number(&nodes, row.from) {
                contacts.add(from, number(&nodes, row.to), row.days);
            }
        }
        let ranked = tokio::task::spawn_blocking(move || {
            let graph: Graph = contacts.into_graph();
            (graph.voices(&heard_days), graph.contacts())
        });
        // A panic goes on here; the supervisor tells of it.
        let (voices, contacts) = ranked.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        Ok(Self { nodes, voices, contacts })
    }
}

/// The number of an author.
fn number(nodes: &[u64], node: u64) -> Option<u32> {
    nodes.binary_search(&node).ok().and_then(|number| u32::try_from(number).ok())
}

/// What is known of an author when their brands are looked at.
#[derive(Clone, Copy)]
struct Scored {
    terms: Terms,
    messages: u64,
    bot: bool,
}

/// One computation, everything that it needs read but the authors themselves.
struct Computation<'a> {
    store: &'a Store,
    rules: &'a Rules,
    run: u64,
    latest_at: i64,
    channels: BTreeMap<String, Heard>,
    beginnings: BTreeMap<String, i64>,
    population: Population,
}

impl Computation<'_> {
    /// Writes everything, and then that it is complete; returns how many authors and contacts there are.
    async fn write(&self, state: &State) -> Result<(u64, u64), StoreError> {
        let scored = self.write_authors().await?;
        self.write_brands(&scored).await?;
        let authors = scored.iter().flatten().count() as u64;
        let contacts = self.population.contacts as u64;
        let weights = &self.rules.weights;
        let run = ScoreRunRow {
            run: self.run,
            latest_at: self.latest_at,
            stored_at: state.stored_at,
            authors,
            contacts,
            rules: &self.rules.to_string(),
            weights: Weights {
                reach: weights.reach as f32,
                resonance: weights.resonance as f32,
                authority: weights.authority as f32,
                relevance: weights.relevance as f32,
                activity: weights.activity as f32,
            },
            half_life_days: self.rules.half_life_days as f32,
        };
        self.store.complete_score_run(&run, state.run).await?;
        Ok((authors, contacts))
    }

    /// Influence of every author; returns it by number.
    async fn write_authors(&self) -> Result<Vec<Option<Scored>>, StoreError> {
        let channels: BTreeMap<&str, Channel> =
            self.channels.iter().map(|(name, heard)| (name.as_str(), Channel::new(name, *heard))).collect();
        let mut scored = vec![None; self.population.nodes.len()];
        let mut rows = voices::voices(self.store, self.latest_at)?;
        let mut batch = Vec::new();
        loop {
            let voice = rows.next().await?;
            let is_last = voice.is_none();
            // Who has begun to speak since the computation began is left to the next one.
            let known = voice.and_then(|voice| Some((number(&self.population.nodes, voice.node)?, voice)));
            if let Some((number, voice)) = known
                && let Some(channel) = channels.get(voice.channel.as_str())
            {
                let author = Author {
                    followers: voice.followers,
                    posts: voice.posts,
                    reactions: voice.reactions,
                    active_days: voice.active_days,
                    voices: self.population.voices.get(number as usize).copied().unwrap_or_default(),
                    bot: voice.bot,
                };
                let terms = Terms::of(&author, channel);
                let entry = Scored { terms, messages: voice.messages, bot: voice.bot };
                scored.get_mut(number as usize).into_iter().for_each(|place| *place = Some(entry));
                batch.push((voice, author, terms, *channel));
            }
            if batch.len() == BATCH || is_last {
                let rows: Vec<_> = batch
                    .iter()
                    .map(|(voice, author, terms, channel)| self.author_row(voice, author, terms, channel))
                    .collect();
                self.store.insert_author_scores(&rows).await?;
                drop(rows);
                batch.clear();
            }
            if is_last {
                return Ok(scored);
            }
        }
    }

    fn author_row<'r>(
        &self,
        voice: &'r Voice,
        author: &Author,
        terms: &Terms,
        channel: &Channel,
    ) -> AuthorScoreRow<'r> {
        AuthorScoreRow {
            run: self.run,
            channel: &voice.channel,
            author: &voice.author,
            handle: &voice.handle,
            name: &voice.name,
            url: &voice.url,
            followers: voice.followers,
            bot: voice.bot,
            messages: voice.messages,
            posts: voice.posts,
            reactions: voice.reactions,
            active_days: voice.active_days,
            first_at: voice.first_at,
            last_at: voice.last_at,
            voices: author.voices as f32,
            top_followers: channel.top_followers as f32,
            typical_followers: channel.typical_followers as f32,
            typical_reactions: channel.typical_reactions as f32,
            counts_reactions: channel.counts_reactions,
            reach: terms.reach as f32,
            resonance: terms.resonance as f32,
            authority: terms.authority as f32,
            activity: terms.activity as f32,
            influence: terms.influence(&self.rules.weights) as f32,
            version: author::VERSION,
        }
    }

    /// Relevance, advocacy and segments of every author of every brand.
    async fn write_brands(&self, scored: &[Option<Scored>]) -> Result<(), StoreError> {
        let mut rows = voices::of_brands(self.store, self.latest_at)?;
        let mut batch = Vec::new();
        loop {
            let said = rows.next().await?;
            let is_last = said.is_none();
            let known = said.and_then(|said| {
                let number = number(&self.population.nodes, said.node)?;
                Some((said, (*scored.get(number as usize)?)?))
            });
            batch.extend(known);
            if batch.len() == BATCH || is_last {
                let rows: Vec<_> = batch.iter().map(|(said, scored)| self.brand_row(said, scored)).collect();
                self.store.insert_brand_authors(&rows).await?;
                drop(rows);
                batch.clear();
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn brand_row<'r>(&self, said: &'r OfBrand, scored: &Scored) -> BrandAuthorRow<'r> {
        let of =
            |side: &str| said.said.iter().filter(|(sentiment, ..)| sentiment == side).map(|(.., count)| count).sum();
        let evidence = said.said.iter().map(|(sentiment, intent, age_weeks, mentions)| Evidence {
            age_weeks: *age_weeks,
            sentiment: sentiment.clone(),
            intent: intent.clone(),
            mentions: *mentions,
        });
        let found = advocacy(evidence.collect(), self.rules.half_life_days);
        // A message that came since the computation began may be in one count and not in the other.
        let relevance = relevance(said.mentions.min(scored.messages), scored.messages);
        let standing = Standing {
            influence: scored.terms.influence(&self.rules.weights),
            bot: scored.bot,
            advocacy: found.score,
            mentions: said.mentions,
            first_at: said.first_at,
            last_at: said.last_at,
            brand_first_at: self.beginnings.get(&said.brand).copied().unwrap_or(said.first_at),
            latest_at: self.latest_at,
        };
        BrandAuthorRow {
            run: self.run,
            brand: &said.brand,
            channel: &said.channel,
            author: &said.author,
            mentions: said.mentions,
            positive: of("positive"),
            neutral: of("neutral"),
            negative: of("negative"),
            unsure: of("unsure"),
            first_at: said.first_at,
            last_at: said.last_at,
            relevance: relevance as f32,
            influence: scored.terms.influence_on_brand(relevance, &self.rules.weights) as f32,
            influence_version: author::VERSION,
            advocacy: found.score as f32,
            advocacy_mean: found.mean as f32,
            advocacy_evidence: found.evidence as f32,
            advocacy_version: advocacy::VERSION,
            segments: segments(&standing).into_iter().map(|segment| segment.as_str().to_owned()).collect(),
            segments_version: segment::VERSION,
        }
    }
}
