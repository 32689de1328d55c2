//! What the queries of many brands cost: 10, 100, 1,000 and 10,000 of them over 200,000 messages, all at once, each
//! alone, and as regular expressions.
//!
//! `HEARKEN_TEST_DATA=... cargo bench --bench queries -- [MESSAGES [QUERIES]]`. The messages are real tweets and reviews in
//! many languages, in an order made by chance; the queries are made out of their words (`support/brands.rs`).
//!
//! The rivals get ten seconds each, and their rates are taken from what they read meanwhile:
//! - *alone*: each query compiled by itself and asked in turn, which has to find the same;
//! - *regex*: one expression for each query, of the brand's names, handles and hashtags as words, all in one `RegexSet`. It
//!   knows neither context nor `NOT`, and reads letters as they are written (`café` is not found by `cafe`, `Coca-Cola`
//!   not by `coca cola`), so that it cannot find the same; how much of it, is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)]

#[path = "support/brands.rs"]
mod brands;
#[path = "support/chance.rs"]
mod chance;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use brands::Brand;
use chance::Chance;
use hearken::query::{BrandQuery, Matcher, Scratch};
use hearken_connectors::{Kind, Message};
use jiff::Timestamp;
use regex::{RegexSet, RegexSetBuilder};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const DEFAULT_MESSAGES: usize = 200_000;
/// Characters of a message, at most; longer texts are no tweets.
const LONGEST: usize = 300;
/// How long a rival is watched.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a set of regular expressions may take.
const REGEX_MEMORY: usize = 1 << 30;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, file] = arguments.as_slice()
        && mode == "memory"
    {
        return print_memory(Path::new(file));
    }
    let Some(data) = support::real_data() else { return };
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let count = numbers.next().unwrap_or(DEFAULT_MESSAGES);
    let largest = numbers.next().unwrap_or(SIZES[SIZES.len() - 1]);
    let texts = texts(&data);
    let brands = brands::brands(&texts, largest);
    let messages = messages(&texts, count);
    let bytes: usize = messages.iter().map(|message| message.text.len()).sum();
    println!("{} messages, {:.0} bytes each; one thread\n", messages.len(), bytes as f64 / messages.len() as f64);

    let mut smallest_cost = None;
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let brands = &brands[..size];
        let queries: Vec<BrandQuery> = brands.iter().map(|brand| brand.query.clone()).collect();
        let start = Instant::now();
        let matcher = Matcher::compile(&queries).unwrap();
        println!("{size} queries, compiled in {:.2?}, {}", start.elapsed(), memory(&queries));

        let (found, rate) = watched(&messages, Duration::MAX, &mut matched_by(&matcher));
        let cost = 1.0 / rate;
        let times = cost / *smallest_cost.get_or_insert(cost);
        let finds: usize = found.iter().map(Vec::len).sum();
        println!("  all at once  {rate:>12.0} messages/s  {finds} found; costs {times:.2} times as much as 10 queries");

        let alone: Vec<Matcher> =
            queries.iter().map(|query| Matcher::compile(std::slice::from_ref(query)).unwrap()).collect();
        let (others, slow) = watched(&messages, PATIENCE, &mut matched_alone(&alone));
        assert!(found.iter().zip(&others).all(|(all, alone)| all == alone), "alone they find something else");
        println!(
            "  alone        {slow:>12.0} messages/s  {:.0} times slower; {} messages, found the same",
            rate / slow,
            others.len()
        );
        drop(alone);

        regular_expressions(brands, &messages, &found, rate);
        println!();
    }
}

/// Reads messages one after the other, as long as there is patience; what was found in each, and messages a second.
fn watched(
    messages: &[Message],
    patience: Duration,
    find: &mut dyn FnMut(&Message) -> Vec<usize>,
) -> (Vec<Vec<usize>>, f64) {
    let mut found = Vec::with_capacity(messages.len());
    let start = Instant::now();
    for message in messages {
        found.push(find(message));
        if start.elapsed() > patience {
            break;
        }
    }
    let rate = found.len() as f64 / start.elapsed().as_secs_f64();
    (found, rate)
}

fn matched_by(matcher: &Matcher) -> impl FnMut(&Message) -> Vec<usize> {
    let mut scratch = Scratch::default();
    move |message: &Message| matcher.matches(message, &mut scratch).into_iter().map(|found| found.brand).collect()
}

