//! A value that is not stored yet, stored: `y = act(act_0(norm_0(x_0)) + act_1(norm_1(x_1)))`, or the first alone; the end
//! of a residual block, and the sum of two branches.
//!
//! Shapes: `x_s, y (N, C, X, Y, Z)`, norms `(N, C, 4)` from `norm_parameters`, slopes `(1)` or `(C)`. Source: MONAI's
//! `UnetResBlock`, `UnetBasicBlock`, `ResidualUnit`.

use super::lazy::{Act, Activation, Form, Lazy, Term};
use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32, own: u32 });

/// The op; arguments those of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// What the value is made of.
    pub form: Form,
}

impl Kernel for Residual {
    kernel_name!("residual");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.len() != self.form.arguments() || !self.form.fits(inputs) {
            return Err(GraphError::new(format!("branches do not fit: {inputs:?}")));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, size) = io.input(0).volume().expect("checked by infer");
        let (wide, values) = values(size.iter().product());
        let mut bindings: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        bindings.push(bind_write(0));
        let mut constants = self.form.constants(&io.shapes());
        constants.extend([("WIDE", constant(wide)), ("RUN", target.run())]);
        vec![Dispatch {
            shader: "residual",
            entry: "forward",
            constants,
            params: Params { channels: (n * c) as u32, values: values as u32, own: c as u32 }.block(),
            bindings,
            groups: groups(n * c * values.div_ceil(512)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let data = (0..inputs[0].data.len()).map(|i| self.form.reference(inputs, i)).collect();
        vec![HostTensor::new(inputs[0].shape.clone(), data)]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: self.form.flops() * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Graph {
    /// A value as a tensor; one that is stored already is that tensor.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn store(&mut self, name: &str, value: &Lazy) -> Result<TensorId, GraphError> {
        if value.is_stored() {
            return Ok(value.x);
        }
        self.add_one_op(name, Residual { form: value.form() }, &value.inputs())
    }

    /// `act(a + b)`, stored. Each of the two may have a norm and an activation; one that is a sum itself is stored first.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn sum(&mut self, name: &str, a: &Lazy, b: &Lazy, act: Act) -> Result<TensorId, GraphError> {
        let (a, b) = (self.without_sum(name, a)?, self.without_sum(name, b)?);
        let whole = Lazy::new(a.x, None, act).form().first.act;
        let form = Form { first: a.form().first, second: Some(b.form().first), act: whole };
        let mut inputs = a.inputs();
        inputs.extend(b.inputs());
        inputs.extend(act.slopes());
        self.add_one_op(name, Residual { form }, &inputs)
    }

    /// A value of one tensor: sums are stored, since whoever reads a value many times would add many times.
    pub(super) fn without_sum(&mut self, name: &str, value: &Lazy) -> Result<Lazy, GraphError> {
        match value.plus {
            Some(_) => self.store(&format!("{name}.sum"), value).map(Lazy::from),
            None => Ok(*value),
        }
    }
}

/// The three ends of a block: without a shortcut, with the block's input, with a normalised one.
pub(super) fn ends() -> [Form; 3] {
    let normed = Term { norm: true, act: Activation::None };
    let act = Activation::LeakyRelu(0.01);
    [
        Form { first: Term { act, ..normed }, second: None, act: Activation::None },
        Form { first: normed, second: Some(Term::PLAIN), act },
        Form { first: normed, second: Some(normed), act },
    ]
}

/// Other values: every activation, with and without norms, in every place.
pub(super) fn others() -> Vec<Form> {
    let term = |norm, act| Term { norm, act };
    let one = |norm, act| Form { first: term(norm, act), ..Form::default() };
    let two = |first, second, act| Form { first, second: Some(second), act };
    use Activation::{Elu, Gelu, LeakyRelu, None, PRelu, Sigmoid, Silu};
    vec![
        one(true, PRelu),
        one(false, PRelu),
        one(true, LeakyRelu(0.0)),
        one(false, LeakyRelu(1.5)),
        one(true, LeakyRelu(-0.25)),
        one(false, Gelu),
        one(true, Sigmoid),
        one(true, Elu(1.0)),
        one(false, Silu),
        one(true, None),
        two(Term::PLAIN, Term::PLAIN, None),
        two(term(true, PRelu), Term::PLAIN, None),
        two(term(true, PRelu), term(true, PRelu), PRelu),
        two(term(true, None), term(true, None), PRelu),
        two(term(false, Gelu), term(true, None), Sigmoid),
        two(term(true, LeakyRelu(0.1)), term(false, LeakyRelu(0.1)), LeakyRelu(0.1)),
        two(Term::PLAIN, term(true, None), Gelu),
        two(term(true, Silu), Term::PLAIN, Elu(0.5)),
    ]
}

/// Arguments of a value, with one slope or one per channel.
pub(super) fn example(form: Form, n: usize, c: usize, size: [usize; 3], slopes: usize, seed: u64) -> Vec<HostTensor> {
    let mut inputs = Vec::new();
    let terms = [Some(form.first), form.second];
    for (i, term) in terms.into_iter().flatten().enumerate() {
        let seed = seed + 2 * i as u64;
        inputs.push(HostTensor::noise([n, c, size[0], size[1], size[2]], seed));
        inputs.extend(term.norm.then(|| HostTensor::noise([n, c, 4], seed + 1)));
        inputs.extend((term.slopes() == 1).then(|| HostTensor::noise([slopes], seed + 20)));
    }
    inputs.extend((form.act == Activation::PRelu).then(|| HostTensor::noise([slopes], seed + 30)));
    inputs
}

/// Every end of a block, odd extents, more than 65,535 groups; every activation in every place, with one slope and one per
/// channel.
pub fn cases() -> Vec<Case> {
    let case = |form, n, c, size, slopes, seed| {
        Case::new(format!("{n}x{c}x{size:?} {form:?}"), Residual { form }, example(form, n, c, size, slopes, seed))
    };
    let [none, identity, normalised] = ends();
    let mut cases = vec![
        case(none, 1, 1, [1, 1, 1], 1, 1),
        case(identity, 2, 3, [3, 5, 7], 1, 2),
        case(normalised, 2, 5, [4, 3, 2], 1, 3),
        case(normalised, 1, 17, [64, 64, 64], 1, 4),
        case(identity, 1, 2, [31, 37, 41], 1, 6),
        case(normalised, 1, 66_000, [1, 1, 3], 1, 5),
    ];
    for (i, form) in others().into_iter().enumerate() {
        // Rows of whole blocks of four and others, one slope and one per channel.
        let (size, slopes) = if i.is_multiple_of(2) { ([3, 5, 7], 3) } else { ([2, 3, 4], 1) };
        cases.push(case(form, 2, 3, size, slopes, 7));
    }
    cases
}
