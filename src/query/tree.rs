//! A compiled query: what it needs, whether it is true of a message, and by which clauses.

use std::ops::Range;

use super::ast::Find;
use super::condition::holds;
use super::fields::Place;
use super::near::Near;
use super::regex::Regex;
use super::searched::{Hit, Searched, Stretch};
use super::within::Within;

/// A compiled query.
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Near(Box<Near>),
    Clause(Leaf),
}

/// A compiled clause. What is seldom asked for is kept elsewhere, so that a query's leaves lie close together.
pub(super) struct Leaf {
    pub(super) test: Test,
    pub(super) told: Box<Told>,
}

/// A clause in its query.
pub(super) struct Told {
    /// As written.
    pub(super) written: String,
    /// Where it stands, in characters.
    pub(super) span: Range<usize>,
}

/// How it is decided whether a clause is there. A term stands for equal clauses of any brand.
pub(super) enum Test {
    /// By what the automaton found.
    Found(usize),
    /// By the words that the automaton found.
    Within(Box<Within>),
    /// By the expression itself, where the automaton found what has to be there.
    Regex(Box<Regex>),
    /// By the message.
    Condition(Box<Find>),
}

/// A message, and what the automata found in it.
pub(super) struct Evaluation<'a> {
    pub(super) searched: &'a Searched<'a>,
    /// By term: the last message in which it was found.
    pub(super) found: &'a [u64],
    /// The number of this message.
    pub(super) message: u64,
    /// Where terms were found whose place matters.
    pub(super) hits: &'a [Hit],
}

impl Evaluation<'_> {
    pub(super) fn is_found(&self, term: usize) -> bool {
        self.found.get(term) == Some(&self.message)
    }

    pub(super) fn hits_of(&self, term: usize) -> impl Iterator<Item = &Hit> {
        self.hits.iter().filter(move |hit| hit.term == term)
    }
}

impl Leaf {
    pub(super) fn is_true(&self, evaluation: &Evaluation<'_>) -> bool {
        match &self.test {
            Test::Found(term) => evaluation.is_found(*term),
            Test::Within(within) => within.is_true(evaluation),
            Test::Regex(regex) => regex.is_true(evaluation),
            Test::Condition(find) => holds(find, &evaluation.searched.fields),
        }
    }

    /// The words at which it is, sorted, each once.
    pub(super) fn stretches(&self, evaluation: &Evaluation<'_>) -> Vec<Stretch> {
        match &self.test {
            Test::Found(term) => {
                let hits = evaluation.hits_of(*term);
                sorted(hits.filter_map(|hit| evaluation.searched.stretch(hit)).collect())
            }
            Test::Within(within) => within.windows(evaluation),
            Test::Regex(_) | Test::Condition(_) => Vec::new(),
        }
    }

    /// Where it is in the message; with `stretches`, only where it is at one of these.
    pub(super) fn places(&self, evaluation: &Evaluation<'_>, stretches: Option<&[Stretch]>) -> Vec<Place> {
        let searched = evaluation.searched;
        let is_wanted = |stretch| stretches.is_none_or(|wanted| wanted.binary_search(&stretch).is_ok());
        let origins = match &self.test {
            Test::Found(term) => {
                let is_wanted = |hit: &&Hit| stretches.is_none() || searched.stretch(hit).is_some_and(is_wanted);
                evaluation.hits_of(*term).filter(is_wanted).filter_map(|hit| searched.origin(hit)).collect()
            }
            Test::Within(within) => {
                let windows = within.windows(evaluation).into_iter();
                windows.filter(|window| is_wanted(*window)).filter_map(|window| searched.origin_of(window)).collect()
            }
            Test::Regex(regex) => regex.origins(evaluation),
            Test::Condition(_) => Vec::new(),
        };
        searched.places(origins)
    }
}

/// What a clause came to: its parts that count, and where.
pub(super) struct Report<'a> {
    pub(super) leaf: &'a Leaf,
    pub(super) is_true: bool,
    pub(super) places: Vec<Place>,
}

impl Node {
    /// Whether the query is true of the message.
    pub(super) fn is_true(&self, evaluation: &Evaluation<'_>) -> bool {
        match self {
            Self::Clause(leaf) => leaf.is_true(evaluation),
            Self::Near(near) => near.is_true(evaluation),
            Self::Not(item) => !item.is_true(evaluation),
            Self::And(items) => items.iter().all(|item| item.is_true(evaluation)),
            Self::Or(items) => items.iter().any(|item| item.is_true(evaluation)),
        }
    }

