//! Losses, gradients and optimiser against MONAI and PyTorch.
#![cfg(feature = "train")]

#[path = "support/golden.rs"]
mod golden;

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;
use unetr_wgpu::gpu::{Gpu, GpuOptions};
use unetr_wgpu::graph::{Graph, Plan, PlanOptions, Residents};
use unetr_wgpu::kernels::dice_ce::DiceCe;
use unetr_wgpu::model::UnetrConfig;
use unetr_wgpu::tensor::Shape;
use unetr_wgpu::train::{Objective, Optimizer, OptimizerOptions, Rates, TrainingGraph, verify_gradients};
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

fn network(file: &[u8]) -> (UnetrConfig, Value) {
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
    DiceCe {
        sigmoid: activation == "sigmoid",
        cross_entropy: if kind == "DiceCELoss" { 1.0 } else { 0.0 },
        squared: on("squared_pred"),
        batch: on("batch"),
        background: on("include_background"),
        smooth_nr: number("smooth_nr"),
        smooth_dr: number("smooth_dr"),
        ..DiceCe::default()
    }
}

#[test]
fn losses_equal_monai() {
    let file = golden::bytes("golden/losses.safetensors");
    let gpu = gpu();
    let settings = metadata(&file);
    assert_eq!(settings.len(), 6);
    for (name, text) in settings {
        let mut graph = Graph::new();
        let shape = |part: &str| Shape::new(&golden::tensor(&file, &format!("{name}.{part}")).0);
        let logits = graph.parameter("logits", shape("logits"));
        let label = graph.input("label", shape("label"));
        let loss = graph.dice_ce("loss", logits, label, setting(&text)).expect("it fits");
        let gradient =
            graph.backward_from(loss, 1.0, &[]).expect("it has a gradient").of(logits).expect("of the logits");
        graph.output(loss);
        graph.output(gradient);
        let plan = plan(&gpu, &graph);
        plan.write(logits, &f32s(&file, &format!("{name}.logits"))).expect("it fits");
        plan.write(label, &f32s(&file, &format!("{name}.label"))).expect("it fits");
        plan.run().expect("it runs");
        let value = f64::from(pollster::block_on(plan.read(loss)).expect("a loss")[0]);
        let want = golden::tensor(&file, &format!("{name}.loss")).1[0];
        assert!((value - want).abs() <= 1e-5 * want.abs(), "{name}: {value} for {want}");
        let got = pollster::block_on(plan.read(gradient)).expect("a gradient");
        let want = golden::tensor(&file, &format!("{name}.grad")).1;
        let error = l2(got.iter().zip(&want).map(|(g, w)| f64::from(*g) - w)) / l2(want);
        println!("{name}: loss {value}, gradient to {error:.1e}");
        assert!(error <= 1e-5, "{name}: gradient to {error:e}");
    }
}

#[test]
fn every_gradient_equals_monai() {
    let rows = pollster::block_on(verify_gradients(&gpu(), golden::bytes("golden/unetr-cubic-1to3.safetensors")))
        .expect("it runs");
    assert_eq!(rows.len(), 172, "the loss, the window and 170 parameters");
    let worst = rows.iter().max_by(|a, b| (a.error / a.tolerance).total_cmp(&(b.error / b.tolerance))).expect("rows");
    println!(
        "{} gradients, worst {} at {:.3} of the tolerance",
        rows.len() - 1,
        worst.name,
        worst.error / worst.tolerance
    );
    for row in rows {
        assert!(row.ok, "{row:?}");
    }
}

#[test]
fn a_wrong_gradient_is_found() {
    let mut bytes = golden::bytes("golden/unetr-cubic-1to3.safetensors");
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).expect("JSON");
    let at = header["grad.vit.norm.bias"]["data_offsets"][0].as_u64().expect("an offset") as usize + 8 + header_bytes;
    bytes[at + 3] ^= 0x80;
    let rows = pollster::block_on(verify_gradients(&gpu(), bytes)).expect("it runs");
    let bad: Vec<&str> = rows.iter().filter(|r| !r.ok).map(|r| r.name.as_str()).collect();
    assert_eq!(bad, ["grad.vit.norm.bias"]);
}

