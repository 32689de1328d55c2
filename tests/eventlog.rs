//! What every event log does, run against each of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hearken::app::{self, AppError};
use hearken::config::Config;
use hearken::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use hearken::eventlog::kafka::{KafkaLog, KafkaOptions};
use hearken::eventlog::memory::MemoryLog;
use hearken::eventlog::{
    Delivered, EventLog, LogError, MAX_KEY_BYTES, MAX_RECORD_BYTES, Offsets, Reader, Record, Subscription, Topic,
};
use tempfile::TempDir;

use support::kafka::{Broker, USER};

const PARTITIONS: u32 = 4;
/// Longer than any log takes to deliver; a test that waits longer fails.
const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGES: &[Topic] = &[Topic::Messages];

/// A log of one kind, empty at first, that can be opened again.
enum Place {
    Memory(Arc<MemoryLog>),
    Embedded(TempDir),
    Kafka(KafkaOptions),
}

impl Place {
    async fn open(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Memory(log) => log.clone(),
            Self::Embedded(dir) => Arc::new(EmbeddedLog::open(dir.path(), embedded_options()).unwrap()),
            Self::Kafka(options) => Arc::new(KafkaLog::connect(options.clone()).await.unwrap()),
        }
    }
}

fn embedded_options() -> EmbeddedOptions {
    EmbeddedOptions { partitions: PARTITIONS, retention_age: None, retention_bytes: None }
}

/// Runs a test against each log.
async fn for_each_log(test: impl AsyncFn(Place)) {
    for_local_logs(&test).await;
    if let Some(broker) = Broker::shared().await {
        println!("Kafka log");
        test(Place::Kafka(kafka_options(&broker.bootstrap))).await;
    }
}

/// Runs a test that needs to know how many records there are against each log.
async fn for_each_log_that_counts(test: impl AsyncFn(Place)) {
    for_local_logs(&test).await;
    if let Some(broker) = Broker::shared().await.and_then(Broker::apache) {
        println!("Kafka log");
        test(Place::Kafka(kafka_options(&broker.bootstrap))).await;
    }
}

async fn for_local_logs(test: impl AsyncFn(Place)) {
    println!("memory log");
    test(Place::Memory(Arc::new(MemoryLog::new(PARTITIONS)))).await;
    println!("embedded log");
    test(Place::Embedded(TempDir::new().unwrap())).await;
}

/// A corner of the broker that no other test uses.
fn kafka_options(bootstrap: &str) -> KafkaOptions {
    static CORNERS: AtomicU32 = AtomicU32::new(0);
    KafkaOptions {
        brokers: bootstrap.to_owned(),
        prefix: format!("test-{}.", CORNERS.fetch_add(1, Ordering::Relaxed)),
        partitions: PARTITIONS,
        replication: 1,
        retention_age: None,
        retention_bytes: None,
        client: BTreeMap::new(),
        password: None,
    }
}

fn record(key: &str, value: impl Into<Vec<u8>>) -> Record {
    Record { key: key.into(), value: value.into() }
}

/// Records with 10 keys; the value is the number.
fn numbered(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(|i| record(&format!("key-{}", i % 10), i.to_string())).collect()
}

fn number(delivered: &Delivered) -> u64 {
    std::str::from_utf8(&delivered.value).unwrap().parse().unwrap()
}

fn numbers(delivered: &[Delivered]) -> BTreeSet<u64> {
    delivered.iter().map(number).collect()
}

fn up_to(n: u64) -> BTreeSet<u64> {
    (0..n).collect()
}

/// Polls until there are `n` records.
async fn take(subscription: &mut dyn Subscription, n: usize) -> Vec<Delivered> {
    let started = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < n {
        assert!(started.elapsed() < PATIENCE, "{} of {n} records after {PATIENCE:?}", taken.len());
        let polled = subscription.poll(n - taken.len(), Duration::from_millis(200)).await.unwrap();
        assert!(polled.len() <= n - taken.len(), "a poll returns no more than asked for");
        taken.extend(polled);
    }
    taken
}

