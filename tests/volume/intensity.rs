//! Intensity scaling: values by hand, and the cases in which nothing can be scaled.

use std::borrow::Cow;

use unetr_wgpu::volume::steps::{Frame, NormalizeIntensity, PerChannel, ScaleIntensityRange, Transform};
use unetr_wgpu::volume::{Affine, Volume, VolumeError};

fn volume(data: Vec<f32>, channels: usize, dims: [usize; 3]) -> Volume {
    Volume::new(data, channels, dims, Affine::IDENTITY).expect("fitting parts")
}

/// Applies a transform in place.
fn apply(step: &impl Transform, volume: &mut Volume) -> Result<(), VolumeError> {
    let mut frame = Frame { volume: Cow::Borrowed(volume), moves: Vec::new() };
    step.apply(&mut frame)?;
    *volume = frame.volume.into_owned();
    Ok(())
}

#[test]
fn scale_range_scales_and_clips() {
    let mut v = volume(vec![-1000.0, -175.0, 37.5, 250.0, 3000.0, f32::NAN], 1, [1, 1, 6]);
    let window = ScaleIntensityRange { a_min: -175.0, a_max: 250.0, b_min: 0.0, b_max: 1.0, clip: true };
    apply(&window, &mut v).unwrap();
    assert_eq!(v.data[..5], [0.0, 0.0, 0.5, 1.0, 1.0]);
    assert!(v.data[5].is_nan(), "a NaN is not hidden by clipping");
    let flat = ScaleIntensityRange { a_min: 1.0, a_max: 1.0, b_min: 0.0, b_max: 1.0, clip: true };
    assert!(matches!(apply(&flat, &mut v), Err(VolumeError::Setting { .. })));
}

#[test]
fn normalize_has_zero_mean_and_unit_population_deviation() {
    let normalize =
        |nonzero, channel_wise| NormalizeIntensity { nonzero, channel_wise, subtrahend: None, divisor: None };
    let data = vec![0.0, 2.0, 4.0, 0.0, 10.0, 30.0];
    let mut v = volume(data.clone(), 2, [1, 1, 3]);
    apply(&normalize(true, true), &mut v).unwrap();
    assert_eq!(v.data, [0.0, -1.0, 1.0, 0.0, -1.0, 1.0], "zeros stay zero");

    let mut v = volume(data.clone(), 2, [1, 1, 3]);
    apply(&normalize(false, false), &mut v).unwrap();
    let mean = 46.0_f64 / 6.0;
    let deviation = (data.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
    for (got, x) in v.data.iter().zip(&data) {
        assert!((f64::from(*got) - (f64::from(*x) - mean) / deviation).abs() < 1e-6);
    }
    // A constant image has no deviation: it becomes 0, as in MONAI.
    let mut v = volume(vec![0.1; 1000], 1, [10; 3]);
    apply(&normalize(false, true), &mut v).unwrap();
    assert!(v.data.iter().all(|&x| x == 0.0), "{:?}", &v.data[..3]);
    let mut v = volume(vec![0.0; 8], 1, [2; 3]);
    apply(&normalize(true, true), &mut v).unwrap();
    assert_eq!(v.data, [0.0; 8]);
}

/// `(x - subtrahend) / divisor` in single precision, as MONAI 1.6.1's `NormalizeIntensity(subtrahend, divisor)`.
#[test]
fn normalize_takes_fixed_statistics() {
    let normalize =
        |nonzero, subtrahend, divisor| NormalizeIntensity { nonzero, channel_wise: true, subtrahend, divisor };
    let (all, each) = (|v| Some(PerChannel::All(v)), |v: &[f64]| Some(PerChannel::Each(v.to_vec())));
    let data = vec![-1024.0, 0.0, 99.5, 10.0, 30.0, 0.0];
    let run = |settings: NormalizeIntensity| {
        let mut v = volume(data.clone(), 2, [1, 1, 3]);
        apply(&settings, &mut v).map(|()| v.data)
    };
    let ct = run(normalize(false, all(99.5), all(39.25))).expect("fixed statistics of CT");
    let expected: Vec<f32> = data.iter().map(|x| (x - 99.5f32) / 39.25f32).collect();
    assert_eq!(ct, expected);
    let own = run(normalize(true, each(&[1.0, 10.0]), each(&[2.0, 20.0]))).expect("one per channel");
    assert_eq!(own, [-512.5, 0.0, 49.25, 0.0, 1.0, 0.0], "zeros stay zero");
    // What is not given is measured.
    let half = run(normalize(true, None, each(&[2.0, 10.0]))).expect("a divisor alone");
    assert_eq!(half, [-280.875, 0.0, 280.875, -1.0, 1.0, 0.0]);
    for (settings, words) in [
        (normalize(false, each(&[1.0]), None), "one number for each channel"),
        (normalize(false, None, all(0.0)), "divided by 0"),
        (normalize(false, all(f64::NAN), None), "finite"),
    ] {
        let error = run(settings).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let read: NormalizeIntensity =
        serde_json::from_str(r#"{"subtrahend": 99.5, "divisor": [39.25, 40]}"#).expect("JSON");
    assert_eq!(read, normalize_of(all(99.5), each(&[39.25, 40.0])));
    let error = serde_json::from_str::<NormalizeIntensity>(r#"{"divisor": "x"}"#).expect_err("no number");
    assert!(error.to_string().contains("a number, or a list of one number per channel"), "{error}");
}

fn normalize_of(subtrahend: Option<PerChannel>, divisor: Option<PerChannel>) -> NormalizeIntensity {
    NormalizeIntensity { subtrahend, divisor, ..NormalizeIntensity::default() }
}
