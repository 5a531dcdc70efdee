//! Transforms before the network, as steps of a package.
//!
//! Dictionary transforms (`Spacingd`, `SpacingD`, `SpacingDict`) and array transforms (`Spacing`) are read alike. A transform or
//! argument that would change the result and is not done here is an error. Source: `monai/transforms` (1.6.1).

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::component::Component;
use super::config::Node;
use super::metadata::MonaiRelease;
use crate::volume::resample::OWN;

/// What the transforms come to.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The package's `input.steps`.
    pub steps: Vec<Value>,
    /// Names of images that are joined to channels, in their order.
    pub joined: Vec<String>,
    /// Size of the image where the steps fix it.
    pub size: Option<[usize; 3]>,
    /// Whether a step changes the grid.
    pub moves: bool,
    pub warnings: Vec<String>,
}

/// Arguments that say how files are read and data is kept, not what is done to values.
const READING: [&str; 15] = [
    "keys",
    "reader",
    "dtype",
    "meta_keys",
    "meta_key_postfix",
    "overwriting",
    "image_only",
    "ensure_channel_first",
    "simple_keys",
    "prune_meta_pattern",
    "prune_meta_sep",
    "allow_missing_keys",
    "expanduser",
    "strict_check",
    "channel_dim",
];
/// Arguments of transforms that only move data between types and devices.
const KEEPING: [&str; 9] = [
    "keys",
    "data_type",
    "device",
    "wrap_sequence",
    "track_meta",
    "allow_missing_keys",
    "drop_meta",
    "allow_missing",
    "prefix",
];
/// Keys that hold no image.
const NO_IMAGES: [&str; 6] = ["label", "labels", "seg", "mask", "gt", "pred"];

/// The transform's name without the ending of its dictionary form, and whether it had one.
pub(super) fn plain<'n>(class: &'n str, known: &[&str]) -> Option<(&'n str, bool)> {
    if known.contains(&class) {
        return Some((class, false));
    }
    let stems = ["Dict", "D", "d"].iter().filter_map(|end| class.strip_suffix(end));
    stems.into_iter().find(|stem| known.contains(stem)).map(|stem| (stem, true))
}

/// All transforms in order, what is composed of them taken apart.
///
/// # Errors
/// It is neither a transform nor a list of them.
pub(super) fn flat<'c>(
    node: Node<'c>,
    found: &mut Vec<Component<'c>>,
    warnings: &mut Vec<String>,
) -> Result<(), WeightsError> {
    if node.value.is_array() {
        return node.items()?.into_iter().try_for_each(|item| flat(item, found, warnings));
    }
    let component = Component::of(node)?;
    if component.class != "Compose" {
        found.push(component);
        return Ok(());
    }
    component.ignore(&["map_items", "unpack_items", "log_stats", "overrides", "lazy"]);
    if component.flag("lazy", false)? {
        warnings.push(format!(
            "{}: lazy resampling is done step by step here, which interpolates once more",
            component.node().id
        ));
    }
    let transforms = component.given("transforms")?;
    component.finish()?;
    match transforms {
        Some(node) if !node.value.is_null() => flat(node, found, warnings),
        _ => Ok(()),
    }
}

/// The `keys` of a dictionary transform.
///
/// # Errors
/// They are missing, or no text.
pub(super) fn keys(component: &Component<'_>) -> Result<Vec<String>, WeightsError> {
    match component.value("keys")? {
        Some(Value::String(key)) => Ok(vec![key]),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|key| key.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| component.bad("keys", "they must be text"))
        }
        Some(_) => Err(component.bad("keys", "they must be text")),
        None => Err(component.bad("keys", "it is missing")),
    }
}

const KNOWN: [&str; 22] = [
    "LoadImage",
    "EnsureChannelFirst",
    "AddChannel",
    "AsChannelFirst",
    "EnsureType",
    "ToTensor",
    "ToNumpy",
    "ToDevice",
    "CastToType",
    "Orientation",
    "Spacing",
    "ScaleIntensityRange",
    "ScaleIntensity",
    "NormalizeIntensity",
    "CropForeground",
    "Resize",
    "ConcatItems",
    "Identity",
    "DataStats",
    "SelectItems",
    "DeleteItems",
    "CopyItems",
];