#[tokio::test]
async fn delivers_what_was_appended() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, Vec::new()).await.unwrap();
        log.append(Topic::Messages, numbered(0..1_000)).await.unwrap();
        log.append(Topic::Backfill, vec![record("other", "topic")]).await.unwrap();

        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let delivered = take(&mut *member, 1_000).await;
        assert_eq!(numbers(&delivered), up_to(1_000));
        let mut last = BTreeMap::new();
        let mut partition_of = BTreeMap::new();
        for record in &delivered {
            assert_eq!(record.topic, Topic::Messages);
            assert!(record.partition < PARTITIONS);
            assert_eq!(record.key, format!("key-{}", number(record) % 10).into_bytes());
            let before = last.insert(record.key.clone(), (record.offset, number(record)));
            assert!(before.is_none_or(|before| before < (record.offset, number(record))), "order per key");
            assert_eq!(*partition_of.entry(record.key.clone()).or_insert(record.partition), record.partition);
        }
        assert!(partition_of.values().collect::<BTreeSet<_>>().len() > 1, "keys spread over partitions");
    })
    .await;
}

/// Everything that a reader has still to read.
async fn read_all(reader: &mut dyn Reader) -> Vec<Delivered> {
    let mut read = Vec::new();
    loop {
        let records = reader.next(64).await.unwrap();
        assert!(records.len() <= 64);
        if records.is_empty() {
            return read;
        }
        read.extend(records);
    }
}

#[tokio::test]
async fn a_reader_reads_what_is_there_and_moves_nobody() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..500)).await.unwrap();
        log.append(Topic::Backfill, numbered(500..700)).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let first = take(&mut *member, 100).await;
        member.commit(&Offsets::covering(&first)).await.unwrap();

        let topics = [Topic::Messages, Topic::Backfill];
        let mut reader = log.read(&topics, &Offsets::default()).await.unwrap();
        assert_eq!(reader.left(), 700);
        log.append(Topic::Messages, numbered(700..800)).await.unwrap();
        let read = read_all(&mut *reader).await;
        assert_eq!((read.len(), numbers(&read), reader.left()), (700, up_to(700), 0));
        assert!(read.windows(2).all(|pair| pair[0].topic <= pair[1].topic), "topic by topic");
        let mut last = BTreeMap::new();
        for record in &read {
            let before = last.insert((record.topic, record.key.clone()), number(record));
            assert!(before.is_none_or(|before| before < number(record)), "order per key");
        }
        assert_eq!(reader.end(), Offsets::covering(&read));

        // What comes later is read from there, and the group is where it was.
        let mut later = log.read(&topics, &reader.end()).await.unwrap();
        assert_eq!(numbers(&read_all(&mut *later).await), &up_to(800) - &up_to(700));
        assert_eq!(log.lag("readers", MESSAGES).await.unwrap(), 500);
        assert_eq!(reader.lag("readers").await.unwrap(), 600);
        let rest = take(&mut *member, 500).await;
        member.commit(&Offsets::covering(&rest)).await.unwrap();
        assert_eq!(reader.lag("readers").await.unwrap(), 200);
        assert_eq!(later.lag("readers").await.unwrap(), 200);

        let mut nothing = log.read(&[Topic::Ledger], &Offsets::default()).await.unwrap();
        assert_eq!((nothing.next(10).await.unwrap(), nothing.end()), (Vec::new(), Offsets::default()));
    })
    .await;
}

