//! Normalised text -> hashed features.
//!
//! Three kinds of features share one pass over the text:
//! - *spelling*: each token, and the character n-grams in it (3 to 5 with the word's edges; 1 to 4
//!   in scripts without spaces); a part of them tells the language,
//! - *context*: pairs of neighbouring tokens, emphasis,
//! - *valence*: what the lexicon says of the words and emoji together.
//!
//! A feature is 32 bits of hash, of which a table uses as many of the upper ones as it has rows for.
//! [`VERSION`] goes up whenever a text's features change, so that a model is never used with
//! features that it was not trained on.

use super::chars::{Class, Glyph, Script};
use super::lexicon::{Lexicon, Tally};
use super::normalise::Text;

/// Version of the features and of the normalisation under them.
pub(crate) const VERSION: u32 = 1;

/// Value of a valence feature, where the others count 1: a text has three of them among hundreds.
pub(crate) const VALENCE_VALUE: i32 = 8;

/// The features of one text. The buffers are meant to be used again.
#[derive(Default)]
pub(crate) struct Features {
    /// Tokens and n-grams in tokens.
    pub(crate) spelling: Vec<u32>,
    /// What tells the language: tokens and trigrams, or single characters and pairs where there are no
    /// spaces, and letters that folding made equal to those of other languages.
    pub(crate) language: Vec<u32>,
    /// What says more than how tokens are spelt.
    pub(crate) context: Vec<u32>,
    /// What the lexicon says; each has the value [`VALENCE_VALUE`].
    pub(crate) valence: [u32; 3],
    /// Tokens that have letters, or are symbols.
    pub(crate) words: u32,
    /// Letters by number of [`Script`].
    pub(crate) letters: [u32; Script::ALL.len()],
    /// What the lexicon says, in numbers.
    pub(crate) tally: Tally,
}

impl Features {
    fn clear(&mut self) {
        self.spelling.clear();
        self.language.clear();
        self.context.clear();
        self.words = 0;
        self.letters = [0; Script::ALL.len()];
        self.tally = Tally::default();
    }

    /// Counts a token's letters: a word under the script that it begins with, a run without spaces
    /// letter by letter, because Japanese mixes scripts.
    fn count_letters(&mut self, class: Class, token: &[Glyph]) {
        let (length, counted) = match class {
            Class::Unspaced => (1, token),
            _ => (token.len(), token.get(..1).unwrap_or_default()),
        };
        for glyph in counted {
            if let Some(letters) = self.letters.get_mut(glyph.script()) {
                *letters += length as u32;
            }
        }
    }

    /// Every feature with its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, i32)> {
        let ones = self.spelling.iter().chain(&self.context).map(|hash| (*hash, 1));
        ones.chain(self.valence.iter().map(|hash| (*hash, VALENCE_VALUE)))
    }

    /// One over the length of the text's vector, roughly: longer texts are not louder.
    pub(crate) fn share(&self) -> f32 {
        let values = self.spelling.len() + self.context.len() + self.valence.len() * VALENCE_VALUE as usize;
        1.0 / (values as f32).sqrt()
    }
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd multipliers of n-grams without spaces, by length.
const UNSPACED: [u64; 4] = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53, 0x87c3_7b91_1142_53d5, 0x4cf5_ad43_2745_937f];
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

/// Replaces `features` by those of the text.
pub(crate) fn extract(text: &Text, lexicon: &Lexicon, features: &mut Features) {
    features.clear();
    let mut previous: Option<u64> = None;
    for (class, token) in tokens(text.glyphs()) {
        let hash = if class == Class::Unspaced {
            unspaced_grams(token, features);
            lexicon.tally_unspaced(token, &mut features.tally);
            UNSPACED_TOKEN
        } else {
            let hash = token_hash(token);
            features.spelling.push(upper(hash));
            features.language.push(upper(hash));
            features.language.extend(token.iter().filter(|glyph| glyph.is_cue()).map(cue));
            word_grams(token, features);
            lexicon.tally(hash, &mut features.tally);
            hash
        };
        features.words += u32::from(is_word(class, token));
        features.count_letters(class, token);
        if let Some(previous) = previous {
            features.context.push(upper((previous.rotate_left(17) ^ hash).wrapping_mul(MULTIPLIER)));
        }
        previous = Some(hash);
    }
    emphasis(text, features);
    features.valence = valence(&features.tally);
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

/// N-grams of 3 to 5 characters of ` word `: a window of five 12-bit codes slides over the word.
#[inline]
fn word_grams(token: &[Glyph], features: &mut Features) {
    const EDGE: u64 = 0x20;
    let Features { spelling, language, .. } = features;
    let [first, second, rest @ ..] = token else { return };
    let code = |glyph: &Glyph| u64::from((glyph.code() ^ glyph.code() >> 12) & 0xfff);
    let mut codes = rest.iter().map(code).chain([EDGE]);
    let mut window = EDGE << 24 | code(first) << 12 | code(second);
    spelling.push(triple(window));
    language.push(triple(window));
    window = window << 12 | codes.next().unwrap_or(EDGE);
    spelling.extend_from_slice(&[triple(window), four(window)]);
    language.push(triple(window));
    for code in codes {
        window = window << 12 | code;
        spelling.extend_from_slice(&[triple(window), four(window), five(window)]);
        language.push(triple(window));
    }
}

fn cue(glyph: &Glyph) -> u32 {
    upper(step(0x5_0003, glyph.code()))
}

fn triple(window: u64) -> u32 {
    gram(window & 0xf_ffff_ffff, 0x94d0_49bb_1331_11eb)
}

fn four(window: u64) -> u32 {
    gram(window & 0xffff_ffff_ffff, 0xd6e8_feb8_6659_fd93)
}

fn five(window: u64) -> u32 {
    gram(window & 0xfff_ffff_ffff_ffff, 0xc2b2_ae3d_27d4_eb4f)
}

/// N-grams of 1 to 4 characters, as a window of four 16-bit codes slides over the run.
#[inline]
fn unspaced_grams(token: &[Glyph], features: &mut Features) {
    let mut window = 0;
    for (before, glyph) in token.iter().enumerate() {
        window = window << 16 | u64::from(glyph.code() & 0xffff);
        for (length, multiplier) in (1..=before + 1).zip(UNSPACED) {
            let hash = gram(window & (u64::MAX >> (64 - 16 * length)), multiplier);
            features.spelling.push(hash);
            if length <= 2 {
                features.language.push(hash);
            }
        }
    }
}

/// Hash of the characters in a window; each length has a multiplier of its own.
#[inline]
fn gram(codes: u64, multiplier: u64) -> u32 {
    upper(codes.wrapping_mul(multiplier))
}

fn emphasis(text: &Text, features: &mut Features) {
    // More than half of the letters are capitals, and they are more than an acronym.
    let is_shouted = text.capitals() > 5 && text.capitals() * 2 > features.letters.iter().skip(1).sum();
    for (is_so, kind) in [(is_shouted, 0x5_0001), (text.is_elongated(), 0x5_0002)] {
        if is_so {
            features.context.push(upper(step(kind, 0)));
        }
    }
}

fn valence(tally: &Tally) -> [u32; 3] {
    let balance = tally.balance();
    let pair = strength(tally.positive) * 8 + strength(tally.negative);
    let hash = |kind, value: i32| upper(step(step(kind, value.unsigned_abs()), 1));
    [hash(0xaaaa, balance.clamp(-12, 12) + 20), hash(0xbbbb, pair), hash(0xcccc, balance.signum() + 1)]
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
