//! What given texts say about a query: how much of them it claims, and which words stand where it matches.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::query::lint::{each_word, is_single_letter};

/// Different words that are counted at most; what is seen once gives way to what comes later.
const MOST_WORDS: usize = 100_000;
/// The longest word that is counted, in bytes.
const LONGEST_WORD: usize = 60;
/// Texts of the matched ones that a word has to be in to be told.
const HANDFUL: u32 = 5;
/// How many texts the expectation that a word is as usual here as there is worth.
const PRIOR: f64 = 10.0;
/// Times by which the odds of a word have to be higher than elsewhere, less two standard errors.
const TIMES: f64 = 2.0;

/// In how many texts words are, of those that match and of the others.
#[derive(Debug, Default)]
pub(super) struct Words {
    counts: HashMap<String, Count>,
    matched: u32,
    others: u32,
    /// Words came that were not counted.
    pub(super) is_full: bool,
}

#[derive(Debug)]
struct Count {
    /// As it was written when it was first seen.
    spelled: String,
    matched: u32,
    others: u32,
}

impl Words {
    /// Counts the words of a text.
    pub(super) fn add(&mut self, title: &str, text: &str, matched: bool) {
        let total = if matched { &mut self.matched } else { &mut self.others };
        *total = total.saturating_add(1);
        let mut seen = HashSet::new();
        for part in [title, text] {
            each_term(part, |term, spelled| {
                if seen.insert(term.to_owned()) {
                    self.count(term, spelled, matched);
                }
            });
        }
    }

    fn count(&mut self, term: &str, spelled: &str, matched: bool) {
        if self.counts.len() >= MOST_WORDS && !self.counts.contains_key(term) {
            self.make_room();
        }
        let has_room = self.counts.len() < MOST_WORDS;
        let count = match self.counts.entry(term.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if !has_room => return,
            Entry::Vacant(new) => new.insert(Count { spelled: spelled.to_owned(), matched: 0, others: 0 }),
        };
        let side = if matched { &mut count.matched } else { &mut count.others };
        *side = side.saturating_add(1);
    }

    /// Forgets what was seen once, unless that was done in vain before.
    fn make_room(&mut self) {
        if !self.is_full {
            self.counts.retain(|_, count| count.matched + count.others > 1);
            self.is_full = self.counts.len() > MOST_WORDS / 2;
        }
    }

    /// The words that are most over-represented in the matched texts, as they were written, most telling first.
    ///
    /// By the log odds of being in a matched text against being in another, with a prior that takes a word to be as usual
    /// in both (Monroe, Colaresi and Quinn, "Fightin' Words", 2008) and half a text in each cell (Haldane and Anscombe);
    /// two standard errors less, so that what was seen seldom counts little.
    pub(super) fn beside(&self, query: &HashSet<String>, most: usize) -> Vec<String> {
        let is_telling = |count: &Count| count.matched >= HANDFUL && self.others >= HANDFUL;
        let scored = self.counts.iter().filter(|(term, count)| is_telling(count) && !is_of(term, query));
        let mut scored: Vec<(f64, &str)> = scored
            .map(|(_, count)| (self.score(count), count.spelled.as_str()))
            .filter(|(score, _)| *score > TIMES.ln())
            .collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
        scored.into_iter().take(most).map(|(_, spelled)| spelled.to_lowercase()).collect()
    }

    fn score(&self, count: &Count) -> f64 {
        let (matched, others) = (f64::from(self.matched), f64::from(self.others));
        let usual = f64::from(count.matched + count.others) / (matched + others);
        let (with, without) = (PRIOR * usual + 0.5, PRIOR * (1.0 - usual) + 0.5);
        let cells = [
            f64::from(count.matched) + with,
            matched - f64::from(count.matched) + without,
            f64::from(count.others) + with,
            others - f64::from(count.others) + without,
        ];
        let [here, not_here, there, not_there] = cells;
        let variance: f64 = cells.iter().map(|cell| 1.0 / cell).sum();
        (here / not_here).ln() - (there / not_there).ln() - 2.0 * variance.sqrt()
    }
}

/// Whether a term is made of words of the query.
fn is_of(term: &str, query: &HashSet<String>) -> bool {
    term.split(' ').any(|word| query.contains(word))
}

