use std::collections::BTreeMap;
use unetr_wgpu::{gpu::*, graph::*, kernels::dice_ce::DiceCe, model::*, train::*};
fn main() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions {
        adapter: std::env::var("UNETR_ADAPTER").ok(),
        ..Default::default()
    }))
    .unwrap();
    let full = std::env::args().nth(1).as_deref() == Some("full");
    let mut c = UnetrConfig::default();
    c.out_channels = 14;
    if !full {
        c.img_size = [48, 64, 48];
        c.feature_size = 8;
        c.hidden_size = 192;
        c.mlp_dim = 768;
        c.num_heads = 6;
        c.out_channels = 3;
    }
    let mut fwd = Graph::new();
    let n = unetr(&mut fwd, &c, 1).unwrap();
    let l = fwd.head("out", &n.end, n.out.0, n.out.1).unwrap();
    fwd.output(l);
    let mut step = TrainingGraph::new(&c, &Objective { batch: 1, loss: DiceCe::default() }, false).unwrap();
    let opt = Optimizer::new(&mut step.graph, &step.gradients, &OptimizerOptions::default()).unwrap();
    let mut medians = Vec::new();
    for (name, g) in [("forward", &fwd), ("step", &step.graph)] {
        let plan = pollster::block_on(Plan::new(&gpu, g, &PlanOptions::default(), &mut Residents::default())).unwrap();
        for (i, (id, t)) in g.parameters().enumerate() {
            let s = 1.0 / (t.shape.elements() as f64 / t.shape.dims()[0] as f64).sqrt();
            plan.write(id, &unetr_wgpu::tensor::HostTensor::noise(t.shape.clone(), i as u64).map(|v| v * s).to_f32())
                .unwrap();
        }
        if name == "step" {
            plan.write(opt.rates, &Rates::default().at(1)).unwrap();
        }
        let cpu = || {
            let t = std::fs::read_to_string("/proc/self/stat").unwrap();
            let f: Vec<&str> = t.rsplit(')').next().unwrap().split_whitespace().collect();
            (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10.0
        };
        let mut times = Vec::new();
        let mut cpus = Vec::new();
        for _ in 0..5 {
            let t = std::time::Instant::now();
            let c0 = cpu();
            plan.run().unwrap();
            pollster::block_on(plan.finish()).unwrap();
            cpus.push(cpu() - c0);
            times.push(t.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        cpus.sort_by(f64::total_cmp);
        medians.push(cpus[0]);
        println!("{name}: {times:.1?} ms, cpu {cpus:.0?} {:?}", plan.memory());
        let Some(k) = pollster::block_on(plan.profile()).unwrap() else { continue };
        let mut ops: BTreeMap<String, f64> = BTreeMap::new();
        for t in &k {
            let sh = t.label.rsplit('/').next().unwrap();
            let back = if t.label.contains(".backward") { "B " } else { "F " };
            *ops.entry(format!("{back}{sh}")).or_default() += t.milliseconds;
        }
        let mut v: Vec<_> = ops.into_iter().collect();
        v.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (o, t) in v.iter().take(16) {
            println!("  {o:34} {t:9.2}");
        }
        let mut k = k;
        k.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
        if std::env::var("TOP").is_ok() {
            for t in k.iter().take(25) {
                println!("    {:80} {:9.2}", t.label, t.milliseconds);
            }
        }
    }
    println!("ratio {:.2}", medians[1] / medians[0]);
}
