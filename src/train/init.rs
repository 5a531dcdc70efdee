//! First weights of a network trained from scratch, drawn as each layer says ([`Init`]).
//!
//! Every tensor has a random stream of its own, so that a layer made anew does not change the others.

use rand::distr::{Distribution, Uniform};
use rand_distr::Normal;

use super::data::random::keyed;
use crate::nets::{Init, Parameter};

/// The first values of a parameter under a seed.
pub fn initial(parameter: &Parameter, seed: u64) -> Vec<f32> {
    let mut rng = keyed(&parameter.name, &[seed]);
    let n = parameter.len();
    match parameter.init {
        Init::Constant(value) => vec![value; n],
        // Neither constructor fails for a finite, positive width.
        Init::Normal(deviation) => Normal::new(0.0, deviation)
            .map(|normal| normal.sample_iter(&mut rng).take(n).map(|v: f64| v.clamp(-2.0, 2.0) as f32).collect())
            .unwrap_or_else(|_| vec![0.0; n]),
        Init::Uniform { fan_in } => {
            let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
            Uniform::new(-bound, bound)
                .map(|uniform| uniform.sample_iter(&mut rng).take(n).map(|v: f64| v as f32).collect())
                .unwrap_or_else(|_| vec![0.0; n])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Architecture, UnetrConfig};

    fn deviation(values: &[f32]) -> f64 {
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn weights_are_spread_as_pytorch_spreads_them() {
        let config = UnetrConfig { hidden_size: 96, mlp_dim: 192, num_heads: 4, ..UnetrConfig::default() };
        let network = Architecture::new(config).expect("a network");
        let of = |name: &str| initial(network.parameter(name).expect(name), 7);
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
                let network = Architecture::new(c.clone()).expect("a network");
                initial(network.parameter(name).expect(name), 1)
            })
        };
        let [a, b] = both("encoder1.layer.conv1.conv.weight");
        assert_eq!(a, b, "another head leaves the rest as it was");
        let network = Architecture::new(config).expect("a network");
        let table = &network.parameters()[0];
        assert_ne!(initial(table, 1), initial(table, 2));
    }
}
