//! The rate limit: a bucket for each token, and for each address where there is none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who is limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A token, by id.
    Token(String),
    /// An address from which no valid token came.
    Address(IpAddr),
}

impl Key {
    /// An address; of IPv6 the network of 64 bits, which is what one household gets.
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() >> 64 << 64).to_be_bytes()),
            v4 => v4,
        })
    }
}

/// Lets every key do `burst` requests at once and one more each `interval`
/// (the generic cell rate algorithm of ITU-T I.371: a key has a theoretical time of its next request).
///
/// The crate `governor` does the same, but its keyed stores tell no known key from a new one: with them, whoever comes
/// from many addresses would either grow the map without bound or shut out those who are known.
pub(super) struct RateLimit {
    interval: Duration,
    burst: u32,
    next: Mutex<HashMap<Key, Instant>>,
}

/// The most keys that are remembered; those that have been idle are forgotten first.
const KEYS: usize = 50_000;

impl RateLimit {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), burst, next: Mutex::default() }
    }

    /// Counts a request, or says how long to wait.
    pub(super) fn admit(&self, key: Key) -> Result<(), Duration> {
        self.admit_at(key, Instant::now())
    }

    fn admit_at(&self, key: Key, now: Instant) -> Result<(), Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.len() >= KEYS && !next.contains_key(&key) {
            next.retain(|_, at| *at > now);
            // As many busy keys as that are an attack: nobody new gets in for a moment.
            if next.len() >= KEYS {
                return Err(self.interval * self.burst);
            }
        }
        let due = next.get(&key).copied().unwrap_or(now).max(now);
        let ahead = due.duration_since(now);
        let allowed = self.interval * self.burst.saturating_sub(1);
        if ahead > allowed {
            return Err(ahead - allowed);
        }
        next.insert(key, due + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(last: u8) -> Key {
        Key::Address(IpAddr::from([127, 0, 0, last]))
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let (limit, start) = (RateLimit::new(10, 5), Instant::now());
        for _ in 0..5 {
            limit.admit_at(key(1), start).unwrap();
        }
        assert_eq!(limit.admit_at(key(1), start), Err(Duration::from_millis(100)));
        limit.admit_at(key(2), start).unwrap();
        limit.admit_at(key(1), start + Duration::from_millis(100)).unwrap();
        assert!(limit.admit_at(key(1), start + Duration::from_millis(100)).is_err());
        for _ in 0..5 {
            limit.admit_at(key(1), start + Duration::from_secs(60)).unwrap();
        }
        assert!(limit.admit_at(key(1), start + Duration::from_secs(60)).is_err());
    }
}
