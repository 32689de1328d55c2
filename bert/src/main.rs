//! `hearken-bert`: scores texts with a transformer; beside a daemon, every mention again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hearken_bert::checkpoint::Checkpoint;
use hearken_bert::daemon::{Daemon, DaemonError};
use hearken_bert::eval::{self, Figures, Set, Shown};
use hearken_bert::judge::Judge;
use hearken_bert::metrics::{self, Metrics};
use hearken_bert::model::{Model, Options, Precision};
use hearken_bert::opinion::Probabilities;
use hearken_bert::run::{self, RunError};
use hearken_bert::telemetry;
use hearken_bert::texts::{ApiTexts, KafkaTexts, Texts, TextsError};
use hearken_bert::worker::Worker;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The command line is wrong (sysexits.h).
const USAGE: u8 = 64;
/// The input or the checkpoint is wrong.
const DATA: u8 = 65;
/// Something that is needed does not work.
const UNAVAILABLE: u8 = 69;
/// A bug.
const BUG: u8 = 70;
/// Where the token is, unless said otherwise; it need not be there.
const DEFAULT_TOKEN: &str = "env:HEARKEN_TOKEN";
/// Batches that wait for the model: there is one reader.
const QUEUE: usize = 1;
/// Texts that are read before they are scored.
const CHUNK: usize = 512;

/// Scores texts with a transformer: the second tier of Hearken.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Score texts on standard input, one a line; print JSON lines.
    Score(Loading),
    /// Give every mention of a daemon a second opinion, until it is stopped.
    Run(Run),
    /// Measure on labelled texts, beside the first tier and together with it.
    Eval(Eval),
}

/// Which model, and how it is run.
#[derive(Args)]
struct Loading {
    /// Directory of a Hugging Face checkpoint, or its name on the hub.
    #[arg(long, env = "HEARKEN_BERT_CHECKPOINT")]
    checkpoint: String,
    /// What the outputs mean, where the checkpoint does not say: `negative,neutral,positive`.
    #[arg(long, value_delimiter = ',')]
    labels: Option<Vec<String>>,
    /// How exactly it is computed.
    #[arg(long, value_enum, default_value_t = Exactness::Auto)]
    precision: Exactness,
    /// Threads of libtorch.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Longer texts are cut after so many tokens.
    #[arg(long, default_value_t = Options::default().tokens)]
    tokens: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Exactness {
    /// bf16 where the processor computes it itself, else fp32.
    Auto,
    /// 32 bits.
    Fp32,
    /// 16 bits.
    Bf16,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    loading: Loading,
    /// The daemon's web address.
    #[arg(long, default_value = "http://127.0.0.1:7700", env = "HEARKEN_API")]
    api: String,
    /// Where the token is: `env:NAME` or `file:PATH`. It needs the role `admin` for all brands. Without any tokens, a
    /// daemon on the same machine needs none.
    #[arg(long, default_value = DEFAULT_TOKEN)]
    token: String,
    /// Kafka brokers (`host:port`, several with commas): reads the topic `hearken.mentions` instead of asking the daemon
    /// what is wanted.
    #[arg(long)]
    kafka: Option<String>,
    /// Tell Prometheus how it is doing, at `/metrics` of this address, such as `127.0.0.1:9700`.
    #[arg(long)]
    metrics: Option<SocketAddr>,
}

#[derive(Args)]
struct Eval {
    #[command(flatten)]
    loading: Loading,
    /// The program `hearken`, to compare with the first tier.
    #[arg(long)]
    hearken: Option<PathBuf>,
    /// At most so many texts of each file, evenly spread over it.
    #[arg(long)]
    rows: Option<usize>,
    /// Files with lines of a label (neg, neu, pos), a tab and a text.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Why a command did not do what it was asked.
struct Failure(u8, String);

impl Failure {
    /// Why `run` ended. Starting again does not help where the daemon refuses the token or the address is wrong.
    fn ended(error: impl Into<RunError>) -> Self {
        let error = error.into();
        let code = match &error {
            RunError::Model(_) => BUG,
            RunError::Daemon(error) | RunError::Texts(TextsError::Daemon(error)) => match error {
                DaemonError::Client { .. } | DaemonError::Token { .. } => USAGE,
                DaemonError::Foreign { .. } => UNAVAILABLE,
            },
            RunError::Texts(TextsError::Kafka(_)) => UNAVAILABLE,
        };
        Self(code, error.to_string())
    }

