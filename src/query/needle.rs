//! What is searched for a clause: strings in the searched forms of a message, and what has to be checked where one is
//! found.

use super::ast::{Find, Form, Text};
use super::names::name;
use super::normal::{AUTHOR, CASHTAG, CHANNEL, END, HANDLE, HASHTAG, LABEL, SOURCE, words};
use super::script::{Class, class, is_arabic};
use super::units::{collapse, without_accents};
use super::wildcard::Wildcard;

/// A searched form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Its words.
    Words,
    /// Its words, with drawn-out letters written once.
    Drawn,
    /// Its words without accents.
    Plain,
    /// Both.
    PlainDrawn,
    /// Names in it, and where it comes from.
    Names,
    /// Its address and its links.
    Addresses,
    /// The title as it is.
    Title,
    /// The text as it is.
    Text,
}

/// Which words count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Those of title and text.
    Anywhere,
    /// Those of the title.
    Title,
    /// Those of the author's display name.
    AuthorName,
}

/// A string that is in every message in which something is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Needle {
    pub(super) text: String,
    pub(super) part: Part,
    pub(super) scope: Scope,
    pub(super) check: Check,
}

/// What has to hold where a needle is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Check {
    /// Nothing more.
    Nothing,
    /// The words there, drawn out or not, stand for these.
    StandsFor(String),
    /// The word there matches.
    Wildcard(Wildcard),
    /// It is no part of a longer word.
    Whole,
}

impl Needle {
    fn name(text: String) -> Self {
        Self { text, part: Part::Names, scope: Scope::Anywhere, check: Check::Nothing }
    }

    /// How rare it is, roughly: the share of messages in which it is expected.
    pub(super) fn frequency(&self) -> f64 {
        let length = self.text.chars().filter(|c| *c > ' ').count();
        0.5_f64.powi(i32::try_from(length.min(40)).unwrap_or(40)) * if self.part == Part::Names { 0.1 } else { 1.0 }
    }
}

/// By which needles a clause is found, each once; none where no string tells.
pub(super) fn needles(find: &Find) -> Vec<Needle> {
    let named = |mark: char, text: &str| vec![Needle::name(format!("{mark}{}{END}", name(text)))];
    let mut needles = match find {
        Find::Text(text) => text_needles(text),
        Find::AuthorName(words) => written(words, false, Scope::AuthorName),
        Find::Handle(handle) => account(HANDLE, handle),
        Find::Author(handle) => account(AUTHOR, handle),
        Find::Hashtag(hashtag) => named(HASHTAG, hashtag),
        Find::Cashtag(cashtag) => named(CASHTAG, cashtag),
        Find::Channel(channel) => named(CHANNEL, channel),
        Find::Source(source) => named(SOURCE, source),
        Find::Site(host) => {
            let labels: String = host.split('.').map(|label| format!("{LABEL}{}", label.to_lowercase())).collect();
            vec![Needle::name(format!("{labels}{END}"))]
        }
        Find::Url(part) => vec![Needle { part: Part::Addresses, ..Needle::name(part.to_ascii_lowercase()) }],
        Find::Raw(text) => {
            let both = [Part::Title, Part::Text];
            both.map(|part| Needle { part, check: Check::Whole, ..Needle::name(text.clone()) }).to_vec()
        }
        _ => Vec::new(),
    };
    needles.sort_by(|a, b| a.text.cmp(&b.text));
    needles.dedup();
    needles
}

/// Without a server, the handle on any server.
fn account(mark: char, handle: &str) -> Vec<Needle> {
    let handle = name(handle);
    let ends: &[char] = if handle.contains('@') { &[END] } else { &[END, '.', '@'] };
    ends.iter().map(|end| Needle::name(format!("{mark}{handle}{end}"))).collect()
}

