//! The live feed: mentions as they are stored, as server-sent events.
//!
//! Each stream asks the store what was stored after the place that it has come to. That works in every profile and in
//! every process, resumes anywhere, and buffers one page at most: a client that reads slowly makes its own stream slow
//! and nothing else, and one that reads nothing is cut off by the connection
//! ([ADR 0012](../../../docs/adr/0012-live-feed-polls-the-store.md)).
//!
//! # What a client can rely on
//!
//! At least once, in the order of storing. A row becomes visible a little after the moment that it carries, so the last
//! [`OVERLAP`] are looked through again for late ones; within a stream nothing comes twice for that, but a resumed
//! stream repeats them. An edit or a replay stores a mention anew, and it comes anew.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Api;
use super::caller::Caller;
use super::page::Cursor;
use super::params::{Checked, Params, Query};
use super::problem::Problem;
use super::query::{self, Text};
use crate::store::StoreError;
use crate::views::Filter;
use crate::views::mentions::{Mention, Stored, at_places, store_clock, stored_after};

/// How often the store is asked.
const POLL: Duration = Duration::from_secs(1);
/// Pause between two comments that keep the connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How far back late rows are looked for, milliseconds.
const OVERLAP: i64 = 30_000;
/// Mentions that are read at once.
const PAGE: usize = 1_000;
/// Places within the overlap that are remembered; of a faster feed, a shorter time.
const REMEMBERED: usize = 20_000;

/// What is listened to.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveQuery {
    /// Name of a brand; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    brand: Vec<String>,
    /// Platform, such as `mastodon`; may be repeated.
    #[param(required = false, value_type = Vec<Text>, inline, max_items = 20)]
    channel: Vec<String>,
}

impl Query for LiveQuery {
    fn read(params: &mut Params) -> Self {
        Self { brand: params.texts("brand"), channel: params.texts("channel") }
    }
}

/// New mentions as they are stored
///
/// Server-sent events: `mention` with a mention as JSON, `end` with the reason when the server ends the stream, and a
/// comment every 15 seconds. With `Last-Event-ID` the stream goes on after that event, and repeats the last half
/// minute before it.
#[utoipa::path(get, path = "/mentions/live", tag = query::MONITORING,
    params(LiveQuery, ("Last-Event-ID" = Option<String>, Header, description = "`id` of the last event that was read")),
    responses((status = 200, description = "The stream; `data` of an event `mention` is a Mention", body = String,
               content_type = "text/event-stream")))]
pub(super) async fn live(
    State(api): State<Api>,
    caller: Caller,
    Checked(query): Checked<LiveQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let LiveQuery { brand, channel } = query;
    let filter = caller.narrow(Filter { brands: brand, channels: channel, ..Filter::default() })?;
    let last = last_event(&headers)?;
    let full = |_| Problem::unavailable("there are as many live feeds as this process serves; close one, or ask later");
    let slot = api.feeds.clone().try_acquire_owned().map_err(full)?;
    let from = match last {
        Some(last) => last.at.saturating_sub(OVERLAP),
        None => store_clock(&api.store).await?,
    };
    let feed =
        Feed { api, caller, filter, place: Place::from(from), ready: VecDeque::new(), ended: false, _slot: slot };
    let events = futures::stream::unfold(feed, |mut feed| async move { Some((Ok(feed.next().await?), feed)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

fn last_event(headers: &HeaderMap) -> Result<Option<Stored>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let decoded = value.to_str().ok().and_then(|text| Cursor::<(i64, String, Uuid)>::decode("live", text));
    let wrong = || Problem::bad_parameter("Last-Event-ID", "it is not the `id` of an event of this feed");
    let Cursor((at, brand, id)) = decoded.ok_or_else(wrong)?;
    Ok(Some(Stored { at, brand, id }))
}

/// One stream.
struct Feed {
    api: Api,
    caller: Caller,
    filter: Filter,
    place: Place,
    ready: VecDeque<Event>,
    ended: bool,
    _slot: OwnedSemaphorePermit,
}

impl Feed {
    /// The next event; `None` after the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if self.api.stop.is_cancelled() {
                self.end("the server is stopping");
            } else if let Err(problem) = self.caller.still_holds(&self.api).await {
                self.end(&problem.detail);
            } else if !self.read().await {
                self.api.stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
            }
        }
    }

    fn end(&mut self, reason: &str) {
        self.ended = true;
        let data = serde_json::json!({ "reason": reason }).to_string();
        self.ready.push_back(Event::default().event("end").data(data));
    }

    /// Reads what is new; false where nothing is. While the store is away, nothing is new.
    async fn read(&mut self) -> bool {
        let read = self.place.advance(&self.api, &self.filter).await;
        let Ok((more, mentions)) = read.inspect_err(|error| tracing::debug!(%error, "a live feed waits")) else {
            return false;
        };
        self.ready.extend(mentions.iter().filter_map(event));
        more || !self.ready.is_empty()
    }
}

/// A mention as an event; `None` where it cannot be written, which does not happen.
fn event(mention: &Mention) -> Option<Event> {
    let id = Cursor((mention.stored_at.as_millisecond(), &mention.brand, mention.id)).encode("live");
    Event::default().event("mention").id(id).json_data(mention).ok()
}

/// Where a stream stands: everything up to `floor` is behind it, and of what comes after that, `sent`.
struct Place {
    floor: Stored,
    sent: BTreeSet<Stored>,
}

impl Place {
    fn from(at: i64) -> Self {
        Self { floor: Stored { at, brand: String::new(), id: Uuid::nil() }, sent: BTreeSet::new() }
    }

    /// The mentions that are new, and whether there are more at hand.
    async fn advance(&mut self, api: &Api, filter: &Filter) -> Result<(bool, Vec<Mention>), StoreError> {
        // What was sent is at most so much of it, so that a page is new, if there is a page.
        let limit = self.sent.len() + PAGE;
        let mut found = stored_after(&api.store, filter, &self.floor, limit).await?;
        let more = found.len() == limit;
        found.retain(|stored| !self.sent.contains(stored));
        let mentions = at_places(&api.store, filter, &found).await?;
        self.sent.extend(found);
        self.forget();
        Ok((more, mentions))
    }

    /// Moves the floor up.
    fn forget(&mut self) {
        let Some(newest) = self.sent.last().map(|stored| stored.at) else { return };
        while let Some(oldest) = self.sent.first()
            && (oldest.at < newest - OVERLAP || self.sent.len() > REMEMBERED)
        {
            if let Some(oldest) = self.sent.pop_first() {
                self.floor = oldest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(at: i64) -> Stored {
        Stored { at, brand: "acme".to_owned(), id: Uuid::nil() }
    }

    #[test]
    fn what_is_older_than_the_overlap_is_forgotten() {
        let mut place = Place::from(0);
        place.sent.extend([1, 2, OVERLAP, OVERLAP + 2].map(stored));
        place.forget();
        assert_eq!(place.floor, stored(1));
        assert_eq!(place.sent.len(), 3);
    }

    #[test]
    fn a_flood_is_remembered_in_part() {
        let mut place = Place::from(0);
        place.sent.extend((0..REMEMBERED as i64 + 5).map(|at| stored(at % 7 * 4000 + at / 7)));
        place.forget();
        assert_eq!(place.sent.len(), REMEMBERED);
        assert!(place.sent.first().is_some_and(|first| place.floor < *first));
    }
}
