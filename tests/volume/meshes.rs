//! Surfaces of labels: closed, outward, in place, as large as their voxels.

use std::collections::HashMap;

use unetr_wgpu::volume::mesh::{Mesh, Space, surface, write_glb, write_stl};
use unetr_wgpu::volume::{Affine, LabelMap};

fn labels(dims: [usize; 3], affine: Affine, inside: impl Fn([usize; 3]) -> bool) -> LabelMap {
    let [nx, ny, nz] = dims;
    let at = |i: usize| u16::from(inside([i / (ny * nz), i / nz % ny, i % nz])) * 7;
    LabelMap::new((0..nx * ny * nz).map(at).collect(), dims, affine).expect("labels")
}

/// Every edge lies in two triangles, which run along it in opposite directions.
#[track_caller]
fn closed(mesh: &Mesh) {
    let mut edges: HashMap<(u32, u32), usize> = HashMap::new();
    for [a, b, c] in &mesh.triangles {
        for edge in [(*a, *b), (*b, *c), (*c, *a)] {
            *edges.entry(edge).or_default() += 1;
        }
    }
    for ((a, b), count) in &edges {
        assert_eq!((*count, edges.get(&(*b, *a)).copied()), (1, Some(1)), "edge {a} to {b}");
    }
}

/// Whether a point lies within a surface: the solid angle under which it sees it.
fn encloses(mesh: &Mesh, point: [f64; 3]) -> bool {
    let mut angle = 0.0;
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.map(|v| {
            let v = mesh.vertices[v as usize];
            let d: [f64; 3] = std::array::from_fn(|r| f64::from(v[r]) - point[r]);
            let length = d.iter().map(|x| x * x).sum::<f64>().sqrt();
            (d, length)
        });
        let dot = |u: [f64; 3], v: [f64; 3]| u.iter().zip(v).map(|(x, y)| x * y).sum::<f64>();
        let [(a, la), (b, lb), (c, lc)] = [a, b, c];
        let cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
        angle += 2.0 * dot(a, cross).atan2(la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(a, c) * lb);
    }
    angle > std::f64::consts::TAU
}

const AFFINES: [[[f64; 4]; 3]; 3] = [
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
    // Mirrored, as DICOM's axial scans are in RAS, with thick slices.
    [[-0.8, 0.0, 0.0, 30.0], [0.0, 0.8, 0.0, -20.0], [0.0, 0.0, 3.0, 5.0]],
    // Turned and sheared.
    [[0.6, -0.8, 0.1, 3.0], [0.8, 0.6, 0.0, -9.0], [0.0, 0.0, 1.5, 100.0]],
];

#[test]
fn spheres_and_boxes_keep_their_volume_in_every_space() {
    for rows in AFFINES {
        let affine = Affine::from_rows(rows);
        for space in [Space::Ras, Space::Lps] {
            let sphere = labels([25, 25, 25], affine, |v| {
                v.iter().map(|i| (*i as f64 - 12.0).powi(2)).sum::<f64>() < 10.2 * 10.2
            });
            // At the border of the scan.
            let cuboid = labels([12, 9, 7], affine, |[x, y, _]| x < 10 && y > 1);
            // Thin, as cortex and vessels are.
            let sheet = labels([12, 12, 5], affine, |[x, y, z]| (1..11).contains(&x) && y > 0 && z == 2);
            for (map, slack) in [(&sphere, 0.005), (&cuboid, 0.005), (&sheet, 0.005)] {
                let mesh = surface(map, 7, space).expect("a surface");
                closed(&mesh);
                let voxels = map.data.iter().filter(|v| **v == 7).count() as f64;
                let want = voxels * affine.voxel_mm3() / 1000.0;
                let got = mesh.volume_ml();
                assert!((got / want - 1.0).abs() < slack, "{got} ml for {want}, {rows:?} {space:?}");
            }
        }
    }
    assert_eq!(surface(&labels([3; 3], Affine::IDENTITY, |_| false), 7, Space::Ras), None);
}

