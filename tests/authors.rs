//! Scores of authors: the same for the same mentions, honest about who counts, and sensible on real people.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use clickhouse::{HOUR, MARCH, id, mention, sql, store};
use hearken::authors::refresh;
use hearken::score::author::{Rules, Weights};
use hearken::store::Store;
use hearken::store::rows::{CorrectionRow, MentionRow, revision};
use support::site::Site;
use support::{airlines, libchdb, real_data};

const DAY: i64 = 24 * HOUR;

/// Everything that was computed, without the number of the computation.
const AUTHORS: &str = "SELECT * EXCEPT (run) FROM author_scores ORDER BY channel, author";
const BRANDS: &str = "SELECT * EXCEPT (run) FROM brand_authors ORDER BY brand, channel, author";

/// A mention by somebody, at a time.
fn by<'a>(author: &'a str, brand: &'a str, number: u64, at: i64) -> MentionRow<'a> {
    MentionRow {
        author_id: author,
        author_handle: author,
        author_followers: None,
        published_at: at,
        observed_at: at + 60_000,
        ..mention(brand, number, "text")
    }
}

async fn computed(store: &Store) -> (String, String) {
    assert!(refresh(store, &Rules::default()).await.unwrap(), "something is new");
    (sql(store, AUTHORS).await, sql(store, BRANDS).await)
}

#[tokio::test]
async fn scores_are_those_worked_out_by_hand() {
    let Some(store) = store("authors_by_hand").await else { return };
    let to_bob = ["bob".to_owned()];
    let to_ada = ["ada".to_owned(), "acme".to_owned()];
    let praise = |number, at| MentionRow { sentiment: "positive", ..by("ada", "acme", number, at) };
    let rows = [
        // Ada: three praises of acme, one message of globex; 100 followers; 6 weighted reactions in four posts.
        MentionRow { author_followers: Some(100), likes: 4, replies: 1, ..praise(1, MARCH) },
        MentionRow { mentioned: &to_bob, ..praise(2, MARCH + 10 * DAY) },
        praise(3, MARCH + 40 * DAY),
        by("ada", "globex", 4, MARCH + 40 * DAY + HOUR),
        // Bob answers Ada, and names an account that was never heard.
        MentionRow { mentioned: &to_ada, sentiment: "negative", ..by("bob", "acme", 5, MARCH + 20 * DAY) },
        MentionRow { kind: "repost", likes: 1000, ..by("bob", "acme", 6, MARCH + 36 * DAY) },
    ];
    store.insert_mentions(&rows).await.unwrap();
    assert!(refresh(&store, &Rules::default()).await.unwrap());
    let ada = "SELECT messages, posts, reactions, active_days, followers, round(voices, 4), round(reach, 3), \
                      round(resonance, 3), round(authority, 3), round(activity, 3), round(influence, 3), version \
               FROM author_scores WHERE author = ";
    // Posts: Ada's four with 6, 0, 0, 0 reactions and Bob's one with 0. Their median, 0, is mixed with 3 of the
    // reference as 5 is to 100: M = exp((5 ln 1 + 100 ln 4) / 105) - 1 = 2.7445. Ada has e = (6 + 2 M) / 6 = 1.9148, and
    // resonance 100 ln(1 + e / M) / ln 101 = 11.468. One author of 100 followers: F = exp((ln 101 + 100 ln 100001) / 101)
    // - 1 = 93398, reach 100 ln 101 / ln 93399 = 40.326. Three days: activity 100 ln 4 / ln 31 = 40.370.
    // The circle is Ada (40 days: one vote) and Bob (16 days: 0.5333). Ada gives Bob all she has, Bob half to Ada. Of
    // ranks a + b = 1 they receive 0.85 b / 2 and 0.85 a, and the rest goes to the votes (0.6522, 0.3478); times the sum
    // of votes, 1.5333, that is 0.3454 and 0.6125 voices: authority 100 ln 1.3454 / ln 101 = 6.429 and 10.353.
    // (0.3 * 40.326 + 0.25 * 11.468 + 0.25 * 6.429 + 0.1 * 40.370) / 0.9 = 22.899.
    let answer = sql(&store, &format!("{ada}'ada'")).await;
    insta::assert_snapshot!("ada", answer);
    insta::assert_snapshot!("bob", sql(&store, &format!("{ada}'bob'")).await);
    let brands = "SELECT brand, author, mentions, positive, negative, round(relevance, 2), round(advocacy, 2), \
                  round(advocacy_evidence, 3), segments FROM brand_authors ORDER BY ALL";
    // Ages in whole weeks of Ada's praises: 5, 4 and 0; weights 0.8739, 0.8978 and 1: 277.17 / 5.7717 = 48.02. Bob's
    // complaint is two weeks old (0.9475), his repost of this week takes no side: -94.75 / 4.9475 = -19.15.
    insta::assert_snapshot!("brands", sql(&store, brands).await);
}

