//! The demo's data is what `config/demo/README.md` says: the sources read it with the shipped field
//! mappings, and the shipped brands find it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use hearken::config::{Config, Environment};
use hearken::query::{Matcher, Scratch};
use hearken_connectors::registry::{self, Parsed};
use hearken_connectors::{Kind, Message, MessageId};
use jiff::{SignedDuration, Timestamp};

const NOW: &str = "2025-05-04T10:00:00Z";
const FORTNIGHT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Minutes before the start in which the crisis runs: first accident to recall.
const CRISIS: std::ops::Range<i64> = 7410..8940;

fn demo_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo")
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Reads a file of the set and fills its placeholders.
fn filled(name: &str) -> String {
    let template = std::fs::read_to_string(demo_dir().join(name)).unwrap();
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (placeholder, rest) =
            part.split_once("}}").unwrap_or_else(|| panic!("{name}: a placeholder is not closed"));
        text.push_str(&value(placeholder).unwrap_or_else(|| panic!("{name}: unknown placeholder {placeholder}")));
        text.push_str(rest);
    }
    text
}

fn value(placeholder: &str) -> Option<String> {
    if let "here" | "address" = placeholder {
        return Some(placeholder.to_owned());
    }
    let (minutes, format) = placeholder.strip_prefix("minutes_ago:")?.split_once('|')?;
    let minutes: i64 = minutes.parse().ok().filter(|minutes| (0..=20160).contains(minutes))?;
    let at = now() - SignedDuration::from_mins(minutes);
    match format {
        "rfc3339" => Some(at.to_string()),
        "rfc2822" => Some(at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()),
        _ => None,
    }
}

fn config() -> Config {
    let environment: Environment = [("HOME".to_owned(), "/home/ann".to_owned())].into_iter().collect();
    Config::parse(&filled("hearken.toml"), "hearken.toml", &environment).unwrap_or_else(|error| panic!("{error}"))
}

/// What a source of the demo hears in a file of the set.
fn parsed(config: &Config, source: &str, file: &str) -> Parsed {
    let source = config.sources.iter().find(|configured| configured.name == source).unwrap();
    let channel = registry::channel(&source.channel).unwrap();
    (channel.parse)(source.settings.clone(), &source.name, filled(file).as_bytes()).unwrap()
}

fn feeds(config: &Config) -> Vec<Parsed> {
    let source = config.sources.iter().find(|source| source.name == "news").unwrap();
    let urls = source.settings["urls"].as_array().unwrap();
    let names = urls.iter().map(|url| url.as_str().unwrap().strip_prefix("http://address/").unwrap());
    names.map(|name| parsed(config, "news", &format!("feeds/{name}"))).collect()
}

/// Everything that is heard, in the order of each file.
fn all_messages(config: &Config) -> Vec<Message> {
    let files = [("posts", "posts.jsonl"), ("forum", "forum.jsonl"), ("reviews", "reviews.csv")];
    let mut messages: Vec<_> = files.iter().flat_map(|(source, file)| parsed(config, source, file).messages).collect();
    messages.extend(feeds(config).into_iter().flat_map(|parsed| parsed.messages));
    messages
}

/// The messages as the store shows them in the end: the highest version of each that is not deleted.
fn current(messages: &[Message]) -> Vec<&Message> {
    let mut latest: BTreeMap<MessageId, &Message> = BTreeMap::new();
    for message in messages {
        let entry = latest.entry(message.id).or_insert(message);
        if message.version > entry.version {
            *entry = message;
        }
    }
    latest.into_values().filter(|message| !message.deleted).collect()
}

/// Names of the brands that each message speaks of.
struct Brands {
    names: Vec<String>,
    matcher: Matcher,
    scratch: Scratch,
}

impl Brands {
    fn new(config: &Config) -> Self {
        Self {
            names: config.brands.iter().map(|brand| brand.name.clone()).collect(),
            matcher: Matcher::compile(&config.queries()).unwrap(),
            scratch: Scratch::default(),
        }
    }

    fn of(&mut self, message: &Message) -> BTreeSet<String> {
        let matches = self.matcher.matches(message, &mut self.scratch);
        matches.into_iter().map(|found| self.names[found.brand].clone()).collect()
    }
}

#[test]
fn the_set_is_large_and_varied() {
    let config = config();
    let messages = all_messages(&config);
    let current = current(&messages);
    assert!(current.len() >= 600, "{}", current.len());

    let mut languages: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for message in &current {
        *kinds.entry(message.kind).or_default() += 1;
        if let Some(language) = &message.language {
            *languages.entry(language).or_default() += 1;
        }
    }
    for language in ["en", "de", "es", "fa", "pl", "tr", "uk", "zh"] {
        assert!(languages[language] >= 30, "{languages:?}");
    }
    for kind in [Kind::Post, Kind::Reply, Kind::Repost, Kind::Quote, Kind::Comment, Kind::Review, Kind::Article] {
        assert!(kinds.get(&kind).is_some_and(|count| *count >= 5), "{kinds:?}");
    }
    let bots: BTreeSet<_> =
        current.iter().filter(|message| message.author.bot).map(|message| &message.author.id).collect();
    assert!(bots.len() >= 5, "{bots:?}");
    let influencers = current.iter().filter(|message| message.author.followers.is_some_and(|count| count > 20_000));
    assert!(influencers.count() >= 20);
}

