//! A quarter of an hour at 500 messages a second with everything on: a followed file, a mailbox in a Dovecot, a room
//! in a Synapse, posts by webhook and feeds from an nginx, while somebody reads the live feed, the figures, the page
//! and the metrics. Every minute says how much memory, lag and trouble there is; the end counts what was sent and what
//! is stored.
//!
//! `HEARKEN_TEST_DATA=... cargo bench --bench soak -- [MINUTES]`; 15 unless said otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hearken::metrics::Process;
use hearken_connectors::testing::{Dovecot, MAILBOX, MatrixUser, Synapse};
use support::airlines;
use support::nginx::Nginx;
use support::site::{Site, children};
use support::webhook;
use tokio::time::sleep;

const DEFAULT_MINUTES: usize = 15;
/// Messages a second by channel; 500 together.
const TWEETS: usize = 440;
const POSTED: usize = 50;
const MAILS: usize = 5;
const SAID: usize = 5;
/// Posts in one delivery by webhook.
const DELIVERY: usize = 10;
/// How long the daemon may take to store the rest.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let minutes = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_MINUTES);
    let Some(data) = support::real_data() else { return };
    let (Some(dovecot), Some(synapse)) = (Dovecot::start(), Synapse::shared().await) else { return };
    let feeds = data.join("real/feeds");
    let Some(python) = webhook::python() else { return };
    let Some(nginx) = Nginx::start(&feeds) else { return };
    let room = Room::open(synapse).await;
    let world = World {
        dovecot,
        room,
        nginx,
        feeds,
        python,
        port: support::free_port(),
        tweets: data.join("real/airline_tweets.jsonl"),
    };

    let site = Site::on_port(world.port, "", |dir| world.configuration(dir, synapse));
    let daemon = site.start();
    let url = format!("http://127.0.0.1:{}", world.port);
    await_ready(&url).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers = Readers::start(&url);
    let watching = tokio::spawn(watch(url.clone(), daemon.id(), over.clone()));
    let sent = world.talk(&site.path("tweets.jsonl"), 60 * minutes).await;
    over.store(true, Ordering::Relaxed);
    watching.await.unwrap();

    let stored = await_stored(&site, &sent).await;
    println!("{:<10} {:>9} {:>9}", "channel", "sent", "stored");
    for (channel, count) in &sent {
        println!("{channel:<10} {count:>9} {:>9}", stored.get(channel).copied().unwrap_or(0));
    }
    println!("live feed: {} mentions", readers.stop());
    print_latency(&get(&url, "/metrics").await);
    let log = std::fs::read_to_string(site.path("daemon.log")).unwrap();
    let complaints: Vec<&str> = log.lines().filter(|line| !line.contains("\"level\":\"INFO\"")).collect();
    println!("warnings and errors in the daemon's log: {}", complaints.len());
    complaints.iter().take(10).for_each(|line| println!("{line}"));
    assert_eq!(stored, sent, "what was sent is stored, once");
}

/// Everything that is listened to.
struct World {
    dovecot: Dovecot,
    room: Room,
    nginx: Nginx,
    feeds: PathBuf,
    python: PathBuf,
    port: u16,
    tweets: PathBuf,
}

/// A room, somebody who listens, and somebody who talks.
struct Room {
    id: String,
    listener: MatrixUser,
    speaker: MatrixUser,
}

impl Room {
    async fn open(synapse: &Synapse) -> Self {
        let (listener, speaker) = (synapse.user("listener").await, synapse.user("speaker").await);
        let id = speaker.create_public_room("soak").await;
        listener.join(&id).await;
        Self { id, listener, speaker }
    }
}

impl World {
    fn configuration(&self, dir: &Path, synapse: &Synapse) -> String {
        let file = dir.join("tweets.jsonl");
        std::fs::File::create(&file).unwrap();
        let password = self.dovecot.secret("password", MAILBOX.1);
        let token = self.dovecot.secret("token", &self.room.listener.token);
        let key = self.dovecot.secret("key", webhook::SECRET);
        let feeds = std::fs::read_dir(&self.feeds).unwrap().map(|file| file.unwrap().file_name());
        let feeds: Vec<String> = feeds.map(|name| self.nginx.url(name.to_str().unwrap())).collect();
        format!(
            "[[brand]]\nname = \"Acme\"\nquery = \"source:tweets OR source:care OR source:room OR source:shop\"\n\
             [source.tweets]\nchannel = \"file\"\npath = {file:?}\nfollow = true\n[source.tweets.set]\nchannel = \"twitter\"\n\
             [source.tweets.fields]\nid = \"id\"\ntext = \"text\"\nauthor.handle = \"author\"\n\
             [source.care]\nchannel = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\nuser = \"{}\"\n\
             password = \"file:{}\"\npoll = \"10s\"\n\
             [source.room]\nchannel = \"matrix\"\nserver = \"{}\"\nrooms = [\"{}\"]\ntoken = \"file:{}\"\n\
             {}\
             [source.feeds]\nchannel = \"feed\"\nurls = {feeds:?}\n",
            self.dovecot.imap,
            MAILBOX.0,
            password.display(),
            synapse.url,
            self.room.id,
            token.display(),
            webhook::source("shop", &key),
        )
    }
}

