//! The composition root: the one place that names concrete backends and wires the parts together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use hearken_connectors::registry::{self, Context};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{BuildError, Connector, ConnectorError, Cursor, http};
use tokio_util::sync::CancellationToken;

use crate::analyst::{Catalogue, Entries};
use crate::api::{self, Api};
use crate::config::{self, Config, ConfigError, LogKind};
use crate::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::eventlog::kafka::{KafkaLog, KafkaOptions};
use crate::eventlog::{EventLog, LogError};
use crate::ingest::{self, Source};
use crate::mention::Brand;
use crate::metrics::Metrics;
use crate::pipeline::{self, Pipeline, Rules};
use crate::query::{Matcher, QueryError};
use crate::rescore::{self, History, Rescores};
use crate::score::{ModelError, Scorer};
use crate::store::child::{ChildError, ClickHouseChild};
use crate::store::{Store, StoreError, StoreOptions};
use crate::supervise::{Board, Supervisor, Task, TaskError, TaskState};
use crate::{authors, ledger, stories, web};

/// How long tasks may take to finish what they have in hand after a stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How often `--until-idle` looks whether everything is done.
const IDLE_CHECK: Duration = Duration::from_millis(200);

/// The parts of the daemon that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Connectors into the event log.
    pub listen: bool,
    /// Event log through scoring into the store.
    pub score: bool,
    /// The web address: API and pages. A process that listens to webhook sources takes their posts there, too.
    pub serve: bool,
}

impl Roles {
    /// One process that does everything.
    pub const ALL: Self = Self { listen: true, score: true, serve: true };
}

/// Why the daemon could not start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A source is configured wrongly.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A brand's query is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The sentiment model cannot be used.
    #[error("the sentiment model: {0}")]
    Model(#[from] ModelError),
    /// HTTP cannot be set up.
    #[error(transparent)]
    Http(#[from] ConnectorError),
    /// The event log cannot be used.
    #[error("the event log: {0}")]
    Log(#[from] LogError),
    /// The embedded ClickHouse cannot be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no log to read.
    #[error(
        "nothing has been heard yet: there is no event log in {0} (`data_dir`); `hearken run` listens, and \
         `hearken replay FILE` brings messages into it"
    )]
    NoHistory(PathBuf),
    /// The web address cannot be opened.
    #[error("cannot listen on {0}: {1}; set `serve.listen` to another address")]
    Serve(SocketAddr, std::io::Error),
    /// A running daemon cannot take this over.
    #[error("`{0}` has changed, which takes a restart; nothing was taken over")]
    NeedsRestart(&'static str),
    /// A task is down until somebody acts.
    #[error("{task}: {error}")]
    Failed {
        /// Name of the task.
        task: String,
        /// Why it is down.
        error: String,
    },
    /// Tasks did not stop in time.
    #[error("these tasks did not stop within {} s: {}", DRAIN.as_secs(), .0.join(", "))]
    Overdue(Vec<String>),
}

/// The store as this process reaches it, with the ClickHouse child where it runs one.
pub struct OpenStore {
    /// The store.
    pub store: Store,
    child: Option<ClickHouseChild>,
}

impl OpenStore {
    /// Opens the configured store; in the embedded profile, joins the ClickHouse that a running
    /// daemon serves, or starts one.
    pub async fn open(config: &Config) -> Result<Self, AppError> {
        match &config.store {
            config::Store::Embedded { listen, library, database } => {
                let child = ClickHouseChild::start(&config.data_dir, *listen, library.as_deref()).await?;
                let store = Store::connect(StoreOptions {
                    url: child.url(),
                    user: child.user().to_owned(),
                    password: Some(child.password().clone()),
                    database: database.clone(),
                    durable: true,
                    cluster: None,
                });
                Ok(Self { store, child: Some(child) })
            }
            config::Store::ClickHouse { url, user, password, database } => {
                let store = Store::connect(StoreOptions {
                    url: url.clone(),
                    user: user.clone(),
                    password: password.clone(),
                    database: database.clone(),
                    durable: false,
                    cluster: None,
                });
                Ok(Self { store, child: None })
            }
        }
    }

    /// Stops the child, where this process started one, once nobody writes any more.
    pub async fn close(self) {
        if let Some(child) = self.child {
            child.stop().await;
        }
    }
}

/// Opens the configured event log.
pub async fn open_log(config: &Config) -> Result<Arc<dyn EventLog>, AppError> {
    let options = &config.log;
    match &options.kind {
        LogKind::Embedded => {
            let dir = config.data_dir.join("log");
            let options = EmbeddedOptions {
                partitions: options.partitions,
                retention_age: Some(options.retention),
                retention_bytes: options.retention_bytes,
            };
            let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(dir, options)).await;
            Ok(Arc::new(opened.map_err(|error| LogError::Unusable(error.to_string()))??))
        }
        LogKind::Kafka(kafka) => Ok(Arc::new(KafkaLog::connect(kafka_options(options, kafka)).await?)),
    }
}

