//! The requests: which address, and what an answer means.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use url::Url;

use super::settings::Timeline;
use super::timeline::{Range, Server};
use crate::contract::ConnectorError;
use crate::http::{Client, Limits, Quota, Response, redacted};
use crate::secret::Secret;

/// Mastodon allows 300 requests in five minutes, to a token or an address.
const PER_REQUEST: Duration = Duration::from_secs(1);
/// Requests in a row before that rate applies.
const BURST: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// A server, asked as one client.
pub(super) struct Api {
    http: Client,
    limits: Limits,
    server: Url,
    token: Option<Secret>,
    instance: OnceCell<Instance>,
    accounts: OnceCell<Vec<(String, String)>>,
    own: Vec<String>,
}

/// What a server says of itself.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    /// The domain in its accounts' handles, which need not be its address.
    pub(super) domain: String,
    pub(super) version: String,
}

impl Api {
    /// A client of `server`; `own` are the accounts whose timelines will be asked for.
    pub(super) fn new(http: Client, server: Url, token: Option<Secret>, own: Vec<String>) -> Self {
        // Limits hold for a token, or for our address where there is none.
        let who = token.as_ref().map_or_else(String::new, |token| {
            Sha256::digest(token.expose()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
        });
        let key = format!("mastodon {} {who}", server.authority());
        let quota = Quota::with_period(PER_REQUEST).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
        let limits = http.limits(&key, quota.allow_burst(BURST));
        Self { http, limits, server, token, instance: OnceCell::new(), accounts: OnceCell::new(), own }
    }

    /// What the server says of itself; asked once.
    pub(super) async fn instance(&self) -> Result<&Instance, ConnectorError> {
        self.instance.get_or_try_init(|| self.ask_instance()).await
    }

    async fn ask_instance(&self) -> Result<Instance, ConnectorError> {
        // Version 2 came with Mastodon 4.0.
        let (answer, domain) = match self.get(self.url(&["api", "v2", "instance"], &[])).await? {
            Some(answer) => (answer, "domain"),
            None => {
                let url = self.url(&["api", "v1", "instance"], &[]);
                let missing = format!("{}: has no Mastodon API: is `server` right?", redacted(&url));
                (self.get(url).await?.ok_or_else(|| ConnectorError::remote(missing))?, "uri")
            }
        };
        let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(domain), Some(version)) = (text(domain), text("version")) else {
            return Err(ConnectorError::remote(format!(
                "{}: answers, but not as a Mastodon server: is `server` right?",
                redacted(&self.server)
            )));
        };
        let domain = domain.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        Ok(Instance { domain: domain.to_owned(), version: version.to_owned() })
    }

    /// The id of one of the own accounts on this server.
    async fn account(&self, acct: &str) -> Result<&str, ConnectorError> {
        let accounts = self.accounts.get_or_try_init(|| self.ask_accounts()).await?;
        let found = accounts.iter().find(|(known, _)| known == acct).map(|(_, id)| id.as_str());
        found.ok_or_else(|| ConnectorError::bug(format!("the account {acct} was not looked up")))
    }

    async fn ask_accounts(&self) -> Result<Vec<(String, String)>, ConnectorError> {
        let mut accounts = Vec::new();
        for acct in &self.own {
            let url = self.url(&["api", "v1", "accounts", "lookup"], &[("acct", acct)]);
            let unknown =
                || ConnectorError::configuration(format!("{}: knows no account {acct}", redacted(&self.server)));
            let answer = self.get(url).await?.ok_or_else(unknown)?;
            let id = answer.get("id").and_then(Value::as_str).ok_or_else(unknown)?;
            accounts.push((acct.clone(), id.to_owned()));
        }
        Ok(accounts)
    }

    async fn address(&self, timeline: &Timeline) -> Result<Url, ConnectorError> {
        let public = ["api", "v1", "timelines", "public"];
        Ok(match timeline {
            Timeline::Public => self.url(&public, &[]),
            Timeline::PublicLocal => self.url(&public, &[("local", "true")]),
            Timeline::PublicRemote => self.url(&public, &[("remote", "true")]),
            Timeline::Tag(tag) => self.url(&["api", "v1", "timelines", "tag", tag], &[]),
            Timeline::Mentions => self.url(&["api", "v1", "notifications"], &[("types[]", "mention")]),
            Timeline::Account(acct) => self.url(&["api", "v1", "accounts", self.account(acct).await?, "statuses"], &[]),
        })
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut steps) = url.path_segments_mut() {
            steps.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A JSON answer; `None` when the server's API says that there is no such thing (404, 410).
    async fn get(&self, url: Url) -> Result<Option<Value>, ConnectorError> {
        let mut request = self.http.get(&url, &self.limits).accept("application/json");
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        let response = request.send().await?;
        let address = redacted(&url);
        match response.status {
            // A proxy's or another site's "not found" says nothing about a status.
            404 | 410 if is_api_error(&response) => return Ok(None),
            401 | 403 if self.token.is_none() && is_api_error(&response) => {
                return Err(ConnectorError::configuration(format!("{address}: needs an account: set `token`")));
            }
            401 => {
                return Err(ConnectorError::configuration(format!("{address}: the token was refused: renew `token`")));
            }
            _ => {}
        }
        let response = response.success()?;
        match serde_json::from_slice(&response.body) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) if is_html(&response) => Err(ConnectorError::remote(format!(
                "{address}: answered with a web page, not with JSON: is `server` a Mastodon server, with its API open?"
            ))),
            Err(error) => Err(ConnectorError::remote(format!(
                "{address}: the answer is no JSON: wrong at line {} column {}",
                error.line(),
                error.column()
            ))),
        }
    }
}

impl Server for Api {
    async fn page(&self, timeline: &Timeline, range: Range<'_>, limit: usize) -> Result<Vec<Value>, ConnectorError> {
        let mut url = self.address(timeline).await?;
        url.query_pairs_mut()
            .extend_pairs(range.min_id.map(|id| ("min_id", id)))
            .extend_pairs(range.max_id.map(|id| ("max_id", id)))
            .append_pair("limit", &limit.to_string());
        let address = redacted(&url);
        match self.get(url).await? {
            Some(Value::Array(page)) => Ok(page),
            Some(_) => Err(ConnectorError::remote(format!("{address}: the answer is no list of statuses"))),
            // A hashtag that nobody has used yet.
            None if matches!(timeline, Timeline::Tag(_)) => Ok(Vec::new()),
            None => Err(ConnectorError::remote(format!("{address}: is not there (404)"))),
        }
    }

    async fn status(&self, id: &str) -> Result<Option<Value>, ConnectorError> {
        self.get(self.url(&["api", "v1", "statuses", id], &[])).await
    }
}

/// True for an error that the API itself gives: JSON with `error`.
fn is_api_error(response: &Response) -> bool {
    serde_json::from_slice::<Value>(&response.body).is_ok_and(|answer| answer.get("error").is_some())
}

fn is_html(response: &Response) -> bool {
    response.header("content-type").is_some_and(|kind| kind.starts_with("text/html"))
        || response.body.trim_ascii_start().starts_with(b"<")
}
