//! Dates as feeds really write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

/// Month names, each by the least that tells it from the others of its language; the first
/// language that knows a word wins.
const MONTHS: &[[&str; 12]] = &[
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ["jän", "feb", "mär", "apr", "mai", "jun", "jul", "aug", "sep", "okt", "nov", "dez"],
    ["janv", "fév", "mars", "avr", "mai", "juin", "juil", "aoû", "sept", "oct", "nov", "déc"],
    ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
    ["jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"],
    ["gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"],
    ["jan", "feb", "maa", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"],
    ["sty", "lut", "mar", "kwi", "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru"],
    ["янв", "фев", "мар", "апр", "ма", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"],
    ["січ", "лют", "бер", "кві", "тра", "чер", "лип", "сер", "вер", "жов", "лис", "гру"],
    ["oca", "şub", "mar", "nis", "may", "haz", "tem", "ağu", "eyl", "eki", "kas", "ara"],
];

/// Zone names, in minutes east of Greenwich (RFC 822 and those seen in feeds).
const ZONES: &[(&str, i32)] = &[
    ("est", -300),
    ("edt", -240),
    ("cst", -360),
    ("cdt", -300),
    ("mst", -420),
    ("mdt", -360),
    ("pst", -480),
    ("pdt", -420),
    ("akst", -540),
    ("akdt", -480),
    ("hst", -600),
    ("brt", -180),
    ("wet", 0),
    ("west", 60),
    ("bst", 60),
    ("cet", 60),
    ("mez", 60),
    ("cest", 120),
    ("mesz", 120),
    ("eet", 120),
    ("eest", 180),
    ("msk", 180),
    ("trt", 180),
    ("irst", 210),
    ("ist", 330),
    ("sgt", 480),
    ("hkt", 480),
    ("kst", 540),
    ("jst", 540),
    ("aest", 600),
    ("aedt", 660),
];

/// Reads RFC 3339, RFC 822/1123/2822 and what looks like them: weekdays and months in other
/// languages, two-digit years, a missing time, seconds or zone (then UTC), 12-hour clocks.
///
/// Dates before 1971 are what programs write that know none: they are no dates.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| loose(text)).filter(|time: &Timestamp| time.as_second() >= 365 * 86_400)
}

fn loose(text: &str) -> Option<Timestamp> {
    let lower = text.to_lowercase();
    let (date, rest) = numeric_date(&lower).or_else(|| worded_date(&lower))?;
    let Some((hour, minute, second, rest)) = clock(rest) else {
        return to_utc(date.at(0, 0, 0, 0), Offset::UTC);
    };
    let hour = match (hour, rest.trim_start().get(..2)) {
        (12, Some("am")) => 0,
        (1..=11, Some("pm")) => hour + 12,
        // Midnight, as some write it.
        (24, _) => 0,
        _ => hour,
    };
    let time = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second.min(59), 0).ok()?;
    to_utc(time, zone(rest).unwrap_or(Offset::UTC))
}

fn to_utc(time: DateTime, offset: Offset) -> Option<Timestamp> {
    TimeZone::fixed(offset).to_timestamp(time).ok()
}

/// `2025-11-21`, `2025/11/21`, `20251121`; what follows it.
fn numeric_date(text: &str) -> Option<(Date, &str)> {
    let separator = text.get(4..5)?;
    let (month, day, length) = match separator {
        "-" | "/" | "." if text.get(7..8) == Some(separator) => (text.get(5..7)?, text.get(8..10)?, 10),
        _ => (text.get(4..6)?, text.get(6..8)?, 8),
    };
    let date = Date::new(text.get(..4)?.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    Some((date, text.get(length..)?.trim_start_matches(['t', ' '])))
}

/// Day, month name and year, the first two in either order; what follows them.
fn worded_date(text: &str) -> Option<(Date, &str)> {
    let (mut day, mut month) = (None, None);
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | '-' | '.' | '/');
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(separators);
        let word = rest.split(separators).next().unwrap_or_default();
        rest = rest.get(word.len()..)?;
        let digits = word.trim_end_matches(char::is_alphabetic);
        match digits.parse::<i16>() {
            Ok(number) if day.is_none() && digits.len() <= 2 => day = Some(i8::try_from(number).ok()?),
            Ok(number) if month.is_some() => {
                let year = match digits.len() {
                    // RFC 2822, section 4.3.
                    2 if number < 50 => number + 2000,
                    2 => number + 1900,
                    _ => number,
                };
                return Some((Date::new(year, month?, day?).ok()?, rest));
            }
            Ok(_) => return None,
            Err(_) => month = month_of(word).or(month),
        }
    }
    None
}

