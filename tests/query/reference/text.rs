//! Words, phrases and wildcards among the words of a message.

use std::collections::BTreeSet;
use std::ops::Range;

use hearken::query::ast::Form;
use hearken::query::{Field, Place};

use super::words::{Class, Unit, Word, class, is_arabic, span_of, units, without_accents, words};

/// Somewhere among the words of a message.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The numbers of the words; empty where it is made of none.
    pub(crate) words: Range<usize>,
    pub(crate) place: Place,
}

/// Everywhere that these words stand as they are meant to.
pub(crate) fn find(form: &Form, is_folded: bool, text: &[Word]) -> Vec<Found> {
    let search = Search { text, is_folded };
    match form {
        Form::Word(phrase) | Form::Phrase(phrase) => search.phrase(phrase),
        Form::Within(phrase, distance) => search.within(phrase, *distance),
        Form::Wildcard(pattern) => search.wildcard(pattern),
    }
}

struct Search<'a> {
    text: &'a [Word],
    /// Accents do not count.
    is_folded: bool,
}

impl Search<'_> {
    /// A word in the form in which it is compared.
    fn form(&self, word: &str) -> String {
        if self.is_folded { without_accents(word) } else { word.to_owned() }
    }

    /// The words of a query, in the form in which they are compared.
    fn wanted(&self, phrase: &str) -> Vec<String> {
        words(Field::Text, phrase).iter().map(|word| self.form(&word.text())).collect()
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
            for window in self.windows(wanted.len()) {
                let last = wanted.len() - 1;
                let pairs = self.text[window.clone()].iter().zip(&wanted).enumerate();
                let ends: Option<Vec<usize>> = pairs
                    .map(|(at, (word, wanted))| if at == last { self.end(word, wanted) } else { self.says(word, wanted) })
                    .collect();
                found.extend(ends.and_then(|ends| ends.last().map(|end| self.found(window, *end))));
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
        ways.extend(with_gaps_closed(&self.wanted(&spaced)));
        ways
    }

    /// Where the word ends in the original, if it says this.
    fn says(&self, word: &Word, wanted: &str) -> Option<usize> {
        is_drawn_out(&units(&self.form(&word.text())), &units(wanted)).then_some(word.span().end)
    }

    /// The same of a word at the end of a phrase: particles grow at the end of Korean words.
    fn end(&self, word: &Word, wanted: &str) -> Option<usize> {
        if !wanted.ends_with(|c| class(c) == Class::Hangul) {
            return self.says(word, wanted);
        }
        let mut beginnings = (1..=word.letters.len()).map(|length| &word.letters[..length]);
        let text = |letters: &[super::words::Letter]| letters.iter().map(|letter| letter.c).collect::<String>();
        beginnings.find(|letters| self.form(&text(letters)) == wanted).map(|letters| span_of(letters).end)
    }

    fn within(&self, phrase: &str, distance: usize) -> Vec<Found> {
        let wanted = self.wanted(phrase);
        let mut found = Vec::new();
        for length in wanted.len()..=wanted.len() + distance {
            for window in self.windows(length) {
                let without_first = &self.text[window.start + 1..window.end];
                let without_last = &self.text[window.start..window.end - 1];
                let is_minimal = !self.has_each(without_first, &wanted) && !self.has_each(without_last, &wanted);
                if self.has_each(&self.text[window.clone()], &wanted) && is_minimal {
                    let end = self.text[window.end - 1].span().end;
                    found.push(self.found(window, end));
                }
            }
        }
        found
    }

    /// Whether each of the wanted words can have a word for itself.
    fn has_each(&self, text: &[Word], wanted: &[String]) -> bool {
        let Some((first, rest)) = wanted.split_first() else { return true };
        text.len() >= wanted.len()
            && (0..text.len()).filter(|at| self.end(&text[*at], first).is_some()).any(|at| {
                let others = [&text[..at], &text[at + 1..]].concat();
                self.has_each(&others, rest)
            })
    }

    fn wildcard(&self, pattern: &str) -> Vec<Found> {
        let literal = |text: &str| self.wanted(text).iter().flat_map(|word| units(word)).map(Piece::Unit).collect::<Vec<_>>();
        let mut pieces = Vec::new();
        for part in pattern.split_inclusive(['*', '?']) {
            pieces.extend(literal(part.trim_end_matches(['*', '?'])));
            pieces.extend(part.ends_with('*').then_some(Piece::Any));
            pieces.extend(part.ends_with('?').then_some(Piece::One));
        }
        let is_like = |at: &usize| is_like(&units(&self.form(&self.text[*at].text())), &pieces);
        (0..self.text.len()).filter(is_like).map(|at| self.found(at..at + 1, self.text[at].span().end)).collect()
    }
}

/// All ways to leave out gaps between Arabic letters.
fn with_gaps_closed(words: &[String]) -> Vec<Vec<String>> {
    let Some((last, front)) = words.split_last() else { return vec![Vec::new()] };
    let mut ways = Vec::new();
    for way in with_gaps_closed(front) {
        if let Some((before, front)) = way.split_last()
            && before.ends_with(is_arabic)
            && last.starts_with(is_arabic)
        {
            ways.push([front, &[format!("{before}{last}")]].concat());
        }
        ways.push([&way[..], &[last.clone()]].concat());
    }
    ways
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
    let Some((piece, rest)) = pieces.split_first() else { return units.is_empty() };
    match piece {
        Piece::Any => (0..=units.len()).any(|skipped| is_like(&units[skipped..], rest)),
        Piece::One => !units.is_empty() && is_like(&units[1..], rest),
        Piece::Unit(unit) => units.first() == Some(unit) && is_like(&units[1..], rest),
    }
}
