//! The supervisor: starts every long-running task, restarts it when it fails, drains it at the end,
//! and knows at any moment what each one is doing.
//!
//! No task of the daemon runs outside of it: an unexpected end is an event, never silence.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// The first wait after a failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait between two tries, unless a remote asked for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A task that ran this long without failing starts again with the first backoff.
const HEALTHY_AFTER: Duration = Duration::from_secs(120);

/// What a task is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Working.
    Running,
    /// Failed, and waiting to be started again.
    Waiting {
        /// Why it failed.
        error: String,
        /// When it starts again.
        #[schema(value_type = String, format = DateTime)]
        until: Timestamp,
    },
    /// Failed in a way that only the operator can mend.
    Failed {
        /// Why it failed.
        error: String,
    },
    /// Done: a finite source is drained, or the daemon is stopping.
    Finished,
}

/// One task as `hearken status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// What it is doing now.
    #[serde(flatten)]
    pub state: TaskState,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u64,
}

/// Why a task ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Start it again: after this time, or after the supervisor's own backoff if that is longer.
    #[error("{reason}")]
    Retry {
        /// What went wrong; holds neither secrets nor message text.
        reason: String,
        /// What the remote asked for; zero where it asked for nothing.
        after: Duration,
    },
    /// Starting it again is useless until somebody acts.
    #[error("{0}")]
    Fatal(String),
}

impl TaskError {
    /// A failure that the supervisor's own backoff answers.
    pub fn retry(reason: impl std::fmt::Display) -> Self {
        Self::Retry { reason: reason.to_string(), after: Duration::ZERO }
    }
}

type States = Arc<Mutex<BTreeMap<String, TaskStatus>>>;

/// Starts, restarts, watches and drains the daemon's tasks.
pub struct Supervisor {
    tasks: JoinSet<()>,
    states: States,
    stop: CancellationToken,
}

/// One started task.
pub struct Task {
    stop: CancellationToken,
    ended: CancellationToken,
    abort: AbortHandle,
}

impl Task {
    /// Asks this task alone to stop, and waits until it has finished what it has in hand; after `deadline`, breaks it
    /// off. False where that was needed.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        let in_time = tokio::time::timeout(deadline, self.ended.cancelled()).await.is_ok();
        self.abort.abort();
        in_time
    }
}

/// A view of all tasks' states that outlives borrowing the supervisor.
#[derive(Clone)]
pub struct Board(States);

impl Board {
    /// Every task by name.
    pub fn snapshot(&self) -> BTreeMap<String, TaskStatus> {
        lock(&self.0).clone()
    }

    /// Takes a task that has ended for good off the board.
    pub fn forget(&self, task: &str) {
        lock(&self.0).remove(task);
    }
}

impl Supervisor {
    /// A supervisor whose tasks stop when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), states: States::default(), stop }
    }

    /// The states of all tasks, now and later.
    pub fn board(&self) -> Board {
        Board(self.states.clone())
    }

    /// Starts a task. `start` makes a fresh future for each try; the future ends with `Ok` when its
    /// work is done or when the token that it was given is cancelled. A panic counts as a failure.
    pub fn spawn<Start, Work>(&mut self, name: impl Into<String>, mut start: Start) -> Task
    where
        Start: FnMut(CancellationToken) -> Work + Send + 'static,
        Work: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let name = name.into();
        let status = StatusLine { name: name.clone(), states: self.states.clone() };
        let stop = self.stop.child_token();
        let (task_stop, ended) = (stop.clone(), CancellationToken::new());
        let task_ended = ended.clone().drop_guard();
        status.set(TaskState::Running);
        let abort = self.tasks.spawn(async move {
            let _ended = task_ended;
            let mut backoff = FIRST_BACKOFF;
            loop {
                let started = Instant::now();
                let work = std::panic::AssertUnwindSafe(start(stop.child_token())).catch_unwind();
                let ended = work.await.unwrap_or_else(|_| Err(TaskError::retry("the task panicked; this is a bug")));
                let (reason, asked) = match ended {
                    Ok(()) => return status.set(TaskState::Finished),
                    Err(TaskError::Fatal(error)) => {
                        tracing::error!(task = name, error, "failed; it stays down until the cause is mended");
                        return status.set(TaskState::Failed { error });
                    }
                    Err(TaskError::Retry { reason, after }) => (reason, after),
                };
                if started.elapsed() > HEALTHY_AFTER {
                    backoff = FIRST_BACKOFF;
                }
                let wait = backoff.max(asked);
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
                tracing::warn!(task = name, error = reason, wait_s = wait.as_secs_f32(), "failed; starting it again");
                status.set(TaskState::Waiting { error: reason, until: Timestamp::now() + wait });
                if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return status.set(TaskState::Finished);
                }
                status.restarted();
            }
        });
        Task { stop: task_stop, ended, abort }
    }

    /// Waits until every task has ended, of itself or because of the stop token; after a stop, no
    /// longer than `deadline`. Returns the names of those that did not end in time.
    pub async fn drain(mut self, deadline: Duration) -> Vec<String> {
        let all_done = async { while self.tasks.join_next().await.is_some() {} };
        let overdue = async {
            self.stop.cancelled().await;
            tokio::time::sleep(deadline).await;
        };
        tokio::select! {
            () = all_done => return Vec::new(),
            () = overdue => {}
        }
        self.tasks.abort_all();
        let unfinished = |(name, status): (&String, &TaskStatus)| {
            matches!(status.state, TaskState::Running | TaskState::Waiting { .. }).then(|| name.clone())
        };
        lock(&self.states).iter().filter_map(unfinished).collect()
    }
}

