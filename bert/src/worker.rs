//! The model on a thread of its own, behind a bounded queue.
//!
//! Whoever asks waits: for room in the queue first, for the answer then. When the worker is closed, what is in the
//! queue is still answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::model::{Model, ModelError, Options};
use crate::opinion::Probabilities;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model failed on these texts.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The thread could not be started.
    #[error("cannot start the thread of the model: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread is gone.
    #[error("the thread of the model has ended; its panic is in the log")]
    Gone,
}

struct Job {
    texts: Vec<String>,
    answer: oneshot::Sender<Result<Vec<Probabilities>, ModelError>>,
}

/// A model that is asked from anywhere.
pub struct Worker {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Loads the checkpoint on a new thread. At most `queue` jobs wait.
    pub async fn start(checkpoint: Checkpoint, options: Options, queue: usize) -> Result<Self, WorkerError> {
        let load = move || Model::load(&checkpoint, options).map(|model| move |texts: &[String]| model.score(texts));
        Self::over(load, queue).await
    }

    /// The same over anything that scores texts; `load` makes it on the new thread.
    pub async fn over<S>(
        load: impl FnOnce() -> Result<S, CheckpointError> + Send + 'static,
        queue: usize,
    ) -> Result<Self, WorkerError>
    where
        S: FnMut(&[String]) -> Result<Vec<Probabilities>, ModelError>,
    {
        let (jobs, mut next) = mpsc::channel::<Job>(queue.max(1));
        let (ready, loaded) = oneshot::channel();
        let run = move || {
            let mut score = match load() {
                Ok(score) => score,
                // Whoever started it has gone if nobody takes the error.
                Err(error) => return drop(ready.send(Err(error))),
            };
            if ready.send(Ok(())).is_err() {
                return;
            }
            while let Some(Job { texts, answer }) = next.blocking_recv() {
                // Nobody waits for the answer any more: it is not worth computing.
                if !answer.is_closed() {
                    drop(answer.send(score(&texts)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("model".to_owned()).spawn(run)?;
        loaded.await.map_err(|_| WorkerError::Gone)??;
        Ok(Self { jobs, waiting: Arc::default(), thread })
    }

    /// What the model says of each text, in their order.
    pub async fn score(&self, texts: Vec<String>) -> Result<Vec<Probabilities>, WorkerError> {
        let (answer, answered) = oneshot::channel();
        let count = texts.len();
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let _done = Waiting { waiting: &self.waiting, count };
        self.jobs.send(Job { texts, answer }).await.map_err(|_| WorkerError::Gone)?;
        Ok(answered.await.map_err(|_| WorkerError::Gone)??)
    }

    /// Texts that wait for their answer.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Answers what is in the queue, then ends the thread.
    pub async fn close(self) -> Result<(), WorkerError> {
        let Self { jobs, thread, .. } = self;
        drop(jobs);
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        match ended {
            Ok(Ok(())) => Ok(()),
            _ => Err(WorkerError::Gone),
        }
    }
}

/// Counts down also where the wait is given up.
struct Waiting<'a> {
    waiting: &'a AtomicUsize,
    count: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.count, Ordering::Relaxed);
    }
}
