//! The gateway as a process: start, stop, crash, restart.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickhouse::Row;
use hearken::store::{
    child::{ChildError, ClickHouseChild},
    gateway::Access,
};
use serde::{Deserialize, Serialize};

use crate::{Gateway, library, options, scratch, wait_until};

/// `hearken clickhouse` on its own, and the address that it printed.
fn spawn(data: &Path, library: &Path, with_parent: bool) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearken"));
    command.args(["clickhouse", "--listen", "127.0.0.1:0", "--data"]).arg(data).arg("--library").arg(library);
    if with_parent {
        command.env("HEARKEN_CLICKHOUSE_PARENT", "1").stdin(Stdio::piped());
    } else {
        command.stdin(Stdio::null());
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

fn gateway(data: &Path, url: &str) -> Gateway {
    let access = Access::open(data).unwrap();
    Gateway { url: url.to_owned(), owner: access.owner, reader: access.reader }
}

fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn it_stops_when_asked_and_when_its_parent_ends_and_keeps_everything() {
    let Some(library) = library() else { return };
    let data = scratch("stop");
    let (mut child, url) = spawn(&data, &library, false);
    gateway(&data, &url).run("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    // A statement that runs for long does not keep it.
    let slow = "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1";
    let mut request = gateway(&data, &url).owner().body(slow).start();
    gateway(&data, &url).run("INSERT INTO t VALUES (1)");
    signal(child.id(), "-TERM");
    assert!(child.wait().unwrap().success());
    let _ = request.kill();
    let _ = request.wait();
    // The directory is free again, and so is the port: it comes back where it was.
    let (mut child, second) = spawn(&data, &library, true);
    assert_eq!(second, url);
    assert_eq!(gateway(&data, &url).run("SELECT count() FROM t"), "1");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_joins_the_first() {
    let Some(library) = library() else { return };
    let data = scratch("join");
    let first = ClickHouseChild::open(options(&data, &library)).await.unwrap();
    let second = ClickHouseChild::open(options(&data, &library)).await.unwrap();
    assert_eq!(second.url(), first.url());
    second.stop().await;
    let one = Gateway::of(&first).client().query("SELECT 1").fetch_one::<u8>().await;
    assert_eq!(one.unwrap(), 1);
    first.stop().await;
    // Two that start at the same moment end up with one engine.
    let (first, second) =
        tokio::join!(ClickHouseChild::open(options(&data, &library)), ClickHouseChild::open(options(&data, &library)));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(second.url(), first.url());
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn without_the_library_the_error_says_how_to_get_it() {
    let data = scratch("missing");
    let error = ClickHouseChild::open(options(&data, Path::new("/nonexistent/libchdb.so"))).await.unwrap_err();
    assert!(matches!(error, ChildError::Library(_)));
    assert!(error.to_string().contains("script/bootstrap"), "{error}");
}

#[test]
fn it_listens_on_loopback_only() {
    let data = scratch("remote");
    let output = Command::new(env!("CARGO_BIN_EXE_hearken"))
        .args(["clickhouse", "--listen", "0.0.0.0:0", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("loopback"), "{message}");
}

/// The process that serves `data`.
fn server(data: &Path) -> Option<u32> {
    let data = data.to_str().unwrap();
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.unwrap();
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = command.split(|byte| *byte == 0);
        (arguments.any(|argument| argument == b"clickhouse") && arguments.any(|argument| argument == data.as_bytes()))
            .then_some(pid)
    })
}

#[derive(Row, Serialize, Deserialize)]
struct Numbered {
    number: u64,
    text: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_row_is_lost_when_it_is_killed_and_it_starts_again_by_itself() {
    const ROUNDS: u64 = 5;
    const BATCH: u64 = 500;
    let Some(library) = library() else { return };
    let data = scratch("killed");
    let child = ClickHouseChild::open(options(&data, &library)).await.unwrap();
    let client = Gateway::of(&child).client();
    let create = "CREATE TABLE numbered (number UInt64, text String) ENGINE = MergeTree ORDER BY number
        SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";
    client.query(create).execute().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, done) = (client.clone(), Arc::clone(&done));
        async move {
            let mut acknowledged = Vec::new();
            let mut next = 0;
            while !done.load(Ordering::SeqCst) {
                let batch = async {
                    let mut insert = client.insert::<Numbered>("numbered").await?;
                    for number in next..next + BATCH {
                        insert.write(&Numbered { number, text: "x".repeat(200) }).await?;
                    }
                    insert.end().await
                };
                if batch.await.is_ok() {
                    acknowledged.push(next);
                } else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                next += BATCH;
            }
            acknowledged
        }
    });
    let alive = || async { client.query("SELECT 1").fetch_one::<u8>().await.is_ok() };
    for round in 0..ROUNDS {
        // Later in each round, so that it is caught in different moments.
        tokio::time::sleep(Duration::from_millis(300 + 170 * round)).await;
        let pid = server(&data).expect("a running server");
        signal(pid, "-KILL");
        wait_until("the server to be gone", || server(&data) != Some(pid));
        let mut waited = 0;
        while !alive().await {
            waited += 1;
            assert!(waited < 1200, "it does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    let acknowledged = writer.await.unwrap();
    assert!(acknowledged.len() > ROUNDS as usize, "only {} batches were written", acknowledged.len());
    let stored: Vec<(u64, u64)> = client
        .query(
            "SELECT intDiv(number, 500) * 500 AS batch, uniqExact(number) FROM numbered GROUP BY batch ORDER BY batch",
        )
        .fetch_all()
        .await
        .unwrap();
    for first in &acknowledged {
        let rows = stored.iter().find(|(batch, _)| batch == first).map(|(_, rows)| *rows);
        assert_eq!(rows, Some(BATCH), "the batch from {first} was acknowledged");
    }
    // A batch is stored as a whole or not at all.
    assert!(stored.iter().all(|(_, rows)| *rows == BATCH), "{stored:?}");
    child.stop().await;
}
