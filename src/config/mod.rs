//! The configuration: one TOML file, with the environment laid over it.
//!
//! [`Config::load`] reads everything, resolves secrets, checks what can be checked without a
//! network, and returns either a configuration that is right or a [`ConfigError`] that holds every
//! problem found, each with its place in the file. `docs/configuration.md` is the user's side.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearken_connectors::BuildError;
use hearken_connectors::registry::CHANNELS;
use hearken_connectors::secret::Secret;

mod brand;
mod diagnostic;
mod reader;
mod reference;
mod schema;
mod tree;
mod units;

pub use brand::{Account, Brand, Example, WrongExample};
pub use diagnostic::{ConfigError, Diagnostic, Place};
pub use reference::reference;
pub use schema::schema;

use crate::query::{BrandQuery, Matcher};
use crate::score::author::{Rules, Weights};

use reader::{Locations, Table};
use tree::Document;

/// A validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where everything is kept that this machine keeps.
    pub data_dir: PathBuf,
    /// The event log.
    pub log: Log,
    /// The store.
    pub store: Store,
    /// Scoring.
    pub score: Score,
    /// Scores of authors.
    pub authors: Authors,
    /// The web address.
    pub serve: Serve,
    /// The brands, in the order of the file.
    pub brands: Vec<Brand>,
    /// The sources, by name.
    pub sources: Vec<Source>,
}

/// `[log]`: the event log.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Which implementation.
    pub kind: LogKind,
    /// Partitions of each topic, when it is made; 1..=1024.
    pub partitions: u32,
    /// How long records are kept.
    pub retention: Duration,
    /// How many bytes of a topic's partition are kept; `None` is no limit.
    pub retention_bytes: Option<u64>,
}

/// Which event log.
#[derive(Debug, Clone, PartialEq)]
pub enum LogKind {
    /// In the data directory.
    Embedded,
    /// On Apache Kafka or anything that speaks its protocol.
    Kafka(Kafka),
}

/// How Kafka is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    /// `host:port`, separated by commas: Kafka's `bootstrap.servers`.
    pub brokers: String,
    /// Replicas of each topic, when it is made.
    pub replication: u32,
    /// Encrypt the connection.
    pub tls: bool,
    /// PEM file of the authorities that may have signed the brokers' certificates, instead of those that the system
    /// trusts.
    pub ca_file: Option<PathBuf>,
    /// SASL credentials.
    pub login: Option<KafkaLogin>,
}

/// SASL credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaLogin {
    /// Kafka's `sasl.mechanism`: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// `[store]`: where mentions are kept and asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Store {
    /// The ClickHouse engine in a child process of the daemon.
    Embedded {
        /// Loopback address of its HTTP interface; port 0 takes a free one.
        listen: SocketAddr,
        /// Path of libchdb, where it is not in one of the usual places.
        library: Option<PathBuf>,
        /// Database, made when it is missing.
        database: String,
    },
    /// A ClickHouse server.
    ClickHouse {
        /// Its HTTP interface.
        url: String,
        /// User name.
        user: String,
        /// Password, where the user has one.
        password: Option<Secret>,
        /// Database, made when it is missing.
        database: String,
    },
}

/// `[score]`: scoring.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// Path of the linear model; `None` is the one that comes with the daemon.
    pub model: Option<PathBuf>,
}

/// `[authors]`: scores of authors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Authors {
    /// How often they are computed at most.
    pub every: Duration,
    /// What they depend on.
    pub rules: Rules,
}

/// `[serve]`: the web address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Address of the API, of the pages and of `hearken status`; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// `[source.NAME]`: one source, its settings still unread by its connector.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Name, unique: letters, digits, `-` and `_`.
    pub name: String,
    /// Name of its channel, not yet looked up.
    pub channel: String,
    /// Everything but the channel.
    pub settings: toml::Table,
    locations: Locations,
}

