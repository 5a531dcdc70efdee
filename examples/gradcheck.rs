use unetr_wgpu::{gpu::*, train::*};
fn main() {
    let gpu = pollster::block_on(Gpu::open(&GpuOptions::default())).unwrap();
    for p in std::env::args().skip(1) {
        let rows = pollster::block_on(verify_gradients(&gpu, std::fs::read(&p).unwrap())).unwrap();
        let w = rows.iter().max_by(|a, b| (a.error / a.tolerance).total_cmp(&(b.error / b.tolerance))).unwrap();
        println!("{p}: {} rows, all ok {}, loss {:?}, worst {:?} {:.3}", rows.len(), rows.iter().all(|r| r.ok), rows[0], w, w.error / w.tolerance);
    }
}
