//! Which voxels a convolution joins, and its three products in double precision.

use crate::tensor::{HostTensor, Shape};

/// Kernel size, stride, zero padding and dilation along each axis: output voxel `p` meets input voxel
/// `p stride + t dilation - padding` by tap `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Taps, 1 to 7 along each axis.
    pub kernel: [usize; 3],
    /// Input voxels per output voxel.
    pub stride: [usize; 3],
    /// Zeros before the first voxel and after the last.
    pub padding: [usize; 3],
    /// Input voxels from one tap to the next, 1 to 8 along each axis.
    pub dilation: [usize; 3],
}

/// Two volumes and the windows between them, as shaders that import `common/extents` have them in their parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Extents {
    input: [u32; 3],
    channels: u32,
    output: [u32; 3],
    kernel: [u32; 3],
    stride: [u32; 3],
    padding: [u32; 3],
    dilation: [u32; 3],
    unused: u32,
}

impl Geometry {
    /// With taps that are neighbours.
    pub fn new(kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3]) -> Self {
        Self { kernel, stride, padding, dilation: [1; 3] }
    }

    /// With so many channels of the input, and the voxels of both volumes.
    pub(in crate::kernels) fn extents(&self, channels: usize, input: [usize; 3], output: [usize; 3]) -> Extents {
        let words = |sizes: [usize; 3]| sizes.map(|size| size as u32);
        Extents {
            input: words(input),
            channels: channels as u32,
            output: words(output),
            kernel: words(self.kernel),
            stride: words(self.stride),
            padding: words(self.padding),
            dilation: words(self.dilation),
            unused: 0,
        }
    }

    /// Stride 1, with as much padding as keeps the size where kernels are odd.
    pub fn same(kernel: [usize; 3]) -> Self {
        Self::new(kernel, [1; 3], kernel.map(|k| k / 2))
    }

    /// Voxels from the first to behind the last that a window along this axis covers.
    pub fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Whether kernels, strides, padding and dilation are within what is built.
    pub(in crate::kernels) fn check(&self) -> Result<(), String> {
        for axis in 0..3 {
            let (k, s, p, d) = (self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis]);
            let built = (1..=7).contains(&k) && (1..=4).contains(&s) && (1..=8).contains(&d);
            if !built || p >= self.reach(axis) {
                return Err(format!(
                    "kernel {k}, stride {s}, padding {p}, dilation {d} along axis {axis}: kernels are 1 to 7, strides 1 to 4, \
                     dilations 1 to 8, padding less than what the kernel covers"
                ));
            }
        }
        Ok(())
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Whether it keeps the size, with a cube of this side.
    pub(in crate::kernels) fn is_cube(&self, side: usize) -> bool {
        *self == Self::same([side; 3]) && side % 2 == 1
    }

    /// Voxels of the result; `None` if the kernel is larger than the padded input.
    pub fn output(&self, size: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for a in 0..3 {
            out[a] = (size[a] + 2 * self.padding[a]).checked_sub(self.reach(a))? / self.stride[a] + 1;
        }
        Some(out)
    }

    /// Voxels of the transposed convolution's result.
    pub fn transposed(&self, size: [usize; 3], output_padding: [usize; 3]) -> Option<[usize; 3]> {
        let mut out = [0; 3];
        for a in 0..3 {
            let whole = size[a].checked_sub(1)? * self.stride[a] + self.reach(a) + output_padding[a];
            out[a] = whole.checked_sub(2 * self.padding[a]).filter(|&size| size > 0)?;
        }
        Some(out)
    }

    /// Every (tap, small voxel, large voxel) of volumes of these sizes.
    fn pairs(&self, large: [usize; 3], small: [usize; 3], mut each: impl FnMut(usize, usize, usize)) {
        let [kx, ky, kz] = self.kernel;
        for t in 0..kx * ky * kz {
            let tap = [t / kz / ky, t / kz % ky, t % kz];
            for p in 0..small.iter().product() {
                let at = [p / small[2] / small[1], p / small[2] % small[1], p % small[2]];
                let from = |a: usize| {
                    let q = at[a] * self.stride[a] + tap[a] * self.dilation[a];
                    q.checked_sub(self.padding[a]).filter(|&q| q < large[a])
                };
                if let (Some(x), Some(y), Some(z)) = (from(0), from(1), from(2)) {
                    each(t, p, (x * large[1] + y) * large[2] + z);
                }
            }
        }
    }

    /// `y[n, k, p] = Σ_{c, t} w[k, c, t] a[n, c, p stride + t dilation - padding]`.
    pub(in crate::kernels) fn convolve(&self, a: &HostTensor, w: &HostTensor) -> HostTensor {
        let (n, c, large) = a.shape.volume().expect("a volume");
        let (k, small, taps) = (w.shape.dims()[0], self.output(large).expect("checked by infer"), self.taps());
        let (from, to) = (large.iter().product::<usize>(), small.iter().product::<usize>());
        let mut y = HostTensor::zeros([n, k, small[0], small[1], small[2]]);
        self.pairs(large, small, |t, p, q| {
            for sample in 0..n {
                for channel in 0..c {
                    let value = a.data[(sample * c + channel) * from + q];
                    for o in 0..k {
                        y.data[(sample * k + o) * to + p] += w.data[(o * c + channel) * taps + t] * value;
                    }
                }
            }
        });
        y
    }

    /// `y[n, c, p stride + t dilation - padding] += Σ_{k, t} w[k, c, t] a[n, k, p]` of channels from `first` on, for a result of this
    /// shape: the transposed product.
    pub(in crate::kernels) fn spread(&self, a: &HostTensor, w: &HostTensor, shape: &Shape, first: usize) -> HostTensor {
        let (n, k, small) = a.shape.volume().expect("a volume");
        let (_, c, large) = shape.volume().expect("a volume");
        let (all, taps) = (w.shape.dims()[1], self.taps());
        let (to, from) = (large.iter().product::<usize>(), small.iter().product::<usize>());
        let mut y = HostTensor::zeros(shape.clone());
        self.pairs(large, small, |t, p, q| {
            for sample in 0..n {
                for o in 0..k {
                    let value = a.data[(sample * k + o) * from + p];
                    for channel in 0..c {
                        y.data[(sample * c + channel) * to + q] +=
                            w.data[(o * all + first + channel) * taps + t] * value;
                    }
                }
            }
        });
        y
    }

    /// `dw[k, c, t] = Σ_{n, p} large[n, c, p stride + t dilation - padding] small[n, k, p]`.
    #[cfg(feature = "train")]
    pub(in crate::kernels) fn weights(&self, a: &HostTensor, d: &HostTensor) -> HostTensor {
        let (n, c, large) = a.shape.volume().expect("a volume");
        let (_, k, small) = d.shape.volume().expect("a volume");
        let (from, to, taps) = (large.iter().product::<usize>(), small.iter().product::<usize>(), self.taps());
        let mut dw = HostTensor::zeros([k, c, self.kernel[0], self.kernel[1], self.kernel[2]]);
        self.pairs(large, small, |t, p, q| {
            for sample in 0..n {
                for channel in 0..c {
                    let value = a.data[(sample * c + channel) * from + q];
                    for o in 0..k {
                        dw.data[(o * c + channel) * taps + t] += value * d.data[(sample * k + o) * to + p];
                    }
                }
            }
        });
        dw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pytorchs() {
        let down = Geometry::new([3; 3], [1, 2, 2], [1; 3]);
        assert_eq!(down.output([5, 5, 6]), Some([5, 3, 3]));
        assert_eq!(down.transposed([5, 3, 3], [0, 1, 1]), Some([5, 6, 6]));
        assert_eq!(Geometry::same([7, 1, 3]).output([1, 1, 1]), Some([1, 1, 1]));
        assert_eq!(Geometry { padding: [0; 3], ..down }.output([2, 5, 5]), None, "a kernel beyond the volume");
        let apart = Geometry { dilation: [2, 3, 1], ..Geometry::same([3; 3]) };
        assert_eq!(apart.output([5, 5, 5]), Some([3, 1, 5]));
        assert_eq!(apart.transposed([3, 1, 5], [0; 3]), Some([5, 5, 5]));
        assert!(apart.check().is_ok() && Geometry { dilation: [0; 3], ..apart }.check().is_err());
    }
}
