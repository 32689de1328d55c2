//! The words of the query language: text to tokens, each with its place.

use std::ops::Range;

use super::SyntaxError;
use super::normal;
use super::parser::{Clause, ClauseKind};

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
    Clause(Clause),
}

/// Quotation marks, as typed or as word processors make of them.
const QUOTES: [char; 4] = ['"', '“', '”', '„'];
/// Signs for "not this", as typed or as word processors make of them.
const DASHES: [char; 3] = ['-', '–', '−'];
/// Filters that the query language has names for and this version does not know yet.
const FILTERS: [&str; 8] = ["author", "site", "lang", "kind", "has", "followers", "engagement", "raw"];

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
            _ if QUOTES.contains(&c) => phrase(&chars, at)?,
            _ => word(&chars, at)?,
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

/// A phrase in quotation marks, closed by a mark of the same sort: typed or typographic. Inside,
/// `\"` is a quotation mark and `\\` a backslash.
fn phrase(chars: &[char], start: usize) -> Result<Token, SyntaxError> {
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
            (Some(c), _) if closes(*c) => break,
            (Some(c), _) => {
                text.push(*c);
                at += 1;
            }
        }
    }
    let span = start..at + 1;
    if text.trim().is_empty() {
        return Err(SyntaxError::new(span, "this phrase is empty"));
    }
    clause(ClauseKind::Phrase, text, span)
}

fn word(chars: &[char], start: usize) -> Result<Token, SyntaxError> {
    let is_end = |c: &char| c.is_whitespace() || matches!(c, '(' | ')' | '（' | '）') || QUOTES.contains(c);
    let text: String = chars.iter().skip(start).take_while(|c| !is_end(c)).collect();
    let span = start..start + text.chars().count();
    let kind = match text.as_str() {
        "AND" => TokenKind::And,
        "OR" => TokenKind::Or,
        "NOT" => TokenKind::Not,
        _ => {
            refuse(&text, &span)?;
            return if let Some(handle) = text.strip_prefix(['@', '＠']) {
                clause(ClauseKind::Handle, handle.to_owned(), span)
            } else if let Some(hashtag) = text.strip_prefix(['#', '＃']) {
                clause(ClauseKind::Hashtag, hashtag.to_owned(), span)
            } else if let Some(channel) = text.strip_prefix("channel:") {
                clause(ClauseKind::Channel, channel.to_owned(), span)
            } else if let Some(source) = text.strip_prefix("source:") {
                clause(ClauseKind::Source, source.to_owned(), span)
            } else {
                clause(ClauseKind::Word, text, span)
            };
        }
    };
    Ok(Token { kind, span })
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
    if matches!(text, "&" | "&&" | "+" | "|" | "||" | "!" | "~" | "/") {
        let suggestion = "the operators are `AND`, `OR`, `NOT` and `-`".to_owned();
        return error(format!("`{text}` is no operator"), suggestion);
    }
    if let Some(rest) = text.strip_prefix('!') {
        return error("`!` is no operator".to_owned(), format!("write `-{rest}`"));
    }
    if text.ends_with([',', ';', '，', '、', '；']) {
        let bare = text.trim_end_matches([',', ';', '，', '、', '；']);
        let suggestion = format!("write `{bare} OR …`, or `{bare} AND …`");
        return error("a comma does not say whether one or all have to be there".to_owned(), suggestion);
    }
    let is_near = ["NEAR", "ONEAR"]
        .iter()
        .any(|near| text.strip_prefix(near).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if is_near || text.starts_with('~') {
        let suggestion = "write the words as a phrase, or join them with `AND`".to_owned();
        return error("nearness of words is not supported yet".to_owned(), suggestion);
    }
    if text.contains('*') {
        let suggestion = "write the forms of the word out: `fly OR flies OR flying`".to_owned();
        return error("wildcards are not supported yet".to_owned(), suggestion);
    }
    let is_filter = |name: &&&str| text.strip_prefix(**name).is_some_and(|rest| rest.starts_with([':', '<', '>', '=']));
    if let Some(filter) = FILTERS.iter().find(is_filter) {
        let suggestion = format!("leave it out, or write `\"{text}\"` to search for the text itself");
        return error(format!("the filter `{filter}` is not supported yet"), suggestion);
    }
    Ok(())
}

/// Makes a clause, unless nothing of it could be found in a text.
fn clause(kind: ClauseKind, text: String, span: Range<usize>) -> Result<Token, SyntaxError> {
    let clause = Clause { kind, text, span: span.clone() };
    let error = |reason: String| SyntaxError::new(span.clone(), reason);
    match kind {
        ClauseKind::Word | ClauseKind::Phrase => {
            let searched = normal::words(&clause.text);
            let searched = searched.trim();
            if searched.is_empty() {
                return Err(error(format!("`{}` holds no letter, digit or emoji", clause.text)));
            }
            let signs = clause.text.chars().filter(|c| !c.is_alphanumeric() && !c.is_whitespace()).count();
            if searched.len() == 1 && signs > 0 {
                let reason = format!("`{}` would find every `{searched}`: signs are not searched", clause.text);
                return Err(error(reason).suggest("add a word that stands beside it, as in `\"C++ developer\"`"));
            }
        }
        ClauseKind::Handle if normal::handle_end(&clause.text) != clause.text.len() || clause.text.is_empty() => {
            let reason = format!("`{clause}` is no handle: letters, digits and `_`, inside also `.`, `-` and one `@`");
            return Err(error(reason));
        }
        ClauseKind::Hashtag if normal::hashtag_end(&clause.text) != clause.text.len() || clause.text.is_empty() => {
            return Err(error(format!("`{clause}` is no hashtag: letters, digits and `_`")));
        }
        ClauseKind::Channel | ClauseKind::Source if normal::name(&clause.text).is_empty() => {
            return Err(error(format!("`{clause}` names nothing")).suggest("write the name right behind the colon"));
        }
        ClauseKind::Handle | ClauseKind::Hashtag | ClauseKind::Channel | ClauseKind::Source => {}
    }
    Ok(Token { kind: TokenKind::Clause(clause), span })
}
