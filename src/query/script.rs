//! What a character is to the search: a letter of a word, a word of its own, a gap, or nothing.

use std::sync::OnceLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What a folded character is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter or digit of a script that puts spaces between words.
    Letter,
    /// A Hangul syllable: words have spaces between them, and particles grow at their end.
    Hangul,
    /// A letter of a script that does not separate words: each stands for itself.
    Ideograph,
    /// An emoji or pictograph.
    Emoji,
    /// Belongs to the character before it.
    Mark,
    /// Anything else separates words.
    Gap,
}

/// The class of a character that [`fold`] gave.
pub(super) fn class(c: char) -> Class {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Class::Letter } else { Class::Gap };
    }
    match c {
        _ if is_combining_mark(c) => Class::Mark,
        '\u{ac00}'..='\u{d7a3}' | '\u{1100}'..='\u{11ff}' => Class::Hangul,
        _ if is_ideograph(c) => Class::Ideograph,
        _ if is_emoji(c) => Class::Emoji,
        _ if c.is_alphanumeric() => Class::Letter,
        _ => Class::Gap,
    }
}

/// Han, Kana, Bopomofo, Thai, Lao, Myanmar, Khmer: scripts written without spaces between words.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3041}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}'
        | '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        && c.is_alphanumeric()
}

/// Pictographs and symbols that people use as words; blocks of Unicode's `emoji-data.txt`.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1fbff}')
        && !c.is_alphanumeric()
}

/// Skin tones: the same gesture in any of them is the same word.
pub(super) fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Letters of which two make a flag.
pub(super) fn is_regional_indicator(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Characters without a width or a meaning of their own (Default_Ignorable_Code_Point): joiners,
/// soft hyphens, direction marks, variation selectors.
pub(super) fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Apostrophes, and what is typed in their place.
pub(super) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '`' | '´' | '‘' | '’' | '‛' | '′' | 'ʹ' | 'ʻ' | 'ʼ' | 'ʽ' | 'ˈ' | 'ˊ' | 'ˋ' | '＇' | '｀' | 'ꞌ')
}

/// Cyrillic, in which an apostrophe is part of the word (Ukrainian, Belarusian).
pub(super) fn is_cyrillic(c: char) -> bool {
    matches!(c, '\u{400}'..='\u{52f}')
}

/// Arabic letters, between which a half-space may stand for a space or for nothing.
pub(super) fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}') && c.is_alphabetic()
}

/// Gives the characters under which `c` is found: compatibility decomposition (NFKD), full case
/// folding, and one form for letters that keyboards mix up. Marks that writers leave out are
/// dropped; `base` is the last folded character before that is no mark.
pub(super) fn fold(c: char, base: char, mut give: impl FnMut(char)) {
    // These would become letters, or a letter's accent, of the word in front of them.
    if matches!(c, '™' | '℠' | '®' | '©') || is_apostrophe(c) {
        return give(' ');
    }
    // Neither case nor decomposition; Hangul stays in syllables.
    if matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
        return give(c);
    }
    let mut base = base;
    decompose_compatible(c, |c| {
        for c in c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
            let Some(c) = unify(c, base) else { continue };
            give(c);
            if !is_combining_mark(c) {
                base = c;
            }
        }
    });
}

/// One form for letters that are written in several ways; `None` for what may as well be missing.
fn unify(c: char, base: char) -> Option<char> {
    Some(match c {
        // Turkish: dotted and dotless i, in both cases, are one.
        '\u{307}' if base == 'i' => return None,
        'ı' => 'i',
        // Greek: capitals carry no accent.
        '\u{301}' if matches!(base, '\u{370}'..='\u{3ff}') => return None,
        'ς' => 'σ',
        // Arabic: vowel signs, hamza above and below, Koranic signs, tatweel.
        '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}' => return None,
        // Arabic and Persian keyboards: yeh, kaf, heh, alef.
        'ي' | 'ى' | 'ۍ' | 'ې' | 'ے' => 'ی',
        'ك' | 'ڪ' => 'ک',
        'ة' | 'ه' | 'ۀ' | 'ۂ' | 'ۃ' | 'ە' | 'ہ' | 'ھ' => 'ه',
        'ٱ' => 'ا',
        '٠'..='٩' => digit(c, '٠'),
        '۰'..='۹' => digit(c, '۰'),
        _ => c,
    })
}

fn digit(c: char, zero: char) -> char {
    char::from_digit(u32::from(c) - u32::from(zero), 10).unwrap_or(c)
}

/// What a character folds to, whatever stands before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Folding {
    /// Nothing.
    Nothing,
    /// One character.
    One(char, Class),
    /// Two characters.
    Two([(char, Class); 2]),
    /// It depends, or has a meaning beside its folded form, or folds to more: use [`fold`].
    Special,
}

/// Folding takes several searches in the tables of Unicode, and a text uses few of its pages: each
/// page of 256 characters is worked out when it is met first. Planes 0 and 1.
static PAGES: [OnceLock<Box<[Folding]>>; 512] = [const { OnceLock::new() }; 512];

/// What a character folds to.
pub(super) fn folded(c: char) -> Folding {
    let code = u32::from(c);
    let Some(page) = PAGES.get((code >> 8) as usize) else { return Folding::Special };
    let page = page.get_or_init(|| (0..256).map(|low| work_out((code & !0xff) | low)).collect());
    page.get((code & 0xff) as usize).copied().unwrap_or(Folding::Special)
}

fn work_out(code: u32) -> Folding {
    // Surrogates are no characters, and are never asked for.
    let Some(c) = char::from_u32(code) else { return Folding::Special };
    let has_a_meaning = is_ignorable(c)
        || is_apostrophe(c)
        || is_skin_tone(c)
        || is_regional_indicator(c)
        || matches!(c, '＠' | '﹫' | '＃' | '﹟');
    // Marks that may vanish after some letters; see `unify`.
    let depends = |c: char| matches!(c, '\u{301}' | '\u{307}');
    let mut all = Vec::new();
    fold(c, ' ', |c| all.push((c, class(c))));
    match all.as_slice() {
        _ if has_a_meaning => Folding::Special,
        [] => Folding::Nothing,
        [(first, _), ..] if depends(*first) => Folding::Special,
        [(c, class)] => Folding::One(*c, *class),
        [first, second] => Folding::Two([*first, *second]),
        _ => Folding::Special,
    }
}
