//! Where texts come from: the daemon itself, or the topic `hearken.mentions`.
//!
//! Delivery: at least once, from both. What was read and got no opinion, because this process or the daemon died, is
//! still wanted by the daemon, or is not committed in the topic, and comes again. An opinion that is given twice changes
//! nothing.

use tokio_util::sync::CancellationToken;

use crate::daemon::{Daemon, DaemonError, MOST_OPINIONS, Outcome, Wanted};

mod api;
mod kafka;

pub use api::ApiTexts;
pub use kafka::{KafkaError, KafkaTexts};

/// Most texts that are worked on at once: their opinions are one request.
const BATCH: usize = MOST_OPINIONS;

/// Why no more texts come.
#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    /// The daemon refuses.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Kafka refuses.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A source of texts.
pub enum Texts {
    /// What the daemon says is wanted.
    Api(ApiTexts),
    /// What the topic says.
    Kafka(Box<KafkaTexts>),
}

impl Texts {
    /// The next texts; waits until there are some. `None` after `stop`.
    pub async fn next(&mut self, daemon: &Daemon, stop: &CancellationToken) -> Result<Option<Vec<Wanted>>, TextsError> {
        match self {
            Self::Api(texts) => Ok(texts.next(daemon, stop).await?),
            Self::Kafka(texts) => Ok(texts.next(stop).await?),
        }
    }

    /// Does the work on what was read last.
    pub async fn work<T>(&mut self, work: impl Future<Output = T>) -> T {
        match self {
            Self::Api(_) => work.await,
            Self::Kafka(texts) => texts.work(work).await,
        }
    }

    /// The daemon has acknowledged the opinions on what was read last.
    pub fn done(&mut self, outcome: Outcome) {
        match self {
            Self::Api(texts) => texts.done(outcome),
            Self::Kafka(texts) => texts.commit(),
        }
    }
}
