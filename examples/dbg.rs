use unetr_wgpu::{gpu::*, infer::*, model::*};
fn main(){
    let gpu = pollster::block_on(Gpu::open(&GpuOptions{adapter: std::env::var("UNETR_ADAPTER").ok(), ..Default::default()})).unwrap();
    let full = std::env::args().nth(1).as_deref()==Some("full");
    let mut c = UnetrConfig::default();
    if !full { c.img_size=[48,64,48]; c.feature_size=8; c.hidden_size=192; c.mlp_dim=768; c.num_heads=6; c.out_channels=3; }
    let r = pollster::block_on(bench(&gpu,&c,false,if full {2} else {5})).unwrap();
    println!("window {:.1} ms copy {:.1} GB/s fma {:.1} mem {} MiB", r.window_ms, r.copy_gbs, r.fma_gflops, r.memory.total()>>20);
    let mut ops: std::collections::BTreeMap<&str,(f64,f64)> = Default::default();
    for n in &r.nodes { let e=ops.entry(n.op).or_default(); e.0+=n.milliseconds.unwrap_or(0.); e.1+=n.gflop; if n.gflop>0.05*146.0*(if full {0.2} else {0.005}) { println!("{:40} {:8.1} ms {:8.2} GF/s", n.name, n.milliseconds.unwrap_or(0.), n.gflop/n.milliseconds.unwrap_or(0.)*1e3);} }
    for (k,v) in ops { println!("{k:20} {:9.1} ms {:8.2} GF {:8.2} GF/s", v.0, v.1, v.1/v.0*1e3); }
}
