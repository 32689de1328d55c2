//! The second tier at work: texts -> judge -> daemon -> done, one batch after another.

use tokio_util::sync::CancellationToken;

use crate::daemon::{Daemon, DaemonError};
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::texts::{Texts, TextsError};
use crate::worker::WorkerError;

/// Why it ended although nobody had asked it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No more texts come.
    #[error(transparent)]
    Texts(#[from] TextsError),
    /// The model is gone.
    #[error(transparent)]
    Model(#[from] WorkerError),
    /// The daemon refuses opinions.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Works until `stop`, then finishes the batch that it is at.
pub async fn run(
    mut texts: Texts,
    mut judge: Judge,
    daemon: Daemon,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), RunError> {
    while let Some(batch) = texts.next(&daemon, &stop).await? {
        metrics.waiting(batch.len());
        let opinions = texts.work(judge.judge(&batch)).await?;
        let Some(outcome) = texts.work(daemon.give(&opinions, &stop)).await? else {
            tracing::warn!(
                texts = batch.len(),
                "stopped while the daemon was away; these texts are scored again later"
            );
            break;
        };
        metrics.given(outcome);
        metrics.waiting(0);
        texts.done(outcome);
        let (applied, outdated) = (outcome.applied, outcome.outdated);
        tracing::debug!(texts = batch.len(), opinions = opinions.len(), applied, outdated, "a batch is done");
    }
    judge.close().await?;
    Ok(())
}
