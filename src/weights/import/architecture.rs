//! The network's configuration from the shapes of its tensors.
//!
//! Shapes tell everything but the number of heads, how the tokens are laid out in space, and (with affine norms)
//! whether channels are normalised in groups. Those are asked for, never guessed.

use serde_json::{Map, Value};

use super::super::error::{Undetermined, WeightsError, quoted};
use super::super::package::BRATS_ORDERS;
use super::source::{StateDict, encoder_only};
use crate::fields::{Section, nearest};
use crate::model::config::{NUM_LAYERS, NormName, PATCH_SIZE, ProjType, UnetrConfig};

/// What the shapes tell: a network whose `img_size` and `num_heads` are still open.
pub(super) struct Inferred {
    network: UnetrConfig,
    tokens: usize,
    /// Affine norms without running statistics: of instances or of groups.
    norm_is_open: bool,
}

/// Reads the architecture from the shapes.
pub(super) fn infer(state: &StateDict<'_>) -> Result<Inferred, WeightsError> {
    if state.shape("encoder1.layer.conv1.conv.weight").is_none() {
        return Err(encoder_only());
    }
    let dims = Dims { state };
    let embedding = "vit.patch_embedding";
    let linear = format!("{embedding}.patch_embeddings.1.weight");
    let (proj_type, in_channels) = if state.shape(&linear).is_some() {
        let values = dims.axis(&linear, 1, 2)?;
        let volume = PATCH_SIZE.pow(3);
        if values % volume != 0 {
            let problem =
                format!("its {values} inputs are no multiple of 16 * 16 * 16; only patches of 16 are supported");
            return Err(WeightsError::tensor(&linear, problem));
        }
        (ProjType::Perceptron, values / volume)
    } else {
        (ProjType::Conv, dims.axis(&format!("{embedding}.patch_embeddings.weight"), 1, 5)?)
    };
    let blocks = (0..).take_while(|block| state.shape(&format!("vit.blocks.{block}.norm1.weight")).is_some());
    let has = |name: &str| state.shape(name).is_some();
    let norm = "decoder5.conv_block.norm1";
    let affine = has(&format!("{norm}.weight"));
    let batch = has(&format!("{norm}.running_mean"));
    let network = UnetrConfig {
        in_channels,
        out_channels: dims.axis("out.conv.conv.weight", 0, 5)?,
        img_size: [0; 3],
        patch_size: PATCH_SIZE,
        feature_size: dims.axis("encoder1.layer.conv1.conv.weight", 0, 5)?,
        hidden_size: dims.axis("vit.norm.weight", 0, 1)?,
        mlp_dim: dims.axis("vit.blocks.0.mlp.linear1.weight", 0, 2)?,
        num_heads: 0,
        num_layers: blocks.count(),
        qkv_bias: has("vit.blocks.0.attn.qkv.bias") || has("vit.blocks.0.attn.to_q.bias"),
        conv_block: has("encoder2.blocks.0.1.conv1.conv.weight"),
        res_block: has("decoder5.conv_block.conv3.conv.weight"),
        proj_type,
        norm_name: if batch { NormName::Batch { affine } } else { NormName::Instance { affine } },
    };
    if network.num_layers != NUM_LAYERS {
        let problem = format!("it has {} transformer blocks, UNETR has {NUM_LAYERS}", network.num_layers);
        return Err(WeightsError::NotUnetr { problem });
    }
    let tokens = dims.axis(&format!("{embedding}.position_embeddings"), 1, 3)?;
    Ok(Inferred { network, tokens, norm_is_open: affine && !batch })
}

/// Axis lengths by tensor name.
struct Dims<'s, 'a> {
    state: &'s StateDict<'a>,
}

impl Dims<'_, '_> {
    /// Length of one axis of a tensor that must have `rank` axes.
    fn axis(&self, name: &str, axis: usize, rank: usize) -> Result<usize, WeightsError> {
        let Some(shape) = self.state.shape(name) else {
            return Err(WeightsError::NotUnetr { problem: format!("tensor {} is missing", quoted(name)) });
        };
        let length = shape.get(axis).copied().filter(|_| shape.len() == rank);
        length.ok_or_else(|| WeightsError::tensor(name, format!("shape {shape:?} does not have {rank} axes")))
    }
}

