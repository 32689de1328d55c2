//! What the store holds of a brand beside what the log says of it: pure, message by message.
//!
//! [`Holdings`] take what is stored, [`Comparison::hear`] every record of the log in any order, and then
//! [`Comparison::outcomes`] tells what differs, [`Comparison::writing`] and [`Comparison::removals`] what has to be
//! written so that nothing does. The end is that of a store into which the pipeline writes the whole log anew.
//!
//! Held are about 110 bytes for each stored mention, and about 80 for each other message that speaks of the brand, was
//! edited or deleted; never a text.

use std::collections::HashMap;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::score::Label;
use crate::store::rows::{FirstOpinion, MentionRow, has_second_opinion, look, rescored};

/// A part of a mention that queries, models and accounts decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Label, score, confidence and model of the first scorer.
    Sentiment,
    /// The clauses that matched.
    Matched,
    /// Language and how sure it is.
    Language,
    /// What the author wants.
    Intents,
    /// Influence and its terms.
    Influence,
    /// Whether it is the brand's own.
    Direction,
    /// Which look at the message it was made from, and the fingerprint of its text.
    Message,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sentiment,
        Self::Matched,
        Self::Language,
        Self::Intents,
        Self::Influence,
        Self::Direction,
        Self::Message,
    ];

    /// The name used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sentiment => "sentiment",
            Self::Matched => "matched",
            Self::Language => "language",
            Self::Intents => "intents",
            Self::Influence => "influence",
            Self::Direction => "direction",
            Self::Message => "message",
        }
    }
}

/// A set of aspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aspects(u8);

impl Aspects {
    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Aspect> {
        Aspect::ALL.into_iter().filter(move |aspect| self.has(*aspect))
    }

    fn has(self, aspect: Aspect) -> bool {
        self.0 & (1 << aspect as u8) != 0
    }
}

/// What is said of a message by query and scorer, small enough to be held for every mention: a hash of each aspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    aspects: [u32; Aspect::ALL.len()],
    /// The first scorer's label.
    pub label: Label,
    /// Said by others.
    pub inbound: bool,
}

/// What query and scorer say of a message.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The first scorer's label, score, confidence and model.
    pub sentiment: FirstOpinion<'a>,
    /// Clauses that matched.
    pub matched: &'a [String],
    /// Language.
    pub language: &'a str,
    /// How sure it is.
    pub language_confidence: f32,
    /// What the author wants.
    pub intents: Vec<&'a str>,
    /// Version of their rules.
    pub intent_version: &'a str,
    /// Influence, and its terms reach and resonance.
    pub influence: [f32; 3],
    /// Version of its formula.
    pub influence_version: &'a str,
    /// `inbound` or `outbound`.
    pub direction: &'a str,
    /// Of the text.
    pub fingerprint: &'a [u16],
    /// When the message was looked at, Unix milliseconds.
    pub observed_at: i64,
}

impl<'r, 'a: 'r> From<&'r MentionRow<'a>> for Facts<'r> {
    /// Of a row that the first scorer has written.
    fn from(row: &'r MentionRow<'a>) -> Self {
        Self {
            sentiment: row.opinion(),
            matched: row.matched,
            language: row.language,
            language_confidence: row.language_confidence,
            intents: row.intents.clone(),
            intent_version: row.intent_version,
            influence: [row.influence, row.influence_reach, row.influence_resonance],
            influence_version: row.influence_version,
            direction: row.direction,
            fingerprint: row.fingerprint,
            observed_at: row.observed_at,
        }
    }
}

impl Judgement {
    /// The hashes of these facts.
    pub fn of(facts: &Facts<'_>) -> Self {
        let FirstOpinion { sentiment, score, confidence, model } = facts.sentiment;
        let mut aspects = [0; Aspect::ALL.len()];
        for (place, aspect) in aspects.iter_mut().zip(Aspect::ALL) {
            let mut hash = Hash::default();
            match aspect {
                Aspect::Sentiment => hash.text(sentiment).floats(&[score, confidence]).text(model),
                Aspect::Matched => hash.texts(facts.matched),
                Aspect::Language => hash.text(facts.language).floats(&[facts.language_confidence]),
                Aspect::Intents => hash.texts(&facts.intents).text(facts.intent_version),
                Aspect::Influence => hash.floats(&facts.influence).text(facts.influence_version),
                Aspect::Direction => hash.text(facts.direction),
                Aspect::Message => hash.numbers(facts.fingerprint).time(facts.observed_at),
            };
            *place = xxh3_64(&hash.0) as u32;
        }
        Self { aspects, label: label(sentiment), inbound: facts.direction == "inbound" }
    }

