//! What operators, calls and names of known meaning give, as Python does. `None` where it is not known.

use serde_json::{Number, Value};

/// Items of the longest list that is made by repeating.
const MAX_ITEMS: usize = 4096;
/// Types of values, in `torch` and `numpy`.
const TYPES: [&str; 16] = [
    "float16", "float32", "float64", "half", "float", "double", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "long", "int", "short", "bool",
];
/// Enumerations of MONAI whose values are their names in small letters.
const MODES: [&str; 8] = [
    "CommonKeys",
    "BlendMode",
    "GridSampleMode",
    "GridSamplePadMode",
    "InterpolateMode",
    "PytorchPadMode",
    "NumpyPadMode",
    "UpsampleMode",
];

/// Functions whose results follow from their arguments.
const CALLS: [&str; 15] = [
    "len",
    "list",
    "tuple",
    "int",
    "float",
    "str",
    "bool",
    "Path",
    "pathlib.Path",
    "os.path.join",
    "np.array",
    "np.asarray",
    "numpy.array",
    "torch.tensor",
    "torch.as_tensor",
];

/// What Python takes for true.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A name that stands for a value: a type, a member of an enumeration.
pub(super) fn constant(path: &str) -> Option<Value> {
    let (module, name) = path.rsplit_once('.')?;
    if matches!(module, "torch" | "numpy" | "np") && TYPES.contains(&name) {
        return Some(name.into());
    }
    let class = module.rsplit('.').next()?;
    MODES.contains(&class).then(|| name.to_lowercase().replace("nearest_exact", "nearest-exact").into())
}

/// Whether [`call`] knows this function.
pub(super) fn is_known(path: &str) -> bool {
    CALLS.contains(&path)
}

/// A call whose result follows from its arguments.
pub(super) fn call(path: &str, arguments: &[Value]) -> Option<Value> {
    match (path, arguments) {
        ("len", [Value::Array(items)]) => Some(items.len().into()),
        ("len", [Value::Object(map)]) => Some(map.len().into()),
        ("len", [Value::String(text)]) => Some(text.chars().count().into()),
        (
            "list" | "tuple" | "torch.tensor" | "torch.as_tensor" | "np.array" | "numpy.array" | "np.asarray",
            [list, ..],
        ) if list.is_array() => Some(list.clone()),
        ("int", [Value::Number(number)]) => Some((number.as_f64()?.trunc() as i64).into()),
        ("float", [Value::Number(number)]) => Some(Value::Number(Number::from_f64(number.as_f64()?)?)),
        ("str" | "Path" | "pathlib.Path", [text @ Value::String(_)]) => Some(text.clone()),
        ("bool", [value]) => Some(truth(value).into()),
        ("os.path.join", parts) => {
            let parts = parts.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
            Some(parts.join("/").into())
        }
        _ => None,
    }
}

/// An item of a list or dictionary.
pub(super) fn index<'v>(from: &'v Value, index: &Value) -> Option<&'v Value> {
    match (from, index) {
        (Value::Array(items), Value::Number(at)) => {
            let at = at.as_i64()?;
            let at =
                if at < 0 { items.len().checked_sub(usize::try_from(-at).ok()?)? } else { usize::try_from(at).ok()? };
            items.get(at)
        }
        (Value::Object(map), Value::String(key)) => map.get(key),
        _ => None,
    }
}

/// What stands on both sides of a sign.
pub(super) fn binary(sign: &str, left: &Value, right: &Value) -> Option<Value> {
    match (sign, left, right) {
        ("==", l, r) => Some(equal(l, r).into()),
        ("!=", l, r) => Some((!equal(l, r)).into()),
        ("+", Value::String(l), Value::String(r)) => Some(format!("{l}{r}").into()),
        // A path and what lies in it.
        ("/", Value::String(l), Value::String(r)) => Some(format!("{l}/{r}").into()),
        ("+", Value::Array(l), Value::Array(r)) => Some(l.iter().chain(r).cloned().collect()),
        ("*", Value::Array(items), Value::Number(times)) | ("*", Value::Number(times), Value::Array(items)) => {
            let times = usize::try_from(times.as_i64()?.max(0)).ok()?;
            let fits = items.len().checked_mul(times).is_some_and(|length| length <= MAX_ITEMS);
            fits.then(|| std::iter::repeat_n(items, times).flatten().cloned().collect())
        }
        (_, Value::Number(l), Value::Number(r)) => numbers(sign, l, r),
        _ => None,
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => l.as_f64() == r.as_f64(),
        (l, r) => l == r,
    }
}

fn numbers(sign: &str, left: &Number, right: &Number) -> Option<Value> {
    let whole = left.as_i64().zip(right.as_i64());
    let (l, r) = (left.as_f64()?, right.as_f64()?);
    let whole = match (sign, whole) {
        ("+", Some((l, r))) => Some(l.checked_add(r)?),
        ("-", Some((l, r))) => Some(l.checked_sub(r)?),
        ("*", Some((l, r))) => Some(l.checked_mul(r)?),
        ("//", Some((_, 0))) => return None,
        ("//", Some((l, r))) => Some(l.checked_div_euclid(r).filter(|_| r > 0)?),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.into());
    }
    let value = match sign {
        "<" => return Some((l < r).into()),
        "<=" => return Some((l <= r).into()),
        ">" => return Some((l > r).into()),
        ">=" => return Some((l >= r).into()),
        "+" => l + r,
        "-" => l - r,
        "*" => l * r,
        "/" => l / r,
        "//" => (l / r).floor(),
        _ => return None,
    };
    // Division by zero is no number.
    Some(Value::Number(Number::from_f64(value)?))
}
