//! Losses, gradients and optimiser against MONAI and PyTorch.

use std::collections::BTreeMap;

use crate::support::golden;
use crate::support::procedural::projected;
use safetensors::SafeTensors;
use serde_json::Value;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::graph::{Graph, Plan, PlanOptions, Residents, TensorId};
use unetr_wgpu::kernels::dice_ce::{ClassSizes, DiceCe, Focal, Overlap};
use unetr_wgpu::nets::{Architecture, DropoutOptions};
use unetr_wgpu::tensor::Shape;
use unetr_wgpu::train::{
    BatchRef, Optimizer, OptimizerOptions, Part, Rates, StepOutcome, StepSpec, TrainingGraph, TrainingPlan,
    verify_gradients,
};
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

fn metadata(file: &[u8]) -> BTreeMap<String, String> {
    let (_, header) = SafeTensors::read_metadata(file).expect("a header");
    header.metadata().clone().unwrap_or_default().into_iter().collect()
}

/// A step on batches of the network's own windows.
fn spec(network: &Architecture, batch: usize) -> StepSpec<'static> {
    StepSpec::new(network.window().default_size(), batch, DiceCe::default())
}

fn network(file: &[u8]) -> (Architecture, Value) {
    let text = metadata(file)["config"].clone();
    (network_from_json(&text).expect("a network"), serde_json::from_str(&text).expect("JSON"))
}

fn f32s(file: &[u8], name: &str) -> Vec<f32> {
    golden::tensor(file, name).1.into_iter().map(|v| v as f32).collect()
}

fn l2(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The setting that the file describes in words: `DiceCELoss softmax {"batch": false, ...}`.
fn setting(text: &str) -> DiceCe {
    let (kind, rest) = text.split_once(' ').expect("a class");
    let (activation, options) = rest.split_once(' ').expect("an activation");
    let options: Value = serde_json::from_str(options).expect("JSON");
    let on = |name: &str| options[name].as_bool().expect(name);
    let number = |name: &str| options[name].as_f64().expect(name) as f32;
    let overlap = match kind {
        "GeneralizedDiceLoss" | "GeneralizedDiceFocalLoss" => Overlap::Generalised(match options["w_type"].as_str() {
            Some("simple") => ClassSizes::Simple,
            Some("uniform") => ClassSizes::Uniform,
            _ => ClassSizes::Square,
        }),
        "TverskyLoss" => Overlap::Tversky { alpha: number("alpha"), beta: number("beta") },
        _ => Overlap::Dice,
    };
    let focal = kind.ends_with("FocalLoss").then(|| Focal {
        gamma: number("gamma"),
        alpha: options["alpha"].as_f64().map(|alpha| alpha as f32),
        softmax: options["use_softmax"].as_bool().unwrap_or(false),
    });
    DiceCe {
        sigmoid: activation == "sigmoid",
        dice: if kind == "FocalLoss" { 0.0 } else { 1.0 },
        cross_entropy: if kind == "DiceCELoss" || focal.is_some() { 1.0 } else { 0.0 },
        overlap,
        focal,
        squared: options["squared_pred"].as_bool().unwrap_or(false),
        batch: on("batch"),
        background: on("include_background"),
        smooth_nr: number("smooth_nr"),
        smooth_dr: number("smooth_dr"),
        ..DiceCe::default()
    }
}

#[test]
fn losses_equal_monai() {
    let gpu = gpu();
    let files = ["golden/losses.safetensors", "golden/class-weights.safetensors", "golden/other-losses.safetensors"];
    for (path, count) in files.into_iter().zip([6, 6, 11]) {
        let file = golden::bytes(path);
        let settings = metadata(&file);
        assert_eq!(settings.len(), count, "{path}");
        for (name, text) in settings {
            let weighted = golden::has(&file, &format!("{name}.weights"));
            one_loss(&gpu, &file, &name, DiceCe { weighted, ..setting(&text) });
        }
    }
}

/// Value and gradient of the setting `name`; where classes have weights, also its Dice and cross entropy.
fn one_loss(gpu: &Gpu, file: &[u8], name: &str, setting: DiceCe) {
    let (shape, want) = (
        |part: &str| Shape::new(&golden::tensor(file, &format!("{name}.{part}")).0),
        |part: &str| golden::tensor(file, &format!("{name}.{part}")).1,
    );
    let mut graph = Graph::new();
    let logits = graph.parameter("logits", shape("logits"));
    let label = graph.input("label", shape("label"));
    let weights = setting.weighted.then(|| graph.input("weights", shape("weights")));
    let (loss, parts) = graph.dice_ce("loss", logits, label, weights, setting).expect("it fits");
    let gradient = graph.backward_from(loss, 1.0, &[]).expect("it has a gradient").of(logits).expect("of the logits");
    [loss, parts, gradient].into_iter().for_each(|t| graph.output(t));
    let plan = plan(gpu, &graph);
    plan.write(logits, &f32s(file, &format!("{name}.logits"))).expect("it fits");
    plan.write(label, &f32s(file, &format!("{name}.label"))).expect("it fits");
    if let Some(weights) = weights {
        plan.write(weights, &f32s(file, &format!("{name}.weights"))).expect("it fits");
    }
    plan.run().expect("it runs");
    let read = |tensor| pollster::block_on(plan.read(tensor)).expect("a tensor");
    let value = f64::from(read(loss)[0]);
    let expected = want("loss")[0];
    assert!((value - expected).abs() <= 1e-5 * expected.abs(), "{name}: {value} for {expected}");
    let error = l2(read(gradient).iter().zip(want("grad")).map(|(g, w)| f64::from(*g) - w)) / l2(want("grad"));
    println!("{name}: loss {value}, gradient to {error:.1e}");
    assert!(error <= 1e-5, "{name}: gradient to {error:e}");
    if golden::has(file, &format!("{name}.parts")) {
        for (part, want) in read(parts).iter().zip(want("parts")) {
            assert!((f64::from(*part) - want).abs() <= 1e-5 * want.abs(), "{name}: {part} for {want}");
        }
    }
}

#[test]
fn a_reference_file_is_followed_and_a_wrong_gradient_is_found() {
    let gpu = gpu();
    let mut bytes = golden::bytes("golden/unetr-small.safetensors");
    let rows = pollster::block_on(verify_gradients(&gpu, bytes.clone())).expect("it runs");
    assert_eq!(rows.len(), 172, "the loss, the window and 170 parameters");
    for row in rows {
        assert!(row.ok, "{row:?}");
    }
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).expect("JSON");
    let at = header["grad.vit.norm.bias"]["data_offsets"][0].as_u64().expect("an offset") as usize + 8 + header_bytes;
    bytes[at + 3] ^= 0x80;
    let rows = pollster::block_on(verify_gradients(&gpu, bytes)).expect("it runs");
    let bad: Vec<&str> = rows.iter().filter(|r| !r.ok).map(|r| r.name.as_str()).collect();
    assert_eq!(bad, ["grad.vit.norm.bias"]);
}

