//! Texts that the daemon says are wanted: what was stored lately first, and what was stored before in between.

use std::collections::VecDeque;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::BATCH;
use crate::daemon::{Daemon, DaemonError, Outcome, Wanted};

/// Pause where nothing is wanted.
const POLL: Duration = Duration::from_secs(2);

/// What of the daemon's list has been looked through.
#[derive(Default)]
pub struct ApiTexts {
    /// What was stored before has been looked through, or is in `rest`.
    from: Option<String>,
    /// What is left of earlier looks.
    rest: Option<Rest>,
    /// What was read and is not in work yet.
    ready: VecDeque<Wanted>,
    /// These are the newest ones, and none of them has got an opinion: they are wanted still.
    stuck: bool,
}

/// From a cursor back to a time, or to the beginning.
struct Rest {
    cursor: String,
    from: Option<String>,
}

impl ApiTexts {
    /// The next texts; waits until some are wanted. `None` after `stop`.
    pub(super) async fn next(
        &mut self,
        daemon: &Daemon,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Wanted>>, DaemonError> {
        while !stop.is_cancelled() {
            if !self.ready.is_empty() {
                return Ok(Some(self.ready.drain(..self.ready.len().min(BATCH)).collect()));
            }
            let looked = stop.run_until_cancelled(self.look(daemon, stop)).await;
            looked.transpose()?;
            if self.ready.is_empty() && self.rest.is_none() {
                stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
            }
        }
        Ok(None)
    }

    /// One page of the newest, or, if there are none, one of the rest.
    async fn look(&mut self, daemon: &Daemon, stop: &CancellationToken) -> Result<(), DaemonError> {
        // Texts that the model fails on stay wanted; they keep nothing else waiting.
        if !std::mem::take(&mut self.stuck) {
            let Some(page) = daemon.wanted(self.from.as_deref(), None, stop).await? else { return Ok(()) };
            if let Some(cursor) = page.next {
                let from = self.rest.take().map_or_else(|| self.from.take(), |rest| rest.from);
                self.rest = Some(Rest { cursor, from });
            }
            self.from = Some(page.resume_from);
            self.stuck = !page.items.is_empty();
            self.ready.extend(page.items);
        }
        if !self.ready.is_empty() {
            return Ok(());
        }
        let Some(Rest { cursor, from }) = self.rest.take() else { return Ok(()) };
        // Cut off by the stop: the next process looks through everything again.
        let Some(page) = daemon.wanted(from.as_deref(), Some(&cursor), stop).await? else { return Ok(()) };
        self.rest = page.next.map(|cursor| Rest { cursor, from });
        self.ready.extend(page.items);
        Ok(())
    }

    pub(super) fn done(&mut self, outcome: Outcome) {
        if outcome.applied > 0 {
            self.stuck = false;
        }
    }
}
