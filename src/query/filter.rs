//! What stands before and behind the colon of a filter.

use std::ops::{Range, RangeInclusive};

use hearken_connectors::Kind;
use hearken_connectors::settings::nearest;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use unicode_normalization::char::is_combining_mark;

use super::SyntaxError;
use super::ast::{Comparison, Find, Has, Is, Operator, When};
use super::lexer::{is_bare, shown};
use super::{names, normal};

/// What may stand before a colon, in the order of the documentation.
const FIELDS: [&str; 17] = [
    "raw",
    "fold",
    "title",
    "source",
    "channel",
    "kind",
    "lang",
    "country",
    "author",
    "site",
    "url",
    "has",
    "is",
    "followers",
    "engagement",
    "rating",
    "published",
];
/// Those that compare.
const COMPARING: [&str; 4] = ["followers", "engagement", "rating", "published"];
/// What other tools write there, and what it is called here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("language", "lang:"),
    ("from", "author:"),
    ("user", "author:"),
    ("by", "author:"),
    ("account", "author:"),
    ("to", "@"),
    ("mention", "@"),
    ("mentions", "@"),
    ("hashtag", "#"),
    ("cashtag", "$"),
    ("tag", "#"),
    ("domain", "site:"),
    ("host", "site:"),
    ("link", "url:"),
    ("inurl", "url:"),
    ("intitle", "title:"),
    ("headline", "title:"),
    ("subject", "title:"),
    ("type", "kind:"),
    ("filter", "has:"),
    ("contains", "has:"),
    ("place", "country:"),
    ("location", "country:"),
    ("geo", "country:"),
    ("platform", "channel:"),
    ("network", "channel:"),
    ("exact", "raw:"),
    ("stars", "rating:"),
    ("score", "rating:"),
    ("likes", "engagement:"),
    ("faves", "engagement:"),
    ("min_faves", "engagement:>="),
    ("min_retweets", "engagement:>="),
    ("min_followers", "followers:>="),
    ("since", "published:>="),
    ("after", "published:>"),
    ("until", "published:<"),
    ("before", "published:<"),
    ("date", "published:"),
];
/// How alike two names are (Jaro-Winkler) of which one is the other, mistyped.
const MISTYPED: f64 = 0.9;
/// Most stars of a review, in hundredths.
const MAX_RATING: u64 = 500;

/// The field that a clause starts with, and what is behind its colon; `None` for a clause that
/// starts with none.
pub(super) fn field<'a>(text: &'a str, span: &Range<usize>) -> Result<Option<(&'static str, &'a str)>, SyntaxError> {
    let end = text.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(text.len());
    let (name, sign) = text.split_at(end);
    if name.is_empty() || !sign.starts_with([':', '：', '<', '>', '=']) {
        return Ok(None);
    }
    let is_colon = sign.starts_with([':', '：']);
    let value = sign.trim_start_matches([':', '：']);
    let bare = value.trim_start_matches(['<', '>', '=']);
    let field = FIELDS.into_iter().find(|field| *field == name);
    if let Some(field) = field.filter(|_| is_colon) {
        let colon = sign.chars().next().map_or(0, char::len_utf8);
        return Ok(Some((field, sign.get(colon..).unwrap_or_default())));
    }
    let error = |reason: String, right: &str| {
        let value = if COMPARING.contains(&right.trim_end_matches(':')) { value } else { bare };
        let suggestion = format!("write `{right}{}`, or `\"{}\"` for the text itself", shown(value), shown(text));
        Err(SyntaxError::new(span.clone(), reason).suggest(suggestion))
    };
    let mistyped = |known: &&str| strsim::jaro_winkler(known, name) >= MISTYPED;
    let lower = name.to_ascii_lowercase();
    if field.is_some() {
        return error(format!("there is no colon behind `{name}`"), &format!("{name}:"));
    }
    if let Some(field) = FIELDS.into_iter().find(|field| *field == lower) {
        return error(format!("`{name}:` is written in small letters"), &format!("{field}:"));
    }
    if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name) {
        return error(format!("there is no filter `{name}`"), here);
    }
    if let Some(field) = nearest(name, &FIELDS).filter(mistyped) {
        return error(format!("there is no filter `{name}`"), &format!("{field}:"));
    }
    if mistyped(&"language") {
        return error(format!("there is no filter `{name}`"), "lang:");
    }
    Ok(None)
}

