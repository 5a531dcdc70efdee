//! What is known of a network's parameters, said once, where the layer that has them is made. Package check, import, export,
//! first weights, optimiser groups, freezing and `unetr info` all read it.

/// How the first values of a parameter are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// A normal distribution of this standard deviation, cut off at ±2.
    Normal(f64),
    /// Uniform in `±1/√fan_in`: PyTorch's `reset_parameters` of linear layers and convolutions, weights and biases.
    Uniform {
        /// Values that one output sums over, as PyTorch counts them: all but the weight's first axis, for a transposed
        /// convolution too.
        fan_in: usize,
    },
}

impl Init {
    /// He's normal distribution before a leaky ReLU of 0.01, as nnU-Net and DynUNet draw weights: `√(2 / (1 + 0.01²) / fan_in)`.
    pub fn he(fan_in: usize) -> Self {
        Self::Normal((2.0 / (1.0 + 1e-4) / fan_in.max(1) as f64).sqrt())
    }
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weight of a linear layer or convolution: decays, and may be stored in 16 bits.
    Matrix,
    /// Bias of a linear layer or convolution.
    Bias,
    /// Scale, shift or slope of a norm or an activation.
    Scale,
    /// A value for each place of the window: another window has other places.
    Position,
    /// Running mean or variance of a batch norm: gathered, not trained.
    Statistic,
}

/// A parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its key in the reference program's state dict, `vit.blocks.3.attn.qkv.weight`.
    pub name: String,
    /// Lengths of its axes, outermost first: linear (out, in); convolution (out, in, kx, ky, kz); transposed convolution
    /// (in, out, kx, ky, kz).
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: Kind,
    /// Its first values.
    pub init: Init,
}

impl Parameter {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value; no parameter of a valid configuration does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether weight decay shrinks it: matrices and convolutions, not biases, norms or position tables.
    pub fn decays(&self) -> bool {
        self.kind == Kind::Matrix
    }

    /// Whether gradients change it.
    pub fn trained(&self) -> bool {
        self.kind != Kind::Statistic
    }
}