/// An F, which differs from its mirror images, its voxels in places that only the right side has.
#[test]
fn centres_of_voxels_stay_on_their_side() {
    let letter = ["#####", "#....", "####.", "#....", "#...."];
    let inside = |[x, y, z]: [usize; 3]| {
        let row = letter.get(y.wrapping_sub(1)).map(|r| r.as_bytes());
        row.and_then(|r| r.get(x.wrapping_sub(1))).is_some_and(|c| *c == b'#') && (1..3).contains(&z)
    };
    for rows in AFFINES {
        let map = labels([7, 7, 4], Affine::from_rows(rows), inside);
        for space in [Space::Ras, Space::Lps] {
            let mesh = surface(&map, 7, space).expect("a surface");
            closed(&mesh);
            for (at, label) in map.data.iter().enumerate() {
                let [x, y, z] = map.affine.apply([at / 28, at / 4 % 7, at % 4].map(|v| v as f64));
                let point = if space == Space::Lps { [-x, -y, z] } else { [x, y, z] };
                assert_eq!(encloses(&mesh, point), *label == 7, "voxel {at} {space:?}");
            }
        }
    }
}

/// Voxels that touch by edges and corners, in every way that eight and twelve can.
#[test]
fn surfaces_close_however_voxels_touch() {
    for bits in 0..256_usize {
        let map = labels([2; 3], Affine::IDENTITY, |[x, y, z]| bits >> (4 * x + 2 * y + z) & 1 == 1);
        if let Some(mesh) = surface(&map, 7, Space::Ras) {
            closed(&mesh);
            assert!(mesh.volume_ml() > 0.0, "{bits}");
        }
    }
    for axis in 0..3 {
        for bits in 1..4096_usize {
            let mut dims = [2; 3];
            dims[axis] = 3;
            let map = labels(dims, Affine::IDENTITY, |[x, y, z]| bits >> ((x * dims[1] + y) * dims[2] + z) & 1 == 1);
            closed(&surface(&map, 7, Space::Ras).expect("a surface"));
        }
    }
    // xorshift64*
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for share in [20, 50, 80] {
        let noise: Vec<bool> = (0..1000)
            .map(|_| {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % 100 < share
            })
            .collect();
        let map = labels([10; 3], Affine::IDENTITY, |[x, y, z]| noise[(x * 10 + y) * 10 + z]);
        closed(&surface(&map, 7, Space::Ras).expect("a surface"));
    }
}

#[test]
fn files_hold_the_surface_and_name_their_axes() {
    let map = labels([4; 3], Affine::from_rows(AFFINES[1]), |[x, y, z]| x > 0 && y > 1 && z > 2);
    let mesh = surface(&map, 7, Space::Lps).expect("a surface");
    let (mut stl, mut glb) = (Vec::new(), Vec::new());
    write_stl(&mut stl, &mesh, Space::Lps).expect("written");
    write_glb(&mut glb, &mesh, Space::Lps, "left kidney", [200, 80, 60]).expect("written");
    assert_eq!(stl.len(), 84 + 50 * mesh.triangles.len());
    assert!(stl.starts_with(b"SPACE=LPS; UNIT=mm") && stl[80..84] == (mesh.triangles.len() as u32).to_le_bytes());
    let word = |at: usize| u32::from_le_bytes(glb[at..at + 4].try_into().expect("four bytes")) as usize;
    assert_eq!((&glb[..4], word(8), &glb[16..20]), (&b"glTF"[..], glb.len(), &b"JSON"[..]));
    let json: serde_json::Value = serde_json::from_slice(&glb[20..20 + word(12)]).expect("JSON");
    assert_eq!(json["asset"]["extras"]["space"], "LPS");
    assert_eq!(json["accessors"][1]["count"], 3 * mesh.triangles.len());
    assert_eq!(word(20 + word(12)), 12 * (mesh.vertices.len() + mesh.triangles.len()));
}
