//! The daemon, through its HTTP API: texts that wait for a second opinion, and the opinions that they get.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::metrics::Metrics;

/// Texts that are asked for at once: a question costs the store about the same for 200 as for 1,000.
const PAGE: usize = 1_000;
/// Most opinions of a request.
pub(crate) const MOST_OPINIONS: usize = 200;
/// Most bytes of an answer; texts have at most 4,096 characters each.
const MOST_BYTES: usize = 64 << 20;
/// How long an answer may take; the daemon itself takes at most 60 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pauses between tries, the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Why the daemon does not do what it was asked, and asking again is useless.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is no URL, or TLS cannot be set up.
    #[error("cannot ask {api}: {reason}; check --api")]
    Client {
        /// The address.
        api: String,
        /// Why.
        reason: String,
    },
    /// No token, or a wrong one.
    #[error(
        "the daemon at {api} refuses the token ({status}): {detail}; give one of the role `admin` for all brands in \
         HEARKEN_TOKEN, made with `hearken token create NAME --role admin`"
    )]
    Token {
        /// The address.
        api: String,
        /// 401 or 403.
        status: u16,
        /// What the daemon says.
        detail: String,
    },
    /// It does not understand.
    #[error("the daemon at {api} refuses {path} ({status}): {detail}; is it a Hearken of the same release?")]
    Foreign {
        /// The address.
        api: String,
        /// What was asked.
        path: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it says.
        detail: String,
    },
}

/// A text that waits for a second opinion, and what the first tier said of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Wanted {
    /// Id of the message.
    pub id: Uuid,
    /// Version of the message.
    pub version: u64,
    /// Headline or subject.
    pub title: String,
    /// What was said.
    pub text: String,
    /// The first tier's label.
    pub sentiment: String,
    /// Its P(positive) - P(negative).
    pub score: f32,
    /// Its probability of the best guess.
    pub confidence: f32,
    /// Its model.
    pub model: String,
}

/// An answer with texts.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// Latest stored first.
    pub items: Vec<Wanted>,
    /// Where it goes on.
    pub next: Option<String>,
    /// `from` of the next look, once the end is reached.
    pub resume_from: String,
}

/// An opinion on a version of a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Given {
    /// Id of the message.
    pub id: Uuid,
    /// Version of the message.
    pub version: u64,
    /// The label.
    pub sentiment: &'static str,
    /// P(positive) - P(negative).
    pub score: f32,
    /// Probability of the best guess.
    pub confidence: f32,
    /// Who speaks.
    pub model: String,
}

#[derive(Serialize)]
struct Opinions<'a> {
    opinions: &'a [Given],
}

/// What became of opinions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// They stand.
    pub applied: u64,
    /// The message has changed or is gone.
    pub outdated: u64,
}

/// What a refusal says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// A daemon that is asked again while it is away.
pub struct Daemon {
    client: Client,
    api: String,
    token: Option<String>,
    metrics: Metrics,
}

impl Daemon {
    /// Prepares to ask; nothing is sent.
    pub fn new(api: &str, token: Option<String>, metrics: Metrics) -> Result<Self, DaemonError> {
        // The first one chosen stays, and there is no other.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
        let api = api.trim_end_matches('/').to_owned();
        let client = client.map_err(|error| DaemonError::Client { api: api.clone(), reason: error.to_string() })?;
        Ok(Self { client, api, token, metrics })
    }

    /// Texts stored `from` then on, after a `cursor`. `None` where `stop` came first.
    pub async fn wanted(
        &self,
        from: Option<&str>,
        cursor: Option<&str>,
        stop: &CancellationToken,
    ) -> Result<Option<Page>, DaemonError> {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(from.map(|from| ("from", from.to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        const PATH: &str = "/api/v1/opinions/wanted";
        self.ask(PATH, stop, || self.client.get(self.url(PATH)).query(&query)).await
    }

    /// Hands opinions over. `None` where `stop` came while the daemon was away; what was not handed over is scored again
    /// some time.
    pub async fn give(&self, opinions: &[Given], stop: &CancellationToken) -> Result<Option<Outcome>, DaemonError> {
        const PATH: &str = "/api/v1/opinions";
        let mut sum = Outcome::default();
        for opinions in opinions.chunks(MOST_OPINIONS) {
            let body = Opinions { opinions };
            let outcome: Option<Outcome> =
                self.ask(PATH, stop, || self.client.post(self.url(PATH)).json(&body)).await?;
            let Some(Outcome { applied, outdated }) = outcome else { return Ok(None) };
            sum = Outcome { applied: sum.applied + applied, outdated: sum.outdated + outdated };
        }
        Ok(Some(sum))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Asks until there is an answer, with longer and longer pauses; says once that it waits. Tries once more where it
    /// is to stop already.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &'static str,
        stop: &CancellationToken,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Option<T>, DaemonError> {
        let mut pause = PAUSES.0;
        let mut waits = false;
        loop {
            let request = request();
            let request = match &self.token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let (reason, after) = match self.answer(path, request).await? {
                Ok(answer) => {
                    if waits {
                        tracing::info!("the daemon is there again");
                    }
                    return Ok(Some(answer));
                }
                Err(away) => away,
            };
            self.metrics.error("daemon");
            if !waits {
                tracing::warn!(api = self.api, reason, "the daemon is away; it is asked again until it is there");
                waits = true;
            }
            let wait = after.unwrap_or(pause).min(PAUSES.1);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Ok(None);
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// One try: the answer, or why there is none now and how long the daemon asks to wait.
    async fn answer<T: DeserializeOwned>(
        &self,
        path: &'static str,
        request: RequestBuilder,
    ) -> Result<Result<T, (String, Option<Duration>)>, DaemonError> {
        // Without the URL: it may hold a cursor, which is of no use in a log.
        let away = |error: reqwest::Error| (cause(&error.without_url()), None);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(DaemonError::Client { api: self.api.clone(), reason: cause(&error.without_url()) });
            }
            Err(error) => return Ok(Err(away(error))),
        };
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = match body(response).await {
            Ok(body) => body,
            Err(reason) => return Ok(Err((reason, None))),
        };
        if status.is_success() {
            // The place only: the error may quote what the answer says.
            let place = |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
            let foreign = |error| self.foreign(path, status, format!("not what is expected at {}", place(error)));
            return serde_json::from_slice(&body).map(Ok).map_err(foreign);
        }
        let detail =
            serde_json::from_slice(&body).map_or_else(|_| "no reason given".to_owned(), |it: Problem| it.detail);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(DaemonError::Token { api: self.api.clone(), status: status.as_u16(), detail })
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Ok(Err((detail, after.map(Duration::from_secs))))
            }
            status if status.is_server_error() => Ok(Err((detail, after.map(Duration::from_secs)))),
            status => Err(self.foreign(path, status, detail)),
        }
    }

    fn foreign(&self, path: &'static str, status: StatusCode, detail: String) -> DaemonError {
        DaemonError::Foreign { api: self.api.clone(), path, status: status.as_u16(), detail }
    }
}

/// The body, if it is not too large.
async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("its answer is larger than {MOST_BYTES} bytes"));
        }
    }
    Ok(body)
}

/// The innermost reason, which says more than "error sending request".
fn cause(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
