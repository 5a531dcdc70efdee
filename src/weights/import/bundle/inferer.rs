//! The inferer, as the package's `inference`.

use serde_json::{Map, Value, json};

use super::super::super::error::WeightsError;
use super::component::Component;
use super::config::Node;

/// Arguments that say where and how fast it is done.
const WHERE: [&str; 11] = [
    "sw_batch_size",
    "sw_device",
    "device",
    "progress",
    "cache_roi_weight_map",
    "cpu_thresh",
    "buffer_steps",
    "buffer_dim",
    "keep_nan",
    "condition",
    "process_fn",
];

/// Reads the inferer. `size` is that of the network's input, where the transforms before it fix one; what is in `given` is not
/// looked at.
///
/// # Errors
/// It is none that is done here, or has arguments that would change the result.
pub(super) fn read(
    node: Node<'_>,
    size: Option<[usize; 3]>,
    given: Option<&Map<String, Value>>,
    warnings: &mut Vec<String>,
) -> Result<Map<String, Value>, WeightsError> {
    let c = Component::of(node)?;
    let mut made = Map::new();
    let open = |field: &str, argument: &str| {
        c.ignore(&[argument]);
        given.is_none_or(|given| !given.contains_key(field))
    };
    match c.class.as_str() {
        "SlidingWindowInferer" | "SlidingWindowInfererAdapt" => {
            c.ignore(&WHERE);
            if open("roi_size", "roi_size") {
                let size = c.axes::<i64>("roi_size")?;
                let size = c.needed("roi_size", size)?;
                let size: Option<Vec<u64>> = size.iter().map(|n| u64::try_from(*n).ok().filter(|n| *n > 0)).collect();
                let problem = "three numbers of voxels above 0 are needed here";
                made.insert("roi_size".into(), json!(size.ok_or_else(|| c.bad("roi_size", problem))?));
            }
            c.only("with_coord", &[json!(false)])?;
            if open("overlap", "overlap") {
                made.insert("overlap".into(), json!(same(&c, "overlap")?.unwrap_or(0.25)));
            }
            if open("blend", "mode") {
                c.only("mode", &[json!("constant"), json!("gaussian")])?;
                made.insert("blend".into(), json!(c.read::<String>("mode")?.unwrap_or_else(|| "constant".to_owned())));
            }
            if open("sigma_scale", "sigma_scale") {
                made.insert("sigma_scale".into(), json!(same(&c, "sigma_scale")?.unwrap_or(0.125)));
            }
            c.only("padding_mode", &["constant", "replicate", "reflect", "circular"].map(Value::from))?;
            let padding = c.read::<String>("padding_mode")?.unwrap_or_else(|| "constant".to_owned());
            if padding != "constant" {
                warnings.push(format!(
                    "scans smaller than the window are padded with zeros here, not by padding_mode {padding:?}"
                ));
                c.ignore(&["cval"]);
            } else {
                c.only("cval", &[json!(0), json!(0.0)])?;
            }
        }
        "SimpleInferer" => {
            if !open("roi_size", "roi_size") {
                c.finish()?;
                return Ok(made);
            }
            let Some(size) = size else {
                let problem = "SimpleInferer takes the whole scan as one window, whose size no step fixes";
                return Err(c.node().clone().for_field("inference.roi_size").refused(problem));
            };
            made.extend([
                ("roi_size".into(), json!(size)),
                ("overlap".into(), json!(0.0)),
                ("blend".into(), json!("constant")),
            ]);
        }
        other => return Err(c.node().refused(format_args!("the inferer {other:?} is not done here"))),
    }
    c.finish()?;
    Ok(made)
}

/// A number that is the same along every axis.
fn same(c: &Component<'_>, name: &str) -> Result<Option<f64>, WeightsError> {
    match c.axes::<f64>(name)? {
        Some([x, y, z]) if x != y || y != z => Err(c.bad(name, "it must be the same along every axis here")),
        values => Ok(values.map(|[x, ..]| x)),
    }
}
