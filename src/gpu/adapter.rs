use std::fmt;

use super::GpuError;

/// What kind of machine stands behind an adapter; kernel variants are chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A CPU that plays a GPU (lavapipe, SwiftShader, WARP): barriers and workgroup memory cost, loads cost more.
    Software,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU with memory of its own, or one that does not say.
    Discrete,
}

/// Who made a GPU: compilers differ, and how many registers an invocation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Radeon and the GPUs within AMD's processors.
    Amd,
    /// M and A series.
    Apple,
    /// Mali and Immortalis.
    Arm,
    /// UHD, Iris Xe and Arc.
    Intel,
    /// GeForce, RTX and data centre GPUs.
    Nvidia,
    /// Adreno.
    Qualcomm,
    /// Another, or one that does not say.
    Unknown,
}

impl Vendor {
    /// By what a driver or a browser calls it.
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "amd" | "ati" => Self::Amd,
            "apple" => Self::Apple,
            "arm" => Self::Arm,
            "intel" => Self::Intel,
            "nvidia" => Self::Nvidia,
            "qualcomm" => Self::Qualcomm,
            _ => Self::Unknown,
        }
    }

    /// By the number of the PCI or Khronos registry; Metal gives none, but runs on Apple's GPUs where it says integrated.
    fn of(info: &wgpu::AdapterInfo) -> Self {
        match info.vendor {
            0x1002 | 0x1022 => Self::Amd,
            0x106b => Self::Apple,
            0x13b5 => Self::Arm,
            0x8086 => Self::Intel,
            0x10de => Self::Nvidia,
            0x5143 => Self::Qualcomm,
            _ => Self::named(info.name.split_whitespace().next().unwrap_or_default()),
        }
    }

    /// Its name for users.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd => "AMD",
            Self::Apple => "Apple",
            Self::Arm => "Arm",
            Self::Intel => "Intel",
            Self::Nvidia => "NVIDIA",
            Self::Qualcomm => "Qualcomm",
            Self::Unknown => "unknown",
        }
    }
}

/// What a browser tells the page of an adapter and not the module.
#[derive(Clone, Debug, Default)]
pub struct BrowserAdapter {
    /// A name to show.
    pub name: String,
    /// It runs on the processor.
    pub software: bool,
    /// `GPUAdapterInfo.vendor`, "intel".
    pub vendor: String,
    /// `GPUAdapterInfo.architecture`, "gen-12lp".
    pub architecture: String,
}

impl BrowserAdapter {
    /// The kind of machine: browsers do not say whether a GPU has memory of its own, but its architecture does.
    fn class(&self) -> AdapterClass {
        let discrete = match Vendor::named(&self.vendor) {
            Vendor::Apple | Vendor::Arm | Vendor::Qualcomm => false,
            // Arc; everything else of Intel's is part of a processor.
            Vendor::Intel => self.architecture.ends_with("hpg"),
            Vendor::Amd | Vendor::Nvidia | Vendor::Unknown => true,
        };
        match (self.software, discrete) {
            (true, _) => AdapterClass::Software,
            (false, true) => AdapterClass::Discrete,
            (false, false) => AdapterClass::Integrated,
        }
    }
}

/// One adapter of this machine, as shown to a user.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// The adapter's own name.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12`, `BrowserWebGpu` or `Noop`.
    pub backend: String,
    /// Driver name and version.
    pub driver: String,
    pub class: AdapterClass,
    pub vendor: Vendor,
    /// What a browser calls its architecture; empty elsewhere.
    pub architecture: String,
    /// Kernels whose variant was chosen by measurement.
    pub tuned_kernels: usize,
    /// 16-bit floats in shaders.
    pub shader_f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamps per kernel.
    pub timestamps: bool,
    /// What the adapter would allow.
    pub limits: wgpu::Limits,
}

impl AdapterReport {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let features = adapter.features();
        Self {
            class: class_of(&info),
            vendor: Vendor::of(&info),
            architecture: String::new(),
            tuned_kernels: 0,
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            name: info.name,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            limits: adapter.limits(),
        }
    }
}

impl AdapterReport {
    /// With what a browser told the page.
    pub(super) fn described(mut self, told: &BrowserAdapter) -> Self {
        if self.name.is_empty() {
            self.name.clone_from(&told.name);
        }
        if self.class != AdapterClass::Software {
            self.class = told.class();
        }
        self.vendor = Vendor::named(&told.vendor);
        self.architecture.clone_from(&told.architecture);
        self
    }
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.backend)?;
        if self.class == AdapterClass::Software {
            f.write_str(", software adapter: runs on the CPU")?;
        }
        f.write_str(")")
    }
}

