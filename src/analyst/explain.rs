//! What a query finds in a message, and why it does or does not match.

use hearken_connectors::Message;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Only, Span, WrongQuery};
use crate::query::{ClauseReport, Field, Place};

/// What a query makes of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explained {
    /// Whether the query matches.
    pub matched: bool,
    /// Every clause of the query, from left to right.
    pub clauses: Vec<ClauseFound>,
    /// What keeps the query from matching; empty when it matches.
    pub why_not: Vec<String>,
}

/// Where a clause was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClauseFound {
    /// The clause, as written.
    pub clause: String,
    /// Where it stands in the query.
    pub span: Span,
    /// Whether it was found; inside `NEAR`, whether it was found near enough to the other side.
    pub matched: bool,
    /// Where it was found; empty for a filter that holds for the message as a whole.
    pub spans: Vec<FoundAt>,
}

/// Where something was found: characters of a field as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundAt {
    /// Field of the message: `title`, `text`, `mentioned`, `hashtags`, `channel`, `source`,
    /// `author.handle`, `author.id`, `author.name`, `url`, `links`.
    pub field: String,
    /// Which one of a field that is a list, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub index: Option<usize>,
    /// The first character.
    pub start: usize,
    /// The first one behind.
    pub end: usize,
}

/// Explains one query on any number of messages.
pub struct Explainer {
    query: Only,
}

impl Explainer {
    /// Compiles the query.
    pub fn new(query: &str) -> Result<Self, WrongQuery> {
        Ok(Self { query: Only::new(query)? })
    }

    /// Explains it on a message.
    pub fn explain(&self, message: &Message) -> Explained {
        // One query was compiled, so there is one explanation.
        let explanation = self.query.matcher.explain_brand(0, self.query.fields(message));
        let Some(explanation) = explanation else {
            return Explained { matched: false, clauses: Vec::new(), why_not: Vec::new() };
        };
        Explained {
            matched: explanation.matched,
            clauses: explanation.clauses.into_iter().map(ClauseFound::from).collect(),
            why_not: explanation.why_not.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<ClauseReport> for ClauseFound {
    fn from(report: ClauseReport) -> Self {
        let ClauseReport { clause, span, matched, places } = report;
        Self { clause, span: span.into(), matched, spans: places.iter().map(FoundAt::from).collect() }
    }
}

impl From<&Place> for FoundAt {
    fn from(place: &Place) -> Self {
        let index = match place.field {
            Field::Mentioned(index) | Field::Hashtag(index) | Field::Link(index) => Some(index),
            _ => None,
        };
        Self { field: place.field.name().to_owned(), index, start: place.span.start, end: place.span.end }
    }
}
