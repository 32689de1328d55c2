//! A message in all the forms in which it is searched, word by word.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use super::fields::{Field, Fields, Place};
use super::needle::{Check, Part, Scope, ends_in_hangul};
use super::normal::{Normal, Wanted, words};
use super::script::{Class, class};
use super::units::{collapse, has_drawn, stands_for, without_accents};

/// Numbers of words between title, text and author's name, so that nothing is near across them.
const APART: usize = 1 << 30;

/// The first and the last of words that stand next to each other; words are numbered through.
pub(super) type Stretch = (usize, usize);

/// Bytes of a part of the message as it was written.
pub(super) type Origin = (Field, Range<usize>);

/// A message in all its forms.
pub(super) struct Searched<'a> {
    pub(super) fields: Fields<'a>,
    normal: &'a Normal,
    words: Words<'a>,
    drawn: Option<Words<'a>>,
    plain: Option<Words<'a>>,
    plain_drawn: Option<Words<'a>>,
}

/// Where something was found: bytes of a form of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) term: usize,
    pub(super) part: Part,
    pub(super) range: Range<usize>,
}

impl<'a> Searched<'a> {
    /// A message that was read into `normal`.
    pub(super) fn new(fields: Fields<'a>, normal: &'a Normal, wanted: Wanted) -> Self {
        let text = str::from_utf8(normal.words.bytes()).unwrap_or_default();
        let words = Words { text: text.into(), ends: normal.ends, starts: OnceCell::new() };
        let drawn = has_drawn(text).then(|| words.rewritten(collapse));
        let plain = wanted.plain.then(|| words.rewritten(without_accents));
        // Taking accents away may make equal letters of different ones.
        let plain_drawn = plain.as_ref().filter(|plain| has_drawn(&plain.text)).map(|plain| plain.rewritten(collapse));
        Self { fields, normal, words, drawn, plain, plain_drawn }
    }

    /// The forms that are there, to be searched.
    pub(super) fn folded(&self) -> impl Iterator<Item = (Part, &[u8])> {
        [
            Some((Part::Words, self.words.text.as_bytes())),
            Some((Part::Names, self.normal.names.bytes())),
            Some((Part::Addresses, self.normal.addresses.bytes())),
            self.drawn.as_ref().map(|words| (Part::Drawn, words.text.as_bytes())),
            self.plain.as_ref().map(|words| (Part::Plain, words.text.as_bytes())),
            self.plain_drawn.as_ref().map(|words| (Part::PlainDrawn, words.text.as_bytes())),
        ]
        .into_iter()
        .flatten()
        .filter(|(_, bytes)| !bytes.is_empty())
    }

    /// Title and text as they are.
    pub(super) fn exact(&self) -> [(Part, &'a str); 2] {
        [(Part::Title, self.fields.title), (Part::Text, self.fields.text)]
    }

    fn form(&self, part: Part) -> Option<&Words<'a>> {
        match part {
            Part::Words => Some(&self.words),
            Part::Drawn => self.drawn.as_ref(),
            Part::Plain => self.plain.as_ref(),
            Part::PlainDrawn => self.plain_drawn.as_ref(),
            Part::Names | Part::Addresses | Part::Title | Part::Text => None,
        }
    }

    /// Whether words that begin at this byte count.
    pub(super) fn is_in(&self, scope: Scope, part: Part, at: usize) -> bool {
        let Some(Words { ends: [title, text], .. }) = self.form(part) else { return true };
        match scope {
            Scope::Title => at < *title,
            Scope::Anywhere => at < *text,
            Scope::AuthorName => at >= *text,
        }
    }

    /// What was found where a needle is (for a wildcard, where the word is); `None` where the check says no.
    pub(super) fn checked(&self, check: &Check, part: Part, range: Range<usize>) -> Option<Range<usize>> {
        match check {
            Check::Nothing => Some(range),
            Check::Wildcard(wildcard) => {
                let word = self.form(part)?.text.get(range.clone())?;
                wildcard.matches(word).then_some(range)
            }
            Check::StandsFor(wanted) => {
                let original = if part == Part::PlainDrawn { self.plain.as_ref()? } else { &self.words };
                let (first, last) = self.form(part)?.numbers(&range)?;
                let is_open = ends_in_hangul(wanted);
                let mut number = first;
                wanted
                    .split_whitespace()
                    .all(|wanted| {
                        let word = original.range(number).and_then(|word| original.text.get(word));
                        number += 1;
                        word.is_some_and(|word| stands_for(word, wanted, is_open && number > last))
                    })
                    .then_some(range)
            }
            Check::Whole => {
                let text = if part == Part::Title { self.fields.title } else { self.fields.text };
                let goes_on = |a: Option<char>, b: Option<char>| a.is_some_and(is_spaced) && b.is_some_and(is_spaced);
                let (before, found, after) =
                    (text.get(..range.start)?, text.get(range.clone())?, text.get(range.end..)?);
                let is_part = goes_on(before.chars().next_back(), found.chars().next())
                    || goes_on(found.chars().next_back(), after.chars().next());
                (!is_part).then_some(range)
            }
        }
    }

    /// The word in which something begins.
    pub(super) fn word(&self, part: Part, range: &Range<usize>) -> Option<Range<usize>> {
        let words = self.form(part)?;
        words.range(words.numbers(range)?.0)
    }

