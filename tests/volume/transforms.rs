//! Preprocessing and its inverse against MONAI and against itself.

use crate::support::golden;
use serde_json::Value;
use unetr_wgpu::volume::resample::{Grid, sample_linear, sample_nearest, solve, spacing_grid};
use unetr_wgpu::volume::steps::{
    CropForeground, NormalizeIntensity, Orient, PaddingMode, ScaleIntensityRange, Spacing,
};
use unetr_wgpu::volume::{Affine, LabelMap, Orientation, Preprocess, Preprocessed, Volume, VolumeError, nifti};

fn scan(name: &str) -> Volume {
    let bytes = golden::bytes(&format!("golden/transforms/{name}"));
    nifti::read(&bytes, None, &Default::default()).expect("a readable scan").volume
}

fn labels(name: &str) -> LabelMap {
    let bytes = golden::bytes(&format!("golden/transforms/{name}"));
    nifti::read_labels(&bytes, None, &Default::default()).expect("readable labels").labels
}

fn assert_affine(what: &str, got: &Affine, expected: &[f64]) {
    for (got, expected) in got.0.iter().flatten().zip(expected) {
        assert!((got - expected).abs() <= 1e-6, "{what}: {got} instead of {expected}");
    }
}

fn triple(file: &[u8], name: &str) -> Vec<usize> {
    golden::tensor(file, name).1.iter().map(|v| *v as usize).collect()
}

/// A box of a volume, voxel by voxel.
fn inside(values: &[f64], dims: &[usize], start: &[usize], size: &[usize]) -> (Vec<usize>, Vec<f64>) {
    let mut out = Vec::new();
    for x in start[0]..start[0] + size[0] {
        for y in start[1]..start[1] + size[1] {
            out.extend((start[2]..start[2] + size[2]).map(|z| values[(x * dims[1] + y) * dims[2] + z]));
        }
    }
    (size.to_vec(), out)
}

#[test]
fn equal_monai_in_six_orientations() {
    let cases: Value = serde_json::from_slice(&golden::bytes("golden/transforms/transforms.json")).unwrap();
    let cases = cases.as_array().expect("a list of cases");
    assert_eq!(cases.len(), 6);
    let mut compared = 0;
    for case in cases {
        let text = |key: &str| case[key].as_str().expect(key);
        let number = |v: &Value| v.as_f64().expect("a number");
        let spacing = std::array::from_fn(|a| number(&case["target_spacing_mm"][a]));
        let window: [f64; 4] = std::array::from_fn(|a| number(&case["intensity"][a]));
        let image = scan(text("image"));
        let label = labels(text("label"));
        assert_eq!(Orientation::of(&image.affine).codes(), text("orientation"), "{}", text("image"));
        for (crop_foreground, file) in [(false, text("ras")), (true, text("crop"))] {
            // A crop is kept as its place in the whole: MONAI's voxels are the same.
            let whole = golden::bytes(&format!("golden/transforms/{}", text("ras")));
            let expected = golden::bytes(&format!("golden/transforms/{file}"));
            let cut = |name: &str| {
                let (shape, values) = golden::tensor(&whole, name);
                match crop_foreground {
                    false => (shape[1..].to_vec(), values),
                    true => inside(&values, &shape[1..], &triple(&expected, "start"), &triple(&expected, "size")),
                }
            };
            let [a_min, a_max, b_min, b_max] = window;
            let scale = ScaleIntensityRange { a_min, a_max, b_min, b_max, clip: true };
            let mut settings = Preprocess::new([Orient::to("RAS").into(), Spacing::to(spacing).into(), scale.into()]);
            settings.steps.extend(crop_foreground.then(|| CropForeground::default().into()));
            let got = settings.apply(&image).expect("an applicable recipe");
            let (shape, values) = cut("image");
            assert_eq!(shape, got.volume.dims, "{file}");
            assert_affine(file, &got.volume.affine, &golden::tensor(&expected, "affine").1);
            assert_affine(file, &got.geometry.model_affine(), &golden::tensor(&expected, "affine").1);
            let worst = got.volume.data.iter().zip(&values).map(|(&g, e)| (f64::from(g) - e).abs()).fold(0.0, f64::max);
            assert!(worst <= 1e-4, "{file}: image differs by {worst}");

            let moved = got.geometry.apply_labels(&label).expect("labels of the same grid");
            let (_, values) = cut("label");
            let [_, ny, nz] = moved.dims;
            for (at, (&g, e)) in moved.data.iter().zip(&values).enumerate() {
                let index = [at / (ny * nz), at / nz % ny, at % nz];
                compared += 1;
                assert_eq!(f64::from(g), *e, "{file}: label of voxel {index:?}");
            }
        }
    }
    assert!(compared > 50_000, "{compared} labels compared, exact ties included");
}

