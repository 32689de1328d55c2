//! `hearken rescore`: stored history in line with a changed query or model.

use std::time::Duration;

use clap::Args;
use hearken::app::{self, AppError, OpenStore};
use hearken::config::Config;
use hearken::eventlog::LogError;
use hearken::report::table::{Align, Cell, Ink, Table, count, line, minute};
use hearken::rescore::{self, Counts, Findings, Order, Rescores, Rescoring, Sample, State};
use indicatif::ProgressBar;
use jiff::Timestamp;

use super::daemon::Daemon;
use super::exit::Failure;
use super::run::stop_on_signal;
use super::{Session, output};

/// How often it is asked how far it is, here and of a daemon.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_AFAR: Duration = Duration::from_millis(500);
/// Columns of a name, and of what was said.
const NAME: usize = 20;
const SAID: usize = 60;

/// Arguments of `hearken rescore`.
#[derive(Args)]
pub(super) struct Rescore {
    /// Brand whose history is compared with its query and the model as they are now.
    #[arg(long)]
    brand: String,
    /// Write what differs. Without it, nothing is written.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    common: Common,
}

/// What `rescore` and `query dry-run` have in common.
#[derive(Args)]
pub(super) struct Common {
    /// Only messages published on this day (UTC), at this time (RFC 3339), or later.
    #[arg(long, value_parser = moment)]
    since: Option<Timestamp>,
    /// Samples of each kind at most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    samples: u8,
    /// Token of the role `admin`, where a daemon runs and needs one.
    #[arg(long, env = "HEARKEN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    rescore::since(text).ok_or_else(|| "expected a day or a time: `2026-01-31`, `2026-01-31T12:00:00Z`".to_owned())
}

impl Rescore {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        self.common.run(session, self.brand, None, self.apply).await
    }
}

impl Common {
    /// Compares, here or in the daemon that has the log, and shows what it finds.
    pub(super) async fn run(
        self,
        session: &Session,
        brand: String,
        query: Option<String>,
        apply: bool,
    ) -> Result<(), Failure> {
        let config = session.config()?;
        if !config.brands.iter().any(|known| known.name == brand) {
            let names: Vec<&str> = config.brands.iter().map(|known| known.name.as_str()).collect();
            let names = names.join("`, `");
            return Err(Failure::data(format!("the configuration has no brand `{brand}`; it has `{names}`")));
        }
        let order = Order { brand, query, since: self.since, apply, samples: self.samples.into() };
        let shown = match app::rescores(&config).await {
            Ok((rescores, open)) => here(&config, rescores, open, order).await?,
            Err(AppError::Log(LogError::InUse(_))) => in_daemon(&config, self.token, &order).await?,
            Err(error) => return Err(error.into()),
        };
        if let Some(error) = &shown.error {
            return Err(Failure::unavailable(error));
        }
        match session.json {
            true => output::json(&shown),
            false => output::text(&text(&shown, output::colours())),
        }
    }
}

async fn here(config: &Config, rescores: Rescores, open: OpenStore, order: Order) -> Result<Rescoring, Failure> {
    let stop = stop_on_signal();
    let running = tokio::spawn(rescore::run(rescores.clone(), stop.clone()));
    let done = async {
        let mut shown = rescores.start(order).map_err(Failure::data)?;
        let bar = output::bar("comparing", 0);
        while !shown.state.is_final() {
            show_progress(&bar, &shown);
            tokio::time::sleep(LOOK).await;
            shown = rescores.get(shown.id).map_err(Failure::bug)?;
        }
        bar.finish_and_clear();
        if stop.is_cancelled() {
            return Err(Failure::interrupted(
                "stopped before it was done; what is written is right, do it again for the rest",
            ));
        }
        if shown.state == State::Applied {
            app::evaluate(config, &open.store).await.map_err(Failure::unavailable)?;
        }
        Ok(shown)
    };
    let done = done.await;
    stop.cancel();
    // It ends with the token, and has told its errors.
    let _ = running.await;
    open.close().await;
    done
}

