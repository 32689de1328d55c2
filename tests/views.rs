//! The views: exact under any order and repetition of inserts, honest about emptiness, safe against their users.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{HOUR, MARCH, id, mention, sql, store};
use hearken::report::report;
use hearken::store::Store;
use hearken::store::rows::{DeadLetterRow, GapRow, MentionRow, PollRow, revision};
use hearken::views::management::unanswered;
use hearken::views::mapping::{Rank, top_authors};
use hearken::views::measurement::{self, brands};
use hearken::views::monitoring::{By, Step, latest, totals, trending, volume};
use hearken::views::{Filter, middleware};
use jiff::Timestamp;
use proptest::prelude::*;

fn only(brands: &[&str]) -> Filter {
    Filter { brands: brands.iter().map(|brand| (*brand).to_owned()).collect(), ..Filter::default() }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

// Exactness ------------------------------------------------------------------------------------------------

/// One revision of one message, as the pipeline would write it for one brand.
#[derive(Debug, Clone)]
struct Revision {
    brand: usize,
    message: u64,
    version: u64,
    observed: i64,
    pass: u16,
    deleted: bool,
    outbound: bool,
    sentiment: usize,
    author: usize,
    followers: Option<u64>,
    likes: u64,
    hour: i64,
    channel: usize,
}

const SENTIMENTS: [&str; 4] = ["negative", "neutral", "positive", "unsure"];
const AUTHORS: [&str; 4] = ["ada", "bob", "chen", ""];
const CHANNELS: [&str; 2] = ["feed", "mastodon"];

impl Revision {
    fn order(&self) -> u128 {
        revision(self.version, MARCH + self.observed, self.pass)
    }

    fn row<'a>(&self, brands: &'a [String]) -> MentionRow<'a> {
        MentionRow {
            revision: self.order(),
            deleted: self.deleted,
            direction: if self.outbound { "outbound" } else { "inbound" },
            sentiment: SENTIMENTS[self.sentiment],
            sentiment_score: self.sentiment as f32 / 7.0 - 0.3,
            author_id: AUTHORS[self.author],
            author_handle: AUTHORS[self.author],
            author_followers: self.followers,
            likes: self.likes,
            channel: CHANNELS[self.channel],
            published_at: MARCH + self.hour * HOUR,
            observed_at: MARCH + self.observed,
            ..mention(&brands[self.brand], self.message, "text")
        }
    }
}

fn any_revision() -> impl Strategy<Value = Revision> {
    let identity = (0..3_usize, 0..8_u64, 0..3_u64, 0..4_i64, 0..2_u16);
    let state = (prop::bool::weighted(0.2), prop::bool::weighted(0.1), 0..4_usize, 0..4_usize);
    let numbers = (prop::option::of(0..1000_u64), 0..50_u64, 0..30_i64, 0..2_usize);
    (identity, state, numbers).prop_map(
        |(
            (brand, message, version, observed, pass),
            (deleted, outbound, sentiment, author),
            (followers, likes, hour, channel),
        )| {
            Revision {
                brand,
                message,
                version,
                observed,
                pass,
                deleted,
                outbound,
                sentiment,
                author,
                followers,
                likes,
                hour,
                channel,
            }
        },
    )
}

/// A history: revisions, and the order and repetition in which they arrive, cut into batches.
fn any_history() -> impl Strategy<Value = (Vec<Revision>, Vec<Vec<usize>>)> {
    prop::collection::vec(any_revision(), 1..40).prop_flat_map(|mut revisions| {
        // One revision of one mention says one thing, however often it is written.
        let mut seen = BTreeSet::new();
        revisions.retain(|revision| seen.insert((revision.brand, revision.message, revision.order())));
        let count = revisions.len();
        let once: Vec<usize> = (0..count).collect();
        let again = prop::collection::vec(0..count, 0..2 * count);
        let order = again.prop_map(move |again| [once.clone(), again].concat()).prop_shuffle();
        let batches = (order, 1..9_usize).prop_map(|(order, size)| order.chunks(size).map(<[usize]>::to_vec).collect());
        (Just(revisions), batches)
    })
}

/// What the views have to say, worked out in memory.
struct Model<'a> {
    /// The current truth, what the brand itself said left out.
    said: Vec<&'a Revision>,
}

