//! How well intents are told, on texts that a person has read and labelled for it.
//!
//! `airline.tsv` and `world.tsv` hold the label of each text, not the text: that is found in the real data, by the id of
//! the tweet, or by file and line. The even rows were looked at while the rules were written, the odd ones were not:
//!
//! ```sh
//! HEARKEN_TEST_DATA=DATA cargo test --test intents -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::Path;

use hearken::score::{Intent, Scorer};

#[path = "../support/mod.rs"]
mod support;

/// A text with what its author wants: by a person, and by the rules.
struct Judged {
    person: Vec<Intent>,
    rules: Vec<Intent>,
}

/// How often an intent was told, and how often rightly.
#[derive(Default, Clone, Copy)]
struct Tally {
    wanted: usize,
    told: usize,
    right: usize,
}

impl Tally {
    fn of(intent: Intent, judged: &[&Judged]) -> Self {
        let count = |holds: fn(bool, bool) -> bool| {
            let both = |one: &&&Judged| holds(one.person.contains(&intent), one.rules.contains(&intent));
            judged.iter().filter(both).count()
        };
        Self {
            wanted: count(|person, _| person),
            told: count(|_, rules| rules),
            right: count(|person, rules| person && rules),
        }
    }

    fn precision(self) -> f64 {
        self.right as f64 / self.told as f64
    }

    fn recall(self) -> f64 {
        self.right as f64 / self.wanted as f64
    }
}

fn labels(file: &str) -> Vec<(&str, Vec<Intent>)> {
    let intent = |name: &str| Intent::ALL.into_iter().find(|intent| intent.as_str() == name).unwrap();
    let rows = file.lines().map(|line| line.split_once('\t').unwrap_or((line, "")));
    rows.map(|(id, names)| (id, names.split(',').filter(|name| !name.is_empty()).map(intent).collect())).collect()
}

fn airline_texts(data: &Path) -> HashMap<String, String> {
    let file = std::fs::read_to_string(data.join("real/airline_tweets.jsonl")).unwrap();
    let tweets = file.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let field = |tweet: &serde_json::Value, name: &str| tweet[name].as_str().unwrap().to_owned();
    tweets.map(|tweet| (field(&tweet, "id"), field(&tweet, "text"))).collect()
}

/// `NAME:LINE` is a line of the file `NAME.tsv`.
fn world_text(data: &Path, id: &str) -> String {
    let (name, line) = id.split_once(':').unwrap();
    let file = std::fs::read_to_string(data.join(format!("sentiment/{name}.tsv"))).unwrap();
    file.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().split_once('\t').unwrap().1.to_owned()
}

/// Prints the table of one half; returns it.
fn table(name: &str, judged: &[&Judged]) -> Vec<Tally> {
    println!("{name}: {} texts", judged.len());
    println!("{:<12} {:>7} {:>6} {:>10} {:>7}", "intent", "people", "rules", "precision", "recall");
    let tallies: Vec<Tally> = Intent::ALL.into_iter().map(|intent| Tally::of(intent, judged)).collect();
    for (intent, tally) in Intent::ALL.into_iter().zip(&tallies) {
        let Tally { wanted, told, .. } = tally;
        let (precision, recall) = (100.0 * tally.precision(), 100.0 * tally.recall());
        println!("{:<12} {wanted:>7} {told:>6} {precision:>10.1} {recall:>7.1}", intent.as_str());
    }
    tallies
}

#[test]
fn intents_are_told_as_people_tell_them() {
    let Some(data) = support::real_data() else { return };
    let scorer = Scorer::built_in().unwrap();
    let tweets = airline_texts(&data);
    let judge = |(id, person): (&str, Vec<Intent>), text: &str| {
        assert!(!text.is_empty(), "{id}");
        Judged { person, rules: scorer.score_text(text).intents }
    };
    let airline: Vec<Judged> =
        labels(include_str!("airline.tsv")).into_iter().map(|(id, person)| judge((id, person), &tweets[id])).collect();
    let world: Vec<Judged> = labels(include_str!("world.tsv"))
        .into_iter()
        .map(|(id, person)| judge((id, person), &world_text(&data, id)))
        .collect();
    for (name, judged, least) in [("tweets to airlines", &airline, 0.65), ("many languages", &world, 0.3)] {
        let half = |wanted: usize| {
            judged.iter().enumerate().filter(move |(row, _)| row % 2 == wanted).map(|(_, judged)| judged)
        };
        table(&format!("{name}, looked at"), &half(0).collect::<Vec<_>>());
        let tallies = table(&format!("{name}, not looked at"), &half(1).collect::<Vec<_>>());
        // Purchase and spam are too few here to say anything of.
        for (intent, tally) in Intent::ALL.into_iter().zip(tallies).take(3) {
            let (precision, recall) = (tally.precision(), tally.recall());
            let f1 = 2.0 * precision * recall / (precision + recall);
            assert!(f1 > least, "{} in {name}: {f1}", intent.as_str());
        }
    }
}
