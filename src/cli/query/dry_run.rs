//! `hearken query dry-run`: what another query would add to stored history, and remove, before it is saved.

use clap::Args;

use crate::cli::Session;
use crate::cli::exit::Failure;
use crate::cli::rescore::Common;

/// Arguments of `hearken query dry-run`.
#[derive(Args)]
pub(in crate::cli) struct DryRun {
    /// Brand whose stored history is looked at.
    #[arg(long)]
    brand: String,
    /// The query: it stands for all that the configuration says of the brand (`query`, `names`, `handles`, `hashtags`,
    /// `exclude`).
    #[arg(allow_hyphen_values = true)]
    query: String,
    #[command(flatten)]
    common: Common,
}

impl DryRun {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<(), Failure> {
        self.common.run(session, self.brand, Some(self.query), false).await
    }
}
