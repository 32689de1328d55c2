//! Exponential and logarithm from additions, multiplications and divisions alone, and a checksum.
//!
//! The operations of IEEE 754 give the same bits everywhere; the `exp` and `ln` of the system's
//! library do not. Scores have to be the same on every machine, so they use these.

/// Coefficients of the exponential's Taylor series, from 1/0! on.
const INVERSE_FACTORIALS: [f64; 14] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
    1.0 / 40320.0,
    1.0 / 362880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// e to the power of `x`, with a relative error below 1e-10 for |x| < 700.
pub(crate) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let x = x.clamp(-700.0, 700.0);
    let power = (x * std::f64::consts::LOG2_E) as i32;
    let rest = x - f64::from(power) * std::f64::consts::LN_2;
    let sum = INVERSE_FACTORIALS.iter().rev().fold(0.0, |sum, coefficient| sum * rest + coefficient);
    // 2^power, written into the exponent: |power| <= 1010.
    sum * f64::from_bits(((1023 + power) as u64) << 52)
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo). A change of one byte always changes it.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Natural logarithm of a positive, finite number, with an absolute error below 1e-12; negative
/// infinity for anything else.
pub(crate) fn ln(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return f64::NEG_INFINITY;
    }
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * 2f64.powi(60), 60) } else { (x, 0) };
    let bits = x.to_bits();
    let power = (bits >> 52) as i64 - 1023 - shift;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // ln m = 2 artanh((m - 1) / (m + 1)), with m drawn to 1/√2..√2 so that the series is short.
    let (mantissa, power) =
        if mantissa > std::f64::consts::SQRT_2 { (mantissa / 2.0, power + 1) } else { (mantissa, power) };
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let mut term = ratio;
    let mut sum = ratio;
    for n in 1..=10 {
        term *= ratio * ratio;
        sum += term / f64::from(2 * n + 1);
    }
    2.0 * sum + power as f64 * std::f64::consts::LN_2
}

/// Probabilities in proportion to e^logit; all 0 where there are none.
pub(crate) fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = exp(f64::from(*logit - highest)) as f32;
        sum += *logit;
    }
    for logit in logits {
        *logit /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        for step in -600..=600 {
            let x = f64::from(step) / 7.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-10, "exp {x}");
            assert!((ln(x.exp()) - x).abs() < 1e-12 * x.abs().max(1.0), "ln of exp {x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!(exp(-1e9) < 1e-300 && exp(1e9).is_finite());
    }

    #[test]
    fn softmax_sums_to_one() {
        let mut values = [1.0, 2.0, -1000.0];
        softmax(&mut values);
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(values[1] > values[0] && values[2] == 0.0);
    }
}