/// Networks whose full gradients are too large to keep here: every parameter, at up to 192 places.
#[test]
fn sampled_gradients_equal_monai() {
    let samples = golden::bytes("golden/gradient-samples.safetensors");
    let reference = SafeTensors::deserialize(&samples).expect("a file");
    let gpu = gpu();
    for name in ["unetr-aniso-4to3-sigmoid", "unetr-qkvbias-2to14"] {
        let file = golden::bytes(&format!("golden/{name}.safetensors"));
        let (config, json) = network(&file);
        let sigmoid = json["activation"] == "sigmoid";
        let loss = DiceCe { sigmoid, cross_entropy: if sigmoid { 0.0 } else { 1.0 }, ..DiceCe::default() };
        let batch = json["batch"].as_u64().expect("a batch") as usize;
        let mut step = TrainingGraph::new(&config, &Objective { batch, loss }, true).expect("a graph");
        let pairs = step.gradients.pairs();
        let count = reference.names().iter().filter(|n| n.starts_with(name)).count();
        assert_eq!(count, pairs.len() + 1, "{name}: as many gradients as MONAI has");
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
        let total = golden::tensor(&samples, &format!("{name}/length")).1[0];
        for (parameter, gradient) in pairs {
            let parameter = step.graph.tensor(parameter).name.clone();
            let want = golden::tensor(&samples, &format!("{name}/{parameter}")).1;
            let got = pollster::block_on(plan.read(gradient)).expect("a gradient");
            let places: Vec<f32> = got.iter().copied().step_by(got.len().div_ceil(192)).collect();
            assert_eq!(places.len(), want.len(), "{name}: {parameter}");
            let error = l2(places.iter().zip(&want).map(|(g, w)| f64::from(*g) - w));
            let tolerance = 1e-4 * l2(want) + 1e-7 * total;
            assert!(error <= tolerance, "{name}: {parameter} is off by {error:e}, {tolerance:e} is allowed");
        }
    }
}

#[test]
fn eight_steps_of_adamw_equal_pytorch() {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, json) = network(&file);
    let (batch, number) = (golden::tensor(&file, "input").0[0], |name: &str| json[name].as_f64().expect(name));
    let mut step = TrainingGraph::new(&config, &Objective { batch, loss: DiceCe::default() }, false).expect("a graph");
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
        plan.write(id, &f32s(&file, &format!("start.{}", info.name))).expect("it fits");
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
    let (mut error, mut change) = (0.0f64, 0.0f64);
    for (id, info) in step.graph.parameters() {
        let got = pollster::block_on(plan.read(id)).expect("a weight");
        let (start, end) = (
            golden::tensor(&file, &format!("start.{}", info.name)).1,
            golden::tensor(&file, &format!("end.{}", info.name)).1,
        );
        error += got.iter().zip(&end).map(|(g, e)| (f64::from(*g) - e).powi(2)).sum::<f64>();
        change += start.iter().zip(&end).map(|(s, e)| (s - e).powi(2)).sum::<f64>();
    }
    println!("end weights off by {:.1e} of their change", (error / change).sqrt());
    // PyTorch's own single precision is off by 9e-5 here.
    assert!((error / change).sqrt() <= 1e-4, "end weights off by {:e} of {:e}", error.sqrt(), change.sqrt());
}

/// Two steps from the golden start with these windows: every weight, and what the optimiser says of the gradients.
fn two_steps(gpu: &Gpu, input: impl Fn(&mut Vec<f32>)) -> (Vec<Vec<f32>>, Vec<f32>) {
    let file = golden::bytes("golden/adamw.safetensors");
    let (config, _) = network(&file);
    let mut step =
        TrainingGraph::new(&config, &Objective { batch: 2, loss: DiceCe::default() }, false).expect("a graph");
    let options = OptimizerOptions { clip: Some(0.1), average: true, ..OptimizerOptions::default() };
    let optimizer = Optimizer::new(&mut step.graph, &step.gradients, &options).expect("an optimiser");
    let plan = plan(gpu, &step.graph);
    for (id, info) in step.graph.parameters() {
        plan.write(id, &f32s(&file, &format!("start.{}", info.name))).expect("it fits");
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
            .filter(|n| n.starts_with("start."))
            .flat_map(|n| f32s(&file, n))
            .collect();
        let mut bits: Vec<u32> = start.iter().map(|v| v.to_bits()).collect();
        bits.sort_unstable();
        let changed = weights.iter().flatten().filter(|v| bits.binary_search(&v.to_bits()).is_err()).count();
        assert_eq!(changed, 0, "{poison}");
    }
}
