//! Result folders of nnU-Net v2 from the command line: a small one that the test makes, and models whose labels nnU-Net made of
//! real scans, where `UNETR_GOLDEN` and `UNETR_DATA` point.

use serde_json::Value;
use unetr_wgpu::volume::{Affine, Volume, nifti};

use crate::support::nnunet_folder::Model;
use crate::support::run::{Folder, labels, on_device, text, unetr, volume};
use crate::support::{data, golden};

/// Agreement with nnU-Net that is asked for.
const EQUAL: f64 = 0.998;
/// Labels may only differ where the two best classes are this near, and sampled probabilities by no more...
const NEAR: f32 = 5e-3;
/// ...in this share of the samples.
const SAMPLES: f64 = 0.995;

fn write(folder: &Folder, name: &str, model: &Model) {
    for (path, bytes) in model.files() {
        let path = folder.path(name).join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// Two channels with an edge of zeros, thick slices.
fn scan(folder: &Folder, name: &str) -> Vec<String> {
    let dims = [15, 14, 7];
    let affine = Affine::from_rows([[-1.1, 0.0, 0.0, 8.0], [0.0, 1.2, 0.0, -9.0], [0.0, 0.0, 2.0, 3.0]]);
    let value = |c: usize, x: usize, y: usize, z: usize| match x == 0 || y == 13 {
        true => 0.0,
        false => (((x * 5 + y * 3 + z * 7 + c * 11) % 17) as f32 - 4.0) * 9.0,
    };
    (0..2)
        .map(|c| {
            let mut data = Vec::new();
            for x in 0..dims[0] {
                for y in 0..dims[1] {
                    data.extend((0..dims[2]).map(|z| value(c, x, y, z)));
                }
            }
            let scan = Volume::new(data, 1, dims, affine).expect("a scan");
            let mut bytes = Vec::new();
            nifti::write_volume(&mut bytes, &scan, &nifti::WriteOptions::default()).expect("written");
            text(&folder.write(&format!("{name}_{c:04}.nii"), &bytes))
        })
        .collect()
}

#[test]
fn folder_zip_and_package_are_one_model() {
    let folder = Folder::new();
    let model = Model::default();
    write(&folder, "model", &model);
    folder.write("model.zip", &model.zip());
    let scans = scan(&folder, "case");
    unetr(&folder, &["import", "model", "-o", "model.safetensors"]).expect(0);
    unetr(&folder, &["import", "model.zip", "-o", "zipped.safetensors"]).expect(0);
    let one = unetr(&folder, &["import", "model", "-o", "one.safetensors", "--folds", "1", "--json"]).expect(0).json();
    assert_eq!(one["package"]["inference"]["mirror_axes"], serde_json::json!([0, 2]));
    let files = folder.files();
    assert_eq!(files["model.safetensors"], files["zipped.safetensors"], "what holds the files changes nothing");

    let run = |model: &str, out: &str, more: &[&str]| {
        let mut arguments = vec!["segment", &scans[0], &scans[1], "-m", model, "-o", out];
        arguments.extend(more);
        on_device(&folder, &arguments).expect(0)
    };
    run("model.safetensors", "package.nii.gz", &["--save-probabilities", "p.nii.gz"]);
    run("model", "folder.nii.gz", &[]);
    run("model.zip", "zip.nii.gz", &[]);
    run("model", "plain.nii.gz", &["--no-mirror", "--step", "1"]);
    run("one.safetensors", "one.nii.gz", &[]);
    run("model.safetensors", "folds.nii.gz", &["--no-mirror", "--save-spread", "s.nii"]);
    let read = |name: &str| labels(&folder.path(name));
    let package = read("package.nii.gz");
    assert_eq!((package.dims, package.counts().len() > 1), ([15, 14, 7], true), "{:?}", package.counts());
    assert_eq!((&read("folder.nii.gz"), &read("zip.nii.gz")), (&package, &package));
    assert_ne!(read("plain.nii.gz"), package, "mirroring and steps count");
    assert_ne!(read("one.nii.gz"), package, "every fold counts");
    // Outside of the voxels that are not 0 is background.
    let edge = |label: &unetr_wgpu::volume::LabelMap| (0..14 * 7).all(|at| label.data[at] == 0);
    assert!(edge(&package));
    let p = volume(&folder.path("p.nii.gz"));
    let n = package.data.len();
    for at in 0..n {
        let sum: f32 = (0..3).map(|k| p.data[k * n + at]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "voxel {at}: probabilities add up to {sum}");
    }
    let record: Value = serde_json::from_slice(&folder.files()["package.json"]).expect("a record");
    assert_eq!(record["inference"]["resample"], "logits");
    // Two folds: half of the difference of their probabilities.
    let spread = volume(&folder.path("s.nii")).data;
    assert!(spread.iter().all(|v| (0.0..=0.5).contains(v)) && spread.iter().any(|v| *v > 1e-3));
    assert!(spread[..14 * 7].iter().all(|v| *v == 0.0), "nothing is said of what was cropped away");
}

#[test]
fn labels_equal_nnunets() {
    for case in ["ct-iso", "mr-aniso-regions", "old-plans"] {
        let Some(root) = data::golden(&format!("nnunet/{case}")) else { return };
        let about: Value =
            serde_json::from_slice(&std::fs::read(root.join("README.json")).expect("README")).expect("JSON");
        let scans: Option<Vec<String>> = about["scans"]
            .as_array()
            .expect("scans")
            .iter()
            .map(|scan| data::real(scan.as_str().expect("a path")).map(|path| text(&path)))
            .collect();
        let Some(scans) = scans else { return };
        let folder = Folder::new();
        let model = text(&root.join("model"));
        let mut arguments: Vec<&str> = vec!["segment"];
        arguments.extend(scans.iter().map(String::as_str));
        arguments.extend(["-m", &model, "-o", "out.nii.gz", "--save-probabilities", "p.nii.gz"]);
        // Sums in f32 differ by more in the corners of a volume, where nnU-Net's have no digits behind the point.
        arguments.extend(["--accumulate", "f16"]);
        on_device(&folder, &arguments).expect(0);
        let (got, expected) = (labels(&folder.path("out.nii.gz")), labels(&root.join("expected.nii.gz")));
        assert!(got.grid().equals(&expected.grid()), "{case}");
        let p = volume(&folder.path("p.nii.gz"));
        let n = got.data.len();
        let regions = case.ends_with("regions");
        let (mut differing, mut far) = (0, Vec::new());
        for at in (0..n).filter(|&at| got.data[at] != expected.data[at]) {
            differing += 1;
            let mut values: Vec<f32> = (0..p.channels).map(|k| p.data[k * n + at]).collect();
            // A region is decided at one half, a class by the next best.
            let near = match regions {
                true => values.iter().any(|v| (v - 0.5).abs() < NEAR),
                false => {
                    values.sort_by(|a, b| b.total_cmp(a));
                    values[0] - values[1] < NEAR
                }
            };
            far.extend(
                (!near).then(|| format!("voxel {at} is {} instead of {}: {values:?}", got.data[at], expected.data[at])),
            );
        }
        assert!(far.is_empty(), "{case}: {} labels: {:?}", far.len(), &far[..far.len().min(5)]);
        let share = 1.0 - differing as f64 / n as f64;
        assert!(share >= EQUAL, "{case}: {share} of the labels are equal");

        let samples = std::fs::read(root.join("logits.safetensors")).expect("samples");
        let (at, values) = (golden::tensor(&samples, "at").1, golden::tensor(&samples, "probabilities").1);
        let mut differences = Vec::new();
        for (k, class) in values.chunks(at.len()).enumerate() {
            for (place, value) in at.iter().zip(class) {
                differences.push((f64::from(p.data[k * n + *place as usize]) - value).abs());
            }
        }
        let beyond = differences.iter().filter(|d| **d > f64::from(NEAR)).count() as f64 / differences.len() as f64;
        println!("{case}: {share} of {n} labels equal, {beyond} of the sampled probabilities beyond {NEAR}");
        assert!(beyond <= 1.0 - SAMPLES, "{case}: {beyond} of the sampled probabilities differ");
    }
}
