//! Exact numbers under fire: the daemon, the ClickHouse child and the broker are killed at random
//! moments, then the whole log is replayed twice; every count, sum and view ends the same as in a
//! run that nobody disturbed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use support::site::Site;

/// How often something is killed.
const KILLS: u32 = 20;
/// Copies of the tweets, so that there is always something in flight when a kill comes.
const COPIES: usize = 30;

#[test]
fn embedded_profile() {
    let Some(tweets) = support::real_data("real/airline_tweets.jsonl") else { return };
    let quiet = Site::embedded(|dir| config(&write_stream(dir, &tweets)));
    quiet.run_until_idle();
    let expected = quiet.figures();
    assert!(expected["totals"].contains("United"), "the undisturbed run found nothing: {expected:#?}");

    let shelled = Site::embedded(|dir| config(&write_stream(dir, &tweets)));
    let mut chance = Chance(0x5eed);
    for kill in 0..KILLS {
        let daemon = shelled.start();
        sleep(Duration::from_millis(chance.below(2_500)));
        if kill % 2 == 1 {
            // The child dies first: the daemon has to start it again and lose nothing.
            daemon.kill_clickhouse();
            sleep(Duration::from_millis(chance.below(1_500)));
        }
        daemon.kill();
    }
    shelled.run_until_idle();
    assert_eq!(shelled.figures(), expected, "after {KILLS} kills");
    for replay in 1..=2 {
        shelled.replay();
        assert_eq!(shelled.figures(), expected, "after replay {replay}");
    }
}

/// The tweets many times over, with edits (one takes the brand away) and deletions among them.
fn write_stream(dir: &Path, tweets: &str) -> String {
    let mut stream = String::new();
    for copy in 0..COPIES {
        for (index, line) in tweets.lines().enumerate() {
            let mut tweet: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = format!("{}-{copy}", tweet["id"].as_str().unwrap());
            tweet["id"] = id.clone().into();
            tweet["version"] = 0.into();
            tweet["deleted"] = false.into();
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
                tweet["version"] = 2.into();
                writeln!(stream, "{tweet}").unwrap();
            }
        }
    }
    let path = dir.join("stream.jsonl");
    std::fs::write(&path, stream).unwrap();
    path.display().to_string()
}

/// Six airlines as brands; the stream as the only source.
fn config(stream: &str) -> String {
    let brands = [
        ("Virgin America", "virginamerica"),
        ("United", "united"),
        ("Southwest", "southwestair"),
        ("JetBlue", "jetblue"),
        ("US Airways", "usairways"),
        ("American", "americanair"),
    ];
    let mut config = String::new();
    for (name, handle) in brands {
        writeln!(config, "[[brand]]\nname = \"{name}\"\nhandles = [\"{handle}\"]").unwrap();
    }
    write!(
        config,
        r#"
        [source.tweets]
        channel = "file"
        path = "{stream}"
        [source.tweets.set]
        channel = "twitter"
        [source.tweets.fields]
        id = "id"
        version = "version"
        deleted = "deleted"
        text = "text"
        published_at = "created_at"
        "author.handle" = "author"
        "engagement.reposts" = "retweet_count"
        "#
    )
    .unwrap();
    config
}

/// Random moments that are the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
