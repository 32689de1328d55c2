//! Six airlines as brands, and their tweets as a source.
#![allow(clippy::unwrap_used)]

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
