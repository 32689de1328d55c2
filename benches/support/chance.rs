//! Random numbers that are the same in every run.
#![allow(dead_code, reason = "not every bench uses all of it")]

/// xorshift64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(limit)) as u32
    }

    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        f64::from(self.below(u32::MAX)) / f64::from(u32::MAX)
    }

    /// Small numbers far more often than large ones: the cube of a uniform number.
    pub(crate) fn skewed(&mut self, limit: u32) -> u32 {
        let uniform = self.uniform();
        ((uniform * uniform * uniform * f64::from(limit)) as u32).min(limit - 1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of a list that begins with the most frequent: a rank is chosen as often as its double, as words are.
    pub(crate) fn ranked<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        let rank = (list.len() as f64).powf(self.uniform()) as usize;
        &list[rank.saturating_sub(1).min(list.len() - 1)]
    }

    /// Puts a list into another order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end as u32 + 1) as usize);
        }
    }
}