impl<'a> Model<'a> {
    fn of(revisions: &'a [Revision]) -> Self {
        let mut latest: BTreeMap<(usize, u64), &Revision> = BTreeMap::new();
        for revision in revisions {
            let known = latest.entry((revision.brand, revision.message)).or_insert(revision);
            if known.order() < revision.order() {
                *known = revision;
            }
        }
        Self { said: latest.into_values().filter(|revision| !revision.deleted && !revision.outbound).collect() }
    }

    fn brand(&self, brand: usize) -> Vec<&'a Revision> {
        self.said.iter().copied().filter(|revision| revision.brand == brand).collect()
    }

    fn reach(said: &[&Revision]) -> u64 {
        let mut authors: BTreeMap<(usize, usize), (i64, u64, u64)> = BTreeMap::new();
        for revision in said.iter().filter(|revision| !AUTHORS[revision.author].is_empty()) {
            let Some(followers) = revision.followers else { continue };
            let seen = (revision.observed, revision.message, followers);
            let known = authors.entry((revision.channel, revision.author)).or_insert(seen);
            *known = seen.max(*known);
        }
        authors.values().map(|(_, _, followers)| followers).sum()
    }
}

async fn check(store: &Store, names: &[String], model: &Model<'_>) {
    let filter = Filter { brands: names.to_vec(), ..Filter::default() };
    let listed: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let condition = format!("brand IN ({})", listed.join(", "));

    let mut expected: Vec<String> = model
        .said
        .iter()
        .map(|said| {
            format!("{}\t{}\t{}\t{}", names[said.brand], id(said.message), said.likes, SENTIMENTS[said.sentiment])
        })
        .collect();
    expected.sort();
    let mentions = format!(
        "SELECT brand, message_id, likes, sentiment FROM mentions WHERE {condition} AND direction = 'inbound' \
         ORDER BY brand, toString(message_id)"
    );
    assert_eq!(sql(store, &mentions).await, expected.join("\n"));

    let counted = totals(store, &filter).await.unwrap();
    let messages: BTreeSet<u64> = model.said.iter().map(|said| said.message).collect();
    let authors: BTreeSet<(usize, usize)> = model
        .said
        .iter()
        .filter(|said| !AUTHORS[said.author].is_empty())
        .map(|said| (said.channel, said.author))
        .collect();
    assert_eq!(counted.mentions, model.said.len() as u64);
    assert_eq!(counted.messages, messages.len() as u64);
    assert_eq!(counted.authors, authors.len() as u64);
    assert_eq!(
        counted.first.map(Timestamp::as_millisecond),
        model.said.iter().map(|said| MARCH + said.hour * HOUR).min()
    );

    let figures = brands(store, &filter).await.unwrap();
    assert_eq!(figures.len(), names.len());
    let all_reach: u64 = (0..names.len()).map(|brand| Model::reach(&model.brand(brand))).sum();
    for figure in &figures {
        let brand = names.iter().position(|name| *name == figure.brand).unwrap();
        let said = model.brand(brand);
        let of = |sentiment: usize| said.iter().filter(|said| said.sentiment == sentiment).count() as u64;
        let (n, u, p, unsure) = (of(0), of(1), of(2), of(3));
        assert_eq!((figure.negative, figure.neutral, figure.positive, figure.unsure), (n, u, p, unsure));
        assert_eq!(figure.mentions, said.len() as u64);
        assert_eq!(figure.reach, Model::reach(&said));
        assert_eq!(figure.net_sentiment, measurement::net_sentiment(p, u, n));
        assert_eq!(figure.net_sentiment_decided, measurement::net_sentiment_decided(p, n));
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        assert_eq!(figure.share_of_voice, share(said.len() as u64, model.said.len() as u64));
        assert_eq!(figure.share_of_reach, share(Model::reach(&said), all_reach));
    }

    for (step, by) in [(Step::Hour, By::Brand), (Step::Day, By::Channel)] {
        let mut expected: BTreeMap<(i64, String), [u64; 4]> = BTreeMap::new();
        for said in &model.said {
            let bucket = (MARCH + said.hour * HOUR).div_euclid(step.as_millis()) * step.as_millis();
            let name = if by == By::Brand { names[said.brand].clone() } else { CHANNELS[said.channel].to_owned() };
            expected.entry((bucket, name)).or_default()[said.sentiment] += 1;
        }
        let read = volume(store, &filter, step, by).await.unwrap();
        let read: BTreeMap<(i64, String), [u64; 4]> = read
            .into_iter()
            .map(|bucket| {
                assert_eq!(bucket.mentions, bucket.negative + bucket.neutral + bucket.positive + bucket.unsure);
                let counts = [bucket.negative, bucket.neutral, bucket.positive, bucket.unsure];
                ((bucket.at.as_millisecond(), bucket.name), counts)
            })
            .collect();
        assert_eq!(read, expected);
    }

    let mut by_author: BTreeMap<(usize, usize), Vec<&Revision>> = BTreeMap::new();
    for said in model.said.iter().filter(|said| !AUTHORS[said.author].is_empty()) {
        by_author.entry((said.channel, said.author)).or_default().push(said);
    }
    let top = top_authors(store, &filter, &[], Rank::Messages, 100).await.unwrap();
    assert_eq!(top.len(), by_author.len());
    for author in top {
        let key = (
            CHANNELS.iter().position(|name| *name == author.channel).unwrap(),
            AUTHORS.iter().position(|name| *name == author.author).unwrap(),
        );
        let said = &by_author[&key];
        let messages: BTreeSet<u64> = said.iter().map(|said| said.message).collect();
        assert_eq!(author.messages, messages.len() as u64);
        let micro: i64 =
            said.iter().map(|said| (f64::from(said.sentiment as f32 / 7.0 - 0.3) * 1e6).round() as i64).sum();
        assert!((author.mean_sentiment - micro as f64 / 1e6 / said.len() as f64).abs() < 1e-12);
    }
}

