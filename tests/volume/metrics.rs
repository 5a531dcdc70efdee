//! Metrics against MONAI's values, and the cases in which a mask is empty.

use crate::support::golden;
use unetr_wgpu::metrics::{MetricsError, Presence, dice, distance_to, evaluate, nan_mean, surface_distance};

/// 1e-5 of the value (of 1 below 1); infinities and NaN exactly.
fn assert_close(what: &str, got: f64, expected: f64) {
    let same = (got.is_nan() && expected.is_nan())
        || got == expected
        || (got - expected).abs() <= 1e-5 * expected.abs().max(1.0);
    assert!(same, "{what}: got {got}, MONAI {expected}");
}

#[test]
fn equal_monai() {
    let file = golden::bytes("golden/metrics.safetensors");
    let spacings = [[1.0, 1.0, 1.0], [0.8, 0.8, 3.0], [1.5, 1.5, 2.0]];
    let mut special = 0;
    for (case, spacing) in spacings.into_iter().enumerate() {
        let labels = |name: &str| {
            let (shape, values) = golden::tensor(&file, &format!("case{case}.{name}"));
            let dims = [shape[0], shape[1], shape[2]];
            (dims, values.into_iter().map(|v| v as u16).collect::<Vec<_>>())
        };
        let (dims, prediction) = labels("prediction");
        let (_, truth) = labels("truth");
        let got = evaluate(&prediction, &truth, dims, spacing, spacing.iter().product(), &[1, 2, 3]).expect("one grid");
        for (measure, value) in [
            ("dice", [got[0].dice, got[1].dice, got[2].dice]),
            ("hd", [got[0].hd, got[1].hd, got[2].hd]),
            ("hd95", [got[0].hd95, got[1].hd95, got[2].hd95]),
            ("assd", [got[0].assd, got[1].assd, got[2].assd]),
        ] {
            let (_, expected) = golden::tensor(&file, &format!("case{case}.{measure}"));
            for class in 0..3 {
                let what = format!("case {case} {measure} of class {}", class + 1);
                assert_close(&what, value[class], expected[class]);
                special += usize::from(!expected[class].is_finite());
            }
        }
    }
    assert!(special >= 4, "the reference holds infinities and NaN, {special} seen");
}

#[test]
fn empty_masks_give_what_the_table_says() {
    let (full, empty) = (vec![1_u16; 27], vec![0_u16; 27]);
    let measure = |p: &[u16], t: &[u16]| evaluate(p, t, [3; 3], [1.0, 2.0, 5.0], 10.0, &[1]).expect("one grid")[0];
    let equal = measure(&full, &full);
    assert_eq!((equal.dice, equal.hd, equal.hd95, equal.assd), (1.0, 0.0, 0.0, 0.0));
    assert_eq!(equal.presence, Presence::Both);
    assert!((equal.truth_ml - 0.27).abs() < 1e-12, "27 voxels of 10 mm3 are 0.27 ml");

    let missed = measure(&empty, &full);
    assert_eq!(missed.presence, Presence::Missed);
    assert_eq!((missed.dice, missed.hd, missed.assd), (0.0, f64::INFINITY, f64::INFINITY));
    assert!(missed.hd95.is_nan());
    assert_eq!((missed.prediction_ml, missed.truth_ml > 0.0), (0.0, true));

    let alarm = measure(&full, &empty);
    assert_eq!(alarm.presence, Presence::FalseAlarm);
    assert!(alarm.dice.is_nan() && alarm.hd95.is_nan());
    assert_eq!((alarm.hd, alarm.assd), (f64::INFINITY, f64::INFINITY));

    let neither = measure(&empty, &empty);
    assert_eq!(neither.presence, Presence::Neither);
    assert!([neither.dice, neither.hd, neither.hd95, neither.assd].iter().all(|v| v.is_nan()));
}

#[test]
fn distance_transform_equals_brute_force() {
    let (dims, spacing) = ([7, 5, 6], [0.7, 1.3, 2.9]);
    let n: usize = dims.iter().product();
    // A linear congruential generator: the same scattered voxels every time.
    let mut state = 7_u64;
    for one_in in [2, 9, 60] {
        let marked: Vec<bool> = (0..n)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33).is_multiple_of(one_in)
            })
            .collect();
        let at = |i: usize| [i / 30, i / 6 % 5, i % 6];
        let got = distance_to(&marked, dims, spacing);
        for (i, &distance) in got.iter().enumerate() {
            let nearest = (0..n)
                .filter(|&j| marked[j])
                .map(|j| {
                    let (p, q) = (at(i), at(j));
                    (0..3).map(|a| ((p[a] as f64 - q[a] as f64) * spacing[a]).powi(2)).sum::<f64>().sqrt()
                })
                .fold(f64::INFINITY, f64::min);
            assert!(
                distance == nearest || (distance - nearest).abs() < 1e-12,
                "voxel {i}: {distance} instead of {nearest}"
            );
        }
    }
}

#[test]
fn one_voxel_apart_is_one_spacing() {
    let mut prediction = vec![0_u16; 4 * 4 * 4];
    let mut truth = prediction.clone();
    prediction[0] = 7;
    truth[3] = 7;
    let got = surface_distance(&prediction, &truth, [4; 3], [1.0, 1.0, 2.5], 7).expect("one grid");
    assert_eq!((got.hd, got.hd95, got.assd), (7.5, 7.5, 7.5));
    assert_eq!(dice(&prediction, &truth, 7), 0.0);
}

#[test]
fn lengths_and_spacings_are_checked() {
    let labels = vec![0_u16; 8];
    let short = evaluate(&labels[..7], &labels, [2; 3], [1.0; 3], 1.0, &[1]);
    assert!(matches!(short, Err(MetricsError::Length { what: "the prediction", .. })));
    for spacing in [[0.0, 1.0, 1.0], [f64::NAN, 1.0, 1.0], [1.0, -1.0, 1.0]] {
        let bad = evaluate(&labels, &labels, [2; 3], spacing, 1.0, &[1]);
        assert!(matches!(bad, Err(MetricsError::Spacing { .. })));
    }
    let huge = evaluate(&labels, &labels, [usize::MAX; 3], [1.0; 3], 1.0, &[1]);
    assert!(matches!(huge, Err(MetricsError::Length { .. })));
}

#[test]
fn means_say_what_they_left_out() {
    assert_eq!(nan_mean(&[1.0, f64::NAN, 3.0]), (2.0, 1));
    assert_eq!(nan_mean(&[1.0, f64::INFINITY]), (f64::INFINITY, 0));
    assert!(nan_mean(&[f64::NAN]).0.is_nan());
}
