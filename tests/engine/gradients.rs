//! Every op's gradient against central differences of its own double-precision twin, along with what differentiation
//! itself must refuse. The kernels are compared with these twins in `kernels.rs`.

use std::collections::HashMap;

use unetr_wgpu::graph::{Graph, GraphError, Layout, Role, TensorId, interpret};
use unetr_wgpu::kernels::conv3d::Source;
use unetr_wgpu::kernels::dropout::Mask;
use unetr_wgpu::kernels::residual::BlockEnd;
use unetr_wgpu::kernels::sum_parts::SumRepeats;
use unetr_wgpu::tensor::{HostTensor, Shape};

/// Differentiates what `build` makes of noise with respect to all of its parameters, by both ways.
fn check(name: &str, build: impl Fn(&mut Graph) -> Result<TensorId, GraphError>) {
    let mut graph = Graph::new().for_training();
    let y = build(&mut graph).expect(name);
    let seed = graph.input("seed", graph.shape(y).clone());
    let gradients = graph.backward(&[(y, seed)], &[]).expect(name);
    let parameters: Vec<(TensorId, Shape)> = graph.parameters().map(|(id, t)| (id, t.shape.clone())).collect();
    let mut values: HashMap<TensorId, HostTensor> = HashMap::new();
    for (i, (id, shape)) in parameters.iter().enumerate() {
        values.insert(*id, HostTensor::noise(shape.clone(), 100 + i as u64));
    }
    for (id, info) in graph.tensors().filter(|(_, t)| t.role == Role::Input) {
        // Labels: zeros and ones.
        let kind = |v: f64| if info.name == "weights" { 1.5 + v } else { v.ceil().abs() };
        values.insert(id, HostTensor::noise(info.shape.clone(), 8).map(kind));
    }
    values.insert(seed, HostTensor::noise(graph.shape(y).clone(), 7));
    let mut forward = Graph::new();
    let target = build(&mut forward).expect(name);
    let loss = |values: &HashMap<TensorId, HostTensor>| -> f64 {
        let mut run = values.clone();
        interpret(&forward, &mut run);
        run[&target].data.iter().zip(&values[&seed].data).map(|(a, b)| a * b).sum()
    };
    let mut run = values.clone();
    interpret(&graph, &mut run);
    assert_eq!(gradients.pairs().len(), parameters.len(), "{name}: every parameter has a gradient");
    for (id, _) in &parameters {
        let analytic = &run[&gradients.of(*id).expect("a gradient")];
        let mut numeric = analytic.clone();
        for i in 0..numeric.data.len() {
            let at = |step: f64| {
                let mut moved = values.clone();
                moved.get_mut(id).expect("a parameter").data[i] += step;
                loss(&moved)
            };
            let h = 1e-5;
            numeric.data[i] = (at(h) - at(-h)) / (2.0 * h);
        }
        let l2 = |d: &[f64]| d.iter().map(|v| v * v).sum::<f64>().sqrt();
        let error: Vec<f64> = analytic.data.iter().zip(&numeric.data).map(|(a, n)| a - n).collect();
        let (error, norm) = (l2(&error), l2(&numeric.data));
        assert!(error <= 1e-6 * norm + 1e-8, "{name}, {}: {error:e} of {norm:e}", graph.tensor(*id).name);
    }
}

fn volume(g: &mut Graph, name: &str, c: usize) -> TensorId {
    g.parameter(name, [2, c, 2, 3, 4])
}

#[test]
fn linear() {
    for (gelu, repeats) in [(false, 1), (true, 1), (true, 2)] {
        check("linear", |g| {
            let x = g.parameter("x", [2, 3, 5]);
            let w = g.parameter("w", [4, 5]);
            let b = g.parameter("b", [4]);
            let r = g.parameter("r", [2 / repeats, 3, 4]);
            g.linear("linear", x, w, Some(b), gelu, Some(r))
        });
    }
}

#[test]
fn layer_norm_and_transpose() {
    check("layer norm", |g| {
        let x = g.parameter("x", [2, 6, 5]);
        let w = g.parameter("w", [5]);
        let b = g.parameter("b", [5]);
        let y = g.layer_norm("norm", x, w, b)?;
        g.transpose("transpose", y, &[1, 2, 3])
    });
}

#[test]
fn patchify() {
    for channel_last in [false, true] {
        check("patchify", |g| {
            let x = g.parameter("x", [2, 3, 2, 4, 2]);
            g.patchify("patches", x, 2, channel_last)
        });
    }
}

#[test]
fn attention() {
    check("attention", |g| {
        let qkv = g.parameter("qkv", [2, 4, 18]);
        Ok(g.attention("attention", qkv, 2, None)?.0)
    });
    check("attention with dropout", |g| {
        let qkv = g.parameter("qkv", [2, 4, 18]);
        let step = g.input("step", [1]);
        Ok(g.attention("attention", qkv, 2, Some((Mask { rate: 0.4, seed: 9 }, step)))?.0)
    });
}

#[test]
fn conv_transpose3d() {
    check("transposed convolution", |g| {
        let x = g.parameter("x", [2, 3, 1, 2, 3]);
        let w = g.parameter("w", [3, 2, 2, 2, 2]);
        g.conv_transpose3d("up", x, w)
    });
}

fn weight(g: &mut Graph, name: &str, k: usize, c: usize, side: usize) -> TensorId {
    g.full_parameter(name, [k, c, side, side, side], Layout::TapMajor)
}

