//! Installations of the daemon, as its own tests start them, and the scorer beside them.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what the daemon's tests share is more than is used here"
)]

#[path = "../../../tests/support/airlines.rs"]
pub mod airlines;
#[path = "../../../tests/support/kafka.rs"]
pub mod kafka;
#[path = "../../../tests/support/machine.rs"]
pub mod machine;
#[path = "../../../tests/support/site.rs"]
pub mod site;

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use machine::{free_port, hearken_home, real_data, require};
use site::Site;

/// How long something may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// The daemon's program: `HEARKEN_PROGRAM`, or where cargo builds it.
pub fn program() -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/hearken");
    std::env::var_os("HEARKEN_PROGRAM").map_or_else(|| built.into(), PathBuf::from)
}

/// Whether there is a daemon with an embedded store to start.
pub fn daemon() -> Option<()> {
    let is_built = program().is_file().then_some(());
    require("tests beside the daemon", is_built, "run `cargo build`, or set HEARKEN_PROGRAM to the program")?;
    let library = std::env::var_os("HEARKEN_LIBCHDB").map(PathBuf::from);
    let library = library.unwrap_or_else(|| hearken_home().join("lib/libchdb.so"));
    require("tests on the embedded store", library.is_file().then_some(()), "run: script/bootstrap")
}

/// A running `hearken-bert run`; killed when dropped.
pub struct Scorer {
    child: Child,
    log: PathBuf,
    metrics: String,
}

impl Scorer {
    /// Starts it; its log goes to `bert.log` of the installation.
    pub fn start(site: &Site, checkpoint: &str, arguments: &[&str]) -> Self {
        let log = site.path("bert.log");
        let metrics = format!("127.0.0.1:{}", free_port());
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hearken-bert"))
            .args(["run", "--checkpoint", checkpoint, "--precision", "fp32", "--metrics", &metrics])
            .args(arguments)
            .env("HEARKEN_LOG", "debug,hyper_util=info,reqwest=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log, metrics }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; how it ended.
    pub fn stop(mut self) -> ExitStatus {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// How it ends by itself.
    pub fn ended(mut self) -> ExitStatus {
        until("the scorer ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }

    /// What it has logged, and those before it at the same installation.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// What it tells Prometheus.
    pub fn metrics(&self) -> String {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

impl Drop for Scorer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is the case.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the daemon at a port answers that it is ready.
pub fn until_ready(port: u16) {
    until("the daemon is ready", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    });
}
