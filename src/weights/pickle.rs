//! A pickle read as data: what `torch.save` writes becomes nodes, and nothing is ever executed.
//!
//! A pickle may name only what tensors and plain settings beside them need ([`allowed`]); any other name is refused.
//! Protocols 0 to 5 (the opcodes of Python's `pickletools`).

use anyhow::{Context, Result, bail, ensure};

/// The index of a node.
pub(super) type Id = usize;

/// A value of the pickle. Containers refer to others by index, so that sharing and cycles cost nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes,
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name such as `torch._utils._rebuild_tensor_v2`.
    Global(String),
    /// `torch.save`'s reference to a storage.
    Persistent(Id),
    /// What calling the name with the arguments would have given; `items` were set on it, `state` built into it.
    Call { name: String, args: Id, items: Vec<(Id, Id)>, state: Option<Id> },
}

/// A whole pickle.
pub(super) struct Pickle {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// How many bytes it took: legacy files have several pickles in a row.
    pub length: usize,
}

/// More than any checkpoint has (a ViT of a thousand tensors needs some 50,000); bounds the memory of hostile files.
const MOST_NODES: usize = 20_000_000;

/// Names outside `torch` that checkpoints have beside their tensors: containers and plain values, kept as inert nodes.
const PLAIN: [&str; 22] = [
    "argparse.Namespace",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.dict",
    "builtins.getattr",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.set",
    "builtins.slice",
    "__builtin__.set",
    "_codecs.encode",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "yacs.config.CfgNode",
];

/// Whether a pickle may have this name. All are inert here; the list keeps files honest that others might execute.
fn allowed(name: &str) -> bool {
    let storage = |rest: &str| rest.ends_with("Storage") || rest.starts_with("storage.");
    let dtype = |rest: &str| {
        !rest.contains('.')
            && ["float", "int", "uint", "bfloat16", "half", "double", "long", "bool", "complex", "q", "Size", "device"]
                .iter()
                .any(|prefix| rest.starts_with(prefix))
    };
    if PLAIN.contains(&name) || name.starts_with("__torch__.") {
        return true;
    }
    if let Some(rest) = name.strip_prefix("numpy.") {
        return rest.ends_with("multiarray.scalar") || rest.ends_with("multiarray._reconstruct");
    }
    name.strip_prefix("torch.").is_some_and(|rest| {
        storage(rest)
            || dtype(rest)
            || rest.starts_with("_utils._rebuild")
            || matches!(
                rest,
                "_tensor._rebuild_from_type_v2" | "nn.parameter.Parameter" | "nn.parameter.Buffer" | "Tensor"
            )
            || rest.starts_with("serialization._get_layout")
            || rest.starts_with("jit._pickle.")
    })
}

