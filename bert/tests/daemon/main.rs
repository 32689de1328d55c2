//! The second tier beside a daemon, both as programs: what was said, and counted, stays; only opinions are added.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod checkpoints;
mod support;

use std::fmt::Write;
use std::path::Path;

use support::kafka::Broker;
use support::site::Site;
use support::{Scorer, airlines, daemon, free_port, real_data, until, until_ready};

/// Tweets of the shown run: several batches.
const TWEETS: usize = 700;

/// What a second opinion may change.
const OPINION: &str = "revision, sentiment, sentiment_by_model, sentiment_score, sentiment_confidence, sentiment_model, \
                       first_sentiment, first_score, first_confidence, first_model, scored_at, stored_at";
/// What no second opinion may change.
const COUNTS: [&str; 6] = [
    "SELECT brand, channel, language, sum(mentions) FROM volume_by_day GROUP BY ALL ORDER BY ALL",
    "SELECT brand, sum(mentions) FROM volume_by_minute GROUP BY ALL ORDER BY ALL",
    "SELECT brand, mentions, authors, reach FROM share_of_voice ORDER BY ALL",
    "SELECT author, messages, mentions, brands, influence FROM authors ORDER BY ALL",
    "SELECT brand, kind, term, count() FROM mention_terms GROUP BY ALL ORDER BY ALL",
    "SELECT brand, mentions FROM net_sentiment ORDER BY ALL",
];

fn others(site: &Site) -> Vec<String> {
    let rows = format!("SELECT * EXCEPT ({OPINION}) FROM mentions ORDER BY brand, message_id");
    COUNTS.iter().map(|sql| site.sql(sql)).chain([site.sql(&rows)]).collect()
}

/// The first tier's opinions, in columns that begin like this.
fn opinions(site: &Site, columns: &str) -> String {
    site.sql(&format!("SELECT brand, message_id, {columns} FROM mentions ORDER BY brand, message_id"))
}

/// Mentions with a second opinion, and all of them.
fn progress(site: &Site) -> (usize, usize) {
    let counts = site.sql("SELECT countIf(bitAnd(revision, 65535) = 1), count() FROM mentions");
    let (done, all) = counts.trim().split_once('\t').unwrap();
    (done.parse().unwrap(), all.parse().unwrap())
}

fn first_tweets(dir: &Path) -> String {
    let tweets = std::fs::read_to_string(real_data().unwrap().join("real/airline_tweets.jsonl")).unwrap();
    let path = dir.join("tweets.jsonl");
    let first: Vec<&str> = tweets.lines().take(TWEETS).collect();
    std::fs::write(&path, first.join("\n") + "\n").unwrap();
    airlines::brands() + &airlines::tweets(&path, "")
}

/// The daemon and the scorer are killed while tweets are scored again.
fn killed_in_between(head: &str, arguments: &[&str]) {
    let Some(checkpoint) = checkpoints::installed_checkpoint() else { return };
    let port = free_port();
    let site = Site::on_port(port, head, first_tweets);
    site.run_until_idle();
    let (before, first) = (others(&site), opinions(&site, FIRST));
    let (none, all) = progress(&site);
    assert!(none == 0 && all >= TWEETS, "{none} of {all}");
    let api = format!("http://127.0.0.1:{port}");
    let arguments = [&["--api", &api], arguments].concat();
    let part = |from: usize| {
        until("some of it is done", || progress(&site).0 > from);
        let (done, all) = progress(&site);
        assert!(done < all, "something is left to be done: {done} of {all}");
        done
    };

    // The scorer is there first, and waits for the daemon.
    let scorer = Scorer::start(&site, &checkpoint, &arguments);
    let daemon = site.start();
    until_ready(port);
    let done = part(0);
    daemon.kill();
    until("the scorer says that it waits", || scorer.log().contains("the daemon is away"));
    let daemon = site.start();
    until_ready(port);
    part(done);
    scorer.kill();
    let scorer = Scorer::start(&site, &checkpoint, &arguments);
    until("all of it is done", || progress(&site).0 == all);
    let metrics = scorer.metrics();
    for counted in
        ["hearken_bert_opinions_applied_total", "hearken_bert_texts_scored_total", "hearken_bert_agreed_total"]
    {
        let value = metrics.lines().find_map(|line| line.strip_prefix(counted)).unwrap();
        assert!(value.trim().parse::<u64>().unwrap() > 0, "{counted}{value}");
    }
    let log = scorer.log();
    assert_eq!(scorer.stop().code(), Some(0), "{log}");
    // It has not said what it read.
    assert!(!log.contains("@VirginAmerica") && !log.contains("@united"), "{log}");

    assert_eq!(progress(&site), (all, all));
    let passes = "SELECT count(), uniqExact(brand, message_id) FROM \
                  (SELECT DISTINCT brand, message_id, revision FROM mention_revisions WHERE bitAnd(revision, 65535) > 0)";
    assert_eq!(site.sql(passes).trim(), format!("{all}\t{all}"), "one second opinion each");
    assert_eq!(opinions(&site, KEPT), first, "what the first tier said is kept");
    for (before, after) in before.iter().zip(others(&site)) {
        assert_eq!(*before, after);
    }
    let models = site.sql("SELECT DISTINCT sentiment_model FROM mentions ORDER BY ALL");
    assert_eq!(models, "e5-small-sentiment-1\ne5-small-sentiment-1+linear-1\n");
    drop(daemon);
}

