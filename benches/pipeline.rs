//! The main job from file to stored, as messages a second: the daemon itself, against the *bare pipe*
//! (the same messages, parsed, logged and inserted, with no matching and no scoring) and against a stack
//! in Python (`python_stack.py`, on Kafka and the same ClickHouse) in the same run; and how long a message
//! takes from heard to queryable at 1,000 messages a second.
//!
//! `HEARKEN_TEST_DATA=... cargo bench --bench pipeline -- [MESSAGES]`; 1,000,000 unless said otherwise.
//! The messages are the airlines' tweets, multiplied with distinct ids and authors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesOrdered, StreamExt};
use hearken::app::OpenStore;
use hearken::config::{Config, Environment};
use hearken::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use hearken::eventlog::{Delivered, EventLog, Offsets, Topic};
use hearken::ingest::{self, Source};
use hearken::mention::{Brand, Scored};
use hearken::metrics::{Metrics, Process};
use hearken::query::{BrandQuery, Match, Matcher, Scratch};
use hearken::score::{Influence, Label, Score, Scorer, Sentiment};
use hearken::store::child::{ChildOptions, ClickHouseChild};
use hearken::store::{Store, StoreOptions};
use hearken_connectors::registry::{self, Context};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{Connector, Message, http};
use jiff::Timestamp;
use support::airlines;
use tokio_util::sync::CancellationToken;

const AIRLINES: [&str; 6] = ["americanair", "jetblue", "southwestair", "usairways", "united", "virginamerica"];
const DEFAULT_MESSAGES: usize = 1_000_000;
/// Of a bare batch, and how many are in work at once.
const BATCH: usize = 32_000;
const DEPTH: usize = 2;
/// Messages of the Python stack: its rate does not depend on their number, the patience of whoever waits does.
const PYTHON_MESSAGES: usize = 200_000;
/// Messages a second, and seconds, of the measurement of latency.
const PACE: usize = 1_000;
const SECONDS: usize = 30;

#[tokio::main]
async fn main() {
    let Some(data) = std::env::var_os("HEARKEN_TEST_DATA") else {
        println!("not run: set HEARKEN_TEST_DATA to the directory of real data");
        return;
    };
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_MESSAGES);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("messages.jsonl");
    let tweets = Path::new(&data).join("real/airline_tweets.jsonl");
    multiply(&tweets, &file, count);
    println!("{count} messages, {:.0} bytes each", std::fs::metadata(&file).unwrap().len() as f64 / count as f64);

    stages(&file, count.min(200_000)).await;
    let bare = bare_pipe(&dir.path().join("bare"), &file, count).await;
    let whole = daemon(&dir.path().join("daemon"), &file, count);
    println!("end to end / bare pipe: {:.2}", whole / bare);
    if let Some(python) = python_stack(dir.path(), &tweets).await {
        println!("end to end / Python stack: {:.1}", whole / python);
    }
    latency(&dir.path().join("latency"), &tweets).await;
}

/// Writes the tweets as often as it takes, each copy with its own ids and authors.
fn multiply(tweets: &Path, file: &Path, count: usize) {
    let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
    for tweet in airlines::copies(tweets).take(count) {
        writeln!(out, "{tweet}").unwrap();
    }
    out.flush().unwrap();
}

fn report(what: &str, count: usize, took: Duration) -> f64 {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<28} {rate:>12.0} messages/s");
    rate
}

fn connector(file: &Path) -> Box<dyn Connector> {
    let settings = format!(
        "path = {file:?}\nset.channel = \"twitter\"\n[fields]\nid = \"id\"\ntext = \"text\"\n\
         published_at = \"created_at\"\nauthor.handle = \"author\"\nengagement.reposts = \"retweet_count\"\n"
    );
    let http = http::Client::new(http::Settings::default()).unwrap();
    let context = Context { source: "tweets", http: &http, hooks: &Hooks::default(), cursor: None };
    (registry::channel("file").unwrap().build)(settings.parse().unwrap(), context).unwrap()
}

fn brands() -> Vec<Brand> {
    AIRLINES.iter().map(|name| Brand { name: (*name).to_owned(), accounts: Vec::new() }).collect()
}

/// Each stage alone, on one thread.
async fn stages(file: &Path, count: usize) {
    let mut source = connector(file);
    let start = Instant::now();
    let mut messages: Vec<Message> = Vec::new();
    while messages.len() < count {
        messages.extend(source.next_batch().await.unwrap().messages);
    }
    let count = messages.len();
    report("parse the file", count, start.elapsed());

    let start = Instant::now();
    let encoded: Vec<Vec<u8>> = messages.iter().map(|message| serde_json::to_vec(message).unwrap()).collect();
    report("encode", count, start.elapsed());

    let start = Instant::now();
    let decoded: Vec<Message> = encoded.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
    report("decode", count, start.elapsed());

    let query = |name: &&str| BrandQuery { brand: (*name).to_owned(), query: format!("@{name}") };
    let matcher = Matcher::compile(&AIRLINES.iter().map(query).collect::<Vec<_>>()).unwrap();
    let mut scratch = Scratch::default();
    let start = Instant::now();
    let matched: usize = decoded.iter().map(|message| matcher.matches(message, &mut scratch).len()).sum();
    report("match six brands", count, start.elapsed());

    let scorer = Scorer::built_in().unwrap();
    let start = Instant::now();
    let sum: f32 = decoded.iter().map(|message| scorer.score(message).sentiment.score).sum();
    report("score", count, start.elapsed());
    assert!(matched > 0 && sum.is_finite());
}

