//! The composition root: the one place that names concrete backends and wires the parts together.

use std::sync::Arc;
use std::time::Duration;

use hearken_connectors::http;
use hearken_connectors::registry::{self, Context};
use hearken_connectors::{BuildError, Connector, Cursor};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, LogKind};
use crate::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::eventlog::kafka::{KafkaLog, KafkaOptions};
use crate::eventlog::{EventLog, LogError};
use crate::ingest::{self, Source};
use crate::mention::Brand;
use crate::pipeline::{self, Pipeline};
use crate::query::{BrandQuery, Matcher, QueryError};
use crate::score::Scorer;
use crate::status::Daemon;
use crate::store::child::ClickHouseChild;
use crate::store::{Store, StoreError, StoreOptions};
use crate::supervise::{Supervisor, TaskError, TaskState};
use crate::{ledger, web};

/// How long tasks may take to finish what they have in hand after a stop.
const DRAIN: Duration = Duration::from_secs(30);

/// The parts of the daemon that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Connectors into the event log.
    pub listen: bool,
    /// Event log through scoring into the store.
    pub score: bool,
    /// The local web address.
    pub serve: bool,
}

/// Why the daemon could not start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The event log cannot be used.
    #[error("the event log: {0}")]
    Log(#[from] LogError),
    /// The store cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A brand's query is wrong.
    #[error("the query of brand `{}`: {0}", .0.brand)]
    Query(#[from] QueryError),
    /// The sentiment model cannot be used.
    #[error("the sentiment model: {0}")]
    Model(String),
    /// The web address cannot be opened.
    #[error("cannot listen on {0}; set `serve.listen` to another address: {1}")]
    Serve(std::net::SocketAddr, std::io::Error),
    /// Tasks did not stop in time.
    #[error("these tasks did not stop within {} s: {}", DRAIN.as_secs(), .0.join(", "))]
    Overdue(Vec<String>),
    /// A task is down until somebody acts.
    #[error("{0}")]
    Failed(String),
}
