//! The conformance suite: what the contract promises, tried on a connector.
//!
//! A channel plays its remote as a [`Scenario`] and passes [`conform`].

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::server::{Answer, Server};
use crate::contract::{Batch, Connector, ConnectorError, Cursor};
use crate::message::MessageId;

/// The suite gives up on a connector that hangs for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A remote that the suite plays, and the connector that listens to it.
///
/// The connector's poll interval has to be short, and so have its timeouts.
pub trait Scenario {
    /// A connector that listens to the remote from a cursor.
    fn connector(&self, cursor: Option<Cursor>) -> Box<dyn Connector>;

    /// Publishes so many more messages at the remote, and returns their ids.
    fn publish(&mut self, count: usize) -> Vec<MessageId>;

    /// Publishes a record that cannot be understood; false when the channel has no such thing.
    fn publish_garbage(&mut self) -> bool {
        false
    }

    /// False when the remote forgets what a cursor covers, so that it cannot be heard from the start
    /// again.
    fn remembers(&self) -> bool {
        true
    }

    /// Changes a message at the remote; `None` when the channel has no edits.
    fn edit(&mut self) -> Option<MessageId> {
        None
    }

    /// Deletes a message at the remote; `None` when the channel has no deletions.
    fn delete(&mut self) -> Option<MessageId> {
        None
    }

    /// The scripted server of a channel over HTTP. Any other channel has none, and says itself how it can fail.
    fn server(&self) -> Option<&Server> {
        None
    }

    /// The ways in which the remote, or the way to it, can fail, by name.
    fn faults(&self) -> Vec<&'static str> {
        http_faults().into_iter().map(|(name, _)| name).collect()
    }

    /// Makes it fail in this way until it is healed.
    fn fail(&mut self, fault: &str) {
        let answer = http_faults().into_iter().find(|(name, _)| *name == fault);
        self.server().expect("a scripted server").fail(answer.expect("a fault of the list").1);
    }

    /// Ends the failure.
    fn heal(&mut self) {
        self.server().expect("a scripted server").heal();
    }
}

/// Walks a connector through the contract, each promise on a fresh remote. Panics where one is broken.
pub async fn conform<S: Scenario>(fresh: impl AsyncFn() -> S) {
    honours_the_rate_limit(fresh().await).await;
    resumes(fresh().await).await;
    survives_dropped_calls(fresh().await).await;
    keeps_the_good_part(fresh().await).await;
    outlives_faults(fresh().await).await;
    hears_edits_and_deletions(fresh().await).await;
}

/// Everything that a connector said.
#[derive(Default)]
struct Heard {
    batch: Batch,
    cursor: Option<Cursor>,
}

impl Heard {
    fn ids(&self) -> BTreeSet<MessageId> {
        self.batch.messages.iter().map(|message| message.id).collect()
    }

    fn add(&mut self, batch: Batch) {
        self.batch.messages.extend(batch.messages);
        self.batch.poison.extend(batch.poison);
        self.cursor = batch.cursor.or(self.cursor.take());
    }
}

async fn next(connector: &mut dyn Connector) -> Result<Batch, ConnectorError> {
    timeout(PATIENCE, connector.next_batch()).await.expect("next_batch does not hang")
}

/// Listens until everything wanted has been heard.
async fn hear(connector: &mut dyn Connector, wanted: &[MessageId]) -> Heard {
    let mut heard = Heard::default();
    let deadline = Instant::now() + PATIENCE;
    while !wanted.iter().all(|id| heard.ids().contains(id)) {
        assert!(Instant::now() < deadline, "{} of {} messages were heard", heard.ids().len(), wanted.len());
        heard.add(next(connector).await.unwrap_or_else(|error| panic!("the poll failed: {error}")));
    }
    heard
}

fn set(ids: &[MessageId]) -> BTreeSet<MessageId> {
    ids.iter().copied().collect()
}

async fn resumes<S: Scenario>(mut scenario: S) {
    let first = scenario.publish(3);
    let mut connector = scenario.connector(None);
    let heard = hear(connector.as_mut(), &first).await;
    assert_eq!(heard.ids(), set(&first), "exactly what was published is heard");

    // Stopped while it waits for news.
    drop(timeout(Duration::from_millis(50), connector.next_batch()).await);
    drop(connector);
    let second = scenario.publish(2);
    let mut connector = scenario.connector(heard.cursor);
    let resumed = hear(connector.as_mut(), &second).await;
    assert_eq!(resumed.ids(), set(&second), "a resumed connector hears what is new, and only that");

    if !scenario.remembers() {
        return;
    }
    let again = hear(scenario.connector(None).as_mut(), &[first, second].concat()).await;
    assert_eq!(again.ids().len(), 5, "ids are the same whenever they are heard");
}