#[test]
fn orientation_example_of_the_reference() {
    let affine = Affine::from_rows([[-0.8, 0.0, 0.0, 100.0], [0.0, -0.8, 0.0, 120.0], [0.0, 0.0, 3.0, -30.0]]);
    let turn = Orientation::of(&affine).turn_to(&Orientation::from_codes("RAS").unwrap());
    assert_eq!((turn.source, turn.flip), ([0, 1, 2], [true, true, false]));
    let origin = turn.affine(&affine, [40, 37, 21]).origin();
    for (got, expected) in origin.iter().zip([68.8, 91.2, -30.0]) {
        assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    }
}

#[test]
fn every_orientation_turns_to_every_other_and_back() {
    let dims = [3, 4, 5];
    let data: Vec<u16> = (0..60).collect();
    let all = all_codes();
    assert_eq!(all.len(), 48);
    for from in &all {
        for to in &all {
            let (a, b) = (Orientation::from_codes(from).unwrap(), Orientation::from_codes(to).unwrap());
            assert_eq!(&a.codes(), from);
            let (there, back) = (a.turn_to(&b), b.turn_to(&a));
            let turned = there.apply(&data, dims);
            assert_eq!(back.apply(&turned, there.dims(dims)), data, "{from} to {to} and back");
            let round = there.to_source(dims).then_after(&there.to_result(dims));
            assert_eq!(round, Affine::IDENTITY, "{from} to {to}");
        }
    }
}

fn all_codes() -> Vec<String> {
    let mut all = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for signs in 0..8 {
            let letters =
                order.iter().enumerate().map(|(n, &axis)| ["LR", "PA", "IS"][axis].as_bytes()[signs >> n & 1] as char);
            all.push(letters.collect());
        }
    }
    all
}

#[test]
fn spacing_follows_the_reference_rules() {
    let affine =
        |s: [f64; 3]| Affine::from_rows([[s[0], 0.0, 0.0, -7.0], [0.0, s[1], 0.0, 11.0], [0.0, 0.0, s[2], 3.0]]);
    // n' = round((n - 1) s / t + 1), half to even: 10.5 becomes 10.
    let grid = spacing_grid(&affine([1.0, 1.0, 1.0]), [20, 20, 20], [2.0, 1.0, 3.0]).unwrap();
    assert_eq!(grid.dims, [10, 20, 7]);
    assert_eq!(grid.affine.origin(), [-7.0, 11.0, 3.0]);
    // Within 1e-3 mm nothing is resampled and the affine stays as it was.
    let near = affine([1.0005, 0.9995, 1.0]);
    let grid = spacing_grid(&near, [20, 20, 20], [1.0; 3]).unwrap();
    assert_eq!(grid, Grid { dims: [20; 3], affine: near, to_source: None, zeros: false });
    // One axis may change alone; the others keep their own spacing.
    let grid = spacing_grid(&near, [20, 20, 20], [1.0, 1.0, 2.0]).unwrap();
    assert!((grid.affine.spacing()[0] - 1.0005).abs() < 1e-12);
    // -1 leaves an axis its own.
    assert_eq!(
        spacing_grid(&near, [20; 3], [-1.0, 1.0, 1.0]).unwrap(),
        spacing_grid(&near, [20; 3], [1.0; 3]).unwrap()
    );
    for bad in [[0.0, 1.0, 1.0], [-2.0, 1.0, 1.0], [f64::NAN, 1.0, 1.0]] {
        assert!(matches!(spacing_grid(&near, [20; 3], bad), Err(VolumeError::Setting { setting: "spacing", .. })));
    }
    let absurd = spacing_grid(&near, [200; 3], [1e-6; 3]);
    assert!(matches!(absurd, Err(VolumeError::TooLarge { .. })));
}

