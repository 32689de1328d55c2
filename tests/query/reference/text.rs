//! Words, phrases and wildcards among the words of a message.

use std::collections::BTreeSet;
use std::ops::Range;

use hearken::query::ast::Form;
use hearken::query::{Field, Place};

use super::words::{Class, Letter, Unit, Word, class, is_arabic, span_of, units, without_accents, words};

/// Somewhere among the words of a message.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The numbers of the words; empty where it is made of none.
    pub(crate) words: Range<usize>,
    pub(crate) place: Place,
}

/// Everywhere that these words stand as they are meant to.
pub(crate) fn find(form: &Form, is_folded: bool, text: &[Word]) -> Vec<Found> {
    let search = Search::new(text, is_folded);
    match form {
        Form::Word(phrase) | Form::Phrase(phrase) => search.phrase(phrase),
        Form::Within(phrase, distance) => search.within(phrase, *distance),
        Form::Wildcard(pattern) => search.wildcard(pattern),
    }
}

struct Search<'a> {
    text: &'a [Word],
    /// The words of the text in the form in which they are compared.
    forms: Vec<String>,
    /// Accents do not count.
    is_folded: bool,
}

impl<'a> Search<'a> {
    fn new(text: &'a [Word], is_folded: bool) -> Self {
        let forms = text.iter().map(|word| form(&word.text(), is_folded)).collect();
        Self { text, forms, is_folded }
    }

    /// The words of a query, in the form in which they are compared.
    fn wanted(&self, phrase: &str) -> Vec<String> {
        words(Field::Text, phrase).iter().map(|word| form(&word.text(), self.is_folded)).collect()
    }

    /// All runs of so many words, of the title or of the text.
    fn windows(&self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let all = (0..(self.text.len() + 1).saturating_sub(length)).map(move |start| start..start + length);
        all.filter(|window| self.text[window.clone()].iter().all(|word| word.field == self.text[window.start].field))
    }

    fn found(&self, words: Range<usize>, end: usize) -> Found {
        let first = &self.text[words.start];
        Found { words, place: Place { field: first.field, span: first.span().start..end } }
    }

    fn phrase(&self, phrase: &str) -> Vec<Found> {
        let mut found = Vec::new();
        for wanted in self.ways(phrase) {
            let Some((last, front)) = wanted.split_last() else { continue };
            for window in self.windows(wanted.len()) {
                let is_said = window.clone().zip(front).all(|(at, word)| self.says(at, word));
                let end = self.end(window.end - 1, last).filter(|_| is_said);
                found.extend(end.map(|end| self.found(window, end)));
            }
        }
        found
    }

    /// All ways to write a phrase: between Arabic letters a space or half-space may be a space or nothing. A half-space
    /// beside anything else is nothing.
    fn ways(&self, phrase: &str) -> BTreeSet<Vec<String>> {
        let mut before = ' ';
        let space = |c: char| {
            let previous = std::mem::replace(&mut before, c);
            if c == '\u{200c}' && is_arabic(previous) { ' ' } else { c }
        };
        let spaced: String = phrase.chars().map(space).collect();
        let mut ways = BTreeSet::from([self.wanted(phrase)]);
        ways.extend(ways_to_close_gaps(&self.wanted(&spaced)));
        ways
    }

    /// Whether this word of the text says the word of a query.
    fn says(&self, at: usize, wanted: &str) -> bool {
        is_drawn_out(&units(&self.forms[at]), &units(wanted))
    }

    /// Where it ends in the original if it says the last word of a query: particles grow at the end of Korean words.
    fn end(&self, at: usize, wanted: &str) -> Option<usize> {
        let word = &self.text[at];
        if !wanted.ends_with(|c| class(c) == Class::Hangul) {
            return self.says(at, wanted).then_some(word.span().end);
        }
        let mut beginnings = (1..=word.letters.len()).rev().map(|length| &word.letters[..length]);
        let says = |letters: &&[Letter]| {
            form(&letters.iter().map(|letter| letter.c).collect::<String>(), self.is_folded) == wanted
        };
        // Marks that do not count belong to the letter before them.
        beginnings.find(says).map(|letters| span_of(letters).end)
    }

    fn within(&self, phrase: &str, distance: usize) -> Vec<Found> {
        let wanted = self.wanted(phrase);
        let says_each = |at: usize| wanted.iter().map(|word| self.end(at, word).is_some()).collect();
        let said: Vec<Vec<bool>> = (0..self.text.len()).map(says_each).collect();
        let has_each = |window: Range<usize>| has_each(&said[window], wanted.len());
        let mut found = Vec::new();
        for length in wanted.len()..=wanted.len() + distance {
            for window in self.windows(length).filter(|window| has_each(window.clone())) {
                let is_minimal = !has_each(window.start + 1..window.end) && !has_each(window.start..window.end - 1);
                if is_minimal {
                    let end = self.text[window.end - 1].span().end;
                    found.push(self.found(window, end));
                }
            }
        }
        found
    }

