//! One installation of Hearken in a temporary directory, run through its own command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a run to the end may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is compared between two runs: everything that a user can see, save the times at which this
/// machine happened to hear and store it.
const FIGURES: [(&str, &str); 7] = [
    (
        "totals",
        "SELECT brand, channel, language, sentiment, count(), uniqExact(message_id), sum(likes), sum(reposts),
                sum(toInt64(round(sentiment_score * 1e6))), sum(toInt64(round(influence * 1e6)))
         FROM mentions GROUP BY ALL ORDER BY ALL",
    ),
    (
        "mentions",
        "SELECT brand, sum(cityHash64(message_id, text, author_handle, published_at, sentiment, sentiment_score,
                sentiment_confidence, intents, fingerprint, influence, matched, hashtags, mentioned)) FROM mentions GROUP BY ALL ORDER BY ALL",
    ),
    (
        "authors",
        "SELECT count(), sum(cityHash64(channel, author, handle, ifNull(followers, 0), messages, posts, reactions,
                active_days, first_at, last_at, latest_at, voices, reach, resonance, authority, activity, influence))
         FROM author_scores",
    ),
    (
        "brand authors",
        "SELECT brand, count(), sum(cityHash64(channel, author, mentions, positive, neutral, negative, unsure, first_at,
                last_at, relevance, influence, advocacy, segments)) FROM brand_authors GROUP BY ALL ORDER BY ALL",
    ),
    (
        "stories",
        "SELECT brand, count(), sum(cityHash64(story, mentions, authors, first_at, last_at, told_first)) FROM stories
         GROUP BY ALL ORDER BY ALL",
    ),
    ("dead letters", "SELECT source, origin, reason, count() FROM dead_letters GROUP BY ALL ORDER BY ALL"),
    ("gaps", "SELECT source, reason, count() FROM coverage_gaps GROUP BY ALL ORDER BY ALL"),
];

/// An installation: a configuration and a data directory.
pub struct Site {
    head: String,
    dir: TempDir,
}

impl Site {
    /// An installation on the embedded profile; `config` gets its directory and returns brands and
    /// sources.
    pub fn embedded(config: impl FnOnce(&Path) -> String) -> Self {
        Self::with("", config)
    }

    /// An installation whose configuration begins with `head` (its log and store).
    pub fn with(head: &str, config: impl FnOnce(&Path) -> String) -> Self {
        Self::on_port(0, head, config)
    }

    /// The same, with its web address at this port of 127.0.0.1; 0 takes a free one.
    pub fn on_port(port: u16, head: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let head = format!("data_dir = {data:?}\n{head}\n[serve]\nlisten = \"127.0.0.1:{port}\"\n");
        let site = Self { head, dir };
        site.configure(&config(site.dir.path()));
        site
    }

    /// Replaces brands and sources in the configuration.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.config(), format!("{}{config}", self.head)).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.path("hearken.toml")
    }

    /// A file in the installation's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A `hearken` command on this installation.
    pub fn hearken(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(super::program());
        command.arg("--config").arg(self.config()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts the daemon in the background; its log goes to `daemon.log`.
    pub fn start(&self) -> Daemon {
        let log = std::fs::File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        Daemon { child: self.hearken(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap() }
    }

    /// Runs the daemon until every finite source is drained and everything is stored.
    pub fn run_until_idle(&self) {
        self.finish(&["run", "--until-idle"]);
    }

    /// Scores the whole log again.
    pub fn replay(&self) {
        self.finish(&["replay"]);
    }

    fn finish(&self, arguments: &[&str]) {
        let log = self.path("finish.log");
        let stderr = std::fs::File::create(&log).unwrap();
        let mut child = self.hearken(arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("hearken {arguments:?} did not end; its log:\n{}", std::fs::read_to_string(&log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "hearken {arguments:?}: {status}\n{}", std::fs::read_to_string(&log).unwrap());
    }

    /// Every figure that has to be the same in two runs over the same input.
    pub fn figures(&self) -> BTreeMap<&'static str, String> {
        FIGURES.into_iter().map(|(name, sql)| (name, self.sql(sql))).collect()
    }

    /// The answer to a query, tab-separated.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.hearken(&["sql", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    /// Its process.
    pub child: Child,
}

impl Daemon {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -9` for its ClickHouse child, if it has one at the moment.
    pub fn kill_clickhouse(&self) {
        for child in children(self.child.id()) {
            let _ = Command::new("kill").args(["-9", &child]).status().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Process ids of all children of all threads of a process (Linux).
pub fn children(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
