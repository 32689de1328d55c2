//! `hearken sql`: the data is one query away.

use std::pin::pin;

use clap::Args;
use futures::StreamExt;
use hearken::app::OpenStore;

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken sql`.
#[derive(Args)]
pub(super) struct Sql {
    /// A query in ClickHouse's SQL.
    query: String,
    /// Any output format of ClickHouse: TabSeparated, PrettyCompact, CSVWithNames, JSONEachRow, ...
    #[arg(long)]
    format: Option<String>,
}

impl Sql {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        let default = if session.json { "JSONEachRow" } else { "TabSeparated" };
        let format = self.format.as_deref().unwrap_or(default);
        let open = OpenStore::open(&config).await?;
        let printed = async {
            open.store.migrate().await.map_err(Failure::unavailable)?;
            let mut chunks = pin!(open.store.sql(&self.query, format).map_err(Failure::data)?);
            while let Some(chunk) = chunks.next().await {
                output::bytes(&chunk.map_err(Failure::data)?)?;
            }
            Ok(())
        };
        let printed = printed.await;
        open.close().await;
        printed
    }
}
