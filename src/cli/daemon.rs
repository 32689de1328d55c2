//! Questions to a running daemon.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use hearken_connectors::ConnectorError;
use hearken_connectors::http::{Client, Limits, Quota, Response, Settings};
use hearken_connectors::secret::Secret;
use serde::de::DeserializeOwned;

use super::exit::Failure;

/// The daemon at the address that the configuration says.
pub(super) struct Daemon {
    client: Client,
    limits: Limits,
    address: SocketAddr,
    token: Option<Secret>,
}

impl Daemon {
    /// The daemon at this address; the token is needed where there are any.
    pub(super) fn at(address: SocketAddr, token: Option<String>) -> Result<Self, Failure> {
        let client = Client::new(Settings::default()).map_err(Failure::unavailable)?;
        let limits = client.limits("daemon", Quota::per_second(NonZeroU32::MIN.saturating_add(9)));
        Ok(Self { client, limits, address, token: token.map(Secret::generated) })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(path, None).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        self.ask(path, Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, body: Option<&serde_json::Value>) -> Result<T, Failure> {
        let url = format!("http://{}{path}", reachable(self.address)).parse().map_err(Failure::bug)?;
        let request = match body {
            Some(body) => self.client.post(&url, body, &self.limits),
            None => self.client.get(&url, &self.limits),
        };
        let request = match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.is_away(&error))?;
        if let Some(refusal) = refusal(&response) {
            return Err(refusal);
        }
        let response = response.success().map_err(|error| self.is_away(&error))?;
        serde_json::from_slice(&response.body)
            .map_err(|error| Failure::unavailable(format!("the answer is none of hearken: {error}")))
    }

    fn is_away(&self, error: &ConnectorError) -> Failure {
        Failure::unavailable(format!(
            "no daemon answers at {} (`serve.listen`): {error}; is `hearken run` running? Where there are tokens, it \
             needs one of the role `admin` in HEARKEN_TOKEN",
            self.address
        ))
    }
}

/// What the daemon says of a request that it understands and does not do.
fn refusal(response: &Response) -> Option<Failure> {
    let problem: serde_json::Value = serde_json::from_slice(&response.body).ok()?;
    let detail = problem.get("detail")?.as_str()?;
    match response.status {
        404 | 409 | 422 => Some(Failure::data(format!("the daemon refuses: {detail}"))),
        503 => Some(Failure::unavailable(format!("the daemon cannot do it at this moment: {detail}"))),
        _ => None,
    }
}

/// The same address, or loopback where the daemon listens on all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}
