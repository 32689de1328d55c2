//! The embedded ClickHouse, one for all tests of a test program, and rows to put into it.
#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use futures::StreamExt;
use hearken::store::gateway::{self, Access};
use hearken::store::rows::{MentionRow, revision};
use hearken::store::{Store, StoreOptions};
use uuid::Uuid;

use crate::support::require;

/// A running ClickHouse. It stops when its standard input closes, and so with the test program.
struct Server {
    address: SocketAddr,
    access: Access,
    _child: Child,
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let library = gateway::find_library(None, |name| std::env::var_os(name)).ok();
    let library = require("ClickHouse (libchdb)", library, "run script/bootstrap, or set HEARKEN_LIBCHDB to its path")?;
    SERVER.get_or_init(|| Some(start(library))).as_ref()
}

fn start(library: PathBuf) -> Server {
    let program = std::env::current_exe().expect("the path of this program");
    let name = program.file_name().expect("the name of this program");
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("clickhouse").join(name);
    let _ = std::fs::remove_dir_all(&data);
    let access = Access::open(&data).expect("make users");
    let mut child = Command::new(env!("CARGO_BIN_EXE_hearken"))
        .args(["clickhouse", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .arg("--library")
        .arg(library)
        .env("HEARKEN_CLICKHOUSE_PARENT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start hearken clickhouse");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("its standard output");
    BufReader::new(stdout).read_line(&mut line).expect("its address");
    let address = line.trim().strip_prefix("http://").and_then(|address| address.parse().ok());
    Server { address: address.expect("an address"), access, _child: child }
}

/// The address of its HTTP interface.
pub fn url() -> Option<String> {
    Some(format!("http://{}", server()?.address))
}

/// How to reach a database of its own; `None` where there is no ClickHouse.
pub fn options(database: &str) -> Option<StoreOptions> {
    let server = server()?;
    Some(StoreOptions {
        url: format!("http://{}", server.address),
        user: server.access.owner.user.clone(),
        password: Some(server.access.owner.password.clone()),
        database: database.to_owned(),
        durable: true,
        cluster: None,
    })
}

/// A store in a database of its own, with no schema yet; `None` where there is no ClickHouse.
pub fn bare_store(database: &str) -> Option<Store> {
    Some(Store::connect(options(database)?))
}

/// A store in a database of its own, ready for rows.
pub async fn store(database: &str) -> Option<Store> {
    let store = bare_store(database)?;
    store.migrate().await.expect("the schema is brought up to date");
    Some(store)
}

/// What a statement answers, as text.
pub async fn sql(store: &Store, statement: &str) -> String {
    try_sql(store, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

/// What a statement answers, as text, or why it does not.
pub async fn try_sql(store: &Store, statement: &str) -> Result<String, hearken::store::StoreError> {
    let mut answer = std::pin::pin!(store.sql(statement, "TabSeparated")?);
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// 2026-03-01T00:00:00Z in Unix milliseconds.
pub const MARCH: i64 = 1_772_323_200_000;
/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// The id of test message `number`.
pub fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x5000_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

/// A mention with nothing special about it; tests change what they are about.
pub fn mention<'a>(brand: &'a str, number: u64, text: &'a str) -> MentionRow<'a> {
    MentionRow {
        brand,
        message_id: id(number),
        revision: revision(0, MARCH, 0),
        deleted: false,
        channel: "mastodon",
        source: "timeline",
        native_id: "1",
        kind: "post",
        direction: "inbound",
        visibility: "public",
        noise: "none",
        author_id: "a1",
        author_handle: "ada",
        author_name: "Ada",
        author_url: "",
        author_followers: Some(100),
        author_verified: false,
        author_bot: false,
        title: "",
        text,
        url: "",
        links: &[],
        hashtags: &[],
        mentioned: &[],
        attachments: &[],
        has_media: false,
        in_reply_to: Uuid::nil(),
        repost_of: Uuid::nil(),
        conversation: "",
        likes: 0,
        reposts: 0,
        replies: 0,
        quotes: 0,
        views: None,
        rating: None,
        matched: &[],
        country: "",
        language: "en",
        language_confidence: 0.9,
        sentiment: "neutral",
        sentiment_score: 0.0,
        sentiment_confidence: 0.8,
        sentiment_model: "linear-1",
        first: None,
        intents: Vec::new(),
        intent_version: "1",
        fingerprint: &[],
        influence: 10.0,
        influence_reach: 8.0,
        influence_resonance: 2.0,
        influence_version: "1",
        published_at: MARCH,
        observed_at: MARCH + 60_000,
        scored_at: MARCH + 61_000,
    }
}
