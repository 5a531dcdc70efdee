//! A bundle's configuration: names, references and macros followed, and expressions read by their form.
//!
//! | written | means |
//! | --- | --- |
//! | `@a::b`, `@a#b` | the value `b` of `a` |
//! | `@#b`, `@##b` | counted from where it stands: beside it, one level up |
//! | `%a::b`, `%file.yaml::a` | the text that stands there, here or in another file of the bundle |
//! | `$...` | a Python expression: read where its form is known ([`super::expression`]), never run |
//! | `_disabled_` | a component that is left out |
//!
//! Nothing is looked at before it is asked for, so that what inference does not need may be anything. Hops, depth and work are
//! bounded. Source: `monai/bundle/config_parser.py`, `reference_resolver.py` (1.6.1).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::super::error::WeightsError;
use super::super::files::FileSet;
use super::expression::{self, Expr, reference};
use super::operators;
use super::yaml;
use crate::fields::json::parse_object;

/// References that lead to references at most.
const MAX_HOPS: usize = 64;
/// Values within each other at most, references counted.
const MAX_DEPTH: usize = 120;
/// Values looked at, at most.
const MAX_WORK: usize = 4_000_000;
/// The package file, in words.
const PACKAGE: &str = "in the package file of the import";

/// A bundle's configuration.
pub(super) struct Config<'f> {
    files: &'f FileSet,
    /// The file that it stands in.
    pub file: String,
    root: Value,
    others: RefCell<BTreeMap<String, Value>>,
    depth: Cell<usize>,
    work: Cell<usize>,
}

/// A value of the configuration, what leads to another followed.
#[derive(Clone)]
pub(super) struct Node<'c> {
    config: &'c Config<'c>,
    /// Where it stands.
    pub id: String,
    pub value: Value,
    /// The package's field that takes its place.
    pub instead: &'static str,
}

