//! Brand queries: which brands a message speaks of, and why.
//!
//! A query is read ([`parser`]) into a tree ([`ast`]) of clauses joined by `AND`, `OR`, `NOT` and `NEAR`. What a clause
//! finds is decided on the normalised forms of a message, and [`Matcher`] looks for the clauses of all brands at once.
//! `docs/queries.md` is the user's side.

use std::ops::Range;

pub mod ast;
mod automaton;
mod clause;
mod condition;
mod explain;
mod fields;
mod filter;
mod lexer;
pub mod lint;
mod matcher;
mod names;
mod near;
mod needle;
mod normal;
pub mod parser;
mod regex;
mod script;
mod searched;
mod tree;
mod units;
mod wildcard;
mod within;

pub use explain::{ClauseReport, Explanation, WhyNot};
pub use fields::{Field, Fields, Place};
pub use matcher::{Matcher, Scratch};

/// A brand's query, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrandQuery {
    /// The brand's name, unique.
    pub brand: String,
    /// The query in Hearken's query language.
    pub query: String,
}

/// A brand that a message speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Index of the brand in the list that the matcher was compiled from.
    pub brand: usize,
    /// The clauses that matched, as written in the query, for "why matched".
    pub clauses: Vec<String>,
}

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", .suggestion.as_ref().map(|suggestion| format!(": {suggestion}")).unwrap_or_default())]
pub struct SyntaxError {
    /// Where, in characters of the query.
    pub span: Range<usize>,
    /// What is wrong; lower case.
    pub reason: String,
    /// What would be right.
    pub suggestion: Option<String>,
}

impl SyntaxError {
    fn new(span: Range<usize>, reason: impl Into<String>) -> Self {
        Self { span, reason: reason.into(), suggestion: None }
    }

    fn suggest(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }
}

/// Why a brand's query cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("query of brand `{brand}`, character {}: {error}", .error.span.start + 1)]
pub struct QueryError {
    /// The brand whose query it is.
    pub brand: String,
    /// What is wrong with it, and where.
    pub error: SyntaxError,
}
