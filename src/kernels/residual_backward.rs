//! Gradients of a value that is not stored yet, `y = act(act_0(norm_0(x_0)) + act_1(norm_1(x_1)))`.
//!
//! `dt = dy act'(..)`, and for a term with a norm `dx = dt scale`, else `dx = dt`. The gradient of a norm `(N, C, 4)` is kept
//! as `(N, C, 2)` of `(Σ dt x̂, Σ dt)`, `x̂ = (x - mean) / std`: those of the norm's factor and offset per sample. It stays
//! accurate where the mean is large, and all that `norm_parameters` needs follows from it. A trained slope's gradient is
//! `Σ dy min(t, 0)`. Two stages of fixed order. Sums whose terms are activated take several nodes.

use super::lazy::{Activation, Form, Term};
use super::residual::{Residual, ends, example, others};
use super::sum_parts::SumRepeats;
use super::{bind_read, bind_write, constant, kernel_name};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params, values};
use crate::tensor::{HostTensor, Shape};

params!(Params { channels: u32, values: u32, parts: u32, own: u32 });

/// The op; arguments `dy`, then those of the value. Results: for each term `dx, [sums]`, at last `[slopes (N, C)]` of the last
/// activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualBackward {
    /// The value. Terms of a sum must not be activated, unless `outer` is set.
    pub form: Form,
    /// Only the gradient of the argument of the last activation is wanted.
    pub outer: bool,
}

fn sizes(u: &Shape) -> (usize, usize) {
    let (n, c, size) = u.volume().expect("a volume");
    (n * c, size.iter().product())
}

/// Invocations per channel, in whole groups: no loop may be long, neither theirs nor that over their sums.
fn parts(voxels: usize) -> usize {
    values(voxels).1.div_ceil(256).next_multiple_of(64).min(8192)
}

/// A result.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gradient {
    Values,
    Sums,
    Slopes,
}

impl ResidualBackward {
    fn terms(&self) -> Vec<Term> {
        if self.outer { Vec::new() } else { [Some(self.form.first), self.form.second].into_iter().flatten().collect() }
    }

    fn results(&self) -> Vec<Gradient> {
        let mut results = Vec::new();
        for term in self.terms() {
            results.push(Gradient::Values);
            results.extend(term.norm.then_some(Gradient::Sums));
        }
        results.extend(self.outer.then_some(Gradient::Values));
        results.extend((self.form.last_act() == Activation::PRelu).then_some(Gradient::Slopes));
        results
    }

    /// Whether sums are wanted at all.
    fn statistics(&self) -> bool {
        self.results().iter().any(|r| *r != Gradient::Values)
    }
}

