//! Several models as one: its logits against those of its members, what is refused, and what is stored once.

use serde_json::{Value, json};
use unetr_wgpu::volume::{Affine, Volume, nifti};
use unetr_wgpu::weights::Tensors;

use crate::support::raw_models::{RawTensor, assemble, tiny_tensors};
use crate::support::run::{Folder, on_device, text, unetr};
use crate::support::tiny::tiny_json;

/// What is changed of a package's JSON.
type Change<'a> = &'a dyn Fn(&mut Value);

/// The tiny network with every weight of some tensors changed.
fn member(change: impl Fn(&str, f32) -> f32) -> Vec<u8> {
    let changed = |tensor: RawTensor| {
        let values = tensor.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let bytes = values.flat_map(|value| change(&tensor.name, value).to_le_bytes()).collect();
        RawTensor { bytes, ..tensor }
    };
    let tensors: Vec<RawTensor> = tiny_tensors().into_iter().map(changed).collect();
    assemble(&tensors, Some(&tiny_json().to_string()))
}

fn members(folder: &Folder) -> [String; 3] {
    let other = |name: &str, value: f32| if name.starts_with("out.") { -value } else { value };
    let third = |name: &str, value: f32| if name.starts_with("vit.") { 0.5 * value } else { value };
    [
        text(&folder.write("a.safetensors", &member(|_, value| value))),
        text(&folder.write("b.safetensors", &member(other))),
        text(&folder.write("c.safetensors", &member(third))),
    ]
}

fn scan(folder: &Folder) -> String {
    let data = (0..20 * 18 * 17).map(|at| ((at * 37 % 401) as f32) - 150.0).collect();
    let scan = Volume::new(
        data,
        1,
        [20, 18, 17],
        Affine::from_parts([[1.5, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 2.0]], [0.0; 3]),
    )
    .expect("a volume");
    let mut bytes = Vec::new();
    nifti::write_volume(&mut bytes, &scan, &nifti::WriteOptions::default()).expect("written");
    text(&folder.write("scan.nii", &bytes))
}

fn logits(folder: &Folder, scan: &str, model: &str, name: &str, more: &[&str]) -> Vec<f32> {
    let (labels, kept) = (format!("{name}.nii"), format!("{name}-logits.safetensors"));
    let arguments = ["segment", scan, "-m", model, "-o", &labels, "--save-logits", &kept];
    on_device(folder, &[&arguments, more].concat()).expect(0);
    Tensors::read(folder.files()[&kept].clone()).expect("safetensors").get("logits").expect("logits").to_f32()
}

#[test]
fn logits_are_the_mean_of_the_members_and_of_mirrored_windows() {
    let folder = Folder::new();
    let ([a, b, c], scan) = (members(&folder), scan(&folder));
    let ran = unetr(&folder, &["ensemble", &a, &b, &c, "-o", "all.safetensors", "--json"]).expect(0).json();
    assert_eq!((&ran["folds"], &ran["passes"]), (&json!(3), &json!(3)), "{ran}");
    let each = [&a, &b, &c].map(|model| logits(&folder, &scan, model, &model[model.len() - 13..][..1], &[]));
    let all = logits(&folder, &scan, &text(&folder.path("all.safetensors")), "all", &[]);
    let largest = all.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    for (at, got) in all.iter().enumerate() {
        let want = each.iter().map(|one| one[at]).sum::<f32>() / 3.0;
        assert!((got - want).abs() <= 1e-5 * largest, "value {at}: {got} for {want}");
    }
    assert!(each[0].iter().zip(&each[1]).any(|(a, b)| (a - b).abs() > 1e-2 * largest));

    // One model and one of two, mirrored: what --mirror makes of it is what is written into it.
    let told = unetr(&folder, &["ensemble", "all.safetensors", &b, "--mirror", "y,z", "-o", "m.safetensors"]).expect(0);
    assert!(told.stdout.contains("4 sets of weights, 16 passes a window"), "{}", told.stdout);
    unetr(&folder, &["ensemble", &a, "--mirror", "y,z", "-o", "one.safetensors"]).expect(0);
    let own = logits(&folder, &scan, &text(&folder.path("one.safetensors")), "own", &[]);
    assert_eq!(own, logits(&folder, &scan, &a, "asked", &["--mirror", "y,z"]));
    assert_ne!(own, each[0]);
    let info = unetr(&folder, &["info", "m.safetensors", "--json"]).expect(0).json();
    let members = &info["model"]["metadata"]["training"]["members"];
    assert_eq!(members[1], json!({"steps": 0}), "how each was trained is kept: {members}");
}

#[test]
fn what_members_share_is_stored_once() {
    let folder = Folder::new();
    let [a, b, _] = members(&folder);
    unetr(&folder, &["ensemble", &a, &b, "-o", "two.safetensors"]).expect(0);
    let (one, two) = (std::fs::metadata(&a).expect("a file").len(), folder.files()["two.safetensors"].len() as u64);
    assert!(two < one + 1000, "two heads and one of the rest: {one} and {two} bytes");
}

#[test]
fn unlike_models_and_mirrored_sides_are_refused() {
    let folder = Folder::new();
    let [a, ..] = members(&folder);
    let with = |name: &str, change: Change<'_>| {
        let mut package = tiny_json();
        change(&mut package);
        text(&folder.write(name, &assemble(&tiny_tensors(), Some(&package.to_string()))))
    };
    let refused = |code: i32, models: &[&str]| {
        let ran = unetr(&folder, &[&["ensemble", "-o", "no.safetensors"], models].concat()).expect(code);
        assert!(!folder.files().contains_key("no.safetensors"));
        ran.stderr
    };
    let cases: [(&str, Change<'_>); 3] = [
        ("input", &|p| p["input"]["spacing"] = json!([1, 1, 1])),
        ("output", &|p| p["output"]["labels"][0]["name"] = json!("kidney")),
        ("inference", &|p| p["inference"]["overlap"] = json!(0.25)),
    ];
    for (section, change) in cases {
        let told = refused(1, &[&a, &with("other.safetensors", change)]);
        assert!(
            told.contains("other.safetensors") && told.contains(&format!("its {section} is not that of")),
            "{told}"
        );
    }
    let told = refused(2, &[]);
    assert!(told.contains("MODEL"), "{told}");
    let sided = with("sided.safetensors", &|p| p["output"]["labels"][1]["name"] = json!("left_kidney"));
    let told = refused(2, &[&sided, "--mirror", "y,x"]);
    assert!(told.contains("--mirror x") && told.contains("left_kidney"), "{told}");
    unetr(&folder, &["ensemble", &sided, "--mirror", "y", "-o", "yes.safetensors"]).expect(0);
    let unturned = with("unturned.safetensors", &|p| {
        p["output"]["labels"][1]["name"] = json!("left_kidney");
        p["input"]["orientation"] = json!(null);
    });
    assert!(refused(2, &[&unturned, "--mirror", "y"]).contains("may run from left to right"));
}
