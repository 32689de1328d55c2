//! Why a message matches a brand, or why it does not.

use std::fmt;
use std::ops::Range;

use super::fields::{Fields, Place};
use super::matcher::{Brand, Matcher, Tried};
use super::normal::Normal;
use super::searched::{Hit, Searched};
use super::tree::{Evaluation, Node, Report};

/// What became of one brand's query on one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The brand.
    pub brand: String,
    /// Whether the message speaks of it.
    pub matched: bool,
    /// Every clause of the query, from left to right.
    pub clauses: Vec<ClauseReport>,
    /// What keeps the query from matching; empty when it matches.
    pub why_not: Vec<WhyNot>,
}

/// Where one clause was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseReport {
    /// The clause, as written.
    pub clause: String,
    /// Where it stands in the query, in characters.
    pub span: Range<usize>,
    /// Whether it is true of the message; inside `NEAR`, whether it is near enough to the other side.
    pub matched: bool,
    /// Where it was found, in order and each place once; empty for a filter that has no place.
    pub places: Vec<Place>,
}

/// Something that keeps a query from matching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// None of these clauses was found; one of them might have been enough.
    Missing(Vec<String>),
    /// This clause was found, and excludes.
    Excluded(String),
}

impl Matcher {
    /// Says of every brand what its query found in the message and, where it does not match, why.
    pub fn explain<'a>(&self, message: impl Into<Fields<'a>>) -> Vec<Explanation> {
        self.explained(message.into(), &self.brands)
    }

    /// The same of one brand, by its place in the order of compilation.
    pub fn explain_brand<'a>(&self, brand: usize, message: impl Into<Fields<'a>>) -> Option<Explanation> {
        self.explained(message.into(), self.brands.get(brand..=brand)?).pop()
    }

    fn explained(&self, fields: Fields<'_>, brands: &[Brand]) -> Vec<Explanation> {
        let mut normal = Normal::with_origins();
        normal.read(fields, self.wanted());
        let searched = Searched::new(fields, &normal, self.wanted());
        let mut found = vec![0; self.terms()];
        let mut hits = Vec::new();
        self.each_find(&searched, 1, &mut Tried::default(), |meaning, range| {
            if let (Some(range), Some(found)) = (range(), found.get_mut(meaning.term)) {
                hits.push(Hit { term: meaning.term, part: meaning.part, range });
                *found = 1;
            }
        });
        let evaluation = Evaluation { searched: &searched, found: &found, message: 1, hits: &hits };
        brands.iter().map(|brand| explain(&brand.name, &brand.query, &evaluation)).collect()
    }
}

fn explain(brand: &str, query: &Node, evaluation: &Evaluation<'_>) -> Explanation {
    let mut clauses = Vec::new();
    query.each_report(evaluation, &mut |Report { leaf, is_true, places }| {
        clauses.push(ClauseReport {
            clause: leaf.told.written.clone(),
            span: leaf.told.span.clone(),
            matched: is_true,
            places,
        });
    });
    let matched = query.is_true(evaluation);
    let mut why_not = Vec::new();
    if !matched {
        query.why_not(true, evaluation, &mut why_not);
    }
    Explanation { brand: brand.to_owned(), matched, clauses, why_not }
}

impl Node {
    /// What would have to change for this to become `wanted`, which it is not.
    fn why_not(&self, wanted: bool, evaluation: &Evaluation<'_>, reasons: &mut Vec<WhyNot>) {
        match self {
            Self::Clause(leaf) => reasons.push(reason(wanted, &leaf.told.written)),
            Self::Near(near) => reasons.push(reason(wanted, &near.written)),
            Self::Not(item) => item.why_not(!wanted, evaluation, reasons),
            Self::And(items) | Self::Or(items) => {
                let mut inner = Vec::new();
                let culprits = items.iter().filter(|item| item.is_true(evaluation) != wanted);
                culprits.for_each(|item| item.why_not(wanted, evaluation, &mut inner));
                let is_choice = matches!(self, Self::Or(_)) == wanted;
                reasons.extend(if is_choice { one_of(inner) } else { inner });
            }
        }
    }
}

/// Why a clause is not as `wanted`: it is not there, or it is.
fn reason(wanted: bool, written: &str) -> WhyNot {
    if wanted { WhyNot::Missing(vec![written.to_owned()]) } else { WhyNot::Excluded(written.to_owned()) }
}

/// Of several alternatives, each missing, one would have been enough.
fn one_of(reasons: Vec<WhyNot>) -> Vec<WhyNot> {
    let mut missing = Vec::new();
    let mut others = Vec::new();
    for reason in reasons {
        match reason {
            WhyNot::Missing(clauses) => missing.extend(clauses),
            WhyNot::Excluded(_) => others.push(reason),
        }
    }
    if !missing.is_empty() {
        others.insert(0, WhyNot::Missing(missing));
    }
    others
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded(clause) => write!(f, "excluded by {clause}"),
            Self::Missing(clauses) => match clauses.as_slice() {
                [clause] => write!(f, "{clause} was not found"),
                clauses => write!(f, "none of {} was found", clauses.join(", ")),
            },
        }
    }
}

impl fmt::Display for Explanation {
    /// The brand on a line, then a line for each clause that was found and for each reason why not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.brand, if self.matched { "matches" } else { "does not match" })?;
        for report in self.clauses.iter().filter(|report| report.matched) {
            let places: Vec<String> = report.places.iter().map(Place::to_string).collect();
            match places.as_slice() {
                [] => write!(f, "\n  {} holds", report.clause)?,
                places => write!(f, "\n  {} found in {}", report.clause, places.join(", "))?,
            }
        }
        self.why_not.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}