/// The gradient of every parameter and of the window: its length and sum, and, from 16 projections, how far it is from MONAI's.
#[test]
fn every_gradient_equals_monai() {
    let gpu = gpu();
    let names = [
        "unetr-cubic-1to3",
        "unetr-aniso-4to3-sigmoid",
        "unetr-qkvbias-2to14",
        "unetr-affine-noconv",
        "unetr-group-nores",
    ];
    for name in names {
        let file = golden::bytes(&format!("golden/{name}.safetensors"));
        let (config, json) = network(&file);
        let sigmoid = json["activation"] == "sigmoid";
        let loss = DiceCe { sigmoid, cross_entropy: if sigmoid { 0.0 } else { 1.0 }, ..DiceCe::default() };
        let batch = json["batch"].as_u64().expect("a batch") as usize;
        let mut step = TrainingGraph::new(&config, &StepSpec { loss, input_gradient: true, ..spec(&config, batch) })
            .expect("a graph");
        let pairs = step.gradients.pairs();
        let reference = SafeTensors::deserialize(&file).expect("a file");
        let count = reference.names().iter().filter(|n| n.starts_with("grad.")).count();
        assert_eq!(count, pairs.len(), "{name}: as many gradients as MONAI has");
        pairs.iter().for_each(|(_, g)| step.graph.output(*g));
        let plan = plan(&gpu, &step.graph);
        for (id, info) in step.graph.parameters() {
            plan.write(id, &f32s(&file, &format!("weight.{}", info.name))).expect("it fits");
        }
        plan.write(step.input, &f32s(&file, "input")).expect("it fits");
        plan.write(step.label, &f32s(&file, "label")).expect("it fits");
        plan.run().expect("it runs");
        let value = f64::from(pollster::block_on(plan.read(step.loss)).expect("a loss")[0]);
        let want = golden::tensor(&file, "loss").1[0];
        assert!((value - want).abs() <= 1e-5 * want.abs(), "{name}: loss {value} for {want}");
        let kept = |of: &str| golden::tensor(&file, &format!("grad.{of}")).1;
        let total = l2(reference.names().iter().filter_map(|n| n.strip_prefix("grad.")).map(|n| kept(n)[0]));
        let mut worst = 0.0f64;
        for (of, gradient) in pairs {
            let of = step.graph.tensor(of).name.clone();
            let (want, got) = (kept(&of), pollster::block_on(plan.read(gradient)).expect("a gradient"));
            let made = projected(golden::seed(&file), &of, &got);
            // The mean square of a difference's products with vectors of signs is the square of its length.
            let error = l2(made[2..].iter().zip(&want[2..]).map(|(g, w)| g - w)) / 4.0;
            let tolerance = 1e-4 * want[0] + 1e-7 * total;
            worst = worst.max(error / tolerance);
            assert!(error <= tolerance, "{name}: {of} is off by {error:e}, {tolerance:e} is allowed");
            assert!((made[0] - want[0]).abs() <= tolerance, "{name}: {of} has length {} for {}", made[0], want[0]);
        }
        println!("{name}: {count} gradients, the worst at {worst:.3} of the tolerance");
    }
}