/// The settings of librdkafka for what the configuration says.
fn kafka_options(log: &config::Log, kafka: &config::Kafka) -> KafkaOptions {
    let protocol = match (kafka.tls, &kafka.login) {
        (false, None) => "PLAINTEXT",
        (true, None) => "SSL",
        (false, Some(_)) => "SASL_PLAINTEXT",
        (true, Some(_)) => "SASL_SSL",
    };
    let mut client = BTreeMap::from([("security.protocol".to_owned(), protocol.to_owned())]);
    if let Some(path) = &kafka.ca_file {
        client.insert("ssl.ca.location".to_owned(), path.display().to_string());
    }
    if let Some(login) = &kafka.login {
        client.insert("sasl.mechanism".to_owned(), login.mechanism.to_owned());
        client.insert("sasl.username".to_owned(), login.username.clone());
    }
    KafkaOptions {
        brokers: kafka.brokers.clone(),
        prefix: String::new(),
        partitions: log.partitions,
        replication: u16::try_from(kafka.replication).unwrap_or(u16::MAX),
        retention_age: Some(log.retention),
        retention_bytes: log.retention_bytes,
        client,
        password: kafka.login.as_ref().map(|login| login.password.clone()),
    }
}

/// Compiles the brands' queries.
pub fn compile(config: &Config) -> Result<(Vec<Brand>, Matcher), QueryError> {
    let matcher = Matcher::compile(&config.queries())?;
    let account = |account: &config::Account| (account.channel.clone(), account.handle.clone());
    let brand = |brand: &config::Brand| Brand {
        name: brand.name.clone(),
        accounts: brand.accounts.iter().map(account).collect(),
    };
    Ok((config.brands.iter().map(brand).collect(), matcher))
}

/// What queries can be held against.
pub fn entries(config: &Config) -> Entries {
    let sources = config.sources.iter().map(|source| source.name.clone()).collect();
    Entries { brands: config.queries(), channels: config.channels(), sources }
}

/// The configured sentiment model, or the one that comes with the daemon.
pub fn scorer(config: &Config) -> Result<Scorer, ModelError> {
    match &config.score.model {
        Some(path) => Scorer::load(path),
        None => Scorer::built_in(),
    }
}

/// Whether others can read the topic `hearken.mentions`.
fn publishes(config: &Config) -> bool {
    matches!(config.log.kind, LogKind::Kafka(_))
}

