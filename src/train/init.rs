//! First weights of a network trained from scratch, as MONAI and PyTorch draw them.
//!
//! | weights | distribution |
//! | --- | --- |
//! | position table; patch embedding as `perceptron` | normal, standard deviation 0.02; its bias 0 |
//! | layer, instance and group norms | 1; bias 0 |
//! | linear, convolution | uniform in ±1/√fan_in, bias too |
//! | transposed convolution (in, out, 2, 2, 2) | the same with fan_in = 8 out |
//!
//! Every tensor has a random stream of its own, so that a layer made anew does not change the others.
//! Source: MONAI `PatchEmbeddingBlock`, `UNETR`; PyTorch `reset_parameters` of `Linear`, `_ConvNd`.

use rand::distr::{Distribution, Uniform};
use rand_distr::Normal;

use super::data::random::keyed;
use crate::model::{ParameterSpec, UnetrConfig, parameters};

/// A tensor's first values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draw {
    Constant(f32),
    Normal(f64),
    Uniform(f64),
}

/// The first values of one of the network's tensors under a seed.
pub fn initial(config: &UnetrConfig, spec: &ParameterSpec, seed: u64) -> Vec<f32> {
    let mut rng = keyed(&spec.name, &[seed]);
    let n = spec.len();
    match draw(config, spec) {
        Draw::Constant(value) => vec![value; n],
        // Neither constructor fails for a finite, positive width.
        Draw::Normal(deviation) => Normal::new(0.0, deviation)
            .map(|normal| normal.sample_iter(&mut rng).take(n).map(|v: f64| v.clamp(-2.0, 2.0) as f32).collect())
            .unwrap_or_else(|_| vec![0.0; n]),
        Draw::Uniform(bound) => Uniform::new(-bound, bound)
            .map(|uniform| uniform.sample_iter(&mut rng).take(n).map(|v: f64| v as f32).collect())
            .unwrap_or_else(|_| vec![0.0; n]),
    }
}

fn draw(config: &UnetrConfig, spec: &ParameterSpec) -> Draw {
    let name = spec.name.as_str();
    let bias = name.ends_with(".bias");
    if name.ends_with("position_embeddings") {
        return Draw::Normal(0.02);
    }
    if name.contains("patch_embeddings.1.") {
        return if bias { Draw::Constant(0.0) } else { Draw::Normal(0.02) };
    }
    if name.rsplit('.').nth(1).is_some_and(|module| module.starts_with("norm")) {
        return Draw::Constant(if bias { 0.0 } else { 1.0 });
    }
    let fan_in = match bias {
        true => weight_of(config, name).map_or(1, |weight| fan_in(&weight)),
        false => fan_in(spec),
    };
    Draw::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
}

/// The weight that a bias belongs to.
fn weight_of(config: &UnetrConfig, bias: &str) -> Option<ParameterSpec> {
    let weight = format!("{}.weight", bias.strip_suffix(".bias")?);
    parameters(config).into_iter().find(|spec| spec.name == weight)
}

/// Values that one output sums over, as PyTorch counts them: all but the first axis, for a transposed convolution too.
fn fan_in(spec: &ParameterSpec) -> usize {
    spec.shape.iter().skip(1).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(values: &[f32]) -> f64 {
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn weights_are_spread_as_pytorch_spreads_them() {
        let config = UnetrConfig { hidden_size: 96, mlp_dim: 192, num_heads: 4, ..UnetrConfig::default() };
        let specs = parameters(&config);
        let of = |name: &str| {
            let spec = specs.iter().find(|s| s.name == name).expect(name);
            initial(&config, spec, 7)
        };
        let near = |name: &str, want: f64| {
            let values = of(name);
            let got = deviation(&values);
            // Five standard errors of a standard deviation.
            let slack = 5.0 / (2.0 * values.len() as f64).sqrt();
            assert!((got / want - 1.0).abs() < slack, "{name}: {got} for {want}");
        };
        let uniform = |fan_in: f64| (1.0 / fan_in).sqrt() / 3f64.sqrt();
        near("vit.patch_embedding.position_embeddings", 0.02);
        near("vit.patch_embedding.patch_embeddings.weight", uniform(4096.0));
        near("vit.blocks.3.mlp.linear2.weight", uniform(192.0));
        near("vit.blocks.3.mlp.linear2.bias", uniform(192.0));
        near("encoder1.layer.conv2.conv.weight", uniform(16.0 * 27.0));
        near("decoder5.transp_conv.conv.weight", uniform(128.0 * 8.0));
        near("out.conv.conv.bias", uniform(16.0));
        assert!(of("vit.blocks.0.norm1.weight").iter().all(|v| *v == 1.0));
        assert!(of("vit.norm.bias").iter().all(|v| *v == 0.0));
    }

    #[test]
    fn tensors_have_streams_of_their_own() {
        let config = UnetrConfig { hidden_size: 48, mlp_dim: 96, num_heads: 4, ..UnetrConfig::default() };
        let wider = UnetrConfig { out_channels: 3, ..config.clone() };
        let both = |name: &str| {
            [&config, &wider].map(|c| {
                let spec = parameters(c).into_iter().find(|s| s.name == name).expect(name);
                initial(c, &spec, 1)
            })
        };
        let [a, b] = both("encoder1.layer.conv1.conv.weight");
        assert_eq!(a, b, "another head leaves the rest as it was");
        let spec = parameters(&config).swap_remove(0);
        assert_ne!(initial(&config, &spec, 1), initial(&config, &spec, 2));
    }
}