#[test]
fn sampling_is_exact_for_a_plane_and_clamps_at_the_border() {
    let dims = [5, 4, 6];
    let plane = |p: [f64; 3]| (2.0 * p[0] - 3.0 * p[1] + 0.5 * p[2] + 1.0) as f32;
    let mut data = Vec::new();
    for x in 0..5 {
        for y in 0..4 {
            data.extend((0..6).map(|z| plane([f64::from(x), f64::from(y), f64::from(z)])));
        }
    }
    let skew = Affine::from_rows([[0.5, 0.1, 0.0, 0.25], [0.0, 0.6, 0.05, 0.0], [0.02, 0.0, 0.9, 0.5]]);
    let onto = |dims, map: &Affine| Grid { dims, affine: Affine::IDENTITY, to_source: Some(*map), zeros: false };
    let got = sample_linear(&data, dims, &onto([6, 5, 5], &skew));
    for (at, value) in got.iter().enumerate() {
        let index = [at / 25, at / 5 % 5, at % 5].map(|i| i as f64);
        let p = skew.apply(index);
        let clamped = std::array::from_fn(|a| p[a].clamp(0.0, dims[a] as f64 - 1.0));
        assert!((value - plane(clamped)).abs() < 1e-5, "at {index:?}");
    }
    let shift = Affine::from_rows([[1.0, 0.0, 0.0, -3.0], [0.0, 1.0, 0.0, 0.4], [0.0, 0.0, 1.0, 9.0]]);
    let nearest = sample_nearest(&data, dims, &onto([2, 2, 2], &shift));
    assert_eq!(nearest[0], plane([0.0, 0.0, 5.0]));
    assert_eq!(nearest[2], plane([0.0, 1.0, 5.0]));
    // Beyond the border zeros: half a voxel outside half of the value is left, and the nearest voxel is none.
    let half = Affine::from_rows([[1.0, 0.0, 0.0, -0.5], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 1.0, 5.5]]);
    let zeros = Grid { zeros: true, ..onto([2, 2, 1], &half) };
    let faded = sample_linear(&data, dims, &zeros);
    assert!((faded[0] - plane([0.0, 3.0, 5.0]) / 4.0).abs() < 1e-5, "{faded:?}");
    assert_eq!((faded[1], faded[3]), (0.0, 0.0));
    assert!((faded[2] - plane([0.5, 3.0, 5.0]) / 2.0).abs() < 1e-5, "{faded:?}");
    assert_eq!(sample_nearest(&data, dims, &zeros)[1], 0.0);
}

#[test]
fn solve_inverts() {
    let a = Affine::from_rows([[0.1, -2.0, 0.3, 40.0], [1.5, 0.2, 0.0, -9.0], [0.0, 0.1, 3.0, 7.0]]);
    let b = Affine::from_rows([[1.0, 0.5, 0.0, 3.0], [0.0, 2.0, 0.1, -8.0], [0.3, 0.0, 1.0, 2.0]]);
    let x = solve(&a, &b);
    for (got, expected) in a.then_after(&x).0.iter().flatten().zip(b.0.iter().flatten()) {
        assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    }
    let round = a.then_after(&a.inverse().unwrap());
    for (got, expected) in round.0.iter().flatten().zip(Affine::IDENTITY.0.iter().flatten()) {
        assert!((got - expected).abs() < 1e-12);
    }
}

