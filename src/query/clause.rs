//! What a clause of words, a name or an expression finds, unless nothing of it could be found in a
//! text.

use std::ops::Range;

use super::SyntaxError;
use super::ast::{Find, Form, Regex, Text};
use super::lexer::{DASHES, shown};
use super::regex::compile;
use super::script::{Class, class, fold, is_ignorable};
use super::{names, normal};

/// Characters of a regular expression.
const MAX_REGEX: usize = 1_000;

/// `title:` and `fold:`, in front of words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Modifiers {
    in_title: bool,
    is_folded: bool,
}

impl Modifiers {
    /// Adds the field if it is a modifier, and says whether it is one.
    pub(super) fn add(&mut self, field: &str, span: Range<usize>) -> Result<bool, SyntaxError> {
        let flag = match field {
            "title" => &mut self.in_title,
            "fold" => &mut self.is_folded,
            _ => return Ok(false),
        };
        if std::mem::replace(flag, true) {
            return Err(SyntaxError::new(span, format!("`{field}:` is there twice")).suggest("leave one of them out"));
        }
        Ok(true)
    }

    fn name(self) -> Option<&'static str> {
        if self.in_title { Some("title") } else { self.is_folded.then_some("fold") }
    }

    /// Refuses modifiers in front of what they do not change.
    pub(super) fn refuse(self, thing: &str, span: Range<usize>) -> Result<(), SyntaxError> {
        let Some(name) = self.name() else { return Ok(()) };
        let reason = format!("`{name}:` does not stand before {thing}");
        let suggestion = format!("write it before a word, phrase or wildcard, as in `{name}:acme`");
        Err(SyntaxError::new(span, reason).suggest(suggestion))
    }

    /// Why there is nothing behind them.
    pub(super) fn find_nothing(self, span: Range<usize>, before_parenthesis: bool) -> SyntaxError {
        let name = self.name().unwrap_or("title");
        if before_parenthesis {
            return SyntaxError::new(span, format!("`{name}:` does not stand before a parenthesis"))
                .suggest(format!("write it before each word: `({name}:acme OR {name}:globex)`"));
        }
        SyntaxError::new(span, format!("`{name}:` has nothing to find"))
            .suggest(format!("write it right behind the colon, as in `{name}:acme`"))
    }

    /// Refuses an operator right behind them.
    pub(super) fn refuse_operator(self, text: &str, span: Range<usize>) -> Result<(), SyntaxError> {
        let Some(name) = self.name() else { return Ok(()) };
        if let Some(rest) = text.strip_prefix(DASHES) {
            return Err(SyntaxError::new(span, format!("`-` stands before `{name}:`"))
                .suggest(format!("write `-{name}:{}`", shown(rest))));
        }
        let is_near = ["NEAR", "ONEAR"]
            .iter()
            .any(|near| text.strip_prefix(near).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        if is_near || matches!(text, "AND" | "OR" | "NOT") {
            return Err(SyntaxError::new(span, format!("`{name}:` does not stand before an operator"))
                .suggest(format!("write `{name}:\"{}\"` for the word", shown(text))));
        }
        Ok(())
    }

    fn text(self, form: Form) -> Find {
        Find::Text(Text { form, in_title: self.in_title, is_folded: self.is_folded })
    }
}

/// A word without quotation marks: a handle, hashtag or ticker symbol, a wildcard, or just a word.
pub(super) fn word(text: &str, modifiers: Modifiers, span: Range<usize>) -> Result<Find, SyntaxError> {
    if let Some(handle) = text.strip_prefix(['@', '＠']) {
        modifiers.refuse("a handle", span.clone())?;
        return self::handle(handle, span);
    }
    if let Some(hashtag) = text.strip_prefix(['#', '＃']) {
        modifiers.refuse("a hashtag", span.clone())?;
        return self::hashtag(hashtag, span);
    }
    if let Some(cashtag) = text.strip_prefix('$').filter(|rest| rest.starts_with(char::is_alphabetic)) {
        modifiers.refuse("a ticker symbol", span.clone())?;
        return self::cashtag(cashtag, span);
    }
    if text.contains(['*', '?']) {
        return Ok(modifiers.text(Form::Wildcard(wildcard(text, span)?)));
    }
    searched(text, &span)?;
    Ok(modifiers.text(Form::Word(text.to_owned())))
}

/// Words one after the other.
pub(super) fn phrase(text: String, modifiers: Modifiers, span: Range<usize>) -> Result<Find, SyntaxError> {
    words(&text, &span)?;
    Ok(modifiers.text(Form::Phrase(text)))
}

/// Words in any order.
pub(super) fn within(
    text: String,
    distance: usize,
    modifiers: Modifiers,
    span: Range<usize>,
) -> Result<Find, SyntaxError> {
    if !words(&text, &span)?.contains(' ') {
        let reason = format!("`~{distance}` counts the words among several, and this is one");
        let suggestion =
            format!("leave `~{distance}` out, or write `{}*` for what begins like this", shown(text.trim()));
        return Err(SyntaxError::new(span, reason).suggest(suggestion));
    }
    Ok(modifiers.text(Form::Within(text, distance)))
}

