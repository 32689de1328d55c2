//! What an operator relies on: reload, metrics, what systemd is told, logs without what people wrote, a clean stop.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::site::Site;

const PATIENCE: Duration = Duration::from_secs(90);
/// In every message; never in a log.
const SAID: &str = "quokkawords";
/// A credential; never in a log.
const SECRET: &str = "hunter2-hunter2";

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A daemon with its log in a file and a socket where systemd would listen; killed when dropped.
struct Running {
    child: Child,
    told: UnixDatagram,
    log: std::path::PathBuf,
}

impl Running {
    fn start(site: &Site, dir: &Path) -> Self {
        let (socket, log) = (dir.join("notify"), dir.join("log"));
        let told = UnixDatagram::bind(&socket).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = site.hearken(&["run"]);
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "1000000").env("TEST_TOKEN", SECRET);
        command.env("HEARKEN_LOG", "debug").stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), told, log }
    }

    /// Waits for this word to systemd; returns the words before it.
    fn await_told(&self, wanted: &str) -> Vec<String> {
        let (mut before, mut message) = (Vec::new(), [0; 512]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{wanted} was not told within {PATIENCE:?}, only {before:?}");
            let length = self.told.recv(&mut message).unwrap();
            let words = String::from_utf8_lossy(&message[..length]).into_owned();
            let found = words.lines().any(|word| word == wanted);
            before.push(words);
            if found {
                return before;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn address(&self) -> String {
        let log = self.log();
        let (_, rest) = log.split_once("the pages are at http://").expect("an address in the log");
        rest.split('/').next().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (head, length) = ("Host: localhost\r\nConnection: close\r\nContent-Type: application/json", body.len());
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn source(name: &str, dir: &Path, kind: &str) -> String {
    let path = dir.join(name).with_extension("jsonl");
    format!(
        "[source.{name}]\nchannel = \"file\"\npath = {path:?}\nfollow = true\n[source.{name}.set]\n\
         channel = \"{name}\"\nkind = \"{kind}\"\n[source.{name}.fields]\nid = \"id\"\ntext = \"text\"\n"
    )
}

/// Somebody who writes all the time.
struct Writer {
    file: std::fs::File,
    written: usize,
}

impl Writer {
    fn new(dir: &Path, name: &str) -> Self {
        Self { file: std::fs::File::create(dir.join(name).with_extension("jsonl")).unwrap(), written: 0 }
    }

    fn write(&mut self, count: usize) {
        for _ in 0..count {
            self.written += 1;
            let (number, brand) = (self.written, if self.written.is_multiple_of(2) { "Acme" } else { "Bolt" });
            writeln!(self.file, "{{\"id\": \"{number}\", \"text\": \"{brand} {SAID} {number}\"}}").unwrap();
        }
    }
}

#[test]
fn an_operator_can_rely_on_the_daemon() {
    let Some(()) = support::libchdb() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (dir, acme, bolt) = (
        dir.path(),
        "[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n",
        "[[brand]]\nname = \"Bolt\"\nnames = [\"Bolt\"]\n",
    );
    let down = "[source.down]\nchannel = \"mastodon\"\nserver = \"http://127.0.0.1:9\"\ntoken = \"env:TEST_TOKEN\"\n\
                timelines = [\"tag:acme\"]\n";
    let (mut one, mut two) = (Writer::new(dir, "one"), Writer::new(dir, "two"));
    let site = Site::embedded(|_| format!("{acme}{}{down}", source("one", dir, "post")));
    let daemon = Running::start(&site, dir);
    daemon.await_told("READY=1");
    one.write(100);
    let stored = |sql: &str| site.sql(sql).trim().parse::<usize>().unwrap();
    wait_until("the first messages are stored", || stored("SELECT count() FROM mentions") == 50);

    let tried = || daemon.ask("POST", "/api/v1/queries/explain", r#"{"brand": "Bolt", "texts": ["a Bolt"]}"#);
    assert!(tried().starts_with("HTTP/1.1 404"), "{}", tried());

    // A brand more, a source more, a source changed, a source gone; somebody goes on writing.
    let changed = format!("{acme}{bolt}{}{}", source("one", dir, "comment"), source("two", dir, "post"));
    site.configure(&changed);
    one.write(100);
    two.write(40);
    daemon.signal("-HUP");
    let words = daemon.await_told("READY=1").join("\n");
    assert!(words.contains("RELOADING=1\nMONOTONIC_USEC="), "{words}");
    assert!(words.contains("WATCHDOG=1"), "{words}");
    assert!(tried().contains("\"matched\":true"), "{}", tried());
    one.write(100);
    wait_until("every message of the kept brand is stored", || {
        stored("SELECT count() FROM mentions WHERE brand = 'Acme' AND channel = 'one'") == 150
    });
    wait_until("what is said after the reload is stored under the new brand, from both sources", || {
        stored("SELECT uniqExact(channel) FROM mentions WHERE brand = 'Bolt'") == 2
    });
    assert!(stored("SELECT countIf(kind = 'comment') FROM mentions WHERE channel = 'one'") >= 100);
    assert_eq!(stored("SELECT max(c) FROM (SELECT count() c FROM mentions GROUP BY brand, message_id)"), 1);
    let status = site.hearken(&["--json", "status"]).output().unwrap();
    assert!(!status.status.success(), "port 0 of the configuration is nobody's");
    assert!(!daemon.get("/api/v1/status").contains("source down"), "a removed source is off the board");
    let status = site.hearken(&["status"]).env("HEARKEN_SERVE__LISTEN", daemon.address()).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("  pipeline ") && status.contains("  source two "), "{status}");
    let row = |source: &str| status.lines().find(|line| line.starts_with(&format!("  {source} "))).map(str::to_owned);
    assert!(row("one").is_some_and(|row| row.contains("file") && row.contains(" ago ")), "{status}");
    assert!(row("down").is_some_and(|row| row.ends_with(" to now, outage")), "{status}");
    assert!(status.contains("\n  down: ") && status.contains("127.0.0.1:9"), "{status}");

    // A configuration that is wrong changes nothing.
    site.configure("[[brand]]\nnmae = \"Acme\"\n");
    daemon.signal("-HUP");
    daemon.await_told("READY=1");
    assert!(daemon.log().contains("the old one stays"));
    // The questions below read the configuration too.
    site.configure(&changed);
    two.write(2);
    wait_until("the daemon goes on with the old one", || {
        stored("SELECT count() FROM mentions WHERE channel = 'two'") == 42
    });

    let metrics = daemon.get("/metrics");
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    for name in [
        "hearken_messages_heard_total{source=\"one\",channel=\"file\"} 300",
        "hearken_source_errors_total{source=\"down\"}",
        "hearken_gaps_total{source=\"down\",reason=\"outage\"}",
        "hearken_task_up{task=\"pipeline\"} 1",
        "hearken_log_lag_records{group=\"hearken.scorer\"}",
        "hearken_heard_to_stored_seconds_count",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }

    daemon.signal("-TERM");
    daemon.await_told("STOPPING=1");
    let mut daemon = daemon;
    assert!(daemon.child.wait().unwrap().success());
    let log = daemon.log();
    assert!(log.contains("\"level\":\"DEBUG\""), "the log is as chatty as it can be");
    assert!(!log.contains(SAID), "message text is in the log");
    assert!(!log.contains(SECRET), "a secret is in the log");
}
