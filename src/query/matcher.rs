//! All brands' queries at once.
//!
//! One Aho-Corasick automaton over the searched forms of all clauses reads the normalised message
//! once. What it finds names the brands that may match, and only their trees are evaluated. The
//! searched forms carry their own word boundaries (see [`normal`](super::normal)), so a find needs
//! no further check.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};
use hearken_connectors::Message;

use super::normal::{self, CHANNEL, END, Field, HANDLE, HASHTAG, Normal, SOURCE};
use super::parser::{Clause, ClauseKind, Expr, parse};
use super::{BrandQuery, Match, QueryError, SyntaxError};

/// All brands' queries, compiled together.
pub struct Matcher {
    pub(super) brands: Vec<Brand>,
    automaton: AhoCorasick,
    /// By pattern: the terms that it finds.
    pattern_terms: Vec<Vec<usize>>,
    /// By term: the brands whose query may become true by it.
    term_brands: Vec<Vec<usize>>,
}

pub(super) struct Brand {
    pub(super) name: String,
    pub(super) query: Node,
}

/// A compiled query. A term stands for equal clauses of any brand.
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Clause { clause: Clause, written: String, term: usize },
}

/// What is searched of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// Headline.
    pub title: &'a str,
    /// Text.
    pub text: &'a str,
    /// Handles that the source says are mentioned, without `@`.
    pub mentioned: &'a [String],
    /// Hashtags that the source says are there, without `#`.
    pub hashtags: &'a [String],
    /// Channel on which it was heard.
    pub channel: &'a str,
    /// Source that heard it.
    pub source: &'a str,
}

impl<'a> From<&'a Message> for Fields<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            title: &message.title,
            text: &message.text,
            mentioned: &message.mentioned,
            hashtags: &message.hashtags,
            channel: &message.channel,
            source: &message.source,
        }
    }
}

impl<'a> From<&'a str> for Fields<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, ..Self::default() }
    }
}

/// Working memory of [`Matcher::matches`]: one for each thread, kept from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    normal: Normal,
    /// Number of the message; marks below that are not of this message do not count.
    message: u64,
    /// By term: the last message in which it was found.
    found: Vec<u64>,
    /// By brand: the last message for which it was a candidate.
    candidate: Vec<u64>,
    candidates: Vec<usize>,
}

impl Matcher {
    /// Compiles all queries together.
    pub fn compile(queries: &[BrandQuery]) -> Result<Self, QueryError> {
        let mut terms: HashMap<Vec<String>, usize> = HashMap::new();
        let mut term = |clause: &Clause| {
            let next = terms.len();
            *terms.entry(patterns(clause)).or_insert(next)
        };
        let mut brands = Vec::with_capacity(queries.len());
        for BrandQuery { brand, query } in queries {
            let expr = parse(query).map_err(|error| QueryError { brand: brand.clone(), error })?;
            brands.push(Brand { name: brand.clone(), query: compile(expr, &mut term) });
        }

        let mut term_brands = vec![Vec::new(); terms.len()];
        for (index, brand) in brands.iter().enumerate() {
            brand.query.each_opener(true, &mut |term| {
                if let Some(brands) = term_brands.get_mut(term).filter(|brands| brands.last() != Some(&index)) {
                    brands.push(index);
                }
            });
        }

        let mut by_pattern: HashMap<String, Vec<usize>> = HashMap::new();
        for (patterns, term) in terms {
            patterns.into_iter().for_each(|pattern| by_pattern.entry(pattern).or_default().push(term));
        }
        let (patterns, pattern_terms): (Vec<String>, _) = by_pattern.into_iter().unzip();
        // A prefilter looks for first bytes; here, most patterns begin with the same one, a space.
        let mut automaton = AhoCorasick::builder();
        automaton.match_kind(MatchKind::Standard).prefilter(false);
        let automaton = automaton.build(&patterns).map_err(|error| {
            let reason = format!("all queries together are too large: {error}");
            QueryError { brand: String::new(), error: SyntaxError::new(0..0, reason) }
        })?;
        Ok(Self { brands, automaton, pattern_terms, term_brands })
    }

