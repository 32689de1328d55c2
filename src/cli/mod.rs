//! The command line: one file for each command, all of them thin.

mod author;
mod check;
mod clickhouse;
mod config;
mod daemon;
mod demo;
mod eval;
mod exit;
mod output;
mod parse;
mod query;
mod replay;
mod report;
mod rescore;
mod run;
mod score;
mod sql;
mod status;
mod systemd;
mod token;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hearken::config::{Config, Environment};

use self::exit::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  64  the command line or the configuration is wrong; nothing was started
  65  input data is wrong (a file, a model, a query)
  69  something needed is not there: the store, the event log, a source, libchdb
  70  a bug in hearken
  130 interrupted before it was done";

/// Hears what people say about your brands, and keeps every mention where you can question it.
#[derive(Parser)]
#[command(name = "hearken", version, after_long_help = EXIT_CODES, after_help = "See --help for the exit codes.")]
struct Arguments {
    /// Configuration file.
    #[arg(long, short, global = true, env = "HEARKEN_CONFIG", default_value = "hearken.toml")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Listen, score and serve until stopped.
    Run(run::Run),
    /// Check the configuration, the queries and their examples, the store and every source.
    Check(check::Check),
    /// Show what can be configured, for editors and for people.
    #[command(subcommand)]
    Config(config::Config),
    /// Try a brand's query: what it finds and why, its examples, what is odd about it, what it would change.
    #[command(subcommand)]
    Query(query::Query),
    /// Show what a connector would hear in a native payload, as JSON lines.
    Parse(parse::Parse),
    /// Score texts, one a line on standard input, as JSON lines.
    Score(score::Score),
    /// Learn a sentiment model from labelled texts.
    Train(train::Train),
    /// Measure a sentiment model on labelled texts.
    Eval(eval::Eval),
    /// Score the whole log again, or bring messages (JSON lines) into it.
    Replay(replay::Replay),
    /// Bring stored mentions in line with a changed query or model; shows what would change, and writes with `--apply`.
    Rescore(rescore::Rescore),
    /// Print the views: volume, sentiment, share of voice, authors, terms, sources.
    Report(report::Report),
    /// Show an author: influence term by term, and what they are to the brands.
    Author(author::Author),
    /// Run ClickHouse SQL against the store.
    Sql(sql::Sql),
    /// Serve the embedded ClickHouse; `hearken run` starts this by itself.
    Clickhouse(clickhouse::Clickhouse),
    /// Show what a running daemon is doing.
    Status(status::Status),
    /// Make, list and revoke tokens of the HTTP API.
    Token(token::Token),
    /// Show the main job on a bundled set of messages, or on live public sources.
    Demo(demo::Demo),
    /// Print shell completions.
    Completions {
        /// Shell to print them for.
        shell: clap_complete::Shell,
    },
}

/// What every command gets.
struct Session {
    config: PathBuf,
    json: bool,
}

impl Session {
    /// The configuration, or every problem in it.
    fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.config, &Environment::of_process()).map_err(Failure::configuration)
    }
}

/// Parses the command line, runs the command, and turns its result into an exit code.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            let _ = message.print();
            return if message.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&Failure::unavailable(format!("cannot start threads: {error}"))),
    };
    let session = Session { config: arguments.config, json: arguments.json };
    let result = runtime.block_on(dispatch(arguments.command, session));
    // Readers of standard input may still block a thread; nobody waits for them.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}

async fn dispatch(command: Command, session: Session) -> Result<(), Failure> {
    match command {
        Command::Run(run) => run.run(&session).await,
        Command::Check(check) => check.run(&session).await,
        Command::Config(config) => config.run(),
        Command::Parse(parse) => parse.run().await,
        Command::Score(score) => score.run(),
        Command::Train(train) => train.run(&session).await,
        Command::Eval(eval) => eval.run(&session),
        Command::Replay(replay) => replay.run(&session).await,
        Command::Rescore(rescore) => rescore.run(&session).await,
        Command::Query(query) => query.run(&session).await,
        Command::Report(report) => report.run(&session).await,
        Command::Author(author) => author.run(&session).await,
        Command::Sql(sql) => sql.run(&session).await,
        Command::Clickhouse(clickhouse) => clickhouse.run().await,
        Command::Status(status) => status.run(&session).await,
        Command::Token(token) => token.run(&session).await,
        Command::Demo(demo) => demo.run(&session).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "hearken", &mut std::io::stdout());
            Ok(())
        }
    }
}
