//! `hearken query`: trying a brand's query before it is relied on.

mod dry_run;
mod explain;
mod input;
mod lint;
mod test;

pub(super) use lint::notes;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hearken::analyst::WrongQuery;
use hearken::config::Diagnostic;

use super::Session;
use super::exit::Failure;

/// Commands of `hearken query`.
#[derive(Subcommand)]
pub(super) enum Query {
    /// Show what a query finds in texts, and why it does or does not match.
    Explain(explain::Explain),
    /// Try the brands' queries on the examples beside them.
    Test(test::Test),
    /// Show what is odd about a query, by itself and on texts; without one, about the brands' queries.
    Lint(lint::Lint),
    /// Show what another query of a brand would add to its stored history, and remove.
    DryRun(dry_run::DryRun),
}

impl Query {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Explain(explain) => explain.run(session),
            Self::Test(test) => test.run(session),
            Self::Lint(lint) => lint.run(session),
            Self::DryRun(dry_run) => dry_run.run(session).await,
        }
    }
}

/// The query that is tried, and the texts that it is tried on.
#[derive(Args)]
struct Subject {
    /// The query; left out with --brand. One that begins with `-` comes after `--`.
    query: Option<String>,
    /// Texts, one a line, or messages as JSON lines; `-` is standard input.
    file: Option<PathBuf>,
    /// Take the query of this brand of the configuration.
    #[arg(long, value_name = "NAME")]
    brand: Option<String>,
}

impl Subject {
    /// With --brand, what stands first is the file.
    fn arranged(self) -> Result<Self, Failure> {
        match self {
            Self { brand: Some(_), query: Some(_), file: Some(_) } => {
                Err(Failure::usage("give either a query or --brand, not both"))
            }
            Self { brand: Some(brand), query: Some(file), file: None } => {
                Ok(Self { brand: Some(brand), query: None, file: Some(file.into()) })
            }
            other => Ok(other),
        }
    }
}

/// A query by itself or of a brand.
struct Named {
    /// Name of the brand.
    brand: Option<String>,
    query: String,
}

impl Named {
    /// The query of a brand of the configuration.
    fn of_brand(name: &str, session: &Session) -> Result<Self, Failure> {
        let config = session.config()?;
        let brand = config.brand(name).map_err(Failure::usage)?;
        Ok(Self { brand: Some(brand.name.clone()), query: brand.query.query.clone() })
    }

    /// How it is called where its place is told.
    fn name(&self) -> String {
        self.brand.as_ref().map_or_else(|| "query".to_owned(), |brand| format!("query of {brand}"))
    }

    fn wrong(&self, wrong: WrongQuery) -> Failure {
        let WrongQuery { span, reason, suggestion } = wrong;
        Failure::data(Diagnostic::of_query(&self.name(), &self.query, span.start..span.end, &reason, suggestion))
    }
}
