//! Where training windows are cut, against MONAI's rule written out anew.

use std::collections::BTreeMap;

use crate::support::cases::{data, fill};
use unetr_wgpu::train::data::crop::{Crop, Places};
use unetr_wgpu::train::data::random::keyed;

/// MONAI's `correct_crop_centers` and `SpatialCrop` along one axis, with numpy's arithmetic: the first voxel.
fn monai_start(centre: usize, size: usize, roi: usize) -> i64 {
    let valid_start = (roi / 2) as f64;
    let mut valid_end = (size as f64 + 1.0 - roi as f64 / 2.0).trunc();
    if valid_start == valid_end {
        valid_end += 1.0;
    }
    let centre = (centre as f64).max(valid_start).min(valid_end - 1.0) as i64;
    centre - (roi / 2) as i64
}

/// The start for a volume whose only labelled voxel is `at`.
fn start_around(at: [usize; 3], dims: [usize; 3], window: [usize; 3]) -> [i64; 3] {
    let image = vec![0.0; dims.iter().product()];
    let label = fill(1, dims, |_, voxel| u16::from(voxel == at));
    let places = Places::new(&image, &label, dims, 0.0);
    Crop::new(&data("neg = 0"), window).start(&mut keyed("test", &[]), &image, &label, dims, &places)
}

#[test]
fn centres_are_clamped_as_in_monai() {
    for size in 1..=13 {
        for roi in 1..=size {
            for centre in 0..size {
                // The three axes have different sizes, so that a mix-up shows.
                let got = start_around([0, centre, 1], [3, size, 20], [3, roi, 7]);
                let want = [0, monai_start(centre, size, roi), monai_start(1, 20, 7)];
                assert_eq!(got, want, "centre {centre} of {size}, window {roi}");
                assert!(got[1] >= 0 && got[1] as usize + roi <= size);
            }
        }
    }
}

/// How often each voxel of a volume is the start of a window of one voxel.
fn starts(text: &str, image: &[f32], label: &[u16], dims: [usize; 3], draws: u64) -> BTreeMap<[i64; 3], usize> {
    let recipe = data(text);
    let places = Places::new(image, label, dims, recipe.image_threshold);
    let crop = Crop::new(&recipe, [1; 3]);
    let mut counts = BTreeMap::new();
    for n in 0..draws {
        *counts.entry(crop.start(&mut keyed("test", &[n]), image, label, dims, &places)).or_default() += 1;
    }
    counts
}

#[test]
fn every_voxel_of_a_kind_is_equally_likely() {
    let dims = [3, 4, 5];
    // Two channels; only the second is bright somewhere.
    let image = fill(2, dims, |c, [x, _, z]| if c == 1 && x > 0 && z % 2 == 0 { 0.6 } else { 0.0 });
    let label = fill(1, dims, |_, [_, y, z]| if y == 1 && z < 3 { 7 } else { 0 });
    let at = |start: &[i64; 3]| {
        let [x, y, z] = start.map(|v| v as usize);
        (x * 4 + y) * 5 + z
    };
    let draws = 8000;
    let counts = starts("pos = 1\nneg = 3\nimage_threshold = 0.5", &image, &label, dims, draws);
    let (positive, negative): (Vec<_>, Vec<_>) = counts.iter().partition(|(start, _)| label[at(start)] > 0);
    let total = |kind: &[(&[i64; 3], &usize)]| kind.iter().map(|(_, n)| **n).sum::<usize>() as f64;
    assert!((total(&positive) / draws as f64 - 0.25).abs() < 0.02, "{}", total(&positive));
    assert_eq!(positive.len(), label.iter().filter(|v| **v > 0).count());
    let bright = |n: &usize| label[*n] == 0 && image[60 + n] > 0.5;
    assert_eq!(negative.len(), (0..60).filter(bright).count());
    assert!(negative.iter().all(|(start, _)| bright(&at(start))));
    for kind in [positive, negative] {
        let mean = total(&kind) / kind.len() as f64;
        // Six standard deviations of a count.
        assert!(kind.iter().all(|(_, n)| (**n as f64 - mean).abs() < 6.0 * mean.sqrt()), "{kind:?}");
    }
}

#[test]
fn where_one_kind_is_missing_the_other_is_taken() {
    let dims = [4, 4, 4];
    let (dark, bright) = (vec![0.0; 64], vec![1.0; 64]);
    let one = fill(1, dims, |_, at| u16::from(at == [1, 2, 3]));
    let only = |counts: BTreeMap<[i64; 3], usize>| counts.into_keys().collect::<Vec<_>>();
    assert_eq!(only(starts("pos = 0", &dark, &one, dims, 50)), [[1, 2, 3]], "nothing above the threshold");
    let none = vec![0; 64];
    let background = starts("neg = 0", &bright, &none, dims, 2000);
    assert_eq!(background.len(), 64, "nothing labelled");
    assert_eq!(starts("", &dark, &none, dims, 2000).len(), 64, "neither: anywhere");
}

#[test]
fn uniform_windows_lie_anywhere_inside() {
    let dims = [5, 3, 4];
    let (image, label) = (vec![1.0; 60], vec![1; 60]);
    let places = Places::new(&image, &label, dims, 0.0);
    let crop = Crop::new(&data("method = 'uniform'"), [3, 3, 2]);
    let mut counts: BTreeMap<[i64; 3], usize> = BTreeMap::new();
    for n in 0..9000 {
        *counts.entry(crop.start(&mut keyed("test", &[n]), &image, &label, dims, &places)).or_default() += 1;
    }
    assert_eq!(counts.len(), 3 * 3, "{counts:?}");
    for (start, n) in counts {
        assert!(start.iter().zip([2, 0, 2]).all(|(s, last)| (0..=last).contains(s)), "{start:?}");
        assert!((n as f64 - 1000.0).abs() < 200.0, "{start:?}: {n}");
    }
}

#[test]
fn small_volumes_lie_anywhere_in_the_window_or_in_its_middle() {
    let dims = [4, 9, 7];
    let (image, label) = (vec![1.0; 252], vec![1; 252]);
    let places = Places::new(&image, &label, dims, 0.0);
    let window = [9, 9, 10];
    let start = |text: &str, n: u64| {
        Crop::new(&data(text), window).start(&mut keyed("test", &[n]), &image, &label, dims, &places)
    };
    // MONAI's SpatialPad: 5 missing are 2 before and 3 after; 3 are 1 and 2.
    for method in ["pos_neg", "uniform"] {
        assert_eq!(start(&format!("pad = 'symmetric'\nmethod = '{method}'"), 0), [-2, 0, -1]);
        let seen: std::collections::BTreeSet<[i64; 3]> =
            (0..500).map(|n| start(&format!("method = '{method}'"), n)).collect();
        let want: std::collections::BTreeSet<[i64; 3]> =
            (-5..=0).flat_map(|x| (-3..=0).map(move |z| [x, 0, z])).collect();
        assert_eq!(seen, want, "{method}");
    }
}
