//! NaN and infinity are found wherever they stand: the loss shows them, the optimiser keeps its hands off, and what is to
//! blame is named.

use crate::support::golden;
use safetensors::SafeTensors;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::graph::{Graph, NotFinite, Plan, PlanOptions, Residents, TensorId};
use unetr_wgpu::kernels::dice_ce::DiceCe;
use unetr_wgpu::tensor::HostTensor;
use unetr_wgpu::train::{Optimizer, OptimizerOptions, Rates, StepSpec, TrainingGraph};
use unetr_wgpu::weights::package::network_from_json;

fn gpu() -> Gpu {
    let adapter = std::env::var("UNETR_ADAPTER").ok();
    let options = GpuOptions { adapter, default_limits: true, ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

fn plan(gpu: &Gpu, graph: &Graph) -> Plan {
    let (options, mut residents) = (PlanOptions::default(), Residents::default());
    pollster::block_on(Plan::new(gpu, graph, &options, &mut residents)).expect("a plan")
}

fn read(plan: &Plan, tensor: TensorId) -> Vec<f32> {
    pollster::block_on(plan.read(tensor)).expect("a tensor")
}

/// Loss and gradient of one setting where one logit or one label is replaced.
#[test]
fn a_loss_shows_what_its_arguments_hold() {
    let gpu = gpu();
    let plain = DiceCe::default();
    let settings = [
        (plain, 3, 1),
        (DiceCe { cross_entropy: 0.0, squared: true, ..plain }, 3, 1),
        (DiceCe { dice: 0.0, background: false, ..plain }, 3, 1),
        (DiceCe { sigmoid: true, cross_entropy: 0.0, batch: true, ..plain }, 3, 3),
        (DiceCe { sigmoid: true, ..plain }, 1, 1),
    ];
    for (setting, classes, channels) in settings {
        let mut graph = Graph::new();
        let logits = graph.parameter("logits", [2, classes, 5, 3, 7]);
        let label = graph.input("label", [2, channels, 5, 3, 7]);
        let (loss, parts) = graph.dice_ce("loss", logits, label, None, setting).expect("it fits");
        let gradient = graph.backward_from(loss, 1.0, &[]).expect("it has one").of(logits).expect("of the logits");
        [loss, parts, gradient].into_iter().for_each(|t| graph.output(t));
        let plan = plan(&gpu, &graph);
        let x = HostTensor::noise(graph.shape(logits).clone(), 1).to_f32();
        let truth = HostTensor::noise(graph.shape(label).clone(), 2).map(|v| v.ceil().abs()).to_f32();
        let run = |x: &[f32], truth: &[f32]| {
            plan.write(logits, x).expect("it fits");
            plan.write(label, truth).expect("it fits");
            plan.run().expect("it runs");
            [read(&plan, loss), read(&plan, parts), read(&plan, gradient)].concat()
        };
        let with = |values: &[f32], at: usize, value: f32| {
            let mut values = values.to_vec();
            values[at] = value;
            values
        };
        assert!(run(&x, &truth).iter().all(|v| v.is_finite()), "{setting:?}");
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 100, 209] {
                let made = run(&with(&x, at % x.len(), value), &truth);
                assert!(made.iter().all(|v| !v.is_finite()), "logit {at} is {value}, {setting:?}: {made:?}");
                let made = run(&x, &with(&truth, at, value));
                assert!(made.iter().all(|v| !v.is_finite()), "label {at} is {value}, {setting:?}: {made:?}");
            }
        }
        // A share may be any number, a class number only one of a class.
        for value in [3.0, 0.5, -1.0, 1e20] {
            let made = run(&x, &with(&truth, 17, value));
            let shown = made.iter().all(|v| !v.is_finite());
            assert_eq!(shown, classes != channels, "label {value}, {setting:?}: {made:?}");
        }
    }
}

/// A network with its optimiser, at the start of the golden run.
struct Training {
    step: TrainingGraph,
    optimizer: Optimizer,
    plan: Plan,
    file: Vec<u8>,
}