/// Reads the transforms of `node`; `inputs` are the names of images in the bundle's metadata.
///
/// # Errors
/// The first that is not done here.
pub(super) fn read(node: Node<'_>, inputs: &[String], release: MonaiRelease) -> Result<Before, WeightsError> {
    let mut before = Before::default();
    let mut components = Vec::new();
    flat(node.clone(), &mut components, &mut before.warnings)?;
    let mut images: Vec<String> = Vec::new();
    for mut component in components {
        let Some((name, dictionary)) = plain(&component.class, &KNOWN) else {
            return Err(unknown(&component, "preprocessing"));
        };
        let name = name.to_owned();
        if name == "ConcatItems" {
            join(&component, &mut images, &mut before)?;
            continue;
        }
        let mut places = vec![None];
        if dictionary && !matches!(name.as_str(), "SelectItems" | "DeleteItems" | "CopyItems" | "DataStats") {
            let keys = keys(&component)?;
            if images.is_empty() {
                images = of_images(&keys, inputs);
            }
            places = images.iter().filter_map(|image| keys.iter().position(|key| key == image)).map(Some).collect();
            if places.is_empty() {
                continue;
            }
            if places.len() < images.len() {
                let problem = format!("it is done to {} alone, not to all of {}", keys.join(", "), images.join(", "));
                return Err(component.bad("keys", problem));
            }
        }
        let mut steps = Vec::new();
        for place in places {
            component.place = place;
            steps.push(step(&component, &name, &images, release)?);
        }
        component.finish()?;
        let first = steps.first().cloned().flatten();
        if steps.iter().any(|step| *step != first) {
            return Err(component
                .node()
                .refused(format_args!("{}: its keys are treated differently", component.class)));
        }
        let Some(step) = first else { continue };
        before.size = match name.as_str() {
            "Resize" => sizes(&step),
            "CropForeground" | "Spacing" => None,
            _ => before.size,
        };
        before.moves |= matches!(name.as_str(), "Resize" | "CropForeground" | "Spacing" | "Orientation");
        before.steps.push(step);
    }
    if images.len() > 1 {
        let problem = format!("the images {} are never joined to the channels of one", images.join(", "));
        return Err(node.refused(problem));
    }
    Ok(before)
}

fn sizes(resize: &Value) -> Option<[usize; 3]> {
    serde_json::from_value(resize.get("spatial_size")?.clone()).ok()
}

/// The error for a transform that is not done.
pub(super) fn unknown(component: &Component<'_>, what: &str) -> WeightsError {
    let class = &component.class;
    component.node().refused(match class.starts_with("Rand") {
        true => format!("{class:?} changes images at random, which belongs to training, not to {what}"),
        false => format!("the transform {class:?} is not done here"),
    })
}

/// Which of the keys hold images.
fn of_images(keys: &[String], inputs: &[String]) -> Vec<String> {
    let named: Vec<String> = keys.iter().filter(|key| inputs.contains(key)).cloned().collect();
    let rest: Vec<String> = keys.iter().filter(|key| !NO_IMAGES.contains(&key.as_str())).cloned().collect();
    match (named.is_empty(), rest.is_empty()) {
        (false, _) => named,
        (_, false) => rest,
        _ => keys.to_vec(),
    }
}

/// Several images become the channels of one.
fn join(component: &Component<'_>, images: &mut Vec<String>, before: &mut Before) -> Result<(), WeightsError> {
    let keys = keys(component)?;
    component.ignore(&["allow_missing_keys"]);
    component.only("dim", &[json!(0)])?;
    let name = component.read::<String>("name")?;
    let name = component.needed("name", name)?;
    component.finish()?;
    if images.iter().any(|image| !keys.contains(image)) || keys.iter().any(|key| !images.contains(key)) {
        return Err(component.bad("keys", format_args!("{} are not the images {}", keys.join(", "), images.join(", "))));
    }
    before.joined = keys;
    *images = vec![name];
    Ok(())
}

