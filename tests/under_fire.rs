//! Exact numbers under fire: the daemon, the ClickHouse child and the broker are killed with
//! `kill -9` at random moments, twenty times; then the whole log is replayed twice. Every count, sum
//! and view ends the same as in a run that nobody disturbed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::kafka::Broker;
use support::site::Site;
use support::{airlines, libchdb, real_data};
use tokio::time::sleep;

/// How often something is killed.
const KILLS: u32 = 20;
/// Copies of the tweets, so that there is something in flight when a kill comes.
const COPIES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_profile() {
    let (Some(data), Some(())) = (real_data(), libchdb()) else { return };
    under_fire("", &data, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka() {
    let (Some(data), Some(())) = (real_data(), libchdb()) else { return };
    let Some(broker) = Broker::start().await else { return };
    let Some(broker) = broker.apache() else { return };
    let head = format!("[log]\nkind = \"kafka\"\nbrokers = \"{}\"", broker.bootstrap);
    under_fire(&head, &data, Some(broker)).await;
}

async fn under_fire(head: &str, data: &Path, broker: Option<&Broker>) {
    let config = |dir: &Path| {
        let more = "version = \"version\"\ndeleted = \"deleted\"";
        airlines::brands() + &airlines::tweets(&write_stream(dir, &data.join("real/airline_tweets.jsonl")), more)
    };
    let quiet = Site::embedded(config);
    quiet.run_until_idle();
    let expected = quiet.figures();
    assert!(expected["totals"].contains("United"), "the undisturbed run found nothing: {expected:#?}");

    let shelled = Site::with(head, config);
    let mut chance = Chance(0x5eed);
    for kill in 0..KILLS {
        let daemon = shelled.start();
        sleep(chance.millis(2_500)).await;
        match (kill % 3, broker) {
            // The child dies first: the daemon has to start it again and lose nothing.
            (1, _) => {
                daemon.kill_clickhouse();
                sleep(chance.millis(1_500)).await;
            }
            (2, Some(broker)) => {
                broker.kill9();
                sleep(chance.millis(500)).await;
                broker.restart().await;
                sleep(chance.millis(1_500)).await;
            }
            _ => {}
        }
        daemon.kill();
    }
    let stored = shelled.sql("SELECT count() FROM mentions");
    println!("after {KILLS} kills: {} mentions stored so far", stored.trim());
    shelled.run_until_idle();
    assert_eq!(shelled.figures(), expected, "after {KILLS} kills");
    for replay in 1..=2 {
        shelled.replay();
        assert_eq!(shelled.figures(), expected, "after replay {replay}");
    }
}

/// The tweets many times over, with edits (every other one takes the brand away) and deletions.
fn write_stream(dir: &Path, tweets: &Path) -> PathBuf {
    let tweets = std::fs::read_to_string(tweets).unwrap();
    let mut stream = String::new();
    for copy in 0..COPIES {
        for (index, line) in tweets.lines().enumerate() {
            let mut tweet: serde_json::Value = serde_json::from_str(line).unwrap();
            tweet["id"] = format!("{}-{copy}", tweet["id"].as_str().unwrap()).into();
            writeln!(stream, "{tweet}").unwrap();
            if index % 11 == 0 {
                tweet["version"] = 1.into();
                tweet["text"] = match index % 2 {
                    0 => "I have nothing more to say about airlines.".into(),
                    _ => format!("{} Edited: they were great in the end!", tweet["text"].as_str().unwrap()).into(),
                };
                writeln!(stream, "{tweet}").unwrap();
            }
            if index % 13 == 0 {
                tweet["deleted"] = true.into();
                writeln!(stream, "{tweet}").unwrap();
            }
        }
    }
    let path = dir.join("stream.jsonl");
    std::fs::write(&path, stream).unwrap();
    path
}

/// Random moments that are the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn millis(&mut self, limit: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % limit)
    }
}
