//! The words of the query language: text to tokens, each with its place.

use std::ops::Range;

use super::SyntaxError;
use super::ast::{Clause, Find};
use super::clause::{self, Modifiers};
use super::filter::{self, Value};

/// Words that `NEAR` and `~` let stand between, at most.
const MAX_DISTANCE: usize = 100;
/// Quotation marks, as typed or as word processors make of them.
const QUOTES: [char; 4] = ['"', '“', '”', '„'];
/// Signs for "not this", as typed or as word processors make of them.
pub(super) const DASHES: [char; 3] = ['-', '–', '−'];
/// What people write behind each of several things.
const COMMAS: [char; 5] = [',', ';', '，', '、', '；'];

/// A token; `span` is counted in characters of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    Open,
    Close,
    And,
    Or,
    /// `NOT`, or `-` right in front of what it excludes.
    Not,
    /// `NEAR/5` or `ONEAR/5`.
    Near {
        distance: usize,
        ordered: bool,
    },
    Clause(Clause),
}

/// Whether a word, or a value that is not in quotation marks, ends before this character.
pub(super) fn ends_word(c: char) -> bool {
    c.is_whitespace() || is_parenthesis(c) || QUOTES.contains(&c)
}

fn is_parenthesis(c: char) -> bool {
    matches!(c, '(' | ')' | '（' | '）')
}

/// Whether the value of a filter says the same without quotation marks.
pub(super) fn is_bare(value: &str) -> bool {
    !(value.is_empty()
        || value.contains(|c| ends_word(c) || c == '*')
        || value.starts_with(['<', '>', '='])
        || value.ends_with(COMMAS))
}

/// A part of a query in an error, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const LONG: usize = 60;
    let cut = text.char_indices().nth(LONG).and_then(|(end, _)| text.get(..end));
    cut.map_or_else(|| text.to_owned(), |cut| format!("{cut}…"))
}

/// Splits a query into tokens.
pub(super) fn lex(query: &str) -> Result<Vec<Token>, SyntaxError> {
    let chars: Vec<char> = query.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at).copied() {
        let one = at..at + 1;
        let token = match c {
            _ if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' | '（' => Token { kind: TokenKind::Open, span: one },
            ')' | '）' => Token { kind: TokenKind::Close, span: one },
            _ if DASHES.contains(&c) => dash(&chars, one)?,
            _ => match operator(&chars, at)? {
                Some(token) => token,
                None => {
                    let (find, end) = find(&chars, at)?;
                    let span = at..end;
                    Token { kind: TokenKind::Clause(Clause { find, span: span.clone() }), span }
                }
            },
        };
        at = token.span.end;
        tokens.push(token);
    }
    Ok(tokens)
}

fn dash(chars: &[char], span: Range<usize>) -> Result<Token, SyntaxError> {
    match chars.get(span.end) {
        Some(next) if !next.is_whitespace() && !matches!(next, ')' | '）') => Ok(Token { kind: TokenKind::Not, span }),
        _ => Err(SyntaxError::new(span, "this `-` excludes nothing")
            .suggest("write it right in front of what it excludes, as in `-word`")),
    }
}

/// All up to the next space, parenthesis or quotation mark.
fn bare(chars: &[char], start: usize) -> String {
    chars.iter().skip(start).take_while(|c| !ends_word(**c)).collect()
}

/// The operator that starts here, if one does.
fn operator(chars: &[char], start: usize) -> Result<Option<Token>, SyntaxError> {
    let text = bare(chars, start);
    let span = start..start + text.chars().count();
    let kind = match text.as_str() {
        "AND" => TokenKind::And,
        "OR" => TokenKind::Or,
        "NOT" => TokenKind::Not,
        _ => match near(&text, &span)? {
            Some(kind) => kind,
            None => return Ok(None),
        },
    };
    Ok(Some(Token { kind, span }))
}

