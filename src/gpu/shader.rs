//! WGSL sources and their four textual directives.
//!
//! | line | does |
//! | --- | --- |
//! | `#import name` | inserts `shaders/common/name.wgsl`, once per shader |
//! | `#import name 1` | the same with `$t` replaced by 1, once for each such number |
//! | `#if NAME` / `#if !NAME` ... `#else` ... `#end` | keeps a part if the constant or number is (not) zero |
//! | `#unroll i in 0..N` ... `#end` | repeats a part with `$i` replaced; `N` is a number or a constant |
//! | `$(i*4+j)` | a number made of such names, numbers and constants by `+ * / %`, from left to right |
//! | `@binding(#)` | the next binding number, counted from 0 |
//!
//! Constants given by the kernel become `const NAME: u32 = value;` at the head, those whose names end in `_F32` floats of
//! these bits. Inner loops are unrolled here because
//! naga's output gives drivers no hint to do it, and accumulators indexed by a variable end up in memory.

use std::collections::{HashMap, HashSet};

// Every shader file by name, made from the folder when the program is built; those in `shaders/train` only where it can train.
include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// A shader that could not be put together: a fault in this program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("shader {shader}, line {line}: {reason}")]
pub struct ShaderError {
    /// File name without `.wgsl`.
    pub shader: String,
    /// Line in that file, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// The WGSL text of `shader` with these constants.
///
/// # Errors
/// An unknown shader, import or constant, or a directive without its `#end`.
pub fn expand(shader: &str, constants: &[(&'static str, u32)]) -> Result<String, ShaderError> {
    let table: HashMap<&str, u32> = constants.iter().copied().collect();
    let mut expander =
        Expander { shader, constants: &table, imported: HashSet::new(), bindings: 0, out: String::new() };
    for (name, value) in constants {
        expander.out += &match name.strip_suffix("_F32") {
            // The shortest decimal that is read as the same float.
            Some(_) => format!("const {name}: f32 = {:?}f;\n", f32::from_bits(*value)),
            None => format!("const {name}: u32 = {value}u;\n"),
        };
    }
    let source = find(shader).ok_or_else(|| expander.error(0, "no such shader"))?;
    let lines: Vec<(usize, String)> = source.lines().enumerate().map(|(i, l)| (i + 1, l.to_owned())).collect();
    expander.block(&lines)?;
    Ok(expander.out)
}

fn find(name: &str) -> Option<&'static str> {
    SHADERS.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
}

/// Names, numbers and operators.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let operator = |c: char| "+*/%".contains(c);
    text.split_inclusive(operator).flat_map(move |part| {
        let (term, end) = part.split_at(part.len() - usize::from(part.ends_with(operator)));
        [term, end].into_iter().filter(|t| !t.is_empty())
    })
}

/// The value of `1 + 2 * 3 ...`, from left to right; `None` unless every operand is a number.
fn calculate(terms: &[String]) -> Option<u32> {
    let (first, rest) = terms.split_first()?;
    rest.chunks(2).try_fold(first.parse().ok()?, |value: u32, step| {
        let [operator, operand] = step else { return None };
        let operand = operand.parse().ok()?;
        match operator.as_str() {
            "+" => value.checked_add(operand),
            "*" => value.checked_mul(operand),
            "/" => value.checked_div(operand),
            "%" => value.checked_rem(operand),
            _ => None,
        }
    })
}

struct Expander<'a> {
    shader: &'a str,
    constants: &'a HashMap<&'a str, u32>,
    imported: HashSet<String>,
    bindings: u32,
    out: String,
}

type Line = (usize, String);

