//! Judging texts: what the model says of them, together with what the first tier said.

use std::collections::HashMap;
use std::time::Instant;

use crate::cache::Cache;
use crate::daemon::{Given, Wanted};
use crate::fusion::{fused, recovered};
use crate::metrics::Metrics;
use crate::opinion::Probabilities;
use crate::text::joined;
use crate::worker::{Worker, WorkerError};

/// Texts whose scores are remembered, at least.
const REMEMBERED: usize = 50_000;
/// The longest name of a model that the daemon takes.
const NAME: usize = 60;

/// The model with what it said lately.
pub struct Judge {
    worker: Worker,
    name: String,
    cache: Cache,
    metrics: Metrics,
}

impl Judge {
    /// A judge that speaks under this name.
    pub fn new(worker: Worker, name: &str, metrics: Metrics) -> Self {
        Self { worker, name: speakable(name), cache: Cache::new(REMEMBERED), metrics }
    }

    /// The name under which it speaks.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An opinion on each text but those that the model fails on.
    pub async fn judge(&mut self, texts: &[Wanted]) -> Result<Vec<Given>, WorkerError> {
        let start = Instant::now();
        let said: Vec<String> = texts.iter().map(|wanted| joined(&wanted.title, &wanted.text)).collect();
        let keys: Vec<u64> = said.iter().map(|text| self.cache.key(text)).collect();
        let known = self.known(texts, &said, &keys).await?;
        let opinions = texts.iter().zip(&keys).filter_map(|(wanted, key)| {
            let second = (*known.get(key)?)?;
            Some(self.opinion(wanted, &second))
        });
        let opinions = opinions.collect();
        self.metrics.judged(texts.len(), start.elapsed());
        Ok(opinions)
    }

    /// What the model says of each of these texts, by key, from memory where it has read one lately.
    async fn known(
        &mut self,
        texts: &[Wanted],
        said: &[String],
        keys: &[u64],
    ) -> Result<HashMap<u64, Option<Probabilities>>, WorkerError> {
        let mut known = HashMap::new();
        let mut fresh: Vec<(u64, &Wanted, &String)> = Vec::new();
        let (mut scored, mut remembered, mut failed) = (0, 0, 0);
        for ((wanted, text), key) in texts.iter().zip(said).zip(keys) {
            if known.contains_key(key) {
                remembered += 1;
            } else if let Some(before) = self.cache.get(*key) {
                known.insert(*key, before);
                remembered += 1;
            } else {
                known.insert(*key, None);
                fresh.push((*key, wanted, text));
            }
        }
        let read: Vec<String> = fresh.iter().map(|(_, _, text)| (*text).clone()).collect();
        for ((key, wanted, _), answer) in fresh.iter().zip(self.score(read).await?) {
            match answer {
                Some(_) => scored += 1,
                None => {
                    tracing::warn!(message = %wanted.id, "the model fails on this message; it is left out");
                    failed += 1;
                }
            }
            self.cache.insert(*key, answer);
            known.insert(*key, answer);
        }
        self.metrics.scored(scored, remembered, failed);
        Ok(known)
    }

    /// Scores texts together, and one by one where the model fails on some of them.
    async fn score(&self, texts: Vec<String>) -> Result<Vec<Option<Probabilities>>, WorkerError> {
        let together = self.worker.score(texts.clone()).await;
        match together {
            Ok(answers) => return Ok(answers.into_iter().map(is_sound).collect()),
            Err(WorkerError::Model(error)) => {
                self.metrics.error("model");
                tracing::warn!(%error, texts = texts.len(), "the model fails; each text is tried alone");
            }
            Err(error) => return Err(error),
        }
        let mut answers = Vec::with_capacity(texts.len());
        for text in texts {
            match self.worker.score(vec![text]).await {
                Ok(answer) => answers.push(answer.into_iter().next().and_then(is_sound)),
                Err(WorkerError::Model(_)) => answers.push(None),
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Both tiers together, or the second alone where the first has no label.
    fn opinion(&self, wanted: &Wanted, second: &Probabilities) -> Given {
        let own = second.opinion().sentiment;
        if own != "unsure" && wanted.sentiment != "unsure" {
            self.metrics.compared(own == wanted.sentiment);
        }
        let first = recovered(&wanted.sentiment, wanted.score, wanted.confidence);
        let (both, model) = match first {
            Some(first) => (fused(&first, second), together(&self.name, &wanted.model)),
            None => (*second, self.name.clone()),
        };
        let opinion = both.opinion();
        Given {
            id: wanted.id,
            version: wanted.version,
            sentiment: opinion.sentiment,
            score: opinion.score.clamp(-1.0, 1.0),
            confidence: opinion.confidence.clamp(0.0, 1.0),
            model,
        }
    }

    /// Ends the model's thread.
    pub async fn close(self) -> Result<(), WorkerError> {
        self.worker.close().await
    }
}

/// An answer that can be used: libtorch gives no error where a number has overflowed.
fn is_sound(answer: Probabilities) -> Option<Probabilities> {
    let Probabilities { negative, neutral, positive } = answer;
    [negative, neutral, positive].iter().all(|share| share.is_finite()).then_some(answer)
}

/// The name of a checkpoint's directory or of its place on the hub, with what a name may hold.
fn speakable(name: &str) -> String {
    let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    last.chars().map(allowed).take(NAME / 2).collect()
}

/// Who has spoken, where both have.
fn together(second: &str, first: &str) -> String {
    format!("{second}+{}", speakable(first)).chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_has_spoken_and_are_taken() {
        let name = speakable("/var/lib/models/e5-small-sentiment-1/");
        assert_eq!(together(&name, "linear-1"), "e5-small-sentiment-1+linear-1");
        assert_eq!(speakable("cardiffnlp/twitter-xlm-roberta-base-sentiment"), "twitter-xlm-roberta-base-senti");
        assert_eq!(speakable("owner/mödel v2"), "m-del-v2");
        assert!(together(&"x".repeat(30), &"y".repeat(90)).len() <= NAME);
    }

    #[test]
    fn what_overflowed_is_no_answer() {
        assert_eq!(is_sound(Probabilities { negative: f32::NAN, neutral: 0.0, positive: 0.0 }), None);
    }
}