#[tokio::test]
async fn a_replay_computes_the_same_and_what_is_not_new_is_not_computed() {
    let Some(store) = store("authors_replayed").await else { return };
    let to_bob = ["bob".to_owned()];
    let rows: Vec<MentionRow<'_>> = (0..60)
        .map(|number| MentionRow {
            sentiment: ["positive", "neutral", "negative", "unsure"][number as usize % 4],
            mentioned: if number % 3 == 0 { &to_bob } else { &[] },
            in_reply_to: if number % 5 == 0 { id(number / 2) } else { uuid::Uuid::nil() },
            likes: number * 7 % 13,
            author_followers: (number % 2 == 0).then_some(number * 100),
            ..by(
                ["ada", "bob", "chen"][number as usize * 5 % 3],
                ["acme", "globex"][number as usize % 2],
                number,
                MARCH + number as i64 * 11 * HOUR,
            )
        })
        .collect();
    store.insert_mentions(&rows).await.unwrap();
    let first = computed(&store).await;
    assert!(!refresh(&store, &Rules::default()).await.unwrap(), "nothing is new");
    assert_eq!(first.0.lines().count(), 3);
    assert_eq!(first.1.lines().count(), 6);

    // The same rows in another order and other batches, also after ClickHouse has merged them.
    for chunk in rows.rchunks(7) {
        store.insert_mentions(chunk).await.unwrap();
    }
    assert_eq!(computed(&store).await, first);
    sql(&store, "OPTIMIZE TABLE mention_revisions FINAL").await;
    store.insert_mentions(&rows[..1]).await.unwrap();
    assert_eq!(computed(&store).await, first);

    let runs = "SELECT count(), uniqExact(run) FROM author_score_rows";
    assert_eq!(sql(&store, runs).await, "6\t2", "older runs than the one before are dropped");

    let rules = Rules { weights: Weights { reach: 1.0, ..Weights::default() }, ..Rules::default() };
    assert!(refresh(&store, &rules).await.unwrap(), "other weights are other scores");
    assert_ne!(sql(&store, AUTHORS).await, first.0);
    assert_eq!(sql(&store, "SELECT DISTINCT weight_reach FROM author_scores").await, "1");
}

#[tokio::test]
async fn only_what_others_say_in_public_and_in_person_counts() {
    let Some(store) = store("authors_public").await else { return };
    let rows = [
        by("ada", "acme", 1, MARCH),
        MentionRow { visibility: "private", sentiment: "negative", ..by("ada", "acme", 2, MARCH + DAY) },
        MentionRow { noise: "bulk", ..by("ada", "acme", 3, MARCH + 2 * DAY) },
        MentionRow { direction: "outbound", ..by("acme", "acme", 4, MARCH + 3 * DAY) },
        MentionRow { visibility: "private", ..by("eve", "acme", 5, MARCH) },
        MentionRow { author_id: "", author_handle: "", ..by("", "acme", 6, MARCH) },
    ];
    store.insert_mentions(&rows).await.unwrap();
    refresh(&store, &Rules::default()).await.unwrap();
    let seen = "SELECT author, messages, toDate(last_at), toDate(latest_at) FROM author_scores";
    assert_eq!(sql(&store, seen).await, "ada\t1\t2026-03-01\t2026-03-01");
    assert_eq!(sql(&store, "SELECT author, mentions, negative FROM brand_authors").await, "ada\t1\t0");

    // A correction counts; a deletion takes the author away.
    let correction = CorrectionRow {
        brand: "acme",
        message_id: id(1),
        sentiment: "positive",
        corrected_by: "ann",
        corrected_at: jiff::Timestamp::now().as_millisecond() + 1000,
    };
    store.insert_corrections(&[correction]).await.unwrap();
    assert!(refresh(&store, &Rules::default()).await.unwrap());
    assert_eq!(sql(&store, "SELECT positive, advocacy FROM brand_authors").await, "1\t25");
    let gone = MentionRow { deleted: true, revision: revision(1, MARCH, 0), ..by("ada", "acme", 1, MARCH) };
    store.insert_mentions(&[gone]).await.unwrap();
    // Stored before the correction was made, as it seems: the time of the latest of both decides.
    sql(&store, "ALTER TABLE mention_revisions UPDATE stored_at = stored_at + INTERVAL 1 HOUR WHERE deleted SETTINGS mutations_sync = 1").await;
    assert!(refresh(&store, &Rules::default()).await.unwrap());
    assert_eq!(sql(&store, "SELECT count() FROM author_scores").await, "0");
}

