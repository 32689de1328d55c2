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