impl<'f> Config<'f> {
    /// Reads `file`, with `metadata` under `_meta_`. The bundle's root is the root of the files, whatever the file says.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(files: &'f FileSet, file: &str, metadata: &Map<String, Value>) -> Result<Self, WeightsError> {
        let mut root = object(files, file)?;
        root.insert("_meta_".into(), metadata.clone().into());
        root.insert("bundle_root".into(), ".".into());
        let mut root = Value::Object(root);
        absolute(&mut root, &mut Vec::new()).map_err(|problem| WeightsError::file(file, problem))?;
        let file = file.to_owned();
        Ok(Self { files, file, root, others: RefCell::default(), depth: Cell::new(0), work: Cell::new(0) })
    }

    /// The value of this id, followed; `None` where there is none. `instead` is the package's field that takes its place.
    ///
    /// # Errors
    /// It leads to nothing, or to what cannot be read.
    pub fn get(&'f self, id: &str, instead: &'static str) -> Result<Option<Node<'f>>, WeightsError> {
        let top = Node { config: self, id: String::new(), value: Value::Null, instead };
        top.look_up(id)
    }

    fn spend(&self, work: usize) -> Result<(), String> {
        self.work.set(self.work.get().saturating_add(work));
        match self.work.get() > MAX_WORK {
            true => Err("its references repeat each other without end".to_owned()),
            false => Ok(()),
        }
    }

    /// One level deeper, until what is returned goes.
    fn deeper(&self) -> Result<Level<'_>, Trouble> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(Trouble::Told("it refers to itself, or lies too deep".to_owned()));
        }
        self.depth.set(self.depth.get() + 1);
        Ok(Level(&self.depth))
    }

    /// What stands at an id, not followed at its end.
    fn raw(&self, id: &str) -> Result<Value, Trouble> {
        let parts: Vec<&str> = id.split("::").take(MAX_DEPTH).collect();
        self.descend(&self.root, &parts, id)
    }

    fn descend(&self, from: &Value, parts: &[&str], id: &str) -> Result<Value, Trouble> {
        let missing = || Trouble::Told(format!("@{id} leads to nothing"));
        let Some((part, rest)) = parts.split_first() else {
            self.spend(count(from)).map_err(Trouble::Told)?;
            return Ok(from.clone());
        };
        if !from.is_string() {
            return self.descend(below(from, part).ok_or_else(missing)?, rest, id);
        }
        // A value that leads elsewhere is followed on the way.
        let _level = self.deeper()?;
        let held = self.follow(from.clone())?;
        self.descend(below(&held, part).ok_or_else(missing)?, rest, id)
    }

    /// What a value leads to, over references, macros and expressions.
    fn follow(&self, mut value: Value) -> Result<Value, Trouble> {
        for _ in 0..MAX_HOPS {
            let Value::String(text) = &value else { return Ok(value) };
            value = match text.split_at_checked(1) {
                Some(("@", id)) if reference(id) == id && !id.is_empty() => self.raw(&id.replace('#', "::"))?,
                Some(("%", macro_id)) => self.macro_of(macro_id)?,
                Some(("$", source)) => {
                    let unknown = || Trouble::Expression(text.clone());
                    let expr = expression::parse(source).ok_or_else(unknown)?;
                    match self.value_of(&expr) {
                        Err(Trouble::Expression(_)) => return Err(unknown()),
                        // What an expression makes is no reference, whatever it begins with.
                        Ok(Value::String(made))
                            if made.starts_with(['@', '%', '$']) && !matches!(expr, Expr::Reference(_)) =>
                        {
                            return Err(unknown());
                        }
                        other => other?,
                    }
                }
                _ => return Ok(value),
            };
            self.spend(1).map_err(Trouble::Told)?;
        }
        Err(Trouble::Told("it refers to itself".to_owned()))
    }

    /// The text of a macro, from this file or another.
    fn macro_of(&self, text: &str) -> Result<Value, Trouble> {
        let text = text.replace('#', "::");
        let ends = [".json", ".yaml", ".yml"].iter().filter_map(|end| Some(text.rfind(end)? + end.len())).max();
        let Some(end) = ends else { return self.raw(&text) };
        let (path, id) = (&text[..end], text[end..].trim_start_matches("::"));
        let path =
            self.file_of(path).ok_or_else(|| Trouble::Told(format!("%{text}: the bundle has no file {path}")))?;
        if !self.others.borrow().contains_key(&path) {
            let mut root = Value::Object(object(self.files, &path).map_err(|e| Trouble::Told(e.to_string()))?);
            absolute(&mut root, &mut Vec::new()).map_err(Trouble::Told)?;
            self.others.borrow_mut().insert(path.clone(), root);
        }
        let others = self.others.borrow();
        let mut value = others.get(&path);
        for part in id.split("::").filter(|part| !part.is_empty()) {
            value = value.and_then(|value| below(value, part));
        }
        let value = value.ok_or_else(|| Trouble::Told(format!("%{text} leads to nothing")))?;
        self.spend(count(value)).map_err(Trouble::Told)?;
        Ok(value.clone())
    }

    /// A file as configurations name it: from the bundle's root, from beside them, or from where the bundle once lay.
    fn file_of(&self, path: &str) -> Option<String> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let candidates = [path.to_owned(), format!("configs/{path}"), format!("configs/{name}")];
        candidates.into_iter().find(|path| self.files.has(path))
    }

    /// What an expression is; [`Trouble::Expression`] where that is not known without running it.
    fn value_of(&self, expr: &Expr) -> Result<Value, Trouble> {
        self.spend(1).map_err(Trouble::Told)?;
        let _level = self.deeper()?;
        self.evaluate(expr)
    }

    fn evaluate(&self, expr: &Expr) -> Result<Value, Trouble> {
        let unknown = || Trouble::Expression(String::new());
        let of = |expr: &Expr| self.value_of(expr);
        Ok(match expr {
            Expr::Value(value) => value.clone(),
            Expr::Reference(id) => self.follow(self.raw(&id.replace('#', "::"))?)?,
            Expr::Name(path) => operators::constant(path).ok_or_else(unknown)?,
            Expr::List(items) => items.iter().map(of).collect::<Result<Vec<_>, _>>()?.into(),
            Expr::Dictionary(pairs) => {
                let pair =
                    |(key, value): &(Expr, Expr)| Ok((of(key)?.as_str().ok_or_else(unknown)?.to_owned(), of(value)?));
                Value::Object(pairs.iter().map(pair).collect::<Result<Map<_, _>, Trouble>>()?)
            }
            Expr::Not(inner) => (!operators::truth(&of(inner)?)).into(),
            Expr::Negative(inner) => operators::binary("-", &0.into(), &of(inner)?).ok_or_else(unknown)?,
            Expr::If { condition, then, otherwise } => {
                of(if operators::truth(&of(condition)?) { then } else { otherwise })?
            }
            Expr::Binary("and", left, right) => {
                let left = of(left)?;
                if operators::truth(&left) { of(right)? } else { left }
            }
            Expr::Binary("or", left, right) => {
                let left = of(left)?;
                if operators::truth(&left) { left } else { of(right)? }
            }
            Expr::Binary(sign, left, right) => {
                let value = operators::binary(sign, &of(left)?, &of(right)?).ok_or_else(unknown)?;
                self.spend(count(&value)).map_err(Trouble::Told)?;
                value
            }
            Expr::Index(from, index) => {
                let (from, index) = (of(from)?, of(index)?);
                let inner = operators::index(&from, &index).ok_or_else(unknown)?;
                self.follow(inner.clone())?
            }
            Expr::Call(callee, arguments) => match callee.as_ref() {
                // A module moved to a device, or set to evaluate, is the same module.
                Expr::Attribute(of_what, name) if matches!(name.as_str(), "to" | "cuda" | "cpu" | "eval" | "float") => {
                    of(of_what)?
                }
                Expr::Name(path) if path == "os.path.exists" || path == "os.path.isfile" => {
                    match arguments.as_slice() {
                        [path] => of(path)?.as_str().is_some_and(|path| self.files.has(path)).into(),
                        _ => return Err(unknown()),
                    }
                }
                Expr::Name(path) if operators::is_known(path) => {
                    let arguments = arguments.iter().map(of).collect::<Result<Vec<_>, _>>()?;
                    operators::call(path, &arguments).ok_or_else(unknown)?
                }
                _ => return Err(unknown()),
            },
            Expr::Attribute(..) => return Err(unknown()),
        })
    }
}