/// Why a filter does not stand before a parenthesis.
pub(super) fn before_parenthesis(field: &str, span: Range<usize>) -> SyntaxError {
    let value = example(field);
    SyntaxError::new(span, format!("`{field}:` does not stand before a parenthesis"))
        .suggest(format!("write it before each value: `({field}:{value} OR {field}:…)`"))
}

/// A value that a field may have.
fn example(field: &str) -> &'static str {
    match field {
        "source" => "care",
        "channel" => "imap",
        "kind" => "review",
        "lang" => "tr",
        "country" => "TR",
        "site" => "example.com",
        "url" => "example.com/shop",
        "has" => "link",
        "is" => "reply",
        "followers" => ">1000",
        "engagement" => ">=10",
        "rating" => "<3",
        "published" => ">2026-01-01",
        _ => "acme",
    }
}

/// What is behind the colon of a filter.
pub(super) struct Value {
    pub(super) field: &'static str,
    pub(super) text: String,
    pub(super) is_quoted: bool,
    /// Where it stands, in characters of the query.
    pub(super) span: Range<usize>,
}

impl Value {
    /// What the filter finds.
    pub(super) fn find(self) -> Result<Find, SyntaxError> {
        let field = self.field;
        if self.text.trim().is_empty() {
            let reason = format!("`{field}:` names nothing");
            let suggestion = format!("write it right behind the colon, as in `{field}:{}`", example(field));
            return Err(SyntaxError::new(self.span, reason).suggest(suggestion));
        }
        if field == "raw" {
            return Ok(Find::Raw(self.text));
        }
        if !self.is_quoted && !is_bare(&self.text) && !COMPARING.contains(&field) {
            return Err(self.no_operator());
        }
        Ok(match field {
            "source" => Find::Source(self.name()?),
            "channel" => Find::Channel(self.name()?),
            "kind" => Find::Kind(self.one_of("kind", Kind::ALL, Kind::as_str)?),
            "has" => Find::Has(self.one_of("value", &Has::ALL, Has::as_str)?),
            "is" => Find::Is(self.one_of("value", &Is::ALL, Is::as_str)?),
            "lang" => Find::Language(self.language()?),
            "country" => Find::Country(self.country()?),
            "author" if self.is_quoted => {
                self.refuse_no_name(&normal::words(&self.text))?;
                Find::AuthorName(self.text)
            }
            "author" => Find::Author(self.account()?),
            "site" => Find::Site(self.host()?),
            "url" => Find::Url(self.text),
            "followers" => Find::Followers(self.comparison(count)?),
            "engagement" => Find::Engagement(self.comparison(count)?),
            "rating" => Find::Rating(self.comparison(stars)?),
            _ => Find::Published(self.comparison(when)?),
        })
    }

    fn error(&self, reason: String, suggestion: String) -> SyntaxError {
        SyntaxError::new(self.span.clone(), reason).suggest(suggestion)
    }

    /// Why a sign that means something elsewhere means nothing here.
    fn no_operator(&self) -> SyntaxError {
        let (field, text) = (self.field, &self.text);
        let bare = text.trim_start_matches(['<', '>', '=']);
        if bare.len() < text.len() {
            let reason = format!("`{field}:` compares nothing");
            return self.error(reason, format!("write `{field}:{}`", shown(bare)));
        }
        let suggestion = if field == "url" {
            format!("leave it out, or write `url:\"{}\"` for the sign itself", shown(text))
        } else {
            "leave it out".to_owned()
        };
        self.error(format!("`*` is no wildcard behind `{field}:`"), suggestion)
    }

