//! Listening to one folder: which mails are new, and what they say.

use std::collections::HashMap;

use async_imap::types::Uid;
use jiff::Timestamp;

use super::mail::{self, Reading};
use super::position::{Place, Standing};
use super::session::{Failure, Opened, Row, Session};
use super::settings::{Folder, Settings};
use super::wire::CHUNK;
use crate::contract::{Batch, Gap, GapReason, Poison};

/// Mails of a batch.
const MOST_MAILS: usize = 200;
/// Bytes of text in a batch; a batch ends with the mail that passes it.
const MOST_TEXT: usize = 4 << 20;
/// Mails that are asked for at once, as long as they fit into a chunk together.
const AT_ONCE: usize = 50;
/// Numbers that are looked at, at first; where none has a mail, more.
const WINDOW: u32 = 1000;
/// Bytes of a mail above the limit that are read: its header, and mostly its text.
const BEGINNING: usize = 4 * CHUNK as usize;
/// Bytes of a record that poison keeps.
const POISON_PAYLOAD: usize = 64 * 1024;

/// What one look into a folder came to.
pub(super) struct Look {
    pub(super) place: Place,
    /// True when the folder has more at hand.
    pub(super) more: bool,
}

/// A folder that is looked into.
pub(super) struct Looking<'a> {
    pub(super) settings: &'a Settings,
    pub(super) source: &'a str,
    pub(super) folder: &'a Folder,
    pub(super) session: &'a mut Session,
}