impl Training {
    fn new(gpu: &Gpu) -> Self {
        let file = golden::bytes("golden/adamw.safetensors");
        let (_, header) = SafeTensors::read_metadata(&file).expect("a header");
        let config = header.metadata().as_ref().and_then(|m| m.get("config")).expect("a network").clone();
        let config = network_from_json(&config).expect("a network");
        let spec = StepSpec::new(config.window().default_size(), 2, DiceCe::default());
        let mut step = TrainingGraph::new(&config, &spec).expect("a graph");
        let options = OptimizerOptions { clip: Some(1.0), average: true, ..OptimizerOptions::default() };
        let optimizer = Optimizer::new(&mut step.graph, &step.gradients, &options).expect("an optimiser");
        step.gradients.pairs().into_iter().for_each(|(_, g)| step.graph.output(g));
        let plan = plan(gpu, &step.graph);
        let training = Self { step, optimizer, plan, file };
        training.plan.write(training.optimizer.rates, &Rates::default().at(1)).expect("it fits");
        for (id, info) in training.step.graph.parameters() {
            training.plan.write(id, &training.values(&format!("weight.{}", info.name))).expect("it fits");
        }
        for (id, name) in [(training.step.input, "input"), (training.step.label, "label")] {
            training.plan.write(id, &training.values(name)).expect("it fits");
        }
        training
    }

    fn values(&self, name: &str) -> Vec<f32> {
        golden::tensor(&self.file, name).1.into_iter().map(|v| v as f32).collect()
    }

    fn weights(&self) -> Vec<u32> {
        let parameters = self.step.graph.parameters();
        parameters.flat_map(|(id, _)| read(&self.plan, id)).map(f32::to_bits).collect()
    }

