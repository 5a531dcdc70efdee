//! What a checkpoint says besides its tensors: numbers, texts, lists and dictionaries of its pickle. Nothing is called; whatever a
//! class or a function would make is one value of no content.
//!
//! The pickle has passed [`super::pickle::check`], which bounds its opcodes and what they copy.
//!
//! # Source
//! The opcodes are described in CPython's `Lib/pickletools.py`.

use std::collections::HashMap;

use super::super::error::WeightsError;

/// A value that is plain data.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A list, a tuple or a set.
    List(Vec<Plain>),
    /// Entries whose keys are texts.
    Dict(Vec<(String, Plain)>),
    /// Anything else.
    Other,
}

impl Plain {
    /// The entry of a dictionary.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A value while the pickle is read: containers are filled after they are made, and may be shared.
enum Node {
    Leaf(Plain),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
}

/// Deepest nesting that is followed; what lies deeper is [`Plain::Other`].
const MAX_DEPTH: usize = 24;
/// Values that are given at most: shared ones count each time they are met.
const MAX_VALUES: usize = 1 << 20;

struct Machine<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

/// The plain data of one pickle.
pub(super) fn read(pickle: &[u8]) -> Result<Plain, WeightsError> {
    let mut machine =
        Machine { rest: pickle, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    while let Some(more) = machine.step() {
        if !more {
            let root = machine.stack.last().copied().unwrap_or(usize::MAX);
            let mut left = MAX_VALUES;
            return Ok(machine.value(root, 0, &mut left));
        }
    }
    Err(WeightsError::checkpoint("its pickle ends before its end, or has an instruction that is not known"))
}

impl<'a> Machine<'a> {
    /// Runs one opcode: `Some(false)` after the last, `None` where the pickle is broken.
    fn step(&mut self) -> Option<bool> {
        let opcode = *self.take(1)?.first()?;
        match opcode {
            b'.' => return Some(false),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.stack.pop()),
            b'1' => drop(self.above_mark()?),
            b'2' => self.stack.push(*self.stack.last()?),
            b'g' | b'h' | b'j' => {
                let index = self.index(opcode)?;
                self.stack.push(*self.memo.get(&index)?);
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let index = if opcode == 0x94 { self.memo.len() as u64 } else { self.index(opcode)? };
                self.memo.insert(index, *self.stack.last()?);
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            b't' | b'l' | b'd' | 0x91 | 0x85..=0x87 => self.collect(opcode)?,
            b'c' => {
                self.line()?;
                self.line()?;
                self.push(Node::Leaf(Plain::Other));
            }
            b'P' => {
                self.line()?;
                self.push(Node::Leaf(Plain::Other));
            }
            // What is called, built or looked up takes its arguments off the stack.
            b'Q' => self.call(1)?,
            0x93 | b'R' | 0x81 => self.call(2)?,
            0x92 => self.call(3)?,
            b'b' => drop(self.stack.pop()?),
            _ => self.scalar(opcode)?,
        }
        Some(true)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn counted(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number(bytes)?).ok()?;
        self.take(count)
    }

    fn line(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(line).ok().map(str::trim_end)
    }

    fn index(&mut self, opcode: u8) -> Option<u64> {
        match opcode {
            b'g' | b'p' => self.line()?.parse().ok(),
            b'h' | b'q' => self.number(1),
            _ => self.number(4),
        }
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn above_mark(&mut self) -> Option<Vec<usize>> {
        let mark = self.marks.pop()?;
        Some(self.stack.split_off(mark.min(self.stack.len())))
    }

    /// Opcodes that put items into the container below them.
    fn fill(&mut self, opcode: u8) -> Option<()> {
        let items = match opcode {
            b'a' => vec![self.stack.pop()?],
            b's' => {
                let value = self.stack.pop()?;
                vec![self.stack.pop()?, value]
            }
            _ => self.above_mark()?,
        };
        let onto = *self.stack.last()?;
        match self.nodes.get_mut(onto)? {
            Node::List(list) => list.extend(items),
            Node::Dict(entries) => {
                entries.extend(items.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))));
            }
            Node::Leaf(_) => {}
        }
        Some(())
    }

    /// Opcodes that make a container of what lies on the stack.
    fn collect(&mut self, opcode: u8) -> Option<()> {
        let items = match opcode {
            0x85..=0x87 => self.stack.split_off(self.stack.len().checked_sub(usize::from(opcode - 0x84))?),
            _ => self.above_mark()?,
        };
        let node = match opcode {
            b'd' => Node::Dict(items.chunks_exact(2).filter_map(|p| Some((*p.first()?, *p.last()?))).collect()),
            _ => Node::List(items),
        };
        self.push(node);
        Some(())
    }

    fn call(&mut self, arguments: usize) -> Option<()> {
        self.stack.truncate(self.stack.len().checked_sub(arguments)?);
        self.push(Node::Leaf(Plain::Other));
        Some(())
    }