    fn differences(&self, other: &Self) -> Aspects {
        let differ = self.aspects.iter().zip(&other.aspects).enumerate().filter(|(_, (one, other))| one != other);
        Aspects(differ.fold(0, |bits, (number, _)| bits | 1 << number))
    }
}

/// The label of this name; what has no label of ours counts as unsure.
pub fn label(name: &str) -> Label {
    let known = [Label::Negative, Label::Neutral, Label::Positive];
    known.into_iter().find(|label| label.as_str() == name).unwrap_or(Label::Unsure)
}

/// Bytes that are hashed; every value has its length or a fixed one.
#[derive(Default)]
struct Hash(Vec<u8>);

impl Hash {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn texts<S: AsRef<str>>(&mut self, texts: &[S]) -> &mut Self {
        for text in texts {
            self.text(text.as_ref());
        }
        self
    }

    fn floats(&mut self, values: &[f32]) -> &mut Self {
        self.0.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
        self
    }

    fn numbers(&mut self, values: &[u16]) -> &mut Self {
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    fn time(&mut self, millis: i64) -> &mut Self {
        self.0.extend(millis.to_le_bytes());
        self
    }
}

/// A mention in the store, or the tombstone that a rescoring has put in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored {
    /// The message.
    pub id: Uuid,
    /// Of the row that stands.
    pub revision: u128,
    /// It is a tombstone.
    pub deleted: bool,
    /// Number of the channel.
    pub channel: u16,
    /// What the first scorer said.
    pub judgement: Judgement,
    /// The label that counts by the scorers: the second one's where there is one.
    pub shown: Label,
}

/// What a record of the log says of the brand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing, and it takes nothing back.
    Nothing,
    /// It takes the message away from the brand: an edit that speaks of something else, or a deletion.
    Gone,
    /// It is a mention.
    Mention(Judgement),
}

/// A record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The message.
    pub id: Uuid,
    /// Of the row that the pipeline writes.
    pub revision: u128,
    /// Number of the channel.
    pub channel: u16,
    /// It was published within the time that is looked at.
    pub in_scope: bool,
    /// What it says.
    pub said: Said,
}

/// What becomes of a mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the log, and not in the store.
    Added,
    /// It is in the store, and its message speaks of the brand no more.
    Removed,
    /// It is in both, and differs in these aspects.
    Changed(Aspects),
    /// It is in both.
    Unchanged,
    /// It is in the store, and the log no longer has its message, or not the look at it that is stored.
    Kept,
}

/// A mention before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub id: Uuid,
    /// Number of the channel.
    pub channel: u16,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Label and whether others said it, as stored; `None` where there is no mention.
    pub before: Option<(Label, bool)>,
    /// The same afterwards.
    pub after: Option<(Label, bool)>,
}

/// How a row has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// Its revision, as the first scorer's.
    pub revision: u128,
    /// The revision of the row whose second opinion stays; the new row is then the second scorer's.
    pub second_opinion_of: Option<u128>,
}

/// A mention was scored again as often as a revision can count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the mention of message {0} was scored again as often as can be told apart; nothing was written. Make the store anew \
     from the log: docs/operations.md, backup and restore"
)]
pub struct Exhausted(pub Uuid);

/// A mention in the store, and what the log says of it so far.
struct Known {
    stored: Stored,
    /// Of the record that decides; 0 while none has said anything.
    decides: u128,
    finding: Finding,
    /// The log has a record of it that is no older than what is stored.
    reached: bool,
    /// More of it is in the log than what was compared.
    pending: bool,
    /// Its row was given out to be written.
    written: bool,
}

/// What the record that decides says, beside what is stored.
#[derive(Clone, Copy)]
struct Finding {
    gone: bool,
    differences: Aspects,
    label: Label,
    inbound: bool,
}

const NOTHING_FOUND: Finding = Finding { gone: true, differences: Aspects(0), label: Label::Unsure, inbound: false };

/// A message that is not in the store.
struct Unknown {
    decides: u128,
    channel: u16,
    gone: bool,
    label: Label,
    inbound: bool,
    written: bool,
}

/// What the store holds: every mention of the brand, and every tombstone of a generation above 0.
#[derive(Default)]
pub struct Holdings(Vec<Known>);

