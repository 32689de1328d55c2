//! `wild*`, `w?ld`, `*suffix`: a pattern for one word.

use super::normal;
use super::units::units;

/// A wildcard, ready to be compared with normalised words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wildcard {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Token {
    /// This unit.
    Unit(String),
    /// Any one unit.
    One,
    /// Any units, or none.
    Any,
}

impl Wildcard {
    /// Reads a wildcard as it is written; `fold` is applied to its normalised pieces.
    pub(super) fn new(written: &str, fold: impl Fn(&str) -> String) -> Self {
        let mut tokens = Vec::new();
        let mut piece = String::new();
        for c in written.chars().chain(['*']) {
            if !matches!(c, '*' | '?') {
                piece.push(c);
                continue;
            }
            tokens.extend(units(fold(&normal::words(&piece)).trim()).map(|unit| Token::Unit(unit.to_owned())));
            piece.clear();
            tokens.push(if c == '*' { Token::Any } else { Token::One });
        }
        // The one that closed the last piece.
        tokens.pop();
        Self { tokens }
    }

    /// The longest string that is in every word that matches, with a space where a word begins or ends.
    pub(super) fn needle(&self) -> String {
        let is_unit = |token: &Token| matches!(token, Token::Unit(_));
        let mut longest = String::new();
        let mut rest = self.tokens.as_slice();
        let mut is_first = true;
        while !rest.is_empty() {
            let length = rest.iter().take_while(|token| is_unit(token)).count();
            let (piece, after) = rest.split_at(length);
            let mut needle = String::new();
            if !piece.is_empty() {
                needle.extend(is_first.then_some(' '));
                needle.extend(
                    piece.iter().filter_map(|token| if let Token::Unit(unit) = token { Some(&**unit) } else { None }),
                );
                needle.extend(after.is_empty().then_some(' '));
            }
            if needle.len() > longest.len() {
                longest = needle;
            }
            rest = after.get(1..).unwrap_or_default();
            is_first = false;
        }
        longest
    }

    /// Whether a normalised word matches.
    pub(super) fn matches(&self, word: &str) -> bool {
        let units: Vec<&str> = units(word).collect();
        let (mut at, mut token) = (0, 0);
        // Where the last `*` stands, and up to where it reaches so far.
        let mut star: Option<(usize, usize)> = None;
        while let Some(unit) = units.get(at) {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    star = Some((token, at));
                    token += 1;
                }
                Some(Token::One) => (at, token) = (at + 1, token + 1),
                Some(Token::Unit(wanted)) if wanted == unit => (at, token) = (at + 1, token + 1),
                _ => match &mut star {
                    Some((any, reach)) => {
                        *reach += 1;
                        (at, token) = (*reach, *any + 1);
                    }
                    None => return false,
                },
            }
        }
        self.tokens.get(token..).is_some_and(|rest| rest.iter().all(|token| *token == Token::Any))
    }
}
