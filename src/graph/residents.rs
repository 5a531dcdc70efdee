//! Buffers that outlive a plan and that several plans share: weights and states.

use std::collections::HashMap;

use super::{DType, PlanError, Role, TensorInfo};
use crate::gpu::{Buffer, Gpu};

/// Buffers that outlive a plan and that several plans share, by what they are for and their names.
///
/// Once a weight was loaded, a plan binds only weights that were: one that is missing, or has another shape, is an error and
/// never zeros. Without any, a plan allocates its weights, and whoever made it writes them.
#[derive(Clone, Default)]
pub struct Residents {
    tensors: HashMap<(Purpose, String), Resident>,
    /// Weights come from a file.
    loaded: bool,
}

/// What a tensor is kept for: names of weights and of states may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Weight,
    State,
}

#[derive(Clone)]
struct Resident {
    info: TensorInfo,
    buffer: Buffer,
}

impl Residents {
    /// Uploads a weight and waits for it: the host never holds more than one of them twice.
    ///
    /// # Errors
    /// [`PlanError::Count`], or what the device says.
    pub async fn load(&mut self, gpu: &Gpu, info: &TensorInfo, values: &[f32]) -> Result<(), PlanError> {
        let bytes = encode(info, values)?;
        let what = format!("weight {}", info.name);
        let buffer = gpu
            .scoped(&what, || {
                let buffer = gpu.buffer(&info.name, bytes.len() as u64);
                gpu.queue.write_buffer(&buffer, 0, &bytes);
                Ok::<_, PlanError>(buffer)
            })
            .await?;
        gpu.queue.submit([]);
        gpu.finish().await?;
        self.tensors.insert((Purpose::Weight, info.name.clone()), Resident { info: info.clone(), buffer });
        self.loaded = true;
        Ok(())
    }

    /// The buffer of a weight or state; one that is not there yet is allocated, unless weights were loaded.
    pub(super) fn bind(&mut self, gpu: &Gpu, tensor: &TensorInfo) -> Result<Buffer, PlanError> {
        let purpose = if tensor.role == Role::Parameter { Purpose::Weight } else { Purpose::State };
        let key = (purpose, tensor.name.clone());
        let shape = || tensor.shape.clone();
        if let Some(Resident { info, buffer }) = self.tensors.get(&key) {
            let same = info.shape == tensor.shape && info.layout == tensor.layout && info.dtype == tensor.dtype;
            let other = || PlanError::OtherShape { tensor: key.1.clone(), found: info.shape.clone(), shape: shape() };
            return if same { Ok(buffer.clone()) } else { Err(other()) };
        }
        if purpose == Purpose::Weight && self.loaded {
            return Err(PlanError::MissingWeight { tensor: key.1, shape: shape() });
        }
        let buffer = gpu.buffer(&tensor.name, tensor.bytes());
        self.tensors.insert(key, Resident { info: tensor.clone(), buffer: buffer.clone() });
        Ok(buffer)
    }
}

/// Values in natural order as a tensor stores them, in whole words.
pub(super) fn encode(info: &TensorInfo, values: &[f32]) -> Result<Vec<u8>, PlanError> {
    let TensorInfo { name, shape, dtype, layout, .. } = info;
    if values.len() != shape.elements() {
        return Err(PlanError::Count { tensor: name.clone(), shape: shape.clone(), got: values.len() });
    }
    let stored = layout.pack(shape, values);
    Ok(match dtype {
        DType::F32 => bytemuck::cast_slice(&stored).to_vec(),
        DType::F16 => {
            let halves: Vec<half::f16> = stored.into_iter().map(half::f16::from_f32).collect();
            bytemuck::cast_slice(&halves).to_vec()
        }
    })
}