/// The comparison; see the module.
pub struct Comparison {
    /// By id.
    known: Vec<Known>,
    unknown: HashMap<Uuid, Unknown>,
}

impl Holdings {
    /// Takes in a mention, or a tombstone of a generation above 0.
    pub fn hold(&mut self, stored: Stored) {
        self.0.push(Known {
            stored,
            decides: 0,
            finding: NOTHING_FOUND,
            reached: false,
            pending: false,
            written: false,
        });
    }

    /// Begins to compare.
    pub fn compare(mut self) -> Comparison {
        self.0.sort_unstable_by_key(|known| known.stored.id);
        Comparison { known: self.0, unknown: HashMap::new() }
    }
}

impl Comparison {
    /// True where the store holds a mention of this message.
    pub fn holds(&self, id: Uuid) -> bool {
        self.find(id).is_some_and(|known| !known.stored.deleted)
    }

    /// Takes in a record.
    pub fn hear(&mut self, heard: &Heard) {
        let Heard { id, revision, channel, in_scope, said } = *heard;
        // What takes a message back does so whenever it says that it was published.
        let counts = in_scope || said == Said::Gone;
        if let Ok(place) = self.place(id)
            && let Some(known) = self.known.get_mut(place)
        {
            known.reached |= look(revision) >= look(known.stored.revision);
            let Some(finding) = known.stored.finding(said).filter(|_| counts || !known.stored.deleted) else { return };
            // Of two records of one look, the one that is stored stands.
            let is_closer = || known.stored.distance(finding) < known.stored.distance(known.finding);
            if revision > known.decides || revision == known.decides && is_closer() {
                known.decides = revision;
                known.finding = finding;
            }
            return;
        }
        let (gone, label, inbound) = match said {
            Said::Nothing => return,
            Said::Gone => (true, Label::Unsure, false),
            Said::Mention(judgement) => (false, judgement.label, judgement.inbound),
        };
        if !counts {
            return;
        }
        let found = Unknown { decides: revision, channel, gone, label, inbound, written: false };
        match self.unknown.entry(id) {
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(found)),
            std::collections::hash_map::Entry::Occupied(mut place) if place.get().decides < revision => {
                place.insert(found);
            }
            std::collections::hash_map::Entry::Occupied(_) => {}
        }
    }

    /// Notes that the log has more of this message than what is compared: the pipeline is about to write it, or has.
    pub fn hear_later(&mut self, id: Uuid) {
        if let Ok(place) = self.place(id)
            && let Some(known) = self.known.get_mut(place)
        {
            known.pending = true;
        }
    }

    /// What becomes of each mention. `corrected` gives the label that a person gave it.
    pub fn outcomes<'c>(
        &'c self,
        corrected: impl Fn(Uuid) -> Option<Label> + 'c,
    ) -> impl Iterator<Item = Outcome> + 'c {
        let known = self.known.iter().filter_map(Known::outcome);
        let unknown = self.unknown.iter().filter(|(_, found)| !found.gone).map(|(id, found)| Outcome {
            id: *id,
            channel: found.channel,
            verdict: Verdict::Added,
            before: None,
            after: Some((found.label, found.inbound)),
        });
        known.chain(unknown).map(move |outcome| {
            let right = corrected(outcome.id);
            let told = |side: Option<(Label, bool)>| side.map(|(label, inbound)| (right.unwrap_or(label), inbound));
            Outcome { before: told(outcome.before), after: told(outcome.after), ..outcome }
        })
    }

    /// What becomes of the mention of a message.
    pub fn verdict(&self, id: Uuid) -> Option<Verdict> {
        match self.find(id) {
            Some(known) => known.verdict(),
            None => self.unknown.get(&id).filter(|found| !found.gone).map(|_| Verdict::Added),
        }
    }

    /// Whether and how the row of a record has to be written: it is the record that decides, what it says differs, and its
    /// row was not asked for before.
    ///
    /// # Errors
    /// The generations of the mention are used up.
    pub fn writing(&mut self, heard: &Heard) -> Result<Option<Writing>, Exhausted> {
        let Heard { id, revision, said, .. } = *heard;
        let Said::Mention(_) = said else { return Ok(None) };
        let (written, stored, second_opinion_of) = match self.place(id) {
            Ok(place) => {
                let Some(known) = self.known.get_mut(place) else { return Ok(None) };
                let differs = matches!(known.verdict(), Some(Verdict::Added | Verdict::Changed(_)));
                let differences = known.stored.finding(said).map(|finding| finding.differences);
                if !differs || known.decides != revision || differences != Some(known.finding.differences) {
                    return Ok(None);
                }
                let stored = known.stored.revision;
                let second = known.keeps_second_opinion().then_some(stored);
                (&mut known.written, Some(stored), second)
            }
            Err(_) => {
                let found = self.unknown.get_mut(&id).filter(|found| !found.gone && found.decides == revision);
                let Some(found) = found else { return Ok(None) };
                (&mut found.written, None, None)
            }
        };
        if std::mem::replace(written, true) {
            return Ok(None);
        }
        let revision = rescored(stored, revision).ok_or(Exhausted(id))?;
        Ok(Some(Writing { revision, second_opinion_of }))
    }

    /// The messages that speak of the brand no more, the revisions of their tombstones, and their channels.
    ///
    /// # Errors
    /// The generations of a mention are used up.
    pub fn removals(&self) -> impl Iterator<Item = Result<(Uuid, u128, u16), Exhausted>> {
        let removed = self.known.iter().filter(|known| known.verdict() == Some(Verdict::Removed));
        removed.map(|known| {
            let Stored { id, revision, channel, .. } = known.stored;
            Ok((id, rescored(Some(revision), known.decides).ok_or(Exhausted(id))?, channel))
        })
    }

    /// Fails where something would have to be written and the generations of its mention are used up.
    pub fn check(&self) -> Result<(), Exhausted> {
        let written = self
            .known
            .iter()
            .filter(|known| matches!(known.verdict(), Some(Verdict::Added | Verdict::Changed(_) | Verdict::Removed)));
        let mut next = written.map(|known| (known.stored.id, rescored(Some(known.stored.revision), known.decides)));
        next.try_for_each(|(id, revision)| revision.map(drop).ok_or(Exhausted(id)))
    }

    fn place(&self, id: Uuid) -> Result<usize, usize> {
        self.known.binary_search_by_key(&id, |known| known.stored.id)
    }

    fn find(&self, id: Uuid) -> Option<&Known> {
        self.place(id).ok().and_then(|place| self.known.get(place))
    }
}