#[test]
fn every_view_is_exact_whatever_is_repeated_reordered_edited_or_deleted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(store) = runtime.block_on(store("exact")) else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 16,
        max_shrink_iters: 50,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let case = std::sync::atomic::AtomicU32::new(0);
    let outcome = runner.run(&any_history(), |(revisions, batches)| {
        let case = case.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let names: Vec<String> = ["acme", "bolt", "core"].iter().map(|brand| format!("{brand} {case}")).collect();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                for batch in &batches {
                    let rows: Vec<MentionRow<'_>> = batch.iter().map(|index| revisions[*index].row(&names)).collect();
                    store.insert_mentions(&rows).await.unwrap();
                }
                check(&store, &names, &Model::of(&revisions)).await;
            });
        }));
        checked.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(text.unwrap_or_else(|| "the views differ from the model".to_owned()))
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[tokio::test]
async fn figures_are_the_same_before_and_after_clickhouse_merges_its_parts() {
    let Some(store) = store("merged").await else { return };
    for version in 0..6 {
        let rows: Vec<MentionRow<'_>> = (0..50)
            .map(|number| MentionRow {
                revision: revision(version, MARCH, 0),
                deleted: number % 5 == 0 && version == 5,
                likes: version,
                ..mention("acme", number, "text")
            })
            .collect();
        store.insert_mentions(&rows).await.unwrap();
    }
    let figures = "SELECT count(), sum(likes) FROM mentions";
    assert_eq!(sql(&store, figures).await, "40\t200");
    sql(&store, "OPTIMIZE TABLE mention_revisions FINAL").await;
    assert_eq!(sql(&store, figures).await, "40\t200");
    // A late replay of what was superseded, after the merge has forgotten it.
    store.insert_mentions(&[mention("acme", 0, "text"), mention("acme", 1, "text")]).await.unwrap();
    assert_eq!(sql(&store, figures).await, "40\t200");
}

#[tokio::test]
async fn an_edit_that_moves_a_message_in_time_leaves_no_copy_behind() {
    let Some(store) = store("moved").await else { return };
    let edited = MentionRow {
        revision: revision(1, MARCH, 0),
        published_at: MARCH + 400 * 24 * HOUR,
        ..mention("acme", 1, "edited")
    };
    store.insert_mentions(&[mention("acme", 1, "first")]).await.unwrap();
    store.insert_mentions(&[edited]).await.unwrap();
    assert_eq!(sql(&store, "SELECT count(), any(text) FROM mentions").await, "1\tedited");
    let early = Filter { until: Some(at(MARCH + HOUR)), ..Filter::default() };
    assert_eq!(totals(&store, &early).await.unwrap().mentions, 0);
}