    fn data(error: impl std::fmt::Display) -> Self {
        Self(DATA, error.to_string())
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        What::Score(loading) => score(&loading),
        What::Run(command) => run(command),
        What::Eval(command) => measure(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, message)) => {
            eprintln!("hearken-bert: {message}");
            ExitCode::from(code)
        }
    }
}

impl Loading {
    fn model(&self) -> Result<Model, Failure> {
        let (checkpoint, options) = self.checked()?;
        Model::load(&checkpoint, options).map_err(Failure::data)
    }

    fn checked(&self) -> Result<(Checkpoint, Options), Failure> {
        if self.threads == 0 || self.tokens < 8 {
            return Err(Failure(USAGE, "--threads must be at least 1, --tokens at least 8".to_owned()));
        }
        let precision = match self.precision {
            Exactness::Auto => Precision::of_this_processor(),
            Exactness::Fp32 => Precision::Fp32,
            Exactness::Bf16 => Precision::Bf16,
        };
        let options = Options { precision, threads: self.threads, tokens: self.tokens, ..Options::default() };
        let checkpoint = Checkpoint::open(&self.checkpoint, self.labels.as_deref()).map_err(Failure::data)?;
        Ok((checkpoint, options))
    }
}

/// A line that `score` prints.
#[derive(Serialize)]
struct Line {
    label: &'static str,
    score: f32,
    confidence: f32,
    negative: f32,
    neutral: f32,
    positive: f32,
}

fn score(loading: &Loading) -> Result<(), Failure> {
    let model = loading.model()?;
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    loop {
        let texts = lines(&mut input)?;
        if texts.is_empty() {
            return Ok(());
        }
        for answer in model.score(&texts).map_err(Failure::data)? {
            let opinion = answer.opinion();
            let Probabilities { negative, neutral, positive } = answer;
            let line = Line {
                label: opinion.sentiment,
                score: opinion.score,
                confidence: opinion.confidence,
                negative,
                neutral,
                positive,
            };
            serde_json::to_writer(&mut output, &line).map_err(Failure::data)?;
            writeln!(output).map_err(Failure::data)?;
        }
    }
}

/// The next lines; none at the end. What is not UTF-8 becomes U+FFFD.
fn lines(input: &mut impl BufRead) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    let mut line = Vec::new();
    while texts.len() < CHUNK {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::data(format!("cannot read standard input: {error}")))? == 0 {
            break;
        }
        texts.push(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned());
    }
    Ok(texts)
}

fn run(command: Run) -> Result<(), Failure> {
    telemetry::start();
    let (checkpoint, options) = command.loading.checked()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure(BUG, format!("cannot start: {error}")))?;
    runtime.block_on(give_opinions(command, checkpoint, options))
}

async fn give_opinions(command: Run, checkpoint: Checkpoint, options: Options) -> Result<(), Failure> {
    let stop = stopped().map_err(|error| Failure(BUG, format!("cannot listen for signals: {error}")))?;
    let metrics = Metrics::default();
    let daemon = Daemon::new(&command.api, token(&command.token)?, metrics.clone()).map_err(Failure::ended)?;
    if let Some(address) = command.metrics {
        let listener = metrics::listen(address).await.map_err(|error| Failure(USAGE, error.to_string()))?;
        tokio::spawn(metrics::serve(listener, metrics.clone()));
    }
    let name = checkpoint.name.clone();
    let worker = Worker::start(checkpoint, options, QUEUE).await.map_err(Failure::data)?;
    let judge = Judge::new(worker, &name, metrics.clone());
    let texts = match &command.kafka {
        Some(brokers) => {
            let texts = KafkaTexts::join(brokers, metrics.clone());
            Texts::Kafka(Box::new(texts.map_err(|error| Failure(USAGE, error.to_string()))?))
        }
        None => Texts::Api(ApiTexts::default()),
    };
    tracing::info!(api = command.api, kafka = command.kafka, model = judge.name(), "giving second opinions");
    run::run(texts, judge, daemon, metrics, stop).await.map_err(Failure::ended)?;
    tracing::info!("stopped");
    Ok(())
}

/// Cancelled by SIGTERM and SIGINT.
fn stopped() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: what is in work is finished");
        cancel.cancel();
    });
    Ok(stop)
}

/// The token at a place; none where the usual place is empty.
fn token(reference: &str) -> Result<Option<String>, Failure> {
    let usage = |message: String| Failure(USAGE, format!("--token {reference}: {message}"));
    let token = if let Some(name) = reference.strip_prefix("env:") {
        match std::env::var(name) {
            Err(_) if reference == DEFAULT_TOKEN => return Ok(None),
            value => value.map_err(|_| usage("the environment variable is not set".to_owned()))?,
        }
    } else if let Some(path) = reference.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| usage(format!("cannot read the file: {error}")))?
    } else {
        // It may be the token itself, which is not told.
        let message = "--token says where the token is, as `env:NAME` or `file:PATH`, and is not the token itself";
        return Err(Failure(USAGE, message.to_owned()));
    };
    match token.trim() {
        "" => Err(usage("it is empty".to_owned())),
        token => Ok(Some(token.to_owned())),
    }
}

