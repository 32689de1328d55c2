//! The cursor: how far each folder has been read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::{BuildError, Cursor};

/// Position in a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Whose mailbox: `user@host:port`. In another one, nothing that was remembered counts.
    pub(super) mailbox: String,
    /// By name, as configured.
    pub(super) folders: BTreeMap<String, Place>,
}

/// Position in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The server's word that its numbers are still the same (RFC 3501, section 2.3.1.1).
    pub(super) uid_validity: u32,
    /// The number from which on mails have not been heard.
    pub(super) next_uid: u32,
    /// The number from which on every mail was to be heard: one that is missing was removed unheard.
    pub(super) watched_from: u32,
    /// Mails that came in before this are from before the first look, and are not read.
    pub(super) since: Timestamp,
    /// Until when the folder was heard completely.
    pub(super) heard_until: Timestamp,
}

/// What a folder's numbers say about a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The numbers are the same, and what is new has higher ones.
    Valid,
    /// The folder was made again, or restored: its mails have other numbers now.
    Renumbered,
}

impl Position {
    /// Reads the stored cursor, if there is one, for this mailbox and these folders.
    pub(super) fn read<'f>(
        cursor: Option<&Cursor>,
        mailbox: &str,
        folders: impl Iterator<Item = &'f str>,
    ) -> Result<Self, BuildError> {
        let stored = cursor.map(Cursor::read::<Self>).transpose();
        let mut position = stored.map_err(|error| BuildError::Cursor(error.to_string()))?.unwrap_or_default();
        if position.mailbox != mailbox {
            // Numbers of another server say nothing here, and no server gives out a validity of 0.
            position.folders.values_mut().for_each(|place| place.uid_validity = 0);
            mailbox.clone_into(&mut position.mailbox);
        }
        let folders: Vec<&str> = folders.collect();
        position.folders.retain(|name, _| folders.contains(&name.as_str()));
        Ok(position)
    }
}

impl Place {
    /// Compares with what the server says when the folder is opened.
    pub(super) fn standing(&self, uid_validity: u32, uid_next: u32) -> Standing {
        let is_valid = self.uid_validity == uid_validity && self.next_uid <= uid_next;
        if is_valid { Standing::Valid } else { Standing::Renumbered }
    }

    /// The same folder under new numbers: it is read from its start.
    pub(super) fn renumbered(&self, uid_validity: u32, uid_next: u32) -> Self {
        Self { uid_validity, next_uid: 1, watched_from: uid_next, ..self.clone() }
    }

    /// Moves past the mails up to `last`, of which `found` were there; returns how many were not, among
    /// those that should have been.
    pub(super) fn pass(&mut self, last: u32, found: impl Iterator<Item = u32>) -> u64 {
        let expected_from = self.next_uid.max(self.watched_from);
        let expected = u64::from(last.saturating_add(1).saturating_sub(expected_from));
        let there = found.filter(|uid| (expected_from..=last).contains(uid)).count() as u64;
        self.next_uid = self.next_uid.max(last.saturating_add(1));
        expected.saturating_sub(there)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn place(next_uid: u32, watched_from: u32) -> Place {
        let epoch = Timestamp::UNIX_EPOCH;
        Place { uid_validity: 7, next_uid, watched_from, since: epoch, heard_until: epoch }
    }

    #[test]
    fn every_version_of_the_cursor_is_read() {
        let golden: Cursor = serde_json::from_str(include_str!("fixtures/cursor_v1.json")).unwrap();
        let folders = ["INBOX", "Gesendet"];
        let position = Position::read(Some(&golden), "care@mail.example:993", folders.into_iter()).unwrap();
        assert_eq!(Cursor::of(&position).unwrap(), golden);
        let position = Position::read(Some(&golden), "care@other.example:993", ["INBOX"].into_iter()).unwrap();
        let inbox = position.folders.get("INBOX").unwrap();
        assert_eq!((position.folders.len(), inbox.standing(1_700_000_000, 500)), (1, Standing::Renumbered));
        assert!(Position::read(Some(&Cursor(serde_json::json!([]))), "", [].into_iter()).is_err());
    }

    #[test]
    fn numbers_that_go_back_are_others() {
        assert_eq!(place(10, 1).standing(7, 10), Standing::Valid);
        assert_eq!(place(10, 1).standing(7, 9), Standing::Renumbered);
        assert_eq!(place(10, 1).standing(8, 10), Standing::Renumbered);
        assert_eq!(place(10, 1).renumbered(8, 5).next_uid, 1);
    }

    #[test]
    fn a_number_without_mail_is_a_mail_that_was_removed() {
        let mut place = place(10, 12);
        assert_eq!(place.pass(14, [10, 13].into_iter()), 2);
        assert_eq!(place.next_uid, 15);
        assert_eq!(place.pass(u32::MAX, [].into_iter()), u64::from(u32::MAX - 15));
    }

    proptest! {
        /// However the numbers are cut into batches, each is passed once, and the holes are the same.
        #[test]
        fn batches_add_up(uids in prop::collection::btree_set(1_u32..200, 0..50), mut cuts in prop::collection::vec(1_u32..200, 0..8), watched in 1_u32..200) {
            let mut at_once = place(1, watched);
            let holes = at_once.pass(199, uids.iter().copied());
            cuts.sort_unstable();
            cuts.push(199);
            let mut in_steps = place(1, watched);
            let (mut sum, mut heard) = (0, BTreeSet::new());
            for last in cuts {
                let page: Vec<u32> = uids.iter().copied().filter(|uid| (in_steps.next_uid..=last).contains(uid)).collect();
                prop_assert!(page.iter().all(|uid| heard.insert(*uid)));
                sum += in_steps.pass(last, page.into_iter());
            }
            prop_assert_eq!((sum, &heard, in_steps), (holes, &uids, at_once));
        }
    }
}
