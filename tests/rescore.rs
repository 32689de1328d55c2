//! Rescoring: shows what a changed query, model or account changes in stored history, writes exactly that, and ends where
//! a fresh installation with the same log does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use clickhouse::{sql, store};
use hearken::eventlog::embedded::{EmbeddedLog, EmbeddedOptions};
use hearken::eventlog::{EventLog, Record, Topic};
use hearken::mention::Brand;
use hearken::metrics::Metrics;
use hearken::pipeline::{self, Pipeline, Rules};
use hearken::query::{BrandQuery, Matcher, Scratch};
use hearken::rescore::comparison::{Comparison, Facts, Heard, Holdings, Judgement, Said, Stored, Verdict, label};
use hearken::rescore::{self, Findings, History, Order, Progress, Question, Rescores, Rescoring, State};
use hearken::score::Scorer;
use hearken::store::Store;
use hearken::store::rows::{CorrectionRow, FirstOpinion, Opinion, has_second_opinion, look, rescored, revision};
use hearken::views::Filter;
use hearken_connectors::Message;
use jiff::Timestamp;
use proptest::prelude::*;
use support::site::Site;
use support::{libchdb, real_data};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the brand United is, in the first state and in the second: narrower here, wider there.
const FIRST: &str = "@united";
const SECOND: &str = "(@united -cancelled -delayed) OR (@jetblue thanks) OR southwest";
/// The other brand, which nothing changes for.
const JETBLUE: &str = "@jetblue";

fn airlines() -> Option<Vec<Message>> {
    let text = std::fs::read_to_string(real_data()?.join("real/airline_tweets.jsonl")).unwrap();
    let heard: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let tweets = text.lines().map(|line| {
        let tweet: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| tweet[field].as_str().unwrap().to_owned();
        let published = text("created_at").parse().unwrap();
        let mut message = Message::new("twitter", "tweets", &text("id"), published, heard);
        message.author.handle = text("author");
        message.text = text("text");
        message.engagement.reposts = tweet["retweet_count"].as_u64();
        message
    });
    Some(tweets.collect())
}

fn record(message: &Message) -> Record {
    Record { key: message.id.0.as_bytes().to_vec(), value: serde_json::to_vec(message).unwrap() }
}

fn queries(united: &str) -> Vec<BrandQuery> {
    let query = |brand: &str, query: &str| BrandQuery { brand: brand.to_owned(), query: query.to_owned() };
    vec![query("United", united), query("JetBlue", JETBLUE)]
}

fn rules_with(united: &str, accounts: &[(&str, &str)], scorer: Scorer) -> Arc<Rules> {
    let queries = queries(united);
    let owned = |(channel, handle): &(&str, &str)| ((*channel).to_owned(), (*handle).to_owned());
    let accounts: Vec<_> = accounts.iter().map(owned).collect();
    let brand = |query: &BrandQuery| Brand { name: query.brand.clone(), accounts: accounts.clone() };
    Arc::new(Rules {
        brands: queries.iter().map(brand).collect(),
        matcher: Matcher::compile(&queries).unwrap(),
        scorer,
    })
}

fn rules(united: &str) -> Arc<Rules> {
    rules_with(united, &[], Scorer::built_in().unwrap())
}

/// A log on disk and a store.
struct Installation {
    log: Arc<dyn EventLog>,
    store: Store,
    _dir: TempDir,
}

impl Installation {
    async fn new(database: &str) -> Option<Self> {
        let store = store(database).await?;
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 3, retention_age: None, retention_bytes: None };
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(dir.path().join("log"), options).unwrap());
        Some(Self { log, store, _dir: dir })
    }

    async fn hear(&self, topic: Topic, messages: &[Message]) {
        for chunk in messages.chunks(1_000) {
            self.log.append(topic, chunk.iter().map(record).collect()).await.unwrap();
        }
    }

    fn pipeline(&self, rules: Arc<Rules>) -> Arc<Pipeline> {
        Arc::new(Pipeline {
            log: self.log.clone(),
            store: self.store.clone(),
            rules: RwLock::new(rules),
            publish: false,
            metrics: Metrics::default(),
        })
    }

    /// Runs the pipeline until everything is stored.
    async fn drain(&self, rules: Arc<Rules>) {
        let stop = CancellationToken::new();
        let running = tokio::spawn(pipeline::run(self.pipeline(rules), stop.clone()));
        self.until_stored().await;
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    async fn until_stored(&self) {
        let drained = async {
            while self.log.lag(pipeline::GROUP, &pipeline::TOPICS).await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), drained).await.expect("the pipeline commits everything");
    }

    fn history(&self) -> History {
        History { log: self.log.clone(), store: self.store.clone(), publish: false }
    }

    /// A rescoring of United, to its end.
    async fn rescore(&self, rules: Arc<Rules>, united: &str, apply: bool) -> Rescoring {
        let rescores = Rescores::new(self.history(), rules, queries(united));
        self.finish(&rescores, order(apply)).await
    }

    async fn finish(&self, rescores: &Rescores, order: Order) -> Rescoring {
        let stop = CancellationToken::new();
        let running = tokio::spawn(rescore::run(rescores.clone(), stop.clone()));
        let id = rescores.start(order).unwrap().id;
        let done = ended(rescores, id).await;
        stop.cancel();
        running.await.unwrap().unwrap();
        done
    }

    /// What a user sees: every column of every mention, and the report; save when this machine stored and scored it.
    async fn state(&self) -> (String, serde_json::Value) {
        hearken::stories::find(&self.store).await.unwrap();
        hearken::authors::refresh(&self.store, &Default::default()).await.unwrap();
        let report = hearken::report::report(&self.store, &Filter::default()).await.unwrap();
        let mut report = serde_json::to_value(report).unwrap();
        report["made_at"].take();
        for source in report["sources"].as_array_mut().unwrap() {
            source["stored_after_ms"].take();
        }
        (self.mentions("stored_at, scored_at, revision").await, report)
    }

    async fn mentions(&self, except: &str) -> String {
        sql(&self.store, &format!("SELECT * EXCEPT ({except}) FROM mentions ORDER BY brand, message_id")).await
    }

    /// Rows of the table, superseded ones included.
    async fn rows(&self) -> u64 {
        sql(&self.store, "SELECT count() FROM mention_revisions").await.parse().unwrap()
    }
}

