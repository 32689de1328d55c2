//! What every event log does, run against each of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use hearken::eventlog::memory::MemoryLog;
use hearken::eventlog::{Delivered, EventLog, Offsets, Record, Subscription, Topic};

const PARTITIONS: u32 = 4;
/// Longer than any log takes to deliver; how long a test waits before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn record(key: &str, value: impl Into<Vec<u8>>) -> Record {
    Record { key: key.into(), value: value.into() }
}

/// `n` records with 10 keys; the value is the number.
fn numbered(n: u64) -> Vec<Record> {
    (0..n).map(|i| record(&format!("key-{}", i % 10), i.to_string())).collect()
}

fn number(delivered: &Delivered) -> u64 {
    String::from_utf8(delivered.value.clone()).unwrap().parse().unwrap()
}

/// Polls until there are `n` records.
async fn take(subscription: &mut dyn Subscription, n: usize) -> Vec<Delivered> {
    let mut taken = Vec::new();
    let started = std::time::Instant::now();
    while taken.len() < n {
        assert!(started.elapsed() < PATIENCE, "{} of {n} records after {PATIENCE:?}", taken.len());
        taken.extend(subscription.poll(n - taken.len(), Duration::from_millis(200)).await.unwrap());
    }
    taken
}

fn as_set(delivered: &[Delivered]) -> BTreeSet<u64> {
    delivered.iter().map(number).collect()
}

async fn delivers_what_was_appended(log: &dyn EventLog) {
    let topics = [Topic::Messages];
    log.append(Topic::Messages, Vec::new()).await.unwrap();
    log.append(Topic::Messages, numbered(1_000)).await.unwrap();
    assert_eq!(log.lag("deliver", &topics).await.unwrap(), 1_000);

    let mut member = log.subscribe("deliver", &topics).await.unwrap();
    let delivered = take(&mut *member, 1_000).await;
    assert_eq!(as_set(&delivered), (0..1_000).collect());
    let mut last = BTreeMap::new();
    let mut partition_of_key = BTreeMap::new();
    for record in &delivered {
        assert_eq!(record.topic, Topic::Messages);
        assert!(record.partition < PARTITIONS);
        assert_eq!(record.key, format!("key-{}", number(record) % 10).into_bytes());
        assert!(last.insert(record.key.clone(), number(record)).is_none_or(|before| before < number(record)));
        assert_eq!(*partition_of_key.entry(record.key.clone()).or_insert(record.partition), record.partition);
    }
    assert!(partition_of_key.values().collect::<BTreeSet<_>>().len() > 1, "keys spread over partitions");
}

async fn goes_on_after_the_commit(log: &dyn EventLog) {
    log.append(Topic::Messages, numbered(100)).await.unwrap();
    let mut member = log.subscribe("commit", &[Topic::Messages]).await.unwrap();
    let first = take(&mut *member, 37).await;
    member.commit(&Offsets::covering(&first)).await.unwrap();
    take(&mut *member, 20).await;
    drop(member);

    assert_eq!(log.lag("commit", &[Topic::Messages]).await.unwrap(), 63);
    let mut member = log.subscribe("commit", &[Topic::Messages]).await.unwrap();
    let rest = take(&mut *member, 63).await;
    assert_eq!(as_set(&rest), &(0..100).collect() - &as_set(&first), "not committed means delivered again");
    member.commit(&Offsets::covering(&rest)).await.unwrap();
    assert_eq!(log.lag("commit", &[Topic::Messages]).await.unwrap(), 0);
    assert_eq!(member.poll(10, Duration::from_millis(50)).await.unwrap(), []);

    log.append(Topic::Messages, vec![record("key-1", "100")]).await.unwrap();
    assert_eq!(as_set(&take(&mut *member, 1).await), [100].into());
}

#[tokio::test]
async fn memory_delivers() {
    delivers_what_was_appended(&MemoryLog::new(PARTITIONS)).await;
}
#[tokio::test]
async fn memory_commits() {
    goes_on_after_the_commit(&MemoryLog::new(PARTITIONS)).await;
}
