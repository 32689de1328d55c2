//! How fast the event logs are: `cargo bench --bench eventlog [-- KAFKA_BOOTSTRAP]`.
//!
//! Appends JSON records of about 600 bytes, each append durable before the next, by one appender and
//! by four; then reads everything. Prints records per second, bytes on disk per record, and the
//! peak memory of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearken::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use hearken::eventlog::kafka::{KafkaLog, KafkaOptions};
use hearken::eventlog::{EventLog, Record, Topic};

const RECORDS: usize = 1_000_000;

fn records() -> Vec<Record> {
    const WORDS: &str = "flight delayed again thanks for nothing the crew was lovely though and we finally landed \
        in time my luggage is still missing can somebody help please best airline ever never again customer \
        service on hold since an hour seat broken food great wifi slow gate changed twice";
    let words = WORDS.split_whitespace().collect::<Vec<_>>();
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let record = |_| {
        let (id, author, second) = (random() << 31 | random(), random() % 50_000, random() % 86_400);
        let text = (0..25).map(|_| words[random() as usize % words.len()]).collect::<Vec<_>>().join(" ");
        let value = format!(
            r#"{{"id":"{id:016x}","version":1,"channel":"mastodon","source":"public","kind":"post","direction":"inbound","visibility":"public","author":{{"id":"{author}","handle":"user{author}","name":"User {author}","followers":{},"posts":{}}},"text":"{text}","url":"https://social.example/@user{author}/{id}","language":"en","published_at":"2026-01-01T00:00:00Z","observed_at":"{second}","engagement":{{"likes":{},"reposts":{}}}}}"#,
            random() % 9_999,
            random() % 9_999,
            random() % 99,
            random() % 99,
        );
        Record { key: format!("{id:016x}").into_bytes(), value: value.into_bytes() }
    };
    (0..20_000).map(record).collect()
}

async fn measure(name: &str, log: Arc<dyn EventLog>, sample: &Arc<Vec<Record>>, batch: usize, appenders: usize) {
    let started = Instant::now();
    let tasks = (0..appenders).map(|appender| {
        let (log, sample) = (log.clone(), sample.clone());
        tokio::spawn(async move {
            for i in (0..RECORDS / batch).filter(|i| i % appenders == appender) {
                let from = i * batch % sample.len();
                log.append(Topic::Messages, sample[from..from + batch].to_vec()).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let append = started.elapsed();

    let mut member = log.subscribe("bench", &[Topic::Messages]).await.unwrap();
    let (mut read, mut started) = (0, None);
    while read < RECORDS {
        read += member.poll(10_000, Duration::from_secs(10)).await.unwrap().len();
        started.get_or_insert_with(Instant::now);
    }
    let per_second = |elapsed: Duration| RECORDS as f64 / elapsed.as_secs_f64();
    println!(
        "{name}, {appenders} appender(s), {batch} records each: append {:.0} records/s, read {:.0} records/s",
        per_second(append),
        per_second(started.unwrap().elapsed()),
    );
}

fn disk_bytes(dir: &Path) -> u64 {
    let output = std::process::Command::new("du").arg("-sk").arg(dir).output().unwrap().stdout;
    String::from_utf8(output).unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

#[tokio::main]
async fn main() {
    let sample = Arc::new(records());
    println!(
        "{} bytes per record; {}",
        sample.iter().map(|r| r.value.len()).sum::<usize>() / sample.len(),
        peak_memory()
    );
    let settings = [(1_000, 1), (5_000, 1), (1_000, 4), (5_000, 4)];
    for (batch, appenders) in settings {
        let dir = tempfile::tempdir_in(std::env::var_os("CARGO_TARGET_TMPDIR").unwrap_or(".".into())).unwrap();
        let options = EmbeddedOptions { partitions: 4, retention_age: None, retention_bytes: None };
        let log = Arc::new(EmbeddedLog::open(dir.path(), options).unwrap());
        measure("embedded", log, &sample, batch, appenders).await;
        println!("  {} bytes on disk per record; {}", disk_bytes(dir.path()) / RECORDS as u64, peak_memory());
    }
    let Some(brokers) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else { return };
    for (batch, appenders) in settings {
        let options = KafkaOptions {
            brokers: brokers.clone(),
            prefix: format!("bench-{}-{batch}-{appenders}.", std::process::id()),
            partitions: 4,
            replication: 1,
            retention_age: None,
            retention_bytes: None,
            client: BTreeMap::new(),
            password: None,
        };
        let log = Arc::new(KafkaLog::connect(options).await.unwrap());
        measure("kafka", log, &sample, batch, appenders).await;
        println!("  {}", peak_memory());
    }
}