    /// Replaces elements of a tensor, takes a step, which must not change a thing, and puts them back. Gives what is named.
    fn planted(&self, tensor: TensorId, name: &str, change: impl Fn(&mut Vec<f32>)) -> NotFinite {
        let before = self.values(name);
        let mut values = before.clone();
        change(&mut values);
        self.plan.write(tensor, &values).expect("it fits");
        let weights = self.weights();
        self.plan.run().expect("it runs");
        let clip = read(&self.plan, self.optimizer.clip);
        assert_eq!(clip[2], 0.0, "{name}: {clip:?}");
        assert!(self.weights() == weights, "{name}: a weight has changed");
        for moments in &self.optimizer.parameters {
            assert!(read(&self.plan, moments.m).iter().all(|v| *v == 0.0), "{name}: a moment has changed");
        }
        let named = self.optimizer.not_finite(&self.step.graph, &read(&self.plan, self.optimizer.square_sums));
        let bad = |g: TensorId| read(&self.plan, g).iter().any(|v| !v.is_finite());
        let pairs = self.step.gradients.pairs();
        let want: Vec<&str> =
            pairs.iter().filter(|(_, g)| bad(*g)).map(|(p, _)| self.step.graph.tensor(*p).name.as_str()).collect();
        assert!(!want.is_empty(), "{name}");
        assert_eq!(named, want, "{name}");
        let found = pollster::block_on(self.plan.first_not_finite(&self.step.graph)).expect("it runs");
        assert!(self.weights() == weights, "{name}: looking has changed a weight");
        self.plan.write(tensor, &before).expect("it fits");
        found.unwrap_or_else(|| panic!("{name}: nothing is found"))
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_names_the_cause() {
    let training = Training::new(&gpu());
    let graph = &training.step.graph;
    for (tensor, name) in [(training.step.input, "input"), (training.step.label, "label")] {
        let found = training.planted(tensor, name, |v| v[5] = f32::NAN);
        assert_eq!((found.tensor.as_str(), found.node, found.index, found.count), (name, None, 5, 1));
    }
    // One of each kind; the first and the last element, so that what a kernel does at an edge is seen too.
    let kinds = [
        "vit.patch_embedding.position_embeddings",
        "vit.patch_embedding.patch_embeddings.weight",
        "vit.blocks.0.norm1.weight",
        "vit.blocks.3.attn.qkv.weight",
        "vit.blocks.7.attn.out_proj.bias",
        "vit.blocks.11.mlp.linear1.weight",
        "vit.norm.bias",
        "encoder1.layer.conv1.conv.weight",
        "encoder3.transp_conv_init.conv.weight",
        "decoder2.conv_block.conv3.conv.weight",
        "out.conv.conv.bias",
    ];
    for name in kinds {
        let tensor = graph.named(name).unwrap_or_else(|| panic!("no {name}"));
        let last = graph.shape(tensor).elements() - 1;
        for (at, value) in [(0, f32::NAN), (last, f32::NAN), (last, f32::INFINITY)] {
            let found = training.planted(tensor, &format!("weight.{name}"), |v| v[at] = value);
            assert_eq!((found.tensor.as_str(), found.node, found.index), (name, None, at));
        }
    }
}

#[test]
fn an_overflow_names_the_node() {
    let training = Training::new(&gpu());
    // Finite weights whose products are not: of the convolution, its moments.
    for (name, node, op) in [
        ("vit.blocks.2.mlp.linear2.weight", "vit.blocks.2.mlp.linear2", "linear"),
        ("decoder4.conv_block.conv1.conv.weight", "decoder4.conv_block.conv1.conv", "conv3d"),
        ("out.conv.conv.weight", "out", "head"),
    ] {
        let tensor = training.step.graph.named(name).expect(name);
        let found = training.planted(tensor, &format!("weight.{name}"), |v| v.fill(3e38));
        assert_eq!(found.node, Some((node.to_owned(), op)), "{found}");
        assert!(found.to_string().starts_with(&format!("{node} ({op}) gives ")), "{found}");
    }
    // What was put back takes a step again.
    training.plan.run().expect("it runs");
    assert_eq!(read(&training.plan, training.optimizer.clip)[2], 1.0);
    assert_eq!(pollster::block_on(training.plan.first_not_finite(&training.step.graph)).expect("it runs"), None);
}

/// Each value is finite, the sum of the squares is not: that of a part of them, or only that of all.
#[test]
fn a_gradient_too_long_for_single_precision_is_refused_and_named() {
    for (size, seed, parts_are_finite) in [(2, 1e25, false), (16, 4.4e21, true)] {
        too_long(size, seed, parts_are_finite);
    }
}

fn too_long(size: usize, seed: f32, parts_are_finite: bool) {
    let mut graph = Graph::new();
    let [short, long] = ["short", "long"].map(|name| graph.parameter(name, [1, 3, size, size, size]));
    let label = graph.input("label", [1, 1, size, size, size]);
    let mut seeds = Vec::new();
    for (name, logits) in [("a", short), ("b", long)] {
        let loss = graph.dice_ce(name, logits, label, None, DiceCe::default()).expect("it fits").0;
        seeds.push((loss, graph.input(&format!("seed {name}"), [1])));
    }
    let gradients = graph.backward(&seeds, &[]).expect("it has gradients");
    let optimizer = Optimizer::new(&mut graph, &gradients, &OptimizerOptions::default()).expect("an optimiser");
    let plan = plan(&gpu(), &graph);
    plan.write(seeds[0].1, &[1.0]).expect("it fits");
    plan.write(seeds[1].1, &[seed]).expect("it fits");
    plan.write(optimizer.rates, &Rates::default().at(1)).expect("it fits");
    plan.run().expect("it runs");
    assert_eq!(read(&plan, optimizer.clip)[2], 0.0);
    let sums = read(&plan, optimizer.square_sums);
    assert_eq!(sums.iter().all(|sum| sum.is_finite()), parts_are_finite);
    assert_eq!(optimizer.not_finite(&graph, &sums), ["long"]);
    assert!(read(&plan, long).iter().all(|v| *v == 0.0), "nothing was changed");
}