/// MONAI's network with our masks in the place of PyTorch's.
#[test]
fn dropout_equals_monai() {
    let (file, start) = (golden::bytes("golden/dropout.safetensors"), golden::bytes("golden/adamw.safetensors"));
    let (config, _) = network(&start);
    let text = metadata(&file);
    let dropout =
        DropoutOptions { rate: text["rate"].parse().expect("a rate"), seed: text["seed"].parse().expect("a seed") };
    let dropped = StepSpec { dropout: Some(dropout), ..spec(&config, 2) };
    let mut step = TrainingGraph::new(&config, &dropped).expect("a graph");
    let pairs = step.gradients.pairs();
    pairs.iter().for_each(|(_, g)| step.graph.output(*g));
    let gpu = gpu();
    let plan = plan(&gpu, &step.graph);
    for (id, info) in step.graph.parameters() {
        plan.write(id, &f32s(&start, &format!("weight.{}", info.name))).expect("it fits");
    }
    plan.write(step.input, &f32s(&start, "input")).expect("it fits");
    plan.write(step.label, &f32s(&start, "label")).expect("it fits");
    let number = step.dropout_step.expect("values are dropped");
    let run = |t: f32| {
        plan.write(number, &[t]).expect("it fits");
        plan.run().expect("it runs");
        pollster::block_on(plan.read(step.loss)).expect("a loss")[0]
    };
    let other = run(8.0);
    let loss = run(text["step"].parse().expect("a step"));
    let want = golden::tensor(&file, "loss").1[0];
    assert!((f64::from(loss) - want).abs() <= 1e-5 * want, "{loss} for {want}");
    assert!((f64::from(other) - want).abs() > 1e-4 * want, "another step drops other values: {other}");
    let rows = golden::tensor(&file, "gradients").1;
    let total = l2(rows.iter().copied().step_by(9));
    let specs = config.parameters();
    assert_eq!((specs.len(), pairs.len()), (rows.len() / 9, rows.len() / 9));
    for (spec, want) in specs.iter().zip(rows.chunks_exact(9)) {
        let parameter = step.graph.named(&spec.name).expect("a parameter");
        let got = pollster::block_on(plan.read(step.gradients.of(parameter).expect("a gradient"))).expect("it is read");
        let mut made = vec![l2(got.iter().map(|v| f64::from(*v)))];
        made.extend(got.iter().step_by(got.len().div_ceil(8)).map(|v| f64::from(*v)));
        made.resize(9, 0.0);
        let error = l2(made.iter().zip(want).map(|(g, w)| g - w));
        assert!(error <= 1e-4 * want[0] + 1e-7 * total, "{} is off by {error:e} of {:e}", spec.name, want[0]);
    }
}

