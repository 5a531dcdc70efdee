//! The tensors of a UNETR: names and shapes of MONAI's `state_dict`, in file order.
//!
//! This table is the one place that knows the names; reading, writing, importing and the graph all follow it.
//! Order is the order in which MONAI registers modules (`mlp` before `attn` in a transformer block), not the
//! order of execution.
//!
//! # Shapes
//! Linear (out, in); convolution (out, in, kx, ky, kz); transposed convolution **(in, out, 2, 2, 2)**;
//! norms (channels); position table (1, tokens, H).
//!
//! # Source
//! `state_dict()` of MONAI 0.9 to 1.3; 1.4 and later add tensors that UNETR never uses (see `weights`).

use super::config::{NUM_LAYERS, NormName, PATCH_SIZE, ProjType, UnetrConfig};

/// One tensor of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Name in MONAI's `state_dict`.
    pub name: String,
    /// Lengths of its axes, outermost first.
    pub shape: Vec<usize>,
    /// Whether training changes it: false for the running statistics of batch norm.
    pub trainable: bool,
}

impl ParameterSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value; no parameter of a valid configuration does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every tensor of the network `config` describes, in MONAI's order.
///
/// `config` must have passed [`UnetrConfig::validate`].
pub fn parameters(config: &UnetrConfig) -> Vec<ParameterSpec> {
    let mut table = Table { config, specs: Vec::new() };
    table.vit();
    table.encoders();
    table.decoders();
    table.push("out.conv.conv.weight", &[config.out_channels, config.feature_size, 1, 1, 1]);
    table.push("out.conv.conv.bias", &[config.out_channels]);
    table.specs
}

/// Number of trainable values in the network.
pub fn parameter_count(config: &UnetrConfig) -> usize {
    parameters(config).iter().filter(|spec| spec.trainable).map(ParameterSpec::len).sum()
}

struct Table<'a> {
    config: &'a UnetrConfig,
    specs: Vec<ParameterSpec>,
}

impl Table<'_> {
    fn push(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.specs.push(ParameterSpec { name: name.into(), shape: shape.to_vec(), trainable: true });
    }

    fn linear(&mut self, name: &str, out: usize, input: usize, bias: bool) {
        self.push(format!("{name}.weight"), &[out, input]);
        if bias {
            self.push(format!("{name}.bias"), &[out]);
        }
    }

    fn layer_norm(&mut self, name: &str) {
        self.push(format!("{name}.weight"), &[self.config.hidden_size]);
        self.push(format!("{name}.bias"), &[self.config.hidden_size]);
    }

    fn conv(&mut self, name: &str, out: usize, input: usize, kernel: usize) {
        self.push(format!("{name}.conv.weight"), &[out, input, kernel, kernel, kernel]);
    }

    /// The transposed convolution that doubles each axis.
    fn up(&mut self, name: &str, input: usize, out: usize) {
        self.push(format!("{name}.conv.weight"), &[input, out, 2, 2, 2]);
    }

    fn vit(&mut self) {
        let UnetrConfig { hidden_size: h, mlp_dim, qkv_bias, in_channels, proj_type, .. } = *self.config;
        let embedding = "vit.patch_embedding";
        self.push(format!("{embedding}.position_embeddings"), &[1, self.config.tokens(), h]);
        match proj_type {
            ProjType::Perceptron => {
                self.linear(&format!("{embedding}.patch_embeddings.1"), h, self.config.patch_values(), true);
            }
            ProjType::Conv => {
                let p = PATCH_SIZE;
                self.push(format!("{embedding}.patch_embeddings.weight"), &[h, in_channels, p, p, p]);
                self.push(format!("{embedding}.patch_embeddings.bias"), &[h]);
            }
        }
        for block in 0..NUM_LAYERS {
            let block = format!("vit.blocks.{block}");
            self.linear(&format!("{block}.mlp.linear1"), mlp_dim, h, true);
            self.linear(&format!("{block}.mlp.linear2"), h, mlp_dim, true);
            self.layer_norm(&format!("{block}.norm1"));
            self.linear(&format!("{block}.attn.out_proj"), h, h, true);
            self.linear(&format!("{block}.attn.qkv"), 3 * h, h, qkv_bias);
            self.layer_norm(&format!("{block}.norm2"));
        }
        self.layer_norm("vit.norm");
    }

    fn encoders(&mut self) {
        let UnetrConfig { hidden_size: h, feature_size: f, in_channels, .. } = *self.config;
        self.conv_block("encoder1.layer", in_channels, f);
        for (encoder, channels, doublings) in [(2, 2 * f, 2), (3, 4 * f, 1), (4, 8 * f, 0)] {
            let encoder = format!("encoder{encoder}");
            self.up(&format!("{encoder}.transp_conv_init"), h, channels);
            for block in 0..doublings {
                if self.config.conv_block {
                    self.up(&format!("{encoder}.blocks.{block}.0"), channels, channels);
                    self.conv_block(&format!("{encoder}.blocks.{block}.1"), channels, channels);
                } else {
                    self.up(&format!("{encoder}.blocks.{block}"), channels, channels);
                }
            }
        }
    }

    fn decoders(&mut self) {
        let UnetrConfig { hidden_size: h, feature_size: f, .. } = *self.config;
        for (decoder, input, out) in [(5, h, 8 * f), (4, 8 * f, 4 * f), (3, 4 * f, 2 * f), (2, 2 * f, f)] {
            self.up(&format!("decoder{decoder}.transp_conv"), input, out);
            self.conv_block(&format!("decoder{decoder}.conv_block"), 2 * out, out);
        }
    }

    /// `UnetResBlock` or `UnetBasicBlock`. The residual is projected only where the channels change.
    fn conv_block(&mut self, name: &str, input: usize, out: usize) {
        self.conv(&format!("{name}.conv1"), out, input, 3);
        self.conv(&format!("{name}.conv2"), out, out, 3);
        self.norm(&format!("{name}.norm1"), out);
        self.norm(&format!("{name}.norm2"), out);
        if self.config.res_block && input != out {
            self.conv(&format!("{name}.conv3"), out, input, 1);
            self.norm(&format!("{name}.norm3"), out);
        }
    }

    fn norm(&mut self, name: &str, channels: usize) {
        if self.config.norm_name.affine() {
            self.push(format!("{name}.weight"), &[channels]);
            self.push(format!("{name}.bias"), &[channels]);
        }
        if matches!(self.config.norm_name, NormName::Batch { .. }) {
            for statistic in ["running_mean", "running_var"] {
                let name = format!("{name}.{statistic}");
                self.specs.push(ParameterSpec { name, shape: vec![channels], trainable: false });
            }
        }
    }
}