impl Source {
    /// Whether it says the same, wherever in the file.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.channel, &self.settings) == (&other.name, &other.channel, &other.settings)
    }

    /// Says where in the configuration the connector's complaint belongs.
    pub fn problem(&self, error: &BuildError) -> Diagnostic {
        let (path, message) = match error {
            BuildError::Setting { path, reason } => (path.as_str(), reason.clone()),
            BuildError::UnknownChannel { .. } => ("channel", error.to_string()),
            BuildError::Cursor(_) => ("", error.to_string()),
        };
        let (key, place) = self.locations.find(path);
        Diagnostic { key, message, help: None, place }
    }
}

impl Config {
    /// The first key of `other` that differs and cannot be taken over by a running daemon.
    pub fn needs_restart(&self, other: &Self) -> Option<&'static str> {
        [
            ("data_dir", self.data_dir != other.data_dir),
            ("log", self.log != other.log),
            ("store", self.store != other.store),
            ("authors", self.authors != other.authors),
            ("serve", self.serve != other.serve),
        ]
        .into_iter()
        .find_map(|(key, differs)| differs.then_some(key))
    }

    /// Reads and validates a file.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = Diagnostic::of_file(&name, format!("cannot read the configuration: {error}"));
            ConfigError { problems: vec![problem] }
        })?;
        Self::parse(&text, &name, environment)
    }

    /// Validates a text; `name` stands for it in errors.
    pub fn parse(text: &str, name: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let (document, root) = Document::read(name, text, environment)?;
        let root = Table::root(&document, root);
        let config = Self {
            data_dir: data_dir(&root, environment),
            log: log(root.table("log"), environment),
            store: store(root.table("store"), environment),
            score: score(root.table("score")),
            authors: authors(root.table("authors")),
            serve: serve(root.table("serve")),
            brands: brand::read_all(root.tables("brand"), &document),
            sources: root.table("source").named_tables().into_iter().filter_map(source).collect(),
        };
        root.finish();
        document.finish()?;
        Ok(config)
    }

    /// The brands' queries, for [`Matcher::compile`], which accepts them: they are checked here.
    pub fn queries(&self) -> Vec<BrandQuery> {
        self.brands.iter().map(|brand| brand.query.clone()).collect()
    }

    /// The brand of this name, or what the names are.
    pub fn brand(&self, name: &str) -> Result<&Brand, String> {
        let names: Vec<&str> = self.brands.iter().map(|brand| brand.name.as_str()).collect();
        let unknown = || format!("there is no brand `{name}`: {}", diagnostic::suggest(name, &names, "brands"));
        self.brands.iter().find(|brand| brand.name == name).ok_or_else(unknown)
    }

    /// Names of the channels that messages can come from, each once: those of the connectors, and those that sources
    /// give what they hear.
    pub fn channels(&self) -> Vec<String> {
        let given = |source: &Source| source.settings.get("set")?.get("channel")?.as_str().map(str::to_owned);
        let given = self.sources.iter().filter_map(given);
        let mut channels: Vec<String> = CHANNELS.iter().map(|channel| channel.name.to_owned()).chain(given).collect();
        channels.sort();
        channels.dedup();
        channels
    }

    /// The examples beside the brands' queries that they get wrong; `matcher` is compiled from
    /// [`queries`](Self::queries).
    pub fn wrong_examples(&self, matcher: &Matcher) -> Vec<WrongExample> {
        let brands = self.brands.iter().enumerate();
        brands.flat_map(|(index, brand)| brand.wrong_examples(index, matcher)).collect()
    }

    /// Tries the brands' queries on the examples beside them; `matcher` is compiled from
    /// [`queries`](Self::queries).
    pub fn check_examples(&self, matcher: &Matcher) -> Result<(), ConfigError> {
        ConfigError::of(self.wrong_examples(matcher).into_iter().map(|wrong| wrong.diagnostic))
    }

    /// Asks `check` about every source and collects what it complains of.
    ///
    /// The configuration itself knows no connector: `check` looks the channel up in the registry
    /// and builds the connector.
    pub fn check_sources(&self, mut check: impl FnMut(&Source) -> Result<(), BuildError>) -> Result<(), ConfigError> {
        let problem = |source: &Source| check(source).err().map(|error| source.problem(&error));
        ConfigError::of(self.sources.iter().filter_map(problem))
    }
}

