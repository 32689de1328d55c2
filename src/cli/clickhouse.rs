//! `hearken clickhouse`: the embedded ClickHouse as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use hearken::store::gateway;

use super::exit::Failure;
use super::output;

/// Arguments of `hearken clickhouse`.
#[derive(Args)]
pub(super) struct Clickhouse {
    /// Data directory; created where there is none. Users and passwords are kept in it.
    #[arg(long)]
    data: PathBuf,
    /// Loopback address of the HTTP interface; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Path of libchdb; without it, it is looked for in the usual places.
    #[arg(long)]
    library: Option<PathBuf>,
}

impl Clickhouse {
    pub(super) async fn run(self) -> Result<(), Failure> {
        hearken::telemetry::start(None);
        let bound = |address| {
            let _ = output::text(&format!("http://{address}\n"));
        };
        gateway::run(self.data, self.listen, self.library, bound).await.map_err(Failure::unavailable)
    }
}