#[tokio::test]
async fn a_deletion_vanishes_from_every_view_and_a_lost_match_from_its_brand_only() {
    let Some(store) = store("deleted").await else { return };
    let said = |brand, number| MentionRow {
        mentioned: const { &[] },
        sentiment: "negative",
        ..mention(brand, number, "unheard word 😀")
    };
    store.insert_mentions(&[said("acme", 1), said("bolt", 1), said("acme", 2)]).await.unwrap();
    let gone = |brand, number| MentionRow { deleted: true, revision: revision(1, MARCH, 0), ..said(brand, number) };
    // Message 1 no longer speaks of acme; message 2 is deleted.
    store.insert_mentions(&[gone("acme", 1), gone("acme", 2)]).await.unwrap();
    let views = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name";
    for view in sql(&store, views).await.lines() {
        let acme = format!("SELECT count() FROM {view} WHERE toString(tuple(*)) LIKE '%acme%'");
        assert_eq!(sql(&store, &acme).await, "0", "{view}");
    }
    assert_eq!(sql(&store, "SELECT brand, count() FROM mentions GROUP BY brand").await, "bolt\t1");
    let report = report(&store, &Filter::default()).await.unwrap();
    assert!(!serde_json::to_string(&report).unwrap().contains("acme"));
    assert_eq!(report.totals.messages, 1);
}

// Emptiness ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_empty_store_gives_a_report_without_figures() {
    let Some(store) = store("empty").await else { return };
    let report = report(&store, &Filter::default()).await.unwrap();
    insta::assert_snapshot!("report_of_nothing", report.to_text(false));
    let views = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'";
    for view in sql(&store, views).await.lines() {
        assert_eq!(sql(&store, &format!("SELECT count() FROM {view}")).await, "0", "{view}");
    }
}

#[tokio::test]
async fn a_ratio_without_a_denominator_is_null_and_a_silent_brand_is_listed() {
    let Some(store) = store("null").await else { return };
    let row = MentionRow {
        sentiment: "unsure",
        author_id: "",
        author_handle: "",
        author_followers: None,
        ..mention("acme", 1, "")
    };
    store.insert_mentions(&[row]).await.unwrap();
    let figures = brands(&store, &only(&["silent", "acme"])).await.unwrap();
    let [acme, silent] = figures.as_slice() else { panic!("{figures:?}") };
    assert_eq!((acme.net_sentiment, acme.net_sentiment_decided, acme.neutral_share), (None, None, None));
    assert_eq!((acme.unsure_share, acme.share_of_voice, acme.share_of_reach), (Some(1.0), Some(1.0), None));
    assert_eq!((silent.brand.as_str(), silent.mentions, silent.unsure_share), ("silent", 0, None));
    assert_eq!(silent.share_of_voice, Some(0.0));
    let figures = "SELECT net_sentiment, net_sentiment_low, net_sentiment_decided, net_sentiment_decided_high, neutral_share, \
                   unsure_share FROM net_sentiment";
    assert_eq!(sql(&store, figures).await, "\\N\t\\N\t\\N\t\\N\t\\N\t1");
    assert_eq!(sql(&store, "SELECT share_of_voice, share_of_reach FROM share_of_voice").await, "1\t\\N");
    assert_eq!(sql(&store, "SELECT count() FROM authors").await, "0");
    let json = serde_json::to_string(&report(&store, &Filter::default()).await.unwrap()).unwrap();
    assert!(!json.contains("NaN"), "{json}");
}

