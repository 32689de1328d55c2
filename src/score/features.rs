//! Normalised text -> hashed features.
//!
//! Three kinds of features share one pass over the text:
//! - *spelling*: each token, and the character n-grams in it (2 to 5 with the word's edges; 1 to 4
//!   in scripts without spaces), which tell both the language and the sentiment,
//! - *context*: pairs of neighbouring tokens, emphasis,
//! - *valence*: what the lexicon says of the words and emoji together.
//!
//! A feature is 32 bits of hash, of which a table uses as many of the upper ones as it has rows for.
//! [`VERSION`] goes up whenever a text's features change, so that a model is never used with
//! features that it was not trained on.

use super::chars::{Class, Glyph};
use super::lexicon::{Lexicon, Tally};
use super::normalise::Text;

/// Version of the features and of the normalisation under them.
pub(crate) const VERSION: u32 = 1;

/// Value of a valence feature, where the others count 1: a text has three of them among hundreds.
const VALENCE_VALUE: i32 = 8;

/// Receives the features of a text.
pub(crate) trait Visitor {
    /// A token or an n-gram in a token; its value is 1.
    fn spelling(&mut self, hash: u32);
    /// Anything that says more than how tokens are spelt.
    fn meaning(&mut self, hash: u32, value: i32);
}

/// What a text holds that a model could know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Tokens that have letters, or are symbols.
    pub(crate) words: u32,
    /// What the lexicon says.
    pub(crate) tally: Tally,
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// One odd multiplier for each length of n-gram, so that lengths do not collide.
const GRAM: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
];
const UNSPACED_GRAM: [u64; 4] =
    [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53, 0x87c3_7b91_1142_53d5, 0x4cf5_ad43_2745_937f];
const WORD_SEED: u64 = 0x0777;
const UNSPACED_TOKEN: u64 = 0x0c1c;

#[inline]
fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Continues a token's hash with a character.
#[inline]
pub(crate) fn step(hash: u64, code: u32) -> u64 {
    (hash.rotate_left(5) ^ u64::from(code)).wrapping_mul(MULTIPLIER)
}

/// Hash of a token, as the lexicon knows it.
#[inline]
pub(crate) fn token_hash(token: &[Glyph]) -> u64 {
    token.iter().fold(WORD_SEED, |hash, glyph| step(hash, glyph.code()))
}

/// Splits a text into tokens: runs of one class, each symbol by itself, no spaces.
pub(crate) fn tokens(glyphs: &[Glyph]) -> impl Iterator<Item = (Class, &[Glyph])> {
    let mut rest = glyphs;
    std::iter::from_fn(move || {
        loop {
            let class = rest.first()?.class();
            let length = match class {
                Class::Symbol => 1,
                _ => rest.iter().position(|glyph| glyph.class() != class).unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at_checked(length)?;
            rest = after;
            if class != Class::Space {
                return Some((class, token));
            }
        }
    })
}

/// Shows the visitor every feature of the text.
pub(crate) fn visit(text: &Text, lexicon: &Lexicon, visitor: &mut impl Visitor) -> Evidence {
    let mut evidence = Evidence::default();
    let mut previous: Option<u64> = None;
    for (class, token) in tokens(text.glyphs()) {
        let hash = match class {
            Class::Unspaced => {
                unspaced_grams(token, visitor);
                lexicon.tally_unspaced(token, &mut evidence.tally);
                UNSPACED_TOKEN
            }
            _ => {
                let hash = token_hash(token);
                visitor.spelling(upper(hash));
                word_grams(token, visitor);
                lexicon.tally(class, hash, &mut evidence.tally);
                hash
            }
        };
        evidence.words += u32::from(is_word(class, token));
        if let Some(previous) = previous {
            visitor.meaning(upper((previous.rotate_left(17) ^ hash).wrapping_mul(MULTIPLIER)), 1);
        }
        previous = Some(hash);
    }
    emphasis(text, visitor);
    valence(&evidence.tally, visitor);
    evidence
}

/// Letters or an emoji; not a number, a link, a mention or punctuation.
fn is_word(class: Class, token: &[Glyph]) -> bool {
    match class {
        Class::Word => token.iter().any(|glyph| *glyph != Glyph::NUMBER),
        Class::Symbol => !matches!(token, [Glyph::LINK | Glyph::MENTION]),
        Class::Unspaced => true,
        _ => false,
    }
}

/// N-grams of 2 to 5 characters of ` word `: a window of five 12-bit codes slides over the word.
#[inline]
fn word_grams(token: &[Glyph], visitor: &mut impl Visitor) {
    const EDGE: u64 = 0x20;
    if token.len() < 2 {
        return;
    }
    let mut window = EDGE;
    let mut filled = 1;
    let codes = token.iter().map(|glyph| u64::from((glyph.code() ^ glyph.code() >> 12) & 0xfff));
    for code in codes.chain([EDGE]) {
        window = window << 12 | code;
        filled += 1;
        for length in 2..=5 {
            if filled >= length {
                let gram = window & ((1 << (12 * length)) - 1);
                let [.., multiplier] = GRAM.split_at(length + 1).0 else { return };
                visitor.spelling(upper((gram ^ gram >> 29).wrapping_mul(*multiplier)));
            }
        }
    }
}

/// N-grams of 1 to 4 characters, as a window of four 16-bit codes slides over the run.
#[inline]
fn unspaced_grams(token: &[Glyph], visitor: &mut impl Visitor) {
    let mut window = 0;
    for (place, glyph) in token.iter().enumerate() {
        window = window << 16 | u64::from(glyph.code() & 0xffff);
        for (length, multiplier) in (1_usize..).zip(UNSPACED_GRAM) {
            if place + 1 >= length {
                let gram = window & (u64::MAX >> (64 - 16 * length));
                visitor.spelling(upper((gram ^ gram >> 29).wrapping_mul(multiplier)));
            }
        }
    }
}

fn emphasis(text: &Text, visitor: &mut impl Visitor) {
    if text.is_shouted() {
        visitor.meaning(upper(step(0x5_0001, 0)), 1);
    }
    if text.is_elongated() {
        visitor.meaning(upper(step(0x5_0002, 0)), 1);
    }
}

fn valence(tally: &Tally, visitor: &mut impl Visitor) {
    let balance = tally.balance();
    let signs = balance.signum();
    let pair = strength(tally.positive) * 8 + strength(tally.negative);
    for (kind, value) in [(0xaaaa, balance.clamp(-12, 12) + 20), (0xbbbb, pair), (0xcccc, signs + 1)] {
        visitor.meaning(upper(step(step(kind, value.unsigned_abs()), 1)), VALENCE_VALUE);
    }
}

/// Sums of valence in steps that widen.
fn strength(sum: i32) -> i32 {
    match sum {
        ..=0 => 0,
        1..=3 => sum,
        4..=5 => 4,
        6..=9 => 5,
        _ => 6,
    }
}