/// A block as the network has it: two sources, shortcut, norms, norm on load, and the end of the block.
fn block(g: &mut Graph, group: usize, affine: bool, kind: usize) -> Result<BlockEnd, GraphError> {
    let (a, b) = (volume(g, "a", 2), volume(g, "b", 2));
    let (w1, w2) = (weight(g, "w1", 4, 4, 3), weight(g, "w2", 4, 4, 3));
    let shortcut = if kind == 2 { Some(weight(g, "w3", 4, 4, 1)) } else { None };
    let norm = |g: &mut Graph, name: &str, moments| {
        let affine =
            affine.then(|| (g.parameter(&format!("{name}.weight"), [4]), g.parameter(&format!("{name}.bias"), [4])));
        g.norm_parameters(name, moments, group, affine)
    };
    let (u, r) = g.conv3d("conv1", &[Source::plain(a), Source::plain(b)], w1, shortcut)?;
    let n1 = norm(g, "norm1", u.moments)?;
    let (v, _) = g.conv3d("conv2", &[Source { x: u.y, norm: Some(n1) }], w2, None)?;
    let n2 = norm(g, "norm2", v.moments)?;
    let r = match (kind, r) {
        (0, _) => None,
        (1, _) => Some((volume(g, "r", 4), None)),
        (_, r) => match r {
            Some(r) => Some((r.y, Some(norm(g, "norm3", r.moments)?))),
            None => None,
        },
    };
    Ok(BlockEnd { u: (v.y, n2), r })
}

#[test]
fn convolution_blocks() {
    for kind in 0..3 {
        for (group, affine) in [(1, false), (2, true)] {
            check(&format!("block {kind} {group} {affine}"), |g| {
                let end = block(g, group, affine, kind)?;
                g.residual("end", &end)
            });
        }
    }
}

#[test]
fn head() {
    for kind in 0..3 {
        check(&format!("head {kind}"), |g| {
            let end = block(g, 1, false, kind)?;
            let w = weight(g, "out", 3, 4, 1);
            let b = g.parameter("out.bias", [3]);
            g.head("head", &end, w, b)
        });
    }
}

/// One tensor used six times: its gradients meet.
#[test]
fn fan_out() {
    check("fan out", |g| {
        let w = g.parameter("w", [3, 3]);
        let mut x = g.parameter("x", [2, 3]);
        for i in 0..5 {
            x = g.linear(&format!("layer {i}"), x, w, None, i % 2 == 0, Some(x))?;
        }
        Ok(x)
    });
}

#[test]
fn refusals_name_the_node() {
    let mut g = Graph::new();
    let x = g.parameter("x", [4, 3]);
    let sum = SumRepeats { shape: Shape::from([2, 3]) };
    let y = g.scope("vit", |g| g.add_one("sum", sum, &[x])).expect("it fits");
    let seed = g.input("seed", g.shape(y).clone());
    let error = g.backward(&[(y, seed)], &[]).expect_err("not differentiable");
    assert!(error.node == "vit.sum" && error.reason.contains("sum_parts"), "{error}");

    let mut g = Graph::new();
    let (x, w) = (g.input("x", [2, 3]), g.parameter("w", [4, 3]));
    let y = g.linear("mlp", x, w, None, true, None).expect("it fits");
    let seed = g.input("seed", g.shape(y).clone());
    let error = g.backward(&[(y, seed)], &[]).expect_err("nothing was kept");
    assert!(error.node.starts_with("mlp") && error.reason.contains("for training"), "{error}");

    let mut g = Graph::new().with_half_weights(true);
    let x = g.input("x", [2, 4]);
    let w = g.matrix_parameter("w", [4, 4], Layout::Natural);
    let y = g.linear("layer", x, w, None, false, None).expect("it fits");
    let seed = g.input("seed", g.shape(y).clone());
    let error = g.backward(&[(y, seed)], &[]).expect_err("16 bits");
    assert!(error.node == "w" && error.reason.contains("32 bits"), "{error}");
}

#[test]
fn losses() {
    use unetr_wgpu::kernels::dice_ce::DiceCe;
    let plain = DiceCe::default();
    let settings = [
        plain,
        DiceCe { squared: true, smooth_nr: 0.0, batch: true, ..plain },
        DiceCe { background: false, ..plain },
        DiceCe { sigmoid: true, ..plain },
        DiceCe { dice: 0.0, ..plain },
        DiceCe { weighted: true, ..plain },
        DiceCe { weighted: true, background: false, batch: true, squared: true, ..plain },
        DiceCe { weighted: true, sigmoid: true, ..plain },
    ];
    for loss in settings {
        check(&format!("{loss:?}"), |g| {
            let logits = volume(g, "logits", 3);
            let label = g.input("label", [2, if loss.sigmoid { 3 } else { 1 }, 2, 3, 4]);
            let weights = loss.weighted.then(|| g.input("weights", [3]));
            Ok(g.dice_ce("loss", logits, label, weights, loss)?.0)
        });
    }
    for sigmoid in [false, true] {
        check("one class", |g| {
            let logits = volume(g, "logits", 1);
            let (label, weights) = (g.input("label", [2, 1, 2, 3, 4]), g.input("weights", [1]));
            Ok(g.dice_ce("loss", logits, label, Some(weights), DiceCe { weighted: true, sigmoid, ..plain })?.0)
        });
    }
}

#[test]
fn dropout() {
    for residual in [false, true] {
        check("dropout", |g| {
            let x = g.parameter("x", [4, 9]);
            let step = g.input("step", [1]);
            let residual = residual.then(|| g.parameter("residual", [4, 9]));
            g.dropout("dropout", x, step, Mask { rate: 0.4, seed: 3 }, residual)
        });
    }
    let mut g = Graph::new();
    let (x, step) = (g.input("x", [4]), g.input("step", [1]));
    for rate in [1.0, -0.1, f32::NAN] {
        let error = g.dropout("drop", x, step, Mask { rate, seed: 0 }, None).expect_err("no rate");
        assert!(error.reason.contains("below 1"), "{error}");
    }
}