impl Expander<'_> {
    fn error(&self, line: usize, reason: impl Into<String>) -> ShaderError {
        ShaderError { shader: self.shader.to_owned(), line, reason: reason.into() }
    }

    fn block(&mut self, lines: &[Line]) -> Result<(), ShaderError> {
        let mut at = 0;
        while let Some((number, line)) = lines.get(at) {
            let trimmed = line.trim();
            if let Some(name) = trimmed.strip_prefix("#import ") {
                self.import(*number, name.trim())?;
            } else if let Some(condition) = trimmed.strip_prefix("#if ") {
                let (end, middle) = self.matching_end(lines, at)?;
                let keep = self.condition(*number, condition.trim())?;
                let (from, to) = match (keep, middle) {
                    (true, Some(m)) => (at + 1, m),
                    (true, None) => (at + 1, end),
                    (false, Some(m)) => (m + 1, end),
                    (false, None) => (end, end),
                };
                self.block(&lines[from..to])?;
                at = end;
            } else if let Some(header) = trimmed.strip_prefix("#unroll ") {
                let (end, _) = self.matching_end(lines, at)?;
                self.unroll(*number, header, &lines[at + 1..end])?;
                at = end;
            } else if trimmed.starts_with('#') {
                return Err(self.error(*number, format!("unknown directive '{trimmed}'")));
            } else {
                self.text(line);
            }
            at += 1;
        }
        Ok(())
    }

    fn text(&mut self, line: &str) {
        if line.contains("@binding(#)") {
            let numbered = line.replacen("@binding(#)", &format!("@binding({})", self.bindings), 1);
            self.bindings += 1;
            self.out += &numbered;
        } else {
            self.out += line;
        }
        self.out.push('\n');
    }

    fn import(&mut self, line: usize, what: &str) -> Result<(), ShaderError> {
        if !self.imported.insert(what.to_owned()) {
            return Ok(());
        }
        let (name, number) = what.split_once(' ').unwrap_or((what, ""));
        let source =
            find(&format!("common/{name}")).ok_or_else(|| self.error(line, format!("no shader common/{name}")))?;
        let lines: Vec<Line> = source
            .lines()
            .map(|l| (line, if number.is_empty() { l.to_owned() } else { l.replace("$t", number) }))
            .collect();
        self.block(&lines)
    }

    fn condition(&self, line: usize, text: &str) -> Result<bool, ShaderError> {
        let (name, negated) = match text.strip_prefix('!') {
            Some(name) => (name, true),
            None => (text, false),
        };
        Ok((self.value(line, name)? != 0) != negated)
    }

    fn value(&self, line: usize, name: &str) -> Result<u32, ShaderError> {
        name.parse()
            .ok()
            .or_else(|| self.constants.get(name).copied())
            .ok_or_else(|| self.error(line, format!("constant '{name}' was not given")))
    }

    fn unroll(&mut self, line: usize, header: &str, body: &[Line]) -> Result<(), ShaderError> {
        let parsed = header.split_once(" in 0..").map(|(name, bound)| (name.trim(), bound.trim()));
        let Some((name, bound)) = parsed else {
            return Err(self.error(line, "expected '#unroll i in 0..N'"));
        };
        let placeholder = format!("${name}");
        for i in 0..self.value(line, bound)? {
            let number = i.to_string();
            let copy: Vec<Line> = body
                .iter()
                .map(|(n, l)| (*n, self.calculated(l, name, &number).replace(&placeholder, &number)))
                .collect();
            self.block(&copy)?;
        }
        Ok(())
    }

    /// `line` with `number` for `name` in every `$(...)`, and those that hold numbers alone by then calculated.
    fn calculated(&self, line: &str, name: &str, number: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("$(") {
            let Some((inside, tail)) = after.split_once(')') else {
                break;
            };
            let terms: Vec<String> = terms(inside)
                .map(|term| match self.constants.get(term) {
                    _ if term == name => number.to_owned(),
                    Some(value) => value.to_string(),
                    None => term.to_owned(),
                })
                .collect();
            out += before;
            match calculate(&terms) {
                Some(value) => out += &value.to_string(),
                None => out = out + "$(" + &terms.concat() + ")",
            }
            rest = tail;
        }
        out + rest
    }

    /// The `#end` of the directive at `start`, and its own `#else` if it has one.
    fn matching_end(&self, lines: &[Line], start: usize) -> Result<(usize, Option<usize>), ShaderError> {
        let (mut depth, mut middle) = (0usize, None);
        for (i, (_, line)) in lines.iter().enumerate().skip(start) {
            let trimmed = line.trim();
            if trimmed.starts_with("#if ") || trimmed.starts_with("#unroll ") {
                depth += 1;
            } else if trimmed == "#else" && depth == 1 {
                middle = Some(i);
            } else if trimmed == "#end" {
                depth -= 1;
                if depth == 0 {
                    return Ok((i, middle));
                }
            }
        }
        Err(self.error(lines[start].0, "no #end"))
    }
}
