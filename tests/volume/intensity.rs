//! Intensity scaling: values by hand, and the cases in which nothing can be scaled.

use unetr_wgpu::volume::{Affine, Intensity, Volume, VolumeError};

fn volume(data: Vec<f32>, channels: usize, dims: [usize; 3]) -> Volume {
    Volume::new(data, channels, dims, Affine::IDENTITY).expect("fitting parts")
}

#[test]
fn scale_range_scales_and_clips() {
    let mut v = volume(vec![-1000.0, -175.0, 37.5, 250.0, 3000.0, f32::NAN], 1, [1, 1, 6]);
    let window = Intensity::ScaleRange { a_min: -175.0, a_max: 250.0, b_min: 0.0, b_max: 1.0, clip: true };
    window.apply(&mut v).unwrap();
    assert_eq!(v.data[..5], [0.0, 0.0, 0.5, 1.0, 1.0]);
    assert!(v.data[5].is_nan(), "a NaN is not hidden by clipping");
    let flat = Intensity::ScaleRange { a_min: 1.0, a_max: 1.0, b_min: 0.0, b_max: 1.0, clip: true };
    assert!(matches!(flat.apply(&mut v), Err(VolumeError::Setting { .. })));
}

#[test]
fn normalize_has_zero_mean_and_unit_population_deviation() {
    let normalize = |nonzero, channel_wise| Intensity::Normalize { nonzero, channel_wise };
    let data = vec![0.0, 2.0, 4.0, 0.0, 10.0, 30.0];
    let mut v = volume(data.clone(), 2, [1, 1, 3]);
    normalize(true, true).apply(&mut v).unwrap();
    assert_eq!(v.data, [0.0, -1.0, 1.0, 0.0, -1.0, 1.0], "zeros stay zero");

    let mut v = volume(data.clone(), 2, [1, 1, 3]);
    normalize(false, false).apply(&mut v).unwrap();
    let mean = 46.0_f64 / 6.0;
    let deviation = (data.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
    for (got, x) in v.data.iter().zip(&data) {
        assert!((f64::from(*got) - (f64::from(*x) - mean) / deviation).abs() < 1e-6);
    }
    // A constant image has no deviation: it becomes 0, as in MONAI.
    let mut v = volume(vec![0.1; 1000], 1, [10; 3]);
    normalize(false, true).apply(&mut v).unwrap();
    assert!(v.data.iter().all(|&x| x == 0.0), "{:?}", &v.data[..3]);
    let mut v = volume(vec![0.0; 8], 1, [2; 3]);
    normalize(true, true).apply(&mut v).unwrap();
    assert_eq!(v.data, [0.0; 8]);
}