    /// The brands that the message speaks of, in the order of compilation.
    pub fn matches<'a>(&self, message: impl Into<Fields<'a>>, scratch: &mut Scratch) -> Vec<Match> {
        scratch.message += 1;
        let Scratch { normal, message: now, found, candidate, candidates } = scratch;
        let now = *now;
        found.resize(found.len().max(self.term_brands.len()), 0);
        candidate.resize(candidate.len().max(self.brands.len()), 0);
        candidates.clear();

        normalise(message.into(), normal);
        self.each_find(normal, |term, _, _| {
            let Some(last) = found.get_mut(term).filter(|last| **last != now) else { return };
            *last = now;
            for brand in self.term_brands.get(term).into_iter().flatten() {
                if let Some(last) = candidate.get_mut(*brand).filter(|last| **last != now) {
                    *last = now;
                    candidates.push(*brand);
                }
            }
        });
        candidates.sort_unstable();

        let is_found = |term: usize| found.get(term) == Some(&now);
        let mut matches = Vec::new();
        for index in candidates.iter().copied() {
            let Some(brand) = self.brands.get(index).filter(|brand| brand.query.is_true(&is_found)) else { continue };
            let mut clauses = Vec::new();
            brand.query.each_reason(true, &is_found, &mut |clause| {
                if !clauses.iter().any(|known| known == clause) {
                    clauses.push(clause.to_owned());
                }
            });
            matches.push(Match { brand: index, clauses });
        }
        matches
    }

    /// Calls `found` with each term that is found, where it was found (words or names), and the
    /// normalised bytes of it.
    pub(super) fn each_find(&self, normal: &Normal, mut found: impl FnMut(usize, Part, std::ops::Range<usize>)) {
        for (part, folded) in [(Part::Words, &normal.words), (Part::Names, &normal.names)] {
            if folded.bytes().is_empty() {
                continue;
            }
            for find in self.automaton.find_overlapping_iter(folded.bytes()) {
                for term in self.pattern_terms.get(find.pattern().as_usize()).into_iter().flatten() {
                    found(*term, part, find.range());
                }
            }
        }
    }

    /// How many different terms there are.
    pub(super) fn terms(&self) -> usize {
        self.term_brands.len()
    }
}

/// Which half of a normalised message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Words,
    Names,
}

/// Normalises everything that is searched.
pub(super) fn normalise(fields: Fields<'_>, normal: &mut Normal) {
    normal.clear();
    normal.add_text(Field::Title, fields.title);
    normal.add_text(Field::Text, fields.text);
    fields.mentioned.iter().enumerate().for_each(|(index, handle)| normal.add_handle(index, handle));
    fields.hashtags.iter().enumerate().for_each(|(index, hashtag)| normal.add_hashtag(index, hashtag));
    normal.add_origin(Field::Channel, fields.channel);
    normal.add_origin(Field::Source, fields.source);
}

/// The normalised strings by which a clause is found, sorted.
fn patterns(clause: &Clause) -> Vec<String> {
    match clause.kind {
        ClauseKind::Word | ClauseKind::Phrase => normal::patterns(&clause.text),
        ClauseKind::Hashtag => vec![format!("{HASHTAG}{}{END}", normal::name(&clause.text))],
        ClauseKind::Channel => vec![format!("{CHANNEL}{}{END}", normal::name(&clause.text))],
        ClauseKind::Source => vec![format!("{SOURCE}{}{END}", normal::name(&clause.text))],
        ClauseKind::Handle => {
            let handle = normal::name(&clause.text);
            // Without a server, the handle on any server.
            let ends: &[char] = if handle.contains('@') { &[END] } else { &[END, '.', '@'] };
            ends.iter().map(|end| format!("{HANDLE}{handle}{end}")).collect()
        }
    }
}

fn compile(expr: Expr, term: &mut impl FnMut(&Clause) -> usize) -> Node {
    match expr {
        Expr::And(items) => Node::And(items.into_iter().map(|item| compile(item, term)).collect()),
        Expr::Or(items) => Node::Or(items.into_iter().map(|item| compile(item, term)).collect()),
        Expr::Not(item) => Node::Not(Box::new(compile(*item, term))),
        Expr::Clause(clause) => Node::Clause { term: term(&clause), written: clause.to_string(), clause },
    }
}

impl Node {
    /// Whether the query is true of a message in which these terms are found.
    pub(super) fn is_true(&self, is_found: &impl Fn(usize) -> bool) -> bool {
        match self {
            Self::Clause { term, .. } => is_found(*term),
            Self::Not(item) => !item.is_true(is_found),
            Self::And(items) => items.iter().all(|item| item.is_true(is_found)),
            Self::Or(items) => items.iter().any(|item| item.is_true(is_found)),
        }
    }

    /// The clauses that were found and that make this as true (or as false) as it is.
    pub(super) fn each_reason<'a>(
        &'a self,
        truth: bool,
        is_found: &impl Fn(usize) -> bool,
        reason: &mut impl FnMut(&'a str),
    ) {
        match self {
            Self::Clause { written, .. } if truth => reason(written),
            Self::Clause { .. } => {}
            Self::Not(item) => item.each_reason(!truth, is_found, reason),
            Self::And(items) | Self::Or(items) => items
                .iter()
                .filter(|item| item.is_true(is_found) == truth)
                .for_each(|item| item.each_reason(truth, is_found, reason)),
        }
    }

    /// Terms of which at least one is found whenever this is true (or, with `truth` false, false).
    fn each_opener(&self, truth: bool, open: &mut impl FnMut(usize)) {
        match self {
            Self::Clause { term, .. } if truth => open(*term),
            Self::Clause { .. } => {}
            Self::Not(item) => item.each_opener(!truth, open),
            Self::And(items) | Self::Or(items) => items.iter().for_each(|item| item.each_opener(truth, open)),
        }
    }
}
