//! What a source's feeds have shown so far, and what of a page is new; pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::parse::{Heard, Page, fingerprint};
use crate::contract::{Gap, GapReason, Poison};
use crate::message::Message;

/// The most messages of one feed that are handed over at once.
const MOST_MESSAGES: usize = 2000;

/// How many items are remembered that a feed no longer shows: feeds show old items again, after a
/// deletion or an edit.
const MARGIN: usize = 200;

/// The cursor of the `feed` channel, version 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// By configured address, as [`scope`](super::parse::scope) writes it.
    pub(super) feeds: BTreeMap<String, FeedPosition>,
}

/// What is remembered about one feed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FeedPosition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
    /// Where the feed has moved for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) moved_to: Option<Url>,
    /// Since when the feed is known to be gone for good; it is no longer asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gone_since: Option<Timestamp>,
    /// When the server allows the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Timestamp>,
    /// The last time the feed was heard, or first asked in vain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heard_until: Option<Timestamp>,
    /// When the newest item so far was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<Timestamp>,
    /// The items that the feed shows, and some that it showed, by fingerprint of their id.
    pub(super) seen: BTreeMap<String, Seen>,
}

/// What is remembered about one item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Fingerprint of its content.
    hash: String,
    /// The version that it was last handed over with.
    #[serde(default, skip_serializing_if = "is_zero")]
    version: u64,
    /// For how many pages it has not been shown.
    #[serde(default, skip_serializing_if = "is_zero")]
    absent: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What of a page is new.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) messages: Vec<Message>,
    pub(super) poison: Vec<Poison>,
    pub(super) gap: Option<Gap>,
    /// True when the page holds more news than are handed over at once: take it again.
    pub(super) more: bool,
}

impl FeedPosition {
    /// Takes note of a page that was fetched at `now`, and returns what is new or changed in it.
    ///
    /// A changed item's version is the feed's own time of the change, in Unix milliseconds, where
    /// that has moved on, else `now`.
    pub(super) fn take(&mut self, page: Page, now: Timestamp) -> News {
        let mut news = News { gap: self.overrun(&page), ..News::default() };
        for seen in self.seen.values_mut() {
            seen.absent += 1;
        }
        for heard in page.items {
            if news.messages.len() == MOST_MESSAGES {
                news.more = true;
                break;
            }
            self.newest = self.newest.max(Some(heard.message.published_at));
            news.messages.extend(self.take_item(heard, now));
        }
        for poison in page.poison {
            let key = format!("poison {}", fingerprint_bytes(&poison.payload));
            if self.seen.insert(key, Seen::default()).is_none() {
                news.poison.push(poison);
            }
        }
        self.forget_oldest();
        self.heard_until = Some(now);
        self.not_before = None;
        news
    }

    fn take_item(&mut self, heard: Heard, now: Timestamp) -> Option<Message> {
        let Heard { mut message, updated, hash } = heard;
        let key = fingerprint([message.native_id.as_str()]);
        let Some(seen) = self.seen.get_mut(&key) else {
            self.seen.insert(key, Seen { hash, ..Seen::default() });
            return Some(message);
        };
        seen.absent = 0;
        if seen.hash == hash {
            return None;
        }
        let claimed = updated.map(|time| milliseconds(time.min(now))).filter(|version| *version > seen.version);
        seen.version = claimed.unwrap_or_else(|| milliseconds(now).max(seen.version + 1));
        seen.hash = hash;
        message.version = seen.version;
        Some(message)
    }

    /// A gap when nothing on the page was there last time and all of it is newer: items may have
    /// come and gone in between.
    fn overrun(&self, page: &Page) -> Option<Gap> {
        let from = self.newest?;
        let until = page.items.first()?.message.published_at;
        let all_new =
            !page.items.iter().any(|heard| self.seen.contains_key(&fingerprint([heard.message.native_id.as_str()])));
        (all_new && until > from).then(|| Gap {
            from,
            until,
            reason: GapReason::PageCeiling,
            estimate: None,
            detail: format!(
                "all {} items of the feed are new: older ones may have been pushed out unseen",
                page.items.len()
            ),
        })
    }

    fn forget_oldest(&mut self) {
        let absent = self.seen.iter().filter(|(_, seen)| seen.absent > 0);
        let mut absent: Vec<(u64, String)> = absent.map(|(key, seen)| (seen.absent, key.clone())).collect();
        absent.sort_unstable();
        for (_, key) in absent.iter().skip(MARGIN) {
            self.seen.remove(key);
        }
    }
}

fn milliseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

