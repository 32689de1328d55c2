//! Words and emoji of known valence.

use std::collections::BTreeMap;

use super::chars::{Class, Glyph};
use super::features::{token_hash, tokens};
use super::normalise::Text;

/// Emoticons, which lexicons of words seldom hold.
const EMOTICONS: [(&str, i8); 12] = [
    (":)", 2),
    (":-)", 2),
    (":))", 3),
    (";)", 1),
    (";-)", 1),
    ("^^", 2),
    (":(", -2),
    (":-(", -2),
    (":((", -3),
    (":'(", -2),
    (":/", -1),
    (":-/", -1),
];
/// Longest entry in a script without spaces, in characters.
const MAX_UNSPACED: usize = 6;
/// More entries than this are refused.
const MAX_ENTRIES: usize = 1_000_000;

/// Valences by word, compiled for look-up.
#[derive(Default)]
pub(crate) struct Lexicon {
    /// The source: word as written -> valence, in order of the words.
    entries: BTreeMap<String, i8>,
    /// Open addressing over token hashes: 24 bits of hash and 8 bits of valence; 0 is free.
    slots: Vec<u32>,
    /// By lower 16 bits of the first character of an unspaced entry: length of the longest one.
    reach: Vec<u8>,
}

/// What the lexicon says of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Sum of the positive valences.
    pub(crate) positive: i32,
    /// Sum of the negative valences, as a positive number.
    pub(crate) negative: i32,
    /// Entries found.
    pub(crate) hits: u32,
}

impl Tally {
    /// Positive less negative.
    pub(crate) fn balance(&self) -> i32 {
        self.positive - self.negative
    }

    fn add(&mut self, valence: i8) {
        let valence = i32::from(valence);
        if valence > 0 {
            self.positive += valence;
        } else {
            self.negative -= valence;
        }
        self.hits += 1;
    }
}

/// Why a lexicon cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum LexiconError {
    #[error("line {line}: expected a word, a tab and a valence from -5 to 5")]
    Line { line: usize },
    #[error("more than {MAX_ENTRIES} entries")]
    TooMany,
}

impl Lexicon {
    /// Reads lines as [`Lexicon::parse`] does, and adds the emoticons that are not among them.
    pub(crate) fn parse_with_emoticons(text: &str) -> Result<Self, LexiconError> {
        let mut entries = Self::parse_entries(text)?;
        for (emoticon, valence) in EMOTICONS {
            entries.entry(emoticon.to_owned()).or_insert(valence);
        }
        Ok(Self::compile(entries))
    }

    /// Reads lines of `word TAB valence`; a word that comes twice keeps its last valence, and a
    /// valence of 0 is as good as no entry.
    pub(crate) fn parse(text: &str) -> Result<Self, LexiconError> {
        Self::parse_entries(text).map(Self::compile)
    }

