//! `hearken check`: everything that can be found wrong before anything starts.

use clap::Args;
use hearken::app::{self, OpenStore};
use hearken_connectors::http;
use hearken_connectors::webhook::Hooks;
use serde::Serialize;

use super::exit::Failure;
use super::{Session, output, query};

/// Arguments of `hearken check`.
#[derive(Args)]
pub(super) struct Check {
    /// Check the configuration, the queries and their examples only; connect to nothing.
    #[arg(long)]
    offline: bool,
}

/// One line of the answer.
#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// Worth knowing, and no reason to fail.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    note: bool,
    detail: String,
}

impl Check {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let config = session.config()?;
        let http = http::Client::new(http::Settings::default()).map_err(Failure::unavailable)?;
        let hooks = Hooks::default();
        config
            .check_sources(|source| app::connector(source, &http, &hooks, None).map(drop))
            .map_err(Failure::configuration)?;
        let (brands, matcher) = app::compile(&config).map_err(Failure::configuration)?;
        config.check_examples(&matcher).map_err(Failure::configuration)?;
        let right =
            format!("{} is right: {} brands, {} sources", session.config.display(), brands.len(), config.sources.len());
        let mut findings = vec![finding("configuration", Ok::<_, Failure>(right))];
        let note = |(what, detail)| Finding { what, ok: true, note: true, detail };
        findings.extend(query::notes(&config).into_iter().map(note));
        if !self.offline {
            findings.push(finding("store", store(&config).await));
            findings.push(finding("event log", app::open_log(&config).await.map(|_| "can be used".to_owned())));
            for source in &config.sources {
                let mut connector = app::connector(source, &http, &hooks, None).map_err(Failure::configuration)?;
                findings.push(finding(&format!("source {}", source.name), connector.check().await));
            }
        }
        for finding in &findings {
            if session.json {
                output::json_line(finding)?;
            } else {
                let mark = match (finding.ok, finding.note) {
                    (_, true) => "note  ",
                    (true, false) => "ok    ",
                    (false, false) => "WRONG ",
                };
                output::text(&format!("{mark} {}: {}\n", finding.what, finding.detail))?;
            }
        }
        match findings.iter().filter(|finding| !finding.ok).count() {
            0 => Ok(()),
            wrong => Err(Failure::unavailable(format!("{wrong} of {} checks failed", findings.len()))),
        }
    }
}

fn finding(what: &str, result: Result<String, impl std::fmt::Display>) -> Finding {
    let (ok, detail) = match result {
        Ok(detail) => (true, detail),
        Err(error) => (false, error.to_string()),
    };
    Finding { what: what.to_owned(), ok, note: false, detail }
}

async fn store(config: &hearken::config::Config) -> Result<String, app::AppError> {
    let open = OpenStore::open(config).await?;
    let version = open.store.ping().await;
    open.close().await;
    Ok(format!("ClickHouse {}", version?))
}