#[tokio::test]
async fn order_per_key_holds_across_appends() {
    for_each_log(async |place| {
        let log = place.open().await;
        for i in 0..50 {
            log.append(Topic::Messages, numbered(i * 10..i * 10 + 10)).await.unwrap();
        }
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let mut last = BTreeMap::new();
        for record in take(&mut *member, 500).await {
            assert!(last.insert(record.key.clone(), number(&record)).is_none_or(|before| before < number(&record)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_goes_on_after_its_last_commit() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..100)).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let first = take(&mut *member, 37).await;
        member.commit(&Offsets::covering(&first)).await.unwrap();
        take(&mut *member, 20).await;
        drop(member);

        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let rest = take(&mut *member, 63).await;
        assert_eq!(numbers(&rest), &up_to(100) - &numbers(&first), "not committed means delivered again");
        member.commit(&Offsets::covering(&rest)).await.unwrap();
        assert_eq!(member.poll(10, Duration::from_millis(50)).await.unwrap(), []);

        log.append(Topic::Messages, numbered(100..101)).await.unwrap();
        assert_eq!(numbers(&take(&mut *member, 1).await), [100].into());
    })
    .await;
}

#[tokio::test]
async fn groups_do_not_disturb_each_other() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..10)).await.unwrap();
        let mut one = log.subscribe("one", MESSAGES).await.unwrap();
        let delivered = take(&mut *one, 10).await;
        one.commit(&Offsets::covering(&delivered)).await.unwrap();
        let mut two = log.subscribe("two", MESSAGES).await.unwrap();
        assert_eq!(take(&mut *two, 10).await.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn everything_survives_opening_again() {
    for_each_log_that_counts(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..100)).await.unwrap();
        log.append(Topic::Cursors, vec![record("feed", "1"), record("feed", "2")]).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let first = take(&mut *member, 40).await;
        member.commit(&Offsets::covering(&first)).await.unwrap();
        drop((member, log));

        let log = place.open().await;
        log.append(Topic::Messages, numbered(100..120)).await.unwrap();
        assert_eq!(log.lag("readers", MESSAGES).await.unwrap(), 80);
        assert_eq!(log.latest(Topic::Cursors).await.unwrap(), [(b"feed".to_vec(), b"2".to_vec())].into());
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        assert_eq!(numbers(&take(&mut *member, 80).await), &up_to(120) - &numbers(&first));
    })
    .await;
}

