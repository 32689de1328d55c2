//! Names in a text: where a handle, hashtag or ticker symbol ends, and the form in which it is compared.

use super::normal::Folded;
use super::script::{Class, Folding, class, fold, folded, is_ignorable};

/// Length in bytes of the handle at the start of a text, without its `@`.
///
/// Letters, digits and `_`; inside also `.` and `-` (Mastodon, Bluesky) and one `@` (the server of
/// a federated handle). It ends where a script begins that does not separate words, unless it
/// began in one.
pub(super) fn handle_end(text: &str) -> usize {
    let is_spaced = |c: char| c == '_' || folded_class(c) == Class::Letter;
    let Some(first) = text.chars().next() else { return 0 };
    let is_unspaced = |c: char| matches!(folded_class(c), Class::Ideograph | Class::Hangul);
    let is_part = |c: char| is_spaced(c) || is_mark_or_ignorable(c) || (!is_spaced(first) && is_unspaced(c));
    if !is_part(first) || is_mark_or_ignorable(first) {
        return 0;
    }
    let mut end = 0;
    let mut has_server = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let goes_on = chars.peek().is_some_and(|(_, next)| is_part(*next) && !is_mark_or_ignorable(*next));
        let is_inner = match c {
            '.' | '-' => goes_on,
            '@' if !has_server => {
                has_server = goes_on;
                has_server
            }
            _ => is_part(c),
        };
        if !is_inner {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

/// Length in bytes of the hashtag at the start of a text, without its `#`: letters of any script,
/// digits and `_`.
pub(super) fn hashtag_end(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || is_mark_or_ignorable(c);
    if text.starts_with(is_mark_or_ignorable) {
        return 0;
    }
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// Length in bytes of the ticker symbol at the start of a text, without its `$`: one to six ASCII
/// letters, then perhaps `.` or `_` and one or two more (as twitter-text has it); 0 where a word
/// goes on after it.
pub(super) fn cashtag_end(text: &str) -> usize {
    let letters = |text: &str| text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let goes_on = |end: usize| {
        text.get(end..)
            .and_then(|rest| rest.chars().next())
            .is_some_and(|c| c == '_' || folded_class(c) == Class::Letter)
    };
    let symbol = letters(text);
    let class = match text.get(symbol..) {
        Some(rest) if rest.starts_with(['.', '_']) => letters(rest.get(1..).unwrap_or_default()),
        _ => 0,
    };
    let longer = symbol + 1 + class;
    match symbol {
        1..=6 if matches!(class, 1 | 2) && !goes_on(longer) => longer,
        1..=6 if !goes_on(symbol) => symbol,
        _ => 0,
    }
}

/// The class of what a character folds to.
fn folded_class(c: char) -> Class {
    match folded(c) {
        Folding::One(_, class) | Folding::Two([(_, class), _]) if !c.is_ascii() => class,
        _ => class(c),
    }
}

fn is_mark_or_ignorable(c: char) -> bool {
    !c.is_ascii() && (class(c) == Class::Mark || is_ignorable(c))
}

/// The searched form of a handle or hashtag.
pub(super) fn name(text: &str) -> String {
    let mut name = Folded::default();
    add_folded_name(&mut name, text);
    String::from_utf8_lossy(name.bytes()).into_owned()
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@')
}

/// Appends the searched form of a name.
pub(super) fn add_folded_name(names: &mut Folded, name: &str) {
    let mut base = ' ';
    for c in name.chars().filter(|c| !is_ignorable(*c)) {
        fold(c, base, |folded| match class(folded) {
            Class::Mark => names.push_mark(folded),
            Class::Hangul => base = names.push_hangul(folded, base),
            Class::Gap if !u8::try_from(folded).is_ok_and(is_name_byte) => {}
            _ => {
                names.push(folded);
                base = folded;
            }
        });
    }
}
