//! Rescorings on demand, one at a time: asked for, followed, applied and cancelled from outside, done by one task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Findings, History, Progress, Question, RescoreError, compare};
use crate::pipeline::Rules;
use crate::query::{BrandQuery, Matcher, QueryError};
use crate::supervise::TaskError;

/// What somebody wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Name of the brand.
    pub brand: String,
    /// A query to try; the one of the configuration where it is `None`.
    pub query: Option<String>,
    /// Messages that were published then or later; all of them where it is `None`.
    pub since: Option<Timestamp>,
    /// Write what differs.
    pub apply: bool,
    /// Most samples of each kind.
    pub samples: usize,
}

/// A rescoring, as far as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rescoring {
    /// Its id.
    pub id: Uuid,
    /// Name of the brand.
    pub brand: String,
    /// The query that is used.
    pub query: String,
    /// It is a query to try, which cannot be applied.
    pub is_trial: bool,
    /// Model and version of the first scorer that is used.
    pub model: String,
    /// Published at this time or later; `null` is all of the log.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// How far it is.
    pub state: State,
    /// Records of the log that are done with in this state; while it waits, those that are not stored yet.
    pub done: u64,
    /// Records of the log in all.
    pub total: u64,
    /// Rows that were written.
    pub written: u64,
    /// Why it failed; `null` where it did not.
    pub error: Option<String>,
    /// What was found; `null` before. After it was applied: what was found right before it was written.
    pub findings: Option<Findings>,
}

/// How far a rescoring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It begins in a moment.
    Queued,
    /// It waits until what was heard is stored.
    Waiting,
    /// It compares.
    Comparing,
    /// It has compared, and can be applied.
    Compared,
    /// It writes what differs.
    Applying,
    /// What differed is written.
    Applied,
    /// It could not be done.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// Nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Compared | Self::Applied | Self::Failed | Self::Cancelled)
    }
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such brand.
    #[error("there is no brand `{0}` in the configuration that the daemon has; there are `{1}`")]
    UnknownBrand(String, String),
    /// The query is none.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// A query is to be tried and applied.
    #[error(
        "a query that is only tried cannot be applied: save it in the configuration, reload the daemon, and rescore"
    )]
    Trial,
    /// Another one is under way.
    #[error("the rescoring {0} of `{1}` is under way, and there is one at a time: wait for it, or cancel it")]
    Busy(Uuid, String),
    /// There is none of this id.
    #[error("there is no rescoring {0}; only the last one is remembered")]
    Unknown(Uuid),
    /// It is not in the state in which it can be applied.
    #[error("only what was compared can be applied; this one is {0:?}")]
    NotCompared(State),
    /// The rules have changed since.
    #[error("query, accounts or model have changed since this was compared: compare again")]
    OtherRules,
}

/// What rescorings are made by.
struct Current {
    rules: Arc<Rules>,
    queries: Vec<BrandQuery>,
}

/// The last rescoring that was asked for.
struct Job {
    shown: Rescoring,
    question: Question,
    rules: Arc<Rules>,
    apply: bool,
    cancel: CancellationToken,
}

/// The rescorings of a process; cheap to clone. [`run`] does them.
#[derive(Clone)]
pub struct Rescores(Arc<Inner>);

struct Inner {
    history: History,
    current: RwLock<Current>,
    job: Mutex<Option<Job>>,
    asked: Notify,
}

impl Rescores {
    /// Rescorings of this history, by these rules; `queries` are those of the brands of the rules, in their order.
    pub fn new(history: History, rules: Arc<Rules>, queries: Vec<BrandQuery>) -> Self {
        let current = RwLock::new(Current { rules, queries });
        Self(Arc::new(Inner { history, current, job: Mutex::default(), asked: Notify::new() }))
    }

