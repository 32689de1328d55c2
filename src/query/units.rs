//! Words letter by letter: drawn-out letters, and letters without their accents.
//!
//! A unit is a character of a normalised word with the combining marks after it.

use unicode_normalization::char::is_combining_mark;

use super::script::{Class, class};

fn is_mark(c: char) -> bool {
    // The first combining mark of Unicode.
    c >= '\u{300}' && is_combining_mark(c)
}

/// The units of a normalised word.
pub(super) fn units(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices();
        chars.next()?;
        let end = chars.find(|(_, c)| !is_mark(*c)).map_or(rest.len(), |(at, _)| at);
        let (unit, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(unit)
    })
}

/// Equal units that stand next to each other, and how many.
fn runs(word: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut units = units(word).peekable();
    std::iter::from_fn(move || {
        let unit = units.next()?;
        let mut length = 1;
        while units.next_if_eq(&unit).is_some() {
            length += 1;
        }
        Some((unit, length))
    })
}

/// Whether a unit can be drawn out.
fn is_letter(unit: &str) -> bool {
    unit.chars().next().is_some_and(|c| c.is_alphabetic() && class(c) == Class::Letter)
}

/// As many of the same letter as are taken for a drawn-out one.
const DRAWN: usize = 3;

/// Whether a word has a drawn-out letter: a word of one letter only, however often, has none (`AAA`, `www`).
fn is_drawn(word: &str) -> bool {
    let mut runs = runs(word);
    let Some(first) = runs.next() else { return false };
    let mut rest = runs.peekable();
    rest.peek().is_some() && std::iter::once(first).chain(rest).any(|(unit, length)| length >= DRAWN && is_letter(unit))
}

/// Whether one of the words has a drawn-out letter.
pub(super) fn has_drawn(words: &str) -> bool {
    // Few texts have, and most of the others are told from it by this.
    let (mut before, mut length) = (' ', 0);
    let is_worth_a_look = words.chars().any(|c| {
        length = if c == before { length + 1 } else { 1 };
        before = c;
        (length >= DRAWN && c > ' ') || is_mark(c)
    });
    is_worth_a_look && words.split([' ', '\n']).any(is_drawn)
}

/// Writes every run of a letter as one letter.
pub(super) fn collapse(words: &str) -> String {
    let mut collapsed = String::with_capacity(words.len());
    for word in words.split_inclusive([' ', '\n']) {
        for (unit, length) in runs(word) {
            let length = if is_letter(unit) { 1 } else { length };
            (0..length).for_each(|_| collapsed.push_str(unit));
        }
    }
    collapsed
}

/// Whether a word of a text, drawn out or not, stands for a word of a query; with `is_prefix`, whether it begins so.
pub(super) fn stands_for(word: &str, wanted: &str, is_prefix: bool) -> bool {
    if word == wanted || (is_prefix && word.starts_with(wanted)) {
        return true;
    }
    if !is_drawn(word) {
        return false;
    }
    let mut wanted = runs(wanted);
    let fits = |(unit, length): (&str, usize)| {
        wanted.next().is_some_and(|(other, wanted)| {
            unit == other && (length == wanted || (length >= DRAWN && wanted < length && is_letter(unit)))
        })
    };
    runs(word).all(fits) && wanted.next().is_none()
}

/// Letters without accents, for `fold:`. The number of words stays.
pub(super) fn without_accents(words: &str) -> String {
    let mut plain = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            _ if c.is_ascii() => plain.push(c),
            '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => {}
            // Hebrew points.
            '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' => {}
            'ł' => plain.push('l'),
            'ø' => plain.push('o'),
            'đ' | 'ð' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ŧ' => plain.push('t'),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'þ' => plain.push_str("th"),
            _ => plain.push(c),
        }
    }
    plain
}
