//! The `hearken` command: arguments, signals and exit codes.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;

#[derive(Parser)]
enum Arguments {
    /// Serves the embedded ClickHouse.
    Clickhouse {
        #[arg(long)]
        data: PathBuf,
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long)]
        library: Option<PathBuf>,
    },
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let Arguments::Clickhouse { data, listen, library } = Arguments::parse();
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let result =
        runtime.block_on(hearken::store::gateway::run(data, listen, library, |address| println!("http://{address}")));
    // Standard input may still block a thread.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hearken: {error}");
            ExitCode::FAILURE
        }
    }
}
