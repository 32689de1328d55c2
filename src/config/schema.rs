//! The configuration file as it is written, as types: what the JSON Schema and the reference page are made of.
//!
//! Nothing is read into these types. [`Config::parse`](super::Config::parse) reads by itself, for the sake of its
//! complaints; `tests/schema.rs` holds both against each other, key by key and default by default.
#![expect(dead_code, reason = "these types are described, never read")]

use std::collections::BTreeMap;

use hearken_connectors::registry::{CHANNELS, Channel};
use hearken_connectors::secret::Secret;
use hearken_connectors::settings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::{CLICKHOUSE_ONLY, EMBEDDED_STORE_ONLY, KAFKA_ONLY};
use crate::score::author;

/// The JSON Schema (draft 7) of a configuration file.
pub fn schema() -> Value {
    let mut schema = settings::schema::<File>();
    schema.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".to_owned(), "Hearken's configuration".into());
    schema.to_value()
}

#[derive(Default, JsonSchema)]
#[schemars(default, deny_unknown_fields)]
struct File {
    /// Where everything is kept that this machine keeps; by default `$STATE_DIRECTORY` (systemd), else
    /// `$XDG_DATA_HOME/hearken`, else `~/.local/share/hearken`.
    #[schemars(length(min = 1))]
    data_dir: Option<String>,
    /// The event log.
    log: Log,
    /// The store.
    store: Store,
    /// Scoring.
    score: Score,
    /// Scores of authors.
    authors: Authors,
    /// The API and the web pages.
    serve: Serve,
    /// A brand, as often as needed.
    brand: Vec<Brand>,
    /// A source, as often as needed. The name has at most 64 letters, digits, `-` and `_`, and stays: it is what the
    /// position in the source is remembered by.
    #[schemars(schema_with = "sources")]
    source: BTreeMap<String, Value>,
}

