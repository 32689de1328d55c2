//! Trying a brand query: what it finds in given texts and why, and what is odd about it; data in, data out.
//!
//! The command `hearken query` and the resource `/api/v1/queries` are made of this. Nothing is stored, and no message is
//! read but those that are given.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use hearken_connectors::Message;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::{BrandQuery, Fields, Matcher, SyntaxError};
use crate::score::Scorer;

mod explain;
mod lint;
mod message;
mod texts;

pub use explain::{ClauseFound, Explained, Explainer, FoundAt};
pub use lint::{Finding, Linter, Severity};
pub use message::{message, message_of, message_of_text};

/// Characters of a text, from 0; `end` is the first one behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Span {
    /// The first character.
    pub start: usize,
    /// The first one behind.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WrongQuery {
    /// Where, in characters of the query.
    pub span: Span,
    /// What is wrong; lower case.
    pub reason: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub suggestion: Option<String>,
}

impl From<SyntaxError> for WrongQuery {
    fn from(error: SyntaxError) -> Self {
        Self { span: error.span.into(), reason: error.reason, suggestion: error.suggestion }
    }
}

/// One query alone.
struct Only {
    matcher: Matcher,
    /// Tells the language of a message, where the query asks for it: with the model that comes with the program.
    scorer: Option<Scorer>,
}

impl Only {
    fn new(query: &str) -> Result<Self, WrongQuery> {
        let only = BrandQuery { brand: String::new(), query: query.to_owned() };
        let matcher = Matcher::compile(&[only]).map_err(|error| error.error)?;
        let scorer = if matcher.asks_language() { Scorer::built_in().ok() } else { None };
        Ok(Self { matcher, scorer })
    }

    fn fields<'a>(&self, message: &'a Message) -> Fields<'a> {
        let language = self.scorer.as_ref().map_or("", |scorer| scorer.language(message));
        Fields { language, ..Fields::from(message) }
    }
}

/// What the configuration says at the moment that a query can be held against. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Arc<RwLock<Arc<Entries>>>);

/// What is in a [`Catalogue`].
#[derive(Debug, Default)]
pub struct Entries {
    /// The brands' queries.
    pub brands: Vec<BrandQuery>,
    /// Names of the channels that messages can come from.
    pub channels: Vec<String>,
    /// Names of the sources.
    pub sources: Vec<String>,
}

impl Catalogue {
    /// Replaces everything.
    pub fn set(&self, entries: Entries) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
    }

    /// Everything, as it is at the moment.
    pub fn entries(&self) -> Arc<Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Entries {
    /// The query of this brand.
    pub fn query_of(&self, brand: &str) -> Option<&str> {
        self.brands.iter().find(|known| known.brand == brand).map(|known| known.query.as_str())
    }
}
