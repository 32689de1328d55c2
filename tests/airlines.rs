//! How well the queries of `config/airlines.toml` find what was said to six airlines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use hearken::config::{Config, Environment};
use hearken::query::{Matcher, Scratch};

/// Brand, what the data call it, and the least precision and recall in percent.
///
/// The data name the one airline that a tweet was sent to; a query finds those that speak of it, so that a tweet which names
/// two airlines counts against one of them. There is nothing else in what is found beyond an airline's own: in that month
/// American and US Airways were becoming one. The `Delta` of the data is JetBlue, save for one tweet to Delta itself.
const FLOORS: [(&str, &str, f64, f64); 6] = [
    ("American", "American", 91.0, 99.5),
    ("JetBlue", "Delta", 98.0, 99.5),
    ("Southwest", "Southwest", 97.5, 99.5),
    ("US Airways", "US Airways", 95.0, 99.5),
    ("United", "United", 98.0, 99.5),
    ("Virgin America", "Virgin America", 97.0, 99.5),
];

#[derive(Default)]
struct Tally {
    /// Tweets that were sent to the airline.
    sent: usize,
    /// Of these, found.
    found: usize,
    /// Found, but sent to another one.
    others: usize,
}

#[test]
fn each_airline_finds_its_own_tweets() {
    let Some(data) = support::real_data() else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/airlines.toml");
    let environment: Environment = [("HOME".to_owned(), "/home/ann".to_owned())].into_iter().collect();
    let config = Config::load(&file, &environment).unwrap();
    let matcher = Matcher::compile(&config.queries()).unwrap();
    let called: BTreeMap<&str, &str> = FLOORS.iter().map(|(brand, called, ..)| (*brand, *called)).collect();
    let brands: Vec<&str> = config.brands.iter().map(|brand| brand.name.as_str()).collect();

    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut scratch = Scratch::default();
    for line in std::fs::read_to_string(data.join("real/airline_tweets.jsonl")).unwrap().lines() {
        let tweet: serde_json::Value = serde_json::from_str(line).unwrap();
        let found = matcher.matches(tweet["text"].as_str().unwrap(), &mut scratch);
        for (index, brand) in brands.iter().enumerate() {
            let tally = tallies.entry(brand).or_default();
            let is_found = found.iter().any(|found| found.brand == index);
            let is_sent = tweet["airline"] == called[brand];
            tally.sent += usize::from(is_sent);
            tally.found += usize::from(is_sent && is_found);
            tally.others += usize::from(!is_sent && is_found);
        }
    }

    println!("{:<16} {:>6} {:>10} {:>8}", "brand", "tweets", "precision", "recall");
    for (brand, _, least_precision, least_recall) in FLOORS {
        let Tally { sent, found, others } = tallies[brand];
        let precision = 100.0 * found as f64 / (found + others) as f64;
        let recall = 100.0 * found as f64 / sent as f64;
        println!("{brand:<16} {sent:>6} {precision:>10.2} {recall:>8.2}");
        assert!(precision >= least_precision && recall >= least_recall, "{brand}: {precision:.2}, {recall:.2}");
    }
}