impl Inferred {
    /// Completes the network by what was given, and checks that nothing given contradicts the shapes.
    pub fn resolve(mut self, given: &Map<String, Value>) -> Result<UnetrConfig, WeightsError> {
        let empty = Map::new();
        let root = Section::root(given);
        let absent = Map::from_iter([("network".to_string(), Value::Object(empty))]);
        let section = match root.has("network") {
            true => root.section("network")?,
            false => Section::root(&absent).section("network")?,
        };
        self.check_open(&section, given)?;
        let network = &mut self.network;
        network.img_size = section.required("img_size")?;
        network.num_heads = section.required("num_heads")?;
        network.norm_name = section.or("norm_name", network.norm_name)?;
        let tokens = network.img_size.iter().try_fold(1usize, |n, &size| n.checked_mul(size / PATCH_SIZE));
        if tokens != Some(self.tokens) {
            let problem = format!(
                "{:?} does not have the checkpoint's {} patches of 16 x 16 x 16",
                network.img_size, self.tokens
            );
            return Err(WeightsError::field("network.img_size", problem));
        }
        check_given(&section, network)?;
        network.validate()?;
        Ok(self.network)
    }

    /// Names every field that only the caller can know.
    fn check_open(&self, section: &Section<'_>, given: &Map<String, Value>) -> Result<(), WeightsError> {
        if let Some(slip) = ["img_size", "num_heads", "norm_name"].iter().find_map(|key| section.slip(key)) {
            return Err(slip.into());
        }
        let mut fields = Vec::new();
        let mut ask = |field: &str, hint: String| {
            if !section.has(field) {
                fields.push(Undetermined { field: format!("network.{field}"), hint });
            }
        };
        let tokens = self.tokens;
        let side = (1..=tokens).take_while(|side| side * side * side <= tokens).last().unwrap_or(0);
        let cube = match side * side * side == tokens {
            true => format!(", as in [{0}, {0}, {0}]", side * PATCH_SIZE),
            false => String::new(),
        };
        ask("img_size", format!("voxels along X, Y, Z, multiples of 16 with {tokens} patches together{cube}"));
        let hidden = self.network.hidden_size;
        let usual = if hidden == 768 { "; 12 is usual" } else { "" };
        ask("num_heads", format!("attention heads, a divisor of {hidden}{usual}"));
        if self.norm_is_open {
            let hint = r#"["instance", {"affine": true}] or ["group", {"num_groups": ...}]"#;
            ask("norm_name", hint.into());
        }
        let output = given.get("output");
        let sigmoid = output.and_then(|output| output.get("activation")).is_some_and(|a| a == "sigmoid");
        let channels = self.network.out_channels;
        if sigmoid && channels > 1 && output.is_none_or(|output| output.get("regions").is_none()) {
            let mut hint = format!(
                r#"the value that each of the {channels} channels paints, later over earlier, as [{{"channel": 0, "value": 1}}, ...]"#
            );
            if channels == 3 {
                let names = BRATS_ORDERS.each_ref().map(|order| format!("\"{}\"", order.name));
                hint += &format!(
                    "; of BraTS by name: {}: MONAI's channels are tumour core, whole tumour, enhancing tumour, nnU-Net's whole, core, enhancing",
                    names.join(", ")
                );
            }
            fields.push(Undetermined { field: "output.regions".into(), hint });
        }
        if let Some(name) = output.and_then(|output| output.get("regions")).and_then(Value::as_str) {
            let known = BRATS_ORDERS.each_ref().map(|order| order.name);
            let problem = match known.contains(&name) {
                true if channels == 3 => None,
                true => Some(format!("\"{name}\" is of 3 channels, the checkpoint has {channels}")),
                false => {
                    let near = nearest(name, known).unwrap_or_default();
                    Some(format!("unknown name; the nearest is \"{near}\" (known: {})", known.join(", ")))
                }
            };
            if let Some(problem) = problem {
                return Err(WeightsError::field("output.regions", problem));
            }
        }
        if fields.is_empty() { Ok(()) } else { Err(WeightsError::Undetermined { fields }) }
    }
}

/// Whatever is given must agree with the shapes.
fn check_given(section: &Section<'_>, network: &UnetrConfig) -> Result<(), WeightsError> {
    let Ok(Value::Object(found)) = serde_json::to_value(network) else {
        return Ok(());
    };
    for (key, found) in found {
        // Equal norms can be spelled differently; the tensors' names decide whether it fits.
        if key == "norm_name" {
            continue;
        }
        let given: Value = section.or(&key, found.clone())?;
        if given != found {
            let problem = format!("{given} contradicts the checkpoint's {found}");
            return Err(WeightsError::field(format!("network.{key}"), problem));
        }
    }
    Ok(())
}
