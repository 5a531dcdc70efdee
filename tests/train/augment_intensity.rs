//! The random changes of intensity of training windows against their equations, computed anew.

use crate::support::cases::{augment, data, noise, sections};
use unetr_wgpu::train::data::augment::Augment;
use unetr_wgpu::train::data::random::keyed;

const WINDOW: [usize; 3] = [16, 32, 16];
const VOXELS: usize = 16 * 32 * 16;

/// The transforms of `[augment]`, for cases of any number of channels.
fn transforms(text: &str) -> Augment {
    let s = sections(WINDOW, |_| {});
    Augment::new(&augment(text), &data(""), &s.task, &s.input, &s.output).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The intensities of `image` changed by `text`.
fn changed(text: &str, image: &[f32], n: u64) -> Vec<f32> {
    let mut image = image.to_vec();
    transforms(text).intensity(&mut keyed("test", &[n]), &mut image);
    image
}

fn index([x, y, z]: [usize; 3]) -> usize {
    (x * WINDOW[1] + y) * WINDOW[2] + z
}

fn each_voxel(mut visit: impl FnMut([usize; 3])) {
    (0..VOXELS).for_each(|n| visit([n / 512, n / 16 % 32, n % 16]));
}

fn image(seed: usize) -> Vec<f32> {
    (0..VOXELS).map(|n| noise(n + seed * VOXELS)).collect()
}

#[test]
fn scale_and_shift_are_one_number_for_all() {
    let image = image(0);
    for n in 0..50 {
        let scaled = changed("scale_intensity = {prob = 1, factors = 0.3}", &image, n);
        let factor = scaled[0] / image[0];
        assert!((factor - 1.0).abs() <= 0.3001, "{factor}");
        assert!(scaled.iter().zip(&image).all(|(y, x)| (y - x * factor).abs() < 1e-6));
        let shifted = changed("shift_intensity = {prob = 1, offsets = 0.2}", &image, n);
        let offset = shifted[0] - image[0];
        assert!(offset.abs() <= 0.2001, "{offset}");
        assert!(shifted.iter().zip(&image).all(|(y, x)| (y - x - offset).abs() < 1e-6));
    }
    assert_eq!(changed("shift_intensity = {prob = 0, offsets = 0.2}", &image, 0), image);
}

#[test]
fn noise_is_normal_with_a_random_deviation() {
    let image = image(1);
    let mut deviations = Vec::new();
    for n in 0..20 {
        let noisy = changed("gaussian_noise = {prob = 1, std = 0.5}", &image, n);
        let added: Vec<f64> = noisy.iter().zip(&image).map(|(y, x)| f64::from(y - x)).collect();
        let moment = |k: i32| added.iter().map(|v| v.powi(k)).sum::<f64>() / VOXELS as f64;
        let deviation = moment(2).sqrt();
        assert!(moment(1).abs() < 0.06 * deviation && (moment(4) / deviation.powi(4) - 3.0).abs() < 0.4);
        assert!(moment(3).abs() < 0.2 * deviation.powi(3));
        deviations.push(deviation);
    }
    let (low, high) = deviations.iter().fold((1.0_f64, 0.0_f64), |(l, h), d| (l.min(*d), h.max(*d)));
    assert!(low < 0.15 && high > 0.35 && high < 0.52, "{low} {high}");
}

#[test]
fn smoothing_is_a_gaussian_along_each_axis() {
    let image: Vec<f32> = [image(2), image(3)].concat();
    let sigma = 0.8_f64;
    let smoothed = changed(&format!("gaussian_smooth = {{prob = 1, sigma = [{sigma}, {sigma}]}}"), &image, 0);
    // int(max(4 * 0.8, 0.5) + 0.5)
    let tail = 3_i64;
    let weights: Vec<f64> = (-tail..=tail).map(|j| (-(j * j) as f64 / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    for c in 0..2 {
        for w in [[0, 0, 0], [15, 31, 15], [7, 16, 8], [1, 30, 2], [8, 0, 15]] {
            let mut want = 0.0;
            for (i, wi) in weights.iter().enumerate() {
                for (j, wj) in weights.iter().enumerate() {
                    for (k, wk) in weights.iter().enumerate() {
                        let at = std::array::from_fn(|a| {
                            let moved = w[a] as i64 + [i, j, k][a] as i64 - tail;
                            moved.clamp(0, WINDOW[a] as i64 - 1) as usize
                        });
                        want += wi * wj * wk * f64::from(image[c * VOXELS + index(at)]);
                    }
                }
            }
            let got = f64::from(smoothed[c * VOXELS + index(w)]);
            assert!((got - want / sum.powi(3)).abs() < 1e-5, "channel {c} at {w:?}: {got} and {}", want / sum.powi(3));
        }
    }
    let constant = vec![3.0; VOXELS];
    let same = changed("gaussian_smooth = {prob = 1, sigma = [0.3, 3]}", &constant, 5);
    assert!(same.iter().all(|v| (v - 3.0).abs() < 1e-5), "a constant stays, up to the window's faces");
}

#[test]
fn contrast_is_a_power_within_each_channels_range() {
    let second: Vec<f32> = image(5).iter().map(|v| 100.0 + 7.0 * v).collect();
    let image = [image(4), second].concat();
    let adjusted = changed("adjust_contrast = {prob = 1, gamma = [2, 2]}", &image, 0);
    for (x, y) in image.chunks(VOXELS).zip(adjusted.chunks(VOXELS)) {
        let low = f64::from(x.iter().copied().fold(f32::MAX, f32::min));
        let range = f64::from(x.iter().copied().fold(f32::MIN, f32::max)) - low;
        for (x, y) in x.iter().zip(y) {
            let want = ((f64::from(*x) - low) / (range + 1e-7)).powi(2) * range + low;
            assert!((f64::from(*y) - want).abs() < 1e-4, "{x}: {y} and {want}");
        }
    }
    let flat = vec![2.5; VOXELS];
    assert_eq!(changed("adjust_contrast = {prob = 1, gamma = [0.5, 0.5]}", &flat, 0), flat);
}

#[test]
fn the_bias_field_is_the_exponential_of_a_legendre_series() {
    let image = [image(6), image(7)].concat();
    let biased = changed("bias_field = {prob = 1, degree = 3, coeff_range = [0.1, 0.1]}", &image, 0);
    let p = |i: usize, x: f64| [1.0, x, (3.0 * x * x - 1.0) / 2.0, (5.0 * x * x * x - 3.0 * x) / 2.0][i];
    each_voxel(|w| {
        let at: [f64; 3] = std::array::from_fn(|a| -1.0 + 2.0 * w[a] as f64 / (WINDOW[a] - 1) as f64);
        let mut exponent = 0.0;
        for i in 0..4 {
            for j in 0..4 - i {
                for k in 0..4 - i - j {
                    exponent += 0.1 * p(i, at[0]) * p(j, at[1]) * p(k, at[2]);
                }
            }
        }
        for c in 0..2 {
            let n = c * VOXELS + index(w);
            let want = f64::from(image[n]) * exponent.exp();
            assert!((f64::from(biased[n]) - want).abs() < 1e-5, "{w:?}: {} and {want}", biased[n]);
        }
    });
    // Coefficients are drawn, each in its range.
    let ones = vec![1.0; VOXELS];
    let field = changed("bias_field = {prob = 1, degree = 1, coeff_range = [-0.2, 0.2]}", &ones, 3);
    let log = |w| f64::from(field[index(w)]).ln();
    let slopes = [log([15, 0, 0]) - log([0; 3]), log([0, 31, 0]) - log([0; 3]), log([0, 0, 15]) - log([0; 3])];
    assert!(slopes.iter().all(|s| s.abs() <= 0.4001) && slopes.iter().any(|s| s.abs() > 0.02), "{slopes:?}");
}
