//! Volumes too large for one binding: their channels lie in several tensors. A convolution of such a volume sums over its parts,
//! and each part of a result has a part of the weight, which a checkpoint holds whole.

use super::super::builder::Net;
use super::norm::{NormName, norm_parts};
use super::unet_block::{Block, up_weight, weight};
use crate::graph::{Graph, GraphError, TensorId};
use crate::kernels::conv_transpose3d::ConvTranspose;
use crate::kernels::conv3d::Conv;
use crate::kernels::lazy::{Act, Lazy};

/// Bytes that WebGPU lets every adapter bind.
const BINDING: usize = 128 << 20;

/// In how many tensors so many channels lie, each of whole blocks of four channels. 1 where no number will do: then the adapter's
/// limits decide.
pub fn parts(channels: usize, voxels: usize) -> usize {
    let fits = |parts: &usize| {
        let own = channels / parts;
        channels.is_multiple_of(*parts)
            && (*parts == 1 || own.is_multiple_of(4))
            && voxels.saturating_mul(own).saturating_mul(4) <= BINDING
    };
    (1..=channels).find(fits).unwrap_or(1)
}

/// Whether channels that are normalised so can lie in several tensors: groups may reach over parts, and running averages are
/// kept whole.
pub fn divides(norm: NormName) -> bool {
    matches!(norm, NormName::Instance { .. })
}

/// A convolution's result in `outs` parts; the channels of the sources follow one another.
///
/// # Errors
/// [`GraphError`] if channels cannot be divided so, or the shapes do not fit.
pub fn conv(n: &mut Net, name: &str, sources: &[Lazy], outs: usize, conv: &Conv) -> Result<Vec<TensorId>, GraphError> {
    // A convolution takes one source or two.
    let each = if sources.len().is_multiple_of(2) { 2 } else { 1 };
    let ins = sources.len() / each;
    let weights = n.graph().split_weights(&format!("{name}.parts"), conv.w, outs, ins)?;
    let biases = match conv.bias {
        Some(bias) if outs > 1 => n.graph().split_vector(&format!("{name}.bias.parts"), bias, outs)?,
        whole => whole.into_iter().collect(),
    };
    let mut results = Vec::with_capacity(outs);
    for (out, weights) in weights.into_iter().enumerate() {
        let mut sum: Option<TensorId> = None;
        for (i, (sources, w)) in sources.chunks(each).zip(weights).enumerate() {
            let name = format!("{name}.{out}.{i}");
            let bias = biases.get(out).copied().filter(|_| i == 0);
            let own = Conv { w, bias, moments: conv.moments && ins == 1, ..*conv };
            let y = n.graph().conv3d(&name, sources, &own)?;
            sum = Some(match sum {
                None => y,
                Some(sum) => n.graph().sum(&format!("{name}.sum"), &sum.into(), &y.into(), Act::None)?,
            });
        }
        results.extend(sum);
    }
    Ok(results)
}

/// Logits of a value in parts: what each part's 1x1x1 convolution gives, added up.
///
/// # Errors
/// [`GraphError`] if the shapes do not fit.
pub fn head(
    g: &mut Graph,
    name: &str,
    ends: &[Lazy],
    weights: &[TensorId],
    bias: TensorId,
) -> Result<TensorId, GraphError> {
    let mut sum: Option<TensorId> = None;
    for (i, (end, &w)) in ends.iter().zip(weights).enumerate() {
        let name = format!("{name}.{i}");
        let bias = Some(bias).filter(|_| i == 0);
        let y = g.conv3d(&name, &[*end], &Conv { bias, ..Conv::new(w) })?;
        sum = Some(match sum {
            None => y,
            Some(sum) => g.sum(&format!("{name}.sum"), &sum.into(), &y.into(), Act::None)?,
        });
    }
    sum.ok_or_else(|| GraphError::new("a value without channels"))
}