struct Level<'c>(&'c Cell<usize>);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Why a value is not known.
enum Trouble {
    /// It is an expression that would have to be run.
    Expression(String),
    Told(String),
}

impl<'c> Node<'c> {
    /// The error that something is wrong here.
    pub fn wrong(&self, problem: impl std::fmt::Display) -> WeightsError {
        let at = if self.id.is_empty() { String::new() } else { format!("{}: ", self.id) };
        WeightsError::file(&self.config.file, format!("{at}{problem}"))
    }

    /// The same, with the field of the package file that helps.
    pub fn refused(&self, problem: impl std::fmt::Display) -> WeightsError {
        self.wrong(format_args!("{problem}; give {} {PACKAGE}", self.instead))
    }

    fn told(&self, trouble: Trouble) -> WeightsError {
        match trouble {
            Trouble::Told(problem) => self.refused(problem),
            Trouble::Expression(text) => {
                let short: String = text.chars().take(120).collect();
                let more = if short.len() < text.len() { "..." } else { "" };
                self.refused(format_args!("{short:?}{more} is an expression, and none is run"))
            }
        }
    }

    fn at(&self, id: String, value: Value) -> Result<Self, WeightsError> {
        let node = Self { config: self.config, id, value: Value::Null, instead: self.instead };
        let value = self.config.follow(value).map_err(|trouble| node.told(trouble))?;
        Ok(Self { value, ..node })
    }

    fn look_up(&self, id: &str) -> Result<Option<Self>, WeightsError> {
        let mut value = Some(&self.config.root);
        for part in id.split("::") {
            value = value.and_then(|value| below(value, part));
        }
        value.map(|value| self.at(id.to_owned(), value.clone())).transpose()
    }

    /// The same value, for another field of the package.
    #[must_use]
    pub fn for_field(self, instead: &'static str) -> Self {
        Self { instead, ..self }
    }

    /// The value under `key`, followed.
    ///
    /// # Errors
    /// It leads to nothing, or to what cannot be read.
    pub fn child(&self, key: &str) -> Result<Option<Self>, WeightsError> {
        let value = self.value.get(key).cloned();
        value.map(|value| self.at(self.join(key), value)).transpose()
    }

