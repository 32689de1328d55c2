//! `hearken report`: the views, on the terminal or as JSON.

use clap::Args;
use hearken::app::OpenStore;
use hearken::report;
use hearken::views::Filter;
use jiff::Timestamp;

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken report`.
#[derive(Args)]
pub(super) struct Report {
    /// Only these brands; may be repeated.
    #[arg(long)]
    brand: Vec<String>,
    /// Only these channels; may be repeated.
    #[arg(long)]
    channel: Vec<String>,
    /// Only these languages; may be repeated.
    #[arg(long)]
    language: Vec<String>,
    /// Published at or after this time, for example 2026-01-31T00:00:00Z.
    #[arg(long)]
    since: Option<Timestamp>,
    /// Published before this time.
    #[arg(long)]
    until: Option<Timestamp>,
}

impl Report {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        let filter = Filter {
            brands: self.brand,
            channels: self.channel,
            languages: self.language,
            from: self.since,
            until: self.until,
            public_only: false,
        };
        let open = OpenStore::open(&config).await?;
        let report = async {
            open.store.migrate().await?;
            report::report(&open.store, &filter).await
        };
        let report = report.await.map_err(Failure::unavailable);
        open.close().await;
        match session.json {
            true => output::json(&report?),
            false => output::text(&report?.to_text(output::colours())),
        }
    }
}