impl Looking<'_> {
    /// Hears what is new since `place`, and adds it to the batch.
    pub(super) async fn look(&mut self, place: Option<&Place>, batch: &mut Batch) -> Result<Look, Failure> {
        let opened = self.session.examine(&self.folder.name).await?;
        let now = Timestamp::now();
        let mut place = match place {
            None => self.first_place(opened, now).await?,
            Some(place) => match place.standing(opened.uid_validity, opened.uid_next) {
                Standing::Valid => place.clone(),
                Standing::Renumbered => {
                    batch.gaps.push(self.gap(place, now, GapReason::CursorExpired, None,
                        "was made again or restored on the server; what is there is read again, what was removed in between is missed"));
                    place.renumbered(opened.uid_validity, opened.uid_next)
                }
            },
        };
        let last = opened.uid_next.saturating_sub(1);
        let (rows, looked_until) = self.new_rows(&place, last).await?;
        let (heard_until, gone) = self.hear(&place, &rows, looked_until, batch).await?;
        let found = rows.iter().map(|row| row.uid).filter(|uid| !gone.contains(uid));
        let missing = place.pass(heard_until, found);
        if missing > 0 {
            let detail = "had mails that were removed, or moved to another folder, before they were read";
            batch.gaps.push(self.gap(&place, now, GapReason::NotListening, Some(missing), detail));
        }
        let more = heard_until < last;
        if !more {
            place.heard_until = now;
        }
        Ok(Look { place, more })
    }

    fn gap(&self, place: &Place, until: Timestamp, reason: GapReason, estimate: Option<u64>, detail: &str) -> Gap {
        let detail = format!("folder `{}` of {} {detail}", self.folder.name, self.settings.host);
        Gap { from: place.heard_until.min(until), until, reason, estimate, detail }
    }

    /// Where listening starts: before the newest mails, as many as the settings want.
    async fn first_place(&mut self, opened: Opened, now: Timestamp) -> Result<Place, Failure> {
        let backfill = self.settings.backfill.min(opened.mails);
        let first = if backfill == 0 { None } else { self.session.uid_at(opened.mails - backfill + 1).await? };
        let next_uid = first.unwrap_or(opened.uid_next);
        let since = match first {
            Some(uid) => self.session.rows(uid, uid, 1).await?.first().and_then(|row| row.received_at).unwrap_or(now),
            None => now,
        };
        Ok(Place {
            uid_validity: opened.uid_validity,
            next_uid,
            watched_from: opened.uid_next,
            since,
            heard_until: now,
        })
    }

    /// The next mails, and the number up to which these are all.
    async fn new_rows(&mut self, place: &Place, last: Uid) -> Result<(Vec<Row>, Uid), Failure> {
        let (mut from, mut width) = (place.next_uid, WINDOW);
        while from <= last {
            let to = last.min(from.saturating_add(width - 1));
            let rows = self.session.rows(from, to, MOST_MAILS).await?;
            if rows.len() >= MOST_MAILS {
                let until = rows.last().map_or(to, |row| row.uid);
                return Ok((rows, until));
            }
            if !rows.is_empty() || to == last {
                return Ok((rows, to));
            }
            from = to + 1;
            width = width.saturating_mul(2);
        }
        Ok((Vec::new(), last.max(place.next_uid.saturating_sub(1))))
    }

    /// Hears these mails; returns the number up to which that is done, and which of them were gone.
    async fn hear(
        &mut self,
        place: &Place,
        rows: &[Row],
        looked_until: Uid,
        batch: &mut Batch,
    ) -> Result<(Uid, Vec<Uid>), Failure> {
        let before_first_look =
            |row: &Row| row.uid < place.watched_from && row.received_at.is_some_and(|time| time < place.since);
        let mut wanted: Vec<Row> = rows.iter().copied().filter(|row| !before_first_look(row)).collect();
        wanted.reverse();
        let mut gone = Vec::new();
        let mut text = 0;
        while let Some(first) = wanted.pop() {
            let mut group = vec![first];
            let mut size = first.size;
            while let Some(next) = wanted.pop_if(|next| size + next.size <= CHUNK as usize && group.len() < AT_ONCE) {
                size += next.size;
                group.push(next);
            }
            let uids: Vec<Uid> = group.iter().map(|row| row.uid).collect();
            let mut chunks = self.session.chunks(&uids, 0).await?;
            for row in group {
                match self.whole(row, &mut chunks).await? {
                    Some(raw) => text += self.add(place, row, raw, batch).await,
                    None => gone.push(row.uid),
                }
            }
            if text > MOST_TEXT
                && let Some(next) = wanted.last()
            {
                return Ok((next.uid - 1, gone));
            }
        }
        Ok((looked_until, gone))
    }

    /// The rest of a mail whose first chunk is there; the beginning of one that is too large. `None`
    /// when it was removed.
    async fn whole(&mut self, row: Row, chunks: &mut HashMap<Uid, Vec<u8>>) -> Result<Option<Vec<u8>>, Failure> {
        let max_size = self.settings.max_size;
        let Some(mut raw) = chunks.remove(&row.uid) else { return Ok(None) };
        let mut length = raw.len();
        loop {
            let limit = if row.size > max_size { BEGINNING.min(max_size) } else { max_size };
            let is_whole = length < CHUNK as usize && raw.len() >= row.size;
            if length == 0 || is_whole || raw.len() >= limit {
                raw.truncate(limit);
                return Ok(Some(raw));
            }
            let Some(more) = self.session.chunks(&[row.uid], raw.len()).await?.remove(&row.uid) else {
                return Ok(None);
            };
            length = more.len();
            raw.extend_from_slice(&more);
        }
    }

    /// Adds what a mail says to the batch; returns the bytes of it.
    async fn add(&self, place: &Place, row: Row, raw: Vec<u8>, batch: &mut Batch) -> usize {
        let reading = Reading {
            source: self.source.to_owned(),
            is_sent: self.folder.is_sent,
            own: self.settings.address(),
            received_at: row.received_at,
            observed_at: Timestamp::now(),
        };
        let payload = raw.get(..raw.len().min(POISON_PAYLOAD)).unwrap_or_default().to_vec();
        // Off the async threads, because mails can be large; a panic in there costs only this mail.
        let read = tokio::task::spawn_blocking(move || mail::message(&raw, &reading)).await;
        let reason = match read {
            Ok(Ok(message)) => {
                let size = message.text.len();
                batch.messages.push(message);
                return size;
            }
            Ok(Err(reason)) => reason,
            Err(_) => "the reader of mails failed on it, which is a bug",
        };
        let name = super::names::encode(&self.folder.name);
        // An IMAP URL (RFC 5092) without the user.
        let origin =
            format!("imap://{}/{name};UIDVALIDITY={}/;UID={}", self.settings.host, place.uid_validity, row.uid);
        batch.poison.push(Poison { origin, reason: reason.to_owned(), payload });
        0
    }
}
