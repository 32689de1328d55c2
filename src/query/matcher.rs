//! All brands' queries at once.
//!
//! One automaton over the needles of all clauses reads the searched forms of a message once. What it finds names the
//! brands that may match, and only their trees are evaluated. Needles carry their own word boundaries (see
//! [`normal`](super::normal)), so most finds need no further check.

use std::collections::HashMap;
use std::ops::Range;

use super::ast::{self, Clause, Expr, Find, Form, Text};
use super::automaton::{Automaton, Meaning};
use super::fields::Fields;
use super::near::Near;
use super::needle::{Check, Needle, Part, needles, words_within};
use super::normal::{Normal, Wanted};
use super::parser::parse;
use super::regex::{self, Regex};
use super::searched::{Hit, Searched};
use super::tree::{Evaluation, Leaf, Node, Test, Told};
use super::within::Within;
use super::{BrandQuery, Match, QueryError, SyntaxError};

/// Most bytes of the needles of all queries together: about 500 MiB of automaton.
const MOST_NEEDLE_BYTES: usize = 16 << 20;
/// Most regular expressions of all queries together; each takes at most about 1 MiB.
const MOST_REGEXES: usize = 1_000;

/// All brands' queries, compiled together.
pub struct Matcher {
    pub(super) brands: Vec<Brand>,
    /// Over words and names.
    folded: Automaton,
    /// Over title and text as they are.
    exact: Automaton,
    /// By term: whether it matters where it is found.
    has_place: Vec<bool>,
    /// By term: the brands whose query may become true by it.
    term_brands: Vec<Vec<usize>>,
    /// Brands whose query may be true although no term is found.
    always: Vec<usize>,
    wanted: Wanted,
    asks_language: bool,
}

pub(super) struct Brand {
    pub(super) name: String,
    pub(super) query: Node,
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
    hits: Vec<Hit>,
    tried: Tried,
}

impl Matcher {
    /// Compiles all queries together.
    pub fn compile(queries: &[BrandQuery]) -> Result<Self, QueryError> {
        let parsed = queries.iter().map(|BrandQuery { brand, query }| {
            let expr = parse(query).map_err(|error| QueryError { brand: brand.clone(), error })?;
            Ok((brand.clone(), expr))
        });
        Self::of(parsed.collect::<Result<Vec<_>, _>>()?)
    }

    /// Compiles brands with their parsed queries.
    fn of(queries: Vec<(String, Expr)>) -> Result<Self, QueryError> {
        let mut terms = Terms::default();
        let mut brands = Vec::with_capacity(queries.len());
        for (name, expr) in queries {
            let query = terms.compile(expr).map_err(|error| QueryError { brand: name.clone(), error })?;
            brands.push(Brand { name, query });
        }

        let mut term_brands = vec![Vec::new(); terms.known.len()];
        let mut always = Vec::new();
        let frequency = |term: usize| terms.frequencies.get(term).copied().unwrap_or(1.0);
        for (index, brand) in brands.iter().enumerate() {
            let Some(openers) = brand.query.openers(true, &frequency) else {
                always.push(index);
                continue;
            };
            for term in openers.terms {
                if let Some(brands) = term_brands.get_mut(term).filter(|brands| brands.last() != Some(&index)) {
                    brands.push(index);
                }
            }
        }

        let too_large = |reason: String| QueryError {
            brand: String::new(),
            error: SyntaxError::new(0..0, format!("all queries together are too large: {reason}")),
        };
        let needle_bytes: usize = terms.known.keys().flatten().map(|needle| needle.text.len()).sum();
        if needle_bytes > MOST_NEEDLE_BYTES {
            return Err(too_large(format!("{needle_bytes} bytes are searched, at most {MOST_NEEDLE_BYTES} can be")));
        }
        if terms.regexes > MOST_REGEXES {
            return Err(too_large(format!("{} regular expressions, at most {MOST_REGEXES}", terms.regexes)));
        }
        let known = std::mem::take(&mut terms.known).into_iter();
        let needles = known.flat_map(|(needles, term)| needles.into_iter().map(move |needle| (needle, term)));
        let (exact, folded): (Vec<_>, Vec<_>) =
            needles.partition(|(needle, _)| matches!(needle.part, Part::Title | Part::Text));
        let automaton = |needles| Automaton::new(needles).map_err(|error| too_large(error.to_string()));
        Ok(Self {
            brands,
            folded: automaton(folded)?,
            exact: automaton(exact)?,
            has_place: terms.has_place,
            term_brands,
            always,
            wanted: terms.wanted,
            asks_language: terms.asks_language,
        })
    }