async fn survives_dropped_calls<S: Scenario>(mut scenario: S) {
    let published = scenario.publish(5);
    let mut connector = scenario.connector(None);
    let mut heard = Heard::default();
    for patience in (0..400).map(|step| Duration::from_micros(250 * step)) {
        if let Ok(batch) = timeout(patience, connector.next_batch()).await {
            heard.add(batch.unwrap_or_else(|error| panic!("the poll failed: {error}")));
        }
        if heard.ids() == set(&published) {
            return;
        }
    }
    let rest: Vec<_> = published.into_iter().filter(|id| !heard.ids().contains(id)).collect();
    hear(connector.as_mut(), &rest).await;
}

async fn honours_the_rate_limit<S: Scenario>(mut scenario: S) {
    const WAIT: Duration = Duration::from_secs(2);
    if scenario.server().is_none() {
        return;
    }
    let published = scenario.publish(1);
    let server = || scenario.server().expect("a scripted server");
    server().fail(Answer::status(429).header("retry-after", "2"));
    let mut connector = scenario.connector(None);
    let error = next(connector.as_mut()).await.expect_err("a limited poll fails");
    assert!(error.rate_limited, "{error:?}");
    assert!(error.retry_after.is_some_and(|wait| wait > Duration::ZERO && wait <= WAIT), "{error:?}");

    server().heal();
    let limited = server().requests().len();
    // Asked at once, it waits for its turn, or says again when that is.
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Heard::default();
    while heard.ids() != set(&published) {
        assert!(Instant::now() < deadline, "it is not heard again");
        match next(connector.as_mut()).await {
            Ok(batch) => heard.add(batch),
            Err(error) => tokio::time::sleep(error.retry_after.unwrap_or(PATIENCE)).await,
        }
    }
    let requests = server().requests();
    let last_limited = requests.get(limited - 1).map(|request| request.at);
    let next_one = requests.get(limited).map(|request| request.at);
    let pause = next_one.zip(last_limited).map(|(next, last)| next - last).expect("a request after the limited one");
    assert!(pause >= WAIT, "the server asked for {WAIT:?} of silence and got {pause:?}");
}

async fn keeps_the_good_part<S: Scenario>(mut scenario: S) {
    let mut published = scenario.publish(2);
    if !scenario.publish_garbage() {
        return;
    }
    published.extend(scenario.publish(1));
    let mut connector = scenario.connector(None);
    let heard = hear(connector.as_mut(), &published).await;
    assert_eq!(heard.ids(), set(&published));
    let [poison] = heard.batch.poison.as_slice() else { panic!("one poison, not {:?}", heard.batch.poison) };
    assert!(!poison.origin.is_empty() && !poison.reason.is_empty() && !poison.payload.is_empty(), "{poison:?}");
}

async fn outlives_faults<S: Scenario>(mut scenario: S) {
    let mut connector = scenario.connector(None);
    for fault in scenario.faults() {
        scenario.fail(fault);
        let error = next(connector.as_mut()).await.expect_err(fault);
        assert!(error.retry_after.is_some(), "after {fault}, trying again makes sense: {error:?}");
        scenario.heal();
        let published = scenario.publish(1);
        hear(connector.as_mut(), &published).await;
    }
}

/// The faults of an HTTP server.
fn http_faults() -> Vec<(&'static str, Answer)> {
    let page = || Answer::ok(vec![b'<'; 4096]);
    // The start of a gzip stream (RFC 1952) that goes on as rubbish.
    let damaged = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 64]].concat();
    vec![
        ("500", Answer::status(500)),
        ("HTML", Answer::ok("<!doctype html><html><body>Sign in</body></html>").header("content-type", "text/html")),
        ("nothing", Answer::ok("")),
        ("a cut connection", page().cut_after(100)),
        ("a lying length", page().claiming_length(1 << 40)),
        ("damaged gzip", Answer::ok(damaged).header("content-encoding", "gzip")),
        ("silence", Answer::silence()),
        ("a slow drip", page().drip(Duration::from_millis(100))),
        ("a redirect loop", Answer::redirect(302, "/loop")),
    ]
}

async fn hears_edits_and_deletions<S: Scenario>(mut scenario: S) {
    let published = scenario.publish(3);
    let mut connector = scenario.connector(None);
    let mut heard = hear(connector.as_mut(), &published).await;
    if let Some(id) = scenario.edit() {
        heard = hear(connector.as_mut(), &[id]).await;
        let edited = heard.batch.messages.iter().find(|message| message.id == id);
        assert!(edited.is_some_and(|message| message.version > 0 && !message.deleted), "{edited:?}");
    }
    if let Some(id) = scenario.delete() {
        heard = hear(scenario.connector(heard.cursor).as_mut(), &[id]).await;
        let deleted = heard.batch.messages.iter().find(|message| message.id == id);
        assert!(deleted.is_some_and(|message| message.version > 0 && message.deleted), "{deleted:?}");
    }
}
