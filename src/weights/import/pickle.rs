//! A check of a pickle before it is read: what would it cost, and does it name what only an attack names?
//!
//! A pickle is a program for a stack machine. This walks the program once with sizes in place of values, so its own
//! memory is a few bytes per opcode, and refuses programs that would make a reader hold far more than the pickle's
//! length: many opcodes, deep nesting, large values fetched again and again from the memo, long paths of keys.
//! The stack effects are those of `pytorch-reader`'s machine.
//!
//! # Source
//! The opcodes are described in CPython's `Lib/pickletools.py`.

use std::collections::HashMap;

use super::super::error::{WeightsError, quoted};

/// Largest pickle accepted. That of a UNETR with its optimizer has 0.2 MB; tensors' data is not part of it.
pub(super) const MAX_BYTES: usize = 32 << 20;
/// Most opcodes accepted. A UNETR with its optimizer has 30,000.
const MAX_OPCODES: usize = 1 << 19;
/// Most bytes that fetching from and storing to the memo may copy together.
const MAX_COPIES: u64 = 128 << 20;
/// Most bytes of tensor names, which are paths of keys.
const MAX_NAMES: u64 = 16 << 20;
/// Deepest nesting accepted.
const MAX_DEPTH: u32 = 200;
/// What one value costs a reader beyond its text.
const VALUE_BYTES: u64 = 128;

/// Modules whose functions no checkpoint needs and attacks use.
const HOSTILE_MODULES: [&str; 20] = [
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "commands",
    "shutil",
    "socket",
    "pty",
    "runpy",
    "importlib",
    "imp",
    "ctypes",
    "code",
    "webbrowser",
    "pickle",
    "marshal",
    "asyncio",
    "multiprocessing",
    "pdb",
];
/// Built-in functions of the same kind.
const HOSTILE_BUILTINS: [&str; 8] = ["eval", "exec", "compile", "open", "input", "breakpoint", "__import__", "globals"];

/// Walks one pickle and returns its length including the final opcode.
pub(super) fn check(bytes: &[u8]) -> Result<usize, WeightsError> {
    walk(bytes, |_| {})
}

/// Where two opcodes without arguments follow each other.
pub(super) fn places_of(bytes: &[u8], pair: [u8; 2]) -> Result<Vec<usize>, WeightsError> {
    let mut opcodes = Vec::new();
    walk(bytes, |at| opcodes.push(at))?;
    opcodes.retain(|&at| bytes.get(at..at + 2) == Some(&pair));
    Ok(opcodes)
}

/// Checks a pickle; `visit` hears where each opcode stands.
fn walk(bytes: &[u8], mut visit: impl FnMut(usize)) -> Result<usize, WeightsError> {
    let mut machine = Machine {
        reader: Reader { bytes, at: 0 },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    for _ in 0..MAX_OPCODES {
        visit(machine.reader.at);
        if machine.step()? {
            return Ok(machine.reader.at);
        }
        if machine.reader.at > MAX_BYTES {
            return Err(broken(format!("its pickle is longer than {MAX_BYTES} bytes")));
        }
    }
    Err(broken(format!("its pickle has more than {MAX_OPCODES} instructions")))
}

fn broken(problem: impl AsRef<str>) -> WeightsError {
    WeightsError::checkpoint(problem)
}

/// Bytes of the pickle, read front to back.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], WeightsError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            broken(format!("its pickle wants {length} bytes at {}, beyond its end: truncated?", self.at))
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number of `size` bytes.
    fn number(&mut self, size: u64) -> Result<u64, WeightsError> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Bytes after a length of `size` bytes.
    fn counted(&mut self, size: u64) -> Result<&'a [u8], WeightsError> {
        let length = self.number(size)?;
        self.take(length)
    }

    fn line(&mut self) -> Result<&'a [u8], WeightsError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').map_or(u64::MAX, |length| length as u64);
        let line = self.take(length)?;
        self.at += 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn index(&mut self) -> Result<u64, WeightsError> {
        let line = std::str::from_utf8(self.line()?).ok();
        line.and_then(|line| line.trim().parse().ok())
            .ok_or_else(|| broken("its pickle has a memo index that is no number"))
    }
}

