//! `hearken replay`: the log, again.

use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;
use hearken::app;
use hearken::eventlog::{EventLog, Record, Topic};
use hearken_connectors::Message;

use super::exit::Failure;
use super::run::stop_on_signal;
use super::{Session, output};

/// Messages appended at once.
const BATCH: usize = 5_000;

/// Arguments of `hearken replay`.
#[derive(Args)]
pub(super) struct Replay {
    /// Messages as JSON lines, as `hearken parse` prints them, to bring into the log as history.
    /// Without it, everything in the log is scored again from the beginning.
    file: Option<PathBuf>,
}

impl Replay {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        hearken::telemetry::start(session.json.then_some(true));
        let config = session.config()?;
        let Some(path) = self.file else {
            let bar = output::bar("scoring again", 0);
            app::replay(&config, stop_on_signal(), &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            })
            .await?;
            bar.finish_and_clear();
            return Ok(());
        };
        let log = app::open_log(&config).await?;
        let file = std::fs::File::open(&path)
            .map_err(|error| Failure::data(format!("cannot read {}: {error}", path.display())))?;
        let bar = output::bar("reading bytes", file.metadata().map_or(0, |file| file.len()));
        let mut records = Vec::new();
        let mut count = 0_u64;
        for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
            let wrong = |error: String| Failure::data(format!("{}:{}: {error}", path.display(), number + 1));
            let line = line.map_err(|error| wrong(error.to_string()))?;
            bar.inc(line.len() as u64 + 1);
            let message: Message = serde_json::from_str(&line).map_err(|error| wrong(describe(&error)))?;
            records.push(Record { key: message.id.0.as_bytes().to_vec(), value: line.into_bytes() });
            count += 1;
            if records.len() == BATCH {
                append(&*log, std::mem::take(&mut records)).await?;
            }
        }
        append(&*log, records).await?;
        bar.finish_and_clear();
        output::text(&format!("{count} messages brought into the log; `hearken run` scores them\n"))
    }
}

async fn append(log: &dyn EventLog, records: Vec<Record>) -> Result<(), Failure> {
    log.append(Topic::Backfill, records).await.map_err(Failure::unavailable)
}

/// Serde's own words may quote the text; these do not.
fn describe(error: &serde_json::Error) -> String {
    format!("not a message: {:?} error in column {}", error.classify(), error.column())
}