#[test]
fn eight_steps_of_adamw_equal_pytorch() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, json) = network(&file);
    let (batch, number) = (golden::tensor(&file, "input").0[0], |name: &str| json[name].as_f64().expect(name));
    let mut step = TrainingGraph::new(&config, &spec(&config, batch)).expect("a graph");
    let optimizer =
        Optimizer::new(&mut step.graph, &step.gradients, &OptimizerOptions::default()).expect("an optimiser");
    let rates = Rates {
        learning_rate: number("lr"),
        weight_decay: number("weight_decay"),
        betas: (json["betas"][0].as_f64().expect("beta1"), json["betas"][1].as_f64().expect("beta2")),
        epsilon: number("eps"),
        ..Rates::default()
    };
    let plan = plan(&gpu(), &step.graph);
    for (id, info) in step.graph.parameters() {
        plan.write(id, &f32s(&file, &format!("weight.{}", info.name))).expect("it fits");
    }
    plan.write(step.input, &f32s(&file, "input")).expect("it fits");
    plan.write(step.label, &f32s(&file, "label")).expect("it fits");
    let losses = golden::tensor(&file, "losses").1;
    assert_eq!(losses.len(), 8);
    for (t, want) in (1..).zip(losses) {
        plan.write(optimizer.rates, &rates.at(t)).expect("it fits");
        plan.run().expect("it runs");
        let loss = f64::from(pollster::block_on(plan.read(step.loss)).expect("a loss")[0]);
        println!("step {t}: {loss} for {want}, {:.1e}", (loss - want).abs() / want);
        assert!((loss - want).abs() <= 1e-4 * want.abs(), "step {t}: {loss} for {want}");
    }
}

/// Eight steps against AdamW in double precision on the gradients that the device gave: the weights' own end is no measure,
/// since at the fourth step a voxel of encoder3 lies within rounding of the kink of its leaky ReLU, and either side is right.
#[test]
fn adamw_follows_its_gradients() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let batch = golden::tensor(&file, "input").0[0];
    let mut step = TrainingGraph::new(&config, &spec(&config, batch)).expect("a graph");
    let pairs = step.gradients.pairs();
    pairs.iter().for_each(|(_, g)| step.graph.output(*g));
    let optimizer =
        Optimizer::new(&mut step.graph, &step.gradients, &OptimizerOptions::default()).expect("an optimiser");
    let rates = Rates { learning_rate: 1e-3, weight_decay: 0.01, ..Rates::default() };
    let plan = plan(&gpu(), &step.graph);
    let mut twins: Vec<[Vec<f64>; 3]> = Vec::new();
    for (parameter, _) in &pairs {
        let start = f32s(&file, &format!("weight.{}", step.graph.tensor(*parameter).name));
        plan.write(*parameter, &start).expect("it fits");
        let zeros = vec![0.0; start.len()];
        twins.push([start.iter().map(|v| f64::from(*v)).collect(), zeros.clone(), zeros]);
    }
    plan.write(step.input, &f32s(&file, "input")).expect("it fits");
    plan.write(step.label, &f32s(&file, "label")).expect("it fits");
    let (beta1, beta2) = rates.betas;
    for t in 1..9 {
        plan.write(optimizer.rates, &rates.at(t)).expect("it fits");
        plan.run().expect("it runs");
        let corrections = [1.0 - beta1.powi(t as i32), 1.0 - beta2.powi(t as i32)];
        for ((_, gradient), [w, m, v]) in pairs.iter().zip(&mut twins) {
            for (i, g) in pollster::block_on(plan.read(*gradient)).expect("a gradient").into_iter().enumerate() {
                let g = f64::from(g);
                m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                w[i] *= 1.0 - rates.learning_rate * rates.weight_decay;
                w[i] -=
                    rates.learning_rate * (m[i] / corrections[0]) / ((v[i] / corrections[1]).sqrt() + rates.epsilon);
            }
        }
    }
    for ((parameter, _), [w, ..]) in pairs.iter().zip(&twins) {
        let name = &step.graph.tensor(*parameter).name;
        let got = pollster::block_on(plan.read(*parameter)).expect("a weight");
        let start = f32s(&file, &format!("weight.{name}"));
        let change = l2(start.iter().zip(w).map(|(s, w)| f64::from(*s) - w));
        let error = l2(got.iter().zip(w).map(|(g, w)| f64::from(*g) - w));
        // Single precision stores eight sums of weight and change.
        let rounding = 8.0 * 6e-8 * l2(w.iter().copied());
        assert!(error <= 1e-5 * change + rounding, "{name}: off by {error:e} of {change:e}");
    }
}

