//! Reading a timeline without gaps, and again for what has changed; knows no HTTP.
//!
//! Ids order a timeline. `min_id` pages forward: it gives the statuses right after an id. New
//! statuses are read from the newest known id on. But a server gives a status that reaches it late
//! the id of the moment when it was written, so it appears *before* newer ones; statuses are also
//! edited, liked and deleted. Therefore the timeline is read again, now and then, from before the
//! oldest remembered status: what is unknown came late, what differs has changed, and what is absent
//! may have been deleted.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse::{CHANNEL, Item, Reading, Status, item};
use super::settings::{Recheck, Timeline};
use crate::contract::{Batch, BuildError, ConnectorError, Cursor, Gap, GapReason};
use crate::message::Message;

/// Statuses asked for in one request: the most that servers give.
pub(super) const PAGE: usize = 40;
/// Pages read before a batch is handed over.
const MAX_PAGES: usize = 25;
/// Requests for single statuses in one sweep.
const MAX_SINGLE: usize = 20;
/// A page this long may have been cut by the server; shorter ones were asked for more.
const SUSPICIOUS: usize = 20;

/// A Mastodon server, as far as a timeline needs it.
pub(super) trait Server {
    /// One page of a timeline, newest first.
    async fn page(&self, timeline: &Timeline, range: Range<'_>, limit: usize) -> Result<Vec<Value>, ConnectorError>;

    /// One status; `None` when the server says that it does not exist (any more).
    async fn status(&self, id: &str) -> Result<Option<Value>, ConnectorError>;
}

/// Which part of a timeline; both ends are exclusive.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range<'a> {
    pub(super) min_id: Option<&'a str>,
    pub(super) max_id: Option<&'a str>,
}

/// Position in all timelines of a source; the JSON of this is the cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    version: u32,
    pub(super) timelines: BTreeMap<String, Place>,
}

/// Position in one timeline that has been read before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The newest id that was read; `None` while the timeline is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// Everything after this id is in `recent`; `None` when that is the whole timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
    /// Statuses that are read again, in the timeline's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Seen>,
}

/// A status that was heard, and how it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// Id that orders the timeline.
    at: String,
    /// The status's id, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// ActivityPub id; empty for one that could not be understood.
    uri: String,
    published_at: Timestamp,
    #[serde(default, skip_serializing_if = "is_zero")]
    version: u64,
    #[serde(default, skip_serializing_if = "is_nothing")]
    counts: [u64; 3],
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nothing(counts: &[u64; 3]) -> bool {
    *counts == [0; 3]
}

const VERSION: u32 = 1;

impl Position {
    pub(super) fn read(cursor: Option<&Cursor>) -> Result<Self, BuildError> {
        let first = || Ok(Self { version: VERSION, ..Self::default() });
        cursor.map_or_else(first, |cursor| cursor.read_version(VERSION))
    }
}

/// What reading a timeline gave.
pub(super) struct Swept {
    pub(super) place: Place,
    pub(super) batch: Batch,
    /// The newest end was reached.
    pub(super) complete: bool,
}

/// How a timeline is read.
pub(super) struct Sweep<'a, S> {
    pub(super) server: &'a S,
    pub(super) timeline: &'a Timeline,
    pub(super) reading: Reading<'a>,
    pub(super) backfill: usize,
    pub(super) recheck: Recheck,
}

/// The pages of a sweep.
#[derive(Default)]
struct Pages {
    /// Oldest first.
    items: Vec<Item>,
    complete: bool,
    /// When the oldest status was written that could be reached, where that was not far enough.
    ceiling: Option<Timestamp>,
}

