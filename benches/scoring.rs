//! The first tier against VADER, in Python and in Rust, on the same tweets, each in one thread, in turns.
//!
//! `script/bootstrap --bench; HEARKEN_TEST_DATA=... cargo bench --bench scoring -- [ROUNDS]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use hearken::score::{Model, Scorer};
use hearken_connectors::Message;
use jiff::Timestamp;
use vader_sentiment::SentimentIntensityAnalyzer;

const DEFAULT_ROUNDS: usize = 5;
/// Scores the texts of a file whenever it reads a line; says how many a second of processor time.
const PYTHON: &str = "
import sys, time
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
texts = open(sys.argv[1], encoding='utf-8').read().split('\\n')[:-1]
vader = SentimentIntensityAnalyzer()
for _ in sys.stdin:
    start = time.process_time()
    for text in texts: vader.polarity_scores(text)
    print(len(texts) / (time.process_time() - start), flush=True)
";

fn main() {
    let Some(data) = support::real_data() else { return };
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_ROUNDS);
    let file = std::fs::read_to_string(data.join("real/airline_tweets.jsonl")).unwrap();
    let text =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().replace('\n', " ");
    let texts: Vec<String> = file.lines().map(text).collect();
    let messages: Vec<Message> = texts.iter().map(|text| message(text)).collect();
    let (model, scorer) = (Model::built_in().unwrap(), Scorer::built_in().unwrap());
    let vader = SentimentIntensityAnalyzer::new();
    let dir = tempfile::tempdir().unwrap();
    let mut python = Python::start(dir.path(), &texts);

    let mut rates = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        rates[0].push(rate(texts.len(), || texts.iter().for_each(|text| ignore(model.predict(&[text], None)))));
        rates[1].push(rate(texts.len(), || messages.iter().for_each(|message| ignore(scorer.score(message)))));
        rates[2].push(rate(texts.len(), || texts.iter().for_each(|text| ignore(vader.polarity_scores(text)))));
        rates[3].extend(python.as_mut().map(Python::rate));
    }
    let [text, message, rust, python] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
    });
    println!("{} tweets, median of {rounds} rounds, per second of processor time of one thread", texts.len());
    for (name, rate) in [
        ("language and sentiment", text),
        ("everything, of a message", message),
        ("crate vader_sentiment", rust),
        ("Python vaderSentiment", python),
    ] {
        println!("{name:<26} {rate:>10.0}/s  {:>6.1} times Python's", rate / python);
    }
}

/// Keeps a result from being optimised away.
fn ignore<T>(result: T) {
    let _ = black_box(result);
}

fn message(text: &str) -> Message {
    let mut message = Message::new("twitter", "bench", "1", Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    message.text = text.to_owned();
    message
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let (start, wall) = (cpu_seconds(), Instant::now());
    work();
    let spent = cpu_seconds() - start;
    // Where there is no clock of the thread, the wall has to do.
    count as f64 / if spent > 0.0 { spent } else { wall.elapsed().as_secs_f64() }
}

/// Processor time of this thread (Linux).
fn cpu_seconds() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedule.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// VADER as its authors wrote it.
struct Python {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn start(dir: &std::path::Path, texts: &[String]) -> Option<Self> {
        let file = dir.join("texts.txt");
        std::fs::write(&file, texts.iter().map(|text| format!("{text}\n")).collect::<String>()).unwrap();
        let python = support::hearken_home().join("python/bin/python");
        let mut probe = Command::new(&python);
        let found = probe.args(["-c", "import vaderSentiment"]).stderr(Stdio::null()).status();
        let found = found.is_ok_and(|status| status.success()).then_some(());
        support::require("Python's vaderSentiment", found, "run: script/bootstrap --bench")?;
        let mut child = Command::new(python);
        child.args(["-c", PYTHON]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, answers })
    }

    fn rate(&mut self) -> f64 {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