/// Reads one pickle from the beginning of `bytes`.
///
/// # Errors
/// A name that is not allowed, an opcode out of place, a cut end; the message has the byte position.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle> {
    let mut machine =
        Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Default::default() };
    let root = loop {
        let at = machine.at;
        if let Some(root) = machine.step().with_context(|| format!("pickle, byte {at}"))? {
            break root;
        }
    };
    Ok(Pickle { nodes: machine.nodes, root, length: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: std::collections::HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode; the root once the pickle stops.
    fn step(&mut self) -> Result<Option<Id>> {
        let opcode = self.u8()?;
        match opcode {
            0x80 => ensure!(self.u8()? <= 5, "a newer pickle protocol than 5"),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // Constants.
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'K' => {
                let n = self.u8()?;
                self.push(Node::Int(n.into()))?
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?
            }
            0x8a => {
                let n = self.u8()?.into();
                self.long(n)?
            }
            0x8b => {
                let n = self.len32()?;
                self.long(n)?
            }
            b'I' => match self.line()? {
                "00" => self.push(Node::Bool(false))?,
                "01" => self.push(Node::Bool(true))?,
                text => {
                    let n = text.parse().context("an integer")?;
                    self.push(Node::Int(n))?
                }
            },
            b'L' => {
                let n = self.line()?.trim_end_matches('L').parse().context("an integer")?;
                self.push(Node::Int(n))?
            }
            b'F' => {
                let x = self.line()?.parse().context("a float")?;
                self.push(Node::Float(x))?
            }
            b'G' => {
                let x = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(x))?
            }
            // Text and bytes.
            0x8c => {
                let n = self.u8()?.into();
                self.text(n)?
            }
            b'X' => {
                let n = self.len32()?;
                self.text(n)?
            }
            0x8d => {
                let n = self.len64()?;
                self.text(n)?
            }
            b'V' => {
                let text = self.line()?.to_owned();
                self.push(Node::Str(text))?
            }
            b'S' => {
                let text = self.line()?.trim_matches(['\'', '"']).to_owned();
                self.push(Node::Str(text))?
            }
            // Python 2's strings: text in the files that have them.
            b'U' => {
                let n = self.u8()?.into();
                self.text(n)?
            }
            b'T' => {
                let n = self.len32()?;
                self.text(n)?
            }
            b'C' => {
                let n = self.u8()?.into();
                self.skip_bytes(n)?
            }
            b'B' => {
                let n = self.len32()?;
                self.skip_bytes(n)?
            }
            0x8e | 0x96 => {
                let n = self.len64()?;
                self.skip_bytes(n)?
            }
            // Containers.
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).context("a tuple of too few items")?;
                let items = self.stack.split_off(from);
                self.push(Node::Tuple(items))?
            }
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push(Node::Dict(items))?
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
                let key = self.u8()?.into();
                self.remember(key)?
            }
            b'r' => {
                let key = self.len32()? as u64;
                self.remember(key)?
            }
            b'p' => {
                let key = self.line()?.parse().context("a memo key")?;
                self.remember(key)?
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.u8()?.into();
                self.recall(key)?
            }
            b'j' => {
                let key = self.len32()? as u64;
                self.recall(key)?
            }
            b'g' => {
                let key = self.line()?.parse().context("a memo key")?;
                self.recall(key)?
            }
            // Names and what is made with them.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(module), Node::Str(name)) = (self.node(module).clone(), self.node(name).clone()) else {
                    bail!("a name that is not text");
                };
                self.global(&module, &name)?
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
                self.push(Node::Persistent(id))?
            }
            b'P' => {
                let text = self.line()?.to_owned();
                self.push(Node::Str(text))?;
                let id = self.pop()?;
                self.push(Node::Persistent(id))?
            }
            other => bail!("opcode 0x{other:02x} has no place in a file of tensors"),
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).context("a length that overflows")?;
        let taken = self.bytes.get(self.at..end).context("the file ends inside the pickle")?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn len32(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn len64(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).context("a length that overflows")
    }

    /// Up to the end of the line, which is not part of it.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let end = rest.iter().position(|&b| b == b'\n').context("the file ends inside the pickle")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).context("text that is not UTF-8")
    }

    fn text(&mut self, n: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.take(n)?).into_owned();
        self.push(Node::Str(text))
    }

    fn skip_bytes(&mut self, n: usize) -> Result<()> {
        self.take(n)?;
        self.push(Node::Bytes)
    }

    /// An integer of `n` little-endian bytes. Longer ones than 8 bytes (`torch.save`'s magic number) are kept as text.
    fn long(&mut self, n: usize) -> Result<()> {
        let bytes = self.take(n)?;
        let node = match n {
            0..=8 => {
                let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
                let mut wide = [fill; 8];
                wide[..n].copy_from_slice(bytes);
                Node::Int(i64::from_le_bytes(wide))
            }
            _ => Node::Str(bytes.iter().rev().map(|b| format!("{b:02x}")).collect()),
        };
        self.push(node)
    }

    fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    fn push(&mut self, node: Node) -> Result<()> {
        ensure!(self.nodes.len() < MOST_NODES, "more than {MOST_NODES} values");
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
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

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let full = format!("{module}.{name}");
        ensure!(
            allowed(&full),
            "the file names `{full}`, which is no part of a state_dict; it is not executed, and not read. Save \
             `model.state_dict()` alone"
        );
        self.push(Node::Global(full))
    }

    fn call(&mut self, callee: Id, args: Id) -> Result<()> {
        let name = match self.node(callee) {
            Node::Global(name) => name.clone(),
            _ => bail!("a call of something that is not a name"),
        };
        self.push(Node::Call { name, args, items: Vec::new(), state: None })
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