    /// The name of a source or channel.
    fn name(&self) -> Result<String, SyntaxError> {
        self.refuse_no_name(&names::name(&self.text))?;
        Ok(self.text.clone())
    }

    /// Refuses a name of which nothing is searched.
    fn refuse_no_name(&self, searched: &str) -> Result<(), SyntaxError> {
        let field = self.field;
        if self.text.contains('*') {
            return Err(self.no_operator());
        }
        if searched.trim().is_empty() {
            let reason = format!("`{}` names nothing", shown(&self.text));
            return Err(self.error(reason, format!("write a name, as in `{field}:{}`", example(field))));
        }
        Ok(())
    }

    /// One of a few values.
    fn one_of<T: Copy>(&self, what: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, SyntaxError> {
        let written = self.text.to_ascii_lowercase();
        if let Some(found) = all.iter().copied().find(|one| name(*one) == written) {
            return Ok(found);
        }
        let names: Vec<&str> = all.iter().copied().map(&name).collect();
        let near = nearest(&written, &names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let of = if what == "kind" { String::new() } else { format!(" of `{}:`", self.field) };
        let reason = format!("`{}` is no {what}{of}", shown(&self.text));
        Err(self.error(reason, format!("{near}the {what}s{of} are {names}")))
    }

    /// A BCP 47 primary tag, in small letters.
    fn language(&self) -> Result<String, SyntaxError> {
        let is_tag = |text: &str| matches!(text.len(), 2 | 3) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_tag(&self.text) {
            return Ok(self.text.to_ascii_lowercase());
        }
        let primary = self.text.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let suggestion = if is_tag(&primary) && primary.len() < self.text.len() {
            format!("regions are not told apart: write `lang:{primary}`")
        } else {
            "write its code of two or three letters (ISO 639), as in `lang:tr`".to_owned()
        };
        Err(self.error(format!("`{}` is no language", shown(&self.text)), suggestion))
    }

    /// ISO 3166-1 alpha-2, in capitals.
    fn country(&self) -> Result<String, SyntaxError> {
        if self.text.len() == 2 && self.text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Ok(self.text.to_ascii_uppercase());
        }
        let suggestion = "write its code of two letters (ISO 3166-1), as in `country:TR`".to_owned();
        Err(self.error(format!("`{}` is no country", shown(&self.text)), suggestion))
    }

    /// A handle, with or without its `@` and server, or an id, which may have colons inside.
    fn account(&self) -> Result<String, SyntaxError> {
        let account = self.text.strip_prefix(['@', '＠']).unwrap_or(&self.text);
        if account.split(':').all(|part| !part.is_empty() && names::handle_end(part) == part.len()) {
            return Ok(account.to_owned());
        }
        let suggestion = if account.contains(char::is_alphanumeric) {
            format!("write `author:\"{}\"` for words of a display name", shown(account))
        } else {
            "write it without signs, as in `author:acme`".to_owned()
        };
        Err(self.error(format!("`{}` is no handle or id of an account", shown(&self.text)), suggestion))
    }

    /// The name of a host, in small letters.
    fn host(&self) -> Result<String, SyntaxError> {
        let is_host = |text: &str| {
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_' || is_combining_mark(c))
            };
            text.split('.').all(is_label)
        };
        let written = self.text.to_lowercase();
        if is_host(&written) {
            return Ok(written);
        }
        let host = written.split_once("://").map_or(written.as_str(), |(_, rest)| rest);
        let path = host.find(['/', '?', '#']).unwrap_or(host.len());
        let authority = host.get(..path).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().trim_start_matches(['*', '.']).trim_end_matches('.');
        let reason = format!("`{}` is no name of a host", shown(&self.text));
        let suggestion = if is_host(host) {
            format!("write `site:{}`, or `url:\"{}\"` for part of an address", shown(host), shown(&self.text))
        } else {
            "write it without spaces and signs, as in `site:example.com`".to_owned()
        };
        Err(self.error(reason, suggestion))
    }