impl Kernel for ResidualBackward {
    kernel_name!("residual_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let Some((dy, rest)) = inputs.split_first() else {
            return Err(GraphError::new("a gradient is needed"));
        };
        let fits = rest.len() == self.form.arguments() && self.form.fits(rest) && *dy == rest[0];
        let activated = self.form.second.is_some() && self.terms().iter().any(|t| t.act != Activation::None);
        let (n, c) = match dy.volume() {
            Some((n, c, _)) if fits && !activated => (n, c),
            _ => return Err(GraphError::new(format!("gradient and branches do not fit: {inputs:?}"))),
        };
        let shape = |result: Gradient| match result {
            Gradient::Values => dy.clone(),
            Gradient::Sums => Shape::from([n, c, 2]),
            Gradient::Slopes => Shape::from([n, c]),
        };
        Ok(self.results().into_iter().map(shape).collect())
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (channels, voxels) = sizes(io.input(0));
        if self.statistics() { vec![(channels * parts(voxels)) as u64 * 16] } else { Vec::new() }
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (channels, voxels) = sizes(io.input(0));
        let own = io.input(0).dims()[1];
        let parts = parts(voxels);
        let (wide, values) = values(voxels);
        let results = self.results();
        let wanted = |values: bool| {
            results
                .iter()
                .enumerate()
                .filter(move |(_, r)| (**r == Gradient::Values) == values)
                .map(|(i, _)| bind_write(i))
        };
        let mut first: Vec<_> = (0..io.inputs.len()).map(bind_read).collect();
        first.extend(self.statistics().then_some((Operand::Scratch(0), Access::Write)));
        first.extend(wanted(true));
        let mut second = vec![(Operand::Scratch(0), Access::Read)];
        second.extend(wanted(false));
        let terms = self.terms();
        let sums = |t: usize| constant(terms.get(t).is_some_and(|term| term.norm));
        let stage = |merge: bool, bindings, invocations: usize| {
            let mut constants = self.form.constants(&io.shapes()[1..]);
            constants.extend([
                ("MERGE", constant(merge)),
                ("OUTER", constant(self.outer)),
                ("STATISTICS", constant(self.statistics())),
                ("SUMS_0", sums(0)),
                ("SUMS_1", sums(1)),
                ("DX_1", constant(terms.len() > 1)),
                ("SLOPES", constant(results.contains(&Gradient::Slopes))),
                ("WIDE", constant(wide)),
                ("RUN", target.run()),
            ]);
            Dispatch {
                shader: "residual_backward",
                entry: "forward",
                constants,
                params: Params {
                    channels: channels as u32,
                    values: values as u32,
                    parts: parts as u32,
                    own: own as u32,
                }
                .block(),
                bindings,
                groups: groups(invocations.div_ceil(64)),
            }
        };
        let mut work = vec![stage(false, first, channels * parts)];
        work.extend(self.statistics().then(|| stage(true, second, channels)));
        work
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (dy, rest) = (inputs[0], &inputs[1..]);
        let (n, c, _) = dy.shape.volume().expect("a volume");
        let (_, voxels) = sizes(&dy.shape);
        let act = self.form.last_act();
        let mut slopes = HostTensor::zeros([n, c]);
        let mut dt = dy.clone();
        for (i, v) in dt.data.iter_mut().enumerate() {
            let (t, slope) = self.form.argument(rest, i);
            slopes.data[i / voxels] += *v * t.min(0.0);
            *v *= act.derivative(t, slope);
        }
        let mut results = Vec::new();
        let mut at = 0;
        for term in self.terms() {
            let mut dx = dt.clone();
            if term.norm {
                let (x, norm) = (rest[at], rest[at + 1]);
                let mut sums = HostTensor::zeros([n, c, 2]);
                for (i, v) in dx.data.iter_mut().enumerate() {
                    let p = &norm.data[i / voxels * 4..][..4];
                    sums.data[i / voxels * 2] += *v * (x.data[i] - p[0]) * p[1];
                    sums.data[i / voxels * 2 + 1] += *v;
                    *v *= p[2];
                }
                results.extend([dx, sums]);
            } else {
                results.push(dx);
            }
            at += term.arguments();
        }
        results.extend(self.outer.then_some(dt));
        results.extend((act == Activation::PRelu).then_some(slopes));
        results
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: (self.form.flops() + 5.0) * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

/// Gradients of one term's arguments from that of its value.
pub(super) fn term(
    g: &mut Graph,
    name: &str,
    term: Term,
    dy: TensorId,
    inputs: &[TensorId],
) -> Result<Vec<Option<TensorId>>, GraphError> {
    if term == Term::PLAIN {
        return Ok(vec![Some(dy)]);
    }
    let form = Form { first: term, ..Form::default() };
    let mut made = g.add(name, ResidualBackward { form, outer: false }, &[&[dy], inputs].concat())?;
    if term.slopes() == 1 {
        let last = made.len() - 1;
        made[last] = slopes(g, made[last], inputs[inputs.len() - 1])?;
    }
    Ok(made.into_iter().map(Some).collect())
}

/// The gradient of slopes from those of each sample's channels.
fn slopes(g: &mut Graph, each: TensorId, slopes: TensorId) -> Result<TensorId, GraphError> {
    let shape = g.shape(slopes).clone();
    g.add_one("slopes", SumRepeats { shape }, &[each])
}

/// Gradients of a value's arguments from that of the value.
pub(super) fn value(
    g: &mut Graph,
    form: Form,
    dy: TensorId,
    inputs: &[TensorId],
) -> Result<Vec<Option<TensorId>>, GraphError> {
    let Some(second) = form.second else {
        return term(g, "", form.first, dy, inputs);
    };
    let activated = [form.first, second].iter().any(|t| t.act != Activation::None);
    let all = [&[dy], inputs].concat();
    if !activated && !matches!(form.act, Activation::None | Activation::PRelu) {
        let made = g.add("", ResidualBackward { form, outer: false }, &all)?;
        return Ok(made.into_iter().map(Some).collect());
    }
    let (mut dt, mut last) = (dy, None);
    if form.act != Activation::None {
        let (form, all) = within_bindings(g, form, all)?;
        let made = g.add("sum", ResidualBackward { form, outer: true }, &all)?;
        dt = made[0];
        if let Some(&each) = made.get(1) {
            last = Some(slopes(g, each, inputs[inputs.len() - 1])?);
        }
    }
    let at = form.second_at();
    let mut grads = term(g, "term.0", form.first, dt, &inputs[..at])?;
    grads.extend(term(g, "term.1", second, dt, &inputs[at..at + second.arguments()])?);
    grads.extend(last.map(Some));
    Ok(grads)
}

/// The gradient of a sum's argument needs `dy`, partial sums and a result beside the value's arguments: if those are more
/// than WebGPU's eight buffers, the terms are stored once more.
fn within_bindings(g: &mut Graph, form: Form, all: Vec<TensorId>) -> Result<(Form, Vec<TensorId>), GraphError> {
    let (Some(second), true) = (form.second, form.arguments() + 3 > 8) else {
        return Ok((form, all));
    };
    let at = 1 + form.second_at();
    let mut stored = vec![all[0]];
    for (i, (term, inputs)) in
        [(form.first, &all[1..at]), (second, &all[at..at + second.arguments()])].into_iter().enumerate()
    {
        let form = Form { first: term, ..Form::default() };
        stored.push(g.add_one(&format!("value.{i}"), Residual { form }, inputs)?);
    }
    stored.extend(&all[at + second.arguments()..]);
    Ok((Form { first: Term::PLAIN, second: Some(Term::PLAIN), act: form.act }, stored))
}

impl Op for Residual {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        match dy[0] {
            Some(dy) => value(g, self.form, dy, &node.inputs),
            None => Ok(vec![None; node.inputs.len()]),
        }
    }
}

