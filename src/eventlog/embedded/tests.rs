#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::eventlog::{EventLog, Offsets};

const PATIENCE: Duration = Duration::from_secs(60);
const OPTIONS: EmbeddedOptions = EmbeddedOptions { partitions: 2, retention_age: None, retention_bytes: None };

/// Records of one KiB that do not compress; the first eight bytes are the number.
fn noise(numbers: std::ops::Range<u64>) -> Vec<Record> {
    let record = |number: u64| {
        let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut value = number.to_be_bytes().to_vec();
        while value.len() < 1 << 10 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value.extend(state.to_be_bytes());
        }
        Record { key: number.to_be_bytes().to_vec(), value }
    };
    numbers.map(record).collect()
}

fn number(delivered: &Delivered) -> u64 {
    u64::from_be_bytes(*delivered.value.first_chunk().unwrap())
}

async fn all(log: &EmbeddedLog, group: &str) -> Vec<Delivered> {
    let mut member = log.subscribe(group, &[Topic::Messages]).await.unwrap();
    let mut all = Vec::new();
    loop {
        let delivered = member.poll(10_000, Duration::ZERO).await.unwrap();
        if delivered.is_empty() {
            return all;
        }
        all.extend(delivered);
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn age_drops_everything_and_offsets_go_on() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    log.append(Topic::Messages, noise(0..100)).await.unwrap();
    log.append(Topic::Cursors, vec![Record { key: b"feed".to_vec(), value: b"7".to_vec() }]).await.unwrap();
    let last = Offsets::covering(&all(&log, "readers").await);
    drop(log);

    let options = EmbeddedOptions { retention_age: Some(Duration::from_millis(1)), ..OPTIONS };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    until("everything is too old", async || log.lag("readers", &[Topic::Messages]).await.unwrap() == 0).await;
    assert_eq!(log.latest(Topic::Cursors).await.unwrap().len(), 1, "the latest of a compacted topic is for ever");
    drop(log);

    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    assert_eq!(all(&log, "others").await, []);
    log.append(Topic::Messages, noise(100..200)).await.unwrap();
    for record in all(&log, "readers").await {
        assert!(record.offset > last.0[&(record.topic, record.partition)], "no offset is used twice");
    }
}

#[tokio::test]
async fn size_drops_what_is_committed_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    for i in 0..20 {
        log.append(Topic::Messages, noise(i * 100..i * 100 + 100)).await.unwrap();
    }
    let mut member = log.subscribe("readers", &[Topic::Messages]).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 1_000 {
        read.extend(member.poll(1_000 - read.len(), Duration::ZERO).await.unwrap());
    }
    member.commit(&Offsets::covering(&read)).await.unwrap();
    let uncommitted = log.lag("readers", &[Topic::Messages]).await.unwrap();
    drop((member, log));

    let options = EmbeddedOptions { retention_bytes: Some(1), ..OPTIONS };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    // A batch goes when all of it is committed: at most one of each partition is left of those read.
    let kept = async || log.lag("nobody", &[Topic::Messages]).await.unwrap();
    until("what is committed is dropped", async || kept().await < uncommitted + 2 * 100).await;
    assert!(kept().await >= uncommitted);
    let rest = all(&log, "readers").await.iter().map(number).collect::<BTreeSet<_>>();
    let read = read.iter().map(number).collect::<BTreeSet<_>>();
    assert_eq!(rest, &(0..2_000).collect::<BTreeSet<_>>() - &read);
}

#[tokio::test]
async fn dropped_batches_free_the_disk() {
    const MIB: u64 = 1 << 10;
    let dir = TempDir::new().unwrap();
    let write = async |log: &EmbeddedLog| {
        for i in 0..160 {
            log.append(Topic::Messages, noise(i * MIB..i * MIB + MIB)).await.unwrap();
        }
    };
    let options = EmbeddedOptions { retention_bytes: Some(8 << 20), ..OPTIONS };
    write(&EmbeddedLog::open(dir.path(), options).unwrap()).await;
    // Retention runs at the start and then every minute.
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    let kept = async || log.lag("nobody", &[Topic::Messages]).await.unwrap();
    until("the log is small again", async || kept().await < 10 * MIB).await;
    write(&log).await;
    drop(log);
    let disk = Command::new("du").arg("-sm").arg(dir.path()).output().unwrap();
    let disk = String::from_utf8(disk.stdout).unwrap();
    let mib = disk.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    assert!(mib < 160 + 128, "160 MiB dropped, 160 MiB kept, a journal of 64: {mib} MiB on disk");
}