#[tokio::test]
async fn members_share_the_partitions_and_take_over() {
    for_each_log_that_counts(async |place| {
        let log = place.open().await;
        let mut one = log.subscribe("readers", MESSAGES).await.unwrap();
        let mut two = log.subscribe("readers", MESSAGES).await.unwrap();
        // Both poll until each has its share and everything has been delivered.
        let mut shares = [BTreeSet::new(), BTreeSet::new()];
        let mut appended = 0;
        let started = Instant::now();
        while shares.iter().any(BTreeSet::is_empty) {
            assert!(started.elapsed() < PATIENCE, "a member got nothing: {shares:?}");
            log.append(Topic::Messages, numbered(appended..appended + 50)).await.unwrap();
            appended += 50;
            for (member, share) in [&mut one, &mut two].into_iter().zip(&mut shares) {
                let delivered = member.poll(1_000, Duration::from_millis(100)).await.unwrap();
                member.commit(&Offsets::covering(&delivered)).await.unwrap();
                share.extend(numbers(&delivered));
            }
        }
        drop(one);

        log.append(Topic::Messages, numbered(appended..appended + 50)).await.unwrap();
        appended += 50;
        let [mut seen, more] = shares;
        seen.extend(more);
        let started = Instant::now();
        while seen.len() < usize::try_from(appended).unwrap() {
            assert!(started.elapsed() < PATIENCE, "{} of {appended} after one left", seen.len());
            let delivered = two.poll(1_000, Duration::from_millis(100)).await.unwrap();
            two.commit(&Offsets::covering(&delivered)).await.unwrap();
            seen.extend(numbers(&delivered));
        }
        assert_eq!(log.lag("readers", MESSAGES).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn more_members_than_partitions_do_no_harm() {
    for_each_log(async |place| {
        let log = place.open().await;
        let mut members = Vec::new();
        for _ in 0..=PARTITIONS {
            members.push(log.subscribe("readers", MESSAGES).await.unwrap());
        }
        log.append(Topic::Messages, numbered(0..100)).await.unwrap();
        let mut seen = BTreeSet::new();
        let started = Instant::now();
        while seen.len() < 100 {
            assert!(started.elapsed() < PATIENCE, "{} of 100", seen.len());
            for member in &mut members {
                seen.extend(numbers(&member.poll(100, Duration::from_millis(50)).await.unwrap()));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_paused_member_gets_nothing_and_stays() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..100)).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let first = take(&mut *member, 10).await;
        member.pause().unwrap();
        for _ in 0..5 {
            assert_eq!(member.poll(100, Duration::from_millis(50)).await.unwrap(), []);
        }
        log.append(Topic::Messages, numbered(100..110)).await.unwrap();
        assert_eq!(member.poll(100, Duration::from_millis(50)).await.unwrap(), []);
        member.commit(&Offsets::covering(&first)).await.unwrap();
        member.resume().unwrap();
        let rest = take(&mut *member, 100).await;
        assert_eq!(numbers(&rest), &up_to(110) - &numbers(&first), "nothing lost or repeated by the pause");
    })
    .await;
}

#[tokio::test]
async fn commits_of_partitions_of_others_are_ignored() {
    for_each_log_that_counts(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..100)).await.unwrap();
        let mut one = log.subscribe("readers", MESSAGES).await.unwrap();
        let all = take(&mut *one, 100).await;
        let mut two = log.subscribe("readers", MESSAGES).await.unwrap();
        let started = Instant::now();
        let mut moved = Vec::new();
        while moved.is_empty() {
            assert!(started.elapsed() < PATIENCE, "no partition moved to the second member");
            one.poll(10, Duration::from_millis(50)).await.unwrap();
            moved = two.poll(100, Duration::from_millis(50)).await.unwrap();
        }
        one.commit(&Offsets::covering(&all)).await.unwrap();
        assert!(log.lag("readers", MESSAGES).await.unwrap() >= moved.len() as u64);
    })
    .await;
}

#[tokio::test]
async fn a_compacted_topic_has_the_latest_of_every_key() {
    for_each_log(async |place| {
        let log = place.open().await;
        assert_eq!(log.latest(Topic::Cursors).await.unwrap(), BTreeMap::new());
        for i in 0..20 {
            let cursor = |source: &str| record(source, format!("{source} {i}"));
            log.append(Topic::Cursors, vec![cursor("a"), cursor("b"), cursor("c")]).await.unwrap();
        }
        log.append(Topic::Cursors, vec![record("a", "done")]).await.unwrap();
        let expected = [("a", "done"), ("b", "b 19"), ("c", "c 19")];
        let latest = log.latest(Topic::Cursors).await.unwrap();
        assert_eq!(latest, expected.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
    })
    .await;
}

#[tokio::test]
async fn lag_counts_what_is_not_committed() {
    for_each_log_that_counts(async |place| {
        let log = place.open().await;
        let topics = &[Topic::Messages, Topic::Backfill];
        assert_eq!(log.lag("readers", topics).await.unwrap(), 0);
        log.append(Topic::Messages, numbered(0..30)).await.unwrap();
        log.append(Topic::Backfill, numbered(0..12)).await.unwrap();
        assert_eq!(log.lag("readers", topics).await.unwrap(), 42);
        assert_eq!(log.lag("readers", MESSAGES).await.unwrap(), 30);
        let mut member = log.subscribe("readers", topics).await.unwrap();
        let delivered = take(&mut *member, 42).await;
        assert_eq!(log.lag("readers", topics).await.unwrap(), 42, "delivered is not committed");
        let messages = delivered.iter().filter(|record| record.topic == Topic::Messages);
        member.commit(&Offsets::covering(messages)).await.unwrap();
        assert_eq!(log.lag("readers", topics).await.unwrap(), 12);
    })
    .await;
}

#[tokio::test]
async fn rewind_starts_from_the_beginning() {
    for_each_log_that_counts(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..50)).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let delivered = take(&mut *member, 50).await;
        member.commit(&Offsets::covering(&delivered)).await.unwrap();
        let refused = log.rewind("readers", MESSAGES).await;
        assert!(matches!(refused, Err(LogError::Unusable(_))), "it has a member: {refused:?}");
        drop(member);

        log.rewind("readers", MESSAGES).await.unwrap();
        assert_eq!(log.lag("readers", MESSAGES).await.unwrap(), 50);
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        assert_eq!(take(&mut *member, 50).await.len(), 50);
    })
    .await;
}

