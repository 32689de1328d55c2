//! Text cut into words, as docs/queries.md ("Languages") tells it: one character after the other, and every word
//! knows where it came from.

use std::ops::Range;

use hearken::query::Field;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// What a character is, once it is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Of a script that puts spaces between words; also digits.
    Letter,
    /// Korean.
    Hangul,
    /// Of a script without spaces: a word by itself.
    Ideograph,
    /// A word by itself, unless it is joined to another one.
    Emoji,
    /// Belongs to the character before it.
    Mark,
    /// Separates words.
    Gap,
}

/// A character in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) c: char,
    /// The characters of the original that it was made of.
    pub(crate) span: Range<usize>,
}

/// A word of the title, the text or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) letters: Vec<Letter>,
    pub(crate) class: Class,
    pub(crate) field: Field,
}

/// Something that is compared as a whole: a character of a word with the marks after it.
pub(crate) type Unit = String;

impl Word {
    /// From its first to its last character in the original.
    pub(crate) fn span(&self) -> Range<usize> {
        span_of(&self.letters)
    }

    /// In normal form.
    pub(crate) fn text(&self) -> String {
        self.letters.iter().map(|letter| letter.c).collect()
    }
}

/// From the first to the last character of the original.
pub(crate) fn span_of(letters: &[Letter]) -> Range<usize> {
    let start = letters.iter().map(|letter| letter.span.start).min().unwrap_or(0);
    start..letters.iter().map(|letter| letter.span.end).max().unwrap_or(start)
}

/// Cuts a word in normal form.
pub(crate) fn units(word: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for c in word.chars() {
        match units.last_mut() {
            Some(unit) if is_combining_mark(c) || is_tag(c) => unit.push(c),
            _ => units.push(c.to_string()),
        }
    }
    units
}

/// The words of one field, in order.
pub(crate) fn words(field: Field, text: &str) -> Vec<Word> {
    let mut cut = Cut::default();
    text.chars().enumerate().for_each(|(at, c)| cut.add(field, at, c));
    cut.words
}

/// Whether a sign that stands behind this text stands inside a word, as the `@` of an e-mail address does.
pub(crate) fn ends_inside_a_word(text: &str) -> bool {
    let mut cut = Cut::default();
    text.chars().enumerate().for_each(|(at, c)| cut.add(Field::Text, at, c));
    let is_letters = |word: &&mut Word| matches!(word.class, Class::Letter | Class::Hangul);
    !cut.apostrophe && cut.open_word().as_ref().is_some_and(is_letters)
}

/// The words so far, and what the next character needs to know of those before it.
#[derive(Default)]
struct Cut {
    words: Vec<Word>,
    /// The last word may go on.
    is_open: bool,
    /// The last folded character that is no mark.
    base: char,
    /// An apostrophe stands after Cyrillic letters: they go on behind it only in Cyrillic.
    apostrophe: bool,
    /// A zero-width joiner stands after an emoji, and joins it to the next one.
    joiner: bool,
}

impl Cut {
    fn open_word(&mut self) -> Option<&mut Word> {
        self.words.last_mut().filter(|_| self.is_open)
    }

    fn add(&mut self, field: Field, at: usize, c: char) {
        let base = self.base;
        let open = self.open_word();
        let in_cyrillic = open.as_ref().is_some_and(|word| word.class == Class::Letter) && is_cyrillic(base);
        let emoji = open.filter(|word| word.class == Class::Emoji && !is_half_flag(word));
        match c {
            '\u{200d}' => self.joiner = emoji.is_some(),
            _ if is_tag(c) => {
                if let Some(emoji) = emoji {
                    emoji.letters.push(Letter { c, span: at..at + 1 });
                }
            }
            _ if is_ignorable(c) => {}
            _ if is_skin_tone(c) && emoji.is_some() => {}
            _ if is_apostrophe(c) && in_cyrillic => self.apostrophe = true,
            _ => {
                let mut base = base;
                for c in fold(c, base) {
                    self.add_folded(field, Letter { c, span: at..at + 1 }, &mut base);
                }
                self.base = base;
            }
        }
    }

    fn add_folded(&mut self, field: Field, letter: Letter, base: &mut char) {
        let class = class(letter.c);
        if class == Class::Mark {
            if let Some(word) = self.open_word() {
                word.letters.push(letter);
                put_marks_in_order(&mut word.letters);
            }
            return;
        }
        *base = letter.c;
        let goes_on = self.goes_on(class, letter.c);
        self.is_open = class != Class::Gap;
        self.apostrophe = false;
        self.joiner = false;
        match self.words.last_mut() {
            Some(word) if goes_on => {
                word.letters.push(letter);
                if class == Class::Hangul {
                    compose_hangul(&mut word.letters);
                }
            }
            _ if class == Class::Gap => {}
            _ => self.words.push(Word { letters: vec![letter], class, field }),
        }
    }

