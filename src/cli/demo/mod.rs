//! `hearken demo`: the main job, on live public sources where there is a network, and otherwise on
//! a bundled set of messages that takes the same way as anybody else's.

mod bundle;
mod feeds;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use hearken::app::{App, Roles};
use hearken::config::{Config, Environment};
use hearken::report;
use hearken::store::{Store, StoreError};
use hearken::views::Filter;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::exit::Failure;
use super::run::stop_on_signal;
use super::{Session, output};

/// A public server whose answer shows that there is a network.
const PROBE: &str = "https://mastodon.social/api/v2/instance";
/// How long it may take to answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two of the posts that are made while the demo listens.
const LIVE_PAUSE: Duration = Duration::from_secs(4);

/// Arguments of `hearken demo`.
#[derive(Args)]
pub(super) struct Demo {
    /// Stop after the views are shown, instead of listening on.
    #[arg(long)]
    exit: bool,
    /// Use the bundled messages even where there is a network.
    #[arg(long)]
    offline: bool,
    /// Directory for configuration and data; kept afterwards. Default: a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Demo {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        hearken::telemetry::start_quiet();
        let place = Place::new(self.dir.clone())?;
        let stop = stop_on_signal();
        let live = !self.offline && network().await;
        let config_path = if live { bundle::write_live(&place.dir)? } else { bundle::write(&place.dir, &stop).await? };
        say(match live {
            true => "Listening to live public sources: Mastodon timelines and news feeds.",
            false => "Listening to the bundled messages: no network, or --offline.",
        });
        let config = Config::load(&config_path, &Environment::default()).map_err(Failure::configuration)?;

        let app = App::start(config.clone(), Roles::ALL, stop.clone()).await?;
        let shown = show(&app, session, &stop).await;
        if shown.is_ok() && !self.exit && !stop.is_cancelled() {
            if let Some(address) = app.address {
                say(&format!("The same as a page: http://{address}/"));
            }
            let config = config_path.display();
            say(&format!("Ask it anything:    hearken --config {config} sql 'SELECT * FROM mentions LIMIT 5'"));
            say("Listening on; Ctrl-C stops.");
            listen_on(&app, &place.dir, live, &stop).await?;
        }
        stop.cancel();
        app.drain().await.map_err(Failure::from).and(shown)
    }
}

/// Waits until everything is stored, with a progress line, and prints the views.
async fn show(app: &App, session: &Session, stop: &CancellationToken) -> Result<(), Failure> {
    let progress = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
    progress.enable_steady_tick(Duration::from_millis(100));
    let store = app.store.as_ref().ok_or_else(|| Failure::bug("the demo runs without a store"))?;
    let watch = async {
        loop {
            if let Ok(mentions) = count_mentions(store).await {
                progress.set_message(format!("{mentions} mentions stored"));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::select! {
        idle = app.idle() => idle?,
        () = stop.cancelled() => return Err(Failure::interrupted("stopped before everything was stored")),
        () = watch => {}
    }
    progress.finish_and_clear();

    let report = report::report(store, &Filter::default()).await.map_err(Failure::unavailable)?;
    if session.json {
        output::json(&report)?;
    } else {
        output::text(&report.to_text(output::colours()))?;
    }
    Ok(())
}

/// Shows each new mention as it comes; the bundled set gets a new post every few seconds.
async fn listen_on(app: &App, dir: &Path, live: bool, stop: &CancellationToken) -> Result<(), Failure> {
    let store = app.store.as_ref().ok_or_else(|| Failure::bug("the demo runs without a store"))?;
    let mut posts = bundle::live_posts();
    let mut known = count_mentions(store).await.map_err(Failure::unavailable)?;
    while stop.run_until_cancelled(tokio::time::sleep(LIVE_PAUSE)).await.is_some() {
        if let Some(post) = posts.next().filter(|_| !live) {
            bundle::append(dir, post)?;
        }
        let mentions = count_mentions(store).await.map_err(Failure::unavailable)?;
        if mentions > known {
            say(&format!("{mentions} mentions stored, {} new", mentions - known));
        }
        known = mentions;
    }
    Ok(())
}

async fn count_mentions(store: &Store) -> Result<u64, StoreError> {
    let mut answer = String::new();
    let mut chunks = std::pin::pin!(store.sql("SELECT count() FROM mentions", "TabSeparated")?);
    while let Some(chunk) = chunks.next().await {
        answer.push_str(&String::from_utf8_lossy(&chunk?));
    }
    Ok(answer.trim().parse().unwrap_or(0))
}

/// True where a public source can be reached.
async fn network() -> bool {
    use hearken_connectors::http::{Client, Settings};
    let settings = Settings { timeout: PROBE_PATIENCE, connect_timeout: PROBE_PATIENCE, ..Settings::default() };
    let Ok(client) = Client::new(settings) else { return false };
    let Ok(url) = PROBE.parse() else { return false };
    let limits = client.limits("demo", hearken_connectors::http::Quota::per_second(std::num::NonZeroU32::MIN));
    client.get(&url, &limits).send().await.is_ok_and(|response| response.success().is_ok())
}

/// What the demo says beside the views; on standard error, so that `--json` stays clean.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The demo's directory; a temporary one is removed at the end.
struct Place {
    dir: PathBuf,
    temporary: bool,
}

impl Place {
    fn new(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let temporary = wanted.is_none();
        let dir = wanted.unwrap_or_else(|| std::env::temp_dir().join(format!("hearken-demo-{}", std::process::id())));
        let cannot =
            |error| Failure::unavailable(format!("cannot make the demo's directory {}: {error}", dir.display()));
        std::fs::create_dir_all(&dir).map_err(cannot)?;
        let dir = dir.canonicalize().map_err(cannot)?;
        Ok(Self { dir, temporary })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
