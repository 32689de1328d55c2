//! The polite client: everything that a connector sends over HTTP goes through here.
//!
//! - One rate limiter per key (a credential, or a host where there is none), shared by all sources
//!   of the process: see [`Client::limits`]. What a server says about its limits is honoured before
//!   they are hit: see [`limits`].
//! - The body is read as a stream and cut off by an error at [`Settings::max_body`] bytes, counted
//!   after decompression, whatever `Content-Length` claims.
//! - Redirects are followed here, so that the caller learns when a resource has moved for good.
//! - Errors and logs name a URL without its user, password, query and fragment, or by another name
//!   where the path holds a secret too: see [`Request::shown_as`].
//! - Nothing is retried: see the delivery semantics in [`crate::contract`].
//!
//! ```no_run
//! # async fn example(http: hearken_connectors::http::Client, url: url::Url) -> Result<(), hearken_connectors::ConnectorError> {
//! use std::num::NonZeroU32;
//! use hearken_connectors::http::Quota;
//!
//! let limits = http.limits("feed example.org", Quota::per_second(NonZeroU32::MIN));
//! let response = http.get(&url, &limits).accept("application/json").send().await?.success()?;
//! println!("{} bytes", response.body.len());
//! # Ok(())
//! # }
//! ```

pub mod limits;

use std::error::Error as _;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

pub use governor::Quota;

use crate::contract::{ConnectorError, Fault};
use crate::secret::Secret;
pub use limits::Limits;

/// How many redirects are followed before the server is called a loop.
const MAX_REDIRECTS: usize = 10;

/// How the client behaves; the defaults suit everything but tests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who runs this daemon, a mail address or URL that goes into `User-Agent`, so that a server's
    /// operator can ask before blocking.
    pub contact: Option<String>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent.
    pub read_timeout: Duration,
    /// How long one request may take, redirects excluded, body included.
    pub timeout: Duration,
    /// The largest body, in bytes after decompression.
    pub max_body: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            contact: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(120),
            max_body: 16 << 20,
        }
    }
}

/// A shared HTTP client with one rate limiter per key; cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    limits: Arc<limits::Registry>,
    settings: Arc<Settings>,
}

impl Client {
    /// Builds the client; fails when the contact cannot be sent or the system has no CA certificates.
    pub fn new(settings: Settings) -> Result<Self, ConnectorError> {
        static PROVIDER: Once = Once::new();
        // An error means that the process has chosen a provider already: fine too.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));

        let mut agent = concat!("hearken/", env!("CARGO_PKG_VERSION")).to_owned();
        if let Some(contact) = &settings.contact {
            agent = format!("{agent} (+{contact})");
        }
        let agent = HeaderValue::from_str(&agent)
            .map_err(|_| ConnectorError::configuration("the contact holds characters that HTTP does not allow"))?;
        let http = reqwest::Client::builder()
            .user_agent(agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .timeout(settings.timeout)
            .build()
            .map_err(|error| {
                ConnectorError::configuration(format!(
                    "cannot set up the HTTP client: {}; are the system's CA certificates installed?",
                    root_cause(&error)
                ))
            })?;
        Ok(Self { http, limits: Arc::default(), settings: Arc::new(settings) })
    }

    /// The rate limiter of this key: a credential's name, or a channel and host where there is none.
    ///
    /// The first quota given for a key stays.
    pub fn limits(&self, key: &str, quota: Quota) -> Limits {
        self.limits.get(key, quota)
    }

    /// Starts a GET request that waits for its turn at `limits`.
    pub fn get<'a>(&'a self, url: &Url, limits: &'a Limits) -> Request<'a> {
        Request {
            client: self,
            limits,
            url: url.clone(),
            body: None,
            bearer: None,
            headers: Vec::new(),
            shown: None,
            wait_in_body: None,
        }
    }

    /// Starts a POST request with a JSON body that waits for its turn at `limits`. Redirects are not
    /// followed: what is sent may be a secret.
    pub fn post<'a>(&'a self, url: &Url, body: &serde_json::Value, limits: &'a Limits) -> Request<'a> {
        Request { body: Some(body.to_string()), ..self.get(url, limits) }
    }

    /// How long a server may be asked to hold an answer back (long polling), so that its silence is
    /// not yet taken for a failure.
    pub fn long_poll(&self) -> Duration {
        self.settings.read_timeout * 2 / 3
    }
}

/// Reads from the body of a 429 how long to wait, where a platform says it there.
pub type WaitInBody = fn(&[u8]) -> Option<Duration>;

/// One request, sent by [`Request::send`].
pub struct Request<'a> {
    client: &'a Client,
    limits: &'a Limits,
    url: Url,
    body: Option<String>,
    bearer: Option<&'a Secret>,
    headers: Vec<(HeaderName, String)>,
    shown: Option<&'a str>,
    wait_in_body: Option<WaitInBody>,
}

