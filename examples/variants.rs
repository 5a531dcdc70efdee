//! Times every kernel variant of the full network on one adapter: `cargo run --release --example variants [adapter]`.
//!
//! Prints, for each op and shape, milliseconds as chosen by kind of adapter and in each variant, and the choices worth
//! keeping as JSON. The adapter should do nothing else meanwhile.

use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::graph::{Graph, Residents, TunedOp, choices, tune};
use unetr_wgpu::model::{UnetrConfig, unetr};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = GpuOptions { adapter: std::env::args().nth(1), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&options))?;
    for half in [false, true] {
        let mut graph = Graph::new().with_half_weights(half);
        let network = unetr(&mut graph, &UnetrConfig::default(), 1)?;
        let logits = graph.head("out", &network.end, network.out.0, network.out.1)?;
        graph.output(logits);
        let measured = pollster::block_on(tune(&gpu, &graph, &mut Residents::default()))?;
        if measured.is_empty() {
            println!("{} has no timestamps", gpu.adapter());
            return Ok(());
        }
        println!("{}, weights in {} bits; ms as chosen | in each variant", gpu.adapter(), if half { 16 } else { 32 });
        for op in &measured {
            let variants: Vec<String> = op.variants_ms.iter().map(|ms| format!("{ms:.3}")).collect();
            let best = op.variants_ms.iter().copied().fold(op.default_ms, f64::min);
            let (nodes, key, ms, rate) = (op.nodes, &op.key, op.default_ms, op.gflop / best);
            println!("{nodes:>2} x {key:<70} {ms:8.3} | {} | best {rate:.2} TFLOP/s", variants.join(" "));
        }
        let total = |ms: fn(&TunedOp) -> f64| measured.iter().map(ms).sum::<f64>();
        let tuned = total(|op| op.choice().map_or(op.default_ms, |v| op.variants_ms[v]));
        println!("window: {:.2} ms as chosen, {tuned:.2} ms tuned", total(|op| op.default_ms));
        println!("{}", serde_json::to_string_pretty(&choices(&measured))?);
    }
    Ok(())
}