// Users ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_users_type_is_never_sql() {
    let Some(store) = store("typed").await else { return };
    let names = [
        "x' OR 1=1 --",
        "\\",
        "\\'",
        "'); DROP TABLE mention_revisions; --",
        "{until:Int64}",
        "?",
        "??",
        "a\nb",
        "a\tb",
        "[']",
        "\u{0}",
        "`",
        "\"",
        "名'前",
        "%",
        "",
    ];
    let rows: Vec<MentionRow<'_>> = (0..).zip(names).map(|(number, name)| mention(name, number, "text")).collect();
    store.insert_mentions(&rows).await.unwrap();
    for (number, name) in names.iter().enumerate() {
        let figures = brands(&store, &only(&[name])).await.unwrap();
        let [figure] = figures.as_slice() else { panic!("{name:?}: {figures:?}") };
        assert_eq!((figure.brand.as_str(), figure.mentions), (*name, 1), "{name:?}");
        assert_eq!(latest(&store, &only(&[name]), 10).await.unwrap().len(), 1, "{number}");
    }
    let all: Vec<&str> = names.to_vec();
    assert_eq!(totals(&store, &only(&all)).await.unwrap().mentions, names.len() as u64);
    for name in names {
        let filter = Filter { channels: vec![name.to_owned()], languages: vec![name.to_owned()], ..Filter::default() };
        report(&store, &filter).await.unwrap();
        assert_eq!(totals(&store, &filter).await.unwrap().mentions, 0, "{name:?}");
    }
}

#[tokio::test]
async fn filters_cut_by_channel_language_and_half_open_time() {
    let Some(store) = store("filters").await else { return };
    let rows = [
        mention("acme", 1, "one"),
        MentionRow { channel: "feed", language: "tr", published_at: MARCH + HOUR, ..mention("acme", 2, "two") },
        MentionRow { language: "zh", published_at: MARCH + 2 * HOUR, ..mention("bolt", 3, "three") },
    ];
    store.insert_mentions(&rows).await.unwrap();
    let count = async |filter: Filter| totals(&store, &filter).await.unwrap().mentions;
    let all = Filter::default;
    assert_eq!(count(all()).await, 3);
    assert_eq!(count(Filter { channels: vec!["feed".into()], ..all() }).await, 1);
    assert_eq!(count(Filter { languages: vec!["en".into(), "zh".into()], ..all() }).await, 2);
    assert_eq!(count(Filter { from: Some(at(MARCH + HOUR)), ..all() }).await, 2);
    assert_eq!(count(Filter { until: Some(at(MARCH + HOUR)), ..all() }).await, 1);
    assert_eq!(count(Filter { from: Some(at(MARCH)), until: Some(at(MARCH)), ..all() }).await, 0);
    assert_eq!(count(Filter { brands: vec!["nobody".into()], ..all() }).await, 0);
}

// What the views say ---------------------------------------------------------------------------------------

#[tokio::test]
async fn the_views_for_other_clients_agree_with_the_typed_questions() {
    let Some(store) = store("agree").await else { return };
    insert_a_week(&store).await;
    for figure in brands(&store, &Filter::default()).await.unwrap() {
        let of = |columns: &str, view: &str| format!("SELECT {columns} FROM {view} WHERE brand = '{}'", figure.brand);
        let (net, decided) = (figure.net_sentiment.unwrap(), figure.net_sentiment_decided.unwrap());
        let columns = "net_sentiment, net_sentiment_low, net_sentiment_high, net_sentiment_decided, net_sentiment_decided_low, \
                       net_sentiment_decided_high, neutral_share, unsure_share";
        let read = sql(&store, &of(columns, "net_sentiment")).await;
        let expected = [
            net.value,
            net.low,
            net.high,
            decided.value,
            decided.low,
            decided.high,
            figure.neutral_share.unwrap(),
            figure.unsure_share.unwrap(),
        ];
        for (read, expected) in read.split('\t').zip(expected) {
            assert!((read.parse::<f64>().unwrap() - expected).abs() < 1e-12, "{read} {expected}");
        }
        let read = sql(&store, &of("mentions, authors, reach", "share_of_voice")).await;
        assert_eq!(read, format!("{}\t{}\t{}", figure.mentions, figure.authors, figure.reach));
        for view in ["volume_by_minute", "volume_by_hour", "volume_by_day"] {
            let read = sql(&store, &of("sum(mentions), sum(negative)", view)).await;
            assert_eq!(read, format!("{}\t{}", figure.mentions, figure.negative));
        }
    }
    let top = top_authors(&store, &Filter::default(), &[], Rank::Reach, 1000).await.unwrap();
    let read = sql(&store, "SELECT count(), sum(messages), round(sum(mean_sentiment), 9) FROM authors").await;
    let mean: f64 = top.iter().map(|author| author.mean_sentiment).sum();
    let messages: u64 = top.iter().map(|author| author.messages).sum();
    assert_eq!(read, format!("{}\t{messages}\t{}", top.len(), (mean * 1e9).round() / 1e9));
}

