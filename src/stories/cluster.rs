//! Messages with nearly the same text -> stories.
//!
//! Two messages belong together if their fingerprints are similar enough and neither is much older than the other;
//! stories are the connected components of that. Texts are compared only if they have a band in common, that is two
//! neighbouring places of the fingerprint (locality-sensitive hashing, Indyk and Motwani 1998).
//!
//! The result depends on the set of messages alone, not on their order.

use uuid::Uuid;

use crate::score::fingerprint::{Fingerprint, LENGTH};

/// From this similarity on two texts are the same story.
const SIMILAR: f32 = 0.6;
/// Longest time between neighbours of a story, in milliseconds: three days.
const LONGEST_PAUSE: i64 = 3 * 86_400_000;
/// Places of a fingerprint in a band. Texts that have 60 % in common share one of the 16 bands with a probability of
/// 99.9 %.
const BAND: usize = 2;
/// Texts of one band that each is compared with, the latest before it: bounds the work where thousands of texts are
/// made from one template.
const COMPARED: usize = 64;

/// A message as far as stories are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) fingerprint: Fingerprint,
    /// Unix milliseconds.
    pub(super) published_at: i64,
    pub(super) id: Uuid,
}

/// Messages with one fingerprint, none of them long after the one before.
struct Burst {
    fingerprint: Fingerprint,
    first: (i64, Uuid),
    last: i64,
    messages: Vec<Uuid>,
}

/// Of each message that was told more than once: its id, and that of the earliest message of its story.
pub(super) fn stories(messages: Vec<Told>) -> Vec<(Uuid, Uuid)> {
    let bursts = bursts(messages);
    let mut forest = Forest::new(bursts.len());
    for band in 0..LENGTH / BAND {
        join_by_band(&bursts, band, &mut forest);
    }
    // A root is the earliest burst of its story, because bursts are in order of their first message.
    let roots: Vec<usize> = (0..bursts.len()).map(|place| forest.root(place)).collect();
    let mut told = vec![0_usize; bursts.len()];
    for (burst, root) in bursts.iter().zip(&roots) {
        if let Some(told) = told.get_mut(*root) {
            *told += burst.messages.len();
        }
    }
    let mut stories = Vec::new();
    for (burst, root) in bursts.iter().zip(&roots) {
        if let (Some(first), Some(2..)) = (bursts.get(*root), told.get(*root)) {
            stories.extend(burst.messages.iter().map(|message| (*message, first.first.1)));
        }
    }
    stories
}

/// In order of their first messages.
fn bursts(mut messages: Vec<Told>) -> Vec<Burst> {
    messages.sort_unstable();
    let mut bursts: Vec<Burst> = Vec::new();
    for Told { fingerprint, published_at, id } in messages {
        match bursts.last_mut() {
            Some(burst)
                if burst.fingerprint == fingerprint && published_at.saturating_sub(burst.last) <= LONGEST_PAUSE =>
            {
                burst.last = published_at;
                burst.messages.push(id);
            }
            _ => bursts.push(Burst { fingerprint, first: (published_at, id), last: published_at, messages: vec![id] }),
        }
    }
    bursts.sort_unstable_by_key(|burst| burst.first);
    bursts
}

fn join_by_band(bursts: &[Burst], band: usize, forest: &mut Forest) {
    let key = |burst: &Burst| -> [u16; BAND] {
        let (chunks, _) = burst.fingerprint.0.as_chunks();
        chunks.get(band).copied().unwrap_or_default()
    };
    let mut places: Vec<(usize, &Burst)> = bursts.iter().enumerate().collect();
    places.sort_by_key(|(_, burst)| key(burst));
    for same in places.chunk_by(|(_, one), (_, other)| key(one) == key(other)) {
        for (number, (place, burst)) in same.iter().enumerate() {
            let earlier = same.get(number.saturating_sub(COMPARED)..number).unwrap_or_default();
            for (other, earlier) in earlier {
                let pause = burst.first.0.saturating_sub(earlier.last);
                if pause <= LONGEST_PAUSE && burst.fingerprint.similarity(&earlier.fingerprint) >= SIMILAR {
                    forest.join(*place, *other);
                }
            }
        }
    }
}

/// Disjoint sets; the root of a set is its least member.
struct Forest(Vec<usize>);

impl Forest {
    fn new(size: usize) -> Self {
        Self((0..size).collect())
    }

    fn root(&mut self, mut place: usize) -> usize {
        while let Some(parent) = self.0.get(place).copied().filter(|parent| *parent != place) {
            // Path halving.
            let above = self.0.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.0.get_mut(place) {
                *slot = above;
            }
            place = above;
        }
        place
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        if let Some(slot) = self.0.get_mut(one.max(other)) {
            *slot = one.min(other);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000;

    /// A fingerprint that has `common` places in common with that of `family`.
    fn fingerprint(family: u16, own: u16, common: usize) -> Fingerprint {
        let mut places = [0; LENGTH];
        for (number, place) in places.iter_mut().enumerate() {
            *place = family.wrapping_mul(64) + number as u16;
            if number >= common {
                *place = 40_000 + own.wrapping_mul(64) + number as u16;
            }
        }
        Fingerprint(places)
    }

    fn told(id: u128, day: i64, fingerprint: Fingerprint) -> Told {
        Told { id: Uuid::from_u128(id), published_at: day * DAY, fingerprint }
    }

    fn found(messages: Vec<Told>) -> BTreeMap<u128, u128> {
        stories(messages).into_iter().map(|(message, story)| (message.as_u128(), story.as_u128())).collect()
    }

    #[test]
    fn a_story_is_named_after_its_earliest_message() {
        let messages = vec![
            told(3, 2, fingerprint(1, 3, 24)),
            told(7, 0, fingerprint(1, 0, 32)),
            told(5, 1, fingerprint(1, 0, 32)),
            told(9, 1, fingerprint(2, 0, 32)),
        ];
        assert_eq!(found(messages), BTreeMap::from([(3, 7), (5, 7), (7, 7)]));
    }

    #[test]
    fn after_a_long_pause_it_is_another_story() {
        let same = fingerprint(1, 0, 32);
        let messages = vec![told(1, 0, same), told(2, 2, same), told(3, 4, same), told(4, 10, same), told(5, 11, same)];
        assert_eq!(found(messages), BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 4), (5, 4)]));
        assert!(found(vec![told(1, 0, same), told(2, 9, fingerprint(1, 3, 24))]).is_empty());
    }

    #[test]
    fn nothing_is_no_story() {
        assert!(stories(Vec::new()).is_empty());
        assert!(found(vec![told(1, 0, fingerprint(1, 0, 32))]).is_empty());
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(
            messages in prop::collection::vec((0..5_u16, 0..4_u16, 16..=32_usize, 0..12_i64), 0..40), seed: u64,
        ) {
            let messages: Vec<Told> = messages
                .into_iter()
                .enumerate()
                .map(|(id, (family, own, common, day))| told(id as u128, day, fingerprint(family, own, common)))
                .collect();
            let mut shuffled = messages.clone();
            let length = shuffled.len().max(1);
            shuffled.rotate_left(seed as usize % length);
            shuffled.reverse();
            let stories = found(messages);
            prop_assert_eq!(&stories, &found(shuffled));
            for story in stories.values() {
                prop_assert_eq!(stories.get(story), Some(story));
            }
        }
    }
}
