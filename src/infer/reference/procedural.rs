//! Numbers by a formula, so that a reference file is small: parameters and inputs are computed, results are sampled and
//! gradients are projected.

/// The next number of splitmix64 (Steele et al., OOPSLA 2014) from state `s`.
fn splitmix64(s: u64) -> u64 {
    let mut z = s.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a of a name.
fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

/// 64 bits for each element of what has this name.
fn bits(name: &str, seed: u64) -> impl Fn(usize) -> u64 + use<> {
    let base = fnv1a64(name).wrapping_add(seed);
    move |i| splitmix64(base.wrapping_add(i as u64))
}

/// `count` numbers in `[lo, hi)`, before they are rounded to single precision.
pub fn draw(name: &str, count: usize, seed: u64, (lo, hi): (f64, f64)) -> impl Iterator<Item = f64> {
    let bits = bits(name, seed);
    (0..count).map(move |i| lo + (hi - lo) * ((bits(i) >> 40) as f64 / (1u64 << 24) as f64))
}

/// The most elements of a tensor that are stored where the file does not say how many.
pub const SAMPLES: usize = 4096;

/// Which of a tensor's `elements` are stored: `most`, or as many as it has.
pub fn samples(name: &str, elements: usize, seed: u64, most: usize) -> impl Iterator<Item = usize> {
    let bits = bits(&format!("at.{name}"), seed);
    (0..elements.min(most)).map(move |j| ((bits(j) >> 11) as f64 / (1u64 << 53) as f64 * elements as f64) as usize)
}

/// Numbers of a gradient that are stored after its length and its sum.
pub const PROJECTIONS: usize = 16;

/// Length, sum, and sums under sixteen patterns of signs.
pub fn projections(name: &str, gradient: &[f32], seed: u64) -> Vec<f64> {
    let values = || gradient.iter().map(|v| f64::from(*v));
    let mut made = vec![values().map(|v| v * v).sum::<f64>().sqrt(), values().sum()];
    made.extend((0..PROJECTIONS).map(|k| {
        let bits = bits(&format!("project.{k}.{name}"), seed);
        values().enumerate().map(|(i, v)| if bits(i) >> 63 == 0 { v } else { -v }).sum::<f64>()
    }));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_formula() {
        // splitmix64's first number for seed 0 is e220a8397b1dcdaf; FNV-1a of "a" is af63dc4c8601ec8c.
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(fnv1a64("a"), 0xaf63_dc4c_8601_ec8c);
        assert!(draw("x", 1000, 3, (-0.5, 2.0)).all(|v| (-0.5..2.0).contains(&v)));
        assert!(samples("x", 10_000, 3, SAMPLES).all(|at| at < 10_000));
        assert_eq!(samples("x", 10_000, 3, 64).count(), 64);
        let made = projections("x", &[3.0, -4.0], 1);
        assert_eq!((made[0], made[1], made.len()), (5.0, -1.0, 18));
        assert!(made[2..].iter().all(|p| [1.0, 7.0].contains(&p.abs())));
    }
}