/// Settings of `[log]` that have a meaning only with `kind = "kafka"`.
const KAFKA_ONLY: &[&str] = &["brokers", "replication", "tls", "ca_file", "mechanism", "username", "password"];
/// Settings of `[store]` that have a meaning only with `kind = "embedded"`.
const EMBEDDED_STORE_ONLY: &[&str] = &["listen", "library"];
/// Settings of `[store]` that have a meaning only with `kind = "clickhouse"`.
const CLICKHOUSE_ONLY: &[&str] = &["url", "user", "password"];

/// Port of the web address, unless the configuration says otherwise.
const SERVE_PORT: u16 = 7700;

fn data_dir(root: &Table<'_>, environment: &Environment) -> PathBuf {
    if let Some(path) = path(root, "data_dir") {
        return path;
    }
    // systemd gives a list separated by colons where a unit asks for several directories.
    let systemd = environment.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(PathBuf::from);
    // Relative paths are to be ignored: XDG Base Directory Specification 0.8.
    let xdg = || environment.get("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || environment.get("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(home).join(".local/share"));
    let found = systemd
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| xdg().or_else(home).map(|share| share.join("hearken")));
    found.unwrap_or_else(|| {
        let help = "set `data_dir`, or one of $STATE_DIRECTORY, $XDG_DATA_HOME and $HOME";
        root.report_key("data_dir", "there is no place for the data", Some(help.to_owned()));
        PathBuf::new()
    })
}

fn path(table: &Table<'_>, name: &'static str) -> Option<PathBuf> {
    table.parsed(name, |text| if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(text.into()) })
}

#[derive(Clone, Copy)]
enum Backend {
    Embedded,
    Cluster,
}

fn log(table: Table<'_>, environment: &Environment) -> Log {
    let backend = table.choice("kind", &[("embedded", Backend::Embedded), ("kafka", Backend::Cluster)]);
    let log = Log {
        partitions: table.count("partitions", 1..=1024).unwrap_or(4),
        retention: table.duration("retention").unwrap_or(Duration::from_secs(30 * 24 * 60 * 60)),
        retention_bytes: table.bytes("retention_bytes"),
        kind: match backend {
            Some(Backend::Cluster) => LogKind::Kafka(kafka(&table, environment)),
            Some(Backend::Embedded) | None => {
                table.only_with(KAFKA_ONLY, "`kind = \"kafka\"`");
                LogKind::Embedded
            }
        },
    };
    table.finish();
    log
}

fn kafka(table: &Table<'_>, environment: &Environment) -> Kafka {
    let brokers = table.required_text("brokers", "the addresses of the cluster: `brokers = \"kafka-1:9092\"`");
    let brokers = brokers.map(|brokers| {
        let is_address = |address: &str| {
            let port = address.trim().rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if !brokers.value.split(',').all(is_address) {
            table.report_key("brokers", "expected `host:port`, several separated by commas", None);
        }
        brokers.value
    });
    let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| (name, name));
    let mechanism = table.choice("mechanism", &mechanisms).unwrap_or("PLAIN");
    let (username, password) = (table.text("username"), table.secret("password", environment));
    if username.is_some() != table.has("password") {
        let (given, missing) = if username.is_some() { ("username", "password") } else { ("password", "username") };
        table.report_key(given, format!("`{given}` needs `{missing}` beside it"), None);
    }
    let (tls, ca_file) = (table.flag("tls").unwrap_or(false), path(table, "ca_file"));
    if ca_file.is_some() && !tls {
        table.report_key("ca_file", "`ca_file` needs `tls = true` beside it", None);
    }
    Kafka {
        brokers: brokers.unwrap_or_default(),
        replication: table.count("replication", 1..=32).unwrap_or(1),
        tls,
        ca_file,
        login: username.zip(password).map(|(username, password)| KafkaLogin {
            mechanism,
            username: username.value,
            password,
        }),
    }
}

