//! `hearken status`: what a running daemon is doing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;
use hearken::api::Status as Answer;
use hearken::supervise::TaskState;

use hearken_connectors::secret::Secret;

use super::exit::Failure;
use super::{Session, output};

/// Arguments of `hearken status`.
#[derive(Args)]
pub(super) struct Status {
    /// Token of the role `admin`, where the daemon needs one.
    #[arg(long, env = "HEARKEN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let address = session.config()?.serve.listen;
        let token = self.token.map(Secret::generated);
        let status = ask(&format!("http://{}/api/v1/status", reachable(address)), token.as_ref()).await;
        let status = status.map_err(|error| {
            Failure::unavailable(format!(
                "no daemon tells its state at {address} (`serve.listen`): {error}; is `hearken run` running? Where there \
                 are tokens, it needs one of the role `admin` in HEARKEN_TOKEN"
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

/// The same address, or loopback where the daemon listens on all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

async fn ask(url: &str, token: Option<&Secret>) -> Result<Answer, String> {
    use hearken_connectors::http::{Client, Quota, Settings};
    let client = Client::new(Settings::default()).map_err(|error| error.to_string())?;
    let limits = client.limits("status", Quota::per_second(std::num::NonZeroU32::MIN));
    let url = url.parse().map_err(|error| format!("{error}"))?;
    let mut request = client.get(&url, &limits);
    if let Some(token) = token {
        request = request.bearer(token);
    }
    let response = request.send().await.and_then(|response| response.success());
    let response = response.map_err(|error| error.to_string())?;
    serde_json::from_slice(&response.body).map_err(|error| format!("the answer is no status of hearken: {error}"))
}