/// Two steps from the golden start with these windows: every weight, and what the optimiser says of the gradients.
fn two_steps(gpu: &Gpu, input: impl Fn(&mut Vec<f32>)) -> (Vec<Vec<f32>>, Vec<f32>) {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let mut step = TrainingGraph::new(&config, &spec(&config, 2)).expect("a graph");
    let options = OptimizerOptions { clip: Some(0.1), average: true, ..OptimizerOptions::default() };
    let optimizer = Optimizer::new(&mut step.graph, &step.gradients, &options).expect("an optimiser");
    let plan = plan(gpu, &step.graph);
    for (id, info) in step.graph.parameters() {
        plan.write(id, &f32s(&file, &format!("weight.{}", info.name))).expect("it fits");
    }
    let mut window = f32s(&file, "input");
    input(&mut window);
    plan.write(step.input, &window).expect("it fits");
    plan.write(step.label, &f32s(&file, "label")).expect("it fits");
    for t in 1..3 {
        plan.write(optimizer.rates, &Rates::default().at(t)).expect("it fits");
        plan.run().expect("it runs");
    }
    let read = |id| pollster::block_on(plan.read(id)).expect("a tensor");
    (optimizer.parameters.iter().map(|p| read(p.parameter)).collect(), read(optimizer.clip))
}

#[test]
fn the_same_step_gives_the_same_bits() {
    let gpu = gpu();
    let bits = |w: Vec<Vec<f32>>| -> Vec<u32> { w.into_iter().flatten().map(f32::to_bits).collect() };
    let (first, clip) = two_steps(&gpu, |_| ());
    let (second, _) = two_steps(&gpu, |_| ());
    assert!(bits(first) == bits(second));
    assert!(clip[0] > 0.1 && (clip[1] - 0.1 / (clip[0] + 1e-6)).abs() < 1e-6 && clip[2] == 1.0, "clipped: {clip:?}");
}

#[test]
fn gradients_that_are_not_finite_change_nothing() {
    let file = golden::bytes("golden/adamw.safetensors");
    for poison in [f32::NAN, f32::INFINITY] {
        let (weights, clip) = two_steps(&gpu(), |window| window[5] = poison);
        assert_eq!(clip[2], 0.0, "{poison}: {clip:?}");
        let start: Vec<f32> = SafeTensors::deserialize(&file)
            .expect("a file")
            .names()
            .iter()
            .filter(|n| n.starts_with("weight."))
            .flat_map(|n| f32s(&file, n))
            .collect();
        let mut bits: Vec<u32> = start.iter().map(|v| v.to_bits()).collect();
        bits.sort_unstable();
        let changed = weights.iter().flatten().filter(|v| bits.binary_search(&v.to_bits()).is_err()).count();
        assert_eq!(changed, 0, "{poison}");
    }
}

fn by_name(config: &Architecture, accumulate: usize, batch: usize, frozen: &dyn Fn(&str) -> bool) -> TrainingPlan {
    let optimizer = OptimizerOptions { clip: Some(0.5), average: true, ..OptimizerOptions::default() };
    let options = StepSpec { optimizer, accumulate, frozen, ..spec(config, batch) };
    pollster::block_on(TrainingPlan::new(&gpu(), config, &options)).expect("a plan")
}

/// Two batches of one window give what one batch of two gives; what the sums held before does not matter.
#[test]
fn accumulated_gradients_are_those_of_the_whole_batch() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let (input, label) = (f32s(&file, "input"), f32s(&file, "label"));
    let (half, half_label) = (input.len() / 2, label.len() / 2);
    let rates = Rates { learning_rate: 1e-3, ..Rates::default() };
    let run = |accumulate: usize| {
        let plan = by_name(&config, accumulate, 2 / accumulate, &|_| false);
        let names: Vec<String> = plan.parameters().map(|(name, _)| name.to_owned()).collect();
        for name in &names {
            let start = f32s(&file, &format!("weight.{name}"));
            plan.write(Part::Weight, name, &start).expect("it fits");
            plan.write(Part::Average, name, &start).expect("it fits");
        }
        let whole = [BatchRef { input: &input, label: &label }];
        let parts = [
            BatchRef { input: &input[..half], label: &label[..half_label] },
            BatchRef { input: &input[half..], label: &label[half_label..] },
        ];
        let batches = if accumulate == 1 { &whole[..] } else { &parts[..] };
        let steps: Vec<StepOutcome> =
            (1..4).map(|t| pollster::block_on(plan.step(batches, &rates, t)).expect("a step")).collect();
        let read = |name: &String| pollster::block_on(plan.read(Part::Weight, name)).expect("a weight");
        (steps, names.iter().map(read).collect::<Vec<_>>())
    };
    let (whole, parts) = (run(1), run(2));
    for (a, b) in whole.0.iter().zip(&parts.0) {
        assert!(a.finite && b.finite);
        for (a, b) in [(a.loss, b.loss), (a.gradient_norm, b.gradient_norm), (a.dice, b.dice)] {
            assert!((a - b).abs() <= 2e-6 * a.abs(), "{a} and {b}");
        }
    }
    let start: Vec<f32> = whole.1.concat();
    let end: Vec<f32> = parts.1.concat();
    let error = l2(start.iter().zip(&end).map(|(a, b)| f64::from(a - b))) / l2(start.iter().map(|v| f64::from(*v)));
    assert!(error <= 1e-6, "weights off by {error:e}");
    let again = run(2);
    let bits = |w: &[Vec<f32>]| w.iter().flatten().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert!(bits(&parts.1) == bits(&again.1), "the same bits");
}

