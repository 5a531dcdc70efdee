//! Every op's gradient against central differences of its own double-precision twin, along with what differentiation
//! itself must refuse. The kernels are compared with these twins in `kernels.rs`.

use std::collections::HashMap;

use unetr_wgpu::graph::{Graph, GraphError, Layout, Role, TensorId, interpret};
use unetr_wgpu::kernels::conv_transpose3d::ConvTranspose;
use unetr_wgpu::kernels::conv3d::{Conv, Geometry};
use unetr_wgpu::kernels::dropout::Mask;
use unetr_wgpu::kernels::lazy::{Act, Lazy};
use unetr_wgpu::kernels::norm_parameters::Norm;
use unetr_wgpu::kernels::pool::Pooling;
use unetr_wgpu::kernels::resize::Sampling;
use unetr_wgpu::kernels::sum_parts::SumRepeats;
use unetr_wgpu::kernels::window_attention::Windows;
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
    let mut forward = Graph::new().for_training();
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
fn concat() {
    check("concat", |g| {
        let parts = [volume(g, "a", 2), volume(g, "b", 1), volume(g, "c", 3)];
        g.concat("concat", &parts)
    });
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
fn attention_in_windows() {
    let whole = Windows { grid: [2, 2, 2], window: [2, 2, 2], shifted: false };
    let moved = Windows { grid: [3, 2, 5], window: [2, 2, 3], shifted: true };
    let small = Windows { grid: [2, 2, 1], window: [3, 2, 2], shifted: true };
    for (windows, bias, dropped) in
        [(whole, false, false), (moved, true, false), (moved, true, true), (small, true, false)]
    {
        check("attention in windows", |g| {
            let qkv = g.parameter("qkv", [2, windows.cells(), 12]);
            let table = g.parameter("table", [windows.distances(), 2]);
            // A projection's bias is in the grid's rows too, so that it has a gradient where nothing is padded.
            let bias = if bias { Some(g.parameter("bias", [12])) } else { None };
            let w = g.parameter("w", [12, 12]);
            let qkv = g.linear("linear", qkv, w, bias, false, None)?;
            let dropout = if dropped { Some((Mask { rate: 0.4, seed: 9 }, g.input("step", [1]))) } else { None };
            g.window_attention("attention", [qkv, table], bias, windows, 2, dropout)
        });
    }
}

#[test]
fn patch_merging() {
    let once = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]];
    let twice = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]];
    for corners in [once, twice] {
        check("patch merging", |g| {
            let x = g.parameter("x", [2, 16, 3]);
            g.patch_merging("merging", x, [2, 4, 2], corners)
        });
    }
}

fn weight(g: &mut Graph, name: &str, k: usize, c: usize, side: usize) -> TensorId {
    g.full_parameter(name, [k, c, side, side, side], Layout::TapMajor)
}

const LEAKY: Act = Act::LeakyRelu(0.01);

/// A block as the network has it: two sources, shortcut, norms, norm on load, and the end of the block.
fn block(g: &mut Graph, group: usize, affine: bool, kind: usize) -> Result<Lazy, GraphError> {
    let (a, b) = (volume(g, "a", 2), volume(g, "b", 2));
    let (w1, w2) = (weight(g, "w1", 4, 4, 3), weight(g, "w2", 4, 4, 3));
    let norm = |g: &mut Graph, name: &str, x| {
        let affine =
            affine.then(|| (g.parameter(&format!("{name}.weight"), [4]), g.parameter(&format!("{name}.bias"), [4])));
        let moments = g.moments(&format!("{name}.moments"), x)?;
        g.norm_parameters(name, moments, group, affine)
    };
    let sources = [a.into(), b.into()];
    let (u, r) = if kind == 2 {
        let w3 = weight(g, "w3", 4, 4, 1);
        let (u, r) = g.conv3d_with_shortcut("conv1", &sources, &Conv::before_norm(w1), w3)?;
        (u, Some(r))
    } else {
        (g.conv3d("conv1", &sources, &Conv::before_norm(w1))?, None)
    };
    let n1 = norm(g, "norm1", u)?;
    let v = g.conv3d("conv2", &[Lazy::new(u, Some(n1), LEAKY)], &Conv::before_norm(w2))?;
    let end = Lazy::new(v, Some(norm(g, "norm2", v)?), LEAKY);
    Ok(match (kind, r) {
        (0, _) => end,
        (1, _) => end.plus(volume(g, "r", 4), None),
        (_, Some(r)) => end.plus(r, Some(norm(g, "norm3", r)?)),
        (_, None) => end,
    })
}

#[test]
fn convolution_blocks() {
    for kind in 0..3 {
        for (group, affine) in [(1, false), (2, true)] {
            check(&format!("block {kind} {group} {affine}"), |g| {
                let end = block(g, group, affine, kind)?;
                g.store("end", &end)
            });
        }
    }
}

