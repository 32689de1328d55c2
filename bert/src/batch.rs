//! Texts put together so that little is computed for nothing.

use std::collections::HashMap;
use std::hash::Hash;

/// Each text once, and for each text that was given, which of them it is.
pub fn distinct<T: Hash + Eq + Clone>(texts: &[T]) -> (Vec<T>, Vec<usize>) {
    let mut places = HashMap::new();
    let mut each = Vec::new();
    let which = texts.iter().map(|text| {
        *places.entry(text.clone()).or_insert_with(|| {
            each.push(text.clone());
            each.len() - 1
        })
    });
    let which = which.collect();
    (each, which)
}

/// Batches of indices into `lengths`, of like length, the shortest first. A batch has at most `rows` rows, and at
/// most `tokens` tokens with its padding, unless it is a single row.
pub fn of_like_length(lengths: &[usize], rows: usize, tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, usize)> =
        lengths.iter().copied().enumerate().map(|(index, length)| (length, index)).collect();
    order.sort_unstable();
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for (length, index) in order {
        match batches.last_mut() {
            // The newest row is the longest, so it says how wide the batch is.
            Some(batch) if batch.len() < rows && (batch.len() + 1) * length <= tokens => batch.push(index),
            _ => batches.push(vec![index]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_kept_once_and_found_again() {
        let texts = ["a", "b", "a", "c", "b"];
        let (each, which) = distinct(&texts);
        assert_eq!(each, ["a", "b", "c"]);
        assert_eq!(which, [0, 1, 0, 2, 1]);
    }

    #[test]
    fn batches_hold_every_row_once_and_keep_their_bounds() {
        // Lengths from a linear congruential generator.
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let lengths: Vec<usize> = (0..next(60)).map(|_| next(100) as usize).collect();
            let (rows, tokens) = (1 + next(20) as usize, 1 + next(500) as usize);
            let batches = of_like_length(&lengths, rows, tokens);
            let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let widest = batch.iter().filter_map(|index| lengths.get(*index)).max().copied().unwrap_or(0);
                assert!(!batch.is_empty() && batch.len() <= rows);
                assert!(batch.len() == 1 || batch.len() * widest <= tokens);
            }
        }
    }
}
