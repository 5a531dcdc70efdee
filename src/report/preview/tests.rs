use super::plane::{Plane, Section};
use super::*;
use crate::volume::Affine;

/// A scan of 24 x 32 x 40 mm whose right half is 1 and whose left half is 0, in any of the 48 orientations: `axis[a]` is
/// the world axis of voxel axis `a`, `flip[a]` whether it runs against it. A label lies at the right, front, top corner.
fn scan(axis: [usize; 3], flip: [bool; 3], turn: f64) -> (LabelMap, Volume) {
    let extent = [24.0, 32.0, 40.0];
    let spacing = [1.0, 2.0, 4.0];
    let mut m = [[0.0; 3]; 3];
    let mut origin = [0.0; 3];
    let mut dims = [0; 3];
    for a in 0..3 {
        let w = axis[a];
        dims[a] = (extent[w] / spacing[a]) as usize;
        m[w][a] = if flip[a] { -spacing[a] } else { spacing[a] };
        origin[w] = if flip[a] { extent[w] / 2.0 - spacing[a] / 2.0 } else { -extent[w] / 2.0 + spacing[a] / 2.0 };
    }
    let upright = Affine::from_parts(m, origin);
    let (s, c) = turn.sin_cos();
    let rotation = Affine::from_parts([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for i in 0..dims[0] {
        for j in 0..dims[1] {
            for k in 0..dims[2] {
                let [x, y, z] = upright.apply([i as f64, j as f64, k as f64]);
                values.push(if x > 0.0 { 1.0 } else { 0.0 });
                labels.push(u16::from(x > 6.0 && y > 9.0 && z > 8.0));
            }
        }
    }
    let affine = rotation.then_after(&upright);
    let labels = LabelMap::new(labels, dims, affine).expect("labels");
    (labels, Volume::new(values, 1, dims, affine).expect("scan"))
}

fn all_orientations() -> impl Iterator<Item = ([usize; 3], [bool; 3])> {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    orders.into_iter().flat_map(|o| (0..8).map(move |f| (o, [f & 1 == 1, f & 2 == 2, f & 4 == 4])))
}

#[test]
fn the_patients_right_is_on_the_left_in_all_48_orientations() {
    for (axis, flip) in all_orientations() {
        let (labels, scan) = scan(axis, flip, 0.0);
        let section = Section::new(&labels, &scan, 0).expect("a section");
        assert_eq!(section.extent_mm().map(f64::round), [24.0, 32.0, 40.0], "{axis:?} {flip:?}");
        assert_eq!(section.letters(Plane::Axial), ["R", "L", "A", "P"]);
        assert_eq!(section.letters(Plane::Coronal), ["R", "L", "S", "I"]);
        assert_eq!(section.letters(Plane::Sagittal), ["A", "P", "S", "I"]);
        let at = |plane, size: [i32; 2], u, v| section.view(plane, size).sample(u, v).expect("inside");
        assert!(at(Plane::Axial, [48, 64], 5, 32).intensity > 0.9, "right half of {axis:?} {flip:?}");
        assert!(at(Plane::Axial, [48, 64], 42, 32).intensity < 0.1, "left half of {axis:?} {flip:?}");
        // The label is right, front and top, so at the upper left of every plane through it.
        for (plane, size) in [(Plane::Axial, [48, 64]), (Plane::Coronal, [48, 80]), (Plane::Sagittal, [64, 80])] {
            assert_eq!(at(plane, size, 2, 2).label, 1, "{plane:?} of {axis:?} {flip:?}");
            assert_eq!(at(plane, size, size[0] - 3, size[1] - 3).label, 0, "{plane:?} of {axis:?} {flip:?}");
        }
    }
}

#[test]
fn oblique_scans_say_so_at_their_edges() {
    for (axis, flip) in all_orientations() {
        let (labels, scan) = scan(axis, flip, 0.35);
        let section = Section::new(&labels, &scan, 0).expect("a section");
        // Turned by 20 degrees about the body axis, from right to front.
        assert_eq!(section.letters(Plane::Axial), ["RA", "LP", "AL", "PR"], "{axis:?} {flip:?}");
        assert_eq!(section.letters(Plane::Coronal), ["RA", "LP", "S", "I"]);
        assert_eq!(section.extent_mm().map(f64::round), [24.0, 32.0, 40.0]);
    }
}

fn decoded(png: &[u8]) -> (i32, i32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("pixels");
    (info.width as i32, info.height as i32, pixels)
}

#[test]
fn truth_and_prediction_are_cut_at_the_same_point() {
    let (truth, scan) = scan([0, 1, 2], [true, false, false], 0.0);
    let names = [LabelName { value: 1, name: "corner".into(), color: [200, 80, 60], codes: None }];
    let options = PreviewOptions { title: "a case", names: &names, ..PreviewOptions::default() };
    let empty = LabelMap::new(vec![0; truth.data.len()], truth.dims, truth.affine).expect("labels");
    // 40 mm are 240 pixels, so 24 are 144 and 32 are 192, the width of a column.
    let least = 2 * MARGIN + 9 * NOTICE.len() as i32;
    for (truth, prediction) in [(&truth, &empty), (&empty, &truth), (&truth, &truth), (&empty, &empty)] {
        let bytes = comparison(truth, prediction, &scan, &options).expect("a picture");
        let (width, _, pixels) = decoded(&bytes);
        assert_eq!(width, (2 * 192 + 3 * MARGIN).max(least));
        // The label is at the right, front and top: at the upper left of each image, 24 pixels from its column's edge.
        for (i, labels) in [truth, prediction].into_iter().enumerate() {
            let [x, y] = [MARGIN + i as i32 * (192 + MARGIN) + 24 + 12, 36 + LINE + 28];
            let at = 3 * (y * width + x) as usize;
            let [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
            assert_eq!(r > g && g > b, labels.data.iter().any(|v| *v != 0), "{r} {g} {b}");
        }
    }
    // Only labels that are there are named, and a hundred of them do not make the picture endless.
    let count = truth.data.len();
    let many = LabelMap::new((0..count).map(|i| (i % 200) as u16).collect(), truth.dims, truth.affine).expect("labels");
    let name = |value: u16| LabelName { value, name: format!("structure {value}"), color: [9; 3], codes: None };
    let names: Vec<LabelName> = (1..400).map(name).collect();
    let options = PreviewOptions { names: &names, ..options };
    let heights = [&empty, &truth, &many].map(|l| decoded(&comparison(l, l, &scan, &options).expect("a picture")).1);
    assert_eq!([heights[1] - heights[0], heights[2] - heights[0]], [LINE, 7 * LINE]);
    let small = LabelMap::new(vec![0], [1; 3], Affine::IDENTITY).expect("labels");
    for (truth, prediction) in [(&small, &truth), (&truth, &small)] {
        assert!(matches!(comparison(truth, prediction, &scan, &options), Err(ReportError::Grid { .. })));
    }
}

#[test]
fn the_picture_has_the_scans_proportions() {
    let (labels, scan) = scan([0, 1, 2], [true, false, false], 0.0);
    let names = [LabelName { value: 1, name: "corner".into(), color: [200, 80, 60], codes: None }];
    let options = PreviewOptions { title: "a scan", channel_name: "CT", names: &names, ..PreviewOptions::default() };
    let bytes = preview(&labels, &scan, &options).expect("a picture");
    let (width, height, pixels) = decoded(&bytes);
    // 40 mm are 540 pixels, so 24 are 324 and 32 are 432.
    assert_eq!(width, 324 + 432 + 3 * MARGIN);
    assert_eq!(height, HEADER + 432 + 540 + 2 * MARGIN + FOOTER);
    // The label's corner in the axial panel is drawn in its colour.
    let at = 3 * ((HEADER + 30) as usize * width as usize + MARGIN as usize + 40);
    let [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
    assert!(r > g && r > b, "{r} {g} {b}");
}

#[test]
fn awkward_scans_make_pictures_too() {
    let odd =
        [([1, 1, 1], vec![f32::NAN]), ([200, 1, 1], vec![3.0; 200]), ([2, 3, 4], (0..24).map(|v| v as f32).collect())];
    for (dims, data) in odd {
        let count = data.len();
        let scan = Volume::new(data, 1, dims, Affine::IDENTITY).expect("scan");
        for value in [0, 900] {
            let labels = LabelMap::new(vec![value; count], dims, Affine::IDENTITY).expect("labels");
            let options = PreviewOptions { title: "näme \u{4e00}\n", ..PreviewOptions::default() };
            assert!(preview(&labels, &scan, &options).is_ok(), "{dims:?}");
            assert!(comparison(&labels, &labels, &scan, &options).is_ok(), "{dims:?}");
        }
    }
}

/// The box around all pixels that are not the background of the picture.
fn drawn(width: i32, height: i32, pixels: &[u8], is: impl Fn([u8; 3]) -> bool) -> Option<[i32; 4]> {
    let mut found: Option<[i32; 4]> = None;
    for y in 0..height {
        for x in 0..width {
            let at = 3 * (y * width + x) as usize;
            if is([pixels[at], pixels[at + 1], pixels[at + 2]]) {
                let [l, r, t, b] = found.unwrap_or([x, x, y, y]);
                found = Some([l.min(x), r.max(x), t.min(y), b.max(y)]);
            }
        }
    }
    found
}

#[test]
fn thin_scans_needles_and_stacks_are_drawn_whole() {
    // A single slice, a needle, a few sagittal slices, a tiny and a huge one.
    for (dims, spacing) in [
        ([64, 64, 1], [3.0, 3.0, 0.4]),
        ([1, 300, 1], [0.3, 1.0, 0.3]),
        ([300, 1, 1], [1.0, 0.3, 0.3]),
        ([4, 64, 64], [4.0, 3.5, 3.5]),
        ([8, 8, 8], [0.01, 0.01, 0.01]),
        ([8, 8, 8], [200.0, 200.0, 200.0]),
    ] {
        let matrix = std::array::from_fn(|r| std::array::from_fn(|c| if r == c { spacing[r] } else { 0.0 }));
        let affine = Affine::from_parts(matrix, [0.0; 3]);
        let count = dims.iter().product::<usize>();
        let scan = Volume::new((0..count).map(|v| v as f32).collect(), 1, dims, affine).expect("scan");
        let labels = LabelMap::new(vec![1; count], dims, affine).expect("labels");
        let names = [LabelName { value: 1, name: "all".into(), color: [40, 90, 250], codes: None }];
        let options = PreviewOptions { title: "thin", names: &names, ..PreviewOptions::default() };
        for (what, bytes) in [
            ("preview", preview(&labels, &scan, &options)),
            ("comparison", comparison(&labels, &labels, &scan, &options)),
        ] {
            let (width, height, pixels) = decoded(&bytes.expect("a picture"));
            // Nothing but paper at the rim: what is clipped would reach it.
            let edge = |x: i32, y: i32| {
                let at = 3 * (y * width + x) as usize;
                let paper = pixels[at..at + 3].iter().zip(PAPER).all(|(a, b)| a.abs_diff(b) <= 4);
                assert!(paper, "{what} of {dims:?} at {x}, {y}");
            };
            (0..width).for_each(|x| [0, 1, height - 2, height - 1].into_iter().for_each(|y| edge(x, y)));
            (0..height).for_each(|y| [0, 1, width - 2, width - 1].into_iter().for_each(|x| edge(x, y)));
            // The whole line at the foot, and the labels in all three planes.
            let text = if what == "preview" { CONVENTION } else { NOTICE };
            let orange = |[r, g, b]: [u8; 3]| r > 200 && (150..210).contains(&g) && (60..120).contains(&b);
            let notice = drawn(width, height, &pixels, orange).expect("the notice");
            assert!(notice[1] - notice[0] >= text_width(NOTICE) - 12, "{what} of {dims:?}");
            assert!(width >= text_width(text) + 2 * MARGIN, "{what} of {dims:?}");
            let blue = pixels.chunks_exact(3).filter(|p| p[2] > 180 && p[0] < 120 && p[1] < 140).count();
            assert!(blue > 300, "{what} of {dims:?}: {blue} pixels of the label");
        }
    }
}

#[test]
fn labels_in_any_script_are_drawn() {
    let (labels, scan) = scan([0, 1, 2], [true, false, false], 0.0);
    let picture = |name: &str| {
        let names = [LabelName { value: 1, name: name.into(), color: [200, 80, 60], codes: None }];
        let options = PreviewOptions { title: name, names: &names, ..PreviewOptions::default() };
        preview(&labels, &scan, &options).expect("a picture")
    };
    // Each is drawn as itself, none as another and none as question marks.
    let names = ["肝臓", "печень", "כבד", "كبد", "यकृत", "ตับ", "\u{1f9e0}", "??", "脾臓"];
    let pictures = names.map(picture);
    for (i, a) in pictures.iter().enumerate() {
        for (j, b) in pictures.iter().enumerate().skip(i + 1) {
            assert!(a != b, "{} is drawn as {}", names[i], names[j]);
        }
    }
}