fn near(text: &str, span: &Range<usize>) -> Result<Option<TokenKind>, SyntaxError> {
    let error = |reason: String, suggestion: String| Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    let upper = text.to_ascii_uppercase();
    let ordered = upper.starts_with("ONEAR");
    let name = if ordered { "ONEAR" } else { "NEAR" };
    let Some(rest) = upper.strip_prefix(name) else { return Ok(None) };
    let is_written_right = text.starts_with(name);
    let number = rest.trim_start_matches(['/', ':', '~']);
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let is_operator = rest.starts_with('/') || is_number || (rest.is_empty() && is_written_right);
    if !is_operator {
        return Ok(None);
    }
    if !is_number {
        let reason = format!("`{}` does not say how many words may stand between", shown(text));
        return error(reason, format!("write a number from 0 to {MAX_DISTANCE}, as in `{name}/5`"));
    }
    if !is_written_right || rest.strip_prefix('/') != Some(number) {
        let reason = format!("`{}` may be an operator or a word", shown(text));
        let number = shown(number);
        let suggestion = format!("write `{name}/{number}` for the operator, or `\"{}\"` for the word", shown(text));
        return error(reason, suggestion);
    }
    match distance(number) {
        Some(distance) => Ok(Some(TokenKind::Near { distance, ordered })),
        None => {
            let reason = format!("`{}` is too far: at most {MAX_DISTANCE} words may stand between", shown(text));
            error(reason, format!("write `{name}/{MAX_DISTANCE}`, or `AND`"))
        }
    }
}

/// A number of words in digits, if it is not too large.
fn distance(number: &str) -> Option<usize> {
    let is_digits = number.chars().all(|c| c.is_ascii_digit());
    number.parse().ok().filter(|distance| is_digits && *distance <= MAX_DISTANCE)
}

/// What the clause that starts here finds, and where it ends.
fn find(chars: &[char], start: usize) -> Result<(Find, usize), SyntaxError> {
    let mut modifiers = Modifiers::default();
    let mut at = start;
    loop {
        match chars.get(at) {
            Some('/') => {
                let found = regex(chars, at)?;
                modifiers.refuse("a regular expression", start..found.1)?;
                return Ok(found);
            }
            Some(c) if QUOTES.contains(c) => return phrase(chars, start, at, modifiers),
            Some(c) if !ends_word(*c) => {}
            next => return Err(modifiers.find_nothing(start..at, next.is_some_and(|c| is_parenthesis(*c)))),
        }
        let text = bare(chars, at);
        let end = at + text.chars().count();
        modifiers.refuse_operator(&text, start..end)?;
        refuse(&text, &(at..end))?;
        let Some((field, rest)) = filter::field(&text, &(at..end))? else {
            refuse_distance(&text, &(at..end))?;
            return Ok((clause::word(&text, modifiers, start..end)?, end));
        };
        at = end - rest.chars().count();
        if modifiers.add(field, start..at)? {
            continue;
        }
        let (text, is_quoted, end) = match chars.get(at) {
            Some(c) if QUOTES.contains(c) => {
                let (text, end) = quoted(chars, at)?;
                (text, true, end)
            }
            Some('(' | '（') => return Err(filter::before_parenthesis(field, start..at)),
            _ => (rest.to_owned(), false, end),
        };
        modifiers.refuse(&format!("`{field}:`"), start..end)?;
        let value = Value { field, text, is_quoted, span: if at < end { at..end } else { start..end } };
        return Ok((value.find()?, end));
    }
}

/// The text in quotation marks that starts here, and where it ends. It is closed by a mark of the
/// same sort: typed or typographic. Inside, `\"` is a quotation mark and `\\` a backslash.
fn quoted(chars: &[char], start: usize) -> Result<(String, usize), SyntaxError> {
    let is_typed = chars.get(start) == Some(&'"');
    let closes = |c: char| c == '"' || (!is_typed && QUOTES.contains(&c));
    let mut text = String::new();
    let mut at = start + 1;
    loop {
        match (chars.get(at), chars.get(at + 1)) {
            (None, _) => {
                return Err(SyntaxError::new(start..start + 1, "this quotation mark is never closed")
                    .suggest("close the phrase with `\"`, or write `\\\"` for the mark itself inside a phrase"));
            }
            (Some('\\'), Some(escaped @ ('"' | '\\'))) => {
                text.push(*escaped);
                at += 2;
            }
            (Some(c), _) if closes(*c) => return Ok((text, at + 1)),
            (Some(c), _) => {
                text.push(*c);
                at += 1;
            }
        }
    }
}