fn volume(data: Vec<f32>, channels: usize, dims: [usize; 3]) -> Volume {
    Volume::new(data, channels, dims, Affine::IDENTITY).expect("fitting parts")
}

#[test]
fn degenerate_scans_have_an_answer() {
    let crop = Preprocess::new([CropForeground::default().into()]);
    let empty = volume(vec![0.0; 27], 1, [3; 3]);
    assert!(matches!(crop.apply(&empty), Err(VolumeError::NoForeground)));

    let mut one = vec![0.0; 27];
    one[13] = 5.0;
    let got = crop.apply(&volume(one, 1, [3; 3])).unwrap();
    assert_eq!((got.volume.dims, got.volume.data), ([1; 3], vec![5.0]));
    let back =
        got.geometry.invert_labels(&LabelMap::new(vec![4], [1; 3], got.geometry.model_affine()).unwrap()).unwrap();
    assert_eq!(back.counts().into_iter().collect::<Vec<_>>(), [(0, 26), (4, 1)]);
    assert_eq!(back.data[13], 4);

    // A single slice: the axis of one voxel stays one voxel at any spacing.
    let slice = volume((0..12).map(|v| v as f32).collect(), 1, [4, 3, 1]);
    let settings = Preprocess::new([Spacing::to([0.5, 2.0, 5.0]).into()]);
    let got = settings.apply(&slice).unwrap();
    assert_eq!(got.volume.dims, [7, 2, 1]);

    let mut holes = vec![1.0; 8];
    holes[3] = f32::NAN;
    holes[5] = f32::INFINITY;
    let normalize = NormalizeIntensity { nonzero: true, channel_wise: true, ..NormalizeIntensity::default() };
    let settings = Preprocess::new([normalize.into()]);
    let got = settings.apply(&volume(holes, 1, [2; 3])).unwrap();
    assert!(got.volume.data.iter().all(|v| v.is_finite()));
    assert!(got.warnings[0].starts_with("2 voxels are NaN or infinite"), "{:?}", got.warnings);
}

#[test]
fn channels_must_lie_on_one_grid() {
    let one = volume(vec![1.0; 8], 1, [2; 3]);
    let two = volume(vec![2.0; 8], 1, [2; 3]);
    let both = Volume::stack(vec![one.clone(), two]).unwrap();
    assert_eq!((both.channels, both.channel(1)), (2, &[2.0; 8][..]));
    let mut moved = one.clone();
    moved.affine.0[0][3] = 0.6;
    assert!(matches!(Volume::stack(vec![one.clone(), moved]), Err(VolumeError::Grids { .. })));
    let other = volume(vec![1.0; 4], 1, [1, 2, 2]);
    assert!(matches!(Volume::stack(vec![one, other]), Err(VolumeError::Grids { .. })));
    assert!(matches!(Volume::stack(Vec::new()), Err(VolumeError::Shape { .. })));
}

#[test]
fn codes_that_are_none_are_refused() {
    for codes in ["", "RA", "RAX", "RAR", "RASL", "ras"] {
        assert!(Preprocess::new([Orient::to(codes).into()]).check(1).is_err(), "{codes}");
    }
}

/// A smooth field of the world position, far from 0 everywhere.
fn field(p: [f64; 3]) -> f64 {
    100.0 + p[0] + 0.5 * p[1] - 0.25 * p[2]
}

const OBLIQUE_DIMS: [usize; 3] = [19, 15, 13];

fn oblique_index(at: usize) -> [f64; 3] {
    [at / (15 * 13), at / 13 % 15, at % 13].map(|v| v as f64)
}