/// The words of a phrase in normal form, of which there has to be one.
fn words(text: &str, span: &Range<usize>) -> Result<String, SyntaxError> {
    if text.trim().is_empty() {
        return Err(SyntaxError::new(span.clone(), "this phrase is empty"));
    }
    if text.contains('*') {
        let words: Vec<&str> = text.split_whitespace().collect();
        let suggestion = if words.iter().any(|word| word.trim_matches('*').is_empty()) {
            "write `acme ONEAR/1 kettle` for words with another one between them".to_owned()
        } else {
            format!("write `{}`", shown(&words.join(" ONEAR/0 ")))
        };
        let reason = "a `*` in quotation marks is no wildcard";
        return Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    }
    searched(text, span)
}

/// The normal form of what is searched, if it is anything in particular.
fn searched(text: &str, span: &Range<usize>) -> Result<String, SyntaxError> {
    let words = normal::words(text);
    let words = words.trim();
    if words.is_empty() {
        let reason = format!("`{}` holds no letter, digit or emoji", shown(text));
        let suggestion = format!("signs are searched with `{}`", raw(text));
        return Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    }
    let signs = text.chars().filter(|c| !c.is_alphanumeric() && !c.is_whitespace()).count();
    if words.len() == 1 && signs > 0 {
        let reason = format!("`{}` would find every `{words}`: signs are not searched", shown(text));
        let suggestion = format!("write `{}`, or add a word that stands beside it", raw(text));
        return Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    }
    Ok(words.to_owned())
}

/// How exactly this text is searched.
fn raw(text: &str) -> String {
    shown(&Find::Raw(text.to_owned()).to_string())
}

fn handle(handle: &str, span: Range<usize>) -> Result<Find, SyntaxError> {
    if handle.is_empty() || names::handle_end(handle) != handle.len() {
        let reason =
            format!("`@{}` is no handle: letters, digits and `_`, inside also `.`, `-` and one `@`", shown(handle));
        return Err(suggest_name(SyntaxError::new(span, reason), handle, '@', names::handle_end(handle)));
    }
    Ok(Find::Handle(handle.to_owned()))
}

fn hashtag(hashtag: &str, span: Range<usize>) -> Result<Find, SyntaxError> {
    if hashtag.is_empty() || names::hashtag_end(hashtag) != hashtag.len() {
        let reason = format!("`#{}` is no hashtag: letters, digits and `_`", shown(hashtag));
        return Err(suggest_name(SyntaxError::new(span, reason), hashtag, '#', names::hashtag_end(hashtag)));
    }
    Ok(Find::Hashtag(hashtag.to_owned()))
}

/// 1 to 6 letters, and 1 or 2 more behind `.` or `_`, as in twitter-text.
fn cashtag(cashtag: &str, span: Range<usize>) -> Result<Find, SyntaxError> {
    let is_letters = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let is_cashtag = match cashtag.split_once(['.', '_']) {
        Some((company, class)) => is_letters(company, 6) && is_letters(class, 2),
        None => is_letters(cashtag, 6),
    };
    if !is_cashtag {
        let reason =
            format!("`${}` is no ticker symbol: at most six letters, as in `$ACME` or `$BRK.B`", shown(cashtag));
        let end = cashtag.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(cashtag.len());
        let end = if end <= 6 { end } else { 0 };
        return Err(suggest_name(SyntaxError::new(span, reason), cashtag, '$', end));
    }
    Ok(Find::Cashtag(cashtag.to_owned()))
}

/// Suggests the part of a name that is one, or the word.
fn suggest_name(error: SyntaxError, text: &str, sigil: char, end: usize) -> SyntaxError {
    if text.contains('*') {
        return error
            .suggest(format!("a wildcard stands in a word: write `{}`, which finds names as well", shown(text)));
    }
    match text.get(..end).filter(|name| !name.is_empty()) {
        Some(name) => error.suggest(format!("write `{sigil}{}`, or `{}`", shown(name), raw(&format!("{sigil}{text}")))),
        None if text.contains(char::is_alphanumeric) => {
            error.suggest(format!("write `\"{}\"` for the word", shown(text)))
        }
        None => error.suggest(format!("write the name right behind it, as in `{sigil}acme`")),
    }
}