/// Every activation, alone, in a sum and after it; slopes of one and of each channel.
#[test]
fn values() {
    for slopes in [1, 3] {
        let trained = |g: &mut Graph, name: &str| Act::PRelu(g.parameter(name, [slopes]));
        check("trained slopes", |g| {
            let (x, n) = (volume(g, "x", 3), raw_norm(g, "n", 3)?);
            let act = trained(g, "slopes");
            g.store("y", &Lazy::new(x, Some(n), act))
        });
        check("sum of trained slopes", |g| {
            let (x, r) = (volume(g, "x", 3), volume(g, "r", 3));
            let (a, b, c) = (trained(g, "a"), trained(g, "b"), trained(g, "c"));
            let (n, m) = (raw_norm(g, "n", 3)?, raw_norm(g, "m", 3)?);
            g.sum("y", &Lazy::new(x, Some(n), a), &Lazy::new(r, Some(m), b), c)
        });
    }
    for act in [
        Act::None,
        Act::RELU,
        Act::LeakyRelu(0.3),
        Act::LeakyRelu(-0.5),
        Act::Gelu,
        Act::Sigmoid,
        Act::Elu(1.5),
        Act::Silu,
    ] {
        check(&format!("{act:?}"), |g| {
            let x = volume(g, "x", 3);
            let n = raw_norm(g, "n", 3)?;
            g.store("y", &Lazy::new(x, Some(n), act))
        });
        check(&format!("{act:?} after a sum"), |g| {
            let (x, r) = (volume(g, "x", 3), volume(g, "r", 3));
            let n = raw_norm(g, "n", 3)?;
            g.sum("y", &Lazy::new(x, Some(n), Act::Gelu), &r.into(), act)
        });
        check(&format!("{act:?} within a sum"), |g| {
            let (x, r) = (volume(g, "x", 3), volume(g, "r", 3));
            g.sum("y", &Lazy::new(x, None, act), &r.into(), Act::None)
        });
    }
}

/// An instance norm of a tensor that no convolution made.
fn raw_norm(g: &mut Graph, name: &str, c: usize) -> Result<TensorId, GraphError> {
    let x = volume(g, &format!("{name}.x"), c);
    let moments = g.moments(&format!("{name}.moments"), x)?;
    g.norm_parameters(name, moments, 1, None)
}

/// A number for each axis.
type Axes = [usize; 3];

/// Kernels, strides, paddings and dilations that networks use, with bias and two sources.
#[test]
fn convolutions() {
    let forms: [(Axes, Axes, Axes, Axes); 8] = [
        ([3; 3], [2; 3], [1; 3], [1; 3]),
        ([1, 3, 3], [1, 2, 2], [0, 1, 1], [1; 3]),
        ([2; 3], [2; 3], [0; 3], [1; 3]),
        ([1; 3], [2; 3], [0; 3], [1; 3]),
        ([3; 3], [1; 3], [1; 3], [1; 3]),
        ([5, 1, 7], [1; 3], [2, 0, 3], [1; 3]),
        ([3; 3], [1; 3], [2, 1, 3], [2, 1, 3]),
        ([1, 2, 3], [1, 2, 2], [0, 1, 2], [1, 3, 2]),
    ];
    for (kernel, stride, padding, dilation) in forms {
        check(&format!("kernel {kernel:?} stride {stride:?} dilation {dilation:?}"), |g| {
            let (a, b) = (volume(g, "a", 2), volume(g, "b", 1));
            let n = raw_norm(g, "n", 2)?;
            let [x, y, z] = kernel;
            let w = g.full_parameter("w", [3, 3, x, y, z], Layout::TapMajor);
            let act = Act::PRelu(g.parameter("slopes", [2]));
            let bias = Some(g.parameter("bias", [3]));
            let conv = Conv { bias, stride, padding: Some(padding), dilation, ..Conv::before_norm(w) };
            let u = g.conv3d("conv", &[Lazy::new(a, Some(n), act), b.into()], &conv)?;
            let moments = g.moments("moments", u)?;
            let norm = g.norm_parameters("norm", moments, 1, None)?;
            g.store("y", &Lazy::new(u, Some(norm), Act::Gelu))
        });
    }
}

#[test]
fn transposed_convolutions() {
    let forms: [(Axes, Axes, Axes, Axes); 6] = [
        ([3; 3], [2; 3], [1; 3], [1; 3]),
        ([3; 3], [1, 2, 2], [1; 3], [0, 1, 1]),
        ([1, 2, 2], [1, 2, 2], [0; 3], [0; 3]),
        ([2; 3], [2; 3], [0; 3], [0; 3]),
        ([4; 3], [4; 3], [0; 3], [0; 3]),
        ([3; 3], [1; 3], [1; 3], [0; 3]),
    ];
    for (kernel, stride, padding, output_padding) in forms {
        for two in [false, true] {
            check(&format!("kernel {kernel:?} stride {stride:?} {two}"), |g| {
                let a = g.parameter("a", [2, 2, 2, 1, 3]);
                let act = Act::PRelu(g.parameter("slopes", [1]));
                let mut sources = vec![Lazy::new(a, None, act)];
                if two {
                    sources.push(g.parameter("b", [2, 1, 2, 1, 3]).into());
                }
                let [x, y, z] = kernel;
                let w = g.parameter("w", [1 + sources.len(), 3, x, y, z]);
                let bias = Some(g.parameter("bias", [3]));
                let conv = ConvTranspose { w, bias, stride, padding, output_padding };
                g.conv_transpose3d("up", &sources, &conv)
            });
        }
    }
}

