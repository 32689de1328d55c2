//! Delivery, part by part: ingest with a log that is away, the pipeline with a store that is away or full.
//! `under_fire.rs` shows the same of the whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hearken::eventlog::memory::MemoryLog;
use hearken::eventlog::{EventLog, LogError, Offsets, Reader, Record, Subscription, Topic};
use hearken::ingest::{self, Source};
use hearken::mention::Brand;
use hearken::metrics::Metrics;
use hearken::pipeline::{self, Pipeline, Rules};
use hearken::query::{BrandQuery, Matcher};
use hearken::score::Scorer;
use hearken::store::{Store, StoreOptions};
use hearken_connectors::registry::{Context, channel};
use hearken_connectors::webhook::Hooks;
use hearken_connectors::{Batch, Connector, ConnectorError, Cursor, Message, Poison, http};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

fn message(number: usize, text: &str) -> Message {
    let at = Timestamp::from_second(1_772_323_200 + number as i64).unwrap();
    Message { text: text.to_owned(), ..Message::new("mastodon", "timeline", &number.to_string(), at, at) }
}

fn record(message: &Message) -> Record {
    Record { key: message.id.0.as_bytes().to_vec(), value: serde_json::to_vec(message).unwrap() }
}

/// A log that refuses the first appends, and writes down the topics of those that it took.
struct Flaky {
    log: MemoryLog,
    refusals: AtomicUsize,
    taken: std::sync::Mutex<Vec<Topic>>,
}

#[async_trait]
impl EventLog for Flaky {
    async fn append(&self, topic: Topic, records: Vec<Record>) -> Result<(), LogError> {
        let refuse = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
            return Err(LogError::Unavailable("the broker is away".to_owned()));
        }
        self.taken.lock().unwrap().push(topic);
        self.log.append(topic, records).await
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        self.log.subscribe(group, topics).await
    }

    async fn latest(&self, topic: Topic) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        self.log.latest(topic).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<u64, LogError> {
        self.log.lag(group, topics).await
    }

    async fn rewind(&self, group: &str, topics: &[Topic]) -> Result<(), LogError> {
        self.log.rewind(group, topics).await
    }

    async fn read(&self, topics: &[Topic], after: &Offsets) -> Result<Box<dyn Reader>, LogError> {
        self.log.read(topics, after).await
    }
}

/// A source that says these things, one after another.
struct Script(VecDeque<Result<Batch, ConnectorError>>);

#[async_trait]
impl Connector for Script {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        Ok("a script".to_owned())
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        self.0.pop_front().expect("nobody asks after the end")
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_the_source_waits_and_the_cursor_comes_last() {
    let log = Arc::new(Flaky { log: MemoryLog::new(2), refusals: 5.into(), taken: std::sync::Mutex::default() });
    let poison = Poison { origin: "page 1".into(), reason: "no date".into(), payload: b"{}".to_vec() };
    let first = Batch {
        messages: vec![message(1, "one"), message(2, "two")],
        poison: vec![poison],
        cursor: Some(Cursor(serde_json::json!({"page": 1}))),
        ..Batch::default()
    };
    let outage = ConnectorError::network("cannot reach social.example");
    let last = Batch { messages: vec![message(3, "three")], end: true, ..Batch::default() };
    let script = Script([Ok(first), Err(outage), Ok(last)].into());
    let source = Source::new("timeline", "mastodon");
    ingest::listen(&source, Box::new(script), log.clone(), Metrics::default(), CancellationToken::new()).await.unwrap();

    let taken = log.taken.lock().unwrap().clone();
    let ledger = Topic::Ledger;
    let first = [Topic::Messages, Topic::DeadLetter, ledger, Topic::Cursors];
    assert_eq!(taken, [first.as_slice(), &[ledger], &[Topic::Messages, ledger]].concat());
    let cursor = ingest::stored_cursor(&*log, "timeline").await.unwrap();
    assert_eq!(cursor, Some(Cursor(serde_json::json!({"page": 1}))));
    assert_eq!(log.lag("nobody", &[Topic::Messages]).await.unwrap(), 3);
}

#[tokio::test]
async fn while_the_log_is_away_a_post_is_refused_and_counts_once_when_it_is_sent_again() {
    let log = Arc::new(Flaky { log: MemoryLog::new(2), refusals: usize::MAX.into(), taken: Default::default() });
    let (hooks, http) = (Hooks::default(), http::Client::new(http::Settings::default()).unwrap());
    hooks.configure(["forum"]);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "It's a Secret to Everybody").unwrap();
    let settings = format!("signature = 'github'\nsecret = 'file:{}'\nfields.text = 'text'", secret.path().display());
    let context = Context { source: "forum", http: &http, hooks: &hooks, cursor: None };
    let connector = (channel("webhook").unwrap().build)(settings.parse().unwrap(), context).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/hooks/forum", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let web = tokio::spawn(hearken::web::serve(Arc::new(listener), hearken::web::hooks(hooks), stop.clone()));
    let (to, until) = (log.clone(), stop.clone());
    let listening = tokio::spawn(async move {
        let source = Source::new("forum", "webhook");
        ingest::listen(&source, connector, to, Metrics::default(), until).await
    });