    fn parse_entries(text: &str) -> Result<BTreeMap<String, i8>, LexiconError> {
        let mut entries = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line_error = LexiconError::Line { line: number + 1 };
            let Some((word, valence)) = line.split_once('\t') else { return Err(line_error) };
            let Ok(valence @ -5..=5) = valence.trim().parse::<i8>() else { return Err(line_error) };
            if valence != 0 {
                entries.insert(word.to_owned(), valence);
            }
            if entries.len() > MAX_ENTRIES {
                return Err(LexiconError::TooMany);
            }
        }
        Ok(entries)
    }

    /// The lines that [`Lexicon::parse`] reads.
    pub(crate) fn to_text(&self) -> String {
        self.entries.iter().map(|(word, valence)| format!("{word}\t{valence}\n")).collect()
    }

    fn compile(entries: BTreeMap<String, i8>) -> Self {
        let mut lexicon = Self {
            slots: vec![0; (entries.len() * 3 / 2).next_power_of_two().max(16)],
            reach: vec![0; 0x1_0000],
            entries: BTreeMap::new(),
        };
        let mut text = Text::default();
        for (word, valence) in &entries {
            text.clear();
            text.push(word);
            let mut parts = tokens(text.glyphs());
            // Tokens are what is looked up: an entry of several can never be found.
            let (Some((class, token)), None) = (parts.next(), parts.next()) else { continue };
            if class == Class::Unspaced {
                if token.len() > MAX_UNSPACED {
                    continue;
                }
                if let Some(reach) = token.first().and_then(|first| lexicon.reach.get_mut(reach_index(*first))) {
                    *reach = (*reach).max(token.len() as u8);
                }
            }
            lexicon.insert(token_hash(token), *valence);
        }
        lexicon.entries = entries;
        lexicon
    }

    fn insert(&mut self, hash: u64, valence: i8) {
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(place) {
            if *slot == 0 || *slot >> 8 == fingerprint(hash) {
                *slot = fingerprint(hash) << 8 | u32::from(valence as u8);
                return;
            }
            place = (place + 1) & mask;
        }
    }

    #[inline]
    fn find(&self, hash: u64) -> Option<i8> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        loop {
            match *self.slots.get(place)? {
                0 => return None,
                slot if slot >> 8 == fingerprint(hash) => return Some(slot as u8 as i8),
                _ => place = (place + 1) & mask,
            }
        }
    }

    /// Counts a token.
    #[inline]
    pub(crate) fn tally(&self, hash: u64, tally: &mut Tally) {
        if let Some(valence) = self.find(hash) {
            tally.add(valence);
        }
    }

    /// Counts the entries in a run without spaces, the longest first at each place.
    pub(crate) fn tally_unspaced(&self, run: &[Glyph], tally: &mut Tally) {
        let mut rest = run;
        while let Some(first) = rest.first() {
            let reach = self.reach.get(reach_index(*first)).copied().unwrap_or(0);
            let longest = usize::from(reach).min(rest.len());
            let found = (1..=longest).rev().find_map(|length| {
                let valence = self.find(token_hash(rest.get(..length)?))?;
                Some((length, valence))
            });
            let length = match found {
                Some((length, valence)) => {
                    tally.add(valence);
                    length
                }
                None => 1,
            };
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn reach_index(glyph: Glyph) -> usize {
    (glyph.code() & 0xffff) as usize
}

/// 24 bits of the hash that choose no slot; never 0 together with a valence.
#[inline]
fn fingerprint(hash: u64) -> u32 {
    (hash >> 40) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn tally(lexicon: &Lexicon, text: &str) -> Tally {
        let mut buffer = Text::default();
        buffer.push(text);
        let mut tally = Tally::default();
        for (class, token) in tokens(buffer.glyphs()) {
            match class {
                Class::Unspaced => lexicon.tally_unspaced(token, &mut tally),
                _ => lexicon.tally(token_hash(token), &mut tally),
            }
        }
        tally
    }

    fn sums(lexicon: &Lexicon, text: &str) -> (i32, i32) {
        let tally = tally(lexicon, text);
        (tally.positive, tally.negative)
    }

    #[test]
    fn words_emoji_and_emoticons_are_found_however_they_are_written() {
        let lexicon = Lexicon::parse("güzel\t3\nbad\t-3\n❤️\t3\n:-(\t-2\n不好\t-3\n好\t2\n").unwrap();
        assert_eq!(sums(&lexicon, "GÜZEL güzel badge"), (6, 0));
        assert_eq!(sums(&lexicon, "Bad, ❤ :-("), (3, 5));
        assert_eq!(sums(&lexicon, "很好，但是不好吃"), (2, 3));
        assert_eq!(sums(&lexicon, ""), (0, 0));
        assert_eq!(sums(&Lexicon::default(), "bad"), (0, 0));
    }

    #[test]
    fn emoticons_come_with_every_lexicon() {
        let lexicon = Lexicon::parse_with_emoticons(":)\t5\n").unwrap();
        assert_eq!(tally(&lexicon, "hm :-(").balance(), -2);
        assert_eq!(tally(&lexicon, ":)").balance(), 5);
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(Lexicon::parse("a\t1\nb 2\n").err(), Some(LexiconError::Line { line: 2 }));
        assert_eq!(Lexicon::parse("a\t9\n").err(), Some(LexiconError::Line { line: 1 }));
    }

    #[test]
    fn text_form_is_read_back() {
        let lexicon = Lexicon::parse("b\t-1\na\t2\nnone\t0\n").unwrap();
        assert_eq!(lexicon.to_text(), "a\t2\nb\t-1\n");
        assert_eq!(Lexicon::parse(&lexicon.to_text()).unwrap().to_text(), lexicon.to_text());
    }
}
