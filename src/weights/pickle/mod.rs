//! Reads a pickle as data: the values become inert nodes, and nothing is ever executed.
//!
//! Classes and functions are no more than their names (`names.rs`), whatever they are.
//! Supports protocols 0 to 5 (the opcodes of Python's `pickletools`).

mod input;
mod names;
mod text;

use super::mapped::Mapped;
use anyhow::{Context, Result, bail, ensure};
use input::Input;
use names::full_name;
pub(super) use names::{is_plain, storage};
use std::collections::HashMap;
use std::ops::Range;
pub(super) use text::Coding;

/// The index of a node.
pub(super) type Id = usize;

/// A value of the pickle. Containers refer to their items by index, so that sharing and cycles are free.
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Str(String, Raw),
    /// Bytes, and text that is longer than any name.
    Bytes(Raw),
    /// A value that is not needed, such as a float.
    Other,
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name such as `torch._utils._rebuild_tensor_v2`.
    Global(String),
    /// `torch.save`'s reference to a storage.
    Persistent(Id),
    /// The result of calling a name with arguments, with the `items` set on it and the `state` of its BUILD
    /// opcode.
    Call {
        callee: Id,
        args: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
}

/// Where text or bytes are in the file, and how they are written there.
#[derive(Clone)]
pub(super) struct Raw {
    pub range: Range<usize>,
    pub coding: Coding,
}

/// A whole pickle.
pub(super) struct Pickle {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// Where it ends in the file: legacy files have several consecutive pickles.
    pub end: usize,
}

/// More opcodes than any checkpoint has (a tensor takes about forty). Every opcode takes a bounded amount of
/// memory besides its text, so this bounds the memory that a hostile file can take.
const MAX_OPCODES: usize = 5_000_000;
/// Names and keys are shorter.
const MAX_TEXT: usize = 4096;

