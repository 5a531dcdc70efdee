//! Bytes to the GPU and back. Reading back never blocks in a browser.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{Buffer, Gpu, GpuError};

impl Gpu {
    /// A buffer that kernels can use, zero-filled.
    pub(crate) fn buffer(&self, label: &str, bytes: u64) -> Buffer {
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4).next_multiple_of(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        Buffer::new(&self.device, &descriptor)
    }

    /// Reads a range of a buffer back. Bytes are copied once on the GPU and once here.
    ///
    /// # Errors
    /// [`GpuError::Readback`], or the fault that came first.
    pub(crate) async fn read(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
        what: &str,
    ) -> Result<Vec<u8>, GpuError> {
        let padded = bytes.next_multiple_of(4);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("readback"),
            size: padded + 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let staging = Buffer::new(&self.device, &descriptor);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, padded);
        let canary = self.canary_state();
        if let Some((canary, _)) = &canary {
            encoder.copy_buffer_to_buffer(canary, 0, &staging, padded, 4);
        }
        self.queue.submit([encoder.finish()]);
        let mapped = OneShot::default();
        let done = mapped.clone();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            done.set(result.map_err(|e| e.to_string()));
        });
        self.wait();
        let failed = |reason: String| GpuError::Readback { what: what.to_owned(), reason };
        let result = mapped.await;
        self.check()?;
        result.map_err(failed)?;
        let view = staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
        let data = view.get(..bytes as usize).map(<[u8]>::to_vec);
        let count = view.get(padded as usize..).map(bytemuck::pod_read_unaligned::<u32>);
        drop(view);
        staging.unmap();
        let short = || failed("the mapped range is short".to_owned());
        if let Some((_, submitted)) = canary {
            let done = count.ok_or_else(short)?;
            if done != submitted {
                return Err(GpuError::WorkDropped { done, submitted });
            }
        }
        data.ok_or_else(short)
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// The first fault, if there was one.
    pub(crate) async fn finish(&self) -> Result<(), GpuError> {
        let done = OneShot::default();
        let signal = done.clone();
        self.queue.on_submitted_work_done(move || signal.set(()));
        self.wait();
        done.await;
        self.check()
    }

    /// Natively the device must be polled for callbacks to run; a browser runs them by itself.
    fn wait(&self) {
        if cfg!(not(target_arch = "wasm32")) {
            // A failed poll means a lost device; the callbacks then carry the error.
            let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        }
    }
}

/// A value that a callback will set, awaited once.
struct OneShot<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Default for OneShot<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((None, None))))
    }
}

impl<T> Clone for OneShot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> OneShot<T> {
    fn set(&self, value: T) {
        if let Ok(mut state) = self.0.lock() {
            state.0 = Some(value);
            if let Some(waker) = state.1.take() {
                waker.wake();
            }
        }
    }
}

impl<T> Future for OneShot<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Ok(mut state) = self.0.lock() else {
            return Poll::Pending;
        };
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
