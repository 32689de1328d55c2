//! What each character becomes and counts as: one table, built once.
//!
//! Folding is done character by character: compatibility forms (full-width letters, presentation
//! forms), case, Turkish dotted and dotless i, Arabic and Persian letter variants, digits. Characters
//! that nobody sees (zero-width, direction marks, variation selectors, skin tones, vowel points) are
//! dropped.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// How characters group into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Class {
    /// Separates tokens.
    Space = 0,
    /// Letters, digits and the marks that belong to them, in scripts that put spaces between words.
    Word = 1,
    /// Letters of scripts without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
    Unspaced = 2,
    /// Punctuation; a run of it is one token, so that `:-)` is one.
    Punctuation = 3,
    /// Emoji and other symbols, each a token.
    Symbol = 4,
    /// Vanishes.
    Dropped = 5,
    /// Joins with the character before it, if Unicode has a letter for both.
    Joins = 6,
    /// Becomes several characters.
    Expands = 7,
}

/// Writing systems, as far as they tell languages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Script {
    /// Digits, punctuation, symbols, and letters of scripts that are not listed.
    None = 0,
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Hebrew,
    Arabic,
    Devanagari,
    Bengali,
    Gurmukhi,
    Gujarati,
    Odia,
    Tamil,
    Telugu,
    Kannada,
    Malayalam,
    Sinhala,
    Thai,
    Lao,
    Tibetan,
    Burmese,
    Georgian,
    Ethiopic,
    Khmer,
    Hangul,
    Kana,
    Han,
}

impl Script {
    /// All scripts, in order of their numbers.
    pub(crate) const ALL: [Self; 27] = [
        Self::None,
        Self::Latin,
        Self::Greek,
        Self::Cyrillic,
        Self::Armenian,
        Self::Hebrew,
        Self::Arabic,
        Self::Devanagari,
        Self::Bengali,
        Self::Gurmukhi,
        Self::Gujarati,
        Self::Odia,
        Self::Tamil,
        Self::Telugu,
        Self::Kannada,
        Self::Malayalam,
        Self::Sinhala,
        Self::Thai,
        Self::Lao,
        Self::Tibetan,
        Self::Burmese,
        Self::Georgian,
        Self::Ethiopic,
        Self::Khmer,
        Self::Hangul,
        Self::Kana,
        Self::Han,
    ];

    fn of(c: char) -> Self {
        match c as u32 {
            0x41..=0x5a | 0x61..=0x7a | 0xaa | 0xba | 0xc0..=0x24f | 0x250..=0x2af | 0x1e00..=0x1eff => Self::Latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => Self::Greek,
            0x400..=0x52f | 0x1c80..=0x1c8f => Self::Cyrillic,
            0x530..=0x58f => Self::Armenian,
            0x590..=0x5ff => Self::Hebrew,
            0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff => Self::Arabic,
            0x900..=0x97f => Self::Devanagari,
            0x980..=0x9ff => Self::Bengali,
            0xa00..=0xa7f => Self::Gurmukhi,
            0xa80..=0xaff => Self::Gujarati,
            0xb00..=0xb7f => Self::Odia,
            0xb80..=0xbff => Self::Tamil,
            0xc00..=0xc7f => Self::Telugu,
            0xc80..=0xcff => Self::Kannada,
            0xd00..=0xd7f => Self::Malayalam,
            0xd80..=0xdff => Self::Sinhala,
            0xe00..=0xe7f => Self::Thai,
            0xe80..=0xeff => Self::Lao,
            0xf00..=0xfff => Self::Tibetan,
            0x1000..=0x109f => Self::Burmese,
            0x10a0..=0x10ff | 0x1c90..=0x1cbf => Self::Georgian,
            0x1200..=0x139f => Self::Ethiopic,
            0x1780..=0x17ff => Self::Khmer,
            0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7ff => Self::Hangul,
            0x3040..=0x30ff | 0x31f0..=0x31ff => Self::Kana,
            0x3005..=0x3007 | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff => Self::Han,
            _ => Self::None,
        }
    }
}

/// A folded character with its class, its script and what is special about it, in 32 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glyph(u32);

const CLASS_SHIFT: u32 = 21;
const SCRIPT_SHIFT: u32 = 24;
const CAPITAL_SHIFT: u32 = 29;
const CUE: u32 = 1 << 30;
const UNUSUAL: u32 = 1 << 31;

impl Glyph {
    /// Stands for a link.
    pub(crate) const LINK: Self = Self::new('\u{e000}', Class::Symbol, Script::None);
    /// Stands for the mention of an account.
    pub(crate) const MENTION: Self = Self::new('\u{e001}', Class::Symbol, Script::None);
    /// Separates.
    pub(crate) const SPACE: Self = Self::new(' ', Class::Space, Script::None);
    /// Stands for any run of digits.
    pub(crate) const NUMBER: Self = Self::new('0', Class::Word, Script::None);