/// Reads the pickle at the beginning of a part of a file.
///
/// # Errors
/// An opcode out of place, or a truncated pickle; the message has the byte offset.
pub(super) fn read(file: &Mapped, range: Range<usize>) -> Result<Pickle> {
    let start = range.start;
    let input = Input::new(file, range);
    let mut machine =
        Machine { input, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    for _ in 0..MAX_OPCODES {
        let at = machine.input.at - start;
        if let Some(root) = machine.step().with_context(|| format!("pickle, byte {at}"))? {
            return Ok(Pickle { nodes: machine.nodes, root, end: machine.input.at });
        }
    }
    bail!("a pickle of more than {MAX_OPCODES} opcodes is not a state_dict")
}

struct Machine<'a> {
    input: Input<'a>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    /// Interprets one opcode; returns the root at the end of the pickle.
    fn step(&mut self) -> Result<Option<Id>> {
        let opcode = self.input.u8()?;
        match opcode {
            0x80 => ensure!(self.input.u8()? <= 5, "pickle protocols above 5 are not supported"),
            0x95 => {
                self.input.skip(8)?;
            }
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.stack.len() == self.floor() => drop(self.pop_mark()?),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // Constants.
            b'N' => self.push(Node::None),
            0x88 | 0x89 => self.push(Node::Bool(opcode == 0x88)),
            b'K' => {
                let n = self.input.u8()?;
                self.push(Node::Int(n.into()))
            }
            b'M' => {
                let n = self.input.u16()?;
                self.push(Node::Int(n.into()))
            }
            b'J' => {
                let n = i32::from_le_bytes(self.input.array()?);
                self.push(Node::Int(n.into()))
            }
            0x8a => {
                let n = self.input.len8()?;
                self.long(n)?
            }
            0x8b => {
                let n = self.input.len32()?;
                self.long(n)?
            }
            b'I' => match self.word()?.as_str() {
                "00" => self.push(Node::Bool(false)),
                "01" => self.push(Node::Bool(true)),
                text => {
                    let n = text.parse().context("not an integer")?;
                    self.push(Node::Int(n))
                }
            },
            // Integers of any length, most of them short.
            b'L' => {
                let n = self.word()?.trim_end_matches('L').parse().map_or(Node::Other, Node::Int);
                self.push(n)
            }
            b'F' => {
                self.input.line()?;
                self.push(Node::Other)
            }
            b'G' => {
                self.input.skip(8)?;
                self.push(Node::Other)
            }
            // Text and bytes.
            0x8c => {
                let n = self.input.len8()?;
                self.text(n, Coding::Utf8)?
            }
            b'X' => {
                let n = self.input.len32()?;
                self.text(n, Coding::Utf8)?
            }
            0x8d => {
                let n = self.input.len64()?;
                self.text(n, Coding::Utf8)?
            }
            b'V' => {
                let range = self.input.line()?;
                self.push_text(range, Coding::Unicode)?
            }
            b'S' => {
                let range = self.input.line()?;
                self.push_text(range, Coding::Quoted)?
            }
            // Python 2's byte strings, which hold text or bytes.
            b'U' => {
                let n = self.input.len8()?;
                self.text(n, Coding::Plain)?
            }
            b'T' => {
                let n = self.input.len32()?;
                self.text(n, Coding::Plain)?
            }
            b'C' => {
                let n = self.input.len8()?;
                self.bytes(n)?
            }
            b'B' => {
                let n = self.input.len32()?;
                self.bytes(n)?
            }
            0x8e | 0x96 => {
                let n = self.input.len64()?;
                self.bytes(n)?
            }
            // Containers.
            b'}' => self.push(Node::Dict(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).context("too few items for a tuple")?;
                let items = self.stack.split_off(from);
                self.push(Node::Tuple(items))
            }
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push(Node::Dict(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)?
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![(key, value)])?
            }
            b'u' => {
                let items = pairs(self.pop_mark()?)?;
                self.insert(items)?
            }
            // The memo.
            b'q' => {
                let key = self.input.len8()? as u64;
                self.remember(key)?
            }
            b'r' => {
                let key = self.input.len32()? as u64;
                self.remember(key)?
            }
            b'p' => {
                let key = self.word()?.parse().context("not a memo key")?;
                self.remember(key)?
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.input.len8()? as u64;
                self.recall(key)?
            }
            b'j' => {
                let key = self.input.len32()? as u64;
                self.recall(key)?
            }
            b'g' => {
                let key = self.word()?.parse().context("not a memo key")?;
                self.recall(key)?
            }
            // Names and calls.
            b'c' => self.global()?,
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let full = match (&self.nodes[module], &self.nodes[name]) {
                    (Node::Str(module, _), Node::Str(name, _)) => full_name(module, name)?,
                    (Node::Bytes(raw), _) | (_, Node::Bytes(raw)) => {
                        bail!("a name of {} bytes is too long", raw.range.len())
                    }
                    _ => bail!("a name is not text"),
                };
                self.push(Node::Global(full))
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)
            }
            0x92 => {
                let (_keywords, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, args)
            }
            b'i' => {
                self.global()?;
                let callee = self.pop()?;
                let items = self.pop_mark()?;
                self.instance(callee, items)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                ensure!(!items.is_empty(), "an instance without its class");
                let callee = items.remove(0);
                self.instance(callee, items)
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                if let Node::Call { state: slot, .. } = &mut self.nodes[target] {
                    *slot = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))
            }
            b'P' => {
                let text = self.word()?;
                self.printed(&text);
                let id = self.pop()?;
                self.push(Node::Persistent(id))
            }
            // Numbers of classes that both sides agreed on; buffers that are elsewhere.
            0x82..=0x84 => {
                self.input.skip(1 << (opcode - 0x82))?;
                self.push(Node::Other)
            }
            0x97 => self.push(Node::Other),
            0x98 => {}
            other => bail!("opcode 0x{other:02x} is not known"),
        }
        Ok(None)
    }

    /// A line of a number or a name.
    fn word(&mut self) -> Result<String> {
        let range = self.input.line()?;
        ensure!(range.len() <= MAX_TEXT, "a line of {} bytes is too long", range.len());
        String::from_utf8(self.input.copy(range)?).context("a line is not UTF-8")
    }

    fn global(&mut self) -> Result<()> {
        let full = full_name(&self.word()?, &self.word()?)?;
        self.push(Node::Global(full));
        Ok(())
    }

    fn text(&mut self, n: usize, coding: Coding) -> Result<()> {
        let range = self.input.skip(n)?;
        self.push_text(range, coding)
    }

    fn push_text(&mut self, range: Range<usize>, coding: Coding) -> Result<()> {
        let raw = Raw { range: range.clone(), coding };
        let node = if range.len() <= MAX_TEXT {
            Node::Str(coding.text(&self.input.copy(range)?)?, raw)
        } else {
            Node::Bytes(raw)
        };
        self.push(node);
        Ok(())
    }

    fn bytes(&mut self, n: usize) -> Result<()> {
        let range = self.input.skip(n)?;
        self.push(Node::Bytes(Raw { range, coding: Coding::Plain }));
        Ok(())
    }

    /// What protocol 0 makes of a reference to a storage: `('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 4)`.
    fn printed(&mut self, text: &str) {
        let items = text.trim_start_matches('(').trim_end_matches([')', ',']).split(", ");
        let nothing = Raw { range: 0..0, coding: Coding::Plain };
        let items = items.map(|item| {
            let class = item.strip_prefix("<class '").and_then(|rest| rest.strip_suffix("'>"));
            self.nodes.push(match (class, item.parse()) {
                (Some(class), _) => Node::Global(class.to_owned()),
                (_, Ok(n)) => Node::Int(n),
                _ if item == "None" => Node::None,
                _ => Node::Str(item.trim_matches('\'').to_owned(), nothing.clone()),
            });
            self.nodes.len() - 1
        });
        let items = items.collect();
        self.push(Node::Tuple(items));
    }

    /// An integer of `n` little-endian bytes; above 8 bytes (`torch.save`'s magic number) it is not needed.
    fn long(&mut self, n: usize) -> Result<()> {
        let bytes = self.input.skip(n)?;
        let node = if n <= 8 {
            let bytes = self.input.copy(bytes)?;
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [fill; 8];
            wide[..n].copy_from_slice(&bytes);
            Node::Int(i64::from_le_bytes(wide))
        } else {
            Node::Other
        };
        self.push(node);
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    /// The lowest index of the stack that may be popped; items below the last mark are not accessible.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        ensure!(self.stack.len() > self.floor(), "the stack is empty");
        self.stack.pop().context("the stack is empty")
    }

    fn top(&self) -> Result<Id> {
        ensure!(self.stack.len() > self.floor(), "the stack is empty");
        self.stack.last().copied().context("the stack is empty")
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("no mark on the stack")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn remember(&mut self, key: u64) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<()> {
        let id = *self.memo.get(&key).with_context(|| format!("memo {key} is not set"))?;
        self.stack.push(id);
        Ok(())
    }

    fn call(&mut self, callee: Id, args: Id) {
        self.push(Node::Call { callee, args, items: Vec::new(), state: None });
    }

    fn instance(&mut self, callee: Id, args: Vec<Id>) {
        self.nodes.push(Node::Tuple(args));
        self.call(callee, self.nodes.len() - 1);
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::List(list) => list.extend(items),
            // Items appended to an object, such as a deque, are not needed.
            Node::Call { .. } | Node::Other => {}
            _ => bail!("append to a value that is not a list"),
        }
        Ok(())
    }

    fn insert(&mut self, new: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::Dict(items) | Node::Call { items, .. } => items.extend(new),
            Node::Other => {}
            _ => bail!("set an item of a value that is not a dict"),
        }
        Ok(())
    }
}

fn pairs(flat: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    ensure!(flat.len().is_multiple_of(2), "a key without a value");
    Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