impl<S: Server> Sweep<'_, S> {
    /// Reads what is new, or with `again` everything since the oldest remembered status. A failure
    /// after the first page ends the sweep early instead of losing it.
    /// Without a place, it is the first time.
    pub(super) async fn run(&self, place: Option<&Place>, again: bool) -> Result<Swept, ConnectorError> {
        let (mut next, pages) = match place {
            None => self.first().await?,
            Some(place) => {
                let start = if again { &place.floor } else { &place.last };
                let pages = match start {
                    Some(start) => self.forward(start).await?,
                    None => self.backward(None, MAX_PAGES * PAGE).await?,
                };
                (place.clone(), pages)
            }
        };
        let mut batch = Batch::default();
        batch.gaps.extend(pages.ceiling.map(|oldest| self.ceiling(&next, oldest)));

        let known: HashMap<String, usize> =
            next.recent.iter().enumerate().map(|(index, seen)| (seen.at.clone(), index)).collect();
        let mut present = vec![false; next.recent.len()];
        let mut heard: Vec<Status> = Vec::new();
        let newest = pages.items.last().map(|item| item.at.clone());
        for Item { at, status } in pages.items {
            let seen_before =
                known.get(&at).and_then(|index| Some((next.recent.get_mut(*index)?, present.get_mut(*index)?)));
            match (status, seen_before) {
                (Ok(status), Some((seen, present))) => {
                    *present = true;
                    if seen.update(&status) {
                        heard.push(status);
                    }
                }
                (Ok(status), None) => {
                    next.recent.push(Seen::of(&at, &status));
                    heard.push(status);
                }
                (Err(_), Some((_, present))) => *present = true,
                (Err(poison), None) => {
                    next.recent.push(Seen::unreadable(&at, self.reading.observed_at));
                    batch.poison.push(poison);
                }
            }
        }

        let mut single = MAX_SINGLE;
        if again {
            let reached = if pages.complete { None } else { newest.as_deref() };
            let absent = next.recent.iter().zip(&present).filter(|(seen, present)| {
                !**present && !seen.uri.is_empty() && reached.is_none_or(|reached| order(&seen.at, reached).is_lt())
            });
            let absent: Vec<String> = absent.map(|(seen, _)| seen.at.clone()).collect();
            for at in absent {
                self.confirm(&at, &mut next, &mut heard, &mut batch.messages, &mut single).await;
            }
        }
        let gone = std::mem::take(&mut batch.messages);
        let parents = self.parents(&heard, &next, &mut single).await;
        for status in &heard {
            let parent = status.in_reply_to_id.as_ref().and_then(|id| parents.get(id));
            batch.messages.push(status.message(&self.reading, parent.map(String::as_str)));
        }
        batch.messages.extend(gone);

        next.advance(newest);
        next.forget(self.recheck, self.reading.observed_at);
        Ok(Swept { place: next, batch, complete: pages.complete })
    }

    /// The newest statuses, as many as the backfill wants. The one before them is where the
    /// timeline starts for us.
    async fn first(&self) -> Result<(Place, Pages), ConnectorError> {
        let mut pages = self.backward(None, self.backfill + 1).await?;
        pages.complete = true;
        pages.ceiling = None;
        let more = pages.items.len() > self.backfill;
        let start = more.then(|| pages.items.remove(0).at);
        Ok((Place { last: start.clone(), floor: start, recent: Vec::new() }, pages))
    }

    /// Pages forward from `start`.
    async fn forward(&self, start: &str) -> Result<Pages, ConnectorError> {
        let mut pages = Pages::default();
        let mut from = start.to_owned();
        for number in 0..MAX_PAGES {
            let range = Range { min_id: Some(&from), max_id: None };
            let page = match self.page(range, PAGE).await {
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
                Ok(page) => page,
            };
            // A server that does not know `min_id` gives the newest statuses, whatever is between.
            if number == 0 && page.len() >= SUSPICIOUS && self.left_out(start, &page).await? {
                return self.backward(Some(start), MAX_PAGES * PAGE).await;
            }
            let newest =
                page.iter().map(|item| &item.at).filter(|at| order(at, &from).is_gt()).max_by(|a, b| order(a, b));
            let Some(newest) = newest.cloned() else {
                pages.complete = true;
                break;
            };
            pages.items.extend(page.into_iter().filter(|item| order(&item.at, &from).is_gt()));
            from = newest;
        }
        pages.items.sort_by(|a, b| order(&a.at, &b.at));
        Ok(pages)
    }

    /// True when there is something between `start` and the page that should follow it.
    async fn left_out(&self, start: &str, page: &[Item]) -> Result<bool, ConnectorError> {
        let oldest = page.iter().map(|item| item.at.as_str()).min_by(|a, b| order(a, b));
        let between = self.page(Range { min_id: Some(start), max_id: oldest }, 1).await?;
        Ok(between.iter().any(|item| order(&item.at, start).is_gt()))
    }

    /// Pages back from the newest status to `until`, or over `enough` statuses.
    async fn backward(&self, until: Option<&str>, enough: usize) -> Result<Pages, ConnectorError> {
        let mut pages = Pages::default();
        let mut oldest: Option<String> = None;
        while pages.items.len() < enough {
            let limit = PAGE.min(enough - pages.items.len());
            let page = self.page(Range { min_id: None, max_id: oldest.as_deref() }, limit).await?;
            let is_older = |item: &&Item| oldest.as_ref().is_none_or(|oldest| order(&item.at, oldest).is_lt());
            let next = page.iter().filter(is_older).map(|item| &item.at).min_by(|a, b| order(a, b));
            let Some(next) = next.cloned() else {
                pages.complete = true;
                break;
            };
            let reached = until.is_some_and(|until| order(&next, until).is_le());
            let older = oldest.take();
            pages.items.extend(page.into_iter().filter(|item| {
                older.as_ref().is_none_or(|older| order(&item.at, older).is_lt())
                    && until.is_none_or(|until| order(&item.at, until).is_gt())
            }));
            if reached {
                pages.complete = true;
                break;
            }
            oldest = Some(next);
        }
        pages.items.sort_by(|a, b| order(&a.at, &b.at));
        if !pages.complete {
            let times = pages.items.iter().filter_map(|item| Some(item.status.as_ref().ok()?.created_at));
            pages.ceiling = Some(times.min().unwrap_or(self.reading.observed_at));
            pages.complete = true;
        }
        Ok(pages)
    }

    /// The gap between what was known and what could be reached.
    fn ceiling(&self, place: &Place, oldest: Timestamp) -> Gap {
        let known = place.recent.last().map_or(oldest, |seen| seen.published_at);
        Gap {
            from: known.min(oldest),
            until: oldest,
            reason: GapReason::PageCeiling,
            estimate: None,
            detail: format!("{}: more was said than the server pages through", self.timeline.name()),
        }
    }

    async fn page(&self, range: Range<'_>, limit: usize) -> Result<Vec<Item>, ConnectorError> {
        let page = self.server.page(self.timeline, range, limit).await?;
        let origin = self.timeline.name();
        Ok(page.iter().filter_map(|value| item(value, &origin)).collect())
    }

    /// Asks for a status that the timeline no longer shows. Only the server's own word that it does
    /// not exist is a deletion.
    async fn confirm(
        &self,
        at: &str,
        place: &mut Place,
        heard: &mut Vec<Status>,
        gone: &mut Vec<Message>,
        single: &mut usize,
    ) {
        let Some(index) = place.recent.iter().position(|seen| seen.at == at) else { return };
        let Some(seen) = place.recent.get_mut(index) else { return };
        if *single == 0 {
            return;
        }
        *single -= 1;
        match self.server.status(seen.id.as_deref().unwrap_or(at)).await {
            Ok(None) => {
                gone.push(seen.tombstone(&self.reading));
                place.recent.remove(index);
            }
            Ok(Some(value)) => {
                if let Some(Item { status: Ok(status), .. }) = item(&value, &self.timeline.name())
                    && seen.update(&status)
                {
                    heard.push(status);
                }
            }
            // It is asked again at the next sweep.
            Err(_) => *single = 0,
        }
    }

    /// The ActivityPub ids of the statuses that are answered, by id. Those that are not at hand are
    /// asked for where answers matter most: in what the brand says and in what is said to it.
    async fn parents(&self, heard: &[Status], place: &Place, single: &mut usize) -> HashMap<String, String> {
        let mut uris: HashMap<String, String> =
            place.recent.iter().map(|seen| (seen.id.as_ref().unwrap_or(&seen.at).clone(), seen.uri.clone())).collect();
        uris.extend(heard.iter().map(|status| (status.id.clone(), status.uri.clone())));
        if !matches!(self.timeline, Timeline::Mentions | Timeline::Account(_)) {
            return uris;
        }
        for id in heard.iter().filter_map(|status| status.in_reply_to_id.as_ref()) {
            if *single == 0 {
                break;
            }
            if !uris.contains_key(id) {
                *single -= 1;
                let parent = self.server.status(id).await.ok().flatten();
                if let Some(uri) = parent.as_ref().and_then(|parent| parent.get("uri")).and_then(Value::as_str) {
                    uris.insert(id.clone(), uri.to_owned());
                }
            }
        }
        uris
    }
}

