//! Volumes whose channels lie in several tensors: blocks on them give what blocks on whole volumes give, and the same gradients of
//! the same parameters.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use unetr_wgpu::graph::{GraphError, Layout, TensorId, interpret};
use unetr_wgpu::kernels::conv3d::Conv;
use unetr_wgpu::kernels::lazy::{Act, Lazy};
use unetr_wgpu::nets::layers::conv::{ConvLayer, conv, conv_parts, conv_transpose_parts};
use unetr_wgpu::nets::layers::norm::norm_parts;
use unetr_wgpu::nets::layers::parts;
use unetr_wgpu::nets::layers::unet_block::{Block, unet_block, up};
use unetr_wgpu::nets::{Architecture, Build, ConfigError, Init, Kind, Net, Network, NormName, Output, Tail, Window};
use unetr_wgpu::tensor::HostTensor;

const CHANNELS: usize = 24;

/// Layers of a network, its input and its number of parts.
type Layers = fn(&mut Net, TensorId, usize) -> Result<Output, GraphError>;

/// A network of a few layers.
#[derive(Debug)]
struct Small {
    layers: Layers,
    classes: usize,
    parts: usize,
}

impl Network for Small {
    fn kind(&self) -> &'static str {
        "Small"
    }

    fn in_channels(&self) -> usize {
        2
    }

    fn out_channels(&self) -> usize {
        self.classes
    }

    fn window(&self) -> Window {
        Window::Fixed([4, 2, 6])
    }

    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn arguments(&self) -> Map<String, Value> {
        Map::new()
    }

    fn build(&self, n: &mut Net, x: TensorId) -> Result<Output, GraphError> {
        (self.layers)(n, x, self.parts)
    }
}

/// A level of a decoder: what comes from below is enlarged, and meets a block of the window.
fn level(n: &mut Net, x: TensorId, parts: usize) -> Result<Output, GraphError> {
    let block = Block::new(CHANNELS, true, NormName::default());
    let down = ConvLayer { stride: [2; 3], ..ConvLayer::new(6, [3; 3]) };
    let below = conv(n, "down", &[x.into()], down)?;
    let stored = |n: &mut Net, name: &str, end: Vec<Lazy>| -> Result<Vec<TensorId>, GraphError> {
        end.iter().enumerate().map(|(i, end)| n.graph().store(&format!("{name}.{i}"), end)).collect()
    };
    let output = |n: &mut Net| {
        let init = Init::Uniform { fan_in: CHANNELS };
        let weight = n.matrix("out.weight", [3, CHANNELS, 1, 1, 1], Layout::TapMajor, init);
        (weight, n.vector("out.bias", [3], Kind::Bias, init))
    };
    if parts == 1 {
        let end = unet_block(n, "first", &[x.into()], block)?.end;
        let skip = n.graph().store("first", &end)?;
        let up = up(n, "up", below, CHANNELS)?;
        let end = unet_block(n, "second", &[up.into(), skip.into()], block)?.end;
        let inner = n.graph().store("second", &end)?;
        let end = unet_block(n, "third", &[inner.into()], block)?.end;
        let (weight, bias) = output(n);
        return Ok(Output { tail: Tail::Head { end, weight, bias }, deep: Vec::new(), stages: Vec::new() });
    }
    let end = parts::unet_block(n, "first", &[x], block, parts)?.end;
    let skip = stored(n, "first", end)?;
    let mut sources = parts::up(n, "up", below, CHANNELS, parts)?;
    sources.extend(skip);
    let end = parts::unet_block(n, "second", &sources, block, parts)?.end;
    let inner = stored(n, "second", end)?;
    let end = parts::unet_block(n, "third", &inner, block, parts)?.end;
    let end: Vec<Lazy> = stored(n, "third", end)?.into_iter().map(Lazy::from).collect();
    let (weight, bias) = output(n);
    let logits = parts::conv(n, "out", &end, 1, &Conv { bias: Some(bias), ..Conv::new(weight) })?[0];
    Ok(Output { tail: Tail::Logits(logits), deep: Vec::new(), stages: Vec::new() })
}