/// Every end of a block and every activation, odd extents, a large volume.
pub fn cases() -> Vec<Case> {
    let case = |form: Form, outer, n, c, size: [usize; 3], slopes, seed| {
        let mut inputs = vec![HostTensor::noise([n, c, size[0], size[1], size[2]], seed + 10)];
        inputs.extend(example(form, n, c, size, slopes, seed));
        Case::new(format!("{n}x{c}x{size:?} {form:?} {outer}"), ResidualBackward { form, outer }, inputs)
    };
    let [none, identity, normalised] = ends();
    let mut cases = vec![
        case(none, false, 1, 1, [1, 1, 1], 1, 1),
        case(none, false, 1, 3, [4, 4, 5], 1, 5),
        case(identity, false, 2, 3, [3, 5, 7], 1, 2),
        case(normalised, false, 2, 5, [4, 3, 2], 1, 3),
        case(normalised, false, 1, 2, [64, 64, 64], 1, 4),
        case(identity, false, 1, 1, [31, 37, 41], 1, 6),
    ];
    for form in others() {
        // As the gradients of a value take them: sums whose binding count allows it at once, others in parts.
        let outer = form.second.is_some();
        if (!outer || form.act != Activation::None) && form.arguments() + 3 <= 8 {
            let (size, slopes) = if cases.len().is_multiple_of(2) { ([3, 5, 7], 3) } else { ([2, 3, 4], 1) };
            cases.push(case(form, outer, 2, 3, size, slopes, 7));
        }
    }
    cases
}