#[tokio::test]
async fn large_records_pass_and_too_large_ones_are_refused() {
    for_each_log(async |place| {
        let log = place.open().await;
        let noise = |n: usize| (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>();
        let large = vec![record("a", noise(1 << 20)), record("b", "small"), record("a", noise(MAX_RECORD_BYTES - 1))];
        log.append(Topic::Messages, large.clone()).await.unwrap();
        let too_large = log.append(Topic::Messages, vec![record("ab", noise(MAX_RECORD_BYTES - 1))]).await;
        assert!(matches!(too_large, Err(LogError::Unusable(_))), "{too_large:?}");
        let long_key = log.append(Topic::Messages, vec![Record { key: noise(MAX_KEY_BYTES + 1), value: vec![] }]).await;
        assert!(matches!(long_key, Err(LogError::Unusable(_))), "{long_key:?}");

        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let mut delivered = take(&mut *member, 3).await;
        delivered.sort_by_key(|record| record.value.len());
        let expected = [&large[1], &large[0], &large[2]];
        for (delivered, expected) in delivered.iter().zip(expected) {
            assert!(delivered.key == expected.key && delivered.value == expected.value);
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_poll_waits_and_wakes_up() {
    for_each_log(async |place| {
        let log = place.open().await;
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let started = Instant::now();
        assert_eq!(member.poll(10, Duration::from_millis(300)).await.unwrap(), []);
        assert!(started.elapsed() >= Duration::from_millis(290), "it waited");

        let (delivered, appended) =
            tokio::join!(take(&mut *member, 1), log.append(Topic::Messages, vec![record("k", "1")]));
        appended.unwrap();
        assert_eq!(numbers(&delivered), [1].into());
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_poll_loses_nothing() {
    for_each_log(async |place| {
        let log = place.open().await;
        log.append(Topic::Messages, numbered(0..2_000)).await.unwrap();
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let mut seen = Vec::new();
        let started = Instant::now();
        let mut patience = Duration::from_micros(1);
        while seen.len() < 2_000 {
            assert!(started.elapsed() < PATIENCE, "{} of 2000", seen.len());
            let poll = member.poll(7, Duration::from_millis(200));
            if let Ok(delivered) = tokio::time::timeout(patience, poll).await {
                seen.extend(delivered.unwrap().iter().map(number));
            }
            patience = if patience < Duration::from_millis(20) { patience * 2 } else { Duration::from_micros(1) };
        }
        assert_eq!(seen.len(), 2_000, "nothing repeated");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), up_to(2_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_append_at_the_same_time() {
    for_each_log(async |place| {
        let log = place.open().await;
        let appenders = (0..16_u64).map(|appender| {
            let log = log.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    let from = appender * 10_000 + i * 10;
                    log.append(Topic::Messages, numbered(from..from + 10)).await.unwrap();
                }
            })
        });
        for appender in appenders.collect::<Vec<_>>() {
            appender.await.unwrap();
        }
        let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
        let delivered = take(&mut *member, 16 * 200).await;
        assert_eq!(numbers(&delivered).len(), 16 * 200);
        let mut last = BTreeMap::new();
        for record in &delivered {
            let appender = number(record) / 10_000;
            let before = last.insert((appender, record.key.clone()), number(record));
            assert!(before.is_none_or(|before| before < number(record)), "order per key and appender");
        }
    })
    .await;
}

/// What the child of the crash test does: appends for ever, and says what was acknowledged.
async fn append_until_killed(dir: &Path) {
    let log = Arc::new(EmbeddedLog::open(dir, embedded_options()).unwrap());
    let lag = log.lag("nobody", MESSAGES).await.unwrap();
    let appender = |number: u64| {
        let log = log.clone();
        async move {
            for i in (lag + number * 1_000_000_000..).step_by(100) {
                log.append(Topic::Messages, numbered(i..i + 100)).await.unwrap();
                // One write: a line is there as a whole or not at all.
                std::io::stdout().write_all(format!("ack {i}\n").as_bytes()).unwrap();
            }
        }
    };
    futures::future::join3(appender(1), appender(2), appender(3)).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    const CHILD: &str = "HEARKEN_TEST_APPEND_UNTIL_KILLED";
    if let Some(dir) = std::env::var_os(CHILD) {
        return append_until_killed(Path::new(&dir)).await;
    }
    let dir = TempDir::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_acknowledged_is_lost_by_kill_9", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Kills in the middle of the work, later in every round.
        let acks = 20 + round * 40;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ack = |line: String| line.strip_prefix("ack ").map(|number| number.parse::<u64>().unwrap());
        let mut seen = lines.by_ref().map_while(Result::ok).filter_map(ack);
        acknowledged.extend(seen.by_ref().take(acks));
        child.kill().unwrap();
        acknowledged.extend(seen);
        child.wait().unwrap();
    }
    assert!(acknowledged.len() >= 500, "{} appends", acknowledged.len());

    let log = EmbeddedLog::open(dir.path(), embedded_options()).unwrap();
    let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
    let mut present = BTreeSet::new();
    loop {
        let delivered = member.poll(10_000, Duration::ZERO).await.unwrap();
        if delivered.is_empty() {
            break;
        }
        present.extend(numbers(&delivered));
    }
    let missing = acknowledged.iter().flat_map(|from| *from..from + 100).filter(|number| !present.contains(number));
    assert_eq!(missing.count(), 0);
}

#[tokio::test]
async fn a_second_opener_is_told_which_directory_is_taken() {
    let dir = TempDir::new().unwrap();
    let _first = EmbeddedLog::open(dir.path(), embedded_options()).unwrap();
    let Err(LogError::InUse(reason)) = EmbeddedLog::open(dir.path(), embedded_options()) else {
        panic!("the directory is taken");
    };
    assert!(reason.contains(&dir.path().display().to_string()), "{reason}");
    assert!(reason.contains("another process"), "{reason}");
}

#[tokio::test]
async fn a_directory_keeps_its_number_of_partitions() {
    let dir = TempDir::new().unwrap();
    EmbeddedLog::open(dir.path(), embedded_options()).unwrap().append(Topic::Messages, numbered(0..100)).await.unwrap();
    let log = EmbeddedLog::open(dir.path(), EmbeddedOptions { partitions: 1, ..embedded_options() }).unwrap();
    log.append(Topic::Messages, numbered(100..200)).await.unwrap();
    let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
    let mut partition_of = BTreeMap::new();
    for record in take(&mut *member, 200).await {
        assert_eq!(*partition_of.entry(record.key.clone()).or_insert(record.partition), record.partition);
    }
}

#[tokio::test]
async fn an_absent_broker_is_unavailable_and_a_wrong_name_unusable() {
    let options = |brokers: String| kafka_options(&brokers);
    let (absent, unknown) = tokio::join!(
        KafkaLog::connect(options(format!("127.0.0.1:{}", support::free_port()))),
        KafkaLog::connect(options("no-such-host.invalid:9092".into())),
    );
    assert!(matches!(absent.map(drop), Err(LogError::Unavailable(_))));
    let Err(LogError::Unusable(reason)) = unknown.map(drop) else { panic!("no such host") };
    assert!(reason.contains("no-such-host.invalid") && reason.contains("brokers"), "{reason}");

    let promises = KafkaOptions {
        client: [("acks".to_owned(), "0".to_owned())].into(),
        ..options(format!("127.0.0.1:{}", support::free_port()))
    };
    let Err(LogError::Unusable(reason)) = KafkaLog::connect(promises).await.map(drop) else { panic!("acks") };
    assert!(reason.contains("`acks`"), "{reason}");
    let misspelt = KafkaOptions {
        client: [("security.protokol".to_owned(), "ssl".to_owned())].into(),
        ..options(format!("127.0.0.1:{}", support::free_port()))
    };
    let Err(LogError::Unusable(reason)) = KafkaLog::connect(misspelt).await.map(drop) else { panic!("misspelt") };
    assert!(reason.contains("security.protokol"), "{reason}");
}

#[tokio::test]
async fn kafka_is_reached_over_tls_with_a_password() {
    let Some(broker) = Broker::shared().await.and_then(Broker::apache) else { return };
    let open = async |settings: String, password: &str| {
        let text = format!(
            "[log]\nkind = \"kafka\"\nbrokers = \"{}\"\nmechanism = \"SCRAM-SHA-512\"\nusername = \"{}\"\n\
             password = \"env:PASSWORD\"\n{settings}\n[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n",
            broker.secured, USER.0
        );
        let variables = [("PASSWORD", password), ("HOME", "/nowhere")];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        app::open_log(&Config::parse(&text, "hearken.toml", &environment).unwrap()).await
    };
    let secure = format!("tls = true\nca_file = \"{}\"", broker.ca_file().display());

    let log = open(secure.clone(), USER.1).await.unwrap();
    let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
    log.append(Topic::Messages, numbered(0..100)).await.unwrap();
    let heard = take(&mut *member, 100).await;
    assert_eq!(numbers(&heard), up_to(100));
    member.commit(&Offsets::covering(&heard)).await.unwrap();
    assert_eq!(log.lag("readers", MESSAGES).await, Ok(0));

    let started = Instant::now();
    let (password, authority, missing, plain) = tokio::join!(
        open(secure, "wrong"),
        open("tls = true".to_owned(), USER.1),
        open("tls = true\nca_file = \"/no/such/file\"".to_owned(), USER.1),
        open("tls = false".to_owned(), USER.1),
    );
    assert!(started.elapsed() < PATIENCE, "wrong settings are told soon");
    for (refused, settings) in [
        (password, ["`username`", "`password`", "`mechanism`"].as_slice()),
        (authority, &["`tls`", "`ca_file`"]),
        (missing, &["`ca_file`"]),
        (plain, &["`tls`"]),
    ] {
        let Err(AppError::Log(error)) = refused.map(drop) else { panic!("{settings:?}: it is not refused") };
        // A broker that hangs up may only be restarting.
        let is_clear = settings != ["`tls`"];
        assert_eq!(matches!(error, LogError::Unusable(_)), is_clear, "{error:?}");
        let reason = error.to_string();
        assert!(settings.iter().all(|setting| reason.contains(setting)), "{settings:?}: {reason}");
        assert!(!reason.contains(USER.1) && !reason.contains("wrong"), "{reason}");
    }
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_and_is_found_again() {
    let Some(broker) = Broker::start().await else { return };
    let Some(broker) = broker.apache() else { return };
    let log = KafkaLog::connect(kafka_options(&broker.bootstrap)).await.unwrap();
    let mut member = log.subscribe("readers", MESSAGES).await.unwrap();
    log.append(Topic::Messages, numbered(0..1_000)).await.unwrap();
    let first = take(&mut *member, 500).await;
    member.commit(&Offsets::covering(&first)).await.unwrap();

    broker.kill9();
    let started = Instant::now();
    let refused = log.append(Topic::Messages, numbered(1_000..1_100)).await;
    assert!(matches!(refused, Err(LogError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < PATIENCE, "an append gives up after a while");
    assert!(matches!(log.lag("readers", MESSAGES).await, Err(LogError::Unavailable(_))));

    broker.restart().await;
    let started = Instant::now();
    while log.append(Topic::Messages, numbered(1_000..1_100)).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "the producer finds the broker again");
    }
    let mut seen = numbers(&first);
    while seen.len() < 1_100 {
        assert!(started.elapsed() < PATIENCE, "{} of 1100", seen.len());
        if let Ok(delivered) = member.poll(1_000, Duration::from_millis(200)).await {
            seen.extend(numbers(&delivered));
        }
    }
}