#[test]
fn every_brand_is_talked_about() {
    let config = config();
    let mut brands = Brands::new(&config);
    config.check_examples(&brands.matcher).unwrap_or_else(|error| panic!("{error}"));

    let messages = all_messages(&config);
    let mut mentions: BTreeMap<String, usize> = BTreeMap::new();
    let mut without = 0;
    for message in current(&messages) {
        let spoken_of = brands.of(message);
        without += usize::from(spoken_of.is_empty());
        for brand in spoken_of {
            *mentions.entry(brand).or_default() += 1;
        }
    }
    for brand in ["Brunhaal", "Kavrino", "Ostrenza"] {
        assert!(mentions[brand] >= 100, "{mentions:?}");
    }
    assert!(without >= 30, "{without}");
}

#[test]
fn every_script_of_a_name_is_found() {
    let config = config();
    let mut brands = Brands::new(&config);
    let messages = all_messages(&config);
    for (brand, names) in [
        ("Brunhaal", ["Brunhaal'ın", "Brunhal ", "Brunhaala", "Брунгалів", "برون‌هال", "布伦哈尔", "ブルンハール"]),
        ("Kavrino", ["KAVRİNO", "Cavrino", "Kavrino'yu", "Кавріно", "کاورینو", "卡弗里诺", "カヴリーノ"]),
        ("Ostrenza", ["Ostrenza'nın", "Ostrensa", "Ostrenzę", "Остренцу", "استرنزا", "奥斯伦扎", "أوسترينزا"]),
    ] {
        for name in names {
            let message = messages.iter().find(|message| message.text.contains(name));
            let message = message.unwrap_or_else(|| panic!("nobody writes {name}"));
            assert!(brands.of(message).contains(brand), "{name}: {}", message.text);
        }
    }
}

#[test]
fn threads_hold_together() {
    let config = config();
    let messages = all_messages(&config);
    let published: HashMap<MessageId, Timestamp> =
        messages.iter().filter(|message| !message.deleted).map(|message| (message.id, message.published_at)).collect();
    let mut depth: HashMap<MessageId, usize> = HashMap::new();
    for message in messages.iter().filter(|message| !message.deleted) {
        for target in message.in_reply_to.iter().chain(&message.repost_of) {
            let before = published.get(target).unwrap_or_else(|| panic!("{} answers nobody", message.native_id));
            assert!(*before < message.published_at, "{} comes before what it answers", message.native_id);
        }
        let above = message.in_reply_to.and_then(|parent| depth.get(&parent).copied());
        depth.insert(message.id, above.map_or(0, |above| above + 1));
        if message.channel == "social" || message.channel == "forum" {
            let root = MessageId::of(&message.channel, &message.conversation);
            assert!(published.contains_key(&root), "{} is in no thread", message.native_id);
        }
    }
    assert!(depth.values().filter(|depth| **depth > 0).count() >= 120);
    assert!(depth.values().max().unwrap() >= &3);
}

#[test]
fn edits_replace_and_deletions_remove() {
    let config = config();
    let mut brands = Brands::new(&config);
    let messages = all_messages(&config);
    let mut revisions: BTreeMap<MessageId, Vec<&Message>> = BTreeMap::new();
    for message in &messages {
        revisions.entry(message.id).or_default().push(message);
    }

    let (mut edits, mut deletions, mut forgotten_brands) = (0, 0, 0);
    for versions in revisions.values() {
        assert!(!versions[0].deleted, "{} is deleted before it is known", versions[0].native_id);
        for pair in versions.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            assert!(after.version > before.version, "{}", after.native_id);
            if after.deleted {
                deletions += 1;
                continue;
            }
            assert_ne!(after.text, before.text, "{}", after.native_id);
            edits += 1;
            forgotten_brands += usize::from(!brands.of(before).is_empty() && brands.of(after).is_empty());
        }
    }
    assert!(edits >= 5, "{edits}");
    assert_eq!(deletions, 4);
    assert_eq!(forgotten_brands, 1);
}

#[test]
fn broken_records_are_the_ones_that_are_meant() {
    let config = config();
    for (source, file, broken) in
        [("posts", "posts.jsonl", 5), ("forum", "forum.jsonl", 0), ("reviews", "reviews.csv", 2)]
    {
        let poison = parsed(&config, source, file).poison;
        assert_eq!(poison.len(), broken, "{poison:#?}");
    }
    for parsed in feeds(&config) {
        assert!(parsed.messages.len() >= 8, "{}", parsed.messages.len());
        assert_eq!(parsed.poison, []);
    }
}

#[test]
fn a_crisis_stands_out() {
    let config = config();
    let mut brands = Brands::new(&config);
    let messages = all_messages(&config);
    let (mut during, mut before) = (0, 0);
    for message in current(&messages) {
        let age = now().duration_since(message.published_at);
        assert!(!age.is_negative() && age <= FORTNIGHT, "{}", message.native_id);
        if brands.of(message).contains("Ostrenza") {
            during += usize::from(CRISIS.contains(&age.as_mins()));
            before += usize::from(age.as_mins() >= CRISIS.end);
        }
    }
    let per_day = |mentions: usize, minutes: i64| mentions as f64 * 1440.0 / minutes as f64;
    let calm = per_day(before, 20160 - CRISIS.end);
    let crisis = per_day(during, CRISIS.end - CRISIS.start);
    assert!(crisis > 4.0 * calm, "{crisis} a day against {calm} a day");
}

#[test]
fn live_posts_are_new_and_about_the_brands() {
    let config = config();
    let mut brands = Brands::new(&config);
    let known: BTreeSet<_> = all_messages(&config).into_iter().map(|message| message.id).collect();
    let live = parsed(&config, "posts", "live.jsonl");
    assert_eq!(live.poison, []);
    assert!(live.messages.len() >= 10);
    for message in &live.messages {
        assert!(!known.contains(&message.id), "{}", message.native_id);
        assert!(!brands.of(message).is_empty(), "{}", message.text);
        assert_eq!(message.published_at, now());
    }
}
