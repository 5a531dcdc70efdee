//! Choosing kernel variants by measurement.

use std::sync::Arc;

use unetr_wgpu::gpu::{AdapterClass, Choices, Gpu, GpuOptions, Limits};
use unetr_wgpu::graph::{DType, Layout, TensorId};
use unetr_wgpu::graph::{
    Graph, Io, MemoryPlan, Plan, PlanOptions, Residents, Target, TensorKind, choice_key, choices, tune,
};
use unetr_wgpu::tensor::{HostTensor, Shape};

fn gpu() -> Gpu {
    let options = GpuOptions { adapter: std::env::var("UNETR_ADAPTER").ok(), ..GpuOptions::default() };
    pollster::block_on(Gpu::open(&options)).expect("an adapter: see README, 'tests'")
}

/// Two layers of different shapes.
fn layers() -> (Graph, [TensorId; 3], TensorId) {
    let mut graph = Graph::new();
    let x = graph.input("x", [40, 64]);
    let w = [graph.parameter("w0", [96, 64]), graph.parameter("w1", [32, 96])];
    let hidden = graph.linear("first", x, w[0], None, true, None).expect("fits");
    let y = graph.linear("second", hidden, w[1], None, false, None).expect("fits");
    graph.output(y);
    (graph, [x, w[0], w[1]], y)
}

fn key(shapes: [[usize; 2]; 2]) -> String {
    let kind = |s: [usize; 2]| TensorKind { shape: Shape::from(s), dtype: DType::F32, layout: Layout::Natural };
    choice_key("linear", &Io { inputs: shapes.map(kind).to_vec(), outputs: Vec::new() })
}

#[test]
fn a_choice_holds_for_its_shape_alone() {
    let (graph, ..) = layers();
    let mut target = Target::new(AdapterClass::Software);
    Arc::make_mut(&mut target.choices).insert(key([[40, 96], [32, 96]]), 2);
    let plan = MemoryPlan::new(&graph, &target, &Limits::default(), false).expect("fits");
    let shaders: Vec<&str> = plan.dispatches().map(|(_, d)| d.shader).collect();
    assert_eq!(shaders, ["linear", "linear_tiled"]);
}

#[test]
fn a_tuned_plan_gives_the_same_values() {
    let gpu = gpu();
    let (graph, written, y) = layers();
    let mut seen = Vec::new();
    let measured = pollster::block_on(tune(&gpu, &graph, &mut |done, all| seen.push((done, all)))).expect("it runs");
    assert_eq!(measured.len(), 2, "each op and shape once: {measured:?}");
    assert_eq!(seen, [(1, 2), (2, 2)]);
    assert!(measured.iter().all(|op| op.default_ms > 0.0 && op.variants_ms.iter().all(|ms| *ms > 0.0)), "{measured:?}");
    let mut forced = choices(&measured);
    forced.insert(key([[40, 64], [96, 64]]), 3);
    forced.insert(key([[40, 96], [32, 96]]), 1000);
    let run = |choices: Choices| {
        let gpu = gpu.clone().tuned(choices);
        let options = PlanOptions::default();
        let plan = pollster::block_on(Plan::new(&gpu, &graph, &options, &mut Residents::default())).expect("a plan");
        for (seed, id) in written.iter().enumerate() {
            plan.write(*id, &HostTensor::noise(graph.shape(*id).clone(), seed as u64).to_f32()).expect("written");
        }
        plan.run().expect("runs");
        pollster::block_on(plan.read(y)).expect("read")
    };
    let (a, b) = (run(Choices::default()), run(forced));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "the variants agree");
}
