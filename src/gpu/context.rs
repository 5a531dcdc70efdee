use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::GpuError;
use super::adapter::{AdapterClass, AdapterReport, BrowserAdapter, Vendor, choose};
use super::canary::Canary;
use super::choices::Choices;
use super::pipeline::PipelineCache;

/// How to open a device.
#[derive(Clone, Debug, Default)]
pub struct GpuOptions {
    /// Adapter: `gpu`, `cpu` (a software adapter), its index, or part of its name; `None` takes the fastest kind.
    pub adapter: Option<String>,
    /// Ask for no more than WebGPU's default limits, whatever the adapter has.
    pub default_limits: bool,
    /// Keep the driver's bounds checks and loop guards in shaders (10 to 30% slower; for finding faults).
    pub checked: bool,
}

/// An open device with its queue, pipelines and faults. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    report: Arc<AdapterReport>,
    choices: Arc<Choices>,
    limits: Arc<wgpu::Limits>,
    features: wgpu::Features,
    checked: bool,
    faults: Arc<Mutex<Faults>>,
    pub(super) pipelines: Arc<Mutex<PipelineCache>>,
    pub(super) canary: Arc<Mutex<Option<Arc<Canary>>>>,
    #[cfg(target_arch = "wasm32")]
    pub(super) compiler: Option<Arc<dyn super::PipelineCompiler>>,
}

#[derive(Default)]
struct Faults {
    lost: Option<String>,
    first: Option<GpuError>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.report)
    }
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::AdapterNotFound`], [`GpuError::NoDevice`].
    pub async fn open(options: &GpuOptions) -> Result<Self, GpuError> {
        let adapter = choose(options.adapter.as_deref()).await?;
        let report = AdapterReport::of(&adapter);
        let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::TIMESTAMP_QUERY;
        let features = adapter.features() & wanted;
        let limits = limits_to_ask(&adapter.limits(), options.default_limits);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("unetr"),
            required_features: features,
            required_limits: limits.clone(),
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| GpuError::NoDevice { adapter: report.name.clone(), reason: e.to_string() })?;
        Ok(Self::new(device, queue, report, limits, features, options.checked))
    }

    /// Adds what a browser tells the page and not the module.
    #[must_use]
    pub fn described(mut self, told: &BrowserAdapter) -> Self {
        self.report = Arc::new(AdapterReport::clone(&self.report).described(told));
        self
    }

    /// Has pipelines made ahead by `compiler` from now on.
    #[cfg(target_arch = "wasm32")]
    #[must_use]
    pub fn compiled_by(mut self, compiler: Arc<dyn super::PipelineCompiler>) -> Self {
        self.compiler = Some(compiler);
        self
    }

    /// With kernel variants that measurement found best; plans made from now on take them.
    #[must_use]
    pub fn tuned(mut self, choices: Choices) -> Self {
        let report = AdapterReport { tuned_kernels: choices.len(), ..AdapterReport::clone(&self.report) };
        self.report = Arc::new(report);
        self.choices = Arc::new(choices);
        self
    }

    /// Kernel variants that measurement found best.
    pub fn choices(&self) -> &Arc<Choices> {
        &self.choices
    }

    /// A device that validates every call and runs nothing: plans can be checked on a machine without any driver.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn noop() -> Self {
        let limits = wgpu::Limits::default();
        let descriptor =
            wgpu::DeviceDescriptor { label: Some("noop"), required_limits: limits.clone(), ..Default::default() };
        let (device, queue) = wgpu::Device::noop(&descriptor);
        let info = device.adapter_info();
        let report = AdapterReport {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            driver: info.driver.clone(),
            class: super::adapter::class_of(&info),
            vendor: Vendor::Unknown,
            architecture: String::new(),
            tuned_kernels: 0,
            shader_f16: false,
            subgroups: false,
            timestamps: false,
            limits: limits.clone(),
        };
        Self::new(device, queue, report, limits, wgpu::Features::empty(), true)
    }

    fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        report: AdapterReport,
        limits: wgpu::Limits,
        features: wgpu::Features,
        checked: bool,
    ) -> Self {
        let faults = Arc::new(Mutex::new(Faults::default()));
        let seen = Arc::clone(&faults);
        // wgpu's own handler panics; ours keeps the first fault for the next check.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if let Ok(mut faults) = seen.lock() {
                faults.first.get_or_insert(typed(error, "a buffer"));
            }
        }));
        let seen = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            if let Ok(mut faults) = seen.lock() {
                let text = if message.is_empty() { format!("{reason:?}") } else { message };
                faults.lost.get_or_insert(text.trim_end_matches('.').to_owned());
            }
        });
        Self {
            device,
            queue,
            report: Arc::new(report),
            choices: Arc::default(),
            limits: Arc::new(limits),
            features,
            checked,
            faults,
            pipelines: Arc::new(Mutex::new(HashMap::new())),
            canary: Arc::default(),
            #[cfg(target_arch = "wasm32")]
            compiler: None,
        }
    }

    /// The adapter behind this device.
    pub fn adapter(&self) -> &AdapterReport {
        &self.report
    }

    /// Who made it.
    pub fn vendor(&self) -> Vendor {
        self.report.vendor
    }

    /// Which kernel variants suit it.
    pub fn class(&self) -> AdapterClass {
        self.report.class
    }

    /// The limits this device was opened with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    pub(super) fn features(&self) -> wgpu::Features {
        self.features
    }

    pub(super) fn checked(&self) -> bool {
        self.checked
    }

    /// The first fault since the device was opened, if any: every result is preceded by this check.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`], [`GpuError::OutOfMemory`], [`GpuError::Validation`].
    pub fn check(&self) -> Result<(), GpuError> {
        let faults = self.faults.lock().map_err(|_| GpuError::DeviceLost { reason: "a callback failed".to_owned() })?;
        if let Some(reason) = &faults.lost {
            return Err(GpuError::DeviceLost { reason: reason.clone() });
        }
        match &faults.first {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Runs `work` with out-of-memory and validation errors caught and typed; `what` names it in the message.
    ///
    /// # Errors
    /// What the driver reported, or what `work` returned.
    pub(crate) async fn scoped<T, E: From<GpuError>>(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        let validation = validation.pop();
        let memory = memory.pop();
        if let Some(error) = memory.await {
            return Err(typed(error, what).into());
        }
        if let Some(error) = validation.await {
            return Err(typed(error, what).into());
        }
        self.check()?;
        result
    }

    /// Destroys the device, as a driver reset would; every later call reports it lost.
    pub fn destroy(&self) {
        self.device.destroy();
    }
}

fn typed(error: wgpu::Error, what: &str) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { what: what.to_owned() },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Validation(description)
        }
    }
}

/// WebGPU's defaults are enough for every kernel; more is asked for only where the adapter has it.
fn limits_to_ask(adapter: &wgpu::Limits, default_only: bool) -> wgpu::Limits {
    let mut limits = wgpu::Limits {
        // Reserves system memory on some drivers; nothing here binds that much.
        max_non_sampler_bindings: adapter.max_non_sampler_bindings.min(10_000),
        ..wgpu::Limits::default()
    };
    if default_only {
        return limits;
    }
    limits.max_storage_buffer_binding_size = adapter.max_storage_buffer_binding_size;
    limits.max_buffer_size = adapter.max_buffer_size;
    limits.max_compute_workgroup_storage_size = adapter.max_compute_workgroup_storage_size;
    limits
}
