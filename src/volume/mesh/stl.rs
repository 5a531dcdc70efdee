//! Surfaces as binary STL.

use std::io::Write;

use super::{Mesh, Space};

/// Writes a surface. The header names the axes as 3D Slicer reads them (`SPACE=RAS`), and the unit.
///
/// # Errors
/// The output cannot be written.
pub fn write_stl(mut out: impl Write, mesh: &Mesh, space: Space) -> std::io::Result<()> {
    let mut head = format!("SPACE={}; UNIT=mm; labels made by a model, research use only", space.name()).into_bytes();
    head.resize(80, b' ');
    out.write_all(&head)?;
    out.write_all(&(mesh.triangles.len() as u32).to_le_bytes())?;
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.map(|v| mesh.vertices[v as usize]);
        let edge = |to: [f32; 3]| std::array::from_fn::<f64, 3, _>(|r| f64::from(to[r]) - f64::from(a[r]));
        let (u, v) = (edge(b), edge(c));
        let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        let length = normal.iter().map(|n| n * n).sum::<f64>().sqrt();
        let normal = normal.map(|n| if length > 0.0 { (n / length) as f32 } else { 0.0 });
        for value in [normal, a, b, c].as_flattened() {
            out.write_all(&value.to_le_bytes())?;
        }
        out.write_all(&[0, 0])?;
    }
    out.flush()
}
