//! What one window of a network costs: operations and traffic of each layer, and the counts that papers give.

use serde::Serialize;

use super::error::CliError;
use crate::gpu::{AdapterClass, Limits};
use crate::graph::{MemoryPlan, NodeReport, Target};
use crate::nets::{Architecture, Build, Kind, Parameter};

/// A module's or node's share of a window.
#[derive(Serialize)]
pub(super) struct Layer {
    pub name: String,
    pub op: String,
    pub gflop: f64,
    pub megabytes: f64,
}

/// Counts of the network for one window.
#[derive(Serialize)]
pub(super) struct Complexity {
    pub parameters: usize,
    pub flops: f64,
    pub multiply_adds: f64,
    /// As counters see it that know convolutions and linear layers only: no position table, no norms.
    pub parameters_of_convolutions_and_linears: usize,
    /// As such counters count: transposed convolutions as if every output saw every tap, no attention products.
    pub multiply_adds_of_such_counters: f64,
}

/// One window of a network, placed in memory.
pub(super) struct OneWindow {
    pub layouted: MemoryPlan,
    /// Multiply-adds of the output convolution, which is one node with the end of the block before it.
    pub head_products: f64,
}

/// The graph of one window, placed in memory without a device and whatever an adapter's limits.
pub(super) fn lay_out(network: &Architecture, roi: [usize; 3], half_weights: bool) -> Result<OneWindow, CliError> {
    let mut built = network.build(&Build { half_weights, ..Build::window(roi) })?;
    let logits = built.logits()?;
    built.graph.output(logits);
    let limits = Limits { max_storage_buffer_binding_size: u64::MAX, max_buffer_size: u64::MAX, ..Limits::default() };
    let layouted = MemoryPlan::new(&built.graph, &Target::new(AdapterClass::Discrete), &limits, false)?;
    Ok(OneWindow { layouted, head_products: built.head_products() })
}

pub(super) fn node(n: &NodeReport) -> Layer {
    Layer { name: n.name.clone(), op: n.op.to_owned(), gflop: n.cost.flops * 1e-9, megabytes: n.cost.bytes * 1e-6 }
}

/// Nodes summed by module: `vit.blocks.3`, `encoder2`, ...
pub(super) fn modules(network: &Architecture, nodes: &[NodeReport]) -> Vec<Layer> {
    let mut all: Vec<Layer> = Vec::new();
    for n in nodes {
        let name = network.module(&n.name).to_owned();
        match all.iter_mut().find(|l| l.name == name) {
            Some(layer) => {
                layer.gflop += n.cost.flops * 1e-9;
                layer.megabytes += n.cost.bytes * 1e-6;
                layer.op = format!(
                    "{} ops",
                    layer.op.split(' ').next().and_then(|c| c.parse::<usize>().ok()).unwrap_or(1) + 1
                );
            }
            None => all.push(Layer { name, op: "1 op".to_owned(), ..node(n) }),
        }
    }
    all
}

pub(super) fn complexity(network: &Architecture, nodes: &[NodeReport], head_products: f64) -> Complexity {
    let of = |op: &str| -> f64 { nodes.iter().filter(|n| n.op == op).map(|n| n.cost.flops / 2.0).sum() };
    let dense = of("linear") + of("conv3d") + head_products;
    let is_seen = |p: &&Parameter| matches!(p.kind, Kind::Matrix | Kind::Bias);
    Complexity {
        parameters: network.parameter_count(),
        flops: nodes.iter().map(|n| n.cost.flops).sum(),
        multiply_adds: dense + of("conv_transpose3d") + of("attention"),
        parameters_of_convolutions_and_linears: network.parameters().iter().filter(is_seen).map(Parameter::len).sum(),
        multiply_adds_of_such_counters: dense + 8.0 * of("conv_transpose3d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::UnetrConfig;

    fn published() -> (Architecture, OneWindow) {
        let network = Architecture::new(UnetrConfig::default()).expect("a network");
        let window = lay_out(&network, [96; 3], false).expect("placed");
        (network, window)
    }

    #[test]
    fn the_papers_row_is_reproduced() {
        let (network, window) = published();
        let c = complexity(&network, window.layouted.nodes(), window.head_products);
        assert_eq!(c.parameters, 92_784_046);
        assert_eq!(c.parameters_of_convolutions_and_linears, 92_579_758);
        assert!((c.multiply_adds * 1e-9 - 73.22).abs() < 0.01, "{}", c.multiply_adds);
        // Rounded as in the paper's table, but for the classes it was counted with.
        assert!(
            (c.multiply_adds_of_such_counters * 0.5e-9 - 41.19).abs() < 0.1,
            "{}",
            c.multiply_adds_of_such_counters
        );
    }

    #[test]
    fn modules_keep_every_operation() {
        let (network, OneWindow { layouted: window, .. }) = published();
        let all: f64 = window.nodes().iter().map(|n| n.cost.flops * 1e-9).sum();
        let sum: f64 = modules(&network, window.nodes()).iter().map(|l| l.gflop).sum();
        assert!((all - sum).abs() < 1e-6 * all, "{all} and {sum}");
    }
}
