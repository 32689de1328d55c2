//! Scores of texts that were read lately.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::opinion::Probabilities;
use crate::text::plain;

/// The last texts and what the model said of them, without the texts.
///
/// Two generations: what is asked for moves into the younger one; when that is full, it becomes the older one, whose
/// entries go. So what was not asked for longest goes first, roughly, and nothing has to be ordered.
pub struct Cache {
    young: HashMap<u64, Option<Probabilities>>,
    old: HashMap<u64, Option<Probabilities>>,
    /// Of a generation.
    most: usize,
    hasher: RandomState,
}

impl Cache {
    /// Remembers at least so many texts, and at most twice as many.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: most.max(1), hasher: RandomState::new() }
    }

    /// What a text is known by: texts that the model cannot tell apart have the same.
    pub fn key(&self, text: &str) -> u64 {
        self.hasher.hash_one(plain(text))
    }

    /// What was said of a text; `Some(None)` where the model failed on it.
    pub fn get(&mut self, key: u64) -> Option<Option<Probabilities>> {
        if let Some(known) = self.young.get(&key) {
            return Some(*known);
        }
        let known = self.old.remove(&key)?;
        self.insert(key, known);
        Some(known)
    }

    /// Remembers what was said of a text.
    pub fn insert(&mut self, key: u64, said: Option<Probabilities>) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_lately_is_known_and_memory_is_bounded() {
        let mut cache = Cache::new(10);
        let said = Some(Probabilities { negative: 0.5, neutral: 0.3, positive: 0.2 });
        let asked_for = cache.key("asked for");
        cache.insert(asked_for, said);
        for number in 0..1_000 {
            let key = cache.key(&format!("text {number}"));
            cache.insert(key, None);
            assert_eq!(cache.get(asked_for), Some(said), "after {number}");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        let forgotten = cache.key("text 1");
        assert_eq!(cache.get(forgotten), None);
        let failed = cache.key("text 999");
        assert_eq!(cache.get(failed), Some(None));
    }

    #[test]
    fn texts_that_the_model_reads_alike_are_one() {
        let cache = Cache::new(1);
        assert_eq!(cache.key("@ana see https://a.example"), cache.key("@bob see https://b.example"));
        assert_ne!(cache.key("good"), cache.key("bad"));
    }
}