/// The field on an oblique, left-handed, anisotropic scan, ready for a model that wants LSP: every
/// step of the way back matters.
fn oblique() -> (Volume, Preprocessed) {
    let (s, c) = 0.2_f64.sin_cos();
    let affine =
        Affine::from_rows([[0.0, 1.3 * s, -1.1 * c, 20.0], [-0.9, 0.0, 0.0, 14.0], [0.0, 1.3 * c, 1.1 * s, -31.0]]);
    let n: usize = OBLIQUE_DIMS.iter().product();
    let data = (0..n).map(|i| field(affine.apply(oblique_index(i))) as f32).collect();
    let scan = Volume::new(data, 1, OBLIQUE_DIMS, affine).unwrap();
    let settings = Preprocess::new([
        Orient::to("LSP").into(),
        Spacing::to([1.0, 1.2, 0.7]).into(),
        CropForeground::default().into(),
    ]);
    let ready = settings.apply(&scan).unwrap();
    assert_eq!(ready.volume.affine.axis_codes(), "LSP");
    (scan, ready)
}

#[test]
fn a_field_returns_to_its_place() {
    let (scan, ready) = oblique();
    let (model, dims) = (&ready.volume, scan.dims);
    for (i, &v) in model.data.iter().enumerate() {
        let [_, ny, nz] = model.dims;
        let index = [i / (ny * nz), i / nz % ny, i % nz].map(|v| v as f64);
        let world = model.affine.apply(index);
        // Beyond the last voxel of the scan the border repeats.
        let inside = scan.affine.inverse().unwrap().apply(world);
        let outside = (0..3).any(|a| inside[a] < -1e-6 || inside[a] > dims[a] as f64 - 1.0 + 1e-6);
        let near = (f64::from(v) - field(world)).abs() < 1e-3;
        assert!(outside || near, "at {index:?}");
    }
    let back = ready.geometry.invert_channel(&model.data).unwrap();
    let worst = back
        .iter()
        .zip(&scan.data)
        .enumerate()
        .filter(|(i, _)| {
            // The last voxel of the model's grid may lie before the scan's: the border repeats there.
            let p = oblique_index(*i);
            (0..3).all(|a| p[a] > 0.5 && p[a] < dims[a] as f64 - 1.5)
        })
        .map(|(_, (b, s))| (b - s).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-3, "the field returns to within {worst}");
}

#[test]
fn labels_and_probabilities_return_to_their_place() {
    let (scan, ready) = oblique();
    let (model, n) = (&ready.volume, scan.data.len());
    // Two classes, split by the field: both ways back must agree with the scan itself.
    let class = |v: f32| u16::from(v > 90.0);
    let on_model: Vec<u16> = model.data.iter().map(|&v| class(v)).collect();
    let map = LabelMap::new(on_model, model.dims, model.affine).unwrap();
    let nearest = ready.geometry.invert_labels(&map).unwrap();
    let probabilities: Vec<f32> =
        [-1.0, 1.0].iter().flat_map(|sign| model.data.iter().map(move |v| 0.5 + sign * (v - 90.0) / 400.0)).collect();
    let linear = ready.geometry.invert_probabilities(&probabilities, 2, |p| u16::from(p[1] > p[0])).unwrap();
    let disagree = |labels: &LabelMap| labels.data.iter().zip(&scan.data).filter(|(l, v)| **l != class(**v)).count();
    assert_eq!((nearest.dims, nearest.affine), (scan.dims, scan.affine));
    assert!(disagree(&linear) * 100 < n, "{} of {n} by probabilities", disagree(&linear));
    assert!(disagree(&nearest) * 12 < n, "{} of {n} by labels", disagree(&nearest));
    let axes = ready.geometry.axis_tables().expect("no shear, so axis by axis");
    assert_eq!(axes.map(|a| a.scan_axis), [2, 1, 0]);
}

