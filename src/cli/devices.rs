//! `unetr devices`: what there is to run on.

use clap::Args;
use serde_json::json;

use super::console::{bytes, print, print_json};
use super::error::CliError;
use super::tuning;
use crate::gpu::{AdapterClass, AdapterReport, Gpu, GpuError, GpuOptions, list_adapters};

/// List the adapters of this machine, their limits and features, and which one is taken without --device.
#[derive(Debug, Args)]
pub(super) struct Devices {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub fn run(&self) -> Result<(), CliError> {
        let adapters = pollster::block_on(list_adapters());
        let chosen = match pollster::block_on(Gpu::open(&GpuOptions::default())) {
            Ok(gpu) => Some(gpu.adapter().clone()),
            Err(GpuError::NoAdapter) => None,
            Err(e) => return Err(e.into()),
        };
        let Some(chosen) = chosen else {
            if self.json {
                print_json(&json!({"adapters": [], "chosen": null}))?;
            }
            return Err(GpuError::NoAdapter.into());
        };
        let index = adapters.iter().position(|a| a.name == chosen.name && a.backend == chosen.backend);
        let why = reason(&chosen, &adapters);
        if self.json {
            let list: Vec<_> = adapters.iter().enumerate().map(describe).collect();
            return print_json(&json!({"adapters": list, "chosen": index, "reason": why}));
        }
        let mut text = String::new();
        for (i, a) in adapters.iter().enumerate() {
            let l = &a.limits;
            text.push_str(&format!(
                "{i}  {a}\n   kind     {}, vendor {}; kernels {}\n   driver   {}\n   limits   binding {}, buffer {}, workgroup memory {}, {} invocations, {} storage buffers\n   \
                 features 16-bit floats {}, subgroups {}, timestamps {}\n",
                kind(a.class),
                a.vendor.name(),
                tuned(a),
                a.driver,
                bytes(l.max_storage_buffer_binding_size),
                bytes(l.max_buffer_size),
                bytes(u64::from(l.max_compute_workgroup_storage_size)),
                l.max_compute_invocations_per_workgroup,
                l.max_storage_buffers_per_shader_stage,
                yes(a.shader_f16),
                yes(a.subgroups),
                yes(a.timestamps),
            ));
        }
        let number = index.map_or_else(String::new, |i| format!("{i}  "));
        text.push_str(&format!("chosen: {number}{chosen}: {why}\n"));
        print(&text)
    }
}

/// How kernels are chosen on an adapter.
fn tuned(adapter: &AdapterReport) -> String {
    match tuning::load(adapter).len() {
        0 => "by kind (unetr tune measures)".to_owned(),
        count => format!("by kind, {count} by measurement"),
    }
}

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "no" }
}

fn kind(class: AdapterClass) -> &'static str {
    match class {
        AdapterClass::Discrete => "discrete",
        AdapterClass::Integrated => "integrated",
        AdapterClass::Software => "software",
    }
}

fn reason(chosen: &AdapterReport, all: &[AdapterReport]) -> String {
    let kind = kind(chosen.class);
    if all.len() == 1 {
        return format!("it is the only adapter ({kind})");
    }
    match chosen.class {
        AdapterClass::Software => "there is no other kind than software adapters".to_owned(),
        _ => {
            format!("the first {kind} adapter; discrete come before integrated before software ones")
        }
    }
}

fn describe((index, a): (usize, &AdapterReport)) -> serde_json::Value {
    let l = &a.limits;
    json!({
        "index": index, "name": a.name, "backend": a.backend, "driver": a.driver, "kind": kind(a.class),
        "vendor": a.vendor.name(), "tuned": tuning::load(a),
        "software": a.class == AdapterClass::Software,
        "features": {"shader_f16": a.shader_f16, "subgroups": a.subgroups, "timestamps": a.timestamps},
        "limits": {
            "max_storage_buffer_binding_size": l.max_storage_buffer_binding_size,
            "max_buffer_size": l.max_buffer_size,
            "max_compute_workgroup_storage_size": l.max_compute_workgroup_storage_size,
            "max_compute_invocations_per_workgroup": l.max_compute_invocations_per_workgroup,
            "max_storage_buffers_per_shader_stage": l.max_storage_buffers_per_shader_stage,
        },
    })
}