async fn in_daemon(config: &Config, token: Option<String>, order: &Order) -> Result<Rescoring, Failure> {
    let daemon = Daemon::at(config.serve.listen, token)?;
    let Order { brand, query, since, apply, samples } = order;
    let since = since.map(|since| since.to_string());
    let body = serde_json::json!({
        "brand": brand, "query": query, "since": since, "apply": apply, "samples": samples
    });
    let mut shown: Rescoring = daemon.post("/api/v1/rescores", &body).await?;
    let path = format!("/api/v1/rescores/{}", shown.id);
    let (stop, bar) = (stop_on_signal(), output::bar("comparing", 0));
    while !shown.state.is_final() {
        show_progress(&bar, &shown);
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_AFAR)).await.is_none() {
            return Err(Failure::interrupted(format!("the daemon goes on with it; `DELETE {path}` cancels it")));
        }
        shown = daemon.get(&path).await?;
    }
    bar.finish_and_clear();
    // A daemon goes by the configuration that it has read last.
    let saved = config.brands.iter().find(|known| known.name == *brand).map(|known| &known.query.query);
    if query.is_none() && saved != Some(&shown.query) {
        output::note(
            "the daemon has another query of this brand than the configuration: reload it (SIGHUP), and ask again",
        )?;
    }
    let model = app::scorer(config).map_err(Failure::data)?;
    if model.model_name() != shown.model {
        output::note("the daemon has another model than the configuration: reload it (SIGHUP), and ask again")?;
    }
    Ok(shown)
}

fn show_progress(bar: &ProgressBar, shown: &Rescoring) {
    bar.set_prefix(match shown.state {
        State::Waiting => "waiting until what was heard is stored",
        State::Applying => "writing",
        _ => "comparing",
    });
    bar.set_length(shown.total);
    bar.set_position(shown.done);
}

fn text(shown: &Rescoring, colour: bool) -> String {
    let Some(findings) = &shown.findings else { return String::new() };
    let since = shown.since.map_or_else(String::new, |since| format!(", published since {}", minute(since)));
    let mut out = format!(
        "{}{since}: {} records of the log compared, by the query\n  {}\nand the model {}\n\n",
        Ink::Bold.paint(&shown.brand, colour),
        count(findings.records),
        line(&shown.query, SAID * 2),
        shown.model,
    );
    if findings.backlog > 0 {
        out.push_str(&format!("{} of them are not stored yet, and counted as added\n\n", count(findings.backlog)));
    }
    if findings.unreadable > 0 {
        out.push_str(&format!("{} of them are no messages\n\n", count(findings.unreadable)));
    }
    out.push_str(&counts(findings).render(colour));
    let net = |net: Option<f64>| net.map_or_else(|| "none".to_owned(), |net| format!("{:+.1} %", net * 100.0));
    let (before, after) = (net(findings.net_sentiment_before), net(findings.net_sentiment_after));
    out.push_str(&format!("\nnet sentiment: {before} before, {after} after\n"));
    if !findings.changed_in.is_empty() {
        let aspects: Vec<String> =
            findings.changed_in.iter().map(|(aspect, number)| format!("{aspect} {}", count(*number))).collect();
        out.push_str(&format!("changed in: {}\n", aspects.join(", ")));
    }
    if findings.mentions.kept > 0 {
        out.push_str("kept: their messages are no longer in the log, so they stay as they are\n");
    }
    for (kind, samples) in [
        ("added", &findings.samples.added),
        ("removed", &findings.samples.removed),
        ("changed", &findings.samples.changed),
        ("kept", &findings.samples.kept),
    ] {
        if !samples.is_empty() {
            out.push_str(&format!("\n{}", self::samples(kind, samples).render(colour)));
        }
    }
    out.push_str(&match shown.state {
        State::Applied => format!("\n{} rows written\n", count(shown.written)),
        _ if shown.is_trial => "\nnothing was written: save the query in the configuration first\n".to_owned(),
        _ if findings.mentions.is_same() => "\nnothing differs\n".to_owned(),
        _ => "\nnothing was written; --apply writes it\n".to_owned(),
    });
    out
}

fn counts(findings: &Findings) -> Table {
    let right = |title| (title, Align::Right);
    let mut table = Table::new(&[
        ("channel", Align::Left),
        right("added"),
        right("removed"),
        right("changed"),
        right("unchanged"),
        right("kept"),
    ]);
    let mut row = |name: Cell, counts: &Counts| {
        let Counts { added, removed, changed, unchanged, kept } = *counts;
        let numbers = [added, removed, changed, unchanged, kept].map(|number| count(number).into());
        table.row(std::iter::once(name).chain(numbers).collect());
    };
    for (channel, counts) in &findings.channels {
        row(line(channel, NAME).into(), counts);
    }
    row(Cell::new("all", Ink::Bold), &findings.mentions);
    table
}

fn samples(kind: &'static str, samples: &[Sample]) -> Table {
    let mut table = Table::new(&[
        (kind, Align::Left),
        ("id", Align::Left),
        ("author", Align::Left),
        ("", Align::Left),
        ("said", Align::Left),
    ]);
    for sample in samples {
        table.row(vec![
            Cell::new(minute(sample.published_at), Ink::Faint),
            sample.id.to_string().into(),
            line(&sample.author, NAME).into(),
            sample.changed_in.join(", ").into(),
            line(&sample.text, SAID).into(),
        ]);
    }
    table
}
