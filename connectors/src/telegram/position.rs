//! The position in a bot's updates; pure.
//!
//! Telegram keeps one queue of updates for a bot. Asking with an `offset` confirms, and so deletes,
//! all updates before it (<https://core.telegram.org/bots/api#getupdates>). The offset therefore
//! comes from what was acknowledged, and only from that.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::{BuildError, Cursor};

/// How long Telegram keeps an update that nobody asks for.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How old [`Position::complete_until`] in the cursor may get while nothing happens.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// While a backlog is read, its oldest updates expire: so much of it counts as lost, to be honest.
const DRAINING: Duration = Duration::from_secs(5 * 60);

const VERSION: u32 = 1;

/// The JSON of this is the cursor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    version: u32,
    /// One above the last update that was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// When that update was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard_at: Option<Timestamp>,
    /// Everything until then was heard, or its loss admitted; give or take [`REFRESH`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complete_until: Option<Timestamp>,
}

impl Position {
    pub(super) fn read(cursor: Option<&Cursor>) -> Result<Self, BuildError> {
        let first = || Ok(Self { version: VERSION, ..Self::default() });
        cursor.map_or_else(first, |cursor| cursor.read_version(VERSION))
    }

    /// The offset to ask with; `None` asks for everything that Telegram still has.
    ///
    /// After a quiet week Telegram goes on from a random number, which may be a lower one: an old
    /// offset would delete what was never heard. After [`KEPT`] there is nothing left that it could
    /// confirm, so it is not sent.
    pub(super) fn offset(&self, now: Timestamp) -> Option<i64> {
        self.offset.filter(|_| self.heard_at.is_some_and(|heard_at| !longer_ago(heard_at, KEPT, now)))
    }

    /// From when to when updates expired that may not have been heard.
    pub(super) fn expired(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let complete_until = self.complete_until.filter(|until| longer_ago(*until, KEPT, now))?;
        Some((complete_until, before(now, KEPT - DRAINING)))
    }

    /// Moves on after an answer with these updates; `drained` when there are no more. True when the
    /// position is worth storing.
    pub(super) fn advance(&mut self, updates: &[i64], drained: bool, now: Timestamp) -> bool {
        if let Some(last) = updates.iter().max() {
            self.offset = Some(last.saturating_add(1));
            self.heard_at = Some(now);
        }
        let is_stale = self.complete_until.is_none_or(|until| longer_ago(until, REFRESH, now));
        if drained && (is_stale || !updates.is_empty()) {
            self.complete_until = Some(now);
        } else if let (false, Some((_, until))) = (drained, self.expired(now)) {
            self.complete_until = Some(until);
        } else if !drained && self.complete_until.is_none() {
            self.complete_until = Some(before(now, KEPT - DRAINING));
        }
        !updates.is_empty() || is_stale
    }
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    now.checked_sub(duration).unwrap_or(now)
}

fn longer_ago(moment: Timestamp, duration: Duration, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(moment)).is_ok_and(|passed| passed > duration)
}
