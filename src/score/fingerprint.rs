//! Fingerprints: texts that say nearly the same in nearly the same words have nearly the same one.
//!
//! MinHash (Broder 1997): of a text's shingles, under each of 32 hash functions, the least hash is kept, 16 bits of it
//! (Li and Koenig 2010). The share of places in which two fingerprints are equal estimates the share of shingles that
//! two texts have in common (Jaccard similarity), with a standard error of at most 0.09.
//!
//! Shingles are the words and the pairs of neighbouring words; in scripts without spaces, pairs and triples of
//! characters. Links, accounts, numbers as such, punctuation, emoji and the `RT` of a repost do not count: they are what
//! changes when a text is passed on.

use super::chars::{Class, Glyph};
use super::features::{step, token_hash, tokens};
use super::normalise::Text;

/// Hash functions, and so the length of a fingerprint.
pub const LENGTH: usize = 32;
/// A text with fewer shingles has no fingerprint: "thank you so much" is said by many who never heard of each other.
const FEWEST_SHINGLES: usize = 12;

/// What is kept of a text to find others that are nearly the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u16; LENGTH]);

impl Fingerprint {
    /// Of a normalised text; `None` where it says too little.
    pub(super) fn of(text: &Text) -> Option<Self> {
        let shingles = shingles(text);
        if shingles.len() < FEWEST_SHINGLES {
            return None;
        }
        let mut least = [u32::MAX; LENGTH];
        for shingle in shingles {
            let mixed = mix(shingle);
            for (least, multiplier) in least.iter_mut().zip(MULTIPLIERS) {
                *least = (*least).min((mixed.wrapping_mul(multiplier) >> 32) as u32);
            }
        }
        Some(Self(least.map(|least| least as u16)))
    }

    /// Estimated share of shingles in common, 0..=1.
    pub fn similarity(&self, other: &Self) -> f32 {
        let equal = self.0.iter().zip(&other.0).filter(|(one, other)| one == other).count();
        equal as f32 / LENGTH as f32
    }
}

/// Every shingle once.
fn shingles(text: &Text) -> Vec<u64> {
    let mut shingles = Vec::new();
    let mut previous = None;
    let repost = [Glyph::of(Glyph::table(), 'r'), Glyph::of(Glyph::table(), 't')];
    for (class, token) in tokens(text.glyphs()) {
        match class {
            Class::Unspaced => {
                for window in token.windows(2).chain(token.windows(3)) {
                    shingles.push(token_hash(window));
                }
                previous = None;
            }
            Class::Word if !is_same(token, &repost) => {
                let hash = token_hash(token);
                shingles.push(hash);
                if let Some(previous) = previous {
                    shingles.push(step(previous, (hash >> 32) as u32));
                }
                previous = Some(hash);
            }
            _ => {}
        }
    }
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

fn is_same(token: &[Glyph], word: &[Glyph]) -> bool {
    token.len() == word.len() && token.iter().zip(word).all(|(one, other)| one.code() == other.code())
}

/// One odd multiplier for each hash function (multiply-shift, Dietzfelbinger and others 1997).
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const MULTIPLIERS: [u64; LENGTH] = {
    let mut multipliers = [0; LENGTH];
    let mut number = 0;
    while number < LENGTH {
        multipliers[number] = mix(number as u64) | 1;
        number += 1;
    }
    multipliers
};

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
const fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    fn fingerprint(text: &str) -> Option<Fingerprint> {
        let mut normal = Text::default();
        normal.push(text);
        Fingerprint::of(&normal)
    }

    fn similarity(one: &str, other: &str) -> f32 {
        fingerprint(one).unwrap().similarity(&fingerprint(other).unwrap())
    }

    const NEWS: &str =
        "Storm closes the airport of Springfield: hundreds of passengers wait for their flights until Sunday";

    #[test]
    fn what_changes_when_a_text_is_passed_on_does_not_count() {
        let reposts = [
            "RT @news: Storm closes the airport of Springfield: hundreds of passengers wait for their flights until Sunday",
            "STORM CLOSES THE AIRPORT OF SPRINGFIELD: hundreds of passengers wait for their flights until Sunday!!!",
            "Storm closes the airport of Springfield - hundreds of passengers wait for their flights until Sunday https://a.example/b?c=d 😱",
        ];
        for repost in reposts {
            assert_eq!(similarity(NEWS, repost), 1.0, "{repost}");
        }
    }

    #[test]
    fn a_light_edit_is_near_and_another_text_is_far() {
        let edited = NEWS.replace("hundreds", "dozens");
        assert!(similarity(NEWS, &edited) > 0.6);
        let other = "Airport of Springfield opens a second terminal, and passengers of all flights love the new lounge";
        assert!(similarity(NEWS, other) < 0.4);
    }

    #[test]
    fn scripts_without_spaces_have_shingles_too() {
        let weather = "台风导致上海浦东机场关闭，数百名旅客滞留到星期日";
        assert_eq!(similarity(weather, &format!("{weather} 😱 https://t.cn/x")), 1.0);
        assert!(similarity(weather, "今天的午餐非常好吃，我们明天还会再来这家餐厅") < 0.2);
    }

    #[test]
    fn a_text_that_says_little_has_none() {
        for text in ["", "   ", "thank you so much", "https://a.example", "😀😀😀😀😀😀😀😀😀😀😀😀😀😀", "谢谢你"]
        {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_will_do(text in ".{0,300}") {
            if let Some(own) = fingerprint(&text) {
                prop_assert_eq!(own.similarity(&own), 1.0);
            }
        }

        /// The estimate is near the share of shingles in common.
        #[test]
        fn it_estimates_the_share_in_common(
            common in 20..60_usize, one in 0..40_usize, other in 0..40_usize, seed in 0..1_000_usize,
        ) {
            let words = |range: std::ops::Range<usize>, kind: &str| -> String {
                range.map(|number| format!("{kind}{} ", letters(number * 1_009 + seed))).collect()
            };
            let (a, b) = (words(0..common, "c") + &words(0..one, "a"), words(0..common, "c") + &words(0..other, "b"));
            let sets = [&a, &b].map(|text| {
                let mut normal = Text::default();
                normal.push(text);
                shingles(&normal)
            });
            let [first, second] = sets.map(std::collections::BTreeSet::from_iter);
            let share = first.intersection(&second).count() as f32 / first.union(&second).count() as f32;
            // Five standard errors.
            prop_assert!((similarity(&a, &b) - share).abs() <= 5.0 * 0.09);
        }
    }

    fn letters(mut number: usize) -> String {
        let mut word = String::new();
        while number > 0 {
            word.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
        }
        word
    }
}