/// A stage of nnU-Net: biases, affine norms, leaky ReLU, and a head over the parts.
fn stage(n: &mut Net, x: TensorId, parts: usize) -> Result<Output, GraphError> {
    let layer = ConvLayer { moments: true, he: true, ..ConvLayer::new(CHANNELS, [3; 3]) };
    let block = |n: &mut Net, name: &str, sources: &[Lazy], layer: ConvLayer, outs: usize| {
        n.scope(name, |n| {
            let y = conv_parts(n, "conv", sources, layer, outs)?;
            let norms = norm_parts(n, NormName::Instance { affine: true }, "norm", &y, 1.0)?;
            let slope = Act::LeakyRelu(0.01);
            Ok::<Vec<Lazy>, GraphError>(
                y.into_iter().zip(norms).map(|(y, norm)| Lazy::new(y, Some(norm), slope)).collect(),
            )
        })
    };
    let skip = block(n, "first", &[x.into()], layer, parts)?;
    let below = block(n, "down", &skip, ConvLayer { out: 8, stride: [2; 3], ..layer }, 1)?;
    let up = ConvLayer { kernel: [2; 3], stride: [2; 3], moments: false, ..layer };
    let mut sources: Vec<Lazy> =
        conv_transpose_parts(n, "up", &below, up, parts)?.into_iter().map(Lazy::from).collect();
    sources.extend(skip);
    let ends = block(n, "second", &sources, layer, parts)?;
    let init = Init::he(CHANNELS);
    let weight = n.matrix("out.weight", [5, CHANNELS, 1, 1, 1], Layout::TapMajor, init);
    let bias = n.vector("out.bias", [5], Kind::Bias, Init::Constant(0.0));
    let tail = match ends[..] {
        [end] => Tail::Head { end, weight, bias },
        _ => {
            let weights = n.graph().split_weights("out.parts", weight, 1, ends.len())?.concat();
            Tail::Parts { ends, weights, bias }
        }
    };
    Ok(Output { tail, deep: Vec::new(), stages: Vec::new() })
}

/// Logits, and the gradient of every parameter by its name.
fn results(network: Small) -> BTreeMap<String, HostTensor> {
    let network = Architecture::new(network).expect("a network");
    let build = Build { batch: 2, training: true, ..Build::of(&*network) };
    let mut built = network.build(&build).expect("a graph");
    let logits = built.logits().expect("logits");
    let seed = built.graph.input("seed", built.graph.shape(logits).clone());
    let gradients = built.graph.backward(&[(logits, seed)], &[]).expect("gradients");
    let mut values: HashMap<TensorId, HostTensor> = HashMap::new();
    let mut named: Vec<(String, TensorId)> = built.graph.parameters().map(|(id, t)| (t.name.clone(), id)).collect();
    named.sort();
    for (i, (_, id)) in named.iter().enumerate() {
        values.insert(*id, HostTensor::noise(built.graph.shape(*id).clone(), 100 + i as u64));
    }
    for (i, id) in [built.input, seed].into_iter().enumerate() {
        values.insert(id, HostTensor::noise(built.graph.shape(id).clone(), i as u64));
    }
    interpret(&built.graph, &mut values);
    let mut results = BTreeMap::from([("logits".to_owned(), values[&logits].clone())]);
    for (name, id) in named {
        results.insert(name, values[&gradients.of(id).expect("a gradient")].clone());
    }
    results
}

/// What a network gives in parts, against the same in one.
fn compare(layers: Layers, classes: usize) {
    let network = |parts| Small { layers, classes, parts };
    let whole = results(network(1));
    for parts in [2, 3] {
        let divided = results(network(parts));
        assert_eq!(whole.keys().collect::<Vec<_>>(), divided.keys().collect::<Vec<_>>());
        for (name, want) in &whole {
            let scale = want.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let error = want.data.iter().zip(&divided[name].data).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(error <= 1e-9 * scale.max(1.0), "{parts} parts, {name}: {error:e} of {scale:e}");
        }
    }
}

#[test]
fn blocks_in_parts_are_the_blocks() {
    compare(level, 3);
}

#[test]
fn a_stage_of_nnunet_in_parts_is_the_stage() {
    compare(stage, 5);
}