#[tokio::test]
async fn what_is_new_trends_in_every_script_and_what_is_always_said_does_not() {
    let Some(store) = store("trends").await else { return };
    // Eight days of small talk; on the last, something happens.
    let talk = [
        ("en", "the service is good and the food is great", "the wifi is broken and the crew is great #outage 🔥🔥"),
        ("tr", "hizmet iyi ve yemek güzel", "hizmet iyi ve İPTAL oldu"),
        ("zh", "服务很好我喜欢", "服务很好手机发布会"),
        ("th", "บริการดีมากครับ", "บริการดีมากเที่ยวบินล่าช้า"),
        ("fa", "خدمات خوب است", "خدمات خوب است لغو پرواز"),
        ("ru", "сервис хороший", "сервис хороший задержка"),
    ];
    let tags = ["outage".to_owned()];
    let mut rows = Vec::new();
    let authors: Vec<String> = (0..20).map(|author| format!("author {author}")).collect();
    for day in 0..8_i64 {
        for turn in 0..40_i64 {
            for (language, (tag, usual, new)) in (0..).zip(talk) {
                let news = day == 7 && turn % 2 == 0;
                let number = ((day * 40 + turn) * 10 + language) as u64;
                rows.push(MentionRow {
                    language: tag,
                    author_id: &authors[turn as usize % 20],
                    hashtags: if news && tag == "en" { &tags } else { &[] },
                    published_at: MARCH + day * 24 * HOUR + turn * 60_000,
                    ..mention("acme", number, if news { new } else { usual })
                });
            }
        }
    }
    // Somebody alone shouts a word a hundred times; a language is spoken more than before.
    for number in 0..100 {
        let published_at = MARCH + 7 * 24 * HOUR + number;
        rows.push(MentionRow {
            author_id: "shouter",
            published_at,
            ..mention("acme", 90_000 + number as u64, "shouting")
        });
        let author_id = &authors[number as usize % 20];
        rows.push(MentionRow {
            language: "ru",
            author_id,
            published_at,
            ..mention("acme", 80_000 + number as u64, "сервис хороший")
        });
    }
    store.insert_mentions(&rows).await.unwrap();
    let trends = trending(&store, &Filter::default(), at(MARCH + 7 * 24 * HOUR), 100).await.unwrap();
    let terms: BTreeSet<(&str, &str)> =
        trends.iter().map(|trend| (trend.language.as_str(), trend.term.as_str())).collect();
    for expected in [
        ("en", "wifi"),
        ("en", "broken"),
        ("*", "#outage"),
        ("*", "🔥"),
        ("tr", "iptal"),
        ("fa", "لغو"),
        ("fa", "پرواز"),
        ("ru", "задержка"),
    ] {
        assert!(terms.contains(&expected), "{expected:?} in {terms:?}");
    }
    assert!(terms.iter().any(|(language, term)| *language == "zh" && term.contains("发布")), "{terms:?}");
    assert!(terms.iter().any(|(language, term)| *language == "th" && "เที่ยวบินล่าช้า".contains(term)), "{terms:?}");
    for usual in ["the", "is", "and", "shouting", "сервис", "ve", "很好", "است"] {
        assert!(terms.iter().all(|(_, term)| *term != usual), "{usual} in {terms:?}");
    }
    let wifi = trends.iter().find(|trend| trend.term == "wifi").unwrap();
    assert_eq!((wifi.recent, wifi.recent_of, wifi.before, wifi.before_of, wifi.sampled), (20, 140, 0, 280, 1));
    let none = trending(&store, &Filter::default(), at(MARCH - HOUR), 100).await.unwrap();
    assert!(none.is_empty(), "nothing to compare with, nothing trends: {none:?}");
}

