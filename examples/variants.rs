//! Times every kernel variant of the full network on one adapter: `cargo run --release --example variants [adapter]`.
//!
//! Prints, for each op and shape, milliseconds as chosen by kind of adapter and in each variant, and the choices worth
//! keeping as JSON. The adapter should do nothing else meanwhile.

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::graph::{TunedOp, choices, tune};
use unetr_wgpu::nets::{Architecture, Build, UnetrConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = GpuOptions { adapter: std::env::args().nth(1), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&options))?;
    for half in [false, true] {
        let network = Architecture::new(UnetrConfig::default())?;
        let mut built = network.build(&Build { half_weights: half, ..Build::of(&*network) })?;
        let logits = built.logits()?;
        built.graph.output(logits);
        let measured = pollster::block_on(tune(&gpu, &built.graph, &mut |_, _| ()))?;
        println!("{}, weights in {} bits; ms as chosen | in each variant", gpu.adapter(), if half { 16 } else { 32 });
        for op in &measured {
            let variants: Vec<String> = op.variants_ms.iter().map(|ms| format!("{ms:.3}")).collect();
            let (nodes, key, ms, rate) = (op.nodes, &op.key, op.default_ms, op.gflop / op.best_ms());
            println!("{nodes:>2} x {key:<70} {ms:8.3} | {} | best {rate:.2} TFLOP/s", variants.join(" "));
        }
        let total = |ms: fn(&TunedOp) -> f64| measured.iter().map(|op| op.nodes as f64 * ms(op)).sum::<f64>();
        println!("window: {:.2} ms as chosen, {:.2} ms tuned", total(|op| op.default_ms), total(TunedOp::best_ms));
        println!("{}", serde_json::to_string_pretty(&choices(&measured))?);
    }
    Ok(())
}
