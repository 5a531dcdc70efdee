//! Checkpoints made or damaged to harm their reader: refused, nothing run, memory bounded, no panic.

use std::sync::atomic::Ordering::Relaxed;

use crate::allocator::{ALONE, HELD, PEAK};
use crate::support::{bad_checkpoints, golden};
use unetr_wgpu::weights::{ImportOptions, Imported, WeightsError, import};

fn checkpoint(name: &str) -> Vec<u8> {
    golden::stored(&golden::path("golden/torch-checkpoints").join(name))
}

fn read(bytes: Vec<u8>) -> Result<Imported, WeightsError> {
    let package = r#"{"network": {"img_size": [32, 16, 16], "num_heads": 2}}"#;
    import(bytes, &ImportOptions { package: Some(package), ..ImportOptions::default() })
}

#[test]
fn every_bad_checkpoint_is_refused_with_its_reason_and_little_memory() {
    let _alone = ALONE.lock();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let proof = folder.path().join("pickle-was-run");
    let files = bad_checkpoints::bad_checkpoints(&proof.display().to_string());
    for (name, bytes, expected) in files {
        let length = bytes.len();
        PEAK.store(HELD.load(Relaxed), Relaxed);
        let before = HELD.load(Relaxed);
        let error = read(bytes).expect_err(name).to_string();
        let grown = PEAK.load(Relaxed).saturating_sub(before);
        assert!(error.contains(expected), "{name}: {error:?} does not contain {expected:?}");
        assert!(error.len() < 1000, "{name}: the message has {} bytes", error.len());
        assert!(grown < (192 << 20) + 4 * length, "{name}: {grown} bytes allocated for a file of {length}");
    }
    assert!(!proof.exists(), "a pickle was executed");
}

/// A legacy file has no checksums: every mutation reaches the pickle's reader.
#[test]
fn mutated_pickles_never_panic() {
    let _alone = ALONE.lock();
    let good = checkpoint("legacy-non-zip.pt");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    let mut refused = 0;
    for _ in 0..1500 {
        let mut bytes = good.clone();
        for _ in 0..=random(4) {
            // The pickles are the first 20 kB and the last thing before the data.
            let at = random(24_000);
            bytes[at] = match random(3) {
                0 => bytes[at] ^ 1 << random(8),
                1 => random(256) as u8,
                _ => bytes[random(24_000)],
            };
        }
        refused += usize::from(read(bytes).is_err());
    }
    assert!(refused > 100, "only {refused} mutations were noticed");
}

#[test]
fn truncated_checkpoints_are_refused() {
    let _alone = ALONE.lock();
    for name in ["plain-state-dict.pt", "legacy-non-zip.pt", "half.pt"] {
        let good = checkpoint(name);
        for length in (0..good.len()).step_by(good.len() / 60) {
            assert!(read(good[..length].to_vec()).is_err(), "{name}: {length} bytes");
        }
    }
}

#[test]
fn damaged_tensor_data_is_noticed() {
    let _alone = ALONE.lock();
    let mut damaged = checkpoint("plain-state-dict.pt");
    // The second storage is the patch embedding's, 64 kB a little after the name of its entry.
    let name = b"/data/1";
    let entry = damaged.windows(name.len()).position(|window| window == name).expect("the second storage");
    damaged[entry + 150] ^= 1;
    let error = read(damaged).expect_err("a wrong checksum").to_string();
    assert!(error.contains("checksum"), "{error}");
}
