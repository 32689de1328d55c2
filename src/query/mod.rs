//! Brand queries: which brands a message speaks of, and why.

use hearken_connectors::Message;

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

/// All brands' queries, compiled together.
pub struct Matcher {}

/// Why a query cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct QueryError {
    /// The brand whose query it is.
    pub brand: String,
    /// Character offset in the query.
    pub position: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl Matcher {
    /// Compiles all queries together.
    pub fn compile(_queries: &[BrandQuery]) -> Result<Self, QueryError> {
        unimplemented!()
    }

    /// The brands that the message speaks of, in the order of compilation.
    pub fn matches(&self, _message: &Message) -> Vec<Match> {
        unimplemented!()
    }
}