#[tokio::test]
async fn a_date_in_the_future_makes_nobody_silent() {
    let Some(store) = store("authors_future").await else { return };
    let odd = MentionRow { published_at: MARCH + 4000 * DAY, ..by("eve", "acme", 1, MARCH) };
    store.insert_mentions(&[odd, by("ada", "acme", 2, MARCH + DAY)]).await.unwrap();
    refresh(&store, &Rules::default()).await.unwrap();
    assert_eq!(sql(&store, "SELECT DISTINCT toDate(latest_at) FROM author_scores").await, "2026-03-02");
}

#[tokio::test]
async fn a_farm_in_the_store_has_no_authority_and_its_master_is_no_influencer() {
    let Some(store) = store("authors_farm").await else { return };
    let handles: Vec<[String; 2]> =
        (0..40).map(|n| [format!("h{}", (n + 1) % 40), format!("h{}", (n + 9) % 40)]).collect();
    let mut rows = Vec::new();
    // Forty people who answer each other over two months; two of them speak of somebody ordinary.
    let people: Vec<String> = (0..40).map(|n| format!("h{n}")).collect();
    let to_ordinary = ["ordinary".to_owned()];
    let backward: Vec<[String; 1]> = (0..40).map(|n| [format!("h{}", (n + 39) % 40)]).collect();
    for n in 0..40_u64 {
        let person = people[n as usize].as_str();
        rows.push(MentionRow { mentioned: &handles[n as usize], ..by(person, "acme", n, MARCH + n as i64 * HOUR) });
        rows.push(MentionRow {
            mentioned: &backward[n as usize],
            ..by(person, "acme", 100 + n, MARCH + 60 * DAY + n as i64 * HOUR)
        });
        if n % 20 == 0 {
            rows.push(MentionRow { mentioned: &to_ordinary, ..by(person, "acme", 200 + n, MARCH + 30 * DAY) });
        }
    }
    rows.push(by("ordinary", "acme", 300, MARCH + 30 * DAY));
    // A thousand accounts of a week that praise, answer and repeat their master, and speak to everybody.
    let farm: Vec<String> = (0..1000).map(|n| format!("bot{n}")).collect();
    let master = MentionRow { author_followers: Some(200_000), ..by("master", "acme", 5000, MARCH + 50 * DAY) };
    rows.push(master.clone());
    rows.push(MentionRow {
        mentioned: &farm,
        message_id: id(5001),
        published_at: MARCH + 57 * DAY,
        observed_at: MARCH + 57 * DAY,
        ..master
    });
    let spoken_to: Vec<[String; 3]> = (0..1000)
        .map(|n| ["master".to_owned(), format!("bot{}", (n * 7 + 1) % 1000), format!("h{}", n % 40)])
        .collect();
    for n in 0..2000_u64 {
        let account = n as usize % 1000;
        rows.push(MentionRow {
            mentioned: &spoken_to[account],
            in_reply_to: id(5000),
            repost_of: id(5001),
            ..by(&farm[account], "acme", 6000 + n, MARCH + 50 * DAY + n as i64 * 5 * HOUR / 60)
        });
    }
    store.insert_mentions(&rows).await.unwrap();
    refresh(&store, &Rules::default()).await.unwrap();
    let farm = "SELECT count(), max(authority) FROM author_scores WHERE author = 'master' OR startsWith(author, 'bot')";
    assert_eq!(sql(&store, farm).await, "1001\t0");
    let others = "SELECT min(authority) > 1 FROM author_scores WHERE author = 'ordinary' OR startsWith(author, 'h')";
    assert_eq!(sql(&store, others).await, "1");
    let master = "SELECT has(segments, 'influencer') FROM brand_authors WHERE author = 'master'";
    assert_eq!(sql(&store, master).await, "0");
}