    fn wildcard(&self, pattern: &str) -> Vec<Found> {
        let literal =
            |text: &str| self.wanted(text).iter().flat_map(|word| units(word)).map(Piece::Unit).collect::<Vec<_>>();
        let mut pieces = Vec::new();
        for part in pattern.split_inclusive(['*', '?']) {
            pieces.extend(literal(part.trim_end_matches(['*', '?'])));
            pieces.extend(part.ends_with('*').then_some(Piece::Any));
            pieces.extend(part.ends_with('?').then_some(Piece::One));
        }
        let is_like = |at: &usize| is_like(&units(&self.forms[*at]), &pieces);
        (0..self.text.len()).filter(is_like).map(|at| self.found(at..at + 1, self.text[at].span().end)).collect()
    }
}

/// A word in the form in which it is compared.
fn form(word: &str, is_folded: bool) -> String {
    if is_folded { without_accents(word) } else { word.to_owned() }
}

/// Whether each of the wanted words can have a word of the text for itself (augmenting paths); `said` tells of each word
/// of the text which of the wanted it says.
fn has_each(said: &[Vec<bool>], wanted: usize) -> bool {
    let mut takers = vec![None; said.len()];
    (0..wanted).all(|word| takes(word, said, &mut takers, &mut vec![false; said.len()]))
}

/// Whether a wanted word finds a word of the text that is free, or whose taker finds another one.
fn takes(word: usize, said: &[Vec<bool>], takers: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    (0..said.len()).any(|at| {
        if !said[at][word] || std::mem::replace(&mut tried[at], true) {
            return false;
        }
        let is_free = takers[at].is_none_or(|taker| takes(taker, said, takers, tried));
        if is_free {
            takers[at] = Some(word);
        }
        is_free
    })
}

/// All ways to leave out gaps between Arabic letters; of more than four gaps, all or none.
fn ways_to_close_gaps(words: &[String]) -> Vec<Vec<String>> {
    let is_gap = |at: &usize| words[at - 1].ends_with(is_arabic) && words[*at].starts_with(is_arabic);
    let gaps: Vec<usize> = (1..words.len()).filter(is_gap).collect();
    let mut choices = vec![Vec::new()];
    if gaps.len() > 4 {
        choices.push(gaps);
    } else {
        for gap in gaps {
            choices.extend(choices.clone().into_iter().map(|closed| [closed, vec![gap]].concat()));
        }
    }
    choices.iter().map(|closed| without_gaps(words, closed)).collect()
}

fn without_gaps(words: &[String], closed: &[usize]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match joined.last_mut() {
            Some(before) if closed.contains(&at) => before.push_str(word),
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Whether a word of a text says the word of a query, perhaps with letters drawn out: three or more also stand for
/// fewer, unless the word is nothing else.
fn is_drawn_out(text: &[Unit], wanted: &[Unit]) -> bool {
    let (text_runs, wanted_runs) = (runs(text), runs(wanted));
    let same = |((text, length), (wanted, wanted_length)): (&(&Unit, usize), &(&Unit, usize))| {
        let is_longer = is_letter(text) && text_runs.len() > 1 && *length >= 3 && wanted_length < length;
        text == wanted && (wanted_length == length || is_longer)
    };
    text_runs.len() == wanted_runs.len() && text_runs.iter().zip(&wanted_runs).all(same)
}

fn is_letter(unit: &Unit) -> bool {
    unit.starts_with(|c: char| class(c) == Class::Letter && c.is_alphabetic())
}

/// Equal units that follow each other, and how many they are.
fn runs(units: &[Unit]) -> Vec<(&Unit, usize)> {
    units.chunk_by(|one, next| one == next).map(|run| (&run[0], run.len())).collect()
}

/// A part of a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// `*`: any number of units, also none.
    Any,
    /// `?`: exactly one.
    One,
    /// This one.
    Unit(Unit),
}

fn is_like(units: &[Unit], pieces: &[Piece]) -> bool {
    // Where the pieces so far may end.
    let mut ends = BTreeSet::from([0]);
    for piece in pieces {
        ends = match piece {
            Piece::Any => (0..=units.len()).filter(|end| ends.first().is_some_and(|first| first <= end)).collect(),
            Piece::One => ends.iter().map(|end| end + 1).filter(|end| *end <= units.len()).collect(),
            Piece::Unit(unit) => ends.iter().filter(|end| units.get(**end) == Some(unit)).map(|end| end + 1).collect(),
        };
    }
    ends.contains(&units.len())
}
