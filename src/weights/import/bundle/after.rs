//! Transforms after the network, as the package's `output`.
//!
//! What counts is their order: probabilities that are brought back before labels are decided are interpolated, labels are
//! not. Source: `monai/transforms/post` (1.6.1).

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::super::super::package::BRATS_ORDERS;
use super::super::fields::palette;
use super::before::{flat, keys, plain, unknown};
use super::component::Component;
use super::config::Node;

/// The network's output in the evaluator's dictionaries.
const PREDICTION: &str = "pred";
const KNOWN: [&str; 16] = [
    "Activations",
    "AsDiscrete",
    "Invert",
    "KeepLargestConnectedComponent",
    "SaveImage",
    "Lambda",
    "EnsureType",
    "ToTensor",
    "ToNumpy",
    "ToDevice",
    "CastToType",
    "Identity",
    "DataStats",
    "SelectItems",
    "DeleteItems",
    "EnsureChannelFirst",
];
/// Transforms that keep values as they are.
const KEEPING: [&str; 9] = [
    "SaveImage",
    "EnsureType",
    "ToTensor",
    "ToNumpy",
    "ToDevice",
    "Identity",
    "DataStats",
    "SelectItems",
    "DeleteItems",
];

/// How a label is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decided {
    Argmax,
    /// Where a channel is at least this.
    Threshold(f64),
}

/// What the transforms come to, with the place at which each is done.
#[derive(Debug, Default)]
struct Chain {
    activation: Option<(usize, &'static str)>,
    inverted: Option<(usize, bool)>,
    decided: Option<(usize, Decided)>,
    largest: Option<(usize, Vec<u64>)>,
    /// Channels and values in the order in which they are painted.
    painted: Option<Vec<(usize, u64)>>,
}

/// What is known of the network's output.
pub(super) struct Output<'a> {
    pub channels: usize,
    /// Names by channel.
    pub names: &'a [(usize, String)],
    /// Whether transforms before the network change the grid.
    pub moved: bool,
}

/// Reads the transforms of `node`, if there are any, as the package's `output`.
///
/// # Errors
/// The first that is not done here.
pub(super) fn read(
    node: Option<Node<'_>>,
    output: &Output<'_>,
    warnings: &mut Vec<String>,
) -> Result<Map<String, Value>, WeightsError> {
    let label_of = |(channel, name): &(usize, String)| label(*channel as u64, name);
    let classes = output.names.iter().filter(|(channel, _)| (1..output.channels).contains(channel)).map(label_of);
    let classes: Vec<Value> = classes.collect();
    let Some(node) = node else {
        warnings.push("the bundle has no postprocessing; labels are decided as usual".to_owned());
        let named = !classes.is_empty();
        return Ok(named.then(|| ("labels".to_owned(), classes.into())).into_iter().collect());
    };
    let chain = chain(node.clone(), warnings)?;
    let refused = |problem: String| node.refused(problem);
    let activation = match (chain.activation, chain.decided) {
        (Some((_, "softmax")), Some((_, Decided::Threshold(_)))) => {
            return Err(refused("a threshold of softmax's probabilities is not done here".to_owned()));
        }
        (Some((_, "sigmoid")), Some((_, Decided::Argmax))) => {
            return Err(refused("the largest of sigmoid's probabilities is not taken here".to_owned()));
        }
        (Some((_, activation)), _) => activation,
        (None, Some((_, Decided::Threshold(_)))) => "sigmoid",
        (None, _) if output.channels == 1 => "sigmoid",
        (None, _) => "softmax",
    };
    if chain.decided.is_none() {
        warnings.push(format!("postprocessing decides no label; taken as usual after {activation}"));
    }
    let mut made = Map::from_iter([("activation".to_owned(), json!(activation))]);
    let resample = resample(&chain, output, warnings);
    if resample != "probabilities" {
        made.insert("resample".into(), json!(resample));
    }
    if activation == "sigmoid" {
        let threshold = match (chain.activation, chain.decided) {
            // A threshold of logits is one of their sigmoid.
            (None, Some((_, Decided::Threshold(t)))) => 1.0 / (1.0 + (-t).exp()),
            (_, Some((_, Decided::Threshold(t)))) => t,
            _ => 0.5,
        };
        if !(threshold > 0.0 && threshold < 1.0) {
            return Err(refused(format!("a threshold of {threshold} is never or always reached")));
        }
        if threshold != 0.5 {
            made.insert("threshold".into(), json!(threshold));
        }
        paint(&chain, output, &mut made, warnings);
    } else {
        if chain.painted.is_some() {
            return Err(refused("a Lambda that paints channels is done after a sigmoid alone".to_owned()));
        }
        if !classes.is_empty() {
            made.insert("labels".into(), classes.into());
        }
    }
    if let Some((at, labels)) = chain.largest {
        let values = made.get("labels").and_then(Value::as_array);
        let all = || values.into_iter().flatten().filter_map(|label| label.get("value")?.as_u64()).collect();
        let labels: Vec<u64> = if labels.is_empty() { all() } else { labels };
        made.insert("keep_largest_component".into(), json!(labels));
        // Brought back as labels, components are those of the grid on which they are looked at.
        if resample == "labels" && chain.inverted.is_some_and(|(inverted, _)| inverted < at) {
            made.insert("components_on_scan".into(), json!(true));
        }
    }
    Ok(made)
}