/// The airlines' tweets on an embedded installation.
fn airline_site() -> Option<Site> {
    let (Some(data), Some(())) = (real_data(), libchdb()) else { return None };
    Some(Site::embedded(|_| airlines::brands() + &airlines::tweets(&data.join("real/airline_tweets.jsonl"), "")))
}

#[test]
fn the_airlines_have_advocates_and_detractors() {
    let Some(site) = airline_site() else { return };
    site.run_until_idle();
    let figures = site.figures();
    let authors: u64 = site.sql("SELECT count() FROM author_scores").trim().parse().unwrap();
    let expected = site.sql("SELECT uniqExact(author_handle) FROM mentions WHERE direction = 'inbound'");
    assert_eq!(authors.to_string(), expected.trim());

    // Advocacy of everybody, worked out another way: all tweets are of the last two weeks.
    let wrong = "SELECT count() FROM brand_authors AS found INNER JOIN ( \
            SELECT brand, author_handle AS author, \
                sum(multiIf(has(intents, 'spam'), 0, intents = ['question'], 0.5, 1) \
                    * exp2(-7 * intDiv(dateDiff('millisecond', published_at, latest), 604800000) / 180) AS weight) AS all, \
                100 * sum(weight * multiIf(sentiment = 'positive', 1, sentiment = 'negative', -1, 0)) / (all + 3) AS advocacy \
            FROM mentions, (SELECT max(published_at) AS latest FROM mentions) AS latest \
            WHERE sentiment != 'unsure' GROUP BY brand, author) AS expected USING (brand, author) \
        WHERE abs(found.advocacy - expected.advocacy) > 0.001";
    assert_eq!(site.sql(wrong).trim(), "0");
    let compared = "SELECT count() > 3000 FROM brand_authors WHERE advocacy_evidence > 0";
    assert_eq!(site.sql(compared).trim(), "1");

    // Airlines on Twitter: far more people complain than praise, three times or more.
    let segments = site.sql(
        "SELECT segment, count() FROM brand_authors ARRAY JOIN segments AS segment GROUP BY segment ORDER BY segment",
    );
    insta::assert_snapshot!("airline_segments", segments);
    let sides = "SELECT countIf(has(segments, 'advocate') AND negative >= positive), \
                        countIf(has(segments, 'detractor') AND positive >= negative) FROM brand_authors";
    assert_eq!(site.sql(sides).trim(), "0\t0");

    // The extremes among those with eight tweets or more: nine complaints and three tweets without a side make
    // -900 / (12 + 3) = -60, thirteen praises, one of them in a question, and three without a side
    // 1250 / (12.5 + 3 + 3) = 67.6.
    let one = site.sql(
        "SELECT brand, author, positive, neutral, negative, unsure, round(advocacy, 1), segments FROM brand_authors \
         WHERE author IN (SELECT author FROM brand_authors WHERE mentions >= 8) ORDER BY advocacy, author, brand",
    );
    let lines: Vec<&str> = one.lines().collect();
    let ends = [&lines[..3], &lines[lines.len() - 3..]].concat().join("\n");
    insta::assert_snapshot!("airline_extremes", ends);

    let page = site.hearken(&["author", lines[0].split('\t').nth(1).unwrap()]).output().unwrap();
    assert!(page.status.success(), "{}", String::from_utf8_lossy(&page.stderr));
    insta::assert_snapshot!("airline_author", String::from_utf8(page.stdout).unwrap());
    let report = String::from_utf8(site.hearken(&["report"]).output().unwrap().stdout).unwrap();
    assert!(report.contains("advocates  SMHillman +68"), "{report}");
    assert!(report.contains("detractors Ltos5363 -70"), "{report}");
    let nobody = site.hearken(&["author", "nobody at all"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(65));

    site.replay();
    assert_eq!(site.figures(), figures, "after a replay");
}

#[test]
fn scores_are_the_same_after_kill_9() {
    let Some(site) = airline_site() else { return };
    let Some(quiet) = airline_site() else { return };
    quiet.run_until_idle();
    for pause in [1500, 2500, 4000] {
        let daemon = site.start();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        daemon.kill();
    }
    site.run_until_idle();
    assert_eq!(site.figures(), quiet.figures());
}