    /// Whether a query asks for the language of a message ([`Fields::language`]).
    pub fn asks_language(&self) -> bool {
        self.asks_language
    }

    /// Memory that the compiled queries take, in bytes, without regular expressions and their caches.
    pub fn bytes(&self) -> usize {
        let mut leaves = 0;
        let mut count = |leaf: &Leaf| {
            leaves += size_of_val(leaf) + size_of::<Node>() + size_of_val(&*leaf.told) + leaf.told.written.len()
        };
        self.brands.iter().for_each(|brand| brand.query.each_leaf(&mut count));
        let openers: usize =
            self.term_brands.iter().map(|brands| size_of_val(brands) + size_of_val(brands.as_slice())).sum();
        self.folded.bytes() + self.exact.bytes() + leaves + openers
    }

    /// The brands that the message speaks of, in the order of compilation.
    pub fn matches<'a>(&self, message: impl Into<Fields<'a>>, scratch: &mut Scratch) -> Vec<Match> {
        scratch.message += 1;
        let Scratch { normal, message: now, found, candidate, candidates, hits, tried } = scratch;
        let now = *now;
        found.resize(found.len().max(self.term_brands.len()), 0);
        candidate.resize(candidate.len().max(self.brands.len()), 0);
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        hits.clear();

        let fields = message.into();
        normal.read(fields, self.wanted);
        let searched = Searched::new(fields, normal, self.wanted);
        self.each_find(&searched, now, tried, |meaning, range| {
            let term = meaning.term;
            let is_new = found.get(term).is_some_and(|last| *last != now);
            let has_place = self.has_place.get(term) == Some(&true);
            if !is_new && !has_place {
                return;
            }
            let Some(range) = range() else { return };
            if has_place {
                hits.push(Hit { term, part: meaning.part, range });
            }
            let Some(last) = found.get_mut(term).filter(|_| is_new) else { return };
            *last = now;
            for brand in self.term_brands.get(term).into_iter().flatten() {
                if let Some(last) = candidate.get_mut(*brand).filter(|last| **last != now) {
                    *last = now;
                    candidates.push(*brand);
                }
            }
        });
        candidates.sort_unstable();

        let evaluation = Evaluation { searched: &searched, found, message: now, hits };
        let mut matches = Vec::new();
        for index in candidates.iter().copied() {
            let Some(brand) = self.brands.get(index).filter(|brand| brand.query.is_true(&evaluation)) else { continue };
            let mut clauses = Vec::new();
            brand.query.each_reason(true, &evaluation, &mut |clause| {
                if !clauses.iter().any(|known| known == clause) {
                    clauses.push(clause.to_owned());
                }
            });
            matches.push(Match { brand: index, clauses });
        }
        matches
    }

    /// Calls `found` with everything that is found in a message; what is given beside it checks the place, and says where
    /// exactly it is.
    pub(super) fn each_find(
        &self,
        searched: &Searched<'_>,
        message: u64,
        tried: &mut Tried,
        mut found: impl FnMut(&Meaning, &mut dyn FnMut() -> Option<Range<usize>>),
    ) {
        let folded = searched.folded().map(|(part, text)| (&self.folded, part, text));
        let exact = searched.exact().map(|(part, text)| (&self.exact, part, text.as_bytes()));
        for (automaton, part, text) in folded.chain(exact) {
            automaton.each_find(part, text, |meaning, range| {
                if searched.is_in(meaning.scope, part, range.start) {
                    found(meaning, &mut || match automaton.check(meaning) {
                        Check::Nothing => Some(range.clone()),
                        check @ Check::Wildcard(_) => {
                            let word = searched.word(part, &range)?;
                            tried
                                .is_first(meaning.term, (message, part, word.start))
                                .then(|| searched.checked(check, part, word))?
                        }
                        check => searched.checked(check, part, range.clone()),
                    });
                }
            });
        }
    }

    /// How many different terms there are.
    pub(super) fn terms(&self) -> usize {
        self.term_brands.len()
    }

    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }
}

