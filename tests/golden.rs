//! The network against MONAI's values: every stage and the logits of three small networks.

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::infer::verify_reference;

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn stages_and_logits_equal_monai() {
    let gpu = gpu();
    for name in ["unetr-cubic-1to3", "unetr-aniso-4to3-sigmoid", "unetr-qkvbias-2to14"] {
        let report = pollster::block_on(verify_reference(&gpu, golden(name))).expect(name);
        assert!(report.rows.len() >= if name.contains("cubic") { 14 } else { 1 }, "{name}: {} stages compared", report.rows.len());
        for row in &report.rows {
            println!("{name} {:<28} {:.2e} of {:.2e}", row.name, row.max_abs, row.tolerance);
            assert!(row.ok, "{name}: {row:?}");
        }
    }
}

#[test]
fn one_changed_weight_is_found() {
    let mut bytes = golden("unetr-cubic-1to3");
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).expect("JSON");
    let entry = &header["weight.decoder3.conv_block.conv1.conv.weight"]["data_offsets"];
    let at = 8 + header_bytes + entry[0].as_u64().expect("an offset") as usize;
    bytes[at..at + 4].copy_from_slice(&3.0f32.to_le_bytes());
    let report = pollster::block_on(verify_reference(&gpu(), bytes)).expect("it runs");
    let bad: Vec<&str> = report.rows.iter().filter(|r| !r.ok).map(|r| r.name.as_str()).collect();
    assert!(bad.contains(&"stage.decoder3") && bad.contains(&"logits"), "{bad:?}");
    assert!(!bad.contains(&"stage.decoder4"), "stages before it are untouched: {bad:?}");
}
