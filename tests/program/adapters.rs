//! Two software adapters that share no code, lavapipe and SwiftShader, must give the same labels. The second comes with
//! Debian's Chromium; each runs in a process of its own, because the Vulkan loader reads its driver list once.

use std::path::{Path, PathBuf};
use std::process::Command;

use unetr_wgpu::volume::Volume;
use unetr_wgpu::volume::nifti::{ReadOptions, read_labels_path, read_path};

use crate::support::body;
use crate::support::procedural::ct_package;

const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

fn lavapipe() -> Option<PathBuf> {
    let drivers = std::fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
    drivers
        .flatten()
        .map(|e| e.path())
        .find(|p| p.to_string_lossy().contains("lvp_icd") && !p.to_string_lossy().contains("i686"))
}

/// Labels, and the class probabilities they were decided by.
fn segment(driver: &Path, model: &Path, scan: &Path, folder: &Path, name: &str) -> (Vec<u16>, Volume) {
    let [out, probabilities] = ["labels", "probabilities"].map(|kind| folder.join(format!("{name}-{kind}.nii.gz")));
    let run = Command::new(env!("CARGO_BIN_EXE_unetr"))
        .env("VK_DRIVER_FILES", driver)
        .args(["segment".as_ref(), scan.as_os_str(), "-m".as_ref(), model.as_os_str(), "-o".as_ref(), out.as_os_str()])
        .args(["--save-probabilities".as_ref(), probabilities.as_os_str()])
        .output()
        .expect("unetr runs");
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    let options = ReadOptions::default();
    let labels = read_labels_path(&out, &options).expect("labels").labels.data;
    (labels, read_path(&probabilities, &options).expect("probabilities").volume)
}

/// How far the greatest probability of a voxel is from the next.
fn margin(probabilities: &Volume, voxel: usize) -> f32 {
    let mut values: Vec<f32> =
        (0..probabilities.channels).map(|k| probabilities.data[k * probabilities.voxels() + voxel]).collect();
    values.sort_by(f32::total_cmp);
    values[values.len() - 1] - values[values.len() - 2]
}

#[test]
fn lavapipe_and_swiftshader_agree() {
    let (Some(lavapipe), true) = (lavapipe(), Path::new(SWIFTSHADER).exists()) else {
        println!("not run: lavapipe or {SWIFTSHADER} is missing");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    // A trained model, whose labels are sure, and one of drawn weights, whose classes are close everywhere.
    let model = folder.path().join("ct.safetensors");
    std::fs::write(&model, ct_package()).expect("written");
    let scan = folder.path().join("body.nii");
    std::fs::write(&scan, body::scan().1).expect("written");
    let sample = root.join("models/samples/hippocampus.nii.gz");
    let cases = [(root.join("models/hippocampus.safetensors"), sample), (model, scan)];
    let (mut voxels, mut different) = (0usize, 0usize);
    for (i, (model, scan)) in cases.iter().enumerate() {
        let a = segment(&lavapipe, model, scan, folder.path(), &format!("lavapipe-{i}"));
        let b = segment(Path::new(SWIFTSHADER), model, scan, folder.path(), &format!("swiftshader-{i}"));
        voxels += a.0.len();
        for voxel in (0..a.0.len()).filter(|&v| a.0[v] != b.0[v]) {
            different += 1;
            let margin = margin(&a.1, voxel);
            println!("voxel {voxel} of case {i}: {} and {}, {margin:.1e} apart", a.0[voxel], b.0[voxel]);
            assert!(margin < 1e-4, "voxel {voxel} of case {i} is no near-tie: {margin}");
        }
    }
    println!("{different} of {voxels} voxels differ");
    assert!((different as f64) <= 1e-4 * voxels as f64, "{different} of {voxels} voxels differ");
}