/// A block's result, and what its convolutions gave, all in parts.
#[derive(Clone, Debug)]
pub struct Made {
    pub end: Vec<Lazy>,
    /// Name and result of each convolution.
    pub convs: Vec<(&'static str, Vec<TensorId>)>,
}

/// `UnetResBlock` or `UnetBasicBlock` of kernels of 3 and stride 1, as [`super::unet_block`] has it.
///
/// # Errors
/// As [`conv`]; also for a block of another kernel or stride.
pub fn unet_block(n: &mut Net, name: &str, inputs: &[TensorId], block: Block, outs: usize) -> Result<Made, GraphError> {
    if block.kernel != [3; 3] || block.stride != [1; 3] {
        return Err(GraphError::new("blocks in parts have kernels of 3 and stride 1"));
    }
    n.scope(name, |n| {
        let Block { out, he, act, .. } = block;
        let channels: usize = inputs.iter().map(|&x| n.channels(x)).sum();
        let sources: Vec<Lazy> = inputs.iter().map(|&x| x.into()).collect();
        let normed = |n: &mut Net, name: &str, y: &[TensorId]| norm_parts(n, block.norm, name, y, 1.0);
        let w1 = weight(n, "conv1", [out, channels], 3, he);
        let u1 = conv(n, "conv1.conv", &sources, outs, &Conv::before_norm(w1))?;
        let mut convs = vec![("conv1", u1.clone())];
        let shortcut: Vec<(TensorId, Option<TensorId>)> = match block.residual && channels != out {
            true => {
                let w3 = weight(n, "conv3", [out, channels], 1, he);
                let r = conv(n, "conv3.conv", &sources, outs, &Conv::before_norm(w3))?;
                convs.push(("conv3", r.clone()));
                let norm3 = normed(n, "norm3", &r)?;
                r.into_iter().zip(norm3.into_iter().map(Some)).collect()
            }
            false if block.residual && inputs.len() == outs => inputs.iter().map(|&x| (x, None)).collect(),
            false if block.residual => {
                return Err(GraphError::new(format!("a residual of {} tensors for {outs}", inputs.len())));
            }
            false => Vec::new(),
        };
        let norm1 = normed(n, "norm1", &u1)?;
        let inner: Vec<Lazy> = u1.iter().zip(norm1).map(|(&u, norm)| Lazy::new(u, Some(norm), act)).collect();
        let w2 = weight(n, "conv2", [out, out], 3, he);
        let u2 = conv(n, "conv2.conv", &inner, outs, &Conv::before_norm(w2))?;
        let norm2 = normed(n, "norm2", &u2)?;
        let whole = |(i, (&u, norm)): (usize, (&TensorId, TensorId))| {
            let end = Lazy::new(u, Some(norm), act);
            shortcut.get(i).map_or(end, |&(r, norm)| end.plus(r, norm))
        };
        let end = u2.iter().zip(norm2).enumerate().map(whole).collect();
        convs.push(("conv2", u2));
        Ok(Made { end, convs })
    })
}

/// The transposed convolution that doubles each axis, its result in `outs` parts.
///
/// # Errors
/// As [`conv`].
pub fn up(n: &mut Net, name: &str, x: TensorId, out: usize, outs: usize) -> Result<Vec<TensorId>, GraphError> {
    let w = up_weight(n, name, x, out);
    let weights = n.graph().split_weights(&format!("{name}.parts"), w, outs, 1)?;
    let one = |(i, w): (usize, TensorId)| {
        let conv = ConvTranspose::without_overlap(n.graph(), w, None);
        n.graph().conv_transpose3d(&format!("{name}.{i}"), &[x.into()], &conv)
    };
    weights.into_iter().flatten().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_lie_in_as_few_tensors_as_fit() {
        assert_eq!(parts(48, 96 * 96 * 96), 2);
        assert_eq!(parts(24, 96 * 96 * 96), 1);
        assert_eq!(parts(48, 128 * 128 * 128), 3, "16 channels of it are the limit");
        assert_eq!(parts(7, 1 << 30), 1, "it cannot be divided");
    }
}
