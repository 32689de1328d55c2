//! The query language once more, straight from its definition (docs/queries.md) and as slow as it likes: what the
//! matcher is held to. It shares no code with the matcher; words are lists, and all ways are tried.

mod names;
mod near;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::ops::Range;

use hearken::query::ast::{Clause, Comparison, Expr, Find, Form, Has, Is, Operator, Regex, When};
use hearken::query::{Field, Fields, Place};
use hearken_connectors::Kind;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use names::{cashtags, folded, handles, hashtags, is_handle};
use text::Found;
use words::{Class, Word, class, is_emoji, words};

/// What became of a clause: whether it was found, and where.
pub(crate) type Report = (Clause, bool, Vec<Place>);

/// Whether a query is true of a message, and what became of each of its clauses, from left to right.
pub(crate) fn explain(query: &Expr, fields: &Fields<'_>) -> (bool, Vec<Report>) {
    let words = [words(Field::Title, fields.title), words(Field::Text, fields.text)].concat();
    let mut reports = Vec::new();
    let is_true = Message { fields, words }.is_true(query, &mut reports);
    (is_true, reports)
}

/// A message, with the words of its title and text.
struct Message<'a> {
    fields: &'a Fields<'a>,
    words: Vec<Word>,
}

impl Message<'_> {
    /// Every part of the query is looked at, also where the answer is known before.
    fn is_true(&self, query: &Expr, reports: &mut Vec<Report>) -> bool {
        let mut each = |items: &[Expr]| -> Vec<bool> { items.iter().map(|item| self.is_true(item, reports)).collect() };
        match query {
            Expr::And(items) => !each(items).contains(&false),
            Expr::Or(items) => each(items).contains(&true),
            Expr::Not(item) => !self.is_true(item, reports),
            Expr::Near(near) => self.is_near(near, reports),
            Expr::Clause(clause) => {
                let (is_found, places) = self.find(&clause.find);
                reports.push((clause.clone(), is_found, sorted(places)));
                is_found
            }
        }
    }

    fn find(&self, find: &Find) -> (bool, Vec<Place>) {
        let fields = self.fields;
        let author = fields.author;
        let engagement = fields.engagement;
        let everywhere = [Field::Title, Field::Text];
        let is_true = |is_true: bool| (is_true, Vec::new());
        let places = match find {
            Find::Text(_) | Find::Cashtag(_) => self.places_among_words(find),
            Find::Handle(wanted) => {
                let said = whole(fields.mentioned, Field::Mentioned, |handle| is_handle(handle, wanted));
                [self.places_among_words(find), said].concat()
            }
            Find::Hashtag(wanted) => {
                let said = whole(fields.hashtags, Field::Hashtag, |hashtag| folded(hashtag) == folded(wanted));
                [self.places_among_words(find), said].concat()
            }
            Find::Raw(wanted) => everywhere.iter().flat_map(|field| self.raw(*field, wanted)).collect(),
            Find::Regex(regex) => everywhere.iter().flat_map(|field| self.regex(*field, regex)).collect(),
            Find::Author(wanted) => [
                self.whole(Field::AuthorHandle, |handle| is_handle(handle, wanted)),
                self.whole(Field::AuthorId, |id| folded(id) == folded(wanted)),
            ]
            .concat(),
            Find::AuthorName(name) => {
                let words = words(Field::AuthorName, fields.get(Field::AuthorName));
                let form = Form::Phrase(name.clone());
                text::find(&form, false, &words).into_iter().map(|found| found.place).collect()
            }
            Find::Site(site) => self.whole(Field::Url, |url| is_on(url, site)),
            Find::Url(part) => {
                let links = (0..fields.links.len()).map(Field::Link);
                std::iter::once(Field::Url).chain(links).flat_map(|field| self.address(field, part)).collect()
            }
            Find::Channel(wanted) => self.whole(Field::Channel, |channel| folded(channel) == folded(wanted)),
            Find::Source(wanted) => self.whole(Field::Source, |source| folded(source) == folded(wanted)),
            Find::Language(tag) => return is_true(fields.language == tag),
            Find::Kind(kind) => return is_true(fields.kind == Some(*kind)),
            Find::Country(code) => return is_true(fields.country == code),
            Find::Has(has) => return is_true(self.has(*has)),
            Find::Is(Is::Reply) => return is_true(fields.is_reply),
            Find::Is(Is::Repost) => return is_true(fields.kind == Some(Kind::Repost)),
            Find::Is(Is::Verified) => return is_true(author.is_some_and(|author| author.verified)),
            Find::Followers(wanted) => {
                return is_true(is_so(author.and_then(|author| author.followers), wanted));
            }
            Find::Engagement(wanted) => {
                let counts = [engagement.likes, engagement.reposts, engagement.replies, engagement.quotes];
                let known: Vec<u64> = counts.into_iter().flatten().collect();
                let sum = known.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
                return is_true(is_so((!known.is_empty()).then_some(sum), wanted));
            }
            Find::Rating(wanted) => {
                let hundredths = engagement.rating.map(|rating| (f64::from(rating) * 100.0).round() as u64);
                return is_true(is_so(hundredths, wanted));
            }
            Find::Published(wanted) => return is_true(fields.published_at.is_some_and(|at| is_then(at, wanted))),
        };
        (!places.is_empty(), places)
    }

    /// Where something is found in title and text that has a place among the words.
    fn among_words(&self, find: &Find) -> Vec<Found> {
        let name = |wanted: &String, name: &str| folded(name) == folded(wanted);
        match find {
            Find::Text(text) => {
                let all = text::find(&text.form, text.is_folded, &self.words);
                all.into_iter().filter(|found| !text.in_title || found.place.field == Field::Title).collect()
            }
            Find::Handle(wanted) => self.names(handles, |handle| is_handle(handle, wanted)),
            Find::Hashtag(wanted) => self.names(hashtags, |hashtag| name(wanted, hashtag)),
            Find::Cashtag(wanted) => self.names(cashtags, |cashtag| cashtag.eq_ignore_ascii_case(wanted)),
            _ => panic!("{find} has no place among the words"),
        }
    }

    fn places_among_words(&self, find: &Find) -> Vec<Place> {
        self.among_words(find).into_iter().map(|found| found.place).collect()
    }

    /// Names in title and text; the words of a name are those that it is written with.
    fn names(&self, names: fn(&str) -> Vec<Range<usize>>, is_wanted: impl Fn(&str) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        for field in [Field::Title, Field::Text] {
            let text = self.fields.get(field);
            for span in names(text).into_iter().filter(|span| is_wanted(&cut(text, span))) {
                let touches =
                    |word: &Word| word.field == field && word.span().start < span.end && word.span().end > span.start;
                let start = self.words.iter().position(touches).unwrap_or(0);
                let count = self.words.iter().filter(|word| touches(word)).count();
                found.push(Found { words: start..start + count, place: Place { field, span } });
            }
        }
        found
    }

    /// Exactly these characters, but not as a part of a longer word.
    fn raw(&self, field: Field, wanted: &str) -> Vec<Place> {
        let text: Vec<char> = self.fields.get(field).chars().collect();
        let wanted: Vec<char> = wanted.chars().collect();
        let is_word = |c: Option<&char>| {
            c.is_some_and(|c| c.is_alphanumeric() && matches!(class(*c), Class::Letter | Class::Hangul))
        };
        let is_whole = |span: &Range<usize>| {
            let before = span.start.checked_sub(1).and_then(|before| text.get(before));
            let goes_on_before = is_word(wanted.first()) && is_word(before);
            let goes_on_after = is_word(wanted.last()) && is_word(text.get(span.end));
            !goes_on_before && !goes_on_after
        };
        find_all(&text, &wanted).into_iter().filter(is_whole).map(|span| Place { field, span }).collect()
    }

    fn regex(&self, field: Field, regex: &Regex) -> Vec<Place> {
        let text = self.fields.get(field);
        let compiled = regex::RegexBuilder::new(&regex.pattern).case_insensitive(regex.ignores_case).build().unwrap();
        let characters = |bytes: usize| text[..bytes].chars().count();
        let places = compiled.find_iter(text);
        places.map(|found| Place { field, span: characters(found.start())..characters(found.end()) }).collect()
    }

    /// Part of an address, in upper or lower case.
    fn address(&self, field: Field, part: &str) -> Vec<Place> {
        let lower = |text: &str| text.to_ascii_lowercase().chars().collect::<Vec<char>>();
        let spans = find_all(&lower(self.fields.get(field)), &lower(part));
        spans.into_iter().map(|span| Place { field, span }).collect()
    }

    fn has(&self, has: Has) -> bool {
        let texts = [self.fields.title, self.fields.text];
        match has {
            Has::Link => {
                let begins = ["http://", "https://", "www."];
                let is_link = |text: &str| begins.iter().any(|begin| text.to_ascii_lowercase().contains(begin));
                !self.fields.links.is_empty() || texts.into_iter().any(is_link)
            }
            Has::Media => self.fields.has_media,
            Has::Emoji => texts.into_iter().any(has_emoji),
        }
    }

    /// All of a field, where it is what is wanted.
    fn whole(&self, field: Field, is_wanted: impl Fn(&str) -> bool) -> Vec<Place> {
        let text = self.fields.get(field);
        let place = Place { field, span: 0..text.chars().count() };
        Some(place).filter(|_| !text.is_empty() && is_wanted(text)).into_iter().collect()
    }
}