fn order(apply: bool) -> Order {
    Order { brand: "United".to_owned(), query: None, since: None, apply, samples: 10 }
}

async fn ended(rescores: &Rescores, id: Uuid) -> Rescoring {
    let ended = async {
        loop {
            let shown = rescores.get(id).unwrap();
            if shown.state.is_final() {
                break shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), ended).await.expect("it ends")
}

fn found(shown: &Rescoring) -> &Findings {
    shown.findings.as_ref().unwrap_or_else(|| panic!("{shown:?}"))
}

/// A fresh installation that hears the same.
async fn fresh(database: &str, messages: &[(Topic, Vec<Message>)], rules: Arc<Rules>) -> (String, serde_json::Value) {
    let installation = Installation::new(database).await.unwrap();
    for (topic, messages) in messages {
        installation.hear(*topic, messages).await;
    }
    installation.drain(rules).await;
    installation.state().await
}

/// The messages that a query matches.
fn matched(query: &str, messages: &[Message]) -> BTreeSet<Uuid> {
    let query = BrandQuery { brand: "United".to_owned(), query: query.to_owned() };
    let (matcher, mut scratch) = (Matcher::compile(&[query]).unwrap(), Scratch::default());
    let matches = messages.iter().filter(|message| !matcher.matches(*message, &mut scratch).is_empty());
    matches.map(|message| message.id.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_query_is_shown_applied_and_taken_back() {
    let Some(tweets) = airlines() else { return };
    let Some(installation) = Installation::new("rescore").await else { return };
    installation.hear(Topic::Messages, &tweets).await;
    installation.drain(rules(FIRST)).await;
    let first = installation.state().await;
    let rows = installation.rows().await;

    // The preview is what the sets say, and writes nothing.
    let (before, after) = (matched(FIRST, &tweets), matched(SECOND, &tweets));
    let shown = installation.rescore(rules(SECOND), SECOND, false).await;
    assert_eq!((shown.state, shown.written), (State::Compared, 0), "{shown:?}");
    let findings = found(&shown);
    assert_eq!(findings.records, tweets.len() as u64);
    assert_eq!(findings.mentions.added, after.difference(&before).count() as u64);
    assert_eq!(findings.mentions.removed, before.difference(&after).count() as u64);
    assert_eq!(findings.mentions.kept, 0);
    assert_eq!(findings.mentions.changed + findings.mentions.unchanged, before.intersection(&after).count() as u64);
    assert!(findings.mentions.added > 100 && findings.mentions.removed > 100, "{findings:?}");
    // Other clauses have matched; nothing else differs.
    assert!(findings.changed_in.keys().all(|aspect| aspect == "matched"), "{findings:?}");
    assert_eq!(findings.channels.keys().collect::<Vec<_>>(), ["twitter"]);
    for (samples, from) in [
        (&findings.samples.added, after.difference(&before).collect::<BTreeSet<_>>()),
        (&findings.samples.removed, before.difference(&after).collect()),
    ] {
        assert_eq!(samples.len(), 10);
        for sample in samples {
            let tweet = tweets.iter().find(|tweet| tweet.id.0 == sample.id).unwrap();
            assert!(from.contains(&sample.id));
            assert_eq!(sample.text, tweet.text.trim().chars().take(100).collect::<String>());
            assert_eq!(sample.author, tweet.author.handle);
        }
    }
    assert_eq!(installation.rows().await, rows, "a preview writes nothing");
    assert_eq!(installation.state().await, first);

    // A query to try shows the same, without being saved.
    let rescores = Rescores::new(installation.history(), rules(FIRST), queries(FIRST));
    let trial = Order { query: Some(SECOND.to_owned()), ..order(false) };
    let tried = installation.finish(&rescores, trial.clone()).await;
    assert_eq!(found(&tried), findings);
    assert!(rescores.apply(tried.id).is_err(), "what is tried cannot be applied");
    assert!(rescores.start(Order { apply: true, ..trial }).is_err());

    // Applied, everything is as if it had been so from the beginning; again, nothing differs.
    let net = async || -> f64 {
        sql(&installation.store, "SELECT net_sentiment FROM net_sentiment WHERE brand = 'United'")
            .await
            .parse()
            .unwrap()
    };
    assert!((findings.net_sentiment_before.unwrap() - net().await).abs() < 1e-9);
    let applied = installation.rescore(rules(SECOND), SECOND, true).await;
    let differ = findings.mentions.added + findings.mentions.removed + findings.mentions.changed;
    assert_eq!((applied.state, applied.written), (State::Applied, differ), "{applied:?}");
    assert!((findings.net_sentiment_after.unwrap() - net().await).abs() < 1e-9);
    let heard = [(Topic::Messages, tweets.clone())];
    assert_eq!(installation.state().await, fresh("rescore_fresh", &heard, rules(SECOND)).await);
    let rows = installation.rows().await;
    let again = installation.rescore(rules(SECOND), SECOND, true).await;
    assert_eq!((again.written, found(&again).mentions.is_same()), (0, true), "{again:?}");
    assert_eq!(installation.rows().await, rows);

    // And back.
    installation.rescore(rules(FIRST), FIRST, true).await;
    assert_eq!(installation.state().await, first);
    assert!(found(&installation.rescore(rules(FIRST), FIRST, false).await).mentions.is_same());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_published_since_then_is_looked_at() {
    let Some(tweets) = airlines() else { return };
    let Some(installation) = Installation::new("rescore_since").await else { return };
    installation.hear(Topic::Messages, &tweets).await;
    installation.drain(rules(FIRST)).await;
    let mut times: Vec<Timestamp> = tweets.iter().map(|tweet| tweet.published_at).collect();
    times.sort_unstable();
    let since = times[times.len() / 2];
    let rescores = Rescores::new(installation.history(), rules(SECOND), queries(SECOND));
    let shown = installation.finish(&rescores, Order { since: Some(since), ..order(true) }).await;
    let late: Vec<Message> = tweets.iter().filter(|tweet| tweet.published_at >= since).cloned().collect();
    let (before, after) = (matched(FIRST, &late), matched(SECOND, &late));
    let counts = found(&shown).mentions;
    assert_eq!(counts.added, after.difference(&before).count() as u64);
    assert_eq!(counts.removed, before.difference(&after).count() as u64);
    let early: Vec<Message> = tweets.iter().filter(|tweet| tweet.published_at < since).cloned().collect();
    let ids = sql(&installation.store, "SELECT message_id FROM mentions WHERE brand = 'United'").await;
    let ids: BTreeSet<Uuid> = ids.lines().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, matched(FIRST, &early).union(&after).copied().collect());
    // All of it, afterwards.
    installation.rescore(rules(SECOND), SECOND, true).await;
    let heard = [(Topic::Messages, tweets)];
    assert_eq!(installation.state().await, fresh("rescore_since_fresh", &heard, rules(SECOND)).await);
}

/// The tweets as life has it: a third was edited later, some were deleted, many were heard twice, and much was fetched as
/// history after it was heard live.
fn lived(tweets: &[Message]) -> Vec<(Topic, Vec<Message>)> {
    let later = |message: &Message, seconds: i64| Message {
        observed_at: message.observed_at + jiff::SignedDuration::from_secs(seconds),
        ..message.clone()
    };
    let version = |number: usize| 1_772_400_000_000 + number as u64;
    let mut live: Vec<Message> = tweets.to_vec();
    for (number, tweet) in tweets.iter().enumerate() {
        let next = &tweets[(number + 7) % tweets.len()];
        match number % 9 {
            0 => live.push(Message { version: version(number), text: next.text.clone(), ..later(tweet, 60) }),
            1 => live.push(Message {
                version: version(number),
                text: "nothing of interest".to_owned(),
                ..later(tweet, 60)
            }),
            2 => live.push(Message { version: version(number), deleted: true, ..later(tweet, 120) }),
            3 => live.push(tweet.clone()),
            4 => {
                let mut seen = later(tweet, 300);
                seen.engagement.reposts = Some(number as u64);
                live.push(seen);
            }
            _ => {}
        }
    }
    let history = tweets.iter().step_by(2).map(|tweet| later(tweet, 30)).collect();
    vec![(Topic::Messages, live), (Topic::Backfill, history)]
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_deletions_and_what_was_heard_twice_end_as_in_a_fresh_run() {
    let Some(tweets) = airlines() else { return };
    let Some(installation) = Installation::new("rescore_lived").await else { return };
    let heard = lived(&tweets);
    for (topic, messages) in &heard {
        installation.hear(*topic, messages).await;
    }
    installation.drain(rules(FIRST)).await;
    let first = installation.state().await;
    installation.rescore(rules(SECOND), SECOND, true).await;
    assert_eq!(installation.state().await, fresh("rescore_lived_fresh", &heard, rules(SECOND)).await);
    assert!(found(&installation.rescore(rules(SECOND), SECOND, false).await).mentions.is_same());
    installation.rescore(rules(FIRST), FIRST, true).await;
    assert_eq!(installation.state().await, first);

    // What is looked at anew, edited or deleted afterwards still wins.
    installation.rescore(rules(SECOND), SECOND, true).await;
    let minute = jiff::SignedDuration::from_mins(60);
    let mut news: Vec<Message> = Vec::new();
    for (number, tweet) in tweets.iter().enumerate().step_by(5) {
        let mut message = Message { observed_at: tweet.observed_at + minute, ..tweet.clone() };
        match number % 3 {
            0 => message.version = 1_772_500_000_000,
            1 => message.deleted = true,
            _ => message.engagement.reposts = Some(77),
        }
        news.push(message);
    }
    installation.hear(Topic::Messages, &news).await;
    installation.drain(rules(SECOND)).await;
    let mut heard = heard;
    heard.push((Topic::Messages, news));
    assert_eq!(installation.state().await, fresh("rescore_lived_news", &heard, rules(SECOND)).await);
    assert!(found(&installation.rescore(rules(SECOND), SECOND, false).await).mentions.is_same());
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_goes_on_and_nothing_is_lost_or_counted_twice() {
    let Some(tweets) = airlines() else { return };
    let Some(installation) = Installation::new("rescore_live").await else { return };
    let (before, meanwhile) = tweets.split_at(tweets.len() / 2);
    installation.hear(Topic::Messages, before).await;
    installation.drain(rules(FIRST)).await;

    // The daemon has read the configuration again, and goes on listening.
    let stop = CancellationToken::new();
    let running = tokio::spawn(pipeline::run(installation.pipeline(rules(SECOND)), stop.clone()));
    let rescores = Rescores::new(installation.history(), rules(SECOND), queries(SECOND));
    let working = tokio::spawn(rescore::run(rescores.clone(), stop.clone()));
    let hearing = async {
        for chunk in meanwhile.chunks(50) {
            installation.hear(Topic::Messages, chunk).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let rescoring = async {
        let shown = ended(&rescores, rescores.start(order(false)).unwrap().id).await;
        assert_eq!(shown.state, State::Compared, "{shown:?}");
        assert_eq!(found(&shown).mentions.kept, 0, "what was heard meanwhile is in the log");
        rescores.apply(shown.id).unwrap();
        ended(&rescores, shown.id).await
    };
    let ((), applied) = tokio::join!(hearing, rescoring);
    assert_eq!(applied.state, State::Applied, "{applied:?}");
    installation.until_stored().await;
    let heard = [(Topic::Messages, tweets.clone())];
    assert_eq!(installation.state().await, fresh("rescore_live_fresh", &heard, rules(SECOND)).await);
    let last = ended(&rescores, rescores.start(order(false)).unwrap().id).await;
    assert!(found(&last).mentions.is_same(), "{last:?}");
    stop.cancel();
    running.await.unwrap().unwrap();
    working.await.unwrap().unwrap();
    assert_eq!(installation.log.lag(pipeline::GROUP, &pipeline::TOPICS).await.unwrap(), 0, "nobody's offsets moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_anywhere_it_ends_the_same_when_it_is_done_again() {
    let Some(tweets) = airlines() else { return };
    let Some(installation) = Installation::new("rescore_broken").await else { return };
    installation.hear(Topic::Messages, &tweets).await;
    installation.drain(rules(FIRST)).await;
    let question = || Question {
        brand: Brand { name: "United".to_owned(), accounts: Vec::new() },
        query: SECOND.to_owned(),
        since: None,
        samples: 0,
    };
    let rows = installation.rows().await;
    let mut writing = 0;
    // Each time a step further: after the tombstones, and after each chunk.
    for step in 0..3 {
        let (stop, steps) = (CancellationToken::new(), AtomicU64::new(0));
        let tell = |progress| {
            if matches!(progress, Progress::Applying(..)) && steps.fetch_add(1, Ordering::SeqCst) == step {
                stop.cancel();
            }
        };
        let rules = rules(SECOND);
        let work = async {
            let compared = rescore::compare(&installation.history(), &question(), &rules, &tell).await.unwrap();
            compared.apply(&installation.history(), &tell).await.unwrap()
        };
        writing += u32::from(stop.run_until_cancelled(work).await.is_none());
    }
    assert!(writing >= 1 && installation.rows().await > rows, "it was broken off while it wrote");
    installation.rescore(rules(SECOND), SECOND, true).await;
    let heard = [(Topic::Messages, tweets)];
    assert_eq!(installation.state().await, fresh("rescore_broken_fresh", &heard, rules(SECOND)).await);
    assert!(found(&installation.rescore(rules(SECOND), SECOND, false).await).mentions.is_same());
}

/// A small installation of ten messages, all of United.
async fn small(database: &str) -> Option<(Installation, Vec<Message>)> {
    let installation = Installation::new(database).await?;
    let at = Timestamp::from_second(1_772_323_200).unwrap();
    let message = |number: usize| {
        let text = format!("@united my bag number {number} is lost, thank you for nothing");
        Message { text, ..Message::new("twitter", "tweets", &number.to_string(), at, at) }
    };
    let messages: Vec<Message> = (0..10).map(message).collect();
    installation.hear(Topic::Messages, &messages).await;
    installation.drain(rules(FIRST)).await;
    Some((installation, messages))
}

fn opinions(messages: &[Message]) -> Vec<Opinion> {
    let opinion = |message: &Message| Opinion {
        message_id: message.id.0,
        version: message.version,
        sentiment: "positive",
        score: 0.75,
        confidence: 0.875,
        model: "e5-1+linear-1".to_owned(),
    };
    messages.iter().map(opinion).collect()
}

async fn waiting(store: &Store) -> usize {
    hearken::views::opinions::wanted(store, None, None, 100).await.unwrap().texts.len()
}

#[tokio::test]
async fn second_opinions_stay_while_the_first_one_does_and_corrections_stay_always() {
    let Some((installation, messages)) = small("rescore_opinions").await else { return };
    installation.store.insert_opinions(&opinions(&messages[..6])).await.unwrap();
    let correction = |number: usize| CorrectionRow {
        brand: "United",
        message_id: messages[number].id.0,
        sentiment: "neutral",
        corrected_by: "ada",
        corrected_at: Timestamp::now().as_millisecond(),
    };
    installation.store.insert_corrections(&[correction(0), correction(9)]).await.unwrap();
    assert_eq!(waiting(&installation.store).await, 4);
    let columns = "stored_at, scored_at, revision, matched";
    let before = installation.mentions(columns).await;

    // The clauses that matched change, and nothing that was said of the sentiment.
    let other = "@united OR @jetblue OR bag";
    let shown = installation.rescore(rules(other), other, true).await;
    assert_eq!(found(&shown).changed_in, BTreeMap::from([("matched".to_owned(), 10)]));
    assert_eq!(found(&shown).net_sentiment_before, found(&shown).net_sentiment_after);
    assert_eq!(installation.mentions(columns).await, before);
    assert_eq!(waiting(&installation.store).await, 4, "what has a second opinion keeps it");
    let tiers = "SELECT countIf(bitAnd(revision, 1) = 1), countIf(first_model != ''), uniqExact(bitAnd(revision, 65534)) FROM mentions";
    assert_eq!(sql(&installation.store, tiers).await, "6\t6\t1");
    // Those that wait get theirs, and an opinion that came too late for the row that it read changes nothing.
    installation.store.insert_opinions(&opinions(&messages)).await.unwrap();
    assert_eq!(sql(&installation.store, tiers).await, "10\t10\t1");
    assert_eq!(waiting(&installation.store).await, 0);
    assert!(found(&installation.rescore(rules(other), other, false).await).mentions.is_same());

    // Removed and taken back, a mention is the first scorer's again, and a person's word still counts.
    installation.rescore(rules("nobody"), "nobody", true).await;
    assert_eq!(sql(&installation.store, "SELECT count() FROM mentions").await, "0");
    let back = installation.rescore(rules(FIRST), FIRST, true).await;
    assert_eq!(found(&back).mentions.added, 10);
    assert_eq!(sql(&installation.store, tiers).await, "0\t0\t1");
    assert_eq!(waiting(&installation.store).await, 10);
    let corrected = "SELECT countIf(sentiment = 'neutral' AND corrected_by = 'ada') FROM mentions";
    assert_eq!(sql(&installation.store, corrected).await, "2");
    // Told before it was written.
    let net: f64 = sql(&installation.store, "SELECT net_sentiment FROM net_sentiment WHERE brand = 'United'")
        .await
        .parse()
        .unwrap();
    assert!((found(&back).net_sentiment_after.unwrap() - net).abs() < 1e-9);
}

#[tokio::test]
async fn another_model_or_account_is_a_change_too() {
    let Some((installation, messages)) = small("rescore_model").await else { return };
    installation.store.insert_opinions(&opinions(&messages[..5])).await.unwrap();
    let model = installation._dir.path().join("other.bin");
    let training = installation._dir.path().join("en_bags.train.tsv");
    let lines = ["neg\tmy bag is great", "pos\tmy bag is lost", "neu\tmy bag"];
    let texts: String = (0..60).map(|number| format!("{} {number}\n", lines[number % 3])).collect();
    std::fs::write(&training, texts).unwrap();
    let trained = std::process::Command::new(support::program())
        .args(["train", "--name", "other-1", "--output"])
        .arg(&model)
        .arg(&training)
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let other = |accounts: &[(&str, &str)]| rules_with(FIRST, accounts, Scorer::load(&model).unwrap());
    let shown = installation.rescore(other(&[]), FIRST, true).await;
    assert_eq!((found(&shown).mentions.changed, shown.model.as_str()), (10, "other-1"));
    assert_eq!(found(&shown).changed_in["sentiment"], 10);
    let models = "SELECT DISTINCT sentiment_model, first_model = '' FROM mentions";
    assert_eq!(sql(&installation.store, models).await, "other-1\t1", "another opinion waits for a second one again");
    assert_eq!(waiting(&installation.store).await, 10);
    let heard = [(Topic::Messages, messages.clone())];
    assert_eq!(installation.state().await, fresh("rescore_model_fresh", &heard, other(&[])).await);

    let own = [("twitter", "")];
    let shown = installation.rescore(other(&own), FIRST, true).await;
    assert_eq!(found(&shown).changed_in, BTreeMap::from([("direction".to_owned(), 10)]));
    assert_eq!(installation.state().await, fresh("rescore_account_fresh", &heard, other(&own)).await);
}

#[tokio::test]
async fn what_the_log_has_lost_stays_as_it_is_and_is_told() {
    let Some((installation, messages)) = small("rescore_lost").await else { return };
    // The same store, and a log that begins later.
    let Some(other) = Installation::new("rescore_lost_log").await else { return };
    other.hear(Topic::Messages, &messages[4..]).await;
    other.drain(rules(FIRST)).await;
    let lost =
        Installation { log: other.log.clone(), store: installation.store.clone(), _dir: tempfile::tempdir().unwrap() };
    let shown = lost.rescore(rules("nobody"), "nobody", true).await;
    let counts = found(&shown).mentions;
    assert_eq!((counts.kept, counts.removed, counts.added), (4, 6, 0));
    assert_eq!(found(&shown).samples.kept.len(), 4);
    assert_eq!(sql(&installation.store, "SELECT count() FROM mentions").await, "4");
}

#[tokio::test]
async fn one_at_a_time_and_only_by_the_rules_that_hold() {
    let Some((installation, _)) = small("rescore_jobs").await else { return };
    let rescores = Rescores::new(installation.history(), rules(FIRST), queries(FIRST));
    assert!(
        rescores
            .start(Order { brand: "Nobody".to_owned(), ..order(false) })
            .unwrap_err()
            .to_string()
            .contains("`United`")
    );
    assert!(
        rescores
            .start(Order { query: Some("(a".to_owned()), ..order(false) })
            .unwrap_err()
            .to_string()
            .contains("never closed")
    );
    let first = rescores.start(order(false)).unwrap();
    assert!(rescores.start(order(false)).unwrap_err().to_string().contains(&first.id.to_string()));
    assert!(rescores.apply(first.id).is_err(), "nothing is compared yet");
    assert_eq!(rescores.cancel(first.id).unwrap().state, State::Cancelled);
    let shown = installation.finish(&rescores, order(false)).await;
    assert!(rescores.get(first.id).is_err(), "the last one alone is remembered");
    rescores.set_rules(rules(SECOND), queries(SECOND));
    assert!(rescores.apply(shown.id).unwrap_err().to_string().contains("compare again"));
    rescores.set_rules(rules(FIRST), queries(FIRST));
    assert_eq!(rescores.apply(shown.id).unwrap().state, State::Queued);
}

// The daemon and the command line ---------------------------------------------------------------------------

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn site(dir: &std::path::Path, united: &str) -> String {
    let path = dir.join("tweets.jsonl");
    format!(
        "[[brand]]\nname = \"United\"\nquery = '{united}'\n[[brand]]\nname = \"JetBlue\"\nquery = '{JETBLUE}'\n\
         [source.tweets]\nchannel = \"file\"\npath = {path:?}\nfollow = true\n"
    )
}

#[test]
fn the_daemon_does_it_while_it_listens_and_the_command_line_without_one() {
    let (Some(tweets), Some(())) = (airlines(), libchdb()) else { return };
    let port = support::free_port();
    let mut dir = None;
    let site_of = |query: &str, dir: &std::path::Path| site(dir, query);
    let installation = Site::on_port(port, "", |path| {
        dir = Some(path.to_path_buf());
        site_of(FIRST, path)
    });
    let dir = dir.unwrap();
    let rescore = |arguments: &[&str]| {
        let output =
            installation.hearken(&[&["--json", "rescore", "--brand", "United"], arguments].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, _, error) = rescore(&[]);
    assert!(status == Some(69) && error.contains("nothing has been heard yet"), "{status:?} {error}");

    let mut file = std::fs::File::create(dir.join("tweets.jsonl")).unwrap();
    let mut hear = |messages: &[Message]| {
        let lines: String = messages.iter().map(|message| serde_json::to_string(message).unwrap() + "\n").collect();
        file.write_all(lines.as_bytes()).unwrap();
    };
    let (before, meanwhile) = tweets.split_at(6_000);
    hear(before);
    let daemon = installation.start();
    let has_told =
        |words: &str| std::fs::read_to_string(installation.path("daemon.log")).is_ok_and(|log| log.contains(words));
    // Before, a command would start a store of its own.
    wait_until("the daemon serves", || has_told("the pages are at"));
    let heard = || installation.sql("SELECT sum(messages) FROM source_polls").trim().parse::<usize>().unwrap();
    let wait_for = |messages: &[Message]| {
        wait_until("the daemon hears what is said", || heard() >= messages.len());
    };
    wait_for(before);

    // The file says something else than the daemon: the daemon's rules count, and the difference is told.
    installation.configure(&site_of(SECOND, &dir));
    let (status, _, error) = rescore(&[]);
    assert!(status == Some(0) && error.contains("reload it"), "{status:?} {error}");
    let trial = installation.hearken(&["--json", "query", "dry-run", "--brand", "United", SECOND]).output().unwrap();
    let trial: Rescoring = serde_json::from_slice(&trial.stdout).unwrap();
    let (first, second) = (matched(FIRST, before), matched(SECOND, before));
    assert_eq!(found(&trial).mentions.added, second.difference(&first).count() as u64);
    assert_eq!(found(&trial).mentions.removed, first.difference(&second).count() as u64);

    let reload = std::process::Command::new("kill").args(["-HUP", &daemon.id().to_string()]).status().unwrap();
    assert!(reload.success());
    wait_until("the daemon reads its configuration", || has_told("read again and holds"));
    hear(meanwhile);
    let (status, answer, error) = rescore(&["--apply"]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{answer}");
    let applied: Rescoring = serde_json::from_str(&answer).unwrap();
    assert_eq!(applied.state, State::Applied);
    wait_for(&tweets);
    let united = || {
        let ids = installation.sql("SELECT message_id FROM mentions WHERE brand = 'United'");
        ids.lines().map(|id| id.parse().unwrap()).collect::<BTreeSet<Uuid>>()
    };
    wait_until("the daemon stores what it hears", || united() == matched(SECOND, &tweets));
    daemon.kill();

    // Without a daemon, back to the first query, killed on the way, and done again.
    installation.configure(&site_of(FIRST, &dir));
    for wait in [300, 1_500] {
        let mut child = installation.hearken(&["rescore", "--brand", "United", "--apply"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (status, answer, error) = rescore(&["--apply"]);
    assert_eq!(status, Some(0), "{answer} {error}");
    assert_eq!(united(), matched(FIRST, &tweets));
    let shown = installation.hearken(&["rescore", "--brand", "United", "--since", "2015-02-20"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("nothing differs") && shown.contains("published since 2015-02-20"), "{shown}");
}

// The comparison alone --------------------------------------------------------------------------------------

/// A record of the log, and what three different rules say of it: the number of a sentiment and of a clause, or nothing.
#[derive(Debug, Clone)]
struct Told {
    message: u128,
    version: u64,
    observed: i64,
    deleted: bool,
    says: [Option<(u8, u8)>; 3],
}

impl Told {
    fn revision(&self) -> u128 {
        let version = if self.deleted { self.version.max(10 + self.observed as u64) } else { self.version };
        revision(version, self.observed, 0)
    }

    fn heard(&self, rule: usize) -> Heard {
        let said = match self.says[rule].filter(|_| !self.deleted) {
            Some((sentiment, clause)) => Said::Mention(self.judgement(sentiment, clause)),
            None if self.deleted || self.version > 0 => Said::Gone,
            None => Said::Nothing,
        };
        Heard { id: Uuid::from_u128(self.message), revision: self.revision(), channel: 0, in_scope: true, said }
    }

    fn judgement(&self, sentiment: u8, clause: u8) -> Judgement {
        let labels = ["negative", "neutral", "positive"];
        Judgement::of(&Facts {
            sentiment: FirstOpinion { sentiment: labels[sentiment as usize], score: 0.0, confidence: 1.0, model: "m" },
            matched: &[clause.to_string()],
            language: "en",
            language_confidence: 1.0,
            intents: Vec::new(),
            intent_version: "1",
            influence: [0.0; 3],
            influence_version: "1",
            direction: "inbound",
            fingerprint: &[],
            observed_at: self.observed,
        })
    }
}

/// A row as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    revision: u128,
    /// `None` in a tombstone.
    judgement: Option<Judgement>,
}

type Rows = BTreeMap<Uuid, Row>;

fn write(rows: &mut Rows, id: Uuid, row: Row) {
    match rows.get_mut(&id) {
        Some(stands) if stands.revision <= row.revision => *stands = row,
        Some(_) => {}
        None => drop(rows.insert(id, row)),
    }
}

/// What the pipeline writes.
fn pipeline_writes(rows: &mut Rows, log: &[Told], rule: usize) {
    for told in log {
        let heard = told.heard(rule);
        match heard.said {
            Said::Nothing => {}
            Said::Gone => write(rows, heard.id, Row { revision: heard.revision, judgement: None }),
            Said::Mention(judgement) => {
                write(rows, heard.id, Row { revision: heard.revision, judgement: Some(judgement) })
            }
        }
    }
}

fn compared(rows: &Rows, log: &[Told], rule: usize) -> Comparison {
    let nothing = Told { message: 0, version: 0, observed: 0, deleted: true, says: [None; 3] }.judgement(1, 0);
    let stored = rows.iter().filter(|(_, row)| row.judgement.is_some() || row.revision & 0xffff > 0);
    let mut holdings = Holdings::default();
    for (id, row) in stored {
        holdings.hold(Stored {
            id: *id,
            revision: row.revision,
            deleted: row.judgement.is_none(),
            channel: 0,
            judgement: row.judgement.unwrap_or(nothing),
            shown: label("positive"),
        });
    }
    let mut comparison = holdings.compare();
    log.iter().for_each(|told| comparison.hear(&told.heard(rule)));
    comparison
}

fn apply(rows: &mut Rows, log: &[Told], rule: usize) {
    let mut comparison = compared(rows, log, rule);
    let removals: Vec<_> = comparison.removals().map(Result::unwrap).collect();
    for (id, revision, _) in removals {
        write(rows, id, Row { revision, judgement: None });
    }
    for told in log {
        let heard = told.heard(rule);
        if let (Some(writing), Said::Mention(judgement)) = (comparison.writing(&heard).unwrap(), heard.said) {
            let revision = writing.revision | u128::from(writing.second_opinion_of.is_some());
            write(rows, heard.id, Row { revision, judgement: Some(judgement) });
        }
    }
}

fn mentions(rows: &Rows) -> BTreeMap<Uuid, Judgement> {
    rows.iter().filter_map(|(id, row)| Some((*id, row.judgement?))).collect()
}

fn any_told() -> impl Strategy<Value = Told> {
    let says = || prop::option::weighted(0.6, (0..3_u8, 0..2_u8));
    let identity = (0..4_u128, 0..3_u64, 1..5_i64, prop::bool::weighted(0.1));
    (identity, [says(), says(), says()]).prop_map(|((message, version, observed, deleted), says)| Told {
        message,
        version,
        observed,
        deleted,
        says,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn applying_the_difference_gives_what_a_fresh_run_gives(
        told in prop::collection::vec(any_told(), 1..24),
        again in prop::collection::vec(0..24_usize, 0..12),
        lost in prop::collection::btree_set(0..4_u128, 0..2),
        shortened in prop::collection::btree_set(0..4_u128, 0..2),
        judged in prop::collection::vec(0..4_u128, 0..4),
        steps in prop::collection::vec(0..3_usize, 1..5),
    ) {
        // One revision of a message says one thing, however often it is told.
        let mut seen = BTreeSet::new();
        let mut log: Vec<Told> = told.into_iter().filter(|told| seen.insert((told.message, told.revision()))).collect();
        let repeated: Vec<Told> = again.iter().filter_map(|number| log.get(*number).cloned()).collect();
        log.extend(repeated);
        let mut rows = Rows::new();
        pipeline_writes(&mut rows, &log, 0);
        // Retention takes some messages, and of others the look that is stored.
        log.retain(|told| !lost.contains(&told.message));
        let mut kept: BTreeMap<Uuid, Row> =
            rows.iter().filter(|(id, _)| lost.contains(&id.as_u128())).map(|(id, row)| (*id, *row)).collect();
        for id in shortened.difference(&lost) {
            let revisions = log.iter().filter(|told| told.message == *id).map(Told::revision);
            let (newest, row) = (revisions.max(), rows.get(&Uuid::from_u128(*id)));
            if let Some(row) = row.filter(|row| row.judgement.is_some() && Some(row.revision) == newest) {
                log.retain(|told| told.message != *id || told.revision() != row.revision);
                kept.insert(Uuid::from_u128(*id), *row);
            }
        }
        for rule in steps {
            for id in judged.iter().map(|number| Uuid::from_u128(*number)).filter(|id| !kept.contains_key(id)) {
                if let Some(row) = rows.get_mut(&id).filter(|row| row.judgement.is_some()) {
                    row.revision |= 1;
                }
            }
            let before = rows.clone();
            apply(&mut rows, &log, rule);
            let mut fresh = Rows::new();
            pipeline_writes(&mut fresh, &log, rule);
            fresh.extend(&kept);
            prop_assert_eq!(mentions(&rows), mentions(&fresh));
            // Nothing differs any more.
            let comparison = compared(&rows, &log, rule);
            for outcome in comparison.outcomes(|_| None) {
                prop_assert!(matches!(outcome.verdict, Verdict::Unchanged | Verdict::Kept), "{:?}", outcome);
                prop_assert_eq!(outcome.verdict == Verdict::Kept, kept.contains_key(&outcome.id));
            }
            for (id, row) in &rows {
                let was = before.get(id);
                prop_assert!(was.is_none_or(|was| was.revision <= row.revision), "nothing goes back");
                prop_assert!(was.is_none_or(|was| was == row || was.revision < row.revision), "what is written wins");
                let judged = was.filter(|was| has_second_opinion(was.revision) && look(was.revision) == look(row.revision));
                let labels = |row: &Row| row.judgement.map(|judgement| judgement.label);
                if let Some(was) = judged.filter(|_| row.judgement.is_some()) {
                    let same = labels(was) == labels(row);
                    prop_assert_eq!(has_second_opinion(row.revision), same, "it stays while the first one does");
                }
            }
            // What is looked at later wins, whatever the generation.
            let later = Told { message: 3, version: 0, observed: 9, deleted: false, says: [Some((2, 1)); 3] };
            let stands = rows.get(&Uuid::from_u128(3)).copied();
            if stands.is_none_or(|row| look(row.revision) < look(later.revision())) {
                let mut heard = rows.clone();
                pipeline_writes(&mut heard, std::slice::from_ref(&later), rule);
                prop_assert_eq!(heard[&Uuid::from_u128(3)].judgement, Some(later.judgement(2, 1)));
            }
        }
    }
}

#[test]
fn generations_end_with_an_error_that_says_what_to_do() {
    let first = revision(3, 1_000, 0);
    let mut last = first;
    for _ in 0..(1 << 15) - 1 {
        let next = rescored(Some(last), first).unwrap();
        assert!(next > last | 1 && look(next) == look(first) && !has_second_opinion(next));
        last = next;
    }
    assert_eq!(rescored(Some(last), first), None);
    assert!(rescored(Some(last), revision(3, 1_001, 0)).is_some(), "a later look begins anew");

    let told = Told { message: 1, version: 3, observed: 1_000, deleted: false, says: [Some((0, 0)), None, None] };
    let stored = Row { revision: last, judgement: Some(told.judgement(1, 1)) };
    let comparison = compared(&BTreeMap::from([(Uuid::from_u128(1), stored)]), std::slice::from_ref(&told), 0);
    let error = comparison.check().unwrap_err().to_string();
    assert!(error.contains("nothing was written") && error.contains("docs/operations.md"), "{error}");
}
