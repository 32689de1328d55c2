//! The main job from file to stored, as messages a second: the daemon itself, against the *bare pipe*
//! (the same messages, parsed, logged and inserted, with no matching and no scoring) in the same run.
//!
//! `HEARKEN_TEST_DATA=... cargo bench --bench pipeline -- [MESSAGES]`; 1,000,000 unless said otherwise.
//! The messages are the airlines' tweets, multiplied with distinct ids and authors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesOrdered, StreamExt};
use hearken::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use hearken::eventlog::{Delivered, EventLog, Offsets, Topic};
use hearken::ingest::{self, Source};
use hearken::mention::{Brand, Scored};
use hearken::query::{BrandQuery, Match, Matcher, Scratch};
use hearken::score::{Influence, Label, Score, Scorer, Sentiment};
use hearken::store::child::{ChildOptions, ClickHouseChild};
use hearken::store::{Store, StoreOptions};
use hearken_connectors::registry::{self, Context};
use hearken_connectors::{Connector, Message, http};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

const AIRLINES: [&str; 6] = ["americanair", "jetblue", "southwestair", "usairways", "united", "virginamerica"];
const DEFAULT_MESSAGES: usize = 1_000_000;
/// As in the pipeline itself.
const BATCH: usize = 10_000;
const DEPTH: usize = 3;

#[tokio::main]
async fn main() {
    let Some(data) = std::env::var_os("HEARKEN_TEST_DATA") else {
        println!("not run: set HEARKEN_TEST_DATA to the directory of real data");
        return;
    };
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_MESSAGES);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("messages.jsonl");
    multiply(&Path::new(&data).join("real/airline_tweets.jsonl"), &file, count);
    println!("{count} messages, {:.0} bytes each", std::fs::metadata(&file).unwrap().len() as f64 / count as f64);

    stages(&file, count.min(200_000)).await;
    let bare = bare_pipe(&dir.path().join("bare"), &file, count).await;
    let whole = daemon(&dir.path().join("daemon"), &file, count);
    println!("end to end / bare pipe: {:.2}", whole / bare);
}

/// Writes the tweets as often as it takes, each copy with its own ids and authors.
fn multiply(tweets: &Path, file: &Path, count: usize) {
    let text = std::fs::read_to_string(tweets).unwrap();
    let tweets: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut out = BufWriter::new(std::fs::File::create(file).unwrap());
    for index in 0..count {
        let mut tweet = tweets[index % tweets.len()].clone();
        let copy = index / tweets.len();
        tweet["id"] = format!("{}-{copy}", tweet["id"].as_str().unwrap()).into();
        tweet["author"] = format!("{}{copy}", tweet["author"].as_str().unwrap()).into();
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
    let context = Context { source: "tweets", http: &http, cursor: None };
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
    let options = ChildOptions {
        executable: env!("CARGO_BIN_EXE_hearken").into(),
        data: dir.join("clickhouse"),
        listen: "127.0.0.1:0".parse().unwrap(),
        library: None,
    };
    let child = ClickHouseChild::open(options).await.unwrap();
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
        ingest::listen(&heard, connector, listening, CancellationToken::new()).await.unwrap();
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

async fn insert(store: Store, scorer: Arc<Scorer>, records: Vec<Delivered>) -> (Offsets, usize) {
    let offsets = Offsets::covering(&records);
    let nothing = Score {
        language: "und",
        language_confidence: 0.0,
        sentiment: Sentiment { label: Label::Unsure, score: 0.0, confidence: 0.0 },
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

/// The daemon as a user runs it, from its start until everything is stored.
fn daemon(dir: &Path, file: &Path, count: usize) -> f64 {
    std::fs::create_dir_all(dir).unwrap();
    let config = dir.join("hearken.toml");
    let mut text = format!("data_dir = {:?}\n[serve]\nlisten = \"127.0.0.1:0\"\n", dir.join("data"));
    for airline in AIRLINES {
        text += &format!("[[brand]]\nname = \"{airline}\"\nhandles = [\"{airline}\"]\n");
    }
    text += &format!(
        "[source.tweets]\nchannel = \"file\"\npath = {file:?}\n[source.tweets.set]\nchannel = \"twitter\"\n\
         [source.tweets.fields]\nid = \"id\"\ntext = \"text\"\npublished_at = \"created_at\"\n\
         author.handle = \"author\"\nengagement.reposts = \"retweet_count\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let start = Instant::now();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_hearken"))
        .arg("--config")
        .arg(&config)
        .args(["run", "--until-idle"])
        .env("HEARKEN_LOG", "error")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut resident = 0;
    let status = loop {
        resident = resident.max(peak_memory(&daemon));
        if let Some(status) = daemon.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "the daemon ended with {status}");
    let rate = report("end to end, start included", count, start.elapsed());
    println!("{:<28} {:>12} MiB", "daemon, most resident", resident / 1024);
    rate
}

/// Peak resident memory of a process in KiB (Linux), without its children.
fn peak_memory(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}