/// Which word a wildcard was compared with last, so that a word with many finds in it is compared once.
#[derive(Debug, Default)]
pub(super) struct Tried {
    by_term: Vec<Option<(u64, Part, usize)>>,
}

impl Tried {
    fn is_first(&mut self, term: usize, word: (u64, Part, usize)) -> bool {
        if self.by_term.len() <= term {
            self.by_term.resize(term + 1, None);
        }
        let last = self.by_term.get_mut(term).and_then(|last| last.replace(word));
        last != Some(word)
    }
}

/// Gives equal clauses the same term.
#[derive(Default)]
struct Terms {
    known: HashMap<Vec<Needle>, usize>,
    has_place: Vec<bool>,
    frequencies: Vec<f64>,
    regexes: usize,
    wanted: Wanted,
    asks_language: bool,
}

impl Terms {
    fn compile(&mut self, expr: Expr) -> Result<Node, SyntaxError> {
        self.node(expr, false)
    }

    /// A compiled query; `has_place`: it matters where in the message it is.
    fn node(&mut self, expr: Expr, has_place: bool) -> Result<Node, SyntaxError> {
        let written = if matches!(expr, Expr::Near(_)) { expr.to_string() } else { String::new() };
        Ok(match expr {
            Expr::And(items) => {
                Node::And(items.into_iter().map(|item| self.node(item, has_place)).collect::<Result<_, _>>()?)
            }
            Expr::Or(items) => {
                Node::Or(items.into_iter().map(|item| self.node(item, has_place)).collect::<Result<_, _>>()?)
            }
            Expr::Not(item) => Node::Not(Box::new(self.node(*item, has_place)?)),
            Expr::Near(ast::Near { left, right, distance, ordered }) => {
                let (left, right) = (Box::new(self.node(*left, true)?), Box::new(self.node(*right, true)?));
                Node::Near(Box::new(Near { left, right, distance, ordered, written }))
            }
            Expr::Clause(clause) => Node::Clause(self.leaf(clause, has_place)?),
        })
    }

    fn leaf(&mut self, Clause { find, span }: Clause, has_place: bool) -> Result<Leaf, SyntaxError> {
        let written = find.to_string();
        self.note(&find);
        let test = match find {
            Find::Text(Text { form: Form::Within(ref phrase, distance), .. }) => {
                let Find::Text(text) = &find else { return Err(SyntaxError::new(span, "no text")) };
                let words = words_within(text, phrase).into_iter();
                let terms = words.map(|needles| self.term(needles, true)).collect();
                Test::Within(Box::new(Within { terms, distance }))
            }
            Find::Regex(regex) => {
                self.regexes += 1;
                let compiled =
                    regex::compile(&regex).map_err(|error| SyntaxError::new(span.clone(), error.to_string()))?;
                let sighted = regex::literals(&regex).map(|literals| self.term(regex::needles(&literals), false));
                Test::Regex(Box::new(Regex::new(compiled, sighted)))
            }
            find => match needles(&find) {
                needles if needles.is_empty() => Test::Condition(Box::new(find)),
                needles => Test::Found(self.term(needles, has_place)),
            },
        };
        Ok(Leaf { test, told: Box::new(Told { written, span }) })
    }

    /// What a clause needs to be read of a message.
    fn note(&mut self, find: &Find) {
        match find {
            Find::Text(text) => self.wanted.plain |= text.is_folded,
            Find::Channel(_) | Find::Source(_) => self.wanted.origin = true,
            Find::Author(_) => self.wanted.author = true,
            Find::AuthorName(_) => self.wanted.author_name = true,
            Find::Site(_) => self.wanted.host = true,
            Find::Url(_) => self.wanted.addresses = true,
            Find::Language(_) => self.asks_language = true,
            _ => {}
        }
    }

    fn term(&mut self, needles: Vec<Needle>, has_place: bool) -> usize {
        let next = self.has_place.len();
        let frequency = needles.iter().map(Needle::frequency).sum();
        let term = *self.known.entry(needles).or_insert(next);
        if term == next {
            self.has_place.push(false);
            self.frequencies.push(frequency);
        }
        if let Some(place) = self.has_place.get_mut(term) {
            *place |= has_place;
        }
        term
    }
}