    const fn new(c: char, class: Class, script: Script) -> Self {
        let unusual = if class as u32 > Class::Symbol as u32 { UNUSUAL } else { 0 };
        Self(c as u32 | (class as u32) << CLASS_SHIFT | (script as u32) << SCRIPT_SHIFT | unusual)
    }

    /// The characters of the Basic Multilingual Plane.
    pub(crate) fn table() -> &'static [Self] {
        &TABLE
    }

    /// Looks a character up.
    #[inline]
    pub(crate) fn of(table: &[Self], c: char) -> Self {
        match table.get(c as usize) {
            Some(glyph) => *glyph,
            None => describe(c),
        }
    }

    /// The same character as part of a word.
    pub(crate) fn as_letter(self) -> Self {
        Self(self.0 & !(7 << CLASS_SHIFT | UNUSUAL) | (Class::Word as u32) << CLASS_SHIFT)
    }

    /// The folded character's number.
    #[inline]
    pub(crate) fn code(self) -> u32 {
        self.0 & 0x1f_ffff
    }

    /// The folded character.
    pub(crate) fn char(self) -> char {
        char::from_u32(self.code()).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Its class.
    #[inline]
    pub(crate) fn class(self) -> Class {
        match self.0 >> CLASS_SHIFT & 7 {
            0 => Class::Space,
            1 => Class::Word,
            2 => Class::Unspaced,
            3 => Class::Punctuation,
            4 => Class::Symbol,
            5 => Class::Dropped,
            6 => Class::Joins,
            _ => Class::Expands,
        }
    }

    /// Number of its script in [`Script::ALL`].
    #[inline]
    pub(crate) fn script(self) -> usize {
        (self.0 >> SCRIPT_SHIFT & 31) as usize
    }

    /// 1 if it was a capital before folding, else 0.
    #[inline]
    pub(crate) fn capitals(self) -> u32 {
        self.0 >> CAPITAL_SHIFT & 1
    }

    /// It was a letter that only some of the languages of its script use, and folding made it equal to
    /// a letter that others use.
    #[inline]
    pub(crate) fn is_cue(self) -> bool {
        self.0 & CUE != 0
    }

    /// Goes into a text as it is. Others need a closer look: they may begin a link, a mention or an
    /// entity, their class says that they change, or their neighbours decide.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & UNUSUAL == 0
    }
}

/// The characters of the Basic Multilingual Plane.
static TABLE: LazyLock<Box<[Glyph]>> =
    LazyLock::new(|| (0..0x1_0000).map(|code| char::from_u32(code).map_or(Glyph::SPACE, describe)).collect());

/// A non-joiner: a half-space between Persian word parts, nothing elsewhere.
pub(crate) const NON_JOINER: char = '\u{200c}';

fn describe(c: char) -> Glyph {
    if is_unseen(c) {
        return Glyph::new(c, Class::Dropped, Script::None);
    }
    if c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER {
        return Glyph::SPACE;
    }
    if matches!(c as u32, 0x300..=0x36f | 0x483..=0x487 | 0x1161..=0x11ff | 0x3099 | 0x309a) {
        return Glyph::new(c, Class::Joins, Script::of(c));
    }
    if is_symbol(c) {
        return Glyph::new(c, Class::Symbol, Script::None);
    }
    let Some(folded) = fold(c) else {
        return Glyph::new(c, Class::Expands, Script::None);
    };
    if folded.is_numeric() {
        return Glyph::NUMBER;
    }
    let script = Script::of(folded);
    let class = if !folded.is_alphanumeric() && !is_combining_mark(folded) {
        Class::Punctuation
    } else if matches!(
        script,
        Script::Han | Script::Kana | Script::Thai | Script::Lao | Script::Khmer | Script::Burmese
    ) {
        Class::Unspaced
    } else {
        Class::Word
    };
    let script = if class == Class::Punctuation { Script::None } else { script };
    let mut glyph = Glyph::new(folded, class, script);
    if c.is_uppercase() {
        glyph.0 |= 1 << CAPITAL_SHIFT;
    }
    // Turkish; Persian code points of yeh and kaf; Arabic.
    if matches!(c, 'ı' | 'İ' | 'ی' | 'ک' | 'ة' | 'أ' | 'إ' | 'ٱ') {
        glyph.0 |= CUE;
    }
    if matches!(c, 'h' | 'H' | 'w' | 'W' | '@' | '＠' | '&') {
        glyph.0 |= UNUSUAL;
    }
    glyph
}