#[test]
fn sheared_scans_are_resampled_without_shear() {
    let affine = Affine::from_rows([[0.5, 0.0, 0.0, 1.0], [0.0, 0.5, 0.4, 2.0], [0.0, 0.0, 2.4, 3.0]]);
    let dims = [12, 16, 8];
    let at = |i: usize| [i / 128, i / 8 % 16, i % 8].map(|v| v as f64);
    let data = (0..1536).map(|i| field(affine.apply(at(i))) as f32).collect();
    let scan = Volume::new(data, 1, dims, affine).unwrap();
    let settings = Preprocess::new([Spacing::to([0.6, 0.6, 2.0]).into()]);
    let ready = settings.apply(&scan).unwrap();
    let linear = ready.volume.affine.linear();
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let dot: f64 = (0..3).map(|r| linear[r][a] * linear[r][b]).sum();
        assert!(dot.abs() < 1e-9, "axes {a} and {b} are at right angles");
    }
    assert!(ready.geometry.axis_tables().is_none(), "a sheared map crosses axes");
    let back = ready.geometry.invert_channel(&ready.volume.data).unwrap();
    let index = (6 * 16 + 8) * 8 + 4;
    assert!((back[index] - scan.data[index]).abs() < 1e-3);
}

/// The plane x = 0 of this scan falls on the plane beside the box, but for 8.9e-16 voxels that are PyTorch's rounding: MONAI
/// 1.6.1's `Invertd` gives it the labels of the box's edge.
#[test]
fn rounding_decides_beside_the_box_as_in_monai() {
    let affine = Affine::from_rows([
        [3.0, 0.0, 0.0, -177.956_329_345_703_12],
        [0.0, 3.0, 0.0, 11.319_000_244_140_625],
        [0.0, 0.0, 3.0, 94.301_757_812_5],
    ]);
    let dims = [122, 101, 2];
    let plane = dims[1] * dims[2];
    let mut data = vec![1.0; dims.iter().product()];
    data[..plane].fill(-1.0);
    let scan = Volume::new(data, 1, dims, affine).unwrap();
    let ready =
        Preprocess::new([Spacing::to([2.8, 2.8, 3.0]).into(), CropForeground::default().into()]).apply(&scan).unwrap();
    assert_eq!(ready.volume.dims, [130, 108, 2], "the box begins behind the first plane");
    let [x, ..] = ready.geometry.axis_tables().expect("axis by axis");
    assert!(x.places[0].low == -1 && x.places[0].above > 0.0, "{:?}", x.places[0]);
    let ones = vec![1.0; ready.volume.data.len()];
    let back = ready.geometry.invert_channel(&ones).unwrap();
    assert!(back[..plane].iter().all(|v| *v > 0.0 && *v < 1e-12), "{:?}", &back[..2]);
    let labels = ready.geometry.invert_probabilities(&ones.repeat(2), 2, |p| u16::from(p[1] > 0.0)).unwrap();
    assert_eq!(labels.data[0], 1);
}

#[test]
fn beyond_the_scan_are_zeros_where_a_step_says_so() {
    let affine = Affine::from_rows([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
    let scan = Volume::new(vec![1.0; 4 * 9], 1, [4, 3, 3], affine).unwrap();
    let ready = |padding_mode| {
        let step = Spacing { padding_mode, ..Spacing::to([4.0, 1.0, -1.0]) };
        Preprocess::new([step.into()]).apply(&scan).unwrap()
    };
    // Two planes over four: the last of the scan lies half a plane beyond.
    let (border, zeros) = (ready(PaddingMode::Border), ready(PaddingMode::Zeros));
    assert_eq!((border.volume.dims, zeros.volume.dims), ([2, 3, 3], [2, 3, 3]));
    let back = |ready: &Preprocessed| ready.geometry.invert_channel(&ready.volume.data).unwrap()[27..].to_vec();
    assert_eq!(back(&border), vec![1.0; 9]);
    assert!(back(&zeros).iter().all(|v| (*v - 0.5).abs() < 1e-6), "{:?}", back(&zeros));
}
