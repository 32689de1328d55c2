//! Handles, hashtags and ticker symbols in a text, each a range of its characters without the sign in front.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::words::{Class, class, ends_inside_a_word, fold, is_apostrophe, is_ignorable};

/// What stands after each `@` that is not inside a word.
pub(crate) fn handles(text: &str) -> Vec<Range<usize>> {
    after_each("@＠﹫", text, handle_length)
}

/// What stands after each `#` that is not inside a word.
pub(crate) fn hashtags(text: &str) -> Vec<Range<usize>> {
    after_each("#＃﹟", text, hashtag_length)
}

fn after_each(sigils: &str, text: &str, length: fn(&[char]) -> usize) -> Vec<Range<usize>> {
    let chars: Vec<char> = text.chars().collect();
    let mut names = Vec::new();
    for at in (0..chars.len()).filter(|at| sigils.contains(chars[*at])) {
        let name = at + 1..at + 1 + length(&chars[at + 1..]);
        if !name.is_empty() && !ends_inside_a_word(&String::from_iter(&chars[..at])) {
            names.push(name);
        }
    }
    names
}

/// What a character of a name folds to.
fn class_in_name(c: char) -> Class {
    match fold(c, ' ')[..] {
        [first] | [first, _] if !is_apostrophe(c) => class(first),
        _ => class(c),
    }
}

/// A letter or digit of a script that separates words, or `_`.
fn is_spaced(c: char) -> bool {
    c == '_' || class_in_name(c) == Class::Letter
}

/// Letters, digits and `_`, inside also `.`, `-` and one `@`. It ends where a script begins that does not separate
/// words, or Korean, unless it began in one.
fn handle_length(text: &[char]) -> usize {
    let begins_spaced = text.first().is_some_and(|c| is_spaced(*c));
    let is_unspaced = |c: char| matches!(class_in_name(c), Class::Ideograph | Class::Hangul);
    let is_letter = |c: char| !is_mark_or_ignorable(c) && (is_spaced(c) || (!begins_spaced && is_unspaced(c)));
    let is_letter_at = |at: usize| text.get(at).is_some_and(|c| is_letter(*c));
    let mut has_server = false;
    let mut end = 0;
    while let Some(c) = text.get(end).copied() {
        let goes_on = match c {
            '.' | '-' => end > 0 && is_letter_at(end + 1),
            '@' => end > 0 && !std::mem::replace(&mut has_server, true) && is_letter_at(end + 1),
            _ => is_letter(c) || (end > 0 && is_mark_or_ignorable(c)),
        };
        if !goes_on {
            break;
        }
        end += 1;
    }
    end
}

/// Letters of any script, digits and `_`.
fn hashtag_length(text: &[char]) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || is_mark_or_ignorable(c);
    match text.first() {
        Some(c) if !is_mark_or_ignorable(*c) => text.iter().take_while(|c| is_part(**c)).count(),
        _ => 0,
    }
}

fn is_mark_or_ignorable(c: char) -> bool {
    is_combining_mark(c) || is_ignorable(c)
}

/// `$` and one to six ASCII letters, with `.` or `_` and one or two more where that is all. It stands where a handle may
/// stand, and ends where one ends.
pub(crate) fn cashtags(text: &str) -> Vec<Range<usize>> {
    let touches = |span: &Range<usize>| text.chars().take(span.start - 1).last() == Some('_');
    let mut names = after_each("$", text, |rest| (1..=9).rev().find(|length| is_cashtag(rest, *length)).unwrap_or(0));
    names.retain(|span| !touches(span));
    names
}

fn is_cashtag(text: &[char], length: usize) -> bool {
    let (Some(name), next) = (text.get(..length), text.get(length)) else { return false };
    let name = String::from_iter(name);
    let (symbol, series) = name.split_once(['.', '_']).unwrap_or((&name, "A"));
    let is_ascii = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    is_ascii(symbol, 6) && is_ascii(series, 2) && !next.is_some_and(|next| is_spaced(*next))
}

/// A name as it is compared.
pub(crate) fn folded(name: &str) -> String {
    let mut folded = String::new();
    let mut base = ' ';
    for c in name.chars().filter(|c| !is_ignorable(*c)) {
        for c in fold(c, base) {
            let class = class(c);
            if class != Class::Gap || "_.-@".contains(c) {
                folded.push(c);
                base = if class == Class::Mark { base } else { c };
            }
        }
    }
    folded.nfc().collect()
}

/// Whether a handle is the one that is looked for: without a server, it is it on any server.
pub(crate) fn is_handle(handle: &str, wanted: &str) -> bool {
    let (handle, wanted) = (folded(handle), folded(wanted));
    let has_server = wanted.contains('@');
    let rest = handle.strip_prefix(&wanted);
    rest.is_some_and(|rest| rest.is_empty() || (!has_server && rest.starts_with(['.', '@'])))
}