fn step(
    c: &Component<'_>,
    name: &str,
    images: &[String],
    release: MonaiRelease,
) -> Result<Option<Value>, WeightsError> {
    c.ignore(&["keys", "allow_missing_keys", "lazy"]);
    let arguments = match name {
        "LoadImage" => {
            c.ignore(&READING);
            c.only("reverse_indexing", &[json!(false)])?;
            c.ignore(&[
                "squeeze_non_spatial_dims",
                "as_closest_canonical",
                "series_meta",
                "series_name",
                "affine_lps_to_ras",
            ]);
            c.only("as_closest_canonical", &[json!(false)])?;
            return Ok(None);
        }
        "EnsureChannelFirst" | "AddChannel" | "AsChannelFirst" => {
            c.ignore(&READING);
            return Ok(None);
        }
        "EnsureType" | "ToTensor" | "ToNumpy" | "ToDevice" | "CastToType" => {
            c.ignore(&KEEPING);
            let types = ["float32", "float64", "float", "double"].map(Value::from);
            c.only("dtype", &types)?;
            return Ok(None);
        }
        "Identity" => return Ok(None),
        "DataStats" | "SelectItems" | "DeleteItems" | "CopyItems" => {
            if let Some(map) = c.node().value.as_object() {
                c.ignore(&map.keys().map(String::as_str).collect::<Vec<_>>());
            }
            return Ok(None);
        }
        "Orientation" => orientation(c)?,
        "Spacing" => spacing(c)?,
        "ScaleIntensityRange" => scale_intensity_range(c)?,
        "ScaleIntensity" => scale_intensity(c)?,
        "NormalizeIntensity" => normalize_intensity(c)?,
        "CropForeground" => crop_foreground(c, images, release)?,
        "Resize" => resize(c)?,
        _ => return Err(unknown(c, "preprocessing")),
    };
    let mut object = Map::from_iter([("transform".to_owned(), json!(name))]);
    if let Value::Object(arguments) = arguments {
        object.extend(arguments);
    }
    Ok(Some(object.into()))
}

fn orientation(c: &Component<'_>) -> Result<Value, WeightsError> {
    let usual = [json!([["L", "R"], ["P", "A"], ["I", "S"]])];
    c.ignore(&["labels"]);
    if let Some(labels) = c.value("labels")?
        && !usual.contains(&labels)
    {
        return Err(c.bad("labels", "only the usual names of the axes are known here"));
    }
    if c.flag("as_closest_canonical", false)? {
        c.ignore(&["axcodes"]);
        return Ok(json!({"axcodes": "RAS"}));
    }
    let codes = match c.value("axcodes")? {
        Some(Value::String(codes)) => Some(codes),
        Some(Value::Array(codes)) => Some(codes.iter().filter_map(Value::as_str).collect()),
        Some(other) => return Err(c.bad("axcodes", format_args!("axis codes such as RAS are needed, not {other}"))),
        None => None,
    };
    Ok(json!({"axcodes": c.needed("axcodes", codes)?.to_uppercase()}))
}

fn spacing(c: &Component<'_>) -> Result<Value, WeightsError> {
    let pixdim = match c.value("pixdim")? {
        Some(Value::Array(list)) => Some(list),
        Some(one) => Some(vec![one]),
        None => None,
    };
    let pixdim = c.needed("pixdim", pixdim)?;
    let mm: Option<Vec<f64>> = pixdim.iter().take(3).map(Value::as_f64).collect();
    let mm = mm.filter(|mm| !mm.is_empty()).ok_or_else(|| c.bad("pixdim", "lengths in mm are needed"))?;
    let last = mm.last().copied().unwrap_or(1.0);
    // What is not above 0 leaves the axis its own.
    let length = |axis: usize| Some(mm.get(axis).copied().unwrap_or(last)).filter(|mm| *mm > 0.0).unwrap_or(OWN);
    let pixdim: Vec<f64> = (0..3).map(length).collect();
    c.only("diagonal", &[json!(false)])?;
    c.only("padding_mode", &[json!("border"), json!("zeros")])?;
    let padding = c.read_each::<String>("padding_mode")?.filter(|mode| mode != "border");
    c.only("scale_extent", &[json!(false)])?;
    c.only("min_pixdim", &[])?;
    c.only("max_pixdim", &[])?;
    // The same affine is turned into normalised coordinates and back, so that its convention does not show.
    c.ignore(&[
        "align_corners",
        "dtype",
        "recompute_affine",
        "ensure_same_shape",
        "image_only",
        "meta_keys",
        "meta_key_postfix",
    ]);
    c.only("mode", &[json!("bilinear"), json!("nearest")])?;
    let mode = c.read_each::<String>("mode")?.unwrap_or_else(|| "bilinear".to_owned());
    let mut made = json!({"pixdim": pixdim, "mode": mode});
    if let Some(padding) = padding {
        made["padding_mode"] = json!(padding);
    }
    Ok(made)
}

fn scale_intensity_range(c: &Component<'_>) -> Result<Value, WeightsError> {
    let number = |name: &str| c.read_each::<f64>(name);
    c.ignore(&["dtype"]);
    let (a_min, a_max) = (c.needed("a_min", number("a_min")?)?, c.needed("a_max", number("a_max")?)?);
    let clip = c.flag("clip", false)?;
    match (number("b_min")?, number("b_max")?) {
        (Some(b_min), Some(b_max)) => {
            Ok(json!({"a_min": a_min, "a_max": a_max, "b_min": b_min, "b_max": b_max, "clip": clip}))
        }
        (None, None) => Ok(json!({"a_min": a_min, "a_max": a_max, "b_min": 0.0, "b_max": 1.0, "clip": false})),
        _ => Err(c.bad("b_min", "b_min and b_max are needed together, or neither")),
    }
}

