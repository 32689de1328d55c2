//! The composition root: the one place that names concrete backends and wires the parts together.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hearken_connectors::http;
use hearken_connectors::registry::{self, Context};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, LogConfig, SourceConfig, StoreConfig};
use crate::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::eventlog::kafka::{KafkaLog, KafkaOptions};
use crate::eventlog::{EventLog, LogError};
use crate::ingest::{self, Source};
use crate::ledger;
use crate::mention::Brand;
use crate::pipeline::{self, Pipeline};
use crate::query::{BrandQuery, Matcher, QueryError};
use crate::score::{ModelError, Scorer};
use crate::store::{Store, StoreError, StoreOptions};
use crate::supervise::{Supervisor, TaskError};

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

impl Roles {
    /// One process that does everything.
    pub const ALL: Self = Self { listen: true, score: true, serve: true };
}
