//! Memory on the GPU, given back as soon as nobody holds it.

use std::ops::Deref;
use std::sync::Arc;

/// A buffer that several may hold. With the last of them its memory goes.
///
/// A browser would free it when its garbage collector comes by, which knows nothing of the GPU's memory: scan after scan the
/// device would fill. So it is destroyed; work that was submitted before still runs to its end.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<Owned>);

struct Owned(wgpu::Buffer);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

impl Buffer {
    pub fn new(device: &wgpu::Device, descriptor: &wgpu::BufferDescriptor<'_>) -> Self {
        Self(Arc::new(Owned(device.create_buffer(descriptor))))
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.0
    }
}
