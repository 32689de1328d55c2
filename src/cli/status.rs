//! `hearken status`: what a running daemon is doing.

use clap::Args;
use hearken::api::{SourceStatus, Status as Answer};
use hearken::report::table::{Align, Cell, Ink, Table, ago, count, duration, line, minute};
use hearken::supervise::{TaskState, TaskStatus};
use jiff::Timestamp;

use super::daemon::Daemon;
use super::exit::Failure;
use super::{Session, output};

/// Columns of a name, and of what is told in words.
const NAME: usize = 20;
const WORDS: usize = 72;

/// Arguments of `hearken status`.
#[derive(Args)]
pub(super) struct Status {
    /// Token of the role `admin`, where the daemon needs one.
    #[arg(long, env = "HEARKEN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let daemon = Daemon::at(session.config()?.serve.listen, self.token)?;
        let status: Answer = daemon.get("/api/v1/status").await?;
        match session.json {
            true => output::json(&status),
            false => output::text(&text(&status, Timestamp::now(), output::colours())),
        }
    }
}

fn text(status: &Answer, now: Timestamp, colour: bool) -> String {
    let mut tasks =
        Table::new(&[("task", Align::Left), ("since", Align::Left), ("restarts", Align::Right), ("", Align::Left)]);
    for (name, task) in &status.tasks {
        tasks.row(vec![
            line(name, NAME + 7).into(),
            ago(task.since, now).into(),
            count(task.restarts).into(),
            state(task, now),
        ]);
    }
    let lag = match status.lag {
        Some(lag) => format!("{} records heard and not yet stored", count(lag)),
        None => Ink::Bad.paint("the event log does not answer", colour),
    };
    let sources = match &status.sources {
        Some(sources) if sources.is_empty() => "no source has been polled yet\n".to_owned(),
        Some(sources) => self::sources(sources, now, colour),
        None => Ink::Bad.paint("the store does not answer: nothing is known of the sources but their tasks\n", colour),
    };
    format!("hearken {}: {lag}\n\n{}\n{sources}", status.version, tasks.render(colour))
}

fn state(task: &TaskStatus, now: Timestamp) -> Cell {
    match &task.state {
        TaskState::Running => "running".into(),
        TaskState::Waiting { error, until } => {
            let wait = duration((until.as_millisecond() - now.as_millisecond()).max(0));
            Cell::new(format!("again in {wait}: {}", line(error, WORDS)), Ink::Bad)
        }
        TaskState::Failed { error } => Cell::new(format!("FAILED: {}", line(error, WORDS)), Ink::Bad),
        TaskState::Finished => Cell::new("finished", Ink::Faint),
    }
}

/// The sources, one a line, and below them the errors of those that fail.
fn sources(sources: &[SourceStatus], now: Timestamp, colour: bool) -> String {
    let mut table = Table::new(&[
        ("source", Align::Left),
        ("channel", Align::Left),
        ("polled", Align::Left),
        ("heard", Align::Left),
        ("stored 24 h", Align::Right),
        ("gaps 24 h", Align::Right),
        ("latest gap, UTC", Align::Left),
    ]);
    let mut errors = String::new();
    for source in sources {
        let at = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| ago(at, now));
        let gap = source.latest_gap.as_ref().map(|gap| {
            let end = if gap.is_open { "now".to_owned() } else { minute(gap.until) };
            let ink = if gap.is_open { Ink::Bad } else { Ink::Plain };
            Cell::new(format!("{} to {end}, {}", minute(gap.from), gap.reason.replace('_', " ")), ink)
        });
        table.row(vec![
            line(&source.source, NAME).into(),
            line(&source.channel, NAME).into(),
            at(source.last_poll_at).into(),
            at(source.last_heard_at).into(),
            count(source.stored_24h).into(),
            count(source.gaps_24h as u64).into(),
            gap.unwrap_or_else(|| "".into()),
        ]);
        if let Some(error) = &source.last_error {
            let error = format!("  {}: {}\n", line(&source.source, NAME), line(error, WORDS));
            errors.push_str(&Ink::Bad.paint(&error, colour));
        }
    }
    if errors.is_empty() { table.render(colour) } else { format!("{}\n{errors}", table.render(colour)) }
}