impl Stored {
    /// What a record says beside this; `None` where it says nothing.
    fn finding(&self, said: Said) -> Option<Finding> {
        match said {
            Said::Nothing => None,
            Said::Gone => Some(NOTHING_FOUND),
            Said::Mention(judgement) => Some(Finding {
                gone: false,
                differences: self.judgement.differences(&judgement),
                label: judgement.label,
                inbound: judgement.inbound,
            }),
        }
    }

    /// How far something is from what is stored.
    fn distance(&self, finding: Finding) -> u32 {
        match (self.deleted, finding.gone) {
            (true, true) => 0,
            (false, false) => finding.differences.0.count_ones(),
            (true, false) | (false, true) => u8::BITS,
        }
    }
}

impl Known {
    fn verdict(&self) -> Option<Verdict> {
        let Stored { deleted, .. } = self.stored;
        let is_mention = self.decides != 0 && !self.finding.gone;
        match (deleted, self.reached) {
            (true, reached) => (reached && is_mention).then_some(Verdict::Added),
            (false, false) => Some(if self.pending { Verdict::Unchanged } else { Verdict::Kept }),
            (false, true) if !is_mention => Some(Verdict::Removed),
            (false, true) if self.finding.differences == Aspects::default() => Some(Verdict::Unchanged),
            (false, true) => Some(Verdict::Changed(self.finding.differences)),
        }
    }

    /// A second opinion stays while the first one does, and the message was not looked at again.
    fn keeps_second_opinion(&self) -> bool {
        !self.stored.deleted
            && has_second_opinion(self.stored.revision)
            && !self.finding.differences.has(Aspect::Sentiment)
            && look(self.decides) <= look(self.stored.revision)
    }

    fn outcome(&self) -> Option<Outcome> {
        let Stored { id, channel, shown, judgement, deleted, .. } = self.stored;
        let verdict = self.verdict()?;
        let before = (!deleted).then_some((shown, judgement.inbound));
        let after = match verdict {
            Verdict::Unchanged | Verdict::Kept => before,
            Verdict::Removed => None,
            Verdict::Added | Verdict::Changed(_) => {
                let label = if self.keeps_second_opinion() { shown } else { self.finding.label };
                Some((label, self.finding.inbound))
            }
        };
        Some(Outcome { id, channel, verdict, before, after })
    }
}
