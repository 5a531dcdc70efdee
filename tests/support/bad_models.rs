//! Model files that must be refused, each with a part of the message that must say why.

use half::f16;
use serde_json::{Value, json};

use super::raw_models::{RawTensor, assemble, file, header_entries, tiny_package, tiny_tensors};
use super::tiny::tiny_json;

/// Name, file and what the error must contain.
pub type BadModel = (&'static str, Vec<u8>, &'static str);

/// Every file that is no model.
pub fn bad_models() -> Vec<BadModel> {
    let mut models = containers();
    models.extend(headers());
    models.extend(tensors());
    models.extend(packages());
    models
}

fn containers() -> Vec<BadModel> {
    let good = tiny_package();
    let mut trailing = good.clone();
    trailing.push(0);
    let mut long_header = good.clone();
    long_header[..8].copy_from_slice(&(good.len() as u64).to_le_bytes());
    vec![
        ("empty", Vec::new(), "0 bytes are too few"),
        ("seven-bytes", vec![0; 7], "7 bytes are too few"),
        ("header-length-max", vec![0xff; 16], "claims a header of 18446744073709551615 bytes"),
        ("header-over-end", long_header, "truncated?"),
        ("truncated-by-one", good[..good.len() - 1].to_vec(), "beyond the end of the file: truncated?"),
        ("truncated-header", good[..1000].to_vec(), "truncated?"),
        ("trailing-byte", trailing, "1 bytes follow the last tensor"),
        ("web-page", b"<!DOCTYPE html><title>404</title>".to_vec(), "it is an HTML page"),
        ("lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "Git LFS pointer"),
        (
            "pickle",
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(),
            "it is a PyTorch checkpoint; make a model package of it by `unetr import`",
        ),
        ("zip", b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "not a valid safetensors file"),
    ]
}

fn headers() -> Vec<BadModel> {
    let one = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let with = |entries: &[String], data: usize| file(&format!("{{{}}}", entries.join(",")), &vec![0; data]);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let ok = one("a", "[2]", "[0,8]");
    vec![
        ("not-json", file("{nothing}", b""), "not a valid safetensors file"),
        ("array", file("[]", b""), "does not start with"),
        ("leading-space", file(" {}", b""), "does not start with"),
        ("deep", file(&deep, b""), "not a valid safetensors file"),
        ("not-utf8", [&[3, 0, 0, 0, 0, 0, 0, 0][..], b"{\xff}"].concat(), "not a valid safetensors file"),
        ("duplicate-tensor", with(&[ok.clone(), one("a", "[2]", "[8,16]")], 16), "duplicate name \"a\""),
        ("duplicate-escaped", with(&[ok.clone(), one("\\u0061", "[2]", "[8,16]")], 16), "duplicate name \"a\""),
        (
            "duplicate-metadata",
            file(r#"{"__metadata__":{"unetr":"{}"},"__metadata__":{"unetr":"{}"}}"#, b""),
            "duplicate name \"__metadata__\"",
        ),
        (
            "duplicate-metadata-key",
            file(r#"{"__metadata__":{"unetr":"{}","unetr":"{}"}}"#, b""),
            "duplicate name \"unetr\" in __metadata__",
        ),
        ("metadata-number", file(r#"{"__metadata__":{"unetr":1}}"#, b""), "__metadata__ \"unetr\""),
        (
            "long-names",
            file(&format!("{{\"\\u001b[31m\":{{\"{}\":1}}}}", "k".repeat(1 << 20)), b""),
            "tensor \"\\u{1b}[31m\": unknown field `kkk",
        ),
        (
            "unknown-entry-key",
            file(r#"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}"#, &[0; 4]),
            "unknown field `x`",
        ),
        ("overlap", with(&[ok.clone(), one("b", "[2]", "[4,12]")], 12), "\"b\": its data overlaps"),
        ("gap", with(&[ok.clone(), one("b", "[2]", "[12,20]")], 20), "\"b\": its data leaves a gap"),
        ("reversed-offsets", with(&[one("a", "[2]", "[8,0]")], 8), "\"a\": shape [2] of F32 needs 8 bytes"),
        ("negative-offset", with(&[one("a", "[2]", "[-8,0]")], 8), "tensor \"a\""),
        ("offset-overflow", with(&[one("a", "[2]", "[18446744073709551607,18446744073709551615]")], 8), "tensor \"a\""),
        ("size-lie", with(&[one("a", "[3]", "[0,8]")], 8), "needs 12 bytes"),
        ("shape-overflow", with(&[one("a", "[1099511627776,1099511627776]", "[0,8]")], 8), "larger than 2 GiB"),
        ("zero-times-huge", with(&[one("a", "[0,1099511627776]", "[0,0]")], 0), "larger than 2 GiB"),
        (
            "unknown-dtype",
            file(r#"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#, b"0"),
            "\"F4\" is not supported",
        ),
    ]
}

/// A change to one tensor of a good model.
fn changed(change: impl Fn(&mut Vec<RawTensor>)) -> Vec<u8> {
    let mut tensors = tiny_tensors();
    change(&mut tensors);
    assemble(&tensors, Some(&tiny_json().to_string()))
}

fn tensor<'a>(tensors: &'a mut [RawTensor], name: &str) -> &'a mut RawTensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of the tiny network")
}

fn tensors() -> Vec<BadModel> {
    const QKV: &str = "vit.blocks.3.attn.qkv.weight";
    let set = |index: usize, value: f32| {
        changed(move |tensors| {
            tensor(tensors, QKV).bytes[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
        })
    };
    let as_half = |value: f16| {
        changed(move |tensors| {
            let qkv = tensor(tensors, QKV);
            qkv.dtype = "F16";
            qkv.bytes = vec![value; 48].into_iter().flat_map(f16::to_le_bytes).collect();
        })
    };
    let wide = changed(|tensors| {
        let bias = tensor(tensors, "out.conv.conv.bias");
        (bias.dtype, bias.bytes) = ("F64", vec![0; 24]);
    });
    let integers = changed(|tensors| tensor(tensors, "out.conv.conv.bias").dtype = "I32");
    let extra = changed(|tensors| {
        let copy = RawTensor { name: "encoder9.weight".into(), ..tensors[0].clone() };
        tensors.push(copy);
    });
    let twice = {
        let tensors = tiny_tensors();
        let mut entries = header_entries(&tensors);
        entries.push(entries[0].clone());
        let data: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect();
        file(&format!("{{{}}}", entries.join(",")), &data)
    };
    vec![
        ("nan", set(7, f32::NAN), "tensor \"vit.blocks.3.attn.qkv.weight\": value 7 is NaN"),
        ("infinite", set(47, f32::NEG_INFINITY), "value 47 is -inf"),
        ("infinite-half", as_half(f16::INFINITY), "value 0 is inf"),
        ("double", wide, "\"out.conv.conv.bias\": weights are stored as F32, F16 or BF16, not F64"),
        ("integers", integers, "not I32"),
        (
            "missing",
            changed(|tensors| tensors.retain(|t| t.name != QKV)),
            "tensor \"vit.blocks.3.attn.qkv.weight\" of shape [12, 4] is missing",
        ),
        ("unexpected", extra, "unexpected tensor \"encoder9.weight\""),
        (
            "transposed",
            changed(|tensors| tensor(tensors, QKV).shape = vec![4, 12]),
            "has shape [4, 12], the network section needs [12, 4]",
        ),
        ("flattened", changed(|tensors| tensor(tensors, QKV).shape = vec![48]), "has shape [48]"),
        ("tensor-twice", twice, "duplicate name \"vit.patch_embedding.position_embeddings\""),
    ]
}

/// A good model whose JSON has `value` at `path` (JSON pointer).
fn with(path: &str, value: Value) -> Vec<u8> {
    let mut package = tiny_json();
    let (parent, key) = path.rsplit_once('/').expect("a path");
    match package.pointer_mut(parent).expect("a path of the package") {
        Value::Array(items) => items[key.parse::<usize>().expect("a place")] = value,
        section => section[key] = value,
    }
    assemble(&tiny_tensors(), Some(&package.to_string()))
}

fn packages() -> Vec<BadModel> {
    let text = |text: &str| assemble(&tiny_tensors(), Some(text));
    let sigmoid = json!({"activation": "sigmoid", "labels": []});
    let region = |channel: u32, value: u32| {
        with(
            "/output",
            json!({"activation": "sigmoid", "labels": [], "regions": [{"channel": channel, "value": value}]}),
        )
    };
    let huge = json!({"in_channels": 1, "out_channels": 3, "img_size": [2048, 2048, 2048], "feature_size": 2,
        "hidden_size": 4, "mlp_dim": 4, "num_heads": 2});
    vec![
        ("state-dict", assemble(&tiny_tensors(), None), "import it into a package first"),
        ("package-not-json", text("{"), "unetr of the model package: not valid JSON"),
        ("package-list", text("[]"), "expected an object, found a list"),
        ("package-duplicate", text(r#"{"format":"unetr/1","name":"a","name":"b"}"#), "duplicate key \"name\""),
        (
            "package-nested-duplicate",
            text(r#"{"network":{"num_heads":1,"num_heads":2}}"#),
            "duplicate key \"num_heads\"",
        ),
        ("format", with("/format", json!("unetr/3")), "format of the model package: \"unetr/3\" is not supported"),
        ("name-type", with("/name", json!(1)), "name of the model package: invalid type"),
        ("network-null", with("/network", Value::Null), "network of the model package: expected an object, found null"),
        (
            "image-size-type",
            with("/network/img_size", json!("96")),
            "network.img_size of the model package: invalid type",
        ),
        (
            "image-size-short",
            with("/network/img_size", json!([16, 16])),
            "network.img_size of the model package: invalid length 2",
        ),
        (
            "image-size",
            with("/network/img_size", json!([16, 90, 16])),
            "network.img_size[1] is 90: every axis must be a multiple",
        ),
        ("image-size-huge", with("/network", huge), "more than 2 GiB"),
        ("heads", with("/network/num_heads", json!(3)), "network.num_heads is 3: it must divide network.hidden_size 4"),
        ("zero", with("/network/in_channels", json!(0)), "network.in_channels is 0: it must not be zero"),
        ("negative", with("/network/mlp_dim", json!(-4)), "network.mlp_dim of the model package: invalid value"),
        (
            "absurd",
            with("/network/hidden_size", json!(1u64 << 60)),
            "network.hidden_size is 1152921504606846976: it is too large",
        ),
        ("layers", with("/network/num_layers", json!(24)), "network.num_layers is 24: UNETR fixes it; use 12"),
        ("patch", with("/network/patch_size", json!(32)), "network.patch_size is 32"),
        (
            "norm",
            with("/network/norm_name", json!("layer")),
            "network.norm_name of the model package: \"layer\" is not one of",
        ),
        ("norm-groups", with("/network/norm_name", json!(["group", {"num_groups": 3}])), "num_groups must divide"),
        ("other-network", with("/network/mlp_dim", json!(8)), "the network section needs [8, 4]"),
        (
            "channels",
            with("/input/channels", json!(["T1", "T2"])),
            "input.channels of the model package: it names 2 channels",
        ),
        ("orientation", with("/input/orientation", json!("RAL")), "input.orientation"),
        ("spacing", with("/input/spacing", json!([1.0, 0.0, 1.0])), "input.spacing"),
        (
            "intensity-kind",
            with("/input/intensity/kind", json!("sharpen")),
            "input.intensity.kind of the model package: unknown value `sharpen`; the nearest known value is `scale_range`",
        ),
        ("intensity-empty", with("/input/intensity/a_max", json!(-175)), "a_min -175 must be less than a_max -175"),
        (
            "label-range",
            with("/output/labels/1/value", json!(3)),
            "output.labels[1].value of the model package: 3 is no channel",
        ),
        ("label-word", with("/output/labels/1/value", json!(65536)), "output.labels[1]"),
        ("label-twice", with("/output/labels/1/value", json!(1)), "value 1 is given to two labels"),
        (
            "color",
            with("/output/labels/0/color", json!("red")),
            "output.labels[0].color of the model package: color \"red\" is not #rrggbb",
        ),
        (
            "activation",
            with("/output/activation", json!("relu")),
            "output.activation of the model package: unknown value `relu`",
        ),
        ("no-regions", with("/output", sigmoid), "lacks the required key output.regions"),
        ("region-channel", region(3, 1), "output.regions[0].channel of the model package: 3 is no channel"),
        ("region-background", region(0, 0), "output.regions[0].value"),
        (
            "unknown-input",
            with("/input/colour", json!(1)),
            "input.colour of the model package: unknown key; the nearest known key is",
        ),
        (
            "unknown-intensity",
            with("/input/intensity/clipp", json!(true)),
            "input.intensity.clipp of the model package: unknown key; the nearest known key is `clip` (known: a_min, a_max,",
        ),
        (
            "unknown-network",
            with("/network/num_head", json!(2)),
            "network.num_head of the model package: unknown key; the nearest known key is `num_heads`",
        ),
        (
            "unknown-label",
            with("/output/labels/0/colour", json!("#ff0000")),
            "output.labels[0].colour of the model package: unknown key; the nearest known key is `color`",
        ),
        (
            "unknown-inference",
            with("/inference/over_laps", json!(0.5)),
            "inference.over_laps of the model package: unknown key; the nearest known key is `overlap`",
        ),
        (
            "misspelt-section",
            with("/inferrence", json!({})),
            "inferrence of the model package: unknown key; the nearest known key is `inference`",
        ),
        (
            "misplaced",
            with("/spacing", json!([1, 1, 1])),
            "spacing of the model package: it belongs into the section input: give input.spacing",
        ),
        ("roi", with("/inference/roi_size", json!([32, 16, 16])), "inference.roi_size"),
        ("overlap", with("/inference/overlap", json!(1.0)), "inference.overlap"),
        ("sigma", with("/inference/sigma_scale", json!(0)), "inference.sigma_scale"),
        ("blend", with("/inference/blend", json!("sum")), "inference.blend of the model package: unknown value `sum`"),
    ]
}
