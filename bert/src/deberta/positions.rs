//! How far tokens are apart, as rows of a table of embeddings.

use std::ops::RangeInclusive;

use tch::{Device, Tensor};

/// Which distances are told apart, and where their embeddings are. The distance from one token to another is the
/// place of the first less the place of the second. Row `span` of the table is of distance 0; what is further away
/// than the table reaches has its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distances {
    /// Half of the rows.
    span: i64,
    /// Distances that share rows; `None` where each has its own.
    buckets: Option<Buckets>,
}

/// Up to `near`, each distance has its own bucket. From there on buckets grow, as the logarithm does, so that `furthest`
/// is in the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Buckets {
    near: i64,
    furthest: i64,
}

impl Buckets {
    /// In 32 bits, as PyTorch computes it: where a bucket begins hangs on the last of them.
    fn of(self, distance: i64) -> i64 {
        let Self { near, furthest } = self;
        if distance.abs() <= near {
            return distance;
        }
        let times = |most: i64| (most as f32 / near as f32).ln();
        let share = times(distance.abs()) / times(furthest - 1);
        distance.signum() * ((share * (near - 1) as f32).ceil() as i64 + near)
    }
}

/// The distances between the tokens of a text.
pub(super) struct Between {
    /// The rows of the table that occur.
    pub(super) rows: RangeInclusive<i64>,
    /// Which of these rows it is from each token (first dimension) to each other (second).
    pub(super) index: Tensor,
}

impl Distances {
    /// Distances below `furthest`, in so many buckets on either side. `None` where these do not fit.
    pub(super) fn new(furthest: i64, buckets: Option<i64>) -> Option<Self> {
        match buckets {
            None => (furthest >= 1).then_some(Self { span: furthest, buckets: None }),
            Some(span) => {
                let near = span / 2;
                let fits = near >= 1 && furthest - 1 > near;
                fits.then_some(Self { span, buckets: Some(Buckets { near, furthest }) })
            }
        }
    }

    /// How many rows the table has.
    pub(super) fn rows(self) -> i64 {
        2 * self.span
    }

    fn row(self, distance: i64) -> i64 {
        let bucket = self.buckets.map_or(distance, |buckets| buckets.of(distance));
        (bucket + self.span).clamp(0, self.rows() - 1)
    }

    /// The distances in a text of so many tokens.
    pub(super) fn between(self, tokens: i64, device: Device) -> Between {
        let (first, last) = (self.row(1 - tokens), self.row(tokens - 1));
        let of = |from: i64| (0..tokens).map(move |to| self.row(from - to) - first);
        let index: Vec<i64> = (0..tokens).flat_map(of).collect();
        let index = Tensor::from_slice(&index).view([tokens, tokens]).to_device(device);
        Between { rows: first..=last, index }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_buckets_each_distance_has_its_row_up_to_the_ends() {
        let distances = Distances::new(4, None).unwrap();
        let rows: Vec<i64> = (-6..=6).map(|distance| distances.row(distance)).collect();
        assert_eq!(rows, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7]);
    }

    /// What PyTorch makes of them with the settings of DeBERTa v3.
    #[test]
    fn buckets_grow_as_in_pytorch() {
        let distances = Distances::new(512, Some(256)).unwrap();
        let expected = [
            (0, 0),
            (1, 1),
            (127, 127),
            (128, 128),
            (129, 129),
            (131, 131),
            (200, 169),
            (300, 207),
            (400, 233),
            (500, 254),
            (510, 255),
            (511, 255),
        ];
        for (distance, bucket) in expected {
            assert_eq!(distances.row(distance), 256 + bucket, "{distance}");
            assert_eq!(distances.row(-distance), 256 - bucket, "-{distance}");
        }
        assert_eq!((distances.row(600), distances.row(-600)), (511, 0));
    }

    #[test]
    fn only_rows_that_occur_are_named_and_every_row_is_in_order() {
        let between = Distances::new(512, Some(256)).unwrap().between(3, Device::Cpu);
        assert_eq!(between.rows, 254..=258);
        let index: Vec<i64> = Vec::try_from(between.index.view(-1)).unwrap();
        assert_eq!(index, [2, 1, 0, 3, 2, 1, 4, 3, 2]);
        for (furthest, buckets) in [(512, Some(256)), (64, Some(16)), (9, Some(4)), (7, None)] {
            let distances = Distances::new(furthest, buckets).unwrap();
            let rows: Vec<i64> = (-600..600).map(|distance| distances.row(distance)).collect();
            assert!(rows.is_sorted());
            assert_eq!((rows.first(), rows.last()), (Some(&0), Some(&(distances.rows() - 1))));
        }
    }

    #[test]
    fn buckets_that_do_not_fit_are_none() {
        for (furthest, buckets) in [(0, None), (-1, None), (512, Some(1)), (9, Some(16)), (10, Some(-4))] {
            assert_eq!(Distances::new(furthest, buckets), None, "{furthest} {buckets:?}");
        }
    }
}