/// Writes one task's line on the board.
struct StatusLine {
    name: String,
    states: States,
}

impl StatusLine {
    fn set(&self, state: TaskState) {
        let mut states = lock(&self.states);
        let restarts = states.get(&self.name).map_or(0, |status| status.restarts);
        states.insert(self.name.clone(), TaskStatus { state, since: Timestamp::now(), restarts });
    }

    fn restarted(&self) {
        if let Some(status) = lock(&self.states).get_mut(&self.name) {
            status.restarts += 1;
        }
        self.set(TaskState::Running);
    }
}

/// The map stays sound even if a holder of the lock panicked: each change is one insert.
fn lock(states: &States) -> MutexGuard<'_, BTreeMap<String, TaskStatus>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counted(tries: &Arc<AtomicU32>) -> u32 {
        tries.fetch_add(1, Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_a_failing_task_until_it_succeeds() {
        let tries = Arc::new(AtomicU32::new(0));
        let mut supervisor = Supervisor::new(CancellationToken::new());
        let board = supervisor.board();
        let seen = tries.clone();
        supervisor.spawn("flaky", move |_| {
            let attempt = counted(&seen);
            async move {
                match attempt {
                    0 => Err(TaskError::retry("broken pipe")),
                    1 => panic!("a bug"),
                    _ => Ok(()),
                }
            }
        });
        assert!(supervisor.drain(Duration::ZERO).await.is_empty());
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        let status = &board.snapshot()["flaky"];
        assert_eq!((&status.state, status.restarts), (&TaskState::Finished, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn leaves_a_fatal_failure_down_and_says_why() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        let board = supervisor.board();
        supervisor.spawn("misconfigured", |_| async { Err(TaskError::Fatal("no such host".into())) });
        supervisor.drain(Duration::ZERO).await;
        assert_eq!(board.snapshot()["misconfigured"].state, TaskState::Failed { error: "no such host".into() });
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_remote_asks() {
        let started = Instant::now();
        let tries = Arc::new(AtomicU32::new(0));
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("limited", move |_| {
            let attempt = counted(&tries);
            async move {
                let after = Duration::from_secs(300);
                if attempt == 0 { Err(TaskError::Retry { reason: "429".into(), after }) } else { Ok(()) }
            }
        });
        supervisor.drain(Duration::ZERO).await;
        assert!(started.elapsed() >= Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn names_the_tasks_that_miss_the_deadline() {
        let stop = CancellationToken::new();
        let mut supervisor = Supervisor::new(stop.clone());
        supervisor.spawn("polite", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        supervisor.spawn("stubborn", |_| std::future::pending());
        stop.cancel();
        assert_eq!(supervisor.drain(Duration::from_secs(5)).await, ["stubborn"]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_can_be_stopped_alone() {
        let stop = CancellationToken::new();
        let mut supervisor = Supervisor::new(stop.clone());
        let board = supervisor.board();
        let polite = |stop: CancellationToken| async move {
            stop.cancelled().await;
            Ok(())
        };
        let first = supervisor.spawn("first", polite);
        supervisor.spawn("second", polite);
        assert!(first.stop(Duration::from_secs(5)).await);
        assert_eq!(board.snapshot()["first"].state, TaskState::Finished);
        assert_eq!(board.snapshot()["second"].state, TaskState::Running);
        board.forget("first");
        assert_eq!(board.snapshot().len(), 1);
        stop.cancel();
        assert!(supervisor.drain(Duration::from_secs(5)).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_broken_off() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        let (working, worked) = tokio::sync::oneshot::channel::<()>();
        let mut working = Some(working);
        let stubborn = supervisor.spawn("stubborn", move |_| {
            let working = working.take();
            async move {
                let _working = working;
                std::future::pending().await
            }
        });
        let started = Instant::now();
        assert!(!stubborn.stop(Duration::from_secs(5)).await);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert!(worked.await.is_err(), "it lets go of what it had in hand");
    }
}