impl World {
    /// Everybody talks until the end; how much was said by channel.
    async fn talk(&self, file: &Path, seconds: usize) -> BTreeMap<String, usize> {
        let end = Instant::now() + Duration::from_secs(seconds as u64);
        let (tweeted, mailed, said, posted) = tokio::join!(
            tokio::task::spawn_blocking({
                let (file, tweets) = (file.to_owned(), self.tweets.clone());
                move || tweet(&file, &tweets, end)
            }),
            each_second(end, async |second| {
                let mails = (0..MAILS).map(|number| mail(&format!("{second}-{number}")));
                self.dovecot.deliver_all(mails);
                MAILS
            }),
            each_second(end, async |second| {
                for number in 0..SAID {
                    self.room.speaker.say(&self.room.id, &format!("Is kettle {second}-{number} good?")).await;
                }
                SAID
            }),
            webhook::post(
                &self.python,
                self.port,
                seconds * POSTED / DELIVERY,
                DELIVERY,
                Duration::from_secs(1) * DELIVERY as u32 / POSTED as u32
            ),
        );
        let counts = [("imap", mailed), ("matrix", said), ("shop", posted), ("twitter", tweeted.unwrap())];
        counts.into_iter().map(|(channel, count)| (channel.to_owned(), count)).collect()
    }
}

/// Does something every second; the sum of what it returns.
async fn each_second(end: Instant, mut act: impl AsyncFnMut(usize) -> usize) -> usize {
    let (start, mut sum) = (Instant::now(), 0);
    for second in 0.. {
        if Instant::now() >= end {
            break;
        }
        sum += act(second).await;
        sleep(Duration::from_secs(second as u64 + 1).saturating_sub(start.elapsed())).await;
    }
    sum
}

/// Appends tweets to the followed file, twenty times a second.
fn tweet(file: &Path, tweets: &Path, end: Instant) -> usize {
    const TICKS: usize = 20;
    let mut tweets = airlines::copies(tweets);
    let mut file = std::fs::File::options().append(true).open(file).unwrap();
    let (start, mut written) = (Instant::now(), 0);
    for tick in 1.. {
        if Instant::now() >= end {
            break;
        }
        let mut lines = String::new();
        for tweet in tweets.by_ref().take(TWEETS / TICKS) {
            lines += &format!("{tweet}\n");
            written += 1;
        }
        file.write_all(lines.as_bytes()).unwrap();
        std::thread::sleep((Duration::from_secs(1) * tick / TICKS as u32).saturating_sub(start.elapsed()));
    }
    written
}

fn mail(id: &str) -> String {
    format!(
        "From: Ann Lee <ann@example.org>\nTo: care@acme.example\nSubject: My kettle\nMessage-ID: <{id}@example.org>\n\
         Date: Mon, 2 Mar 2026 10:00:00 +0000\n\nIt does not boil any more. Very disappointed.\n"
    )
}

/// Those who read while the daemon works: the live feed in one stream, everything else now and then.
struct Readers {
    live: Child,
    seen: std::thread::JoinHandle<usize>,
    asking: tokio::task::JoinHandle<()>,
}

impl Readers {
    fn start(url: &str) -> Self {
        let mut live = Command::new("curl")
            .args(["--silent", "--no-buffer", &format!("{url}/api/v1/mentions/live")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stream = BufReader::new(live.stdout.take().unwrap());
        let is_mention = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.starts_with("data:"));
        let seen = std::thread::spawn(move || stream.lines().filter(is_mention).count());
        let url = url.to_owned();
        let asking = tokio::spawn(async move {
            for path in ["/api/v1/mentions", "/api/v1/volume", "/api/v1/brands", "/", "/api/v1/status"].iter().cycle() {
                get(&url, path).await;
                sleep(Duration::from_secs(2)).await;
            }
        });
        Self { live, seen, asking }
    }

    /// How many mentions the live feed has brought.
    fn stop(mut self) -> usize {
        self.asking.abort();
        self.live.kill().unwrap();
        self.live.wait().unwrap();
        self.seen.join().unwrap()
    }
}

async fn get(url: &str, path: &str) -> String {
    let response = reqwest::get(format!("{url}{path}")).await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.text().await.unwrap()
}

async fn await_ready(url: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(Instant::now() < deadline, "the daemon is not ready");
        sleep(Duration::from_millis(200)).await;
    }
}

/// One line a minute.
async fn watch(url: String, daemon: u32, over: Arc<AtomicBool>) {
    println!("minute  daemon MiB  ClickHouse MiB  lag  stored");
    for minute in 1.. {
        for _ in 0..60 {
            if over.load(Ordering::Relaxed) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let metrics = get(&url, "/metrics").await;
        let resident = |pid: &str| Process::of(pid).resident_bytes >> 20;
        let child: i64 = children(daemon).iter().map(|child| resident(child)).sum();
        let (lag, stored) =
            (sum(&metrics, "hearken_log_lag_records{"), sum(&metrics, "hearken_mentions_stored_total{"));
        println!("{minute:>6} {:>11} {child:>15} {lag:>4} {stored:>7}", resident(&daemon.to_string()));
    }
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}

/// The share of inserts whose oldest message was stored within each bound.
fn print_latency(metrics: &str) {
    const BUCKET: &str = "hearken_heard_to_stored_seconds_bucket{le=\"";
    let all = sum(metrics, "hearken_heard_to_stored_seconds_count");
    for line in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
        let (bound, count) = line.split_once("\"} ").unwrap();
        let share = count.parse::<f64>().unwrap() / all;
        if share >= 0.99 {
            println!("99 % of inserts: oldest message stored within {bound} s of being heard");
            return;
        }
    }
}

async fn await_stored(site: &Site, sent: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = site.sql("SELECT channel, count() FROM mentions GROUP BY channel");
        let row = |row: &str| row.split_once('\t').map(|(channel, count)| (channel.to_owned(), count.parse().unwrap()));
        let stored: BTreeMap<String, usize> = rows.lines().filter_map(row).collect();
        if stored == *sent || Instant::now() > deadline {
            return stored;
        }
        sleep(Duration::from_millis(500)).await;
    }
}