/// Gives the terms of a text, as they are searched and as they were written: words, and in scripts without spaces pairs
/// of letters. Links, handles and numbers are left out.
fn each_term(text: &str, mut give: impl FnMut(&str, &str)) {
    let mut before: Option<(String, Range<usize>)> = None;
    each_word(text, |word, place| {
        let spelled = text.get(place.clone()).unwrap_or_default();
        let last = before.take();
        if is_single_letter(word) {
            if let Some((first, from)) = last.filter(|(_, from)| from.end == place.start) {
                give(&format!("{first} {word}"), text.get(from.start..place.end).unwrap_or_default());
            }
            before = Some((word.to_owned(), place));
        } else if word.len() <= LONGEST_WORD && !word.chars().all(char::is_numeric) && is_prose(text, place.start) {
            // One letter tells nothing; an emoji does.
            let is_letter = word.chars().nth(1).is_none() && word.chars().all(char::is_alphanumeric);
            if !is_letter {
                give(word, spelled);
            }
        }
    });
}

/// Whether the word that begins here is part of what is said, and not of a link or a handle.
fn is_prose(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let start = before.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(0, |(at, c)| at + c.len_utf8());
    let chunk = text.get(start..).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    !chunk.contains("://")
        && !chunk.starts_with("www.")
        && !before.get(start..).unwrap_or_default().contains(['@', '＠'])
}

/// How a word is written in given texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Case {
    /// In lower case.
    pub(super) lower: u32,
    /// With a capital.
    pub(super) upper: u32,
}

impl Case {
    /// Counts how `word` (as it is searched) is written: only where a capital would tell something, which it does not at
    /// the start of a sentence, in a handle or link, or where somebody writes without capitals.
    pub(super) fn add(&mut self, word: &str, text: &str) {
        if !text.contains(char::is_uppercase) {
            return;
        }
        each_word(text, |found, place| {
            let before = text.get(..place.start).unwrap_or_default();
            let last = before.trim_end().chars().next_back();
            let is_start = last.is_none_or(|c| matches!(c, '.' | '!' | '?' | '…' | ':' | '"' | '“' | '«'));
            if found != word || is_start || before.ends_with(['#', '＃']) || !is_prose(text, place.start) {
                return;
            }
            match text.get(place).and_then(|spelled| spelled.chars().next()) {
                Some(c) if c.is_lowercase() => self.lower = self.lower.saturating_add(1),
                Some(c) if c.is_uppercase() => self.upper = self.upper.saturating_add(1),
                _ => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        each_term(text, |_, spelled| terms.push(spelled.to_owned()));
        terms
    }

    #[test]
    fn terms_are_words_and_pairs_of_letters_without_links_handles_and_numbers() {
        assert_eq!(terms("@Orange: no Signal, see https://orange.example/help 24 h 👎"), ["no", "Signal", "see", "👎"]);
        assert_eq!(terms("我喜欢iPhone手机"), ["我喜", "喜欢", "iPhone", "手机"]);
        assert_eq!(terms("شبکه قطع است"), ["شبکه", "قطع", "است"]);
    }

    #[test]
    fn what_stands_beside_a_query_is_told_and_what_stands_everywhere_is_not() {
        let mut words = Words::default();
        for number in 0..40 {
            words.add("", if number % 2 == 0 { "the Orange network is down" } else { "the orange roaming fee" }, true);
            words.add("", "the weather is nice and the rain is not", false);
        }
        let query = HashSet::from(["orange".to_owned()]);
        assert_eq!(words.beside(&query, 2), ["down", "fee"]);
        assert_eq!(words.beside(&query, 9), ["down", "fee", "network", "roaming"]);
    }

    #[test]
    fn the_memory_for_words_is_bounded() {
        let mut words = Words::default();
        for number in 0..MOST_WORDS / 4 {
            words.add("", &format!("a{number}x b{number}x c{number}x d{number}x e{number}x f{number}x"), true);
            words.add("", "always", false);
        }
        assert!(words.counts.len() <= MOST_WORDS);
        assert_eq!(words.counts.get("always").map(|count| count.others), Some(MOST_WORDS as u32 / 4));
    }

    #[test]
    fn only_a_capital_that_tells_something_is_counted() {
        let mut case = Case::default();
        for text in [
            "I eat an orange",
            "My Orange bill. Orange is late",
            "orange orange",
            "@Orange I am #orange at www.orange.example",
        ] {
            case.add("orange", text);
        }
        assert_eq!(case, Case { lower: 1, upper: 1 });
    }
}
