//! Why a message matches a brand, or why it does not.

use std::fmt;
use std::ops::Range;

use super::matcher::{Fields, Matcher, Node, Part, normalise};
use super::normal::{Field, Normal};
use super::parser::Clause;

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
    /// Where it was found; empty when it was not.
    pub places: Vec<Place>,
}

/// Where something was found in the message as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Part of the message.
    pub field: Field,
    /// Characters of that part.
    pub span: Range<usize>,
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
        let fields = message.into();
        let mut normal = Normal::with_origins();
        normalise(fields, &mut normal);
        let mut places: Vec<Vec<Place>> = vec![Vec::new(); self.terms()];
        self.each_find(&normal, |term, part, span| {
            let folded = if part == Part::Words { &normal.words } else { &normal.names };
            let place = folded.origin(span).and_then(|(field, bytes)| in_characters(fields, field, bytes));
            if let (Some(places), Some(place)) = (places.get_mut(term), place)
                && !places.contains(&place)
            {
                places.push(place);
            }
        });
        self.brands.iter().map(|brand| explain(&brand.name, &brand.query, &places)).collect()
    }
}

fn in_characters(fields: Fields<'_>, field: Field, bytes: Range<usize>) -> Option<Place> {
    let text = match field {
        Field::Title => fields.title,
        Field::Text => fields.text,
        Field::Mentioned(index) => fields.mentioned.get(index)?,
        Field::Hashtag(index) => fields.hashtags.get(index)?,
        Field::Channel => fields.channel,
        Field::Source => fields.source,
    };
    let start = text.get(..bytes.start)?.chars().count();
    let length = text.get(bytes)?.chars().count();
    Some(Place { field, span: start..start + length })
}

fn explain(brand: &str, query: &Node, places: &[Vec<Place>]) -> Explanation {
    let is_found = |term: usize| places.get(term).is_some_and(|places| !places.is_empty());
    let mut clauses = Vec::new();
    query.each_clause(&mut |clause, written, term| {
        clauses.push(ClauseReport {
            clause: written.to_owned(),
            span: clause.span.clone(),
            places: places.get(term).cloned().unwrap_or_default(),
        });
    });
    let matched = query.is_true(&is_found);
    let mut why_not = Vec::new();
    if !matched {
        query.why_not(true, &is_found, &mut why_not);
    }
    Explanation { brand: brand.to_owned(), matched, clauses, why_not }
}

impl Node {
    fn each_clause<'a>(&'a self, give: &mut impl FnMut(&'a Clause, &'a str, usize)) {
        match self {
            Self::Clause { clause, written, term } => give(clause, written, *term),
            Self::Not(item) => item.each_clause(give),
            Self::And(items) | Self::Or(items) => items.iter().for_each(|item| item.each_clause(give)),
        }
    }

    /// What would have to change for this to become `wanted`, which it is not.
    fn why_not(&self, wanted: bool, is_found: &impl Fn(usize) -> bool, reasons: &mut Vec<WhyNot>) {
        match self {
            Self::Clause { written, .. } if wanted => reasons.push(WhyNot::Missing(vec![written.clone()])),
            Self::Clause { written, .. } => reasons.push(WhyNot::Excluded(written.clone())),
            Self::Not(item) => item.why_not(!wanted, is_found, reasons),
            Self::And(items) | Self::Or(items) => {
                let mut inner = Vec::new();
                let culprits = items.iter().filter(|item| item.is_true(is_found) != wanted);
                culprits.for_each(|item| item.why_not(wanted, is_found, &mut inner));
                let is_choice = matches!(self, Self::Or(_)) == wanted;
                reasons.extend(if is_choice { one_of(inner) } else { inner });
            }
        }
    }
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
        for report in self.clauses.iter().filter(|report| !report.places.is_empty()) {
            let places: Vec<String> = report.places.iter().map(Place::to_string).collect();
            write!(f, "\n  {} found in {}", report.clause, places.join(", "))?;
        }
        self.why_not.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}..{}", self.field.name(), self.span.start, self.span.end)
    }
}