    /// From now on these rules hold.
    pub fn set_rules(&self, rules: Arc<Rules>, queries: Vec<BrandQuery>) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Current { rules, queries };
    }

    /// Asks for a rescoring.
    ///
    /// # Errors
    /// It cannot be done, or another one is under way.
    pub fn start(&self, order: Order) -> Result<Rescoring, Refused> {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        let rules = current.rules.clone();
        let names = || rules.brands.iter().map(|brand| brand.name.as_str()).collect::<Vec<_>>().join("`, `");
        let place = rules.brands.iter().position(|brand| brand.name == order.brand);
        let found = place.and_then(|place| Some((rules.brands.get(place)?, current.queries.get(place)?)));
        let Some((brand, saved)) = found else { return Err(Refused::UnknownBrand(order.brand, names())) };
        let is_trial = order.query.is_some();
        if is_trial && order.apply {
            return Err(Refused::Trial);
        }
        let query = order.query.unwrap_or_else(|| saved.query.clone());
        // Known to be wrong before it begins.
        Matcher::compile(&[BrandQuery { brand: order.brand.clone(), query: query.clone() }])?;
        let mut job = self.job();
        if let Some(job) = job.as_ref().filter(|job| !job.shown.state.is_final()) {
            return Err(Refused::Busy(job.shown.id, job.shown.brand.clone()));
        }
        let shown = Rescoring {
            id: new_id(),
            brand: order.brand,
            query: query.clone(),
            is_trial,
            model: rules.scorer.model_name().to_owned(),
            since: order.since,
            state: State::Queued,
            done: 0,
            total: 0,
            written: 0,
            error: None,
            findings: None,
        };
        let question = Question { brand: brand.clone(), query, since: order.since, samples: order.samples };
        let (apply, cancel) = (order.apply, CancellationToken::new());
        *job = Some(Job { shown: shown.clone(), question, rules: rules.clone(), apply, cancel });
        self.0.asked.notify_one();
        Ok(shown)
    }

    /// Asks for what was compared to be written; it is compared again first.
    ///
    /// # Errors
    /// There is nothing to be applied, or not any more.
    pub fn apply(&self, id: Uuid) -> Result<Rescoring, Refused> {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        let mut job = self.job();
        let job = job.as_mut().filter(|job| job.shown.id == id).ok_or(Refused::Unknown(id))?;
        if job.shown.state != State::Compared {
            return Err(Refused::NotCompared(job.shown.state));
        }
        if job.shown.is_trial {
            return Err(Refused::Trial);
        }
        let place = current.rules.brands.iter().position(|brand| *brand == job.question.brand);
        let query = place.and_then(|place| current.queries.get(place)).map(|query| &query.query);
        if query != Some(&job.question.query) || current.rules.scorer.model_name() != job.shown.model {
            return Err(Refused::OtherRules);
        }
        job.rules = current.rules.clone();
        job.apply = true;
        job.shown.state = State::Queued;
        self.0.asked.notify_one();
        Ok(job.shown.clone())
    }

    /// How far it is.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn get(&self, id: Uuid) -> Result<Rescoring, Refused> {
        let job = self.job();
        job.as_ref().filter(|job| job.shown.id == id).map(|job| job.shown.clone()).ok_or(Refused::Unknown(id))
    }

    /// Cancels and forgets it; what is written stays. Returns what became of it.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn cancel(&self, id: Uuid) -> Result<Rescoring, Refused> {
        let mut job = self.job().take_if(|job| job.shown.id == id).ok_or(Refused::Unknown(id))?;
        job.cancel.cancel();
        if !matches!(job.shown.state, State::Applied | State::Failed) {
            job.shown.state = State::Cancelled;
        }
        Ok(job.shown)
    }

    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.0.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is shown of a rescoring, unless it has ended.
    fn update(&self, id: Uuid, change: impl FnOnce(&mut Rescoring)) {
        let mut job = self.job();
        if let Some(job) = job.as_mut().filter(|job| job.shown.id == id && !job.shown.state.is_final()) {
            change(&mut job.shown);
        }
    }

    fn tell(&self, id: Uuid, progress: Progress) {
        self.update(id, |shown| {
            (shown.state, shown.done, shown.total) = match progress {
                Progress::Waiting(lag) => (State::Waiting, lag, lag),
                Progress::Comparing(done, total) => (State::Comparing, done, total),
                Progress::Applying(done, total, written) => {
                    shown.written = written;
                    (State::Applying, done, total)
                }
            };
        });
    }

    async fn work(&self, id: Uuid, question: &Question, rules: &Arc<Rules>, apply: bool) -> Result<(), RescoreError> {
        let tell = |progress| self.tell(id, progress);
        let compared = compare(&self.0.history, question, rules, &tell).await?;
        let findings = compared.findings.clone();
        let Counted { added, removed, changed } = Counted::of(&findings);
        if !apply {
            tracing::info!(brand = question.brand.name, added, removed, changed, "compared the stored history");
            self.update(id, |shown| (shown.findings, shown.state) = (Some(findings), State::Compared));
            return Ok(());
        }
        self.update(id, |shown| shown.findings = Some(findings));
        let written = compared.apply(&self.0.history, &tell).await?;
        tracing::info!(brand = question.brand.name, added, removed, changed, written, "rescored the stored history");
        self.update(id, |shown| (shown.written, shown.state) = (written, State::Applied));
        Ok(())
    }
}

struct Counted {
    added: u64,
    removed: u64,
    changed: u64,
}

impl Counted {
    fn of(findings: &Findings) -> Self {
        let super::Counts { added, removed, changed, .. } = findings.mentions;
        Self { added, removed, changed }
    }
}

/// Does what is asked for, one after the other, until told to stop.
pub async fn run(rescores: Rescores, stop: CancellationToken) -> Result<(), TaskError> {
    // Whatever was under way when this task ended early.
    let broken = rescores.job().as_ref().filter(|job| job.shown.state != State::Queued).map(|job| job.shown.id);
    if let Some(id) = broken {
        fail(&rescores, id, "it was broken off by a bug");
    }
    loop {
        let next = rescores
            .job()
            .as_ref()
            .filter(|job| job.shown.state == State::Queued)
            .map(|job| (job.shown.id, job.question.clone(), job.rules.clone(), job.apply, job.cancel.clone()));
        let Some((id, question, rules, apply, cancel)) = next else {
            if stop.run_until_cancelled(rescores.0.asked.notified()).await.is_none() {
                return Ok(());
            }
            continue;
        };
        rescores.update(id, |shown| shown.state = State::Waiting);
        let work = cancel.run_until_cancelled(rescores.work(id, &question, &rules, apply));
        match stop.run_until_cancelled(work).await {
            None => {
                fail(&rescores, id, "the daemon was stopped; ask again");
                return Ok(());
            }
            Some(Some(Err(error))) => {
                tracing::warn!(brand = question.brand.name, %error, "the stored history could not be rescored");
                fail(&rescores, id, &error.to_string());
            }
            Some(None | Some(Ok(()))) => {}
        }
    }
}

fn fail(rescores: &Rescores, id: Uuid, error: &str) {
    rescores.update(id, |shown| (shown.state, shown.error) = (State::Failed, Some(error.to_owned())));
}

/// A random id; the last one is told from those before it, and nothing depends on its secrecy.
fn new_id() -> Uuid {
    let mut bytes = [0; 16];
    // Without random numbers the clock has to do.
    if getrandom::fill(&mut bytes).is_err() {
        return Uuid::from_u128(Timestamp::now().as_nanosecond().unsigned_abs());
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
