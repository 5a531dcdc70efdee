//! Every shader in every variant that a plan can ask for: valid WGSL, bindings and parameters as Rust declares them,
//! within WebGPU's default limits, and translatable to SPIR-V, MSL and HLSL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess, TypeInner};
use unetr_wgpu::gpu::{Access, AdapterClass, SHADERS, Vendor, expand};
use unetr_wgpu::graph::{Dispatch, MemoryPlan, Target};
use unetr_wgpu::kernels::{all_cases, selftest};

/// Every kind of adapter, with few registers and with many.
const ADAPTERS: [(AdapterClass, Vendor); 4] = [
    (AdapterClass::Software, Vendor::Unknown),
    (AdapterClass::Integrated, Vendor::Unknown),
    (AdapterClass::Discrete, Vendor::Intel),
    (AdapterClass::Discrete, Vendor::Amd),
];

/// One dispatch of each (shader, constants) that any case reaches on any class of adapter or forced variant.
fn variants() -> Vec<Dispatch> {
    let mut seen = BTreeMap::new();
    for (_, cases) in all_cases() {
        for case in cases.into_iter().map(Arc::new) {
            let built = selftest::case_graph(&case).expect("a case fits its kernel");
            for (class, vendor) in ADAPTERS {
                for variant in std::iter::once(None).chain((0..case.kernel.variants()).map(Some)) {
                    let target = Target { variant, vendor, ..Target::new(class) };
                    let layouted = MemoryPlan::new(&built.graph, &target, &wgpu::Limits::default(), false)
                        .unwrap_or_else(|e| panic!("{}: {e}", case.name));
                    for (_, dispatch) in layouted.dispatches() {
                        seen.insert((dispatch.shader, dispatch.constants.clone()), dispatch.clone());
                    }
                }
            }
        }
    }
    seen.into_values().collect()
}

fn parse(dispatch: &Dispatch) -> (naga::Module, naga::valid::ModuleInfo) {
    let source = expand(dispatch.shader, &dispatch.constants).expect("the shader expands");
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}\n{}", e.emit_to_string(&source), dispatch.shader));
    // Core WebGPU has pack2x16float and its inverse; naga counts them as a capability. Nothing else is allowed.
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{} {:?}: {}", dispatch.shader, dispatch.constants, e.emit_to_string(&source)));
    (module, info)
}

#[test]
fn bindings_and_parameters_are_as_declared() {
    for dispatch in variants() {
        let (module, _) = parse(&dispatch);
        let label = format!("{} {:?}", dispatch.shader, dispatch.constants);
        let mut bound: BTreeMap<u32, &naga::GlobalVariable> = BTreeMap::new();
        for (_, variable) in module.global_variables.iter() {
            if let Some(binding) = &variable.binding {
                assert_eq!(binding.group, 0, "{label}");
                bound.insert(binding.binding, variable);
            }
        }
        let numbers: Vec<u32> = bound.keys().copied().collect();
        let want: Vec<u32> = (0..=dispatch.bindings.len() as u32).collect();
        assert_eq!(numbers, want, "{label}: binding numbers");
        let uniform = bound[&0];
        assert_eq!(uniform.space, AddressSpace::Uniform, "{label}");
        let TypeInner::Struct { members, .. } = &module.types[uniform.ty].inner else {
            panic!("{label}: parameters are no struct");
        };
        let fields: Vec<(&str, usize)> =
            members.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize)).collect();
        assert_eq!(fields, dispatch.params.fields, "{label}: parameter offsets");
        for ((number, variable), (operand, access)) in bound.iter().skip(1).zip(&dispatch.bindings) {
            let AddressSpace::Storage { access: declared } = variable.space else {
                panic!("{label}: binding {number} is no storage buffer");
            };
            let written = declared.contains(StorageAccess::STORE);
            assert_eq!(written, *access == Access::Write, "{label}: {operand:?} at binding {number}");
        }
    }
}

