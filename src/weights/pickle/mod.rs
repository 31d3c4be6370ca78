//! A pickle read as data: what `torch.save` writes becomes inert nodes, and nothing is ever executed.
//!
//! A pickle may name only what tensors and plain settings beside them need (`names.rs`); any other name is refused.
//! Protocols 0 to 5 (the opcodes of Python's `pickletools`).

mod names;

use super::cursor::Cursor;
use anyhow::{Context, Result, bail, ensure};
use names::full_name;
pub(super) use names::storage;
use std::collections::HashMap;

/// The index of a node.
pub(super) type Id = usize;

/// A value of the pickle. Containers refer to others by index, so that sharing and cycles cost nothing.
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Str(String),
    /// A float or bytes: nothing here depends on which.
    Other,
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name such as `torch._utils._rebuild_tensor_v2`.
    Global(String),
    /// `torch.save`'s reference to a storage.
    Persistent(Id),
    /// What calling the name with the arguments would have given; `items` were set on it, `state` built into it.
    Call {
        callee: Id,
        args: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
}

/// A whole pickle.
pub(super) struct Pickle {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// How many bytes it took: legacy files have several pickles in a row.
    pub length: usize,
}

/// More opcodes than any checkpoint has (a tensor takes some forty). Every opcode keeps a bounded amount of memory beside
/// the text it carries, so this bounds the memory that a hostile file can ask for.
const MAX_STEPS: usize = 5_000_000;

/// Reads one pickle from the beginning of `bytes`.
///
/// # Errors
/// A name that is not allowed, an opcode out of place, a cut end; the message has the byte position.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle> {
    let mut machine = Machine { input: Cursor::new(bytes, 0), ..Machine::default() };
    for _ in 0..MAX_STEPS {
        let at = machine.input.at;
        if let Some(root) = machine.step().with_context(|| format!("pickle, byte {at}"))? {
            return Ok(Pickle { nodes: machine.nodes, root, length: machine.input.at });
        }
    }
    bail!("a pickle of more than {MAX_STEPS} opcodes is no state_dict")
}

#[derive(Default)]
struct Machine<'a> {
    input: Cursor<'a>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Machine<'_> {
    /// Executes one opcode; the root once the pickle stops.
    fn step(&mut self) -> Result<Option<Id>> {
        let opcode = self.input.u8()?;
        match opcode {
            0x80 => ensure!(self.input.u8()? <= 5, "a newer pickle protocol than 5"),
            0x95 => drop(self.input.take(8)?),
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.marks.push(self.stack.len()),
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
                let n = self.input.u8()?.into();
                self.long(n)?
            }
            0x8b => {
                let n = self.input.len32()?;
                self.long(n)?
            }
            b'I' => match self.input.line()? {
                "00" => self.push(Node::Bool(false)),
                "01" => self.push(Node::Bool(true)),
                text => {
                    let n = text.parse().context("an integer")?;
                    self.push(Node::Int(n))
                }
            },
            b'L' => {
                let n = self.input.line()?.trim_end_matches('L').parse().context("an integer")?;
                self.push(Node::Int(n))
            }
            b'F' => {
                self.input.line()?;
                self.push(Node::Other)
            }
            b'G' => {
                self.input.take(8)?;
                self.push(Node::Other)
            }
            // Text and bytes.
            0x8c => {
                let n = self.input.u8()?.into();
                self.text(n)?
            }
            b'X' => {
                let n = self.input.len32()?;
                self.text(n)?
            }
            0x8d => {
                let n = self.input.len64()?;
                self.text(n)?
            }
            b'V' => {
                let text = self.input.line()?.to_owned();
                self.push(Node::Str(text))
            }
            b'S' => {
                let text = self.input.line()?.trim_matches(['\'', '"']).to_owned();
                self.push(Node::Str(text))
            }
            // Python 2's strings: text in the files that have them.
            b'U' => {
                let n = self.input.u8()?.into();
                self.text(n)?
            }
            b'T' => {
                let n = self.input.len32()?;
                self.text(n)?
            }
            b'C' => {
                let n = self.input.u8()?.into();
                self.skip_bytes(n)?
            }
            b'B' => {
                let n = self.input.len32()?;
                self.skip_bytes(n)?
            }
            0x8e | 0x96 => {
                let n = self.input.len64()?;
                self.skip_bytes(n)?
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
                let from = self.stack.len().checked_sub(count).context("a tuple of too few items")?;
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
                let key = self.input.u8()?.into();
                self.remember(key)?
            }
            b'r' => {
                let key = self.input.len32()? as u64;
                self.remember(key)?
            }
            b'p' => {
                let key = self.input.line()?.parse().context("a memo key")?;
                self.remember(key)?
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.input.u8()?.into();
                self.recall(key)?
            }
            b'j' => {
                let key = self.input.len32()? as u64;
                self.recall(key)?
            }
            b'g' => {
                let key = self.input.line()?.parse().context("a memo key")?;
                self.recall(key)?
            }
            // Names and what is made with them.
            b'c' => {
                let full = full_name(self.input.line()?, self.input.line()?)?;
                self.push(Node::Global(full))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(module), Node::Str(name)) = (&self.nodes[module], &self.nodes[name]) else {
                    bail!("a name that is not text");
                };
                let full = full_name(module, name)?;
                self.push(Node::Global(full))
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)?
            }
            0x92 => {
                let (_keywords, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, args)?
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
                let text = self.input.line()?.to_owned();
                self.push(Node::Str(text));
                let id = self.pop()?;
                self.push(Node::Persistent(id))
            }
            other => bail!("opcode 0x{other:02x} has no place in a file of tensors"),
        }
        Ok(None)
    }

    fn text(&mut self, n: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.input.take(n)?).into_owned();
        self.push(Node::Str(text));
        Ok(())
    }

    fn skip_bytes(&mut self, n: usize) -> Result<()> {
        self.input.take(n)?;
        self.push(Node::Other);
        Ok(())
    }

    /// An integer of `n` little-endian bytes. Longer ones than 8 bytes (`torch.save`'s magic number) are kept as text.
    fn long(&mut self, n: usize) -> Result<()> {
        let bytes = self.input.take(n)?;
        let node = match n {
            0..=8 => {
                let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..n].copy_from_slice(bytes);
                Node::Int(i64::from_le_bytes(wide))
            }
            _ => Node::Str(bytes.iter().rev().map(|b| format!("{b:02x}")).collect()),
        };
        self.push(node);
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    /// The lowest place of the stack that may be taken: items below the last mark belong to whoever set it.
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
        let id = *self.memo.get(&key).with_context(|| format!("memo {key} was never set"))?;
        self.stack.push(id);
        Ok(())
    }

    fn call(&mut self, callee: Id, args: Id) -> Result<()> {
        ensure!(matches!(self.nodes[callee], Node::Global(_)), "a call of something that is not a name");
        self.push(Node::Call { callee, args, items: Vec::new(), state: None });
        Ok(())
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::List(list) => list.extend(items),
            // Appended to an object (a deque, say): of no use here.
            Node::Call { .. } => {}
            _ => bail!("appending to what is no list"),
        }
        Ok(())
    }

    fn insert(&mut self, new: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::Dict(items) | Node::Call { items, .. } => items.extend(new),
            _ => bail!("setting an item of what is no dict"),
        }
        Ok(())
    }
}

fn pairs(flat: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    ensure!(flat.len().is_multiple_of(2), "a key without a value");
    Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