    fn scalar(&mut self, opcode: u8) -> Option<()> {
        let text = |bytes: &[u8]| Plain::Text(String::from_utf8_lossy(bytes).into_owned());
        let int = |value: u64| Plain::Int(value as i64);
        let leaf = match opcode {
            b'N' => Plain::Null,
            0x88 => Plain::Bool(true),
            0x89 => Plain::Bool(false),
            b')' | b']' | 0x8f => {
                self.push(Node::List(Vec::new()));
                return Some(());
            }
            b'}' => {
                self.push(Node::Dict(Vec::new()));
                return Some(());
            }
            b'I' => match self.line()? {
                "00" => Plain::Bool(false),
                "01" => Plain::Bool(true),
                number => number.parse().map_or(Plain::Other, Plain::Int),
            },
            b'L' => self.line()?.trim_end_matches('L').parse().map_or(Plain::Other, Plain::Int),
            b'F' => self.line()?.parse().map_or(Plain::Other, Plain::Float),
            b'V' => text(self.line()?.as_bytes()),
            b'K' => int(self.number(1)?),
            b'M' => int(self.number(2)?),
            b'J' => Plain::Int(i64::from(self.number(4)? as u32 as i32)),
            b'G' => Plain::Float(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            0x8a => {
                let bytes = self.counted(1)?;
                match bytes {
                    [] => Plain::Int(0),
                    [.., last] if bytes.len() <= 8 => {
                        let fill = if last & 0x80 == 0 { 0 } else { u64::MAX };
                        int(bytes.iter().rev().fold(fill, |number, byte| number << 8 | u64::from(*byte)))
                    }
                    _ => Plain::Other,
                }
            }
            b'U' | 0x8c => text(self.counted(1)?),
            b'T' | b'X' => text(self.counted(4)?),
            0x8d => text(self.counted(8)?),
            b'C' => self.counted(1).map(|_| Plain::Other)?,
            b'B' | 0x8b => self.counted(4).map(|_| Plain::Other)?,
            0x8e | 0x96 => self.counted(8).map(|_| Plain::Other)?,
            _ => return None,
        };
        self.push(Node::Leaf(leaf));
        Some(())
    }

    fn value(&self, node: usize, depth: usize, left: &mut usize) -> Plain {
        *left = left.saturating_sub(1);
        if depth > MAX_DEPTH || *left == 0 {
            return Plain::Other;
        }
        match self.nodes.get(node) {
            None => Plain::Other,
            Some(Node::Leaf(leaf)) => leaf.clone(),
            Some(Node::List(items)) => {
                Plain::List(items.iter().map(|item| self.value(*item, depth + 1, left)).collect())
            }
            Some(Node::Dict(entries)) => Plain::Dict(
                entries
                    .iter()
                    .filter_map(|(key, value)| match self.nodes.get(*key) {
                        Some(Node::Leaf(Plain::Text(key))) => Some((key.clone(), self.value(*value, depth + 1, left))),
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps(value, 2)` of a dictionary with every kind of value, one of them shared and one called.
    #[test]
    fn plain_data_is_read_and_nothing_is_called() {
        let mut bytes = b"\x80\x02}q\x00(".to_vec();
        bytes.extend(b"X\x04\x00\x00\x00axesq\x01K\x00K\x01K\x02\x87q\x02");
        bytes.extend(b"X\x04\x00\x00\x00nameX\x03\x00\x00\x00abc");
        bytes.extend(b"X\x04\x00\x00\x00none");
        bytes.extend(b"N");
        bytes.extend(b"X\x04\x00\x00\x00oncec__main__\nboom\nq\x03)R");
        bytes.extend(b"X\x05\x00\x00\x00again");
        bytes.extend(b"h\x02");
        bytes.extend(b"X\x03\x00\x00\x00low");
        bytes.extend(b"J\xfe\xff\xff\xff");
        bytes.extend(b"X\x03\x00\x00\x00big\x8a\x05\x00\x00\x00\x00\x01");
        bytes.extend(b"X\x04\x00\x00\x00half");
        bytes.extend(b"G\x3f\xe0\x00\x00\x00\x00\x00\x00");
        bytes.extend(b"u.");
        let root = read(&bytes).expect("a pickle");
        let axes = Plain::List(vec![Plain::Int(0), Plain::Int(1), Plain::Int(2)]);
        assert_eq!(root.get("axes"), Some(&axes));
        assert_eq!(root.get("again"), Some(&axes));
        assert_eq!(root.get("name").and_then(Plain::text), Some("abc"));
        assert_eq!((root.get("none"), root.get("once")), (Some(&Plain::Null), Some(&Plain::Other)));
        assert_eq!((root.get("low"), root.get("big")), (Some(&Plain::Int(-2)), Some(&Plain::Int(1 << 32))));
        assert_eq!(root.get("half"), Some(&Plain::Float(0.5)));
        for end in 0..bytes.len() {
            let _ = read(&bytes[..end]);
        }
        // A list that holds itself ends.
        assert!(matches!(read(b"]q\x00h\x00a."), Ok(Plain::List(_))));
    }
}