    fn join(&self, key: impl std::fmt::Display) -> String {
        if self.id.is_empty() { key.to_string() } else { format!("{}::{key}", self.id) }
    }

    /// The items of a list, each followed, without components that are disabled.
    ///
    /// # Errors
    /// It is no list, or an item cannot be read.
    pub fn items(&self) -> Result<Vec<Self>, WeightsError> {
        let Value::Array(items) = &self.value else {
            return Err(self.wrong("a list is expected here"));
        };
        let mut nodes = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let node = self.at(self.join(at), item.clone())?;
            if !node.disabled()? {
                nodes.push(node);
            }
        }
        Ok(nodes)
    }

    /// The items of a list, those too that cannot be read or are left out; none where it is no list.
    pub fn parts(&self) -> Vec<Result<Self, WeightsError>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(|(at, item)| self.at(self.join(at), item.clone())).collect()
    }

    /// Whether it is a component that is left out.
    pub fn disabled(&self) -> Result<bool, WeightsError> {
        if self.value.get("_target_").is_none() {
            return Ok(false);
        }
        Ok(match self.child("_disabled_")?.map(|node| node.value) {
            Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("true"),
            Some(other) => operators::truth(&other),
            None => false,
        })
    }

    /// The class that a component names.
    ///
    /// # Errors
    /// It is no text.
    pub fn target(&self) -> Result<Option<String>, WeightsError> {
        match self.child("_target_")?.map(|node| node.value) {
            None => Ok(None),
            Some(Value::String(name)) => Ok(Some(name)),
            Some(other) => Err(self.wrong(format_args!("_target_ must name a class, not {other}"))),
        }
    }

    /// The value with everything in it followed.
    ///
    /// # Errors
    /// A part leads to nothing, or to what cannot be read.
    pub fn whole(&self) -> Result<Value, WeightsError> {
        let _level = self.config.deeper().map_err(|trouble| self.told(trouble))?;
        match &self.value {
            Value::Array(_) => self.items()?.iter().map(Self::whole).collect::<Result<Vec<_>, _>>().map(Value::Array),
            Value::Object(map) => {
                let mut whole = Map::new();
                for key in map.keys() {
                    if let Some(child) = self.child(key)?
                        && !child.disabled()?
                    {
                        whole.insert(key.clone(), child.whole()?);
                    }
                }
                Ok(Value::Object(whole))
            }
            plain => Ok(plain.clone()),
        }
    }
}

/// A configuration file as it stands.
pub(super) fn object(files: &FileSet, path: &str) -> Result<Map<String, Value>, WeightsError> {
    let text = files.text(path)?;
    match path.to_ascii_lowercase().ends_with(".json") {
        true => parse_object("", &text).map_err(|e| WeightsError::file(path, e.to_string())),
        false => yaml::parse(&text).map_err(|problem| WeightsError::file(path, problem)),
    }
}

fn below<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        Value::String(text) => text.len() / 64,
        _ => 0,
    }
}

/// Makes references that are counted from where they stand into those from the root.
fn absolute(value: &mut Value, path: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::String(text) if text.starts_with(['@', '%', '$']) => {
            if let Some(made) = counted(text, path)? {
                *text = made;
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                path.push(at.to_string());
                absolute(item, path)?;
                path.pop();
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                path.push(key.clone());
                absolute(item, path)?;
                path.pop();
            }
        }
        _ => {}
    }
    Ok(())
}

/// `text` with each `@##b` replaced, if there is any.
fn counted(text: &str, path: &[String]) -> Result<Option<String>, String> {
    let mut made = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find(['@', '%']) {
        let (before, from) = rest.split_at(at);
        let (symbol, after) = from.split_at(1);
        let names = after.trim_start_matches(['#', ':']);
        let levels = after[..after.len() - names.len()].replace("::", "#").matches('#').count();
        made.push_str(before);
        made.push_str(symbol);
        if levels > 0 {
            found = true;
            let kept = path.len().checked_sub(levels);
            let kept =
                kept.ok_or_else(|| format!("{}: {text:?} counts more levels than there are", path.join("::")))?;
            for part in &path[..kept] {
                made.push_str(part);
                made.push_str("::");
            }
            rest = names;
        } else {
            rest = after;
        }
    }
    made.push_str(rest);
    Ok(found.then_some(made))
}
