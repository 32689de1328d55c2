//! Durations and sizes the way people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Reads a duration such as `5m`, `1h 30m` or `30d`. A day has 24 hours; months and years have no
/// fixed length and are refused.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a duration is a number with a unit: `500ms`, `30s`, `5m`, `2h`, `30d`, `4w`";
    let span: Span = text.trim().parse().map_err(|_| EXPECTED)?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| EXPECTED)?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative")
}

/// Reads a number of bytes such as `512MiB` or `2GB`; `k`, `M`, `G`, `T` count in thousands, with
/// `i` in 1024s (IEC 80000-13).
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a size is a number with a unit: `64KiB`, `512MiB`, `20GiB`, `1.5TB`";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or(EXPECTED)?;
    let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        "tb" => 1_000_000_000_000,
        "tib" => 1 << 40,
        _ => return Err(EXPECTED),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).ok_or("the size is larger than any disk");
    }
    let number: f64 = number.parse().map_err(|_| EXPECTED)?;
    // 2^53 is exact in f64 and already nine petabytes.
    let size = (number * scale as f64).round();
    if size <= 9_007_199_254_740_992.0 { Ok(size as u64) } else { Err("the size is larger than any disk") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_human_units() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h 30m", 5400), ("30d", 2_592_000), ("2w", 1_209_600)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "5 parsecs", "-5m", "1 month", "2 years", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_in_human_units() {
        let sizes =
            [("1B", 1), ("64KiB", 65_536), ("2 GiB", 2_147_483_648), ("1.5kB", 1_500), ("3TB", 3_000_000_000_000)];
        for (text, size) in sizes {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "5", "GiB", "1..2GB", "5 bananas", "99999999999TiB", "1e5MB", "９GB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