/// Norms of statistics over channels, groups and the batch; the running averages of a batch norm have no gradient.
#[test]
fn norms() {
    for (name, groups) in [("instance", None), ("group", Some(2)), ("batch", Some(0))] {
        check(name, |g| {
            let x = volume(g, "x", 4);
            let norm = match groups {
                None => Norm::Instance,
                Some(0) => Norm::Batch { mean: g.state("mean", [4]), variance: g.state("variance", [4]) },
                Some(groups) => Norm::Group(groups),
            };
            let affine = Some((g.parameter("gamma", [4]), g.parameter("beta", [4])));
            let n = g.norm("norm", x, norm, affine)?;
            let act = Act::PRelu(g.parameter("slopes", [1]));
            g.store("y", &Lazy::new(x, Some(n), act))
        });
    }
}

#[test]
fn pooling() {
    let halve = Geometry::new([2; 3], [2; 3], [0; 3]);
    let overlapping = Geometry::new([3; 3], [2, 1, 2], [1; 3]);
    for pooling in [Pooling::Max, Pooling::Average] {
        for geometry in [halve, overlapping] {
            check(&format!("{pooling:?} {geometry:?}"), |g| {
                let (x, r) = (volume(g, "x", 3), volume(g, "r", 3));
                let n = raw_norm(g, "n", 3)?;
                g.pool("y", &Lazy::new(x, Some(n), Act::Silu).plus(r, None), pooling, geometry)
            });
        }
    }
}

#[test]
fn resampling() {
    for factor in [[2, 2, 2], [1, 3, 4], [5, 1, 2]] {
        check(&format!("{factor:?}"), |g| {
            let (x, r) = (g.parameter("x", [1, 2, 2, 3, 1]), g.parameter("r", [1, 2, 2, 3, 1]));
            g.resample("y", &Lazy::new(x, None, Act::Gelu).plus(r, None), factor)
        });
    }
}

#[test]
fn resizing() {
    for sampling in [Sampling::Nearest, Sampling::Trilinear] {
        for size in [[3, 2, 4], [1, 5, 2], [4, 6, 2]] {
            check(&format!("{sampling:?} {size:?}"), |g| {
                let (x, r) = (g.parameter("x", [1, 2, 2, 3, 2]), g.parameter("r", [1, 2, 2, 3, 2]));
                g.resize("y", &Lazy::new(x, None, Act::Gelu).plus(r, None), size, sampling)
            });
        }
    }
}

#[test]
fn gates() {
    check("gate", |g| {
        let (x, psi) = (volume(g, "x", 3), volume(g, "psi", 1));
        let (n, m) = (raw_norm(g, "n", 3)?, raw_norm(g, "m", 1)?);
        g.gate("y", &Lazy::new(x, Some(n), Act::Silu), &Lazy::new(psi, Some(m), Act::Sigmoid))
    });
    check("plain gate", |g| {
        let (x, psi) = (volume(g, "x", 2), volume(g, "psi", 1));
        g.gate("y", &x.into(), &psi.into())
    });
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
    use unetr_wgpu::kernels::dice_ce::{ClassSizes, DiceCe, Focal, Overlap};
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
        DiceCe { overlap: Overlap::Generalised(ClassSizes::Square), ..plain },
        DiceCe { overlap: Overlap::Generalised(ClassSizes::Simple), batch: true, sigmoid: true, ..plain },
        DiceCe { overlap: Overlap::Tversky { alpha: 0.3, beta: 0.8 }, background: false, ..plain },
        DiceCe { focal: Some(Focal { gamma: 2.0, alpha: None, softmax: false }), background: false, ..plain },
        DiceCe {
            focal: Some(Focal { gamma: 1.5, alpha: Some(0.3), softmax: false }),
            weighted: true,
            sigmoid: true,
            ..plain
        },
        DiceCe { focal: Some(Focal { gamma: 2.0, alpha: Some(0.3), softmax: true }), weighted: true, ..plain },
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
fn repeated_sums() {
    for samples in [1, 3] {
        check("add_repeated", |g| {
            let (x, r) = (g.parameter("x", [samples, 2, 5]), g.parameter("r", [1, 2, 5]));
            g.add_repeated("sum", x, r)
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
    check("dropout of channels", |g| {
        let x = g.parameter("x", [2, 4, 2, 1, 3]);
        let step = g.input("step", [1]);
        g.dropout_channels("dropout", x, step, Mask { rate: 0.4, seed: 3 })
    });
    let mut g = Graph::new();
    let (x, step) = (g.input("x", [4]), g.input("step", [1]));
    for rate in [1.0, -0.1, f32::NAN] {
        let error = g.dropout("drop", x, step, Mask { rate, seed: 0 }, None).expect_err("no rate");
        assert!(error.reason.contains("below 1"), "{error}");
    }
}