#[tokio::test]
async fn a_corrupt_batch_is_reported() {
    let dir = TempDir::new().unwrap();
    EmbeddedLog::open(dir.path(), OPTIONS).unwrap().append(Topic::Messages, noise(0..10)).await.unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut write = store.db.batch();
    store.put_batch(&mut write, (Topic::Messages, 0), 1_000, b"\x01not a batch at all".to_vec());
    write.commit().unwrap();
    drop(store);

    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    let mut member = log.subscribe("readers", &[Topic::Messages]).await.unwrap();
    let reason = loop {
        match member.poll(1, Duration::ZERO).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let LogError::Unusable(reason) = reason else { panic!("{reason}") };
    assert!(reason.contains("hearken.messages partition 0 at offset 1000"), "{reason}");
}

/// Zeroes a page `before_end` bytes before the end of what is in the journal.
fn make_a_hole(dir: &Path, before_end: usize) {
    let journal = dir.join("0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - before_end..end - before_end + 4_096].fill(0);
    std::fs::write(&journal, bytes).unwrap();
}

#[tokio::test]
async fn a_write_torn_by_a_power_cut_is_dropped_and_the_log_goes_on() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    log.append(Topic::Messages, noise(0..100)).await.unwrap();
    log.append(Topic::Messages, noise(100..200)).await.unwrap();
    drop(log);
    make_a_hole(dir.path(), 20_000);

    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    log.append(Topic::Messages, noise(200..300)).await.unwrap();
    drop(log);
    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    let present = all(&log, "readers").await.iter().map(number).collect::<BTreeSet<_>>();
    assert_eq!(present, (0..100).chain(200..300).collect());
}

#[tokio::test]
async fn damage_to_acknowledged_records_in_the_journal_is_an_error() {
    let dir = TempDir::new().unwrap();
    let log = EmbeddedLog::open(dir.path(), OPTIONS).unwrap();
    log.append(Topic::Messages, noise(0..100)).await.unwrap();
    log.append(Topic::Messages, noise(100..200)).await.unwrap();
    drop(log);
    make_a_hole(dir.path(), 150_000);
    let Err(LogError::Unusable(reason)) = EmbeddedLog::open(dir.path(), OPTIONS) else { panic!("it is corrupt") };
    assert!(reason.contains("corrupt") && reason.contains(&dir.path().display().to_string()), "{reason}");
}

#[test]
fn a_file_in_the_way_is_reported() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    File::create(&path).unwrap();
    let Err(LogError::Unusable(reason)) = EmbeddedLog::open(&path, OPTIONS) else { panic!("it is a file") };
    assert!(reason.contains(&path.display().to_string()), "{reason}");
}

/// A file system of its own, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mib: u64) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(dir.path())
            .output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(dir));
        }
        let line = "not run: a full disk: a tmpfs cannot be mounted here, run as root";
        assert!(std::env::var_os("CI").is_none(), "{line}");
        println!("{line}");
        None
    }

    /// Writes a file until `left` bytes are free.
    fn fill(&self, left: u64) {
        let mut filler = File::create(self.0.path().join("filler")).unwrap();
        let zeros = vec![0; 64 << 10];
        loop {
            let stat = rustix::fs::statvfs(self.0.path()).unwrap();
            if stat.f_bavail * stat.f_frsize <= left || filler.write_all(&zeros).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// Appends until it is refused, makes room, and expects everything that was acknowledged.
async fn survives_a_full_disk(disk: &SmallDisk, left: u64, reserve: u64) {
    let dir = disk.0.path().join("log");
    let log = EmbeddedLog::over(Disk::open(dir.clone(), OPTIONS, reserve).unwrap());
    let mut next = 0;
    let mut acknowledged = BTreeSet::new();
    for _ in 0..10 {
        log.append(Topic::Messages, noise(next..next + 100)).await.unwrap();
        acknowledged.extend(next..next + 100);
        next += 100;
    }
    disk.fill(left);
    let refused = loop {
        let appended = tokio::time::timeout(PATIENCE, log.append(Topic::Messages, noise(next..next + 100)));
        match appended.await.expect("an append does not hang on a full disk") {
            Ok(()) => acknowledged.extend(next..next + 100),
            Err(refused) => break refused,
        }
        next += 100;
        assert!(next < 1_000_000, "the disk gets full");
    };
    assert!(matches!(refused, LogError::Unavailable(_)), "{refused:?}");
    // Opening again frees what was written in part, so that the next one may fit.
    next += 100;
    if log.append(Topic::Messages, noise(next..next + 100)).await.is_ok() {
        acknowledged.extend(next..next + 100);
    }

    disk.make_room();
    next += 100;
    until("appends succeed when there is room", async || {
        log.append(Topic::Messages, noise(next..next + 100)).await.is_ok()
    })
    .await;
    acknowledged.extend(next..next + 100);
    let present = |delivered: Vec<Delivered>| delivered.iter().map(number).collect::<BTreeSet<_>>();
    assert!(present(all(&log, "readers").await).is_superset(&acknowledged));
    drop(log);
    let log = EmbeddedLog::open(&dir, OPTIONS).unwrap();
    assert!(present(all(&log, "readers").await).is_superset(&acknowledged), "also after opening again");
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_appends_until_there_is_room() {
    let Some(disk) = SmallDisk::mount(400) else { return };
    survives_a_full_disk(&disk, RESERVE_BYTES + (4 << 20), RESERVE_BYTES).await;
}

/// As if somebody else had taken the reserve at once.
#[tokio::test]
async fn a_disk_that_is_full_at_once_refuses_appends_until_there_is_room() {
    let Some(disk) = SmallDisk::mount(400) else { return };
    survives_a_full_disk(&disk, 40 << 20, 0).await;
}
