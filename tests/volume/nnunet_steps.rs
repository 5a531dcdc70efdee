//! nnU-Net's preprocessing and export: what the network sees, and the labels that its logits become.

use serde_json::{Value, json};
use unetr_wgpu::volume::steps::{
    CropToNonzero, IntensityProperties, Interpolation, Normalization, Resampling, Scheme, Step, Transpose,
};
use unetr_wgpu::volume::{Affine, Preprocess, Volume};

use crate::support::golden;

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a setting of the case")
}

/// The statistics that the references were made with.
const CT: IntensityProperties =
    IntensityProperties { mean: 90.0, std: 60.0, percentile_00_5: -80.0, percentile_99_5: 210.0 };

fn steps(case: &Value) -> Preprocess {
    let forward: [usize; 3] = read(&case["transpose_forward"]);
    let schemes: Vec<Scheme> = read(&case["schemes"]);
    let (data, probabilities): (Interpolation, Interpolation) = (read(&case["data"]), read(&case["probabilities"]));
    Preprocess::new([
        Transpose { indices: forward.map(|a| 2 - a) }.into(),
        CropToNonzero {}.into(),
        Step::Normalization(Normalization {
            foreground_intensity_properties_per_channel: vec![Some(CT); schemes.len()],
            normalization_schemes: schemes,
            use_mask_for_norm: read(&case["mask"]),
        }),
        Resampling { spacing: read(&case["target"]), data, probabilities }.into(),
    ])
}

#[test]
fn equals_nnunet_in_every_scheme_and_rule() {
    let file = golden::bytes("golden/nnunet-steps.safetensors");
    let (_, header) = safetensors::SafeTensors::read_metadata(&file).expect("a header");
    let cases: Value = serde_json::from_str(&header.metadata().as_ref().expect("metadata")["cases"]).expect("JSON");
    let cases = cases.as_array().expect("a list");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let (shape, scan) = golden::tensor(&file, &format!("{name}.scan"));
        let spacing: [f64; 3] = read(&case["spacing"]);
        let affine = Affine::from_rows(std::array::from_fn(|r| {
            let mut row = [0.0, 0.0, 0.0, 5.0];
            row[r] = spacing[r];
            row
        }));
        let dims = [shape[1], shape[2], shape[3]];
        let scan = Volume::new(scan.iter().map(|v| *v as f32).collect(), shape[0], dims, affine).expect("a scan");
        let made = steps(case).apply(&scan).expect("applicable steps");
        let (seen, data) = golden::tensor(&file, &format!("{name}.data"));
        assert_eq!(made.volume.dims[..], seen[1..], "{name}");
        let range = data.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let worst = made.volume.data.iter().zip(&data).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max);
        assert!(worst <= 2e-6 * range.max(1.0), "{name}: what the network sees differs by {worst}");

        let (classes, voxels) = (case["classes"].as_u64().expect("a number") as usize, made.volume.voxels());
        let logit = |at: usize| (0.37 * (at % voxels) as f64 + 1.9 * (at / voxels) as f64).sin() as f32;
        let logits: Vec<f32> = (0..classes * voxels).map(logit).collect();
        let regions = case["regions"] == json!(true);
        let decide = |values: &[f32]| match regions {
            true => values.iter().zip([3, 1, 2]).rfind(|(v, _)| **v > 0.0).map_or(0, |(_, label)| label),
            false => (0..classes).fold(0, |best, k| if values[k] > values[best] { k } else { best }) as u16,
        };
        let labels = made.geometry.invert_probabilities(&logits, classes, decide).expect("labels");
        let (_, expected) = golden::tensor(&file, &format!("{name}.labels"));
        let differing = labels.data.iter().zip(&expected).filter(|(g, e)| f64::from(**g) != **e).count();
        assert_eq!(differing, 0, "{name}: labels of {} voxels", expected.len());
        assert!(expected.iter().any(|v| *v > 0.0) && expected.contains(&0.0), "{name}: nothing is told apart");

        // The tables say the same as the moves.
        let tables = made.geometry.axis_tables().expect("axes");
        let channel = made.geometry.invert_channel(&logits[..voxels]).expect("a channel");
        for (at, value) in channel.iter().enumerate() {
            let index = [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
            let places = tables.each_ref().map(|t| t.places[index[t.scan_axis]]);
            let mut sum = 0.0;
            for corner in 0..8 {
                let mut weight = 1.0;
                let q: [i32; 3] = std::array::from_fn(|a| {
                    let upper = corner >> a & 1;
                    weight *= f64::from(if upper == 1 { places[a].above } else { places[a].below });
                    places[a].low + upper
                });
                if (0..3).all(|a| (0..made.volume.dims[a] as i32).contains(&q[a])) {
                    let [x, y, z] = q.map(|i| i as usize);
                    let [_, ny, nz] = made.volume.dims;
                    sum += weight * f64::from(logits[(x * ny + y) * nz + z]);
                }
            }
            assert!((sum - f64::from(*value)).abs() < 1e-6, "{name}: voxel {index:?}");
        }
    }
}
