//! `"some words"~5`: words in any order, with few others among them.

use super::searched::Stretch;
use super::tree::{Evaluation, sorted};

/// A compiled `"..."~n`.
pub(super) struct Within {
    /// The terms of its words; a word that is there twice has to be found twice.
    pub(super) terms: Vec<usize>,
    /// At most this many other words among them.
    pub(super) distance: usize,
}

impl Within {
    pub(super) fn is_true(&self, evaluation: &Evaluation<'_>) -> bool {
        self.terms.iter().all(|term| evaluation.is_found(*term)) && !self.windows(evaluation).is_empty()
    }

    /// The shortest stretches of words that hold all words, each in a word of its own: none of them has another one in
    /// it. Sorted.
    pub(super) fn windows(&self, evaluation: &Evaluation<'_>) -> Vec<Stretch> {
        // Which words of the text stand for which of these.
        let mut fits: Vec<(usize, usize)> = Vec::new();
        for (index, term) in self.terms.iter().enumerate() {
            let hits = evaluation.hits_of(*term).filter_map(|hit| evaluation.searched.stretch(hit));
            fits.extend(hits.map(|(word, _)| (word, index)));
        }
        let fits = sorted(fits);
        let mut windows: Vec<Stretch> = Vec::new();
        for (at, (start, _)) in fits.iter().enumerate() {
            if at > 0 && fits.get(at - 1).is_some_and(|(word, _)| word == start) {
                continue;
            }
            let Some(end) = self.end(*start, fits.get(at..).unwrap_or_default()) else { continue };
            // A later start with the same end makes a shorter one.
            windows.pop_if(|(_, last)| *last == end);
            windows.push((*start, end));
        }
        windows
    }

    /// The first word at which all have been found, in words of their own, from `start` on.
    fn end(&self, start: usize, fits: &[(usize, usize)]) -> Option<usize> {
        let last = start + self.terms.len() + self.distance;
        let reach = fits.get(..fits.partition_point(|(word, _)| *word < last))?;
        let mut taken: Vec<Option<usize>> = vec![None; self.terms.len()];
        let mut missing = self.terms.len();
        for words in reach.chunk_by(|a, b| a.0 == b.0) {
            let word = words.first()?.0;
            let seen = &mut vec![false; self.terms.len()];
            if assign(word, reach, &mut taken, seen) {
                missing -= 1;
                if missing == 0 {
                    return Some(word);
                }
            }
        }
        None
    }
}

/// Gives a word of the text to one of the words that it stands for, moving others where that makes room (an augmenting
/// path).
fn assign(word: usize, fits: &[(usize, usize)], taken: &mut Vec<Option<usize>>, seen: &mut Vec<bool>) -> bool {
    let mine = fits.get(fits.partition_point(|(other, _)| *other < word)..).unwrap_or_default();
    for (_, index) in mine.iter().take_while(|(other, _)| *other == word) {
        let Some(slot) = seen.get_mut(*index).filter(|seen| !**seen) else { continue };
        *slot = true;
        let owner = taken.get(*index).copied().flatten();
        if owner.is_none_or(|owner| assign(owner, fits, taken, seen)) {
            if let Some(slot) = taken.get_mut(*index) {
                *slot = Some(word);
            }
            return true;
        }
    }
    false
}
