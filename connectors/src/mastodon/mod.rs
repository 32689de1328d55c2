//! `mastodon`: public and hashtag timelines, mentions of the brand's account, and what its own
//! accounts say, on Mastodon and on servers that speak its API.
//!
//! # What becomes of a status
//!
//! - Its identity is its ActivityPub id, so that a status heard through two servers counts once. An
//!   author's is the full handle.
//! - HTML becomes plain text, the content warning the title. The options of a poll and the
//!   descriptions of pictures are the author's words, too, and stand below the text. Custom emoji
//!   keep their shortcodes.
//! - A boost carries the words of what it repeats, and no reactions of its own. What accounts of
//!   `timelines` say is outbound.
//! - An edit is a new version, and so is a deletion; new reactions are the same version, observed
//!   later.
//! - The answered status is known where it was heard lately; in `mentions` and accounts it is looked
//!   up.
//!
//! # What is promised
//!
//! - Timelines are read forward from the last status, page by page, so that a pause of any length
//!   is made up for. A server that cannot page forward is paged back; where it stops too early, that
//!   is a gap.
//! - Recent statuses are read again: late arrivals, edits and reactions are heard. One that is
//!   absent then is asked for by itself; only the API's own "not found" is a deletion, never an
//!   error, a refusal or a web page.
//! - An element of a page that is not a status is poison; the rest of the page is kept.
//! - 300 requests in five minutes at most for a token (or an address), and the server's own limits.

mod api;
mod parse;
mod settings;
#[cfg(test)]
mod tests;
mod timeline;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use self::api::Api;
use self::parse::Reading;
use self::settings::{Settings, Timeline};
use self::timeline::{Position, Range, Server, Sweep, Swept};
use crate::contract::{Batch, BuildError, Connector, ConnectorError, Cursor};
use crate::registry::{Channel, Context, Parsed};

/// The `mastodon` channel.
pub(crate) const CHANNEL: Channel = Channel {
    name: parse::CHANNEL,
    summary: "public and hashtag timelines, mentions and own accounts of a Mastodon server",
    settings: settings::schema,
    build,
    parse: parse_payload,
};

fn build(settings: toml::Table, context: Context<'_>) -> Result<Box<dyn Connector>, BuildError> {
    let mut settings = Settings::new(settings)?;
    let mut position = Position::read(context.cursor.as_ref())?;
    let now = Instant::now();
    let schedule: Vec<Due> =
        settings.timelines.iter().map(|timeline| Due { timeline: timeline.clone(), poll: now, recheck: now }).collect();
    position.timelines.retain(|name, _| schedule.iter().any(|due| due.timeline.name() == *name));
    let own: Vec<String> = settings.own_accounts().map(str::to_owned).collect();
    let server = settings
        .server
        .take()
        .ok_or_else(|| BuildError::Setting { path: "server".to_owned(), reason: "is missing".to_owned() })?;
    let api = Api::new(context.http.clone(), server, settings.token.take(), own.clone());
    Ok(Box::new(MastodonConnector { source: context.source.to_owned(), api, own, settings, position, schedule }))
}

/// Reads a list of statuses or notifications, or a single one.
fn parse_payload(settings: toml::Table, source: &str, payload: &[u8]) -> Result<Parsed, BuildError> {
    let settings = Settings::for_payload(settings)?;
    let unreadable =
        |reason: String| BuildError::Setting { path: "payload".to_owned(), reason: format!("is no JSON: {reason}") };
    let values = match serde_json::from_slice(payload).map_err(|error| unreadable(error.to_string()))? {
        Value::Array(values) => values,
        one => vec![one],
    };
    let own: Vec<String> = settings.own_accounts().map(str::to_owned).collect();
    let domain = settings.server.as_ref().and_then(|server| server.host_str());
    let reading = Reading { source, domain, own: &own, observed_at: Timestamp::now() };
    let mut parsed = Parsed::default();
    for value in &values {
        match parse::item(value, source).map(|item| item.status) {
            Some(Ok(status)) => {
                let parent =
                    status.in_reply_to_id.as_ref().and_then(|id| values.iter().find_map(|value| uri_of(value, id)));
                parsed.messages.push(status.message(&reading, parent));
            }
            Some(Err(poison)) => parsed.poison.push(poison),
            None => return Err(unreadable("an element has no `id`".to_owned())),
        }
    }
    Ok(parsed)
}

fn uri_of<'v>(value: &'v Value, id: &str) -> Option<&'v str> {
    if value.get("id")?.as_str()? == id { value.get("uri")?.as_str() } else { None }
}

struct MastodonConnector {
    source: String,
    api: Api,
    own: Vec<String>,
    settings: Settings,
    position: Position,
    schedule: Vec<Due>,
}

/// When a timeline is read next.
struct Due {
    timeline: Timeline,
    poll: Instant,
    recheck: Instant,
}

impl MastodonConnector {
    async fn sweep(&self, timeline: &Timeline, again: bool) -> Result<Swept, ConnectorError> {
        let instance = self.api.instance().await?;
        let sweep = Sweep {
            server: &self.api,
            timeline,
            reading: Reading {
                source: &self.source,
                domain: Some(&instance.domain),
                own: &self.own,
                observed_at: Timestamp::now(),
            },
            backfill: self.settings.backfill,
            recheck: self.settings.recheck,
        };
        sweep.run(self.position.timelines.get(&timeline.name()), again).await
    }
}

#[async_trait]
impl Connector for MastodonConnector {
    async fn check(&mut self) -> Result<String, ConnectorError> {
        let instance = self.api.instance().await?;
        let mut empty = Vec::new();
        for due in &self.schedule {
            if self.api.page(&due.timeline, Range::default(), 1).await?.is_empty() {
                empty.push(due.timeline.name());
            }
        }
        let readable =
            format!("{} {}: {} timelines can be read", instance.domain, instance.version, self.schedule.len());
        // A server may also hide a timeline by leaving it empty.
        Ok(if empty.is_empty() { readable } else { format!("{readable}, empty now: {}", empty.join(", ")) })
    }

    async fn next_batch(&mut self) -> Result<Batch, ConnectorError> {
        let earliest = self.schedule.iter().enumerate().min_by_key(|(_, due)| due.poll);
        let Some((index, due)) = earliest else {
            return Err(ConnectorError::bug("a source without timelines was built"));
        };
        sleep_until(due.poll).await;
        let again = due.recheck <= Instant::now();
        let name = due.timeline.name();
        let result = self.sweep(&due.timeline, again).await;

        let now = Instant::now();
        if let Some(due) = self.schedule.get_mut(index) {
            // What could not be read is not read before the others had their turn.
            let complete = result.as_ref().map_or(true, |swept| swept.complete);
            due.poll = if complete { now + self.settings.poll } else { now };
            if again && result.is_ok() {
                due.recheck = now + self.settings.recheck.every;
            }
        }
        let Swept { place, mut batch, .. } = result?;
        batch.more = self.schedule.iter().any(|due| due.poll <= now);
        let moved = self.position.timelines.get(&name) != Some(&place);
        self.position.timelines.insert(name, place);
        if moved {
            let cursor = Cursor::of(&self.position);
            batch.cursor =
                Some(cursor.map_err(|error| ConnectorError::bug(format!("cannot write the cursor: {error}")))?);
        }
        Ok(batch)
    }
}