/// The one character that `c` becomes; `None` where it becomes several.
fn fold(c: char) -> Option<char> {
    let known = match c {
        'İ' | 'ı' => Some('i'),
        'ς' => Some('σ'),
        '’' | '‘' | '´' | '`' | 'ʼ' | '＇' | '′' => Some('\''),
        '“' | '”' | '„' | '«' | '»' => Some('"'),
        'ي' | 'ى' => Some('ی'),
        'ك' => Some('ک'),
        'أ' | 'إ' | 'آ' | 'ٱ' => Some('ا'),
        'ة' | 'ۀ' => Some('ه'),
        // Korean users write laughter and tears in single letters, which must not join into syllables.
        '\u{3130}'..='\u{318f}' => Some(c),
        _ => None,
    };
    if known.is_some() {
        return known;
    }
    let plain = only(std::iter::once(c).nfkc())?;
    if plain != c && matches!(plain, 'ي' | 'ى' | 'ك' | 'أ' | 'إ' | 'آ' | 'ة') {
        return fold(plain);
    }
    Some(only(plain.to_lowercase()).unwrap_or(plain))
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// Marks that change how a text looks or joins, not what it says. Vowel points are among them: most
/// people leave them out.
fn is_unseen(c: char) -> bool {
    matches!(
        c as u32,
        0xad | 0x34f
            | 0x591..=0x5bd
            | 0x5bf
            | 0x5c1..=0x5c2
            | 0x610..=0x61a
            | 0x61c
            | 0x640
            | 0x64b..=0x65f
            | 0x670
            | 0x6d6..=0x6dc
            | 0x180e
            | 0x200b
            | 0x200c..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0x1f3fb..=0x1f3ff
            | 0xe0000..=0xe0fff
    )
}

fn is_symbol(c: char) -> bool {
    matches!(
        c as u32,
        0xa9 | 0xae
            | 0x2122
            | 0x2190..=0x245f
            | 0x2500..=0x2bff
            | 0xe000..=0xf8ff
            | 0x1f000..=0x1f0ff
            | 0x1f18e
            | 0x1f1e6..=0x1faff
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn glyph(c: char) -> Glyph {
        Glyph::of(Glyph::table(), c)
    }

    fn folded(c: char) -> char {
        glyph(c).char()
    }

    #[test]
    fn letters_fold_to_one_form() {
        assert_eq!(folded('Ａ'), 'a');
        assert_eq!(folded('É'), 'é');
        assert_eq!(folded('İ'), 'i');
        assert_eq!(folded('ı'), 'i');
        assert_eq!(folded('I'), 'i');
        assert_eq!(folded('Σ'), 'σ');
        assert_eq!(folded('ς'), 'σ');
        assert_eq!(folded('ي'), 'ی');
        assert_eq!(folded('ﻱ'), 'ی');
        assert_eq!(folded('ك'), 'ک');
        assert_eq!(folded('ｶ'), 'カ');
        assert_eq!(folded('７'), '0');
        assert_eq!(folded('۳'), '0');
    }

    #[test]
    fn what_tells_languages_apart_is_kept() {
        assert!(glyph('ı').is_cue() && !glyph('i').is_cue());
        assert!(glyph('ة').is_cue() && !glyph('ه').is_cue());
        assert!(glyph('ی').is_cue() && !glyph('ي').is_cue());
    }

    #[test]
    fn classes_make_tokens() {
        for (c, class) in [
            ('a', Class::Word),
            ('ж', Class::Word),
            ('한', Class::Word),
            ('ा', Class::Word),
            ('好', Class::Unspaced),
            ('の', Class::Unspaced),
            ('ไ', Class::Unspaced),
            ('!', Class::Punctuation),
            ('。', Class::Punctuation),
            ('😀', Class::Symbol),
            ('❤', Class::Symbol),
            ('\u{fe0f}', Class::Dropped),
            ('\u{200b}', Class::Dropped),
            ('\u{301}', Class::Joins),
            ('…', Class::Expands),
            ('ﬁ', Class::Expands),
            ('\u{fffd}', Class::Space),
            ('\n', Class::Space),
        ] {
            assert_eq!(glyph(c).class(), class, "{c:?}");
        }
    }

    #[test]
    fn scripts_are_numbered_in_order() {
        for (number, script) in Script::ALL.iter().enumerate() {
            assert_eq!(*script as usize, number);
        }
        assert_eq!(Script::ALL[glyph('ü').script()], Script::Latin);
        assert_eq!(Script::ALL[glyph('ї').script()], Script::Cyrillic);
        assert_eq!(Script::ALL[glyph('か').script()], Script::Kana);
        assert_eq!(Script::ALL[glyph('5').script()], Script::None);
    }
}