fn month_of(word: &str) -> Option<i8> {
    MONTHS.iter().find_map(|names| {
        let position = names.iter().position(|name| word.starts_with(name))?;
        i8::try_from(position + 1).ok()
    })
}

/// `9:05`, `09:05:30`, `09:05:30.123`; what follows it.
fn clock(text: &str) -> Option<(i8, i8, i8, &str)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end =
        text.get(start..)?.find(|c: char| !(c.is_ascii_digit() || c == ':')).map_or(text.len(), |end| start + end);
    let mut parts = text.get(start..end)?.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second = parts.next().map_or(Ok(0), str::parse).ok()?;
    let rest = text.get(end..)?;
    let fraction = rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    Some((hour, minute, second, fraction.unwrap_or(rest)))
}

/// `+0100`, `-03:30`, `gmt+2`, `cest`; `None` when there is no zone or an unknown one.
fn zone(text: &str) -> Option<Offset> {
    if let Some(at) = text.find(['+', '-']) {
        let sign = if text.get(at..=at) == Some("-") { -1 } else { 1 };
        let digits: String = text.get(at + 1..)?.chars().take_while(|c| c.is_ascii_digit() || *c == ':').collect();
        let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
            (Some(parts), _) => parts,
            (None, 4) => digits.split_at(2),
            _ => (digits.as_str(), "0"),
        };
        let seconds =
            hours.parse::<i32>().ok()?.checked_mul(3600)?.checked_add(minutes.parse::<i32>().ok()?.checked_mul(60)?)?;
        return Offset::from_seconds(sign * seconds).ok();
    }
    text.split(|c: char| !c.is_alphabetic()).find_map(|word| {
        let (_, minutes) = ZONES.iter().find(|(name, _)| *name == word)?;
        Offset::from_seconds(minutes * 60).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_web() {
        for (text, expected) in [
            ("2025-11-21T10:00:00Z", "2025-11-21T10:00:00Z"),
            ("2025-11-21T10:00:00.5+02:00", "2025-11-21T08:00:00.5Z"),
            ("2025-11-21T10:00:00+0200", "2025-11-21T08:00:00Z"),
            ("2025-11-21T10:00:00", "2025-11-21T10:00:00Z"),
            ("2025-11-21 10:00:00 EST", "2025-11-21T15:00:00Z"),
            ("2025-11-21", "2025-11-21T00:00:00Z"),
            ("20251121T100000", "2025-11-21T00:00:00Z"),
            ("2025/11/21 9:05", "2025-11-21T09:05:00Z"),
            ("Fri, 21 Nov 2025 10:00:00 GMT", "2025-11-21T10:00:00Z"),
            ("Fri, 21 Nov 2025 10:00:00 -0000", "2025-11-21T10:00:00Z"),
            ("Mon, 21 Nov 2025 10:00:00 +0100", "2025-11-21T09:00:00Z"),
            ("21 November 2025 10:00:00 PDT", "2025-11-21T17:00:00Z"),
            ("Fri, 21 Nov 25 10:00 UT", "2025-11-21T10:00:00Z"),
            ("Fri, 21 Nov 2025 24:00:00 Z", "2025-11-21T00:00:00Z"),
            ("Fri, 21 Nov 2025", "2025-11-21T00:00:00Z"),
            ("Friday, November 21st, 2025 9:05 PM", "2025-11-21T21:05:00Z"),
            ("Nov 21, 2025 12:30 AM GMT+2", "2025-11-20T22:30:00Z"),
            ("21-Nov-2025 10:00:00 IST", "2025-11-21T04:30:00Z"),
            ("Fr, 21 Dez 2025 10:00:00 +0100", "2025-12-21T09:00:00Z"),
            ("ven. 21 août 2025 10:00:00 CEST", "2025-08-21T08:00:00Z"),
            ("Пт, 21 ноя 2025 10:00:00 +0300", "2025-11-21T07:00:00Z"),
            ("Cum, 21 Ağu 2025 10:00:00 +0300", "2025-08-21T07:00:00Z"),
            ("pt., 21 paź 2025 10:00:00 +0200", "2025-10-21T08:00:00Z"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()), Some(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "yesterday",
            "0001-01-01T00:00:00Z",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "32 Nov 2025",
            "2025",
            "11:00",
            "+++",
            "21 nov",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([0-9]{1,5}|[-+:/., t]|nov|pm|gmt|\\PC){0,20}") {
            parse(&text);
        }
    }
}
