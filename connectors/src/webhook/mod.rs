//! `webhook`: posts of any program that can sign them, at the daemon's own web address: `POST /hooks/SOURCE`.
//!
//! # What becomes of a post
//!
//! - A body is one record (a JSON object), several (an array, or what `records` points to), or one a line
//!   (`application/x-ndjson`).
//! - A record whose `id` is not mapped has as id the source, the id of the delivery (`webhook-id`,
//!   `X-GitHub-Delivery`, `Idempotency-Key`, or else a hash of the body) and its place in the body: the same
//!   delivery counts once, however often it is sent.
//! - A record that cannot be understood is poison; its origin is the id of the delivery and its place. So is a whole
//!   body that is no JSON, has nothing where `records` points to, or holds more than 4,000 records.
//! - A post that is not signed, wrongly signed or, as far as the scheme tells, more than five minutes old is refused,
//!   and nothing of it is kept.
//!
//! # What is promised
//!
//! - A post is answered as taken only once the log has acknowledged what was in it. Where that takes longer than 10
//!   seconds, where too many posts wait, or where the source is just being changed, the sender is told to come again,
//!   which is safe.
//! - There is no cursor: senders remember what was not taken. What they never send again is not known to be missed.

mod body;
mod hooks;
mod settings;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::hooks::{Endpoint, Post};
pub use self::hooks::{Hooks, Receipt, Refusal, Rejected};
use self::settings::Settings;
use crate::contract::{Batch, BuildError, Connector, ConnectorError};
use crate::registry::{Channel, Context, Parsed};

/// The `webhook` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: "webhook",
    summary: "signed posts of any program, at /hooks/SOURCE",
    settings: settings::schema,
    build,
    parse,
};

/// How long a call waits for a post before it answers that there is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Records with which a batch takes no further post.
const ENOUGH: usize = 1_000;

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let (endpoint, waiting) = Endpoint::new(Settings::new(settings, context.source)?);
    Ok(Box::new(Webhook {
        source: context.source.to_owned(),
        hooks: context.hooks.clone(),
        endpoint,
        waiting,
        unanswered: Vec::new(),
    }))
}

fn parse(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let reading = settings::reading(settings, source)?;
    let lines = body::looks_like_lines(payload);
    Ok(body::read(&reading, payload, lines, &body::name_of(payload), Timestamp::now()).parsed)
}

struct Webhook {
    source: String,
    hooks: Hooks,
    endpoint: Arc<Endpoint>,
    waiting: mpsc::Receiver<Post>,
    /// The senders of what the last batch held.
    unanswered: Vec<oneshot::Sender<()>>,
}

#[async_trait]
impl Connector for Webhook {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        Ok(format!("takes posts to /hooks/{}, signed as `{}` says", self.source, self.endpoint.scheme()))
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        // Being asked again means that the last batch is acknowledged.
        for answer in self.unanswered.drain(..) {
            // A sender that has gone needs no answer.
            let _ = answer.send(());
        }
        self.hooks.open(&self.source, &self.endpoint);

        let mut batch = Batch::default();
        // Nothing is awaited once a post is taken: a dropped call leaves all of them where they are.
        let mut next = timeout(PATIENCE, self.waiting.recv()).await.unwrap_or_default();
        while let Some(Post { parsed, answer }) = next {
            // Whoever was told to come again will.
            if !answer.is_closed() {
                batch.messages.extend(parsed.messages);
                batch.poison.extend(parsed.poison);
                self.unanswered.push(answer);
            }
            let is_full = batch.messages.len() + batch.poison.len() >= ENOUGH;
            next = if is_full { None } else { self.waiting.try_recv().ok() };
        }
        batch.more = !self.waiting.is_empty();
        Ok(batch)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.hooks.close(&self.source, &self.endpoint);
    }
}
