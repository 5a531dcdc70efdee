//! Windows that an adapter can bind: a network that takes any window is told which would fit, before anything is uploaded.

use super::error::InferError;
use crate::graph::{Role, TensorInfo};
use crate::nets::{Architecture, Build, Built, Window};

/// The largest tensor of a window that is beyond what can be bound.
fn too_large(built: &Built, limit: u64) -> Option<&TensorInfo> {
    let of_window = built.graph.tensors().map(|(_, tensor)| tensor).filter(|tensor| tensor.role != Role::Parameter);
    of_window.filter(|tensor| tensor.bytes() > limit).max_by_key(|tensor| tensor.bytes())
}

/// Refuses a window of which `built` has a tensor of more than `limit` bytes, naming one that fits. Where none is to choose, the
/// plan refuses it.
pub(super) fn check_window(network: &Architecture, built: &Built, build: &Build, limit: u64) -> Result<(), InferError> {
    let (Window::Any { multiple_of, .. }, Some(tensor)) = (network.window(), too_large(built, limit)) else {
        return Ok(());
    };
    match fitting(network, build, multiple_of, (tensor.bytes(), limit))? {
        Some(fits) => Err(InferError::WindowTooLarge {
            window: build.window,
            tensor: format!("{} {}", tensor.name, tensor.shape),
            bytes: tensor.bytes(),
            limit,
            fits,
        }),
        None => Ok(()),
    }
}

/// A smaller window whose tensors fit: the longest axis gives way first.
fn fitting(
    network: &Architecture,
    build: &Build,
    multiple_of: [usize; 3],
    (bytes, limit): (u64, u64),
) -> Result<Option<[usize; 3]>, InferError> {
    let voxels = |size: [usize; 3]| size.iter().map(|&side| side as f64).product::<f64>();
    let per_voxel = bytes as f64 / voxels(build.window);
    let mut size = build.window;
    loop {
        let axes = (0..3).filter(|&a| size[a] > multiple_of[a]);
        let Some(axis) = axes.max_by_key(|&a| (size[a], std::cmp::Reverse(a))) else {
            return Ok(None);
        };
        size[axis] -= multiple_of[axis];
        if per_voxel * voxels(size) <= limit as f64 {
            let smaller = network.build(&Build { window: size, ..*build })?;
            if too_large(&smaller, limit).is_none() {
                return Ok(Some(size));
            }
        }
    }
}
