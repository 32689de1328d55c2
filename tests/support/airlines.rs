//! Six airlines as brands, and their tweets as a source.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt::Write;
use std::path::Path;

/// Brand and the handles that it answers to.
pub const AIRLINES: [(&str, &[&str]); 6] = [
    ("American", &["americanair"]),
    ("JetBlue", &["jetblue", "deltaassist"]),
    ("Southwest", &["southwestair"]),
    ("US Airways", &["usairways"]),
    ("United", &["united"]),
    ("Virgin America", &["virginamerica"]),
];

/// The airlines as `[[brand]]`.
pub fn brands() -> String {
    let mut config = String::new();
    for (name, handles) in AIRLINES {
        let others: Vec<&str> = AIRLINES.iter().map(|(other, _)| *other).filter(|other| *other != name).collect();
        writeln!(config, "[[brand]]\nname = {name:?}\nhandles = {handles:?}\ncompetitors = {others:?}").unwrap();
    }
    config
}

/// The tweets as a source of channel `file`; `more` adds fields to the mapping.
pub fn tweets(path: &Path, more: &str) -> String {
    format!(
        "[source.tweets]\nchannel = \"file\"\npath = {path:?}\n\
         [source.tweets.set]\nchannel = \"twitter\"\n\
         [source.tweets.fields]\nid = \"id\"\ntext = \"text\"\npublished_at = \"created_at\"\n\
         author.handle = \"author\"\nengagement.reposts = \"retweet_count\"\n{more}\n"
    )
}

/// The tweets without end, each copy with its own ids and authors.
pub fn copies(tweets: &Path) -> impl Iterator<Item = serde_json::Value> {
    let text = std::fs::read_to_string(tweets).unwrap();
    let tweets: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (0..).map(move |index: usize| {
        let (mut tweet, copy) = (tweets[index % tweets.len()].clone(), index / tweets.len());
        tweet["id"] = format!("{}-{copy}", tweet["id"].as_str().unwrap()).into();
        tweet["author"] = format!("{}{copy}", tweet["author"].as_str().unwrap()).into();
        tweet
    })
}