/// What is known of a value: its sizes, and its text if it is a string.
#[derive(Clone, Copy, Default)]
struct Value<'a> {
    /// Bytes a copy of it costs.
    weight: u64,
    /// Its text, for strings.
    text: &'a [u8],
    /// Calls in it, each of which may make a tensor.
    calls: u64,
    /// Bytes of those tensors' names below it.
    names: u64,
    depth: u32,
}

impl<'a> Value<'a> {
    fn text(text: &'a [u8]) -> Self {
        Self { weight: VALUE_BYTES + text.len() as u64, text, ..Self::default() }
    }

    /// Puts `item` into this container under a key of `key` bytes.
    fn insert(&mut self, item: Self, key: u64) -> Result<(), WeightsError> {
        self.weight = self.weight.saturating_add(item.weight);
        self.calls = self.calls.saturating_add(item.calls);
        self.names = self.names.saturating_add(item.names).saturating_add(item.calls.saturating_mul(key + 1));
        self.depth = self.depth.max(item.depth + 1);
        if self.depth > MAX_DEPTH {
            return Err(broken(format!("its pickle nests deeper than {MAX_DEPTH} levels")));
        }
        if self.names > MAX_NAMES {
            return Err(broken(format!("its tensors' names are longer than {MAX_NAMES} bytes together")));
        }
        Ok(())
    }

    fn of(items: impl IntoIterator<Item = Self>) -> Result<Self, WeightsError> {
        let mut container = Self::text(b"");
        for item in items {
            container.insert(item, 8)?;
        }
        Ok(container)
    }
}

struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    copied: u64,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; true after the last.
    fn step(&mut self) -> Result<bool, WeightsError> {
        let opcode = self.reader.take(1)?.first().copied().unwrap_or_default();
        match opcode {
            b'.' => {
                self.pop()?;
                return Ok(true);
            }
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' | b'1' | b'2' => self.stack_operation(opcode)?,
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memo_operation(opcode)?,
            b'a' | b'e' | 0x90 | b's' | b'u' | b't' | b'l' | b'd' | 0x91 | 0x85..=0x87 => self.container(opcode)?,
            b'c' | 0x93 | b'R' | b'b' | 0x81 | 0x92 | b'P' | b'Q' => self.object(opcode)?,
            _ => self.scalar(opcode)?,
        }
        Ok(false)
    }

    fn skip(&mut self, length: u64) -> Result<(), WeightsError> {
        self.reader.take(length).map(|_| ())
    }

    fn pop(&mut self) -> Result<Value<'a>, WeightsError> {
        let above_mark = self.marks.last().is_none_or(|&mark| mark < self.stack.len());
        let value = if above_mark { self.stack.pop() } else { None };
        value.ok_or_else(|| broken("its pickle takes more from its stack than is there"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, WeightsError> {
        let mark = self.marks.pop().ok_or_else(|| broken("its pickle misses a mark on its stack"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn charge(&mut self, value: Value<'a>) -> Result<(), WeightsError> {
        self.copied = self.copied.saturating_add(value.weight);
        if self.copied > MAX_COPIES {
            return Err(broken("its pickle repeats its values until they fill memory"));
        }
        Ok(())
    }

    fn stack_operation(&mut self, opcode: u8) -> Result<(), WeightsError> {
        match opcode {
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            _ => {
                let top = self.pop()?;
                self.charge(top)?;
                self.stack.extend([top, top]);
            }
        }
        Ok(())
    }

    fn memo_operation(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let index = match opcode {
            b'g' | b'p' => self.reader.index()?,
            b'h' | b'q' => self.reader.number(1)?,
            b'j' | b'r' => self.reader.number(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let value = self.memo.get(&index).copied();
            let value =
                value.ok_or_else(|| broken(format!("its pickle fetches value {index}, which it never stored")))?;
            self.charge(value)?;
            self.stack.push(value);
        } else {
            let top = self.pop()?;
            self.charge(top)?;
            self.memo.insert(index, top);
            self.stack.push(top);
        }
        Ok(())
    }

    /// Opcodes that fill a container on the stack or make one of what is there.
    fn container(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items
            }
            _ => self.pop_to_mark()?,
        };
        let mut onto = match opcode {
            b'a' | b'e' | 0x90 | b's' | b'u' => self.pop()?,
            _ => Value::text(b""),
        };
        if matches!(opcode, b's' | b'u' | b'd') {
            for pair in items.chunks(2) {
                let [key, value] = pair else {
                    return Err(broken("its pickle has a key without a value"));
                };
                onto.weight = onto.weight.saturating_add(key.weight);
                onto.insert(*value, 20.max(key.text.len() as u64))?;
            }
        } else {
            for item in items {
                onto.insert(item, 8)?;
            }
        }
        self.stack.push(onto);
        Ok(())
    }

    /// Opcodes that name classes and call them, or would.
    fn object(&mut self, opcode: u8) -> Result<(), WeightsError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                self.class(module, name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                self.class(module.text, name.text)?;
            }
            b'P' => {
                let line = self.reader.line()?;
                self.stack.push(Value::text(line));
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(Value::of([id])?);
            }
            _ => {
                let parts = if opcode == 0x92 { 3 } else { 2 };
                let mut taken = Vec::new();
                for _ in 0..parts {
                    taken.push(self.pop()?);
                }
                let mut built = Value::of(taken)?;
                built.calls = built.calls.saturating_add(1);
                if opcode == b'b' {
                    // The memo's copy is renewed with the state.
                    self.charge(built)?;
                }
                self.stack.push(built);
            }
        }
        Ok(())
    }

    fn class(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<(), WeightsError> {
        let (module_text, name_text) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        let package = module_text.split('.').next().unwrap_or_default();
        let builtin = matches!(package, "builtins" | "__builtin__") && HOSTILE_BUILTINS.contains(&name_text.as_ref());
        if builtin || HOSTILE_MODULES.contains(&package) {
            let shown = quoted(&format!("{module_text}.{name_text}"));
            let problem = format!("its pickle names {shown} and is made to attack who opens it; nothing was run");
            return Err(broken(problem));
        }
        let mut class = Value::text(module);
        class.weight = class.weight.saturating_add(name.len() as u64);
        class.text = b"";
        self.stack.push(class);
        Ok(())
    }

    /// Opcodes that push a value of their own.
    fn scalar(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let value = match opcode {
            b'N' | 0x88 | 0x89 | b')' | b']' | b'}' | 0x8f => b"",
            b'I' | b'L' | b'F' => {
                self.reader.line()?;
                b"".as_slice()
            }
            b'V' => self.reader.line()?,
            b'K' => self.number_of(1)?,
            b'M' => self.number_of(2)?,
            b'J' => self.number_of(4)?,
            b'G' => self.number_of(8)?,
            b'U' | b'C' | 0x8a | 0x8c => self.reader.counted(1)?,
            b'T' | b'X' | b'B' | 0x8b => self.reader.counted(4)?,
            0x8d | 0x8e | 0x96 => self.reader.counted(8)?,
            _ => {
                return Err(broken(format!("its pickle has the unknown instruction 0x{opcode:02x}")));
            }
        };
        self.stack.push(Value::text(value));
        Ok(())
    }

    /// Skips a number, whose text is of no use.
    fn number_of(&mut self, size: u64) -> Result<&'a [u8], WeightsError> {
        self.skip(size)?;
        Ok(b"")
    }
}