    /// The words at which something was found; `None` where it has no place among them.
    pub(super) fn stretch(&self, hit: &Hit) -> Option<Stretch> {
        match hit.part {
            Part::Names => {
                let names = &self.normal.names_in_words;
                let name = names.get(names.binary_search_by_key(&hit.range.start, |name| name.name).ok()?)?;
                let (first, _) = self.words.numbers(&(name.words..name.words + 1))?;
                let written = self.fields.get(name.field).get(name.from.clone())?;
                let count = words(written).split_whitespace().count().checked_sub(1)?;
                Some((self.words.numbered(first), self.words.numbered(first) + count))
            }
            part => {
                let words = self.form(part)?;
                let (first, last) = words.numbers(&hit.range)?;
                Some((words.numbered(first), words.numbered(last)))
            }
        }
    }

    /// Where these words are in the message.
    pub(super) fn origin_of(&self, (first, last): Stretch) -> Option<Origin> {
        let (first, last) = (self.words.range(first % APART)?, self.words.range(last % APART)?);
        self.normal.words.origin(first.start..last.end)
    }

    /// Where a hit is in the message.
    pub(super) fn origin(&self, hit: &Hit) -> Option<Origin> {
        let Hit { part, range, .. } = hit;
        match part {
            Part::Words => self.normal.words.origin(range.clone()),
            Part::Drawn | Part::Plain | Part::PlainDrawn => {
                let form = self.form(*part)?;
                let (first, last) = form.numbers(range)?;
                let (whole, found) = (self.words.range(last)?, form.range(last)?);
                // A Korean word may go on after what was found of it.
                let end = match range.end < found.end {
                    true => whole.start + self.beginning(*part, whole, range.end - found.start)?,
                    false => whole.end,
                };
                self.normal.words.origin(self.words.range(first)?.start..end)
            }
            Part::Names => self.normal.names.origin(range.clone()),
            Part::Addresses => self.normal.addresses.origin(range.clone()),
            Part::Title => Some((Field::Title, range.clone())),
            Part::Text => Some((Field::Text, range.clone())),
        }
    }

    /// How much of a word is written as this much of it in another form; marks that are dropped there belong to it.
    fn beginning(&self, part: Part, word: Range<usize>, length: usize) -> Option<usize> {
        let rewritten = |c: char| match part {
            Part::Drawn => c.len_utf8(),
            _ => without_accents(c.encode_utf8(&mut [0; 4])).len(),
        };
        let mut written = 0;
        let chars = self.words.text.get(word)?.char_indices();
        let ends = chars.map(|(at, c)| {
            written += rewritten(c);
            (written, at + c.len_utf8())
        });
        ends.take_while(|(written, _)| *written <= length).last().map(|(_, end)| end)
    }

    /// Origins as places: sorted, each once, and in characters.
    pub(super) fn places(&self, mut origins: Vec<Origin>) -> Vec<Place> {
        origins.sort_by_key(|(field, bytes)| (*field, bytes.start, bytes.end));
        origins.dedup();
        // Characters are counted on from the place before, so that many places take one pass.
        let (mut field_before, mut byte, mut character) = (None, 0, 0);
        let place = |(field, bytes): Origin| {
            if field_before != Some(field) {
                (field_before, byte, character) = (Some(field), 0, 0);
            }
            let text = self.fields.get(field);
            character += text.get(byte..bytes.start)?.chars().count();
            byte = bytes.start;
            Some(Place { field, span: character..character + text.get(bytes)?.chars().count() })
        };
        origins.into_iter().filter_map(place).collect()
    }
}

/// Whether a word can go on with this character, in a script that separates words.
fn is_spaced(c: char) -> bool {
    c.is_alphanumeric() && matches!(class(c), Class::Letter | Class::Hangul)
}

/// Normalised words, with a space on either side of each.
struct Words<'a> {
    text: Cow<'a, str>,
    ends: [usize; 2],
    /// Where each word begins.
    starts: OnceCell<Vec<usize>>,
}

impl Words<'_> {
    fn rewritten<'b>(&self, rewrite: fn(&str) -> String) -> Words<'b> {
        let [title, text] = self.ends;
        let mut written = rewrite(self.text.get(..title).unwrap_or_default());
        let title_end = written.len();
        written += &rewrite(self.text.get(title..text).unwrap_or_default());
        let text_end = written.len();
        written += &rewrite(self.text.get(text..).unwrap_or_default());
        Words { text: written.into(), ends: [title_end, text_end], starts: OnceCell::new() }
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            let bytes = self.text.as_bytes();
            let begins = |(at, pair): (usize, &[u8])| match pair {
                [b' ' | b'\n', next] if !matches!(next, b' ' | b'\n') => Some(at + 1),
                _ => None,
            };
            bytes.windows(2).enumerate().filter_map(begins).collect()
        })
    }

    /// The first and the last word of which bytes are in a range.
    fn numbers(&self, range: &Range<usize>) -> Option<(usize, usize)> {
        let found = self.text.as_bytes().get(range.clone())?;
        let begins = range.start + found.iter().take_while(|byte| **byte == b' ').count();
        let first = self.starts().partition_point(|start| *start <= begins).checked_sub(1)?;
        let last = self.starts().partition_point(|start| *start < range.end).checked_sub(1)?;
        Some((first, last.max(first)))
    }

    /// The bytes of a word.
    fn range(&self, number: usize) -> Option<Range<usize>> {
        let start = *self.starts().get(number)?;
        let length = self.text.get(start..)?.find(' ')?;
        Some(start..start + length)
    }

    /// A word's number, far from those of other fields.
    fn numbered(&self, number: usize) -> usize {
        let start = self.starts().get(number).copied().unwrap_or_default();
        number + self.ends.iter().filter(|end| start >= **end).count() * APART
    }
}
