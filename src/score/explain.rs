//! Why a text got its sentiment: what would change if a word were not there.
//!
//! The weight of a word is the sentiment score of the whole text less the score without this word, in the same
//! language. That holds for whatever the model makes of a text (pairs, spelling, the lexicon alone), needs no knowledge
//! of its insides, and points into the text as it was written.

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

use super::{MAX_CHARS, Scorer, Sentiment, TextScore};

/// Words that are looked at, from the beginning: bounds the work, which grows with the square of the text.
const MAX_WORDS: usize = 1_000;
/// A weight below this is none.
const LEAST: f32 = 0.005;

/// A score, and the words that its sentiment is owed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What is explained.
    pub score: TextScore,
    /// The words that weigh most, heaviest first.
    pub because: Vec<Weight>,
}

/// How much a word does for the sentiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weight {
    /// The word, as written; an ideograph or an emoji is one, too.
    pub text: String,
    /// Its first character in the text.
    pub start: usize,
    /// The character after it.
    pub end: usize,
    /// What it adds to the score, -2..=2: above 0 it speaks well.
    pub weight: f32,
}

impl Scorer {
    /// Scores a text and says which of its words weigh most, at most `limit` of them.
    pub fn explain(&self, text: &str, limit: usize) -> Explanation {
        let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(end, _)| end);
        let text = text.get(..end).unwrap_or(text);
        let score = self.score_text(text);
        let mut because: Vec<Weight> = words(text)
            .map(|(at, word)| {
                let (before, rest) = text.split_at(at);
                let parts = [before, rest.get(word.len()..).unwrap_or_default()];
                let without = Sentiment::from(self.model.predict(&parts, Some(score.language.tag)));
                let start = before.chars().count();
                let weight = score.sentiment.score - without.score;
                Weight { text: word.to_owned(), start, end: start + word.chars().count(), weight }
            })
            .filter(|word| word.weight.abs() >= LEAST)
            .collect();
        because.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then(a.start.cmp(&b.start)));
        because.truncate(limit);
        Explanation { score, because }
    }
}

/// Words, emoji and punctuation, with the byte at which each begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_word_bound_indices().filter(|(_, word)| !word.trim().is_empty()).take(MAX_WORDS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static SCORER: LazyLock<Scorer> = LazyLock::new(|| Scorer::built_in().unwrap());

    #[test]
    fn the_words_that_weigh_most_are_named() {
        for (text, word, is_good) in [
            ("The crew was wonderful and we arrived on time", "wonderful", true),
            ("My flight was cancelled, what a terrible airline", "terrible", false),
            ("Bu ürün harika, herkese tavsiye ederim", "harika", true),
            ("ok 😡", "😡", false),
        ] {
            let explanation = SCORER.explain(text, 3);
            let found = explanation.because.iter().find(|weight| weight.text == word);
            let found = found.unwrap_or_else(|| panic!("{word}: {:?}", explanation.because));
            assert_eq!(found.weight > 0.0, is_good, "{found:?}");
        }
    }

    proptest! {
        #[test]
        fn a_span_points_at_its_word(text in "\\PC{0,60}|[a-z😡好 .]{0,60}") {
            let explanation = SCORER.explain(&text, 5);
            prop_assert_eq!(explanation.score, SCORER.score_text(&text));
            prop_assert!(explanation.because.len() <= 5);
            for weight in explanation.because {
                let cut: String = text.chars().skip(weight.start).take(weight.end - weight.start).collect();
                prop_assert_eq!(cut, weight.text);
                prop_assert!(weight.weight.abs() <= 2.0);
            }
        }
    }
}