impl Seen {
    fn of(at: &str, status: &Status) -> Self {
        Self {
            at: at.to_owned(),
            id: (status.id != at).then(|| status.id.clone()),
            uri: status.uri.clone(),
            published_at: status.created_at,
            version: status.version(),
            counts: status.counts(),
        }
    }

    fn unreadable(at: &str, now: Timestamp) -> Self {
        Self { at: at.to_owned(), id: None, uri: String::new(), published_at: now, version: 0, counts: [0; 3] }
    }

    /// Takes over how the status is now; true when that is different.
    fn update(&mut self, status: &Status) -> bool {
        let changed = (self.version, self.counts) != (status.version(), status.counts());
        (self.version, self.counts) = (status.version(), status.counts());
        changed
    }

    /// The deletion, with a version above every edit.
    fn tombstone(&self, reading: &Reading<'_>) -> Message {
        let mut message = Message::new(CHANNEL, reading.source, &self.uri, self.published_at, reading.observed_at);
        let now = u64::try_from(reading.observed_at.as_millisecond()).unwrap_or(0);
        message.version = now.max(self.version + 1);
        message.deleted = true;
        message
    }
}

impl Place {
    fn advance(&mut self, newest: Option<String>) {
        self.recent.sort_by(|a, b| order(&a.at, &b.at));
        if let Some(newest) = newest
            && self.last.as_ref().is_none_or(|last| order(&newest, last).is_gt())
        {
            self.last = Some(newest);
        }
    }

    /// Drops what is too old to be read again.
    fn forget(&mut self, recheck: Recheck, now: Timestamp) {
        let oldest = now.checked_sub(SignedDuration::from_hours(recheck.hours.into())).unwrap_or(Timestamp::MIN);
        let over = self.recent.len().saturating_sub(recheck.statuses);
        let old = self.recent.iter().skip(over).take_while(|seen| seen.published_at < oldest).count();
        if let Some(last) = self.recent.drain(..over + old).next_back()
            && self.floor.as_ref().is_none_or(|floor| order(&last.at, floor).is_gt())
        {
            self.floor = Some(last.at);
        }
    }
}

/// The order of ids: numbers of growing length, or strings of one length (ULIDs, flake ids).
pub(super) fn order(a: &str, b: &str) -> Ordering {
    (a.len(), a).cmp(&(b.len(), b))
}