/// What messages are matched and scored by. Thousands of queries take a moment to compile, so this is done off the
/// async threads: what is listened to meanwhile goes on with the rules before.
async fn rules(config: &Config) -> Result<Arc<Rules>, AppError> {
    let config = config.clone();
    let compiled = tokio::task::spawn_blocking(move || {
        let (brands, matcher) = compile(&config)?;
        Ok(Arc::new(Rules { brands, matcher, scorer: scorer(&config)? }))
    });
    compiled.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Builds the connector of a source.
pub fn connector(
    source: &config::Source,
    http: &http::Client,
    hooks: &Hooks,
    cursor: Option<Cursor>,
) -> Result<Box<dyn Connector>, BuildError> {
    let channel = registry::channel(&source.channel)?;
    (channel.build)(source.settings.clone(), Context { source: &source.name, http, hooks, cursor })
}

/// A source that this process listens to.
struct Listening {
    source: config::Source,
    heard: Arc<Source>,
    task: Task,
}

/// A running daemon.
pub struct App {
    /// What every task is doing.
    pub board: Board,
    /// The store, where this process scores or serves.
    pub store: Option<Store>,
    /// The web address, where this process serves or takes posts.
    pub address: Option<SocketAddr>,
    config: Config,
    roles: Roles,
    log: Arc<dyn EventLog>,
    http: http::Client,
    hooks: Hooks,
    catalogue: Catalogue,
    metrics: Metrics,
    pipeline: Option<Arc<Pipeline>>,
    rescores: Option<Rescores>,
    listening: BTreeMap<String, Listening>,
    supervisor: Supervisor,
    stop: CancellationToken,
    open_store: Option<OpenStore>,
}

impl App {
    /// Starts the daemon and returns when every task is under way. The tasks end when `stop` is
    /// cancelled; [`App::drain`] waits for that.
    pub async fn start(config: Config, roles: Roles, stop: CancellationToken) -> Result<Self, AppError> {
        let rules = rules(&config).await?;
        let http = http::Client::new(http::Settings::default())?;
        let hooks = Hooks::default();
        config.check_sources(|source| connector(source, &http, &hooks, None).map(drop))?;

        let log = open_log(&config).await?;
        let open_store = if roles.score || roles.serve { Some(OpenStore::open(&config).await?) } else { None };
        let store = open_store.as_ref().map(|open| open.store.clone());
        let supervisor = Supervisor::new(stop.clone());
        let board = supervisor.board();
        let catalogue = Catalogue::default();
        catalogue.set(entries(&config));
        let mut app = Self {
            board,
            store: store.clone(),
            address: None,
            config,
            roles,
            log,
            http,
            hooks,
            catalogue,
            metrics: Metrics::default(),
            pipeline: None,
            rescores: None,
            listening: BTreeMap::new(),
            supervisor,
            stop,
            open_store,
        };
        if let Some(store) = store.clone().filter(|_| roles.score) {
            app.score(store, rules.clone());
        }
        if let Some(store) = store.filter(|_| roles.serve) {
            app.serve(store, rules)?;
        }
        if roles.listen {
            let sources = app.config.sources.clone();
            app.take_posts(&sources)?;
            for source in sources {
                app.listen(source);
            }
        }
        Ok(app)
    }

    /// Takes over another configuration: brands hold from the next message on, sources that were changed go on from
    /// their stored cursor, everything else goes on as it is. A configuration that is wrong, or needs a restart,
    /// changes nothing; any other is taken over as a whole: a source that does not stop in time is broken off, and
    /// what it had in hand is heard again.
    pub async fn reload(&mut self, config: Config) -> Result<(), AppError> {
        if let Some(key) = self.config.needs_restart(&config) {
            return Err(AppError::NeedsRestart(key));
        }
        let rules = rules(&config).await?;
        config.check_sources(|source| connector(source, &self.http, &self.hooks, None).map(drop))?;
        if self.roles.listen {
            self.take_posts(&config.sources)?;
            let is_kept = |old: &Listening| config.sources.iter().any(|new| new.is_same(&old.source));
            let changed: Vec<_> =
                self.listening.iter().filter(|(_, old)| !is_kept(old)).map(|(name, _)| name.clone()).collect();
            let changed = changed.iter().filter_map(|name| self.listening.remove(name));
            futures::future::join_all(changed.map(|old| stop_listening(old, &self.board))).await;
        }
        // Before the new sources speak: what they say first is matched by the new rules.
        if let Some(pipeline) = &self.pipeline {
            pipeline.set_rules(rules.clone());
        }
        if let Some(rescores) = &self.rescores {
            rescores.set_rules(rules, config.queries());
        }
        if self.roles.listen {
            for source in &config.sources {
                if !self.listening.contains_key(&source.name) {
                    self.listen(source.clone());
                }
            }
        }
        self.catalogue.set(entries(&config));
        self.config = config;
        Ok(())
    }

    fn score(&mut self, store: Store, rules: Arc<Rules>) {
        self.metrics.queries(rules.brands.len(), rules.matcher.bytes());
        let pipeline = Arc::new(Pipeline {
            log: self.log.clone(),
            store: store.clone(),
            rules: RwLock::new(rules),
            publish: publishes(&self.config),
            metrics: self.metrics.clone(),
        });
        self.pipeline = Some(pipeline.clone());
        self.spawn_on_store("pipeline", &store, move |_, stop| pipeline::run(pipeline.clone(), stop));
        let log = self.log.clone();
        self.spawn_on_store("ledger", &store, move |store, stop| ledger::run(log.clone(), store, stop));
        self.spawn_on_store("stories", &store, stories::run);
        let config::Authors { every, rules } = self.config.authors;
        self.spawn_on_store("authors", &store, move |store, stop| authors::run(store, rules, every, stop));
    }

    /// Starts a task once the schema is up to date.
    fn spawn_on_store<W>(
        &mut self,
        name: &str,
        store: &Store,
        work: impl Fn(Store, CancellationToken) -> W + Clone + Send + 'static,
    ) where
        W: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let store = store.clone();
        self.supervisor.spawn(name, move |stop| {
            let (store, work) = (store.clone(), work.clone());
            async move {
                migrate(&store).await?;
                work(store, stop).await
            }
        });
    }

    fn serve(&mut self, store: Store, rules: Arc<Rules>) -> Result<(), AppError> {
        let (log, board, metrics) = (self.log.clone(), self.board.clone(), self.metrics.clone());
        let history = History { log: log.clone(), store: store.clone(), publish: publishes(&self.config) };
        let rescores = Rescores::new(history, rules, self.config.queries());
        self.rescores = Some(rescores.clone());
        let asked = rescores.clone();
        self.spawn_on_store("rescoring", &store, move |_, stop| rescore::run(asked.clone(), stop));
        let daemon = api::Daemon { log, board, metrics, catalogue: self.catalogue.clone(), rescores };
        let api = Api::new(store, daemon, api::Limits::default(), self.stop.clone());
        let api = api.map_err(|error| AppError::Serve(self.config.serve.listen, error))?;
        self.open_address(web::router(api, self.hooks.clone())).map(drop)
    }

    /// Lets posts to the configured webhook sources in; opens the web address for them where it is not open.
    fn take_posts(&mut self, sources: &[config::Source]) -> Result<(), AppError> {
        let hooked = sources.iter().filter(|source| source.channel == "webhook");
        let names: Vec<&str> = hooked.map(|source| source.name.as_str()).collect();
        self.hooks.configure(names.iter().copied());
        if names.is_empty() || self.address.is_some() {
            return Ok(());
        }
        let address = self.open_address(web::hooks(self.hooks.clone()))?;
        tracing::info!(%address, "taking posts to webhook sources at http://{address}/hooks/");
        Ok(())
    }

    fn open_address(&mut self, router: Router) -> Result<SocketAddr, AppError> {
        let wanted = self.config.serve.listen;
        let cannot = |error| AppError::Serve(wanted, error);
        let listener = std::net::TcpListener::bind(wanted).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        self.address = Some(address);
        let listener = Arc::new(listener);
        self.supervisor.spawn("web", move |stop| {
            let (listener, router) = (listener.clone(), router.clone());
            async move { web::serve(listener, router, stop).await }
        });
        Ok(address)
    }

    fn listen(&mut self, source: config::Source) {
        let heard = Arc::new(Source::new(&source.name, &source.channel));
        let (http, hooks) = (self.http.clone(), self.hooks.clone());
        let parts = (heard.clone(), self.log.clone(), source.clone(), http, hooks, self.metrics.clone());
        let task = self.supervisor.spawn(task_name(&heard), move |stop| {
            let (heard, log, source, http, hooks, metrics) = parts.clone();
            async move {
                let cursor = ingest::stored_cursor(&*log, &heard.name).await.map_err(TaskError::retry)?;
                let connector = connector(&source, &http, &hooks, cursor);
                let connector = connector.map_err(|error| TaskError::Fatal(source.problem(&error).to_string()))?;
                ingest::listen(&heard, connector, log, metrics, stop).await
            }
        });
        self.listening.insert(source.name.clone(), Listening { source, heard, task });
    }

    /// Waits until everything that the sources have now was heard, and everything that was heard is
    /// stored, and stories and the scores of authors are those of what is stored.
    pub async fn idle(&self) -> Result<(), AppError> {
        while !(self.sources_are_idle()? && self.log_is_drained().await && self.is_evaluated().await?) {
            tokio::time::sleep(IDLE_CHECK).await;
        }
        Ok(())
    }

    /// Brings stories and the scores of authors up to date; false while the store is away.
    async fn is_evaluated(&self) -> Result<bool, AppError> {
        let Some(store) = self.store.as_ref().filter(|_| self.roles.score) else { return Ok(true) };
        let evaluated = async {
            // The tasks that do this may have had nothing to do yet.
            store.migrate().await?;
            evaluate(&self.config, store).await
        };
        match evaluated.await {
            Ok(()) => Ok(true),
            Err(error) if error.is_retryable() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sources_are_idle(&self) -> Result<bool, AppError> {
        for (task, status) in self.board.snapshot() {
            if let TaskState::Failed { error } = status.state {
                return Err(AppError::Failed { task, error });
            }
        }
        Ok(self.listening.values().all(|listening| listening.heard.is_caught_up()))
    }

    /// The ledger is asked last, because the pipeline adds dead letters to it. A log that does not
    /// answer is not drained; its tasks say so on the board.
    async fn log_is_drained(&self) -> bool {
        for (group, topics) in [(pipeline::GROUP, pipeline::TOPICS), (ledger::GROUP, ledger::TOPICS)] {
            if !self.log.lag(group, &topics).await.is_ok_and(|lag| lag == 0) {
                return false;
            }
        }
        true
    }

    /// Tells how many of these records are stored, again and again; never returns.
    async fn watch(&self, total: u64, progress: &mut dyn FnMut(u64, u64)) -> Infallible {
        loop {
            if let Ok(lag) = self.log.lag(pipeline::GROUP, &pipeline::TOPICS).await {
                progress(total.saturating_sub(lag), total);
            }
            tokio::time::sleep(IDLE_CHECK).await;
        }
    }

    /// Waits until every task has finished what it has in hand, then closes log and store. To be
    /// called once the stop token is cancelled.
    pub async fn drain(self) -> Result<(), AppError> {
        let overdue = self.supervisor.drain(DRAIN).await;
        if let Some(store) = self.open_store {
            store.close().await;
        }
        if overdue.is_empty() { Ok(()) } else { Err(AppError::Overdue(overdue)) }
    }
}

/// Scores everything in the log again, from the beginning, and returns when it is stored. Tells now and then how
/// many messages of how many are.
pub async fn replay(
    config: &Config,
    stop: CancellationToken,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), AppError> {
    let log = open_log(config).await?;
    log.rewind(pipeline::GROUP, &pipeline::TOPICS).await?;
    log.rewind(ledger::GROUP, &ledger::TOPICS).await?;
    let total = log.lag(pipeline::GROUP, &pipeline::TOPICS).await?;
    drop(log);
    let app = App::start(config.clone(), Roles { listen: false, score: true, serve: false }, stop.clone()).await?;
    let done = tokio::select! {
        idle = app.idle() => idle,
        never = app.watch(total, progress) => match never {},
        () = stop.cancelled() => Ok(()),
    };
    stop.cancel();
    app.drain().await.and(done)
}

/// Rescorings in this process, of a log that no daemon has open, with the store that they are in.
///
/// # Errors
/// [`LogError::InUse`] where a daemon has the log: ask that one. [`AppError::NoHistory`] where there is no log.
pub async fn rescores(config: &Config) -> Result<(Rescores, OpenStore), AppError> {
    let dir = config.data_dir.join("log");
    if matches!(config.log.kind, LogKind::Embedded) && !dir.exists() {
        return Err(AppError::NoHistory(dir));
    }
    let rules = rules(config).await?;
    let log = open_log(config).await?;
    let open = OpenStore::open(config).await?;
    open.store.migrate().await?;
    let history = History { log, store: open.store.clone(), publish: publishes(config) };
    Ok((Rescores::new(history, rules, config.queries()), open))
}

/// Brings stories and the scores of authors in line with what is stored, as the tasks of the daemon do.
///
/// # Errors
/// The store cannot be read or written.
pub async fn evaluate(config: &Config, store: &Store) -> Result<(), StoreError> {
    stories::find(store).await?;
    authors::refresh(store, &config.authors.rules).await?;
    Ok(())
}

/// Stops a source; what it had in hand and did not store in time is heard again, because its cursor is not stored either.
async fn stop_listening(old: Listening, board: &Board) {
    let name = task_name(&old.heard);
    if !old.task.stop(DRAIN).await {
        tracing::warn!(task = name, "did not stop within {} s and was broken off", DRAIN.as_secs());
    }
    board.forget(&name);
}

fn task_name(source: &Source) -> String {
    format!("source {}", source.name)
}

async fn migrate(store: &Store) -> Result<(), TaskError> {
    store.migrate().await.map_err(|error| match error.is_retryable() {
        true => TaskError::retry(error),
        false => TaskError::Fatal(error.to_string()),
    })
}