    /// The clauses that were found and that make this as true (or as false) as it is.
    pub(super) fn each_reason<'a>(&'a self, truth: bool, evaluation: &Evaluation<'_>, give: &mut impl FnMut(&'a str)) {
        match self {
            Self::Clause(leaf) if truth => give(&leaf.told.written),
            Self::Near(near) if truth => near.each_part(evaluation, &mut |leaf, stretches| {
                if !stretches.is_empty() {
                    give(&leaf.told.written);
                }
            }),
            Self::Clause(_) | Self::Near(_) => {}
            Self::Not(item) => item.each_reason(!truth, evaluation, give),
            Self::And(items) | Self::Or(items) => items
                .iter()
                .filter(|item| item.is_true(evaluation) == truth)
                .for_each(|item| item.each_reason(truth, evaluation, give)),
        }
    }

    /// What came of every clause, from left to right.
    pub(super) fn each_report<'a>(&'a self, evaluation: &Evaluation<'_>, give: &mut impl FnMut(Report<'a>)) {
        match self {
            Self::Clause(leaf) => {
                let (is_true, places) = (leaf.is_true(evaluation), leaf.places(evaluation, None));
                give(Report { leaf, is_true, places });
            }
            Self::Near(near) => near.each_part(evaluation, &mut |leaf, stretches| {
                let places = leaf.places(evaluation, Some(stretches));
                give(Report { leaf, is_true: !stretches.is_empty(), places });
            }),
            Self::Not(item) => item.each_report(evaluation, give),
            Self::And(items) | Self::Or(items) => items.iter().for_each(|item| item.each_report(evaluation, give)),
        }
    }

    /// Calls `give` with every clause.
    pub(super) fn each_leaf<'a>(&'a self, give: &mut impl FnMut(&'a Leaf)) {
        match self {
            Self::Clause(leaf) => give(leaf),
            Self::Near(near) => [&near.left, &near.right].into_iter().for_each(|side| side.each_leaf(give)),
            Self::Not(item) => item.each_leaf(give),
            Self::And(items) | Self::Or(items) => items.iter().for_each(|item| item.each_leaf(give)),
        }
    }

    /// The words at which it is, sorted, each once.
    pub(super) fn stretches(&self, evaluation: &Evaluation<'_>) -> Vec<Stretch> {
        match self {
            Self::Clause(leaf) => leaf.stretches(evaluation),
            Self::Near(near) => near.stretches(evaluation),
            Self::Or(items) => sorted(items.iter().flat_map(|item| item.stretches(evaluation)).collect()),
            Self::And(_) | Self::Not(_) => Vec::new(),
        }
    }

    /// Terms of which at least one is found in every message of which this is true (or, with `truth` false, is not):
    /// those that are expected in the fewest messages. `None` where no term tells.
    pub(super) fn openers(&self, truth: bool, frequency: &impl Fn(usize) -> f64) -> Option<Openers> {
        let all = |items: &[Self]| {
            let openers: Option<Vec<Openers>> = items.iter().map(|item| item.openers(truth, frequency)).collect();
            Some(openers?.into_iter().fold(Openers::default(), Openers::or))
        };
        let rarest = |openers: &mut dyn Iterator<Item = Option<Openers>>| {
            openers.flatten().min_by(|a, b| a.frequency.total_cmp(&b.frequency))
        };
        match self {
            Self::Not(item) => item.openers(!truth, frequency),
            Self::And(items) if truth => rarest(&mut items.iter().map(|item| item.openers(truth, frequency))),
            Self::Or(items) if !truth => rarest(&mut items.iter().map(|item| item.openers(truth, frequency))),
            Self::And(items) | Self::Or(items) => all(items),
            Self::Near(_) | Self::Clause(_) if !truth => None,
            Self::Near(near) => {
                rarest(&mut [&near.left, &near.right].into_iter().map(|side| side.openers(true, frequency)))
            }
            Self::Clause(leaf) => match &leaf.test {
                Test::Found(term) => Some(Openers::of(*term, frequency)),
                Test::Within(within) => {
                    rarest(&mut within.terms.iter().map(|term| Some(Openers::of(*term, frequency))))
                }
                Test::Regex(regex) => Some(Openers::of(regex.sighted?, frequency)),
                Test::Condition(_) => None,
            },
        }
    }
}

/// Terms that make a brand worth looking at.
#[derive(Default)]
pub(super) struct Openers {
    pub(super) terms: Vec<usize>,
    /// The share of messages in which one of them is expected.
    frequency: f64,
}

impl Openers {
    fn of(term: usize, frequency: &impl Fn(usize) -> f64) -> Self {
        Self { terms: vec![term], frequency: frequency(term) }
    }

    fn or(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        Self { terms: self.terms, frequency: self.frequency + other.frequency }
    }
}

/// Sorted, each once.
pub(super) fn sorted(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.sort_unstable();
    stretches.dedup();
    stretches
}
