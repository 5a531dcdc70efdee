//! The random geometry of training windows against its equations, computed anew.

use crate::support::cases::{augment, data, noise, prepared_case, sections};
use unetr_wgpu::train::data::PreparedCase;
use unetr_wgpu::train::data::augment::Augment;
use unetr_wgpu::train::data::random::keyed;

const WINDOW: [usize; 3] = [16, 32, 16];
const VOXELS: usize = 16 * 32 * 16;

/// The transforms of `[augment]`, for cases of any number of channels.
fn transforms(text: &str) -> Augment {
    let s = sections(WINDOW, |_| {});
    Augment::new(&augment(text), &data(""), &s.task, &s.input, &s.output).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A window cut by `text` with random numbers of their own for each `n`.
fn cut(text: &str, case: &PreparedCase, start: [i64; 3], n: u64) -> (Vec<f32>, Vec<u16>) {
    let mut image = Vec::new();
    let label = transforms(text).cut(&mut keyed("test", &[n]), case, start, &mut image);
    (image, label)
}

fn index([x, y, z]: [usize; 3]) -> usize {
    (x * WINDOW[1] + y) * WINDOW[2] + z
}

fn each_voxel(mut visit: impl FnMut([usize; 3])) {
    (0..VOXELS).for_each(|n| visit([n / 512, n / 16 % 32, n % 16]));
}

/// A case with labels 0 to 2 and two channels, larger than the window along two axes and smaller along one.
fn random_case() -> PreparedCase {
    let at = |[x, y, z]: [usize; 3]| (x * 50 + y) * 50 + z;
    prepared_case(2, [20, 27, 18], |c, v| noise(at(v) + c * 1_000_000), |v| (noise(at(v) * 3) * 1.5 + 1.5) as u16)
}

/// The place of a voxel in a channel, if it lies in the volume.
fn offset(case: &PreparedCase, at: [i64; 3]) -> Option<usize> {
    let axes = at.into_iter().zip(case.dims);
    axes.into_iter().try_fold(0, |n, (v, size)| {
        let v = usize::try_from(v).ok().filter(|v| *v < size)?;
        Some(n * size + v)
    })
}

/// The value at a voxel of a channel, 0 outside.
fn read(case: &PreparedCase, channel: usize, at: [i64; 3]) -> f32 {
    offset(case, at).map_or(0.0, |n| case.image[channel * case.label.len() + n])
}

fn label_at(case: &PreparedCase, at: [i64; 3]) -> u16 {
    offset(case, at).map_or(0, |n| case.label[n])
}

/// Asserts that voxel `w` of the window is the case's voxel `place(w)`.
#[track_caller]
fn assert_copied(case: &PreparedCase, (image, label): &(Vec<f32>, Vec<u16>), place: impl Fn([i64; 3]) -> [i64; 3]) {
    each_voxel(|w| {
        let at = place(w.map(|v| v as i64));
        assert_eq!(label[index(w)], label_at(case, at), "label of {w:?}");
        (0..2).for_each(|c| assert_eq!(image[c * VOXELS + index(w)], read(case, c, at), "channel {c} of {w:?}"));
    });
}

#[test]
fn a_window_is_copied_and_zero_outside() {
    let case = random_case();
    let start = [3, -4, 2];
    assert_copied(&case, &cut("", &case, start, 0), |[x, y, z]| [x + 3, y - 4, z + 2]);
    // The same through the interpolation, exactly.
    let still = cut("affine = {prob = 1}", &case, start, 0);
    assert_eq!(still, cut("", &case, start, 0));
}

#[test]
fn flips_reverse_their_axis() {
    let case = random_case();
    let flipped = |flip: &str| cut(&format!("flip = {flip}"), &case, [0, -1, 1], 0);
    assert_copied(&case, &flipped("[1, 0, 0]"), |[x, y, z]| [15 - x, y - 1, z + 1]);
    assert_copied(&case, &flipped("[0, 1, 0]"), |[x, y, z]| [x, 31 - y - 1, z + 1]);
    assert_copied(&case, &flipped("[1, 1, 1]"), |[x, y, z]| [15 - x, 31 - y - 1, 15 - z + 1]);
    let text = "flip = [0.25, 0, 0]";
    let still = cut("", &case, [0; 3], 0);
    let moved = (0..400).filter(|n| cut(text, &case, [0; 3], *n) != still).count();
    assert!((70..130).contains(&moved), "{moved} of 400 flips with probability 0.25");
}

#[test]
fn quarter_turns_are_numpys() {
    let case = random_case();
    // numpy.rot90(m, 1, axes=(0, 2))[x, y, z] = m[z, y, 15 - x].
    let turned = cut("rotate90 = {prob = 1, max_k = 1, spatial_axes = [0, 2]}", &case, [1, 2, 0], 0);
    assert_copied(&case, &turned, |[x, y, z]| [z + 1, y + 2, 15 - x]);
    // numpy.rot90(m, 1, axes=(2, 0))[x, y, z] = m[15 - z, y, x].
    let turned = cut("rotate90 = {prob = 1, max_k = 1, spatial_axes = [2, 0]}", &case, [1, 2, 0], 0);
    assert_copied(&case, &turned, |[x, y, z]| [15 - z + 1, y + 2, x]);
    // After a flip: first the flip, then the turn.
    let both = cut("flip = [1, 0, 0]\nrotate90 = {prob = 1, max_k = 1, spatial_axes = [0, 2]}", &case, [0; 3], 0);
    assert_copied(&case, &both, |[x, y, z]| [15 - z, y, 15 - x]);
    // One, two and three turns, each in a third of the cases.
    let one = |v: [i64; 3]| [v[2], v[1], 15 - v[0]];
    let mut seen = [0; 3];
    for n in 0..300 {
        let got = cut("rotate90 = {prob = 1, spatial_axes = [0, 2]}", &case, [0; 3], n);
        let same = |k: usize| {
            let place = |v: [usize; 3]| (0..k).fold(v.map(|v| v as i64), |v, _| one(v));
            (0..VOXELS).all(|n| {
                let v = [n / 512, n / 16 % 32, n % 16];
                got.0[n] == read(&case, 0, place(v))
            })
        };
        seen[(1..=3).find(|k| same(*k)).expect("a number of quarter turns") - 1] += 1;
    }
    assert!(seen.iter().all(|n| (70..130).contains(n)), "{seen:?}");
}

/// A case whose channels are the coordinates, so that a window shows where it was taken.
fn coordinates() -> PreparedCase {
    prepared_case(3, [60, 70, 60], |c, at| at[c] as f32, |_| 0)
}

/// Where each voxel of a window of [`coordinates`] was taken.
fn places(text: &str, case: &PreparedCase, start: [i64; 3], n: u64) -> Vec<[f64; 3]> {
    let (image, _) = cut(text, case, start, n);
    (0..VOXELS).map(|v| std::array::from_fn(|c| f64::from(image[c * VOXELS + v]))).collect()
}

const INSIDE: [i64; 3] = [22, 19, 22];

/// The matrix and the image of the window's centre of an affine map, and how far the places are from it.
fn fit(places: &[[f64; 3]]) -> ([[f64; 3]; 3], [f64; 3], f64) {
    let at = |w| places[index(w)];
    let step = |a: usize| {
        let mut far = [0; 3];
        far[a] = WINDOW[a] - 1;
        std::array::from_fn::<f64, 3, _>(|r| (at(far)[r] - at([0; 3])[r]) / (WINDOW[a] - 1) as f64)
    };
    let columns = [step(0), step(1), step(2)];
    let m: [[f64; 3]; 3] = std::array::from_fn(|r| std::array::from_fn(|c| columns[c][r]));
    let half: [f64; 3] = WINDOW.map(|w| (w - 1) as f64 / 2.0);
    let map = |w: [f64; 3]| -> [f64; 3] {
        std::array::from_fn(|r| at([0; 3])[r] + (0..3).map(|c| m[r][c] * w[c]).sum::<f64>())
    };
    let mut worst = 0.0_f64;
    each_voxel(|w| {
        let want = map(w.map(|v| v as f64));
        (0..3).for_each(|a| worst = worst.max((want[a] - at(w)[a]).abs()));
    });
    (m, map(half), worst)
}

#[test]
fn rotations_are_rigid_in_millimetres() {
    let mut case = coordinates();
    case.spacing = [1.0, 1.0, 2.5];
    let mut largest = 0.0_f64;
    for n in 0..40 {
        let text = "affine = {prob = 1, rotate_range = [20, 0, 0]}";
        let (m, centre, worst) = fit(&places(text, &case, INSIDE, n));
        assert!(worst < 1e-4, "not affine: {worst}");
        // About the window's centre.
        for a in 0..3 {
            assert!((centre[a] - (INSIDE[a] as f64 + (WINDOW[a] - 1) as f64 / 2.0)).abs() < 1e-4, "{centre:?}");
        }
        let angle = (m[1][1]).acos() * m[2][1].signum();
        // MONAI's create_rotate about the first axis, with steps of 1 and 2.5 mm.
        let want = [[1.0, 0.0, 0.0], [0.0, angle.cos(), -angle.sin() * 2.5], [0.0, angle.sin() / 2.5, angle.cos()]];
        for (got, want) in m.as_flattened().iter().zip(want.as_flattened()) {
            assert!((got - want).abs() < 1e-4, "{m:?}");
        }
        assert!(angle.abs() <= 20_f64.to_radians() + 1e-4);
        largest = largest.max(angle.abs());
    }
    assert!(largest > 15_f64.to_radians(), "{largest}");
    // About all axes: still rigid.
    let (m, ..) = fit(&places("affine = {prob = 1, rotate_range = [15, 15, 15]}", &case, INSIDE, 1));
    for a in 0..3 {
        for b in 0..3 {
            let dot: f64 = (0..3).map(|r| m[r][a] * m[r][b] * case.spacing[r] * case.spacing[r]).sum();
            let want = if a == b { case.spacing[a] * case.spacing[a] } else { 0.0 };
            assert!((dot - want).abs() < 1e-3, "{m:?}");
        }
    }
}

#[test]
fn scale_shear_and_shift_stay_in_their_ranges() {
    let case = coordinates();
    let mut seen = [0.0_f64; 3];
    for n in 0..40 {
        let (m, ..) = fit(&places("affine = {prob = 1, scale_range = [0.2, 0.1, 0]}", &case, INSIDE, n));
        let want = [[m[0][0], 0.0, 0.0], [0.0, m[1][1], 0.0], [0.0, 0.0, 1.0]];
        assert!(m.as_flattened().iter().zip(want.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-4), "{m:?}");
        assert!((m[0][0] - 1.0).abs() <= 0.2001 && (m[1][1] - 1.0).abs() <= 0.1001, "{m:?}");
        seen[0] = seen[0].max((m[0][0] - 1.0).abs());
        let (m, ..) = fit(&places("affine = {prob = 1, shear_range = [0, 0.1, 0, 0, 0, 0]}", &case, INSIDE, n));
        let want = [[1.0, 0.0, m[0][2]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert!(m.as_flattened().iter().zip(want.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-4), "{m:?}");
        assert!(m[0][2].abs() <= 0.1001);
        seen[1] = seen[1].max(m[0][2].abs());
        let (_, centre, _) = fit(&places("affine = {prob = 1, translate_range = [0, 3, 0]}", &case, INSIDE, n));
        let moved = centre[1] - 19.0 - 15.5;
        assert!((centre[0] - 29.5).abs() < 1e-4 && moved.abs() <= 3.001, "{centre:?}");
        seen[2] = seen[2].max(moved.abs());
    }
    assert!(seen[0] > 0.15 && seen[1] > 0.075 && seen[2] > 2.2, "{seen:?}");
}

/// `grid_sample`, trilinear with zeros outside, in f64.
fn trilinear(case: &PreparedCase, channel: usize, p: [f64; 3]) -> f64 {
    let mut sum = 0.0;
    for corner in 0..8 {
        let mut weight = 1.0;
        let at = std::array::from_fn(|a| {
            let (low, upper) = (p[a].floor(), corner >> a & 1 == 1);
            weight *= if upper { p[a] - low } else { 1.0 - (p[a] - low) };
            low as i64 + i64::from(upper)
        });
        sum += weight * f64::from(read(case, channel, at));
    }
    sum
}

#[test]
fn images_are_trilinear_and_labels_nearest() {
    let text = "flip = [0, 1, 0]\naffine = {prob = 1, rotate_range = [20, 20, 20], scale_range = [0.2, 0.2, 0.2]}";
    let case = random_case();
    for n in 0..5 {
        // The same random numbers on a volume of coordinates tell where the window was taken.
        let (m, centre, worst) = fit(&places(text, &coordinates(), INSIDE, n));
        assert!(worst < 1e-4);
        let start = [2, -3, 1];
        let (image, label) = cut(text, &case, start, n);
        let (mut border, mut ties) = (0, 0);
        each_voxel(|w| {
            let p: [f64; 3] = std::array::from_fn(|r| {
                let turned: f64 = (0..3).map(|c| m[r][c] * (w[c] as f64 - (WINDOW[c] - 1) as f64 / 2.0)).sum();
                turned + centre[r] - INSIDE[r] as f64 + start[r] as f64
            });
            border += usize::from((0..3).any(|a| p[a] < 0.0 || p[a] > (case.dims[a] - 1) as f64));
            for c in 0..2 {
                let (got, want) = (f64::from(image[c * VOXELS + index(w)]), trilinear(&case, c, p));
                assert!((got - want).abs() < 2e-4, "channel {c} of {w:?} at {p:?}: {got} and {want}");
            }
            if p.iter().any(|v| (v - v.floor() - 0.5).abs() < 1e-3) {
                ties += 1;
            } else {
                assert_eq!(label[index(w)], label_at(&case, p.map(|v| v.round() as i64)), "{w:?} at {p:?}");
            }
        });
        assert!(border > 500 && ties < VOXELS / 50, "{border} voxels beyond the volume, {ties} ties");
    }
}

#[test]
fn elastic_deformations_are_cubic_splines_of_their_size() {
    let case = coordinates();
    let (spacing, magnitude) = (8, 2.0);
    let text = format!("elastic = {{prob = 1, spacing = {spacing}, magnitude_range = [{magnitude}, {magnitude}]}}");
    let mut squares = Vec::new();
    for n in 0..30 {
        let moved: Vec<[f64; 3]> = places(&text, &case, INSIDE, n);
        let at = |w: [usize; 3], a: usize| moved[index(w)][a] - INSIDE[a] as f64 - w[a] as f64;
        for a in 0..3 {
            squares.extend([[0, 0, 0], [8, 16, 8], [8, 0, 8]].map(|knot| at(knot, a).powi(2)));
            // Between two knots a cubic: its fourth differences vanish.
            for z in 0..=3 {
                let d = [0, 1, 2, 3, 4].map(|k| at([5, 11, z + k], a));
                let fourth = d[0] - 4.0 * d[1] + 6.0 * d[2] - 4.0 * d[3] + d[4];
                assert!(fourth.abs() < 2e-4, "{fourth}");
            }
            // Smooth across knots.
            let d = [7, 8, 9].map(|y| at([5, y, 5], a));
            assert!((d[0] - 2.0 * d[1] + d[2]).abs() < 0.4, "{d:?}");
        }
    }
    // At a knot the weights along each axis are 1/6, 4/6, 1/6, whose squares sum to 1/2.
    let deviation = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
    let want = magnitude * 0.5_f64.powf(1.5);
    assert!((deviation / want - 1.0).abs() < 0.15, "{deviation} and {want}");
}

#[test]
fn cases_of_one_value_and_flat_windows_stay_finite() {
    let everything = "flip = [0.5, 0.5, 0.5]\naffine = {prob = 1, rotate_range = [180, 180, 180]}\n\
                      elastic = {prob = 1, spacing = 4, magnitude_range = [1, 1.6]}\n\
                      bias_field = {prob = 1, coeff_range = [-0.3, 0.3]}\nadjust_contrast = {prob = 1, gamma = [0.5, 2]}\n\
                      gaussian_smooth = {prob = 1, sigma = [0.3, 2]}\ngaussian_noise = {prob = 1, std = 0.1}\n\
                      scale_intensity = {prob = 1, factors = 0.1}\nshift_intensity = {prob = 1, offsets = 0.1}";
    let transforms = transforms(everything);
    for dims in [[1, 1, 1], [1, 40, 3], [50, 2, 50]] {
        let case = prepared_case(1, dims, |_, _| 1.0, |_| 1);
        for n in 0..5 {
            let (mut rng, mut image) = (keyed("test", &[n]), Vec::new());
            let label = transforms.cut(&mut rng, &case, [-3, -5, -8], &mut image);
            transforms.intensity(&mut rng, &mut image);
            assert_eq!((image.len(), label.len()), (VOXELS, VOXELS));
            assert!(image.iter().all(|v| v.is_finite()));
        }
    }
}