impl<'a> Request<'a> {
    /// Authorises with a token (RFC 6750); it is not sent on to another origin by a redirect.
    pub fn bearer(mut self, token: &'a Secret) -> Self {
        self.bearer = Some(token);
        self
    }

    /// Says which media types are wanted.
    pub fn accept(self, media_types: &str) -> Self {
        self.header(header::ACCEPT, media_types)
    }

    /// Asks for an answer only if it differs from the one that carried these validators
    /// (RFC 9110, section 13); otherwise the status is 304 and the body empty.
    pub fn if_changed(mut self, etag: Option<&str>, last_modified: Option<&str>) -> Self {
        if let Some(etag) = etag {
            self = self.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(last_modified) = last_modified {
            self = self.header(header::IF_MODIFIED_SINCE, last_modified);
        }
        self
    }

    /// Names the request in errors and logs, instead of its URL.
    pub fn shown_as(mut self, name: &'a str) -> Self {
        self.shown = Some(name);
        self
    }

    /// A 429 without `Retry-After` says in its body how long to wait.
    pub fn wait_in_body(mut self, read: WaitInBody) -> Self {
        self.wait_in_body = Some(read);
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Waits for its turn, sends, follows redirects and reads the whole body.
    ///
    /// Every status comes back as a [`Response`] (see [`Response::success`]); an error means that
    /// no complete answer was had, or that a limit told us to wait longer than a call should.
    pub async fn send(self) -> Result<Response, ConnectorError> {
        let mut url = self.url.clone();
        let mut permanent_so_far = true;
        let mut moved_permanently_to = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(&url).await?;
            let target = match redirect_target(&url, response.status(), response.headers()) {
                _ if self.body.is_some() => None,
                Ok(target) => target,
                Err(()) => {
                    let message = format!("{}: redirects to an unusable place", self.name(&url));
                    return Err(ConnectorError::remote(message));
                }
            };
            let Some(target) = target else {
                return self.read(url, moved_permanently_to, response).await;
            };
            permanent_so_far &= matches!(response.status().as_u16(), 301 | 308);
            if permanent_so_far {
                moved_permanently_to = Some(target.clone());
            }
            url = target;
        }
        Err(ConnectorError::remote(format!("{}: more than {MAX_REDIRECTS} redirects", self.name(&self.url))))
    }

    /// The URL as errors and logs show it.
    fn name(&self, url: &Url) -> String {
        self.shown.map_or_else(|| redacted(url), str::to_owned)
    }

    async fn send_once(&self, url: &Url) -> Result<reqwest::Response, ConnectorError> {
        self.limits.wait().await?;
        let mut request = match &self.body {
            None => self.client.http.get(url.clone()),
            Some(body) => {
                self.client.http.post(url.clone()).header(header::CONTENT_TYPE, "application/json").body(body.clone())
            }
        };
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = self.bearer.filter(|_| url.origin() == self.url.origin()) {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await.map_err(|error| self.failure(url, &error))?;
        tracing::debug!(url = self.name(url), status = response.status().as_u16(), "asked");
        if !self.waits_for_body(&response) {
            self.limits.learn(limits::wait_told(response.status().as_u16(), response.headers()));
        }
        Ok(response)
    }

    /// True for a 429 whose body says how long to wait.
    fn waits_for_body(&self, response: &reqwest::Response) -> bool {
        let is_untold = response.status().as_u16() == 429 && !response.headers().contains_key(header::RETRY_AFTER);
        is_untold && self.wait_in_body.is_some()
    }

    async fn read(
        &self,
        final_url: Url,
        moved_permanently_to: Option<Url>,
        mut response: reqwest::Response,
    ) -> Result<Response, ConnectorError> {
        let max = self.client.settings.max_body;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&final_url, &error))? {
            if body.len() + chunk.len() > max {
                return Err(ConnectorError::remote(format!(
                    "{}: the answer is larger than {} MiB",
                    self.name(&final_url),
                    max >> 20
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status().as_u16();
        let mut wait = limits::wait_told(status, response.headers());
        if self.waits_for_body(&response) {
            let told = self.wait_in_body.and_then(|read| read(&body));
            wait = told.map(|told| told.min(limits::LONGEST_PAUSE)).or(wait);
            self.limits.learn(wait);
        }
        Ok(Response {
            status,
            name: self.name(&final_url),
            final_url,
            moved_permanently_to,
            wait,
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }

    fn failure(&self, url: &Url, error: &reqwest::Error) -> ConnectorError {
        let url = self.name(url);
        let settings = &self.client.settings;
        if error.is_builder() {
            return ConnectorError::configuration(format!("{url}: cannot be sent: {}", root_cause(error)));
        }
        if error.is_connect() && error.is_timeout() {
            return ConnectorError::network(format!("{url}: no connection within {:?}", settings.connect_timeout));
        }
        if error.is_timeout() {
            return ConnectorError::network(format!(
                "{url}: too slow: silent for {:?}, or not done within {:?}",
                settings.read_timeout, settings.timeout
            ));
        }
        if error.is_connect() {
            return ConnectorError::network(format!("{url}: cannot connect: {}", root_cause(error)));
        }
        if error.is_decode() {
            return ConnectorError::remote(format!("{url}: the answer is damaged: {}", root_cause(error)));
        }
        ConnectorError::network(format!("{url}: the connection broke: {}", root_cause(error)))
    }
}

/// A complete answer, of any status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub final_url: Url,
    /// Where the resource now lives, when 301 or 308 said so: remember it and ask there.
    pub moved_permanently_to: Option<Url>,
    /// The body, decompressed.
    pub body: Bytes,
    name: String,
    headers: HeaderMap,
    wait: Option<Duration>,
}

impl Response {
    /// A header's value, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The validator to send as `If-None-Match` next time.
    pub fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    /// The validator to send as `If-Modified-Since` next time.
    pub fn last_modified(&self) -> Option<&str> {
        self.header("last-modified")
    }

    /// True when the resource is as the validators described it.
    pub fn not_modified(&self) -> bool {
        self.status == 304
    }

    /// This response if its status is 2xx, otherwise the error that the status stands for.
    ///
    /// 401 is not retried: the credential has to be changed. Other refusals of the request (4xx)
    /// are the configuration's fault but retried, because servers take them back. 429, and 403 with
    /// an exhausted limit, are rate limiting. The rest (5xx) is the remote's fault.
    pub fn success(self) -> Result<Self, ConnectorError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let name = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
        let message = format!("{}: answered {} {name}", self.name, self.status).trim_end().to_owned();
        let wait = self.wait.unwrap_or_default();
        Err(match self.status {
            401 => ConnectorError::configuration(message),
            429 => ConnectorError::rate_limited(message, wait),
            403 if self.wait.is_some() => ConnectorError::rate_limited(message, wait),
            400..=499 => ConnectorError { fault: Fault::Configuration, ..ConnectorError::remote(message) },
            _ => ConnectorError { retry_after: Some(wait), ..ConnectorError::remote(message) },
        })
    }
}

/// A URL as it may be shown: without user, password, query and fragment, which may hold secrets.
pub fn redacted(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{host}{port}{}{query}", url.scheme(), url.path())
}

/// Where the server sends us, if it does. A redirect status without a `Location` is an answer like any other.
fn redirect_target(from: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, ()> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    std::str::from_utf8(location.as_bytes())
        .ok()
        .and_then(|location| from.join(location).ok())
        .filter(|target| matches!(target.scheme(), "http" | "https"))
        .map(Some)
        .ok_or(())
}

/// The innermost cause: `reqwest`'s own text repeats the URL, secrets included.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "unknown cause".to_owned(), ToString::to_string)
}