const FIRST: &str = "sentiment_by_model, sentiment_score, sentiment_confidence, sentiment_model";
const KEPT: &str = "first_sentiment, first_score, first_confidence, first_model";

#[test]
fn kills_in_between_cost_no_opinion_and_count_nothing_twice() {
    let (Some(()), Some(_)) = (daemon(), real_data()) else { return };
    killed_in_between("", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_between_cost_nothing_where_texts_come_from_kafka() {
    let (Some(()), Some(_)) = (daemon(), real_data()) else { return };
    let Some(broker) = Broker::start().await else { return };
    let Some(broker) = broker.apache() else { return };
    let head = format!("[log]\nkind = \"kafka\"\nbrokers = \"{}\"", broker.bootstrap);
    tokio::task::block_in_place(|| killed_in_between(&head, &["--kafka", &broker.bootstrap]));
}

#[test]
fn odd_input_is_unsure_or_a_dead_letter_and_nothing_stalls() {
    let Some(()) = daemon() else { return };
    let port = free_port();
    let site = Site::on_port(port, "", |dir| {
        let long = "this is bad ".repeat(60_000);
        let mut lines: Vec<u8> = Vec::new();
        for (id, text) in [
            ("long", long.as_str()),
            ("empty", ""),
            ("links", "https://a.example/x www.b.example"),
            ("spaces", " \\n\\t \\u00a0\\u3000 "),
            ("accounts", "@ana @bob"),
            ("surrogate", "good \\ud83d bad"),
            ("nul", "good \\u0000 bad"),
            ("replaced", "\\ufffd\\ufffd"),
        ] {
            lines.extend(format!("{{\"id\": \"{id}\", \"text\": \"{text}\"}}\n").as_bytes());
        }
        lines.extend(b"{\"id\": \"bytes\", \"text\": \"good \xff\xfe bad\"}\n");
        let path = dir.join("odd.jsonl");
        std::fs::write(&path, lines).unwrap();
        let mut config = "[[brand]]\nname = \"All\"\nquery = \"source:odd\"\n".to_owned();
        write!(config, "[source.odd]\nchannel = \"file\"\npath = {path:?}\n[source.odd.set]\nchannel = \"twitter\"\n")
            .unwrap();
        config + "[source.odd.fields]\nid = \"id\"\ntext = \"text\"\n"
    });
    site.run_until_idle();
    let heard = site.sql("SELECT count() FROM mentions");
    let refused = site.sql("SELECT origin, reason FROM dead_letters ORDER BY ALL");
    assert_eq!(heard.trim().parse::<usize>().unwrap() + refused.lines().count(), 9, "{heard}{refused}");
    // What the source refuses, and more, as another release may have stored it.
    let stored = "INSERT INTO mention_revisions (brand, message_id, native_id, direction, noise, sentiment, sentiment_model, text)
                  SELECT 'All', reinterpretAsUUID(sipHash128(odd.1)), odd.1, 'inbound', 'none', 'unsure', 'linear-1', odd.2 FROM (SELECT arrayJoin([
                      ('no text', ''), ('white', ' \\n\\t\u{a0}\u{3000} '), ('megabyte', repeat('very bad ', 120000)),
                      ('one word', repeat('a', 1000000)), ('controls', '\\0\\x01\\x1b[31m')]) AS odd)";
    site.sql(stored);
    let (none, all) = progress(&site);
    assert_eq!(none, 0);
    let daemon = site.start();
    until_ready(port);
    // A small model with weights of chance: it says something of anything, if it is asked.
    let scorer = Scorer::start(&site, &checkpoints::fixture("bert"), &["--api", &format!("http://127.0.0.1:{port}")]);
    until("all of it is done", || progress(&site).0 == all);
    assert_eq!(scorer.stop().code(), Some(0));
    drop(daemon);
    let said = site.sql("SELECT native_id, sentiment, sentiment_score FROM mentions ORDER BY native_id");
    println!("{said}{refused}");
    for nothing in ["links", "accounts", "replaced", "no text", "white"] {
        assert!(said.contains(&format!("{nothing}\tunsure\t0\n")), "{nothing}:\n{said}");
    }
    for something in ["nul", "megabyte", "one word", "controls"] {
        assert!(said.contains(&format!("{something}\t")), "{something}:\n{said}");
    }
}

#[test]
fn without_a_valid_token_it_ends_and_says_what_to_do() {
    let Some(()) = daemon() else { return };
    let port = free_port();
    let site = Site::on_port(port, "", |_| "[[brand]]\nname = \"Acme\"\nnames = [\"Acme\"]\n".to_owned());
    let create = |role: &str| {
        let made = site.hearken(&["token", "create", role, "--role", role]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let path = site.path(role);
        std::fs::write(&path, made.stdout).unwrap();
        format!("file:{}", path.display())
    };
    let (viewer, admin) = (create("viewer"), create("admin"));
    let daemon = site.start();
    until_ready(port);
    let api = format!("http://127.0.0.1:{port}");
    let start = |token: &str| Scorer::start(&site, &checkpoints::fixture("bert"), &["--api", &api, "--token", token]);
    let scorer = start(&viewer);
    let log = site.path("bert.log");
    assert_eq!(scorer.ended().code(), Some(64));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("refuses the token (403): this needs the role `admin`"), "{said}");
    assert!(said.contains("hearken token create"), "{said}");
    let scorer = start(&admin);
    until("it asks", || scorer.log().matches("giving second opinions").count() == 2);
    assert_eq!(scorer.stop().code(), Some(0));
    drop(daemon);
}
