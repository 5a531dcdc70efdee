//! The tensors of a checkpoint, whatever file they come from, and finding the network among them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::dtype::Dtype;
use super::super::error::{WeightsError, quoted};
use super::super::safetensors::Tensors;

/// Every UNETR has it, and nothing else ends like it.
const ANCHOR: &str = "vit.patch_embedding.position_embeddings";
/// Prefixes by which trainers keep the network itself, preferred over copies such as running averages.
const PREFERRED: [&str; 6] = ["", "state_dict.", "model.", "model_state_dict.", "net.", "network."];

type Read<'a> = Box<dyn Fn() -> Result<Cow<'a, [u8]>, WeightsError> + 'a>;

/// One tensor of a checkpoint, read when asked for.
pub(super) struct Source<'a> {
    pub dtype: Option<Dtype>,
    pub shape: Vec<usize>,
    pub read: Read<'a>,
}

/// A checkpoint's tensors by name.
pub(super) struct StateDict<'a> {
    tensors: BTreeMap<String, Source<'a>>,
}

/// One tensor of the network, made of one or of three in the file.
pub(super) struct Gathered<'s, 'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Names in the file it is made of.
    pub sources: Vec<String>,
    parts: Vec<&'s Source<'a>>,
}

impl<'a> Gathered<'_, 'a> {
    /// Its bytes, row-major, little-endian.
    pub fn read(&self) -> Result<Cow<'a, [u8]>, WeightsError> {
        if let [part] = self.parts.as_slice() {
            return (part.read)();
        }
        let mut joined = Vec::new();
        for part in &self.parts {
            joined.extend_from_slice(&(part.read)()?);
        }
        Ok(Cow::Owned(joined))
    }
}

impl<'a> StateDict<'a> {
    pub fn new(tensors: BTreeMap<String, Source<'a>>) -> Self {
        Self { tensors }
    }

    pub fn from_tensors(file: &'a Tensors) -> Self {
        let tensors = file.iter().map(|tensor| {
            let read: Read<'a> = Box::new(move || Ok(Cow::Borrowed(tensor.bytes)));
            let source = Source { dtype: Some(tensor.dtype), shape: tensor.shape.to_vec(), read };
            (tensor.name.to_string(), source)
        });
        Self::new(tensors.collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The tensor `name`, or the three that `attn.qkv` is made of.
    pub fn gather(&self, name: &str, shape: &[usize]) -> Result<Gathered<'_, 'a>, WeightsError> {
        let missing = || WeightsError::MissingTensor { name: quoted(name), shape: shape.to_vec() };
        let mut sources = vec![name.to_string()];
        if !self.tensors.contains_key(name)
            && let Some((block, kind)) = name.split_once(".attn.qkv.")
        {
            sources = ["to_q", "to_k", "to_v"].map(|part| format!("{block}.attn.{part}.{kind}")).to_vec();
        }
        let parts: Option<Vec<&Source<'a>>> = sources.iter().map(|source| self.tensors.get(source)).collect();
        let parts = parts.ok_or_else(missing)?;
        let first = parts.first().ok_or_else(missing)?;
        let float = first.dtype.filter(|dtype| dtype.is_float());
        let Some(dtype) = float else {
            return Err(WeightsError::tensor(name, "it is not of a floating-point type"));
        };
        if parts.iter().any(|part| part.dtype != first.dtype || part.shape != first.shape) {
            return Err(WeightsError::tensor(name, "its query, key and value differ in type or shape"));
        }
        let mut shape = first.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = rows.saturating_mul(parts.len());
        }
        Ok(Gathered { dtype, shape, sources, parts })
    }

    /// Keeps the network's tensors, under their names in MONAI. Also says what was left out.
    pub fn select(self, asked: Option<&str>) -> Result<(Self, Vec<String>), WeightsError> {
        let prefix = self.find_prefix(asked)?;
        let all = self.tensors.len();
        let strip = |(name, tensor): (String, Source<'a>)| Some((name.strip_prefix(&prefix)?.to_string(), tensor));
        let tensors: BTreeMap<String, Source<'a>> = self.tensors.into_iter().filter_map(strip).collect();
        let left_out = all - tensors.len();
        let mut warnings = Vec::new();
        if left_out > 0 {
            warnings.push(format!("{left_out} tensors outside {} were left out", quoted(&prefix)));
        }
        Ok((Self { tensors }, warnings))
    }

    fn find_prefix(&self, asked: Option<&str>) -> Result<String, WeightsError> {
        let prefixes: Vec<&str> = self.names().filter_map(|name| name.strip_suffix(ANCHOR)).collect();
        if let Some(asked) = asked {
            return match prefixes.contains(&asked) {
                true => Ok(asked.to_string()),
                false => Err(no_unetr(format!("no name is {}", quoted(&format!("{asked}{ANCHOR}"))))),
            };
        }
        if let [only] = prefixes.as_slice() {
            return Ok(only.to_string());
        }
        if prefixes.is_empty() {
            return Err(self.explain());
        }
        let preferred = PREFERRED.iter().find(|prefix| prefixes.contains(prefix));
        preferred.map(|prefix| prefix.to_string()).ok_or_else(|| {
            let names: Vec<String> = prefixes.iter().map(|prefix| quoted(prefix)).collect();
            WeightsError::checkpoint(format!(
                "it holds several networks; choose one of the prefixes {}",
                names.join(", ")
            ))
        })
    }

    /// Why a file without the anchor is no UNETR.
    fn explain(&self) -> WeightsError {
        let encoder = ["patch_embedding.position_embeddings", "patch_embedding.pos_embed", "pos_embed"];
        if self.names().any(|name| encoder.iter().any(|end| name.ends_with(end))) {
            return encoder_only();
        }
        let some: Vec<String> = self.names().take(3).map(quoted).collect();
        match some.is_empty() {
            true => no_unetr("there is no tensor in it".into()),
            false => no_unetr(format!("no name ends in {ANCHOR:?}; the first are {}", some.join(", "))),
        }
    }
}

fn no_unetr(problem: String) -> WeightsError {
    WeightsError::NotUnetr { problem }
}

/// The error for a transformer without a decoder.
pub(super) fn encoder_only() -> WeightsError {
    no_unetr("it is only the transformer encoder, as pre-training saves it; the decoder's weights are not in it".into())
}