#[tokio::test]
async fn interactions_go_from_author_to_author_once() {
    let Some(store) = store("interactions").await else { return };
    let handles = ["bob".to_owned(), "ada".to_owned(), "bob".to_owned()];
    let ada = mention("acme", 1, "hello");
    let bob = MentionRow {
        author_id: "b1",
        author_handle: "Bob",
        in_reply_to: id(1),
        kind: "reply",
        ..mention("acme", 2, "hi")
    };
    // The same reply speaks of two brands; it is one interaction.
    let twice = MentionRow { brand: "bolt", ..bob.clone() };
    let names = MentionRow { mentioned: &handles, ..mention("acme", 3, "@bob @ada @bob") };
    let own = MentionRow { in_reply_to: id(1), ..mention("acme", 4, "to myself") };
    let lost =
        MentionRow { author_handle: "eve", in_reply_to: id(99), ..mention("acme", 5, "to somebody we never heard") };
    store.insert_mentions(&[ada, bob, twice, names, own, lost]).await.unwrap();
    let read = sql(&store, "SELECT kind, author, target, interactions FROM interactions ORDER BY kind, author").await;
    assert_eq!(read, "mention\tada\tbob\t1\nreply\tbob\tada\t1");
}

#[tokio::test]
async fn an_answered_complaint_no_longer_waits() {
    let Some(store) = store("answers").await else { return };
    let complaint =
        |number, influence| MentionRow { sentiment: "negative", influence, ..mention("acme", number, "broken") };
    let answer = MentionRow { direction: "outbound", in_reply_to: id(2), ..mention("acme", 9, "we are sorry") };
    let praise = MentionRow { sentiment: "positive", ..mention("acme", 4, "great") };
    store.insert_mentions(&[complaint(1, 5.0), complaint(2, 90.0), complaint(3, 50.0), answer, praise]).await.unwrap();
    let waiting = unanswered(&store, &Filter::default(), 10).await.unwrap();
    let influence: Vec<f32> = waiting.iter().map(|mention| mention.influence).collect();
    assert_eq!(influence, [50.0, 5.0]);
}

#[tokio::test]
async fn sources_show_their_freshness_also_where_nothing_matched() {
    let Some(store) = store("sources").await else { return };
    store.insert_mentions(&[mention("acme", 1, "hello"), mention("bolt", 1, "hello")]).await.unwrap();
    let poll = |source, polled_at, messages, error| PollRow {
        source,
        channel: "mastodon",
        polled_at,
        messages,
        poison: 0,
        error,
    };
    let polls = [
        poll("timeline", MARCH, 5, ""),
        poll("timeline", MARCH + 1000, 0, "503 from example.org"),
        poll("quiet", MARCH, 0, ""),
    ];
    store.insert_polls(&polls).await.unwrap();
    let sources = middleware::sources(&store, &Filter::default()).await.unwrap();
    let [quiet, timeline] = sources.as_slice() else { panic!("{sources:?}") };
    assert_eq!(
        (quiet.source.as_str(), quiet.polls, quiet.messages_matched, quiet.last_published_at),
        ("quiet", 1, 0, None)
    );
    assert_eq!((timeline.polls, timeline.failed_polls, timeline.messages, timeline.messages_matched), (2, 1, 5, 1));
    assert_eq!((timeline.last_poll_at, timeline.last_good_poll_at), (Some(at(MARCH + 1000)), Some(at(MARCH))));
    assert_eq!(timeline.last_error.as_deref(), Some("503 from example.org"));
    assert_eq!(timeline.heard_after_ms, Some(60_000));
    let gap = GapRow {
        id: id(1),
        source: "timeline",
        channel: "mastodon",
        reason: "outage",
        from: MARCH,
        until: MARCH + HOUR,
        estimate: None,
        detail: "",
    };
    store.insert_gaps(&[gap]).await.unwrap();
    let during = async |from, until| {
        let filter = Filter { from: Some(at(from)), until: Some(at(until)), ..Filter::default() };
        middleware::gaps(&store, &filter, 10).await.unwrap().len()
    };
    assert_eq!(during(MARCH + HOUR / 2, MARCH + 2 * HOUR).await, 1);
    assert_eq!(during(MARCH + HOUR, MARCH + 2 * HOUR).await, 0);
    assert_eq!(during(MARCH - HOUR, MARCH).await, 0);
}