fn text_needles(text: &Text) -> Vec<Needle> {
    let scope = if text.in_title { Scope::Title } else { Scope::Anywhere };
    match &text.form {
        Form::Word(words) | Form::Phrase(words) => written(words, text.is_folded, scope),
        // Its words are looked for one by one.
        Form::Within(..) => Vec::new(),
        Form::Wildcard(pattern) => {
            let (part, fold): (_, fn(&str) -> String) =
                if text.is_folded { (Part::Plain, without_accents) } else { (Part::Words, str::to_owned) };
            let wildcard = Wildcard::new(pattern, fold);
            vec![Needle { text: wildcard.needle(), part, scope, check: Check::Wildcard(wildcard) }]
        }
    }
}

/// A word or phrase, as it is and drawn out.
fn written(words: &str, is_folded: bool, scope: Scope) -> Vec<Needle> {
    let fold = |pattern: String| if is_folded { without_accents(&pattern) } else { pattern };
    patterns(words).into_iter().map(fold).flat_map(|pattern| spelled(pattern, is_folded, scope)).collect()
}

fn spelled(pattern: String, is_folded: bool, scope: Scope) -> [Needle; 2] {
    let (part, drawn) = if is_folded { (Part::Plain, Part::PlainDrawn) } else { (Part::Words, Part::Drawn) };
    [
        Needle { text: collapse(&pattern), part: drawn, scope, check: Check::StandsFor(pattern.clone()) },
        Needle { text: pattern, part, scope, check: Check::Nothing },
    ]
}

/// The needles of each word of `"in any order"~5`.
pub(super) fn words_within(text: &Text, phrase: &str) -> Vec<Vec<Needle>> {
    let scope = if text.in_title { Scope::Title } else { Scope::Anywhere };
    let words = words(phrase);
    let words = if text.is_folded { without_accents(&words) } else { words };
    let pattern = |word: &str| {
        let end = if ends_in_hangul(word) { "" } else { " " };
        spelled(format!(" {word}{end}"), text.is_folded, scope).to_vec()
    };
    words.split_whitespace().map(pattern).collect()
}

/// Particles grow at the end of a Korean word.
pub(super) fn ends_in_hangul(word: &str) -> bool {
    class(word.trim_end().chars().next_back().unwrap_or(' ')) == Class::Hangul
}

/// The strings that are searched for a word or phrase: one, or, in Arabic script, one for each way
/// of writing the gaps that may be a space, a half-space or nothing.
pub(super) fn patterns(phrase: &str) -> Vec<String> {
    let spaced = words(&half_spaces_to_spaces(phrase));
    let mut gaps = Vec::new();
    let mut before = ' ';
    for (at, c) in spaced.char_indices() {
        let after = spaced.get(at + 1..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        if c == ' ' && is_arabic(before) && is_arabic(after) {
            gaps.push(at);
        }
        before = c;
    }
    let ways = match gaps.len() {
        few @ 0..=4 => 1_u32 << few,
        // All closed or all open.
        _ => 2,
    };
    let mut patterns: Vec<String> = (0..ways)
        .map(|way| {
            let is_closed = |at: usize| match gaps.binary_search(&at) {
                Ok(gap) if gaps.len() <= 4 => way & (1 << gap) != 0,
                Ok(_) => way == 1,
                Err(_) => false,
            };
            spaced.char_indices().filter(|(at, _)| !is_closed(*at)).map(|(_, c)| c).collect()
        })
        .collect();
    patterns.push(words(phrase));
    patterns.iter_mut().for_each(|pattern| {
        if ends_in_hangul(pattern) {
            pattern.truncate(pattern.trim_end().len());
        }
    });
    patterns.sort();
    patterns.dedup();
    patterns
}

/// Half-spaces (zero-width non-joiners) between Arabic letters become spaces.
fn half_spaces_to_spaces(text: &str) -> String {
    let mut before = ' ';
    let spaced = |c: char| {
        let is_half_space = c == '\u{200c}' && is_arabic(before);
        before = c;
        if is_half_space { ' ' } else { c }
    };
    text.chars().map(spaced).collect()
}