fn scale_intensity(c: &Component<'_>) -> Result<Value, WeightsError> {
    c.ignore(&["dtype", "factor", "minv", "maxv"]);
    let bound = |name: &str, default: f64| match c.given(name)?.map(|node| node.value) {
        None => Ok(Some(default)),
        Some(Value::Null) => Ok(None),
        Some(_) => c.read_each::<f64>(name),
    };
    let (minv, maxv) = (bound("minv", 0.0)?, bound("maxv", 1.0)?);
    // Without bounds MONAI multiplies by 1 + factor; with one bound the other is null, and nothing is scaled.
    let (Some(minv), Some(maxv)) = (minv, maxv) else {
        return Err(c.bad("minv", "minv and maxv are needed: scaling by a factor is not done here"));
    };
    Ok(json!({"minv": minv, "maxv": maxv, "channel_wise": c.flag("channel_wise", false)?}))
}

fn normalize_intensity(c: &Component<'_>) -> Result<Value, WeightsError> {
    c.ignore(&["dtype"]);
    let mut made = json!({"nonzero": c.flag("nonzero", false)?, "channel_wise": c.flag("channel_wise", false)?});
    for name in ["subtrahend", "divisor"] {
        if let Some(value) = c.value(name)? {
            let numbers = value.is_number() || value.as_array().is_some_and(|list| list.iter().all(Value::is_number));
            if !numbers {
                return Err(c.bad(name, format_args!("a number or a list of one per channel is needed, not {value}")));
            }
            made[name] = value;
        }
    }
    Ok(made)
}

fn crop_foreground(c: &Component<'_>, images: &[String], release: MonaiRelease) -> Result<Value, WeightsError> {
    c.ignore(&["start_coord_key", "end_coord_key", "return_coords"]);
    if let Some(source) = c.read::<String>("source_key")?
        && !images.contains(&source)
    {
        return Err(c.bad("source_key", format_args!("{source:?} is not the image {}", images.join(", "))));
    }
    c.ignore(&["select_fn"]);
    // The default's form is looked at as it is written: it is a function.
    if let Some(text) = c.node().value.get("select_fn").and_then(Value::as_str) {
        let form: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let default = ["$lambdax:x>0", "$lambdaimg:img>0", "$monai.transforms.utils.is_positive", "$is_positive"];
        if !default.contains(&form.as_str()) {
            return Err(c.bad("select_fn", format_args!("{text:?} is code, which is not run; only x > 0 is done here")));
        }
    }
    c.only("channel_indices", &[])?;
    let margin = c.axes::<usize>("margin")?.unwrap_or([0; 3]);
    let k_divisible = c.axes::<usize>("k_divisible")?.unwrap_or([1; 3]);
    let allow_smaller = c.flag("allow_smaller", release.crops_within())?;
    // What is beyond the image is only seen where the box reaches there.
    if (margin != [0; 3] && !allow_smaller) || k_divisible != [1; 3] {
        c.only("mode", &[json!("constant")])?;
        c.only("value", &[json!(0), json!(0.0)])?;
        c.only("constant_values", &[json!(0), json!(0.0)])?;
    } else {
        c.ignore(&["mode", "value", "constant_values"]);
    }
    Ok(json!({"margin": margin, "k_divisible": k_divisible, "allow_smaller": allow_smaller}))
}

fn resize(c: &Component<'_>) -> Result<Value, WeightsError> {
    c.ignore(&["dtype", "anti_aliasing_sigma"]);
    let size = c.axes::<usize>("spatial_size")?;
    let size = c.needed("spatial_size", size)?;
    c.only("size_mode", &[json!("all")])?;
    c.only("anti_aliasing", &[json!(false)])?;
    let mode = c.read_each::<String>("mode")?.unwrap_or_else(|| "area".to_owned());
    let mode = match mode.as_str() {
        "trilinear" | "area" | "nearest" => mode,
        "linear" | "bilinear" => "trilinear".to_owned(),
        other => return Err(c.bad("mode", format_args!("{other:?} is not done here, only area, trilinear or nearest"))),
    };
    match mode.as_str() {
        "trilinear" => c.only("align_corners", &[json!(false)])?,
        _ => c.ignore(&["align_corners"]),
    }
    Ok(json!({"spatial_size": size, "mode": mode}))
}
