//! `hearken status`: what a running daemon is doing.

use clap::Args;
use hearken::supervise::TaskState;
use hearken::web::Status as Answer;

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken status`.
#[derive(Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let address = session.config()?.serve.listen;
        let status = ask(&format!("http://{address}/status")).await.map_err(|error| {
            Failure::unavailable(format!(
                "no daemon answers at {address} (`serve.listen`): {error}; is `hearken run` running?"
            ))
        })?;
        if session.json {
            return output::json(&status);
        }
        output::text(&format!("hearken {}\n", status.version))?;
        for (name, task) in &status.tasks {
            let state = match &task.state {
                TaskState::Running => "running".to_owned(),
                TaskState::Waiting { error, until } => format!("waiting until {until:.0}: {error}"),
                TaskState::Failed { error } => format!("FAILED: {error}"),
                TaskState::Finished => "finished".to_owned(),
            };
            let restarts = if task.restarts > 0 { format!(", {} restarts", task.restarts) } else { String::new() };
            output::text(&format!("{name:<24} {state} (since {:.0}{restarts})\n", task.since))?;
        }
        match status.lag {
            Some(lag) => output::text(&format!("{lag} records heard and not yet stored\n")),
            None => output::text("the event log does not answer\n"),
        }
    }
}

async fn ask(url: &str) -> Result<Answer, String> {
    use hearken_connectors::http::{Client, Quota, Settings};
    let client = Client::new(Settings::default()).map_err(|error| error.to_string())?;
    let limits = client.limits("status", Quota::per_second(std::num::NonZeroU32::MIN));
    let url = url.parse().map_err(|error| format!("{error}"))?;
    let response = client.get(&url, &limits).send().await.and_then(|response| response.success());
    let response = response.map_err(|error| error.to_string())?;
    serde_json::from_slice(&response.body).map_err(|error| format!("the answer is no status of hearken: {error}"))
}