    /// A value to compare with, and how.
    fn comparison<T>(&self, value: impl Fn(&str) -> Result<T, Wrong>) -> Result<Comparison<T>, SyntaxError> {
        let (operator, text) = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
        ]
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, self.text.strip_prefix(sign)?)))
        .unwrap_or((Operator::Equal, &self.text));
        let field = self.field;
        if text.starts_with(['<', '>', '=']) {
            let reason = format!("`{}` compares in no known way", shown(&self.text));
            return Err(
                self.error(reason, "the comparisons are `>`, `>=`, `<`, `<=`, and nothing for equal".to_owned())
            );
        }
        if text.trim().is_empty() {
            let reason = format!("`{field}:{}` is compared with nothing", self.text.trim());
            let suggestion = format!("write it right behind the sign, as in `{field}:{}`", example(field));
            return Err(self.error(reason, suggestion));
        }
        if let Some((low, high)) = text.split_once("..").filter(|(low, high)| !low.is_empty() && !high.is_empty()) {
            let reason = format!("`{}` is no single value", shown(text));
            let suggestion =
                format!("write `{field}:>={} {field}:<={}`", shown(low), shown(high.trim_matches(['.', '='])));
            return Err(self.error(reason, suggestion));
        }
        match value(text) {
            Ok(value) => Ok(Comparison { operator, value }),
            Err(Wrong { wanted, right }) => {
                let suggestion = match right {
                    Some(right) => format!("write `{field}:{operator}{}`", shown(&right)),
                    None => format!("write it as in `{field}:{}`", example(field)),
                };
                Err(self.error(format!("`{}` is not {wanted}", shown(text)), suggestion))
            }
        }
    }
}

/// Why there is nothing to compare with.
struct Wrong {
    /// What it has to be.
    wanted: &'static str,
    /// What was meant, if that is clear.
    right: Option<String>,
}

/// A whole number, with `_` between its digits, and `k` for thousands or `m` for millions behind them.
fn count(text: &str) -> Result<u64, Wrong> {
    let (digits, factor) = if let Some(thousands) = text.strip_suffix(['k', 'K']) {
        (thousands, 1_000)
    } else if let Some(millions) = text.strip_suffix(['m', 'M']) {
        (millions, 1_000_000)
    } else {
        (text, 1)
    };
    let is_number = |digits: &str| {
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '_')
    };
    if !is_number(digits) {
        let right = Some(digits.replace(',', "")).filter(|right| factor == 1 && is_number(right));
        return Err(Wrong { wanted: "a number", right });
    }
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or(Wrong { wanted: "a number below 2^64", right: None })
}

/// Stars from 0 to 5 with at most two decimals, in hundredths.
fn stars(text: &str) -> Result<u64, Wrong> {
    let read = |text: &str| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str, lengths: RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())
        };
        let is_number = is_digits(whole, 1..=1) && is_digits(decimals, 1..=2);
        let hundredths = format!("{whole}{decimals:0<2}").parse().ok().filter(|stars| *stars <= MAX_RATING);
        hundredths.filter(|_| is_number)
    };
    let right = || Some(text.replace(',', ".")).filter(|right| read(right).is_some());
    read(text).ok_or_else(|| Wrong { wanted: "a number from 0 to 5 with at most two decimals", right: right() })
}

/// A day, or a moment with its time zone.
fn when(text: &str) -> Result<When, Wrong> {
    let moment = |text: &str| text.parse::<Timestamp>();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape == "0000-00-00" {
        let day = text.parse::<Date>().map_err(|_| Wrong { wanted: "a day of the calendar", right: None })?;
        // A day is compared with from its first moment to that of the next.
        let next = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
        return match next {
            Ok(_) => Ok(When::Day(day)),
            Err(_) => Err(Wrong { wanted: "a day before 9999-12-30", right: None }),
        };
    }
    let right = || Some(format!("{text}Z")).filter(|right| moment(right).is_ok());
    let wanted = "a day, or a time with its zone (`2026-01-01T12:00:00Z`)";
    moment(text).map(When::Moment).map_err(|_| Wrong { wanted, right: right() })
}