#[test]
fn limits_hold() {
    for dispatch in variants() {
        let (module, _) = parse(&dispatch);
        let label = format!("{} {:?}", dispatch.shader, dispatch.constants);
        let entry = module.entry_points.iter().find(|e| e.name == dispatch.entry);
        let size = entry.unwrap_or_else(|| panic!("{label}: no entry {}", dispatch.entry)).workgroup_size;
        assert!(size.iter().product::<u32>() <= 256, "{label}: {size:?} invocations");
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("types have a layout");
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
            .map(|(_, v)| layouter[v.ty].size)
            .sum();
        assert!(workgroup <= 16 << 10, "{label}: {workgroup} bytes of workgroup memory");
    }
}

/// A number beyond an op's last variant means its last: no op has a variant that the tests do not reach.
#[test]
fn no_op_has_more_variants_than_it_says() {
    for (name, cases) in all_cases() {
        for case in cases.into_iter().map(Arc::new) {
            let built = selftest::case_graph(&case).expect("a case fits its kernel");
            let work = |variant| {
                let target = Target { variant: Some(variant), ..Target::new(AdapterClass::Discrete) };
                let layouted =
                    MemoryPlan::new(&built.graph, &target, &wgpu::Limits::default(), false).expect("it fits");
                layouted.dispatches().map(|(_, d)| d.clone()).collect::<Vec<_>>()
            };
            let last = case.kernel.variants() - 1;
            for beyond in [last + 1, last + 2, 1000] {
                assert_eq!(work(beyond), work(last), "{name}: {}: variant {beyond}", case.name);
            }
        }
    }
}

/// `&&` and `||` are branches to compilers: a hundred of them in an unrolled part took SwiftShader's minutes and gigabytes,
/// where `&` and `|` take milliseconds.
#[test]
fn conditions_do_not_branch() {
    for (name, source) in SHADERS {
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let bad: Vec<&str> = code.filter(|line| line.contains("&&") || line.contains("||")).collect();
        assert!(bad.is_empty(), "{name}: {bad:?}");
    }
}

/// Barriers and workgroup memory are slow where a CPU plays the GPU.
#[test]
fn software_adapters_get_kernels_without_workgroup_memory() {
    for (_, cases) in all_cases() {
        for case in cases.into_iter().map(Arc::new) {
            let built = selftest::case_graph(&case).expect("a case fits its kernel");
            let target = Target::new(AdapterClass::Software);
            let layouted = MemoryPlan::new(&built.graph, &target, &wgpu::Limits::default(), false).expect("it fits");
            for (_, dispatch) in layouted.dispatches() {
                let source = expand(dispatch.shader, &dispatch.constants).expect("the shader expands");
                assert!(!source.contains("var<workgroup>"), "{}: {}", dispatch.shader, case.name);
            }
        }
    }
}

#[test]
fn every_backend_can_translate() {
    for dispatch in variants() {
        let (module, info) = parse(&dispatch);
        let label = format!("{} {:?}", dispatch.shader, dispatch.constants);
        naga::back::spv::write_vec(&module, &info, &naga::back::spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{label}: SPIR-V: {e}"));
        let msl = naga::back::msl::Options { fake_missing_bindings: true, ..Default::default() };
        naga::back::msl::write_string(&module, &info, &msl, &naga::back::msl::PipelineOptions::default())
            .unwrap_or_else(|e| panic!("{label}: MSL: {e}"));
        let mut text = String::new();
        let hlsl = naga::back::hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let options = naga::back::hlsl::PipelineOptions::default();
        naga::back::hlsl::Writer::new(&mut text, &hlsl, &options)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{label}: HLSL: {e}"));
    }
}

#[test]
fn every_file_is_reached() {
    let used: BTreeSet<&str> = variants().iter().map(|d| d.shader).collect();
    for (name, source) in SHADERS {
        // The submission counter is no op; imports are reached through their importers.
        let reached = used.contains(name) || *name == "canary" || name.starts_with("common/");
        assert!(reached, "no case reaches shaders/{name}.wgsl");
        assert!(!source.contains("3.4028"), "{name}: some browsers reject f32::MAX as a literal");
    }
}