/// Parse, log, insert: the same parts and the same concurrency, without matching and scoring.
async fn bare_pipe(dir: &Path, file: &Path, count: usize) -> f64 {
    let child = clickhouse(dir).await;
    let store = Store::connect(StoreOptions {
        url: child.url(),
        user: child.user().to_owned(),
        password: Some(child.password().clone()),
        database: "hearken".to_owned(),
        durable: true,
        cluster: None,
    });
    store.migrate().await.unwrap();
    let options = EmbeddedOptions { partitions: 4, retention_age: None, retention_bytes: None };
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(dir.join("log"), options).unwrap());

    let scorer = Arc::new(Scorer::built_in().unwrap());
    let start = Instant::now();
    let (heard, connector, listening) = (Source::new("tweets", "file"), connector(file), log.clone());
    let listener = tokio::spawn(async move {
        ingest::listen(&heard, connector, listening, Metrics::default(), CancellationToken::new()).await.unwrap();
    });
    let mut subscription = log.subscribe("bare", &[Topic::Messages]).await.unwrap();
    let (mut stored, mut in_work) = (0, FuturesOrdered::new());
    while stored < count {
        tokio::select! {
            Some(done) = in_work.next() => {
                let (offsets, rows): (Offsets, usize) = Result::unwrap(done);
                subscription.commit(&offsets).await.unwrap();
                stored += rows;
            }
            records = subscription.poll(BATCH, Duration::from_millis(200)), if in_work.len() < DEPTH => {
                let records = records.unwrap();
                if !records.is_empty() {
                    in_work.push_back(tokio::spawn(insert(store.clone(), scorer.clone(), records)));
                }
            }
        }
    }
    let rate = report("bare pipe", count, start.elapsed());
    listener.await.unwrap();
    child.stop().await;
    rate
}

async fn clickhouse(dir: &Path) -> ClickHouseChild {
    let options = ChildOptions {
        executable: env!("CARGO_BIN_EXE_hearken").into(),
        data: dir.join("clickhouse"),
        listen: "127.0.0.1:0".parse().unwrap(),
        library: None,
    };
    ClickHouseChild::open(options).await.unwrap()
}

async fn insert(store: Store, scorer: Arc<Scorer>, records: Vec<Delivered>) -> (Offsets, usize) {
    let offsets = Offsets::covering(&records);
    let nothing = Score {
        language: "und",
        language_confidence: 0.0,
        sentiment: Sentiment { label: Label::Unsure, score: 0.0, confidence: 0.0 },
        intents: Vec::new(),
        fingerprint: None,
        influence: Influence { score: 0.0, reach: 0.0, resonance: 0.0 },
    };
    let bare = move || -> Vec<Scored> {
        let at = Timestamp::now();
        let scored = |record: &Delivered| Scored {
            message: serde_json::from_slice(&record.value).unwrap(),
            matches: vec![Match { brand: 0, clauses: Vec::new() }],
            score: nothing.clone(),
            at,
        };
        records.iter().map(scored).collect()
    };
    let scored = tokio::task::spawn_blocking(bare).await.unwrap();
    let brands = brands();
    let rows: Vec<_> = scored.iter().flat_map(|one| one.rows(&brands, &scorer)).collect();
    store.insert_mentions(&rows).await.unwrap();
    (offsets, scored.len())
}

/// An installation that follows or reads this file, with the airlines as brands.
fn installation(dir: &Path, file: &Path, settings: &str) -> std::path::PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let mut text = format!("data_dir = {:?}\n[serve]\nlisten = \"127.0.0.1:0\"\n", dir.join("data"));
    for airline in AIRLINES {
        text += &format!("[[brand]]\nname = \"{airline}\"\nhandles = [\"{airline}\"]\n");
    }
    text += &format!(
        "[source.tweets]\nchannel = \"file\"\npath = {file:?}\n{settings}\n[source.tweets.set]\n\
         channel = \"twitter\"\n[source.tweets.fields]\nid = \"id\"\ntext = \"text\"\n\
         published_at = \"created_at\"\nauthor.handle = \"author\"\nengagement.reposts = \"retweet_count\"\n"
    );
    let config = dir.join("hearken.toml");
    std::fs::write(&config, text).unwrap();
    config
}