fn measure(command: Eval) -> Result<(), Failure> {
    let model = command.loading.model()?;
    println!("{:24} {:>6} {:>7}   macro recall, f1, accuracy in percent", "set", "rows", "classes");
    let mut means: Vec<(usize, Vec<Figures>)> = Vec::new();
    let (mut texts, mut seconds) = (0, 0.0);
    for file in &command.files {
        let mut set = Set::read(file).map_err(Failure::data)?;
        set.thin_out(command.rows.unwrap_or(usize::MAX));
        let rows: Vec<String> = set.rows.iter().map(|(_, text)| text.clone()).collect();
        let start = Instant::now();
        let second = model.score(&rows).map_err(Failure::data)?;
        seconds += start.elapsed().as_secs_f64();
        texts += rows.len();
        let mut columns = vec![("second tier", eval::figures(&set, &second))];
        if let Some(program) = &command.hearken {
            let first = first_tier(program, &rows)?;
            let guessed: Vec<_> = first.iter().map(Shown::guessed).collect();
            let both: Vec<_> = first.iter().zip(&second).map(|(first, second)| first.with(second)).collect();
            columns.push(("first tier", eval::figures(&set, &guessed)));
            columns.push(("both", eval::figures(&set, &both)));
        }
        let classes = if set.is_two_class() { 2 } else { 3 };
        row(&set.name, &rows.len().to_string(), &classes.to_string(), &columns);
        means.push((classes, columns.into_iter().map(|(_, figures)| figures).collect()));
    }
    for classes in [3, 2] {
        let sets: Vec<&Vec<Figures>> = means.iter().filter(|(own, _)| *own == classes).map(|(_, it)| it).collect();
        let Some(first) = sets.first() else { continue };
        let mean = |column: usize, of: fn(&Figures) -> f64| {
            sets.iter().filter_map(|set| set.get(column)).map(of).sum::<f64>() / sets.len() as f64
        };
        let columns: Vec<(&str, Figures)> = ["second tier", "first tier", "both"]
            .into_iter()
            .enumerate()
            .take(first.len())
            .map(|(at, name)| {
                let figures = Figures {
                    recall: mean(at, |it| it.recall),
                    f1: mean(at, |it| it.f1),
                    accuracy: mean(at, |it| it.accuracy),
                };
                (name, figures)
            })
            .collect();
        row(&format!("mean of {} sets", sets.len()), "", &classes.to_string(), &columns);
    }
    println!("{texts} texts, {:.0} a second", texts as f64 / f64::max(seconds, 1e-9));
    Ok(())
}

fn row(name: &str, rows: &str, classes: &str, columns: &[(&str, Figures)]) {
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, it)| format!("{name} {:5.1} {:5.1} {:5.1}", it.recall * 100.0, it.f1 * 100.0, it.accuracy * 100.0))
        .collect();
    println!("{name:24} {rows:>6} {classes:>7}   {}", columns.join("   "));
}

/// What the first tier says of each text.
fn first_tier(program: &Path, texts: &[String]) -> Result<Vec<Shown>, Failure> {
    let cannot = |error: std::io::Error| Failure::data(format!("cannot run {} score: {error}", program.display()));
    let mut child =
        Command::new(program).arg("score").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let input = child.stdin.take();
    let lines: String = texts.iter().map(|text| format!("{}\n", text.replace(['\n', '\r'], " "))).collect();
    // Written beside reading, because neither pipe holds everything.
    let writer = std::thread::spawn(move || input.map_or(Ok(()), |mut input| input.write_all(lines.as_bytes())));
    let output = child.wait_with_output().map_err(cannot)?;
    let written = writer.join();
    if !output.status.success() || !matches!(written, Ok(Ok(()))) {
        return Err(Failure::data(format!("{} score failed ({})", program.display(), output.status)));
    }
    let answers: Vec<Shown> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(Shown::read)
        .collect::<Result<_, _>>()
        .map_err(Failure::data)?;
    if answers.len() != texts.len() {
        let message = format!("{} score gave {} answers for {} texts", program.display(), answers.len(), texts.len());
        return Err(Failure::data(message));
    }
    Ok(answers)
}