fn fingerprint_bytes(bytes: &[u8]) -> String {
    fingerprint([String::from_utf8_lossy(bytes).as_ref()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::feed::parse::{Origin, parse};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A page of items: number, text, day of November on which it was published.
    fn page(items: &[(u32, &str, u32)], updated: &str) -> Page {
        let item = |(id, text, day): &(u32, &str, u32)| {
            format!(
                "<item><guid>https://a.example/{id}</guid><title>{text}</title><updated>{updated}</updated>\
                 <pubDate>{day} Nov 2025 10:00:00 GMT</pubDate></item>"
            )
        };
        let items: String = items.iter().map(item).collect();
        let origin = Origin { source: "s", url: None, observed_at: time("2025-12-01T00:00:00Z") };
        parse(format!("<rss><channel>{items}</channel></rss>").as_bytes(), None, origin).unwrap()
    }

    fn versions(news: &News) -> Vec<u64> {
        news.messages.iter().map(|message| message.version).collect()
    }

    #[test]
    fn an_item_is_heard_once_and_again_when_it_changes() {
        let now = time("2025-11-20T00:00:00Z");
        let mut feed = FeedPosition::default();
        assert_eq!(versions(&feed.take(page(&[(2, "b", 2), (1, "a", 1)], ""), now)), [0, 0]);
        assert_eq!(versions(&feed.take(page(&[(2, "b", 2), (1, "a", 1)], ""), now)), [0; 0]);
        // The feed's own time of the change, where it has moved on ...
        let edited = feed.take(page(&[(2, "b2", 2), (1, "a", 1)], "2025-11-19T00:00:00Z"), now);
        assert_eq!(versions(&edited), [1_763_510_400_000]);
        // ... else the time at which it was noticed, and always a higher one.
        assert_eq!(versions(&feed.take(page(&[(2, "b3", 2)], "2025-11-19T00:00:00Z"), now)), [1_763_596_800_000]);
        assert_eq!(versions(&feed.take(page(&[(2, "b4", 2)], "2099-01-01T00:00:00Z"), now)), [1_763_596_800_001]);
        // What is no longer shown is not deleted, and not new when it is shown again.
        assert_eq!(versions(&feed.take(page(&[(1, "a", 1)], ""), now)), [0; 0]);
    }

    #[test]
    fn a_page_that_shares_nothing_with_the_last_is_a_gap() {
        let now = time("2025-11-20T00:00:00Z");
        let mut feed = FeedPosition::default();
        assert_eq!(feed.take(page(&[(1, "a", 1), (2, "b", 2)], ""), now).gap, None);
        assert_eq!(feed.take(page(&[(2, "b", 2), (3, "c", 3)], ""), now).gap, None);
        let gap = feed.take(page(&[(8, "h", 8), (9, "i", 9)], ""), now).gap.unwrap();
        assert_eq!((gap.from, gap.until), (time("2025-11-03T10:00:00Z"), time("2025-11-08T10:00:00Z")));
        assert_eq!(gap.reason, GapReason::PageCeiling);
        // Old items that come up for the first time push nothing out.
        assert_eq!(feed.take(page(&[(5, "e", 5)], ""), now).gap, None);
    }

    #[test]
    fn poison_is_reported_once() {
        let document = "<rss><channel><item><title>cut";
        let origin = Origin { source: "s", url: None, observed_at: time("2025-12-01T00:00:00Z") };
        let page = parse(document.as_bytes(), None, origin).unwrap();
        let mut feed = FeedPosition::default();
        assert_eq!(feed.take(page.clone(), origin.observed_at).poison.len(), 1);
        assert_eq!(feed.take(page, origin.observed_at).poison.len(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = time("2025-11-20T00:00:00Z");
        let mut feed = FeedPosition::default();
        for step in 0..50 {
            let items: Vec<_> = (step * 20..step * 20 + 20).map(|id| (id, "x", 1)).collect();
            feed.take(page(&items, ""), now);
        }
        assert_eq!(feed.seen.len(), 20 + MARGIN);
    }

    #[test]
    fn a_large_page_is_handed_over_in_parts() {
        let now = time("2025-11-20T00:00:00Z");
        let items: Vec<_> = (0..u32::try_from(MOST_MESSAGES).unwrap() + 5).map(|id| (id, "x", 1)).collect();
        let mut feed = FeedPosition::default();
        let first = feed.take(page(&items, ""), now);
        assert_eq!((first.messages.len(), first.more), (MOST_MESSAGES, true));
        let second = feed.take(page(&items, ""), now);
        assert_eq!((second.messages.len(), second.more, second.gap), (5, false, None));
    }

    /// Written by an earlier release: it has to be readable for ever.
    #[test]
    fn the_first_version_of_the_cursor_is_read() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("cursor_1.json")).unwrap();
        let position: Position = crate::Cursor(golden.clone()).read().unwrap();
        let feed = &position.feeds["feeds.example/all?0d0a1b2c3d4e5f60"];
        assert_eq!(feed.seen["9f8e7d6c5b4a3928"].version, 1_763_510_400_000);
        assert_eq!(feed.not_before, Some(time("2025-11-21T12:05:00Z")));
        assert!(position.feeds["gone.example/rss"].gone_since.is_some());
        assert_eq!(crate::Cursor::of(&position).unwrap().0, golden);
    }
}
