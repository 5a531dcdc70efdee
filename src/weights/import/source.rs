//! The tensors of a checkpoint, whatever file they come from, and finding the network among them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::dtype::Dtype;
use super::super::error::{WeightsError, quoted};
use super::super::safetensors::Tensors;
use crate::fields::Section;
use crate::nets::registry::{self, NETWORKS, NetworkType};
use crate::nets::{Dialect, Shapes};

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

    /// Names and shapes.
    pub fn shapes(&self) -> Shapes {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    /// The tensor `name`, one of its `copies`, or those it is joined of.
    pub fn gather(
        &self,
        dialect: &dyn Dialect,
        name: &str,
        copies: &[String],
        shape: &[usize],
    ) -> Result<Gathered<'_, 'a>, WeightsError> {
        let missing = || WeightsError::MissingTensor { name: quoted(name), shape: shape.to_vec() };
        let mut sources = vec![name.to_string()];
        let parts = dialect.parts(name);
        if !self.tensors.contains_key(name) && !parts.is_empty() {
            sources = parts;
        } else if !self.tensors.contains_key(name) {
            sources.splice(.., copies.iter().find(|copy| self.tensors.contains_key(*copy)).cloned());
        }
        let parts: Option<Vec<&Source<'a>>> = sources.iter().map(|source| self.tensors.get(source)).collect();
        let parts = parts.ok_or_else(missing)?;
        let first = parts.first().ok_or_else(missing)?;
        let float = first.dtype.filter(|dtype| dtype.is_float());
        let Some(dtype) = float else {
            return Err(WeightsError::tensor(name, "it is not of a floating-point type"));
        };
        if parts.iter().any(|part| part.dtype != first.dtype || part.shape != first.shape) {
            return Err(WeightsError::tensor(name, "the tensors it is joined of differ in type or shape"));
        }
        let mut shape = first.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = rows.saturating_mul(parts.len());
        }
        Ok(Gathered { dtype, shape, sources, parts })
    }

    /// Compares a tensor with what is stored under another of its names, if anything is.
    pub fn check_copy(&self, tensor: &Gathered<'_, 'a>, copy: &str) -> Result<(), WeightsError> {
        let Some(other) = self.tensors.get(copy).filter(|_| !tensor.sources.iter().any(|source| source == copy)) else {
            return Ok(());
        };
        if other.dtype == Some(tensor.dtype) && other.shape == tensor.shape && (other.read)()? == tensor.read()? {
            return Ok(());
        }
        let stored = tensor.sources.first().map(|name| quoted(name)).unwrap_or_default();
        Err(WeightsError::tensor(copy, format!("it is the same weight as {stored}, and has other values")))
    }

    /// Which network it holds, and its tensors alone, under their names in the reference program. Also says what was left out.
    pub fn select(
        self,
        asked: Option<&str>,
        given: &Section<'_>,
    ) -> Result<(&'static NetworkType, Self, Vec<String>), WeightsError> {
        let wanted = if given.has("type") { Some(registry::of_section(given)?) } else { None };
        let (network, prefix) = self.find(asked, wanted)?;
        let all = self.tensors.len();
        let strip = |(name, tensor): (String, Source<'a>)| Some((name.strip_prefix(&prefix)?.to_string(), tensor));
        let tensors: BTreeMap<String, Source<'a>> = self.tensors.into_iter().filter_map(strip).collect();
        let left_out = all - tensors.len();
        let mut warnings = Vec::new();
        if left_out > 0 {
            warnings.push(format!("{left_out} tensors outside {} were left out", quoted(&prefix)));
        }
        Ok((network, Self { tensors }, warnings))
    }

    /// The network and the prefix of its names.
    fn find(
        &self,
        asked: Option<&str>,
        wanted: Option<&'static NetworkType>,
    ) -> Result<(&'static NetworkType, String), WeightsError> {
        let shapes = self.shapes();
        let among: Vec<&'static NetworkType> =
            NETWORKS.iter().filter(|network| wanted.is_none_or(|w| w.name == network.name)).collect();
        let mut found: Vec<(&'static NetworkType, &str)> = Vec::new();
        for network in &among {
            let anchors = network.dialect.anchors();
            let prefixes = self.names().filter_map(|name| anchors.iter().find_map(|end| name.strip_suffix(end)));
            let whole = prefixes.filter(|prefix| network.dialect.recognise(&shapes.below(prefix)));
            found.extend(whole.map(|prefix| (*network, prefix)));
        }
        if let Some(asked) = asked {
            found.retain(|(_, prefix)| *prefix == asked);
            if found.is_empty() {
                let problem = format!("no network's names begin with {}", quoted(asked));
                return Err(no_network(wanted, self.near_miss(&among, &shapes).unwrap_or(problem)));
            }
        }
        match found.as_slice() {
            [] => Err(no_network(wanted, self.explain(&among, &shapes))),
            [(network, prefix)] => Ok((network, prefix.to_string())),
            _ => {
                let preferred = PREFERRED.iter().find_map(|p| found.iter().find(|(_, prefix)| prefix == p));
                preferred.map(|(network, prefix)| (*network, prefix.to_string())).ok_or_else(|| {
                    let names: Vec<String> = found.iter().map(|(_, prefix)| quoted(prefix)).collect();
                    WeightsError::checkpoint(format!(
                        "it holds several networks; choose one of the prefixes {}",
                        names.join(", ")
                    ))
                })
            }
        }
    }

    fn near_miss(&self, among: &[&'static NetworkType], shapes: &Shapes) -> Option<String> {
        among.iter().find_map(|network| network.dialect.near_miss(shapes))
    }

    /// Why a file holds none of these networks.
    fn explain(&self, among: &[&'static NetworkType], shapes: &Shapes) -> String {
        let some: Vec<String> = self.names().take(3).map(quoted).collect();
        if some.is_empty() {
            return "there is no tensor in it".to_owned();
        }
        self.near_miss(among, shapes).unwrap_or_else(|| {
            // Of each name by which a network is known, its end says enough; all of them would fill a page.
            let anchor = match among {
                [one] => one.dialect.anchors().first().map(|a| format!("no name ends in \"{a}\"; ")),
                _ => None,
            };
            format!("{}its first tensors are {}", anchor.unwrap_or_default(), some.join(", "))
        })
    }
}

fn no_network(wanted: Option<&NetworkType>, problem: String) -> WeightsError {
    match wanted {
        Some(network) => WeightsError::other_network(network.name, problem),
        None => WeightsError::no_network(problem),
    }
}
