//! The way of a post from the web address to the connector of its source, and of the acknowledgement back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::body;
use super::settings::Settings;
use super::signature::Forged;
use crate::registry::Parsed;

/// Posts that wait for their turn at one source; more are told to come again.
const QUEUE: usize = 64;
/// How long a post waits for the acknowledgement of the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where posts are handed in: the sources by name, with their connectors as far as they listen at the moment.
/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Hooks(Arc<Mutex<BTreeMap<String, Option<Arc<Endpoint>>>>>);

/// What a post brought, once the log has acknowledged it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// How many records became messages.
    pub accepted: usize,
    /// The others, which are kept as dead letters.
    pub rejected: Vec<Rejected>,
}

/// A record that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Why; holds no message text.
    pub reason: String,
}

/// Why a post was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No webhook source has this name.
    Unknown,
    /// It is not proved that it comes from who has the secret, and now.
    Forged,
    /// It is, but holds no records; it is kept as a dead letter, and sending it again is useless.
    Unreadable(String),
    /// It cannot be taken at the moment, and is to be sent again.
    Busy(&'static str),
}

impl Hooks {
    /// Says which webhook sources are configured: a post to any other is [`Refusal::Unknown`].
    pub fn configure<'a>(&self, sources: impl IntoIterator<Item = &'a str>) {
        let mut hooks = self.lock();
        let mut before = std::mem::take(&mut *hooks);
        hooks.extend(sources.into_iter().map(|name| (name.to_owned(), before.remove(name).flatten())));
    }

    /// Hands in a post to `source`, and waits until the log has acknowledged what it holds.
    pub async fn deliver(&self, source: &str, headers: &HeaderMap, body: &[u8]) -> Result<Receipt, Refusal> {
        let endpoint = match self.lock().get(source) {
            None => return Err(Refusal::Unknown),
            Some(None) => return Err(Refusal::Busy("the source is not listening at this moment")),
            Some(Some(endpoint)) => Arc::clone(endpoint),
        };
        endpoint.deliver(headers, body, Timestamp::now()).await
    }

    /// From now on posts to `source` go to this endpoint, unless the source is no longer configured.
    pub(super) fn open(&self, source: &str, endpoint: &Arc<Endpoint>) {
        if let Some(open) = self.lock().get_mut(source) {
            *open = Some(Arc::clone(endpoint));
        }
    }

    /// Posts to `source` go to this endpoint no more; another one may have taken its place already.
    pub(super) fn close(&self, source: &str, endpoint: &Arc<Endpoint>) {
        if let Some(open) = self.lock().get_mut(source) {
            open.take_if(|open| Arc::ptr_eq(open, endpoint));
        }
    }

    /// The map stays sound even if a holder of the lock panicked: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Endpoint>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One source that listens.
pub(super) struct Endpoint {
    settings: Settings,
    queue: mpsc::Sender<Post>,
}

/// A post that waits for its batch, and later for the acknowledgement.
pub(super) struct Post {
    pub(super) parsed: Parsed,
    /// Told when the log has acknowledged the batch; dropped where it has not.
    pub(super) answer: oneshot::Sender<()>,
}

impl Endpoint {
    /// An endpoint, and the posts that come in there.
    pub(super) fn new(settings: Settings) -> (Arc<Self>, mpsc::Receiver<Post>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Arc::new(Self { settings, queue }), waiting)
    }

    /// The name of the scheme of signatures.
    pub(super) fn scheme(&self) -> &'static str {
        self.settings.verifier.scheme()
    }

    async fn deliver(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Receipt, Refusal> {
        let delivery = self.settings.verifier.verify(headers, body, now).map_err(|Forged| Refusal::Forged)?;
        let delivery = delivery.unwrap_or_else(|| body::name_of(body));
        let heard = body::read(&self.settings.reading, body, says_lines(headers), &delivery, now);
        if heard.parsed != Parsed::default() {
            self.acknowledged(heard.parsed).await?;
        }
        heard.receipt.map_err(Refusal::Unreadable)
    }

    async fn acknowledged(&self, parsed: Parsed) -> Result<(), Refusal> {
        let (answer, acknowledged) = oneshot::channel();
        let queued = self.queue.try_send(Post { parsed, answer });
        queued.map_err(|_| Refusal::Busy("too many posts wait at this moment"))?;
        match timeout(PATIENCE, acknowledged).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refusal::Busy("the source stopped listening before the post was safe")),
            Err(_) => Err(Refusal::Busy("the log has not acknowledged the post in time")),
        }
    }
}

/// True for bodies with one JSON value a line.
fn says_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/jsonl"].iter().any(|lines| kind.eq_ignore_ascii_case(lines))
}