fn label(value: u64, name: &str) -> Value {
    json!({"value": value, "name": name, "color": palette(value)})
}

/// What is brought back to the scan's grid.
fn resample(chain: &Chain, output: &Output<'_>, warnings: &mut Vec<String>) -> &'static str {
    let decided = chain.decided.map(|(at, _)| at);
    match chain.inverted {
        None => {
            if output.moved {
                warnings.push(
                    "postprocessing has no Invert, and MONAI leaves the labels on the model's grid; here they are brought back"
                        .to_owned(),
                );
            }
            "labels"
        }
        Some((at, nearest)) if decided.is_some_and(|decided| decided < at) => {
            if !nearest {
                warnings.push(
                    "postprocessing interpolates between label values (Invert with nearest_interp false after AsDiscrete), which \
                     mixes labels; the nearest label is taken"
                        .to_owned(),
                );
            }
            "labels"
        }
        // The nearest voxel's probabilities give the nearest voxel's label.
        Some((_, true)) => "labels",
        Some((at, false)) => match chain.activation {
            Some((activated, _)) if activated < at => "probabilities",
            _ => "logits",
        },
    }
}

/// Regions and labels of sigmoid channels.
fn paint(chain: &Chain, output: &Output<'_>, made: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let name_of = |channel: usize| output.names.iter().find(|(c, _)| *c == channel).map(|(_, name)| name.as_str());
    let is = |channel: usize, words: &[&str]| {
        let name = name_of(channel).unwrap_or_default().to_lowercase();
        words.iter().all(|word| name.contains(word))
    };
    let region = |(channel, value): &(usize, u64)| json!({"channel": channel, "value": value});
    if let Some(painted) = &chain.painted {
        let regions: Vec<Value> = painted.iter().map(region).collect();
        let brats = BRATS_ORDERS.iter().find(|order| order.regions() == json!(regions));
        let labels = match brats {
            Some(order) => order.labels(),
            None => painted.iter().filter_map(|(channel, value)| Some(label(*value, name_of(*channel)?))).collect(),
        };
        made.extend([("regions".to_owned(), json!(regions)), ("labels".to_owned(), labels)]);
        return;
    }
    // Channel 0 may be what belongs to no region; then a region's value is its channel.
    let background = output.channels > 1 && is(0, &["background"]);
    let value = |channel: usize| channel as u64 + u64::from(!background);
    let mut order: Vec<(usize, u64)> = (usize::from(background)..output.channels).map(|c| (c, value(c))).collect();
    let nested = output.channels == 3 && is(0, &["core"]) && is(1, &["whole"]) && is(2, &["enhancing"]);
    if nested {
        // The core lies in the whole tumour, what enhances in the core: the inner are painted later.
        order.swap(0, 1);
    }
    if order.len() > 1 {
        let names: Vec<String> = order.iter().map(|(c, v)| format!("{v} {}", name_of(*c).unwrap_or("?"))).collect();
        warnings.push(format!(
            "the network's channels may overlap, and one label map holds one value a voxel: painted in the order {}, later \
             over earlier; output.regions changes that, and saved probabilities keep all channels",
            names.join(", ")
        ));
    }
    let labels: Vec<Value> = order.iter().filter_map(|(c, v)| Some(label(*v, name_of(*c)?))).collect();
    if labels.len() == order.len() {
        made.insert("labels".into(), labels.into());
    }
    made.insert("regions".into(), order.iter().map(region).collect());
}

fn chain(node: Node<'_>, warnings: &mut Vec<String>) -> Result<Chain, WeightsError> {
    let mut components = Vec::new();
    flat(node, &mut components, warnings)?;
    let mut chain = Chain::default();
    for (at, mut c) in components.into_iter().enumerate() {
        let Some((name, dictionary)) = plain(&c.class, &KNOWN) else {
            return Err(unknown(&c, "postprocessing"));
        };
        let name = name.to_owned();
        if KEEPING.contains(&name.as_str()) || name == "EnsureChannelFirst" {
            continue;
        }
        if dictionary {
            let keys = keys(&c)?;
            let place = keys.iter().position(|key| key == PREDICTION);
            if place.is_none() {
                continue;
            }
            c.place = place;
        }
        c.ignore(&["keys", "allow_missing_keys"]);
        match name.as_str() {
            "CastToType" => c.ignore(&["dtype"]),
            "Activations" => activations(&c, at, &mut chain)?,
            "Invert" => invert(&c, at, &mut chain)?,
            "AsDiscrete" => as_discrete(&c, at, &mut chain)?,
            "KeepLargestConnectedComponent" => largest(&c, at, &mut chain)?,
            _ => lambda(&c, &mut chain)?,
        }
        c.finish()?;
    }
    Ok(chain)
}

fn activations(c: &Component<'_>, at: usize, chain: &mut Chain) -> Result<(), WeightsError> {
    c.only("other", &[])?;
    c.only("dim", &[json!(0)])?;
    let (sigmoid, softmax) = (c.flag("sigmoid", false)?, c.flag("softmax", false)?);
    let activation = match (sigmoid, softmax) {
        (true, true) => return Err(c.bad("sigmoid", "sigmoid and softmax exclude each other")),
        (true, _) => "sigmoid",
        (_, true) => "softmax",
        _ => return Ok(()),
    };
    if chain.activation.is_some() || chain.decided.is_some() {
        return Err(c.node().refused("a second activation, or one after labels were decided, is not done here"));
    }
    chain.activation = Some((at, activation));
    Ok(())
}

fn invert(c: &Component<'_>, at: usize, chain: &mut Chain) -> Result<(), WeightsError> {
    c.ignore(&["transform", "orig_keys", "meta_keys", "orig_meta_keys", "meta_key_postfix", "to_tensor", "device"]);
    c.only("post_func", &[])?;
    let nearest = c.flag("nearest_interp", true)?;
    // What was brought back is not brought back again.
    chain.inverted.get_or_insert((at, nearest));
    Ok(())
}

fn as_discrete(c: &Component<'_>, at: usize, chain: &mut Chain) -> Result<(), WeightsError> {
    c.ignore(&["to_onehot", "n_classes", "num_classes"]);
    c.only("rounding", &[json!("torchrounding")])?;
    c.only("dim", &[json!(0)])?;
    c.only("keepdim", &[json!(true)])?;
    let argmax = c.flag("argmax", false)?;
    // Before MONAI 0.9 the threshold had two arguments.
    let old = c.flag("threshold_values", false)?;
    let old_threshold = c.read_each::<f64>("logit_thresh")?.unwrap_or(0.5);
    let threshold = c.read_each::<f64>("threshold")?.or(old.then_some(old_threshold));
    let decided = match (argmax, threshold) {
        (true, Some(_)) => return Err(c.bad("threshold", "argmax and a threshold together are not done here")),
        (true, None) => Decided::Argmax,
        (false, Some(threshold)) => Decided::Threshold(threshold),
        (false, None) => return Ok(()),
    };
    if chain.decided.is_some() {
        return Err(c.node().refused("labels are decided twice, which is not done here"));
    }
    chain.decided = Some((at, decided));
    Ok(())
}

fn largest(c: &Component<'_>, at: usize, chain: &mut Chain) -> Result<(), WeightsError> {
    let labels = match c.value("applied_labels")? {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).filter(|label| *label > 0).collect(),
        Some(one) => one.as_u64().into_iter().collect(),
    };
    c.ignore(&["is_onehot"]);
    c.only("connectivity", &[json!(3)])?;
    c.only("num_components", &[json!(1)])?;
    if !c.flag("independent", true)? && labels.len() != 1 {
        return Err(c.bad("independent", "the largest component of several labels together is not kept here"));
    }
    if chain.decided.is_none() {
        return Err(c.node().refused("components of what is not decided yet are not kept here"));
    }
    chain.largest = Some((at, labels));
    Ok(())
}