/// `wild*`, `w?ld`, `*suffix`: letters of one word.
fn wildcard(text: &str, span: Range<usize>) -> Result<String, SyntaxError> {
    let error = |reason: String, suggestion: String| Err(SyntaxError::new(span.clone(), reason).suggest(suggestion));
    let is_phrase = !text.contains('*') && text.contains(char::is_alphanumeric);
    let itself = if is_phrase { format!("\"{}\"", shown(text)) } else { raw(text) };
    let mut letters = 0;
    let mut script = None;
    for piece in text.split(['*', '?']).filter(|piece| !piece.is_empty()) {
        let words = normal::words(piece);
        let word = words.trim();
        let edge = |c: Option<char>| c.map_or(Class::Gap, class_of);
        let first = edge(piece.chars().next());
        match first {
            Class::Ideograph => {
                let reason = format!("`{}` is found anywhere as it is", shown(piece));
                return error(reason, format!("leave the wildcard out: `{}`", shown(piece)));
            }
            Class::Emoji => {
                let reason = format!("`{}` is no letter of a word", shown(piece));
                return error(reason, format!("leave the wildcard out: `{}`", shown(piece)));
            }
            Class::Letter | Class::Hangul if !word.contains(' ') && edge(piece.chars().next_back()) != Class::Gap => {}
            _ => {
                let reason = format!("a wildcard stands in one word, and `{}` is more than letters", shown(piece));
                let suggestion =
                    format!("write `acme ONEAR/0 kettle*` for several words, or `{itself}` for the text itself");
                return error(reason, suggestion);
            }
        }
        if *script.get_or_insert(first) != first {
            let reason = format!("no word is written like `{}`: Korean stands apart from other scripts", shown(text));
            return error(reason, format!("write `{itself}` for the text itself"));
        }
        letters += word.chars().filter(|c| matches!(class(*c), Class::Letter | Class::Hangul)).count();
    }
    if letters < 2 {
        let reason = format!("`{}` would find too much: a wildcard needs at least two letters beside it", shown(text));
        let suggestion = format!("write more of the word, as in `acme*`, or `{itself}` for the text itself");
        return error(reason, suggestion);
    }
    let mut before = ' ';
    let is_first = |c: &char| std::mem::replace(&mut before, *c) != '*' || *c != '*';
    Ok(text.chars().filter(is_first).collect())
}

/// The class of what a character of a query is searched as.
fn class_of(c: char) -> Class {
    let mut found = None;
    if !is_ignorable(c) {
        fold(c, ' ', |c| {
            found.get_or_insert(class(c));
        });
    }
    found.unwrap_or(Class::Mark)
}

/// A regular expression. `places` says of each character of the pattern where it stands in the query.
pub(super) fn regex(
    pattern: String,
    ignores_case: bool,
    places: &[usize],
    span: Range<usize>,
) -> Result<Find, SyntaxError> {
    let error = |span: Range<usize>, reason: String| SyntaxError::new(span, reason);
    if places.is_empty() {
        let reason = "this regular expression is empty".to_owned();
        return Err(error(span, reason).suggest("write it between the slashes, as in `/flight \\d+/`"));
    }
    if places.len() > MAX_REGEX {
        let reason = format!("this regular expression is longer than {MAX_REGEX} characters");
        return Err(error(span, reason).suggest("join shorter ones with `OR`"));
    }
    let syntax = regex_syntax::ParserBuilder::new().case_insensitive(ignores_case).build().parse(&pattern);
    let syntax = syntax.map_err(|wrong| regex_error(&wrong, &pattern, places, &span))?;
    match syntax.properties().minimum_len() {
        Some(0) => {
            let reason = "this regular expression finds nothing in particular: it is also found where nothing is";
            return Err(error(span, reason.to_owned()).suggest("say what has to be there: `a+` instead of `a*`"));
        }
        None => return Err(error(span, "this regular expression can never be found".to_owned())),
        Some(_) => {}
    }
    let regex = Regex { pattern, ignores_case };
    match compile(&regex) {
        Ok(_) => Ok(Find::Regex(regex)),
        Err(_) => Err(error(span, "this regular expression is too large".to_owned())
            .suggest("repeat less (`{1,1000}`), write `[0-9]` for `\\d`, or join smaller ones with `OR`")),
    }
}

/// What is wrong with a regular expression, and where.
fn regex_error(wrong: &regex_syntax::Error, pattern: &str, places: &[usize], whole: &Range<usize>) -> SyntaxError {
    let (reason, bytes) = match wrong {
        regex_syntax::Error::Parse(wrong) => (wrong.kind().to_string(), bytes(wrong.span())),
        regex_syntax::Error::Translate(wrong) => (wrong.kind().to_string(), bytes(wrong.span())),
        _ => ("unknown syntax".to_owned(), 0..pattern.len()),
    };
    // The crate counts in bytes.
    let character = |byte: usize| pattern.char_indices().take_while(|(at, _)| *at < byte).count();
    // Behind the last character stands the slash that closes it.
    let slash = places.last().map_or(whole.start, |last| last + 1).min(whole.end.saturating_sub(1));
    let start = places.get(character(bytes.start)).copied().unwrap_or(slash);
    let end = places.get(character(bytes.end)).copied().unwrap_or(slash).max(start + 1);
    SyntaxError::new(start..end, format!("this is no regular expression: {reason}"))
        .suggest("a sign that stands for itself has a `\\` before it; the syntax is that of the Rust crate `regex`")
}

fn bytes(span: &regex_syntax::ast::Span) -> Range<usize> {
    span.start.offset..span.end.offset
}
