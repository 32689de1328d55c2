//! What a rescoring tells: how many mentions it adds, removes and changes, what becomes of the sentiment, and some of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::comparison::{Outcome, Verdict};
use crate::score::Label;

/// What differs between the store and the log, by one query and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// Records of the log that were compared.
    pub records: u64,
    /// Those of them that are no messages.
    pub unreadable: u64,
    /// Those of them that the daemon has not stored yet: what speaks of the brand is among `added`.
    pub backlog: u64,
    /// Mentions of the brand.
    pub mentions: Counts,
    /// In what the changed ones differ, and how many do: `sentiment`, `matched`, `language`, `intents`, `influence`,
    /// `direction` and `message` (the log has another look at it, or another fingerprint).
    pub changed_in: BTreeMap<String, u64>,
    /// Net sentiment as stored: (positive - negative) / (positive + neutral + negative) of what others said; `null` where
    /// there is nothing.
    pub net_sentiment_before: Option<f64>,
    /// Net sentiment afterwards.
    pub net_sentiment_after: Option<f64>,
    /// The same counts by channel.
    pub channels: BTreeMap<String, Counts>,
    /// Some of them.
    pub samples: Samples,
}

/// What becomes of mentions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Not in the store.
    pub added: u64,
    /// They speak of the brand no more.
    pub removed: u64,
    /// They are judged otherwise.
    pub changed: u64,
    /// They stay as they are.
    pub unchanged: u64,
    /// The log no longer has their messages: they stay as they are.
    pub kept: u64,
}

impl Counts {
    /// True where nothing has to be written.
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed == 0
    }

    fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Added => &mut self.added,
            Verdict::Removed => &mut self.removed,
            Verdict::Changed(_) => &mut self.changed,
            Verdict::Unchanged => &mut self.unchanged,
            Verdict::Kept => &mut self.kept,
        }
    }
}

/// Some mentions of each kind, chosen at random and always the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Samples {
    /// Of those that are not in the store.
    pub added: Vec<Sample>,
    /// Of those that speak of the brand no more.
    pub removed: Vec<Sample>,
    /// Of those that are judged otherwise.
    pub changed: Vec<Sample>,
    /// Of those whose messages the log no longer has.
    pub kept: Vec<Sample>,
}

/// A mention in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// Id of the message.
    pub id: Uuid,
    /// Platform.
    pub channel: String,
    /// Handle of the author, or name, or id.
    pub author: String,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Timestamp,
    /// The first 100 characters of title and text.
    pub text: String,
    /// In what it differs, where it has changed.
    pub changed_in: Vec<String>,
}

/// Mentions by label.
#[derive(Default)]
struct Tally {
    positive: u64,
    neutral: u64,
    negative: u64,
}

impl Tally {
    /// Counts what others said.
    fn add(&mut self, side: Option<(Label, bool)>) {
        match side {
            Some((Label::Positive, true)) => self.positive += 1,
            Some((Label::Neutral, true)) => self.neutral += 1,
            Some((Label::Negative, true)) => self.negative += 1,
            _ => {}
        }
    }

    fn net(&self) -> Option<f64> {
        let judged = self.positive + self.neutral + self.negative;
        (judged > 0).then(|| (self.positive as f64 - self.negative as f64) / judged as f64)
    }
}

/// The ids of samples by what becomes of them: the smallest, which are as good as drawn by lot, because ids are hashes.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) removed: Vec<Uuid>,
    pub(super) changed: Vec<Uuid>,
    pub(super) kept: Vec<Uuid>,
}

impl Findings {
    /// Counts what becomes of the mentions; `channels` are the names of their channels by number. Also returns of which
    /// mentions in the store samples have to be read, at most `samples` of each kind.
    pub(super) fn of(outcomes: impl Iterator<Item = Outcome>, channels: &[String], samples: usize) -> (Self, Chosen) {
        let mut findings = Self::default();
        let (mut before, mut after) = (Tally::default(), Tally::default());
        let mut by_number = vec![Counts::default(); channels.len()];
        let mut chosen: [Vec<Uuid>; 3] = Default::default();
        for outcome in outcomes {
            *findings.mentions.of(outcome.verdict) += 1;
            if let Some(counts) = by_number.get_mut(usize::from(outcome.channel)) {
                *counts.of(outcome.verdict) += 1;
            }
            if let Verdict::Changed(aspects) = outcome.verdict {
                for aspect in aspects.iter() {
                    *findings.changed_in.entry(aspect.as_str().to_owned()).or_default() += 1;
                }
            }
            before.add(outcome.before);
            after.add(outcome.after);
            let [removed, changed, kept] = &mut chosen;
            let list = match outcome.verdict {
                Verdict::Removed => removed,
                Verdict::Changed(_) => changed,
                Verdict::Kept => kept,
                Verdict::Added | Verdict::Unchanged => continue,
            };
            let place = list.partition_point(|id| *id < outcome.id);
            if place < samples {
                list.insert(place, outcome.id);
                list.truncate(samples);
            }
        }
        findings.net_sentiment_before = before.net();
        findings.net_sentiment_after = after.net();
        findings.channels = channels.iter().cloned().zip(by_number).collect();
        findings.channels.retain(|_, counts| *counts != Counts::default());
        let [removed, changed, kept] = chosen;
        (findings, Chosen { removed, changed, kept })
    }
}