/// `"a phrase"`, and `"words in any order"~5`.
fn phrase(chars: &[char], start: usize, at: usize, modifiers: Modifiers) -> Result<(Find, usize), SyntaxError> {
    let (text, end) = quoted(chars, at)?;
    if chars.get(end) != Some(&'~') {
        return Ok((clause::phrase(text, modifiers, start..end)?, end));
    }
    let suffix = bare(chars, end);
    let after = end + suffix.chars().count();
    let Some(distance) = suffix.strip_prefix('~').and_then(distance) else {
        let reason = format!("`{}` is no distance", shown(&suffix));
        let suggestion =
            format!("write how many other words may stand among these, 0 to {MAX_DISTANCE}: `\"acme kettle\"~5`");
        return Err(SyntaxError::new(end..after, reason).suggest(suggestion));
    };
    Ok((clause::within(text, distance, modifiers, start..after)?, after))
}

/// `/regular expression/`, or `/.../i`.
fn regex(chars: &[char], start: usize) -> Result<(Find, usize), SyntaxError> {
    if chars.get(start + 1).is_none_or(|c| c.is_whitespace()) {
        return Err(SyntaxError::new(start..start + 1, "`/` is no operator").suggest(
            "the operators are `AND`, `OR`, `NOT`, `-` and `NEAR/5`; a regular expression starts with no space",
        ));
    }
    // Of the pattern: each character, and where it stands.
    let mut pattern = String::new();
    let mut places = Vec::new();
    let mut at = start + 1;
    loop {
        match (chars.get(at), chars.get(at + 1)) {
            (None, _) => {
                let text = shown(&bare(chars, start));
                return Err(SyntaxError::new(start..start + 1, "this regular expression is never closed")
                    .suggest(format!("close it with `/`, or write `\"{text}\"` to search for the text itself")));
            }
            (Some('/'), _) => break,
            (Some('\\'), Some('/')) => {
                places.push(at);
                pattern.push('/');
                at += 2;
            }
            (Some('\\'), Some(escaped)) => {
                places.extend([at, at + 1]);
                pattern.extend(['\\', *escaped]);
                at += 2;
            }
            (Some(c), _) => {
                places.push(at);
                pattern.push(*c);
                at += 1;
            }
        }
    }
    let flags = bare(chars, at + 1);
    let end = at + 1 + flags.chars().count();
    if !matches!(flags.as_str(), "" | "i") {
        let text: String = chars.iter().take(end).skip(start).collect();
        let reason = format!("a regular expression ends before `{}`", shown(&flags));
        let suggestion = format!(
            "write a slash inside it as `\\/`, put a space behind it, or write `\"{}\"` to search for the text itself",
            shown(&text)
        );
        return Err(SyntaxError::new(at + 1..end, reason).suggest(suggestion));
    }
    Ok((clause::regex(pattern, !flags.is_empty(), &places, start..end)?, end))
}

/// Refuses what looks like an operator and is none: to search for it as a word would find
/// something else than was meant, without a sign of it.
fn refuse(text: &str, span: &Range<usize>) -> Result<(), SyntaxError> {
    let error = |reason: String, suggestion: String| Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    let upper = text.to_uppercase();
    if matches!(upper.as_str(), "AND" | "OR" | "NOT") {
        let suggestion = format!("write `{upper}` for the operator, or `\"{text}\"` for the word");
        return error(format!("`{text}` may be an operator or a word"), suggestion);
    }
    if matches!(text, "&" | "&&" | "+" | "|" | "||" | "!") {
        let suggestion = "the operators are `AND`, `OR`, `NOT`, `-` and `NEAR/5`".to_owned();
        return error(format!("`{text}` is no operator"), suggestion);
    }
    if let Some(rest) = text.strip_prefix('!') {
        return error("`!` is no operator".to_owned(), format!("write `-{}`", shown(rest)));
    }
    if text.ends_with(COMMAS) {
        let things = shown(text.trim_end_matches(COMMAS));
        let suggestion = match things.as_str() {
            "" => "write `OR` or `AND` in its place".to_owned(),
            _ => format!("write `{things} OR …`, or `{things} AND …`"),
        };
        return error("a comma does not say whether one or all have to be there".to_owned(), suggestion);
    }
    Ok(())
}

/// Refuses a `~5` that is behind no phrase.
fn refuse_distance(text: &str, span: &Range<usize>) -> Result<(), SyntaxError> {
    let is_distance = |number: &str| number.chars().all(|c| c.is_ascii_digit());
    if text.starts_with('~') || text.rsplit_once('~').is_some_and(|(_, number)| is_distance(number)) {
        return Err(SyntaxError::new(span.clone(), "`~` stands right behind a phrase of words")
            .suggest("write `\"acme kettle\"~5` for words with at most five others among them"));
    }
    Ok(())
}