fn hearken(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearken"));
    command.arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The daemon as a user runs it, from when it listens until everything is stored.
fn daemon(dir: &Path, file: &Path, count: usize) -> f64 {
    let config = installation(dir, file, "");
    let mut daemon = hearken(&config).args(["run", "--until-idle"]).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(daemon.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let (mut listening, mut stored) = (None, None);
        for line in log.lines().map_while(Result::ok) {
            if line.contains("\"listening;") {
                listening = Some(Instant::now());
            } else if line.contains("\"stopping:") {
                stored = Some(Instant::now());
            }
        }
        stored.unwrap() - listening.unwrap()
    });
    let (mut resident, mut seconds, mut store_seconds) = (0, 0.0_f64, 0.0_f64);
    let status = loop {
        let process = Process::of(&daemon.id().to_string());
        (resident, seconds) = (resident.max(process.resident_bytes), seconds.max(process.seconds));
        let children = support::site::children(daemon.id());
        store_seconds = store_seconds.max(children.iter().map(|child| Process::of(child).seconds).sum());
        if let Some(status) = daemon.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "the daemon ended with {status}");
    let rate = report("end to end", count, reader.join().unwrap());
    println!("{:<28} {:>12} MiB", "daemon, most resident", resident >> 20);
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    println!("{:<28} {:>12.1} us of processor a message", "daemon", each(seconds));
    println!("{:<28} {:>12.1} us of processor a message", "ClickHouse", each(store_seconds));
    rate
}

/// What a user would write instead, on a broker of its own.
async fn python_stack(dir: &Path, tweets: &Path) -> Option<f64> {
    let python = support::hearken_home().join("python/bin/python");
    let mut probe = Command::new(&python);
    probe.args(["-c", "import confluent_kafka, vaderSentiment, clickhouse_connect"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("Python stack: not run: script/bootstrap --bench installs it");
        return None;
    }
    let broker = support::kafka::Broker::start().await?;
    let child = clickhouse(&dir.join("python")).await;
    let file = dir.join("python.jsonl");
    multiply(tweets, &file, PYTHON_MESSAGES);
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python_stack.py");
    let output = Command::new(python)
        .arg(stack)
        .arg(file)
        .args([&PYTHON_MESSAGES.to_string(), &broker.bootstrap, &child.url()])
        .env("CLICKHOUSE_USER", child.user())
        .env("CLICKHOUSE_PASSWORD", child.password().expose())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the Python stack ended with {}", output.status);
    child.stop().await;
    let rate: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    println!("{:<28} {rate:>12.0} messages/s", "Python stack");
    Some(rate)
}

/// From heard (`observed_at`) until a query on `mentions` finds it, at a steady pace, seen by asking all the time.
async fn latency(dir: &Path, tweets: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let file = dir.join("followed.jsonl");
    let mut followed = std::fs::File::create(&file).unwrap();
    let config = installation(dir, &file, "follow = true");
    let child = hearken(&config).arg("run").env("HEARKEN_LOG", "error").spawn().unwrap();
    let mut daemon = support::site::Daemon { child };
    std::thread::sleep(Duration::from_secs(5));
    let store = OpenStore::open(&Config::load(&config, &Environment::of_process()).unwrap()).await.unwrap();
    let total = PACE * SECONDS;
    let lines: Vec<String> = airlines::copies(tweets).take(total).map(|tweet| format!("{tweet}\n")).collect();
    let writer = std::thread::spawn(move || {
        let start = Instant::now();
        for (index, lines) in lines.chunks(PACE / 20).enumerate() {
            let due = Duration::from_millis(50 * index as u64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            followed.write_all(lines.concat().as_bytes()).unwrap();
        }
    });
    // Messages by the time at which they were heard.
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let mut waits: Vec<i64> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(2 * SECONDS as u64);
    // A few tweets do not name their airline as a handle, and so are no mentions.
    while waits.len() < total * 999 / 1000 && Instant::now() < deadline {
        let from = seen.keys().max().map_or(0, |last| last - 5_000);
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(observed_at) AS heard, uniqExact(message_id) FROM mentions
             WHERE observed_at >= fromUnixTimestamp64Milli({from}) GROUP BY heard"
        );
        let answer = store.store.sql(&sql, "TabSeparated").unwrap();
        let answer: Vec<u8> = answer.map(|chunk| chunk.unwrap()).collect::<Vec<_>>().await.concat();
        let now = Timestamp::now().as_millisecond();
        for line in String::from_utf8(answer).unwrap().lines() {
            let (heard, count) = line.split_once('\t').unwrap();
            let (heard, count): (i64, usize) = (heard.parse().unwrap(), count.parse().unwrap());
            let known = seen.entry(heard).or_default();
            waits.extend(std::iter::repeat_n(now - heard, count - *known));
            *known = count;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writer.join().unwrap();
    assert!(waits.len() >= total * 999 / 1000, "only {} of {total} messages are stored", waits.len());
    waits.sort_unstable();
    let quantile = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!("heard to queryable at {PACE} messages/s: median {} ms, p99 {} ms", quantile(0.5), quantile(0.99));
    let _ = Command::new("kill").arg(daemon.child.id().to_string()).status();
    daemon.child.wait().unwrap();
}
