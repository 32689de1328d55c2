//! Filters that are decided by the message itself, not by what is found in it.

use hearken_connectors::Kind;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ast::{Comparison, Find, Has, Is, Operator, When};
use super::fields::Fields;
use super::script::{Class, class};

/// Whether a filter is true of a message. What the source does not say is not found.
pub(super) fn holds(find: &Find, fields: &Fields<'_>) -> bool {
    let engagement = &fields.engagement;
    match find {
        Find::Language(tag) => fields.language == tag,
        Find::Country(code) => fields.country == code,
        Find::Kind(kind) => fields.kind == Some(*kind),
        Find::Has(Has::Link) => !fields.links.is_empty() || [fields.title, fields.text].into_iter().any(has_link),
        Find::Has(Has::Media) => fields.has_media,
        Find::Has(Has::Emoji) => [fields.title, fields.text].into_iter().any(has_emoji),
        Find::Is(Is::Reply) => fields.is_reply,
        Find::Is(Is::Repost) => fields.kind == Some(Kind::Repost),
        Find::Is(Is::Verified) => fields.author.is_some_and(|author| author.verified),
        Find::Followers(comparison) => {
            fields.author.and_then(|author| author.followers).is_some_and(|n| comparison.holds(n))
        }
        Find::Engagement(comparison) => {
            let counted = [engagement.likes, engagement.reposts, engagement.replies, engagement.quotes];
            counted.iter().any(Option::is_some)
                && comparison.holds(counted.into_iter().flatten().fold(0, u64::saturating_add))
        }
        Find::Rating(comparison) =>
        {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "stars are few, and casts saturate"
            )]
            engagement.rating.is_some_and(|stars| comparison.holds((stars * 100.0).round() as u64))
        }
        Find::Published(Comparison { operator, value }) => {
            fields.published_at.is_some_and(|published| is_at(published, *operator, *value))
        }
        // Found by the automaton, or by the expression.
        Find::Text(_)
        | Find::Handle(_)
        | Find::Hashtag(_)
        | Find::Cashtag(_)
        | Find::Raw(_)
        | Find::Regex(_)
        | Find::Author(_)
        | Find::AuthorName(_)
        | Find::Site(_)
        | Find::Url(_)
        | Find::Channel(_)
        | Find::Source(_) => false,
    }
}

impl Comparison<u64> {
    fn holds(self, number: u64) -> bool {
        match self.operator {
            Operator::Equal => number == self.value,
            Operator::Less => number < self.value,
            Operator::AtMost => number <= self.value,
            Operator::Greater => number > self.value,
            Operator::AtLeast => number >= self.value,
        }
    }
}

fn is_at(published: Timestamp, operator: Operator, when: When) -> bool {
    // From `start` until before `end`; a moment that cannot be told is later than all others.
    let (start, end) = match when {
        When::Moment(moment) => {
            (moment, moment.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX))
        }
        When::Day(day) => {
            let midnight =
                |day: jiff::civil::Date| day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |at| at.timestamp());
            (midnight(day), day.tomorrow().map_or(Timestamp::MAX, midnight))
        }
    };
    match operator {
        Operator::Equal => start <= published && published < end,
        Operator::Less => published < start,
        Operator::AtMost => published < end,
        Operator::Greater => published >= end,
        Operator::AtLeast => published >= start,
    }
}

fn has_link(text: &str) -> bool {
    let starts = ["http://", "https://", "www."];
    let bytes = text.as_bytes();
    let begins = |at: usize, start: &str| {
        bytes.get(at..at + start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
    };
    (0..bytes.len()).any(|at| starts.iter().any(|start| begins(at, start)))
}

/// Symbols count as emoji only where a variation selector asks for the picture.
fn has_emoji(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let before = std::mem::replace(&mut before, c);
        matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1fbff}')
            || (c == '\u{fe0f}' && class(before) == Class::Emoji)
    })
}
