//! Surfaces as binary glTF 2.0.

use std::io::Write;

use serde_json::json;

use super::{Mesh, Space};

/// Writes a surface with its name and colour (sRGB). Coordinates are mm along the patient's axes, which `asset.extras` names;
/// glTF itself would have metres and the y axis up.
///
/// # Errors
/// The output cannot be written, or the surface has more than 4 GiB.
pub fn write_glb(mut out: impl Write, mesh: &Mesh, space: Space, name: &str, color: [u8; 3]) -> std::io::Result<()> {
    let corner = |pick: fn(f32, f32) -> f32, start: f32| -> [f32; 3] {
        std::array::from_fn(|r| mesh.vertices.iter().map(|v| v[r]).fold(start, pick))
    };
    // Colours of materials are linear.
    let linear = color.map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let (vertices, indices) = (12 * mesh.vertices.len(), 12 * mesh.triangles.len());
    let json = json!({
        "asset": {"version": "2.0", "generator": concat!("unetr ", env!("CARGO_PKG_VERSION")),
            "extras": {"space": space.name(), "unit": "mm", "notice": "Labels made by a model. Research use only."}},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"name": name, "pbrMetallicRoughness":
            {"baseColorFactor": [linear[0], linear[1], linear[2], 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": mesh.vertices.len(), "type": "VEC3",
                "min": corner(f32::min, f32::INFINITY), "max": corner(f32::max, f32::NEG_INFINITY)},
            {"bufferView": 1, "componentType": 5125, "count": 3 * mesh.triangles.len(), "type": "SCALAR"}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": vertices, "target": 34962},
            {"buffer": 0, "byteOffset": vertices, "byteLength": indices, "target": 34963}],
        "buffers": [{"byteLength": vertices + indices}],
    });
    let mut text = json.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let length =
        |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| std::io::Error::other("more than 4 GiB"));
    out.write_all(b"glTF\x02\0\0\0")?;
    out.write_all(&length(28 + text.len() + vertices + indices)?)?;
    out.write_all(&length(text.len())?)?;
    out.write_all(b"JSON")?;
    out.write_all(&text)?;
    out.write_all(&length(vertices + indices)?)?;
    out.write_all(b"BIN\0")?;
    for value in mesh.vertices.as_flattened() {
        out.write_all(&value.to_le_bytes())?;
    }
    for index in mesh.triangles.as_flattened() {
        out.write_all(&index.to_le_bytes())?;
    }
    out.flush()
}