/// The class by what the driver says of itself; browsers hide the type, so the usual names are looked for too.
pub(super) fn class_of(info: &wgpu::AdapterInfo) -> AdapterClass {
    let name = info.name.to_ascii_lowercase();
    let software = ["llvmpipe", "swiftshader", "basic render", "lavapipe"];
    match info.device_type {
        wgpu::DeviceType::Cpu => AdapterClass::Software,
        _ if software.iter().any(|s| name.contains(s)) => AdapterClass::Software,
        wgpu::DeviceType::IntegratedGpu => AdapterClass::Integrated,
        _ => AdapterClass::Discrete,
    }
}

pub(super) fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends =
        wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    // Debug layers change timings and are not on users' machines.
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

/// Every adapter of this machine; an adapter's place in the list is its index.
pub async fn list_adapters() -> Vec<AdapterReport> {
    let adapters = instance().enumerate_adapters(wgpu::Backends::all()).await;
    adapters.iter().map(AdapterReport::of).collect()
}

/// The adapter asked for: `gpu` or `cpu` for the first of that kind, an index, or part of its name; without a wish the
/// fastest kind, in list order.
pub(super) async fn choose(wish: Option<&str>) -> Result<wgpu::Adapter, GpuError> {
    let instance = instance();
    if cfg!(target_arch = "wasm32") {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        return instance.request_adapter(&options).await.map_err(|_| GpuError::NoAdapter);
    }
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    if adapters.is_empty() {
        return Err(GpuError::NoAdapter);
    }
    let reports: Vec<_> = adapters.iter().map(AdapterReport::of).collect();
    let kinds: Vec<(AdapterClass, &str)> = reports.iter().map(|r| (r.class, r.name.as_str())).collect();
    match pick(&kinds, wish) {
        Some(index) => Ok(adapters.swap_remove(index)),
        None => Err(GpuError::AdapterNotFound {
            wanted: wish.unwrap_or_default().to_owned(),
            available: reports
                .iter()
                .enumerate()
                .map(|(i, r)| format!("{i}: {}", r.name))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// The index of the adapter asked for, among classes and names.
fn pick(adapters: &[(AdapterClass, &str)], wish: Option<&str>) -> Option<usize> {
    let rank = |i: &usize| match adapters[*i].0 {
        AdapterClass::Discrete => 0,
        AdapterClass::Integrated => 1,
        AdapterClass::Software => 2,
    };
    let all = 0..adapters.len();
    match wish {
        None => all.min_by_key(rank),
        Some("gpu") => all.filter(|i| rank(i) < 2).min_by_key(rank),
        Some("cpu") => all.into_iter().find(|i| rank(i) == 2),
        Some(wish) => match wish.parse::<usize>() {
            Ok(index) => all.contains(&index).then_some(index),
            Err(_) => {
                let wish = wish.to_lowercase();
                adapters.iter().position(|(_, name)| name.to_lowercase().contains(&wish))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_tell_vendor_and_architecture() {
        let kind = |vendor: &str, architecture: &str, software| {
            let told = BrowserAdapter {
                vendor: vendor.to_owned(),
                architecture: architecture.to_owned(),
                software,
                ..BrowserAdapter::default()
            };
            (Vendor::named(&told.vendor), told.class())
        };
        assert_eq!(kind("intel", "gen-12lp", false), (Vendor::Intel, AdapterClass::Integrated));
        assert_eq!(kind("intel", "xe-hpg", false), (Vendor::Intel, AdapterClass::Discrete));
        assert_eq!(kind("apple", "metal-3", false), (Vendor::Apple, AdapterClass::Integrated));
        assert_eq!(kind("nvidia", "ampere", false), (Vendor::Nvidia, AdapterClass::Discrete));
        assert_eq!(kind("amd", "rdna-2", false), (Vendor::Amd, AdapterClass::Discrete));
        assert_eq!(kind("", "", false), (Vendor::Unknown, AdapterClass::Discrete));
        assert_eq!(kind("google", "swiftshader", true), (Vendor::Unknown, AdapterClass::Software));
    }

    #[test]
    fn adapters_are_picked_by_kind_index_and_name() {
        let software = (AdapterClass::Software, "llvmpipe (LLVM 15)");
        let all = [software, (AdapterClass::Integrated, "Intel UHD"), (AdapterClass::Discrete, "NVIDIA RTX")];
        for (wish, found) in [
            (None, Some(2)),
            (Some("gpu"), Some(2)),
            (Some("cpu"), Some(0)),
            (Some("1"), Some(1)),
            (Some("intel"), Some(1)),
            (Some("3"), None),
            (Some("radeon"), None),
        ] {
            assert_eq!(pick(&all, wish), found, "{wish:?}");
        }
        assert_eq!((pick(&[software], None), pick(&[software], Some("gpu"))), (Some(0), None));
        assert_eq!((pick(&all[1..], Some("cpu")), pick(&[], None)), (None, None));
    }
}