#[test]
fn frozen_parameters_stay_and_cost_nothing() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let frozen = |name: &str| name.starts_with("vit.");
    for accumulate in [1, 2] {
        let plan = by_name(&config, accumulate, 1, &frozen);
        let names: Vec<String> = plan.parameters().map(|(name, _)| name.to_owned()).collect();
        let start: Vec<Vec<f32>> = names.iter().map(|name| f32s(&file, &format!("weight.{name}"))).collect();
        for (name, values) in names.iter().zip(&start) {
            plan.write(Part::Weight, name, values).expect("it fits");
            assert_eq!(plan.has(Part::M, name), !frozen(name), "{name}");
        }
        let (input, label) = (f32s(&file, "input"), f32s(&file, "label"));
        let windows = BatchRef { input: &input[..input.len() / 2], label: &label[..label.len() / 2] };
        let made = pollster::block_on(plan.step(&vec![windows; accumulate], &Rates::default(), 1)).expect("a step");
        assert!(made.finite);
        for (name, before) in names.iter().zip(&start) {
            let after = pollster::block_on(plan.read(Part::Weight, name)).expect("a weight");
            assert_eq!(*before == after, frozen(name), "{name}");
        }
    }
    let count = |frozen: &dyn Fn(&str) -> bool| {
        let step = TrainingGraph::new(&config, &StepSpec { frozen, ..spec(&config, 1) }).expect("a graph");
        step.graph.nodes().len()
    };
    let (all, encoders) = (count(&|_| false), count(&frozen));
    assert!(encoders < all - 100, "no backward pass through the transformer: {encoders} of {all} nodes");
}

/// Activations that are computed again, dropout among them, have the bits that were dropped.
#[test]
fn recomputed_activations_give_the_same_bits() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let dropout = Some(DropoutOptions { rate: 0.2, seed: 3 });
    let run = |recompute: bool| {
        let spec = StepSpec { recompute, dropout, input_gradient: true, ..spec(&config, 2) };
        let mut step = TrainingGraph::new(&config, &spec).expect("a graph");
        let gradients = step.gradients.pairs();
        gradients.iter().for_each(|(_, g)| step.graph.output(*g));
        let plan = plan(&gpu(), &step.graph);
        for (id, info) in step.graph.parameters() {
            plan.write(id, &f32s(&file, &format!("weight.{}", info.name))).expect("weights");
        }
        plan.write(step.input, &f32s(&file, "input")).expect("windows");
        plan.write(step.label, &f32s(&file, "label")).expect("labels");
        plan.write(step.dropout_step.expect("values are dropped"), &[7.0]).expect("a step");
        plan.run().expect("a run");
        let bits = |(of, g): &(TensorId, TensorId)| {
            let values = pollster::block_on(plan.read(*g)).expect("a gradient");
            (step.graph.tensor(*of).name.clone(), values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let again = step.graph.nodes().iter().filter(|n| n.name.ends_with(".again")).count();
        (gradients.iter().map(bits).collect::<BTreeMap<_, _>>(), again)
    };
    let ((kept, none), (recomputed, again)) = (run(false), run(true));
    assert!(none == 0 && again > 100, "{none} and {again} nodes computed again");
    assert_eq!(kept.len(), config.parameters().len() + 1);
    for (name, bits) in &kept {
        assert!(recomputed.get(name) == Some(bits), "{name}");
    }
}