/// Those of a list that are wanted.
fn whole(list: &[String], field: fn(usize) -> Field, is_wanted: impl Fn(&str) -> bool) -> Vec<Place> {
    let items = list.iter().enumerate().filter(|(_, item)| is_wanted(item));
    items.map(|(index, item)| Place { field: field(index), span: 0..item.chars().count() }).collect()
}

/// Each place once, in the order of the fields.
fn sorted(mut places: Vec<Place>) -> Vec<Place> {
    places.sort_by_key(|place| (place.field, place.span.start, place.span.end));
    places.dedup();
    places
}

fn cut(text: &str, span: &Range<usize>) -> String {
    text.chars().skip(span.start).take(span.len()).collect()
}

/// All places of one list in another, overlapping ones too.
fn find_all(text: &[char], wanted: &[char]) -> Vec<Range<usize>> {
    let starts = (0..text.len()).filter(|start| text[*start..].starts_with(wanted));
    starts.map(|start| start..start + wanted.len()).collect()
}

/// Whether an address is on a host, or on one below it.
fn is_on(url: &str, site: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let server = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = server.rsplit('@').next().unwrap_or("").split(':').next().unwrap_or("").to_lowercase();
    let site = site.to_lowercase();
    host == site || host.ends_with(&format!(".{site}"))
}

fn has_emoji(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let is_pictograph = |c: &char| matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1fbff}');
    chars.iter().any(is_pictograph) || chars.windows(2).any(|two| is_emoji(two[0]) && two[1] == '\u{fe0f}')
}

fn is_so(value: Option<u64>, wanted: &Comparison<u64>) -> bool {
    value.is_some_and(|value| compare(value, wanted.operator, wanted.value))
}

/// A day is compared with the day (UTC), a time with the time.
fn is_then(at: Timestamp, wanted: &Comparison<When>) -> bool {
    match wanted.value {
        When::Day(day) => compare(at.to_zoned(TimeZone::UTC).date(), wanted.operator, day),
        When::Moment(moment) => compare(at, wanted.operator, moment),
    }
}

fn compare<T: Ord>(value: T, operator: Operator, wanted: T) -> bool {
    match operator {
        Operator::Equal => value == wanted,
        Operator::Less => value < wanted,
        Operator::AtMost => value <= wanted,
        Operator::Greater => value > wanted,
        Operator::AtLeast => value >= wanted,
    }
}