/// The one form of a function that is known by its text: channels painted over each other.
fn lambda(c: &Component<'_>, chain: &mut Chain) -> Result<(), WeightsError> {
    c.ignore(&["func", "overwrite", "inv_func", "track_meta"]);
    let text = c.node().value.get("func").and_then(Value::as_str).unwrap_or_default();
    let painted = painted(text);
    let painted = painted.ok_or_else(|| {
        let short: String = text.chars().take(120).collect();
        c.bad("func", format_args!("{short:?} is code, which is not run"))
    })?;
    if !matches!(chain.decided, Some((_, Decided::Threshold(_)))) || chain.painted.is_some() {
        return Err(c.node().refused("channels are painted once, after a threshold"));
    }
    chain.painted = Some(painted);
    Ok(())
}

/// `lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, 0))`: what stands outside is painted last.
fn painted(text: &str) -> Option<Vec<(usize, u64)>> {
    let form: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let form = form.strip_prefix('$').unwrap_or(&form).strip_prefix("lambda")?;
    let (name, mut rest) = form.split_once(':')?;
    let mut painted = Vec::new();
    loop {
        let Some(inner) = rest.strip_prefix("torch.where(") else {
            // The innermost value, and as many brackets as were opened.
            let closed = rest.strip_prefix('0')?;
            let fits = closed.len() == painted.len() && closed.chars().all(|c| c == ')') && !painted.is_empty();
            painted.reverse();
            return fits.then_some(painted);
        };
        let indexed = inner.strip_prefix(name)?.strip_prefix('[')?;
        let (index, after) = indexed.split_once(']')?;
        let (channel, after) = match index.strip_prefix('[') {
            Some(index) => (index, after.strip_prefix(']')?),
            None => (index.split(':').next()?, after),
        };
        let after = [">0.5,", ">0,", "==1,", ">=1,", ">=0.5,"].iter().find_map(|test| after.strip_prefix(test))?;
        let (value, after) = after.split_once(',')?;
        painted.push((channel.parse().ok()?, value.parse().ok().filter(|value| (1..256).contains(value))?));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_where_is_painting() {
        let brats = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))";
        assert_eq!(painted(brats), Some(vec![(1, 2), (0, 1), (2, 4)]));
        assert_eq!(painted("lambda img:torch.where(img[1:2]==1, 7, 0)"), Some(vec![(1, 7)]));
        for other in [
            "lambda x: x",
            "lambda x: torch.where(x[[2]] > 0, 4, 0) + 1",
            "lambda x: torch.where(y[[2]] > 0, 4, 0)",
            "lambda x: torch.where(x[[2]] > 0, 400, 0)",
            "lambda x: torch.where(x[[2]] < 0, 4, 0)",
            "lambda x: 0",
            "lambda x: torch.where(x[[2]] > 0, 4, 0",
            "lambda x: torch.where(x[[2]] > 0, 4, 0))",
            "",
        ] {
            assert_eq!(painted(other), None, "{other}");
        }
    }
}
