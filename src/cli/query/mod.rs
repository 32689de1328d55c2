//! `hearken query`: what a query does.

mod dry_run;

use clap::Subcommand;

use super::Session;
use super::exit::Failure;

/// What can be asked of a query.
#[derive(Subcommand)]
pub(super) enum Query {
    /// Show what another query of a brand would add to its stored history, and remove.
    DryRun(dry_run::DryRun),
}

impl Query {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::DryRun(dry_run) => dry_run.run(session).await,
        }
    }
}
