use std::fmt::Debug;
use std::sync::Arc;

use super::tune::choice_key;
use super::{DType, GraphError, Layout};
use crate::gpu::{Access, AdapterClass, Choices, Gpu, Vendor};
use crate::tensor::{HostTensor, Shape};

/// Anything that can run: shape rule, GPU work and double-precision twin of one op.
pub trait Kernel: Debug + Send + Sync + 'static {
    /// The op's name, as its file's.
    fn name(&self) -> &'static str;

    /// The output shapes.
    ///
    /// # Errors
    /// [`GraphError`] that names what does not fit.
    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError>;

    /// The GPU work on this target: plain data.
    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch>;

    /// Bytes of each private temporary that [`Operand::Scratch`] names.
    fn scratch(&self, _io: &Io, _target: &Target) -> Vec<u64> {
        Vec::new()
    }

    /// The result that holds the moments of result `output`, if the op leaves them beside it.
    fn moments_of(&self, _output: usize) -> Option<usize> {
        None
    }

    /// How many variants there are to choose from; a number beyond the last means the last.
    fn variants(&self) -> usize {
        1
    }

    /// How result `i` lies in memory; a weight's gradient lies as the weight does.
    fn output_layout(&self, _i: usize) -> Layout {
        Layout::Natural
    }

    /// The f64 twin: the oracle of every other implementation.
    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor>;

    /// Arithmetic, and the least traffic an implementation needs.
    fn cost(&self, io: &Io) -> Cost;
}

/// Floating point operations (a multiply-add is two) and bytes moved at the least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Operations.
    pub flops: f64,
    /// Bytes read and written once.
    pub bytes: f64,
}

/// Shape and storage of an argument.
#[derive(Clone, Debug)]
pub struct TensorKind {
    /// Logical shape.
    pub shape: Shape,
    /// Storage.
    pub dtype: DType,
    /// Order of the elements.
    pub layout: Layout,
}

impl TensorKind {
    /// Elements that elementwise work has to touch. The padding within a layout is among them, and zero; the one at the end
    /// of a natural tensor is not: nobody writes it.
    #[cfg(feature = "train")]
    pub fn written(&self) -> usize {
        match self.layout {
            Layout::Natural => self.shape.elements(),
            Layout::TapMajor => self.layout.stored_elements(&self.shape),
        }
    }
}

/// The arguments and results of a node.
#[derive(Clone, Debug)]
pub struct Io {
    pub inputs: Vec<TensorKind>,
    pub outputs: Vec<TensorKind>,
}

impl Io {
    /// Shape of argument `i`.
    pub fn input(&self, i: usize) -> &Shape {
        &self.inputs[i].shape
    }

    /// Shape of result `i`.
    pub fn output(&self, i: usize) -> &Shape {
        &self.outputs[i].shape
    }

    /// Shapes of the arguments.
    pub fn shapes(&self) -> Vec<&Shape> {
        self.inputs.iter().map(|t| &t.shape).collect()
    }

    /// 1 if argument `i` is stored in 16 bits: the `HALF` constant of shaders that import `common/weights`.
    pub fn half(&self, i: usize) -> u32 {
        u32::from(self.inputs[i].dtype == DType::F16)
    }

    /// Bytes of all arguments and results once.
    pub fn bytes(&self) -> f64 {
        self.inputs.iter().chain(&self.outputs).map(|t| t.shape.elements() as f64 * t.dtype.bytes() as f64).sum()
    }
}

/// What kernels may use and choose their variant by.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub class: AdapterClass,
    /// Who made it.
    pub vendor: Vendor,
    /// Bytes of workgroup memory a group may use.
    pub workgroup_bytes: u32,
    /// Overrides the choice by class: the variant of this number, for tests and tuning.
    pub variant: Option<usize>,
    /// Variants found best by measurement; they come before the choice by class.
    pub choices: Arc<Choices>,
}

impl Target {
    /// WebGPU's default limits on an adapter of this class.
    pub fn new(class: AdapterClass) -> Self {
        Self { class, vendor: Vendor::Unknown, workgroup_bytes: 16 << 10, variant: None, choices: Arc::default() }
    }

    /// This device, with what its limits allow.
    pub fn of(gpu: &Gpu) -> Self {
        Self {
            vendor: gpu.vendor(),
            workgroup_bytes: gpu.limits().max_compute_workgroup_storage_size,
            choices: Arc::clone(gpu.choices()),
            ..Self::new(gpu.class())
        }
    }

    /// Whether invocations have as many registers as a large tile holds sums: about 250, before the compiler keeps them in
    /// memory. Intel's have 128, Apple's fewer than tiles of a shortcut's convolution hold beside the main one.
    pub(crate) fn many_registers(&self) -> bool {
        matches!(self.vendor, Vendor::Amd | Vendor::Nvidia)
    }