#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = only_with("kafka", KAFKA_ONLY, &["brokers"]))]
#[schemars(extend("dependencies" = { "username": ["password"], "password": ["username"], "ca_file": ["tls"] }))]
struct Log {
    /// Which event log.
    kind: LogKind,
    /// Partitions of each topic; counts when the topic is made.
    #[schemars(range(min = 1, max = 1024))]
    partitions: u32,
    /// How long records are kept: a duration.
    retention: String,
    /// How much of each partition is kept: a size, `"20GiB"`; by default no limit.
    retention_bytes: Option<String>,
    /// Addresses of the cluster: `"host:port"`, several separated by commas.
    brokers: Option<String>,
    /// Replicas of each topic; counts when the topic is made.
    #[schemars(range(min = 1, max = 32))]
    replication: u32,
    /// Encrypt the connection; the brokers' certificates are checked.
    tls: bool,
    /// PEM file of the authorities that may have signed the brokers' certificates, with `tls = true`; by default those
    /// that the system trusts.
    ca_file: Option<String>,
    /// SASL mechanism of the credentials.
    mechanism: Mechanism,
    /// SASL user, with `password`.
    username: Option<String>,
    /// SASL password, with `username`.
    password: Option<Secret>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            kind: LogKind::Embedded,
            partitions: 4,
            retention: "30d".to_owned(),
            retention_bytes: None,
            brokers: None,
            replication: 1,
            tls: false,
            ca_file: None,
            mechanism: Mechanism::Plain,
            username: None,
            password: None,
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum LogKind {
    /// In the data directory.
    Embedded,
    /// On Apache Kafka, or anything that speaks its protocol.
    Kafka,
}

#[derive(JsonSchema, Serialize)]
enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields)]
#[schemars(transform = only_with("embedded", EMBEDDED_STORE_ONLY, &[]))]
#[schemars(transform = only_with("clickhouse", CLICKHOUSE_ONLY, &["url"]))]
struct Store {
    /// Which store.
    kind: StoreKind,
    /// Database; made when it is missing.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    database: String,
    /// Loopback address of the HTTP interface; port 0 takes a free one.
    listen: String,
    /// Path of libchdb; by default it is looked for in the usual places.
    #[schemars(length(min = 1))]
    library: Option<String>,
    /// The server's HTTP interface, `"http://clickhouse:8123"`.
    url: Option<String>,
    /// User of the server.
    user: String,
    /// Password of the user; by default none.
    password: Option<Secret>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
            database: "hearken".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            library: None,
            url: None,
            user: "default".to_owned(),
            password: None,
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
enum StoreKind {
    /// The ClickHouse engine in a child process.
    Embedded,
    /// A ClickHouse server.
    ClickHouse,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Score {
    /// Path of a linear model from `hearken train`; by default the one that comes with Hearken.
    #[schemars(length(min = 1))]
    model: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields)]
struct Authors {
    /// How often scores are computed at most, where something new was stored: a duration.
    every: String,
    /// Age at which a mention says half as much for advocacy: a duration of a day or more.
    half_life: String,
    /// How much the terms of influence weigh.
    weights: Weights,
}

impl Default for Authors {
    fn default() -> Self {
        Self { every: "5m".to_owned(), half_life: "180d".to_owned(), weights: Weights::default() }
    }
}

#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields)]
struct Weights {
    /// Weight of followers.
    #[schemars(range(min = 0, max = 1))]
    reach: f64,
    /// Weight of reactions.
    #[schemars(range(min = 0, max = 1))]
    resonance: f64,
    /// Weight of who speaks to the author.
    #[schemars(range(min = 0, max = 1))]
    authority: f64,
    /// Weight of the share of the author's messages that speak of the brand; in the influence on a brand only.
    #[schemars(range(min = 0, max = 1))]
    relevance: f64,
    /// Weight of how regularly they speak.
    #[schemars(range(min = 0, max = 1))]
    activity: f64,
}

impl Default for Weights {
    fn default() -> Self {
        let author::Weights { reach, resonance, authority, relevance, activity } = author::Weights::default();
        Self { reach, resonance, authority, relevance, activity }
    }
}

#[derive(JsonSchema)]
#[schemars(default, deny_unknown_fields)]
struct Serve {
    /// Address of the HTTP API, of the pages and of `hearken status`; port 0 takes a free one.
    listen: String,
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: "127.0.0.1:7700".to_owned() }
    }
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["query"] },
    { "required": ["names"] },
    { "required": ["handles"] },
    { "required": ["hashtags"] },
]))]
struct Brand {
    /// How the brand is called; unique, also without regard to case.
    name: String,
    /// What speaks of the brand, in the query language. One of `query`, `names`, `handles` and `hashtags` is needed;
    /// each of them is enough.
    query: Option<String>,
    /// Phrases that speak of the brand.
    names: Option<Vec<String>>,
    /// Handles that speak of the brand.
    handles: Option<Vec<String>>,
    /// Hashtags that speak of the brand.
    hashtags: Option<Vec<String>>,
    /// Phrases that take a message away from the brand.
    exclude: Option<Vec<String>>,
    /// Names of brands in this file that it is compared with.
    competitors: Option<Vec<String>>,
    /// The brand's own accounts, `"mastodon:@acme@example.social"`: what they say is outbound.
    accounts: Option<Vec<String>>,
    /// Texts that `hearken check` finds the query to match.
    must_match: Option<Vec<String>>,
    /// Texts that `hearken check` finds the query not to match.
    must_not_match: Option<Vec<String>>,
}

/// `[source.NAME]`: what is valid beside `channel` depends on it.
fn sources(_: &mut SchemaGenerator) -> Schema {
    let settings: Vec<Value> = CHANNELS.iter().map(source).collect();
    let source = json!({ "type": "object", "required": ["channel"], "oneOf": settings });
    json_schema!({
        "type": "object",
        "patternProperties": { "^[A-Za-z0-9_-]{1,64}$": source },
        "additionalProperties": false,
    })
}

/// The settings of a channel, and the channel itself.
fn source(channel: &Channel) -> Value {
    let mut schema = (channel.settings)();
    schema.insert("title".to_owned(), channel.name.into());
    schema.insert("description".to_owned(), channel.summary.into());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("channel".to_owned(), json!({ "const": channel.name, "description": "How to listen." }));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, "channel".into());
    }
    schema.to_value()
}

/// Settings that have a meaning only with this `kind`, and those of them that it needs.
fn only_with(kind: &'static str, names: &'static [&str], needed: &'static [&str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let is_default = schema.pointer("/properties/kind/default").is_some_and(|default| default == kind);
        let told: &[&str] = if is_default { &[] } else { &["kind"] };
        let none: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), false.into())).collect();
        let rule = json!({
            "if": { "properties": { "kind": { "const": kind } }, "required": told },
            "then": { "required": needed },
            "else": { "properties": none },
        });
        if let Value::Array(rules) = schema.ensure_object().entry("allOf").or_insert_with(|| json!([])) {
            rules.push(rule);
        }
    }
}