    /// Whether the open word goes on with this character.
    fn goes_on(&mut self, class: Class, c: char) -> bool {
        let (apostrophe, joiner) = (self.apostrophe, self.joiner);
        let Some(word) = self.open_word() else { return false };
        match (word.class, class) {
            (Class::Letter, Class::Letter) => !apostrophe || is_cyrillic(c),
            (Class::Hangul, Class::Hangul) => true,
            (Class::Emoji, Class::Emoji) if is_regional_indicator(c) => is_half_flag(word),
            (Class::Emoji, Class::Emoji) => joiner,
            _ => false,
        }
    }
}

fn is_half_flag(word: &Word) -> bool {
    word.letters.iter().filter(|letter| is_regional_indicator(letter.c)).count() == 1
}

/// Marks of one character stand in canonical order (Unicode 16, section 3.11).
fn put_marks_in_order(letters: &mut [Letter]) {
    for marks in letters.split_mut(|letter| canonical_combining_class(letter.c) == 0) {
        marks.sort_by_key(|mark| canonical_combining_class(mark.c));
    }
}

/// The last jamo goes into the syllable before it, where it fits.
fn compose_hangul(letters: &mut Vec<Letter>) {
    let Some([before, last]) = letters.last_chunk() else { return };
    let composed: Vec<char> = [before.c, last.c].into_iter().nfc().collect();
    if let [c] = composed[..] {
        let letter = Letter { c, span: before.span.start..last.span.end };
        letters.truncate(letters.len() - 2);
        letters.push(letter);
    }
}

/// The class of a folded character.
pub(crate) fn class(c: char) -> Class {
    match c {
        _ if is_combining_mark(c) => Class::Mark,
        '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' => Class::Hangul,
        _ if c.is_alphanumeric() && is_unspaced(c) => Class::Ideograph,
        _ if c.is_alphanumeric() => Class::Letter,
        _ if is_emoji(c) => Class::Emoji,
        _ => Class::Gap,
    }
}

/// Han, Kana, Bopomofo, Thai, Lao, Burmese, Khmer.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3041}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}'
        | '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Arrows, technical signs, geometric shapes, dingbats and pictographs.
pub(crate) fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1fbff}')
        && !c.is_alphanumeric()
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_regional_indicator(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Says which region a flag is of.
fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Unicode's Default_Ignorable_Code_Point.
pub(crate) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

pub(crate) fn is_apostrophe(c: char) -> bool {
    "'`´‘’‛′ʹʻʼʽˈˊˋ＇｀ꞌ".contains(c)
}

fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{52f}')
}

/// A letter beside which a half-space is a space or nothing.
pub(crate) fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}') && c.is_alphabetic()
}

/// The characters in which one is compared; `base` is the last one before it that is no mark.
pub(crate) fn fold(c: char, mut base: char) -> Vec<char> {
    if "™℠®©".contains(c) || is_apostrophe(c) {
        return vec![' '];
    }
    let case = |c: char| c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let mut folded = Vec::new();
    for c in std::iter::once(c).nfkd().flat_map(case) {
        let c = match c {
            // Turkish i has a dot or none.
            '\u{307}' if base == 'i' => continue,
            'ı' => 'i',
            // Greek capitals carry no accent.
            '\u{301}' if matches!(base, '\u{370}'..='\u{3ff}') => continue,
            'ς' => 'σ',
            // Arabic vowel signs, hamza, Koranic signs and tatweel.
            '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}' => continue,
            'ي' | 'ى' | 'ۍ' | 'ې' | 'ے' => 'ی',
            'ك' | 'ڪ' => 'ک',
            'ة' | 'ه' | 'ۀ' | 'ۂ' | 'ۃ' | 'ە' | 'ہ' | 'ھ' => 'ه',
            'ٱ' => 'ا',
            '٠'..='٩' => digit(c, '٠'),
            '۰'..='۹' => digit(c, '۰'),
            c => c,
        };
        folded.push(c);
        if !is_combining_mark(c) {
            base = c;
        }
    }
    folded
}

fn digit(c: char, zero: char) -> char {
    char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap()
}

/// `fold:`: a word in normal form without its accents.
pub(crate) fn without_accents(word: &str) -> String {
    let mut plain = String::new();
    for c in word.chars() {
        match c {
            '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' => {}
            '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' => {}
            'ł' => plain.push('l'),
            'ø' => plain.push('o'),
            'đ' | 'ð' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ŧ' => plain.push('t'),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'þ' => plain.push_str("th"),
            c => plain.push(c),
        }
    }
    plain
}