    /// This target for one op of one shape: with the variant that measurement chose for it.
    pub(super) fn for_op(&self, op: &str, io: &Io) -> Self {
        let chosen = || if self.choices.is_empty() { None } else { self.choices.get(&choice_key(op, io)) };
        Self { variant: self.variant.or_else(chosen), choices: Arc::default(), ..*self }
    }

    /// For shaders that import `common/runs` and have no choice of their own: how many neighbouring invocations share a run of
    /// values.
    pub(crate) fn run(&self) -> u32 {
        match self.class {
            AdapterClass::Software => 8,
            AdapterClass::Integrated | AdapterClass::Discrete => 64,
        }
    }

    /// `choices[variant]` where a variant is forced, else the default for the class: `choices[0]` on software
    /// adapters, `choices[1]` (or the last) on GPUs.
    pub fn choose<'a, T>(&self, choices: &'a [T]) -> &'a T {
        let last = choices.len() - 1;
        let by_class = match self.class {
            AdapterClass::Software => 0,
            AdapterClass::Integrated | AdapterClass::Discrete => 1,
        };
        &choices[self.variant.unwrap_or(by_class).min(last)]
    }
}

/// A buffer named from inside a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    Input(usize),
    Output(usize),
    /// Private temporary.
    Scratch(usize),
}

/// A buffer and how it is used.
pub type Binding = (Operand, Access);

/// The uniform block at binding 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    pub bytes: Vec<u8>,
    /// Name and byte offset of each field, to be compared with the WGSL struct.
    pub fields: &'static [(&'static str, usize)],
}

/// One compute dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// Shader file without `.wgsl`.
    pub shader: &'static str,
    pub entry: &'static str,
    /// Constants of the variant.
    pub constants: Vec<(&'static str, u32)>,
    pub params: Params,
    /// Storage buffers, in binding order from 1.
    pub bindings: Vec<Binding>,
    /// Workgroups; `groups` splits a count to stay within 65,535 per axis.
    pub groups: [u32; 3],
}

/// One named test of a kernel, shared by the tests, the self-test and the benchmark.
#[derive(Debug)]
pub struct Case {
    /// What is special about it.
    pub name: String,
    pub kernel: Box<dyn Kernel>,
    pub inputs: Vec<HostTensor>,
    /// Storage of each argument that is not natural f32.
    pub storage: Vec<(usize, Layout, DType)>,
    /// How many of the last arguments the op updates in place.
    pub in_place: usize,
}

impl Case {
    /// A case with natural f32 arguments.
    pub fn new(name: impl Into<String>, kernel: impl Kernel, inputs: Vec<HostTensor>) -> Self {
        Self { name: name.into(), kernel: Box::new(kernel), inputs, storage: Vec::new(), in_place: 0 }
    }

    /// Stores argument `index` as a matrix parameter.
    pub fn stored(mut self, index: usize, layout: Layout, dtype: DType) -> Self {
        self.storage.push((index, layout, dtype));
        self
    }

    /// The op updates its last argument.
    pub fn updating(self) -> Self {
        self.updating_last(1)
    }

    /// The op updates its last `count` arguments.
    pub fn updating_last(mut self, count: usize) -> Self {
        self.in_place = count;
        self
    }
}

/// Declares a uniform block: a `repr(C)` struct whose field offsets a test compares with WGSL's.
macro_rules! params {
    ($(#[$meta:meta])* $name:ident { $($field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name { $(pub(crate) $field: $ty),* }

        impl $name {
            pub(crate) fn block(&self) -> $crate::graph::Params {
                $crate::graph::Params {
                    bytes: bytemuck::bytes_of(self).to_vec(),
                    fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),*],
                }
            }
        }
    };
}
pub(crate) use params;

/// For shaders that import `common/values`: whether so many elements are whole blocks of four (`WIDE`), and how many
/// values they count then.
pub(crate) fn values(elements: usize) -> (bool, usize) {
    if elements.is_multiple_of(4) { (true, elements / 4) } else { (false, elements) }
}

/// `count` workgroups as a grid within 65,535 per axis; shaders get the flat number back by `flat_group` and drop the
/// overhang.
pub(crate) fn groups(count: usize) -> [u32; 3] {
    const MOST: usize = 65_535;
    let count = count.max(1);
    if count <= MOST {
        return [count as u32, 1, 1];
    }
    let rows = count.div_ceil(MOST);
    if rows <= MOST {
        return [count.div_ceil(rows) as u32, rows as u32, 1];
    }
    let layers = rows.div_ceil(MOST);
    [MOST as u32, rows.div_ceil(layers) as u32, layers as u32]
}
