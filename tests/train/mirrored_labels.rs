//! Left and right under flips: declared pairs are swapped along the patient's left-right axis only, and a flip that would
//! teach wrong sides is refused.

use crate::support::cases::{augment, data, prepared_case, sections};
use serde_json::{Value, json};
use unetr_wgpu::train::data::DataError;
use unetr_wgpu::train::data::augment::Augment;
use unetr_wgpu::train::data::random::keyed;

/// The transforms for a package with the labels `names` (values from 1 on), scans turned to `orientation`.
fn transforms(text: &str, names: &[&str], orientation: Value) -> Result<Augment, DataError> {
    let s = sections([16; 3], |package| {
        package["network"]["out_channels"] = json!(names.len() + 1);
        package["input"]["orientation"] = orientation;
        let label = |(n, name): (usize, &&str)| json!({"value": n + 1, "name": name, "color": "#102030"});
        package["output"]["labels"] = names.iter().enumerate().map(label).collect();
    });
    Augment::new(&augment(text), &data(""), &s.task, &s.input, &s.output)
}

#[test]
fn pairs_are_swapped_along_left_and_right_only() {
    let case = prepared_case(1, [16; 3], |_, [x, y, z]| (x + 20 * y + 400 * z) as f32, |[x, ..]| (x % 4) as u16);
    let names = ["spleen", "right kidney", "left kidney"];
    for (orientation, side) in [("RAS", 0), ("LPS", 0), ("ASR", 2), ("PLI", 1)] {
        for axis in 0..3 {
            let mut flip = [0; 3];
            flip[axis] = 1;
            let text = format!("mirror_pairs = [[2, 3]]\nflip = {flip:?}");
            let made = transforms(&text, &names, json!(orientation)).expect("declared pairs");
            let mut image = Vec::new();
            let label = made.cut(&mut keyed("test", &[]), &case, [0; 3], &mut image);
            for (value, label) in image.iter().zip(label) {
                // The image says which voxel it was.
                let was = (*value as u16 % 20) % 4;
                let want = if axis == side { [0, 1, 3, 2][usize::from(was)] } else { was };
                assert_eq!(label, want, "{orientation}, axis {axis}");
            }
        }
    }
}

#[test]
fn names_with_a_side_and_no_pair_refuse_the_flip() {
    let all = "flip = [0.5, 0.5, 0.5]";
    let pair = "mirror_pairs = [[1, 2]]\nflip = [0.5, 0.5, 0.5]";
    for names in [
        ["Left Kidney", "Right Kidney"],
        ["LEFT_LUNG", "RIGHT_LUNG"],
        ["kidney_l", "kidney_r"],
        ["Adrenal-R", "Adrenal-L"],
        ["L Femur", "R Femur"],
        ["KidneyL", "KidneyR"],
        ["femur.lt", "femur.rt"],
        ["leftventricle", "rightventricle"],
    ] {
        let error = transforms(all, &names, json!("RAS")).expect_err(names[0]).to_string();
        assert!(error.starts_with("augment.flip[0] is 0.5: ") && error.contains(names[0]), "{error}");
        assert!(error.contains("augment.mirror_pairs = [[1, ...]]"), "{error}");
        transforms(pair, &names, json!("RAS")).expect("a declared pair");
        transforms("flip = [0, 0.5, 0.5]", &names, json!("RAS")).expect("other axes");
        transforms("flip = [0.5, 0.5, 0]", &names, json!("AIL")).expect("other axes");
        let error =
            transforms("flip = [0, 0, 0.5]", &names, json!("AIL")).expect_err("left and right is Z").to_string();
        assert!(error.starts_with("augment.flip[2] is 0.5: "), "{error}");
        // Whose axes are not known, every flip could be one of left and right.
        for text in ["flip = [0, 0, 0.1]", "mirror_pairs = [[1, 2]]\nflip = [0, 0, 0.1]"] {
            let error = transforms(text, &names, Value::Null).expect_err("no orientation").to_string();
            assert!(error.contains("augment.flip[2]") && error.contains("input.orientation is null"), "{error}");
        }
    }
    for names in [["hippocampus_anterior", "hippocampus_posterior"], ["L1", "R2 artery1"], ["liver", "ROI"]] {
        transforms(all, &names, json!("RAS")).expect("no side");
        transforms(all, &names, Value::Null).expect("no side");
    }
    // One side alone, or a pair of which one is forgotten.
    let error = transforms(all, &["left ventricle", "myocardium"], json!("RAS")).expect_err("a side").to_string();
    assert!(error.contains("[[1, 1]] if it stays itself"), "{error}");
    transforms("mirror_pairs = [[1, 1]]\nflip = [1, 0, 0]", &["left ventricle", "myocardium"], json!("RAS"))
        .expect("said");
}

#[test]
fn regions_with_a_side_need_pairs_of_their_values() {
    let made = |text: &str| {
        let s = sections([16; 3], |package| {
            package["network"]["out_channels"] = json!(2);
            package["output"] = json!({"activation": "sigmoid",
                "regions": [{"channel": 1, "value": 1}, {"channel": 0, "value": 2}],
                "labels": [{"value": 1, "name": "left lung", "color": "#102030"},
                           {"value": 2, "name": "right lung", "color": "#102030"}]});
        });
        let recipe = data("regions = [{ channel = 0, values = [10, 11] }, { channel = 1, values = [20, 21] }]");
        Augment::new(&augment(text), &recipe, &s.task, &s.input, &s.output).map(|_| ()).map_err(|e| e.to_string())
    };
    let error = made("flip = [1, 0, 0]").expect_err("sides");
    assert!(error.contains("the label 20 (\"left lung\")"), "{error}");
    let error = made("flip = [1, 0, 0]\nmirror_pairs = [[10, 20]]").expect_err("half of them");
    assert!(error.contains("the label 21 (\"left lung\")"), "{error}");
    made("flip = [1, 0, 0]\nmirror_pairs = [[10, 20], [11, 21]]").expect("all of them");
}