    let client = reqwest::Client::new();
    let post = async || {
        // HMAC-SHA256 of the body with the secret above.
        let signature = "sha256=229a0000efa85bebfa1bdfa8d55b1f0267eeba2ab26ee419a67f623e84f4594b";
        let request = client.post(&url).header("x-hub-signature-256", signature).header("x-github-delivery", "d1");
        request.body(r#"{"id":"1","text":"Acme"}"#).send().await.unwrap()
    };
    let refusal = loop {
        let answer = post().await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        if !problem["detail"].as_str().unwrap().contains("not listening") {
            break problem;
        }
    };
    assert_eq!(refusal["detail"], "the log has not acknowledged the post in time; send the post again");
    log.refusals.store(0, Ordering::SeqCst);
    let taken = async { while post().await.status() != 200 {} };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("it is taken once the log is back");
    stop.cancel();
    web.await.unwrap().unwrap();
    listening.await.unwrap().unwrap();
    assert!(log.lag("nobody", &[Topic::Messages]).await.unwrap() >= 2, "what was refused was kept, and came again");
    assert_eq!(log.latest(Topic::Messages).await.unwrap().len(), 1, "as one message");
}

fn pipeline(log: Arc<dyn EventLog>, store: Store) -> Arc<Pipeline> {
    let query = BrandQuery { brand: "Acme".to_owned(), query: "acme".to_owned() };
    Arc::new(Pipeline {
        log,
        store,
        rules: RwLock::new(Arc::new(Rules {
            brands: vec![Brand { name: "Acme".to_owned(), accounts: Vec::new() }],
            matcher: Matcher::compile(&[query]).unwrap(),
            scorer: Scorer::built_in().unwrap(),
        })),
        publish: true,
        metrics: Metrics::default(),
    })
}

/// Runs the pipeline until it has committed everything.
async fn drain(pipeline: Arc<Pipeline>) {
    let (stop, log) = (CancellationToken::new(), pipeline.log.clone());
    let running = tokio::spawn(pipeline::run(pipeline, stop.clone()));
    let drained = async {
        while log.lag(pipeline::GROUP, &pipeline::TOPICS).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), drained).await.expect("the pipeline commits everything");
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_message_is_kept_apart_and_costs_no_other() {
    let Some(store) = clickhouse::store("poison").await else { return };
    let log = Arc::new(MemoryLog::new(2));
    let mut records: Vec<Record> = (0..5_000).map(|number| record(&message(number, "I like acme"))).collect();
    records.insert(2_500, Record { key: b"x".to_vec(), value: b"{\"id\": 7".to_vec() });
    records.push(record(&message(9_999, "nothing of interest")));
    log.append(Topic::Messages, records).await.unwrap();
    drain(pipeline(log.clone(), store.clone())).await;
    assert_eq!(clickhouse::sql(&store, "SELECT count() FROM mentions").await, "5000");
    assert_eq!(log.lag("nobody", &[Topic::DeadLetter]).await.unwrap(), 1);
    assert_eq!(log.lag("nobody", &[Topic::Mentions]).await.unwrap(), 5_000);
}

#[tokio::test]
async fn a_stop_finishes_what_was_read_and_the_rest_is_read_later() {
    let Some(store) = clickhouse::store("stops").await else { return };
    let log = Arc::new(MemoryLog::new(3));
    let pipeline = pipeline(log.clone(), store.clone());
    for round in 0..20 {
        let records = (0..500).map(|number| record(&message(round * 500 + number, "acme again")));
        log.append(Topic::Messages, records.collect()).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(pipeline::run(pipeline.clone(), stop.clone()));
        tokio::time::sleep(Duration::from_millis(round as u64 * 7)).await;
        stop.cancel();
        running.await.unwrap().unwrap();
    }
    drain(pipeline).await;
    assert_eq!(clickhouse::sql(&store, "SELECT count() FROM mentions").await, "10000");
}

/// ClickHouse behind a proxy that cuts the first two connections and then, twice, says that the disk is full.
async fn troubled(url: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let faults = Arc::new(AtomicUsize::new(0));
    let count = faults.clone();
    tokio::spawn(async move {
        let behind = url.strip_prefix("http://").unwrap().to_owned();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            match count.load(Ordering::SeqCst) {
                0..2 => drop(client),
                2..4 => disk_full(&mut client).await,
                _ => {
                    let mut server = TcpStream::connect(&behind).await.unwrap();
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
                    continue;
                }
            }
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (format!("http://{address}"), faults)
}

/// Reads a request with a chunked body to its end, and answers as ClickHouse does.
async fn disk_full(client: &mut TcpStream) {
    let (mut request, mut chunk) = (Vec::new(), [0; 65536]);
    while !request.ends_with(b"0\r\n\r\n") {
        match client.read(&mut chunk).await {
            Ok(read @ 1..) => request.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
    let error = "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)";
    let head = format!(
        "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: 243\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        error.len()
    );
    let _ = client.write_all((head + error).as_bytes()).await;
}

#[tokio::test]
async fn while_the_store_is_away_or_full_the_pipeline_waits_and_loses_nothing() {
    let Some(store) = clickhouse::store("troubled").await else { return };
    let (url, faults) = troubled(clickhouse::url().unwrap()).await;
    let behind = Store::connect(StoreOptions { url, ..clickhouse::options("troubled").unwrap() });
    let log = Arc::new(MemoryLog::new(2));
    log.append(Topic::Messages, (0..300).map(|number| record(&message(number, "acme"))).collect()).await.unwrap();
    drain(pipeline(log.clone(), behind)).await;
    assert_eq!(faults.load(Ordering::SeqCst), 4, "every fault was met");
    assert_eq!(clickhouse::sql(&store, "SELECT count(), uniqExact(message_id) FROM mentions").await, "300\t300");
}

#[test]
fn a_relative_data_directory_is_below_where_the_daemon_starts() {
    let Some(()) = support::libchdb() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = "data_dir = \"data\"\n[serve]\nlisten = \"127.0.0.1:0\"\n[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n\
                  [source.said]\nchannel = \"file\"\npath = \"said.jsonl\"\n[source.said.set]\nchannel = \"mastodon\"\n\
                  [source.said.fields]\nid = \"id\"\ntext = \"text\"\n";
    std::fs::write(dir.path().join("hearken.toml"), config).unwrap();
    std::fs::write(dir.path().join("said.jsonl"), "{\"id\": \"1\", \"text\": \"Acme works\"}\n").unwrap();
    let hearken = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hearken"));
        let output = command.current_dir(&dir).args(["--config", "hearken.toml"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    hearken(&["run", "--until-idle"]);
    assert_eq!(hearken(&["sql", "SELECT text FROM mentions"]), "Acme works\n");
    assert!(dir.path().join("data/clickhouse").is_dir());
}
