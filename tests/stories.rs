//! Stories: what is told again in nearly the same words is found, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "support/clickhouse.rs"]
mod clickhouse;
mod support;

use std::collections::BTreeMap;

use clickhouse::{HOUR, MARCH, id, mention, sql, store};
use hearken::score::{Fingerprint, Scorer};
use hearken::store::Store;
use hearken::store::rows::{MentionRow, revision};
use hearken::stories;
use hearken_connectors::Message;
use jiff::Timestamp;

const NEWS: &str =
    "Storm closes the airport of Springfield: hundreds of passengers wait for their flights until Sunday";

fn fingerprint(scorer: &Scorer, text: &str) -> Option<Fingerprint> {
    let mut message = Message::new("feed", "s", "1", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    message.text = text.to_owned();
    scorer.score(&message).fingerprint
}

/// Stores texts as the scorer does, an hour apart.
async fn tell(store: &Store, scorer: &Scorer, texts: &[(u64, &str)]) {
    for (number, text) in texts {
        let fingerprint = fingerprint(scorer, text);
        let row = MentionRow {
            fingerprint: fingerprint.as_ref().map_or(&[], |fingerprint| &fingerprint.0),
            published_at: MARCH + *number as i64 * HOUR,
            ..mention("acme", *number, text)
        };
        store.insert_mentions(&[row]).await.unwrap();
    }
}

async fn found(store: &Store) -> String {
    stories::find(store).await.unwrap();
    let told = "SELECT message_id, story FROM story_messages WHERE message_id IN (SELECT message_id FROM mentions) \
                ORDER BY message_id";
    sql(store, told).await
}

fn pairs(pairs: &[(u64, u64)]) -> String {
    pairs.iter().map(|(message, story)| format!("{}\t{}", id(*message), id(*story))).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn reposts_and_light_edits_are_one_story() {
    let Some(store) = store("stories_told").await else { return };
    let scorer = Scorer::built_in().unwrap();
    let repost = format!("RT @news: {NEWS} https://a.example/1 😱");
    let edited = NEWS.replace("hundreds", "dozens");
    let texts =
        [(1, NEWS), (2, "thank you so much"), (3, repost.as_str()), (4, edited.as_str()), (5, "thank you so much")];
    tell(&store, &scorer, &texts).await;
    assert_eq!(found(&store).await, pairs(&[(1, 1), (3, 1), (4, 1)]));
    assert_eq!(
        sql(&store, "SELECT brand, mentions, authors, told_first FROM stories").await,
        format!("acme\t3\t1\t{NEWS}")
    );
    let written = sql(&store, "SELECT count() FROM story_revisions").await;
    tell(&store, &scorer, &texts).await;
    assert_eq!(found(&store).await, pairs(&[(1, 1), (3, 1), (4, 1)]), "a replay changes nothing");
    assert_eq!(sql(&store, "SELECT count() FROM story_revisions").await, written, "and writes nothing");
}

#[tokio::test]
async fn an_earlier_message_renames_and_a_deletion_divides() {
    let Some(store) = store("stories_changed").await else { return };
    let scorer = Scorer::built_in().unwrap();
    tell(&store, &scorer, &[(5, NEWS), (6, NEWS)]).await;
    assert_eq!(found(&store).await, pairs(&[(5, 5), (6, 5)]));
    // Heard late: an older message of the same story.
    tell(&store, &scorer, &[(2, NEWS)]).await;
    assert_eq!(found(&store).await, pairs(&[(2, 2), (5, 2), (6, 2)]));
    let gone = |number| MentionRow { deleted: true, revision: revision(1, MARCH, 0), ..mention("acme", number, "") };
    store.insert_mentions(&[gone(2), gone(5)]).await.unwrap();
    assert_eq!(found(&store).await, "");
}

/// What is lost and what is confused, on tweets that are edited as people edit what they pass on.
#[test]
fn edits_of_real_tweets_are_found_and_other_tweets_are_not() {
    let Some(data) = support::real_data() else { return };
    let scorer = Scorer::built_in().unwrap();
    let file = std::fs::read_to_string(data.join("real/airline_tweets.jsonl")).unwrap();
    let tweets: Vec<String> = file
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    let fingerprints: Vec<Option<Fingerprint>> = tweets.iter().map(|text| fingerprint(&scorer, text)).collect();
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit); 4] = [
        ("repost, link, emoji", |text| format!("RT @somebody: {text} https://a.example/x 😡")),
        ("capitals, no punctuation", |text| text.to_uppercase().replace(['.', ',', '!'], "")),
        ("one word left out", |text| without_word(text, 1)),
        ("three words left out", |text| without_word(&without_word(&without_word(text, 1), 1), 1)),
    ];
    let mut shares = BTreeMap::new();
    for (name, edit) in edits {
        let near = tweets
            .iter()
            .zip(&fingerprints)
            .filter_map(|(text, own)| Some(own.as_ref()?.similarity(&fingerprint(&scorer, &edit(text))?) >= 0.6));
        let near: Vec<bool> = near.collect();
        let share = near.iter().filter(|near| **near).count() as f64 / near.len() as f64;
        println!("{name:<28} {:>6} tweets {:>6.1} % found", near.len(), 100.0 * share);
        shares.insert(name, share);
    }
    let known: Vec<(&String, Fingerprint)> =
        tweets.iter().zip(&fingerprints).filter_map(|(text, own)| Some((text, (*own)?))).collect();
    let mut confused = 0;
    for (place, (text, one)) in known.iter().enumerate() {
        for (other_text, other) in &known[place + 1..] {
            if one.similarity(other) >= 0.6 {
                confused += 1;
                println!("together: {text}\n          {other_text}");
            }
        }
    }
    println!("of {} pairs of tweets {confused} are together", known.len() * (known.len() - 1) / 2);
    assert!(shares["repost, link, emoji"] > 0.99, "{shares:?}");
    assert!(shares["one word left out"] > 0.95, "{shares:?}");
}

/// Leaves out the word in the middle.
fn without_word(text: &str, words: usize) -> String {
    let all: Vec<&str> = text.split(' ').collect();
    let middle = all.len() / 2;
    [&all[..middle], all.get(middle + words..).unwrap_or_default()].concat().join(" ")
}