/// A week of three brands in several scripts, always the same.
async fn insert_a_week(store: &Store) {
    let brands = ["Northwind 航空", "Blue Öresund", "Zephyr"];
    let authors = [
        ("ada@example.social", "Ada", Some(120_000)),
        ("王小明", "王小明", Some(5_400)),
        ("سارا", "سارا", None),
        ("bob", "Bob 😀", Some(80)),
        ("", "", None),
    ];
    let texts = [
        ("en", "The crew was wonderful, thank you", "positive", 0.8),
        ("en", "Three hours late again\nand nobody answers", "negative", -0.9),
        ("zh", "航班又延误了，太失望了", "negative", -0.7),
        ("fa", "پرواز خیلی خوب بود", "positive", 0.6),
        ("tr", "Uçak indi", "neutral", 0.0),
        ("en", "hmm \u{1b}[31m", "unsure", 0.1),
    ];
    let matched: Vec<[String; 1]> = brands.iter().map(|brand| [format!("\"{}\"", brand.to_lowercase())]).collect();
    let mut rows = Vec::new();
    for number in 0..300_u64 {
        let brand = [0, 0, 0, 1, 1, 2][number as usize % 6];
        let (handle, name, followers) = authors[number as usize * 7 % 5];
        let (language, text, sentiment, score) = texts[number as usize * 5 % 11 % 6];
        let published_at = MARCH + number as i64 * HOUR * 5 / 9;
        rows.push(MentionRow {
            channel: if number % 4 == 0 { "feed" } else { "mastodon" },
            source: if number % 4 == 0 { "news" } else { "timeline" },
            author_id: handle,
            author_handle: handle,
            author_name: name,
            author_followers: followers,
            author_verified: handle.starts_with("ada"),
            author_bot: handle == "bob",
            language,
            sentiment,
            sentiment_score: score,
            influence: [71.0, 48.5, 12.0, 30.0, 0.0][number as usize * 7 % 5],
            matched: &matched[brand],
            published_at,
            observed_at: published_at + 90_000,
            ..mention(brands[brand], number, text)
        });
    }
    // The last day brings a new word.
    for number in 0..12_u64 {
        let published_at = MARCH + 160 * HOUR + number as i64;
        let (handle, name, followers) = authors[number as usize % 4];
        rows.push(MentionRow {
            author_id: handle,
            author_handle: handle,
            author_name: name,
            author_followers: followers,
            matched: &matched[0],
            published_at,
            observed_at: published_at + 90_000,
            ..mention(brands[0], 1000 + number, "strike at the airport 🔥")
        });
    }
    store.insert_mentions(&rows).await.unwrap();
    let poll = |source, channel, hour: i64, messages, poison, error| PollRow {
        source,
        channel,
        polled_at: MARCH + hour * HOUR,
        messages,
        poison,
        error,
    };
    let polls = [
        poll("news", "feed", 160, 75, 2, ""),
        poll("timeline", "mastodon", 159, 240, 0, ""),
        poll("timeline", "mastodon", 161, 0, 0, "example.social answered 503"),
    ];
    store.insert_polls(&polls).await.unwrap();
    let gap = GapRow {
        id: id(1),
        source: "timeline",
        channel: "mastodon",
        reason: "rate_limit",
        from: MARCH + 20 * HOUR,
        until: MARCH + 22 * HOUR,
        estimate: Some(40),
        detail: "example.social allowed 300 requests in 5 minutes",
    };
    store.insert_gaps(&[gap]).await.unwrap();
    let letter = |number| DeadLetterRow {
        id: id(number),
        source: "news",
        origin: "https://example.org/feed",
        reason: "no date and no id",
        payload: b"",
        refused_at: MARCH,
    };
    store.insert_dead_letters(&[letter(1), letter(2)]).await.unwrap();
}

#[tokio::test]
async fn the_report_reads_well() {
    let Some(store) = store("report").await else { return };
    insert_a_week(&store).await;
    hearken::authors::refresh(&store, &Default::default()).await.unwrap();
    let mut report = report(&store, &Filter::default()).await.unwrap();
    // Two things of a report are of the moment.
    report.made_at = at(MARCH + 162 * HOUR);
    for source in &mut report.sources {
        assert!(source.stored_after_ms.is_some());
        source.stored_after_ms = Some(450);
    }
    insta::assert_snapshot!("report_of_a_week", report.to_text(false));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["brands"][0]["brand"], "Northwind 航空");
    assert_eq!(json["latest"][0]["matched"][0], "\"zephyr\"");
    let coloured = report.to_text(true);
    assert!(coloured.contains("\x1b[32m") && !report.to_text(false).contains('\x1b'));
}
