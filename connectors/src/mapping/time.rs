//! Dates as exports write them.

use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::record::Value;

/// How Twitter's API v1.1 writes `created_at`: `Wed Oct 10 20:19:24 +0000 2018`.
const TWITTER: &str = "%a %b %d %H:%M:%S %z %Y";

/// How dates are written in an export.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeFormat {
    /// RFC 3339 and its relatives, RFC 2822, Twitter's, Unix time by its size.
    Detect,
    /// A strptime pattern.
    Pattern(String),
}

impl TimeFormat {
    /// Checks a strptime pattern; the error says what is wrong with it.
    pub(super) fn pattern(pattern: &str) -> Result<Self, String> {
        strtime::format(pattern, &Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC))
            .map_err(|error| error.to_string())?;
        Ok(Self::Pattern(pattern.to_owned()))
    }

    /// The instant that a value means; without an offset it is UTC.
    pub(super) fn read(&self, value: &Value<'_>) -> Option<Timestamp> {
        match (self, value) {
            (Self::Pattern(pattern), Value::Text(text)) => by_pattern(pattern, text.trim()),
            (Self::Pattern(pattern), Value::Int(number)) => by_pattern(pattern, &number.to_string()),
            (Self::Detect, Value::Text(text)) => detect(text.trim()),
            (Self::Detect, Value::Int(number)) => from_unix(*number),
            (Self::Detect, Value::Float(number)) => from_unix_float(*number),
            _ => None,
        }
    }
}

fn detect(text: &str) -> Option<Timestamp> {
    let first = text.bytes().next()?;
    if first.is_ascii_alphabetic() {
        return if text.contains(',') { from_rfc2822(text) } else { by_pattern(TWITTER, text) };
    }
    if text.bytes().skip(1).all(|byte| byte.is_ascii_digit()) {
        return from_unix(text.parse().ok()?);
    }
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(utc))
        .or_else(|| by_pattern("%Y-%m-%d %H:%M:%S %z", text))
        .or_else(|| from_unix_float(text.parse().ok()?))
        .or_else(|| from_rfc2822(text))
}

fn from_rfc2822(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}

fn by_pattern(pattern: &str, text: &str) -> Option<Timestamp> {
    let parsed = strtime::parse(pattern, text).ok()?;
    if let Ok(timestamp) = parsed.to_timestamp() {
        return Some(timestamp);
    }
    let datetime = parsed.to_datetime().or_else(|_| parsed.to_date().map(|date| date.to_datetime(Default::default())));
    datetime.ok().and_then(utc)
}

fn utc(datetime: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(datetime).ok()
}

/// Unix time in seconds, milliseconds, microseconds or nanoseconds: in each unit the years 1973 to
/// 5138 have numbers that the next unit uses only for the first weeks of 1970.
fn from_unix(number: i64) -> Option<Timestamp> {
    match number.unsigned_abs() {
        0..100_000_000_000 => Timestamp::from_second(number).ok(),
        100_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(number).ok(),
        100_000_000_000_000..100_000_000_000_000_000 => Timestamp::from_microsecond(number).ok(),
        _ => Timestamp::from_nanosecond(number.into()).ok(),
    }
}

/// Unix time with a fraction; a float has too few digits for anything finer than milliseconds.
#[allow(clippy::cast_possible_truncation)]
fn from_unix_float(number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number.abs() >= 1e14 {
        return None;
    }
    let milliseconds = if number.abs() < 1e11 { number * 1000.0 } else { number };
    Timestamp::from_millisecond(milliseconds.round() as i64).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(text: &str) -> Option<String> {
        TimeFormat::Detect.read(&Value::Text(text.into())).map(|timestamp| timestamp.to_string())
    }

    #[test]
    fn dates_are_detected() {
        for same in [
            "2018-10-10T20:19:24Z",
            "2018-10-10t22:19:24+02:00",
            "2018-10-10 20:19:24Z",
            "2018-10-10T20:19:24",
            "2018-10-10 20:19:24",
            "2018-10-10 13:19:24 -0700",
            " 2018-10-10 13:19:24-07:00 ",
            "Wed, 10 Oct 2018 20:19:24 GMT",
            "10 Oct 2018 22:19:24 +0200",
            "Wed Oct 10 20:19:24 +0000 2018",
            "1539202764",
            "1539202764000",
            "1539202764000000",
            "1539202764.0",
        ] {
            assert_eq!(text(same).as_deref(), Some("2018-10-10T20:19:24Z"), "{same}");
        }
        assert_eq!(text("2018-10-10").as_deref(), Some("2018-10-10T00:00:00Z"));
        assert_eq!(text("1539202764.25").as_deref(), Some("2018-10-10T20:19:24.25Z"));
        assert_eq!(text("-86400").as_deref(), Some("1969-12-31T00:00:00Z"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for odd in
            ["", " ", "yesterday", "2018-13-40", "NaN", "inf", "1e300", "10/10/2018", "-", "+", "99999999999999999999"]
        {
            assert_eq!(text(odd), None, "{odd}");
        }
        assert_eq!(TimeFormat::Detect.read(&Value::Bool(true)), None);
        assert_eq!(TimeFormat::Detect.read(&Value::Float(f64::NAN)), None);
    }

    #[test]
    fn numbers_are_unix_time_by_size() {
        let read = |number| TimeFormat::Detect.read(&Value::Int(number)).unwrap().to_string();
        assert_eq!(read(1_539_202_764), "2018-10-10T20:19:24Z");
        assert_eq!(read(1_539_202_764_500), "2018-10-10T20:19:24.5Z");
        assert_eq!(read(1_539_202_764_000_000_000), "2018-10-10T20:19:24Z");
    }

    #[test]
    fn a_pattern_reads_odd_dates() {
        let format = TimeFormat::pattern("%d.%m.%Y %H:%M").unwrap();
        let read =
            |text: &str| format.read(&Value::Text(text.to_owned().into())).map(|timestamp| timestamp.to_string());
        assert_eq!(read("24.02.2015 11:15").as_deref(), Some("2015-02-24T11:15:00Z"));
        assert_eq!(read("2015-02-24"), None);
        let date = TimeFormat::pattern("%d/%m/%Y").unwrap();
        assert_eq!(date.read(&Value::Text("24/02/2015".into())).unwrap().to_string(), "2015-02-24T00:00:00Z");
        assert!(TimeFormat::pattern("%!").is_err());
    }
}