fn store(table: Table<'_>, environment: &Environment) -> Store {
    let backend = table.choice("kind", &[("embedded", Backend::Embedded), ("clickhouse", Backend::Cluster)]);
    let database = table.parsed("database", database_name).unwrap_or_else(|| "hearken".to_owned());
    let store = match backend {
        Some(Backend::Cluster) => {
            table.only_with(EMBEDDED_STORE_ONLY, "`kind = \"embedded\"`");
            let url = table.required_text("url", "the server's HTTP interface: `url = \"http://clickhouse:8123\"`");
            if let Some(reason) = url.as_ref().and_then(|url| server_url(&url.value).err()) {
                table.report_key("url", reason, None);
            }
            Store::ClickHouse {
                url: url.map(|url| url.value).unwrap_or_default(),
                user: table.text("user").map_or_else(|| "default".to_owned(), |user| user.value),
                password: table.secret("password", environment),
                database,
            }
        }
        Some(Backend::Embedded) | None => {
            table.only_with(CLICKHOUSE_ONLY, "`kind = \"clickhouse\"`");
            Store::Embedded {
                listen: table.parsed("listen", loopback).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
                library: path(&table, "library"),
                database,
            }
        }
    };
    table.finish();
    store
}

fn database_name(text: &str) -> Result<String, String> {
    let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_name { Ok(text.to_owned()) } else { Err("a database's name has letters, digits and `_` only".to_owned()) }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("only a loopback address is possible here, such as `127.0.0.1:8123`".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, such as `127.0.0.1:8123` or `[::1]:0`".to_owned())
}

fn server_url(text: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected the address of an HTTP server, such as `http://clickhouse:8123`";
    let url = reqwest::Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EXPECTED);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a user or a password: they belong into `user` and `password`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the address ends before `?` and `#`; the database belongs into `database`");
    }
    Ok(())
}

fn score(table: Table<'_>) -> Score {
    let score = Score { model: path(&table, "model") };
    table.finish();
    score
}

fn authors(table: Table<'_>) -> Authors {
    const DAY: f64 = 86_400.0;
    let Rules { weights: defaults, half_life_days } = Rules::default();
    let weights = table.table("weights");
    let weight = |name, default| weights.number(name, 0.0..=1.0).unwrap_or(default);
    let chosen = Weights {
        reach: weight("reach", defaults.reach),
        resonance: weight("resonance", defaults.resonance),
        authority: weight("authority", defaults.authority),
        relevance: weight("relevance", defaults.relevance),
        activity: weight("activity", defaults.activity),
    };
    if chosen.reach + chosen.resonance + chosen.authority + chosen.activity <= 0.0 {
        let message = "one of `reach`, `resonance`, `authority` and `activity` has to be above 0";
        table.report_key("weights", message, None);
    }
    weights.finish();
    let half_life = table.duration("half_life").map(|half_life| half_life.as_secs_f64() / DAY);
    if half_life.is_some_and(|days| days < 1.0) {
        table.report_key("half_life", "expected a day or more", None);
    }
    let every = table.duration("every").unwrap_or(Duration::from_secs(5 * 60));
    if every < Duration::from_secs(1) {
        table.report_key("every", "expected a second or more", None);
    }
    let rules = Rules { weights: chosen, half_life_days: half_life.unwrap_or(half_life_days) };
    table.finish();
    Authors { every, rules }
}

fn serve(table: Table<'_>) -> Serve {
    let serve = Serve {
        listen: table.parsed("listen", address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], SERVE_PORT))),
    };
    table.finish();
    serve
}

fn source((name, table): (String, Table<'_>)) -> Option<Source> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
        table.report("a source's name has at most 64 letters, digits, `-` and `_`", None);
    }
    let channel = table.required_text("channel", "what to listen to, for example `channel = \"feed\"`")?;
    let (settings, locations) = table.rest();
    Some(Source { name, channel: channel.value, settings, locations })
}

/// The environment that a configuration is read in; a parameter, so that tests need no process.
///
/// `Debug` shows the names of the variables only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not Unicode are left out.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables that replace settings: `HEARKEN_SECTION__KEY`, and `HEARKEN_DATA_DIR`.
    fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_override =
            |name: &str| name.strip_prefix("HEARKEN_").is_some_and(|path| path == "DATA_DIR" || path.contains("__"));
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(move |(name, _)| is_override(name))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