fn matched_alone(matchers: &[Matcher]) -> impl FnMut(&Message) -> Vec<usize> {
    let mut asked: Vec<_> = matchers.iter().map(matched_by).collect();
    move |message: &Message| {
        let found =
            asked.iter_mut().enumerate().filter_map(|(index, find)| (!find(message).is_empty()).then_some(index));
        found.collect()
    }
}

/// The set of regular expressions, beside what the queries found.
fn regular_expressions(brands: &[Brand], messages: &[Message], found: &[Vec<usize>], rate: f64) {
    let start = Instant::now();
    let set = match regex_set(brands) {
        Ok(set) => set,
        Err(error) => return println!("  regex        none: {error}"),
    };
    let compiled = start.elapsed();
    let mut find = |message: &Message| set.matches(&message.text).into_iter().collect();
    let (others, slow) = watched(messages, PATIENCE, &mut find);
    let pairs = || found.iter().zip(&others);
    let ours: usize = pairs().map(|(ours, _)| ours.len()).sum();
    let theirs: usize = others.iter().map(Vec::len).sum();
    let both: usize = pairs().map(|(ours, theirs)| ours.iter().filter(|query| theirs.contains(query)).count()).sum();
    println!(
        "  regex        {slow:>12.0} messages/s  {:.0} times slower; {} messages, compiled in {compiled:.2?}, found {both} \
         of {ours} and {} others",
        rate / slow,
        others.len(),
        theirs - both
    );
}

fn regex_set(brands: &[Brand]) -> Result<RegexSet, regex::Error> {
    let expressions = brands.iter().map(|brand| {
        let edge = |c: Option<char>| if c.is_some_and(|c| c.is_alphanumeric() || c == '_') { r"\b" } else { "" };
        let word = |name: &String| {
            let (start, end) = (edge(name.chars().next()), edge(name.chars().next_back()));
            format!("{start}{}{end}", regex::escape(name))
        };
        brand.names.iter().map(word).collect::<Vec<_>>().join("|")
    });
    let mut set = RegexSetBuilder::new(expressions);
    set.case_insensitive(true).size_limit(REGEX_MEMORY).dfa_size_limit(REGEX_MEMORY).build()
}

/// Texts of tweets and reviews in an order made by chance.
fn texts(data: &Path) -> Vec<String> {
    let tweets = std::fs::read_to_string(data.join("real/airline_tweets.jsonl")).unwrap();
    let tweet = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    let mut texts: Vec<String> = tweets.lines().map(tweet).collect();
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("sentiment")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "tsv")) {
        let rows = std::fs::read_to_string(file).unwrap();
        texts.extend(rows.lines().filter_map(|row| Some(row.split_once('\t')?.1.to_owned())));
    }
    texts.retain(|text| text.chars().count() <= LONGEST);
    Chance(0x5eed).shuffle(&mut texts);
    texts
}

/// The texts as tweets, again from the first one where they are too few.
fn messages(texts: &[String], count: usize) -> Vec<Message> {
    let mut chance = Chance(0xf011);
    let now = Timestamp::UNIX_EPOCH;
    let said = texts.iter().cycle().take(count).enumerate().map(|(number, text)| {
        let mut message = Message::new("twitter", "tweets", &number.to_string(), now, now);
        message.text.clone_from(text);
        message.author.followers = Some(u64::from(chance.skewed(100_000)));
        message.kind = if text.starts_with("RT ") { Kind::Repost } else { Kind::Post };
        message
    });
    said.collect()
}

/// What the compiled queries take, measured in a process that does nothing else.
fn memory(queries: &[BrandQuery]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: String = queries.iter().map(|query| format!("{}\n", query.query)).collect();
    std::fs::write(file.path(), lines).unwrap();
    let output = Command::new(std::env::current_exe().unwrap()).arg("memory").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Compiles the queries of a file, one a line, and prints how much more memory the process has then.
fn print_memory(file: &Path) {
    let lines = std::fs::read_to_string(file).unwrap();
    let query = |(number, query): (usize, &str)| BrandQuery { brand: number.to_string(), query: query.to_owned() };
    let queries: Vec<BrandQuery> = lines.lines().enumerate().map(query).collect();
    let before = resident();
    let matcher = Matcher::compile(&queries).unwrap();
    println!("{:.1} MiB", (resident() - before) / 1024.0);
    drop(matcher);
}

/// Resident memory of this process in KiB (proc(5)).
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
