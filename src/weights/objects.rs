//! The state_dicts among the values of a pickle: mappings from names to tensors, and modules, whose attributes are
//! walked as data.

use super::info::{Group, TensorInfo, WHOLE};
use super::pickle::{Id, Node};
use super::rebuild::Values;
use anyhow::{Context, Result, bail, ensure};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Maximum number of keys that lead to a state_dict, as in `checkpoint["model"]["state_dict"]`.
const MAX_KEY_DEPTH: usize = 8;
/// Maximum depth of nested modules.
const MAX_MODULE_DEPTH: usize = 64;
const MAX_KEY_LENGTH: usize = 512;
/// Far more values than checkpoints have. Shared values let a small file spell very many names; this bounds
/// the memory and time that it can take.
const MAX_VALUES: usize = 200_000;

/// All state_dicts of a pickle, the outermost first.
///
/// # Errors
/// A tensor that is damaged or of an unsupported kind, or more values than any checkpoint has.
pub(super) fn groups(values: &Values) -> Result<Vec<Group>> {
    Finder { values, found: 0 }.groups()
}

/// What leads to a value.
#[derive(Clone, Copy)]
enum Step {
    Key(Id),
    Index(usize),
}

/// A value on the way, with its place among those of the level above.
struct Place {
    above: usize,
    step: Step,
    id: Id,
}

/// The parts of a pickled `torch.nn.Module`.
#[derive(Default)]
struct Module {
    parameters: Option<Id>,
    buffers: Option<Id>,
    modules: Option<Id>,
    /// Names of the buffers that a state_dict leaves out.
    temporary: Option<Id>,
}

struct Finder<'a> {
    values: &'a Values<'a>,
    found: usize,
}

impl<'a> Finder<'a> {
    fn groups(mut self) -> Result<Vec<Group>> {
        let root = self.values.pickle.root;
        let mut groups = Vec::new();
        let mut seen = HashSet::from([root]);
        let mut places = vec![Place { above: 0, step: Step::Index(0), id: root }];
        let mut level = 0..1;
        for _ in 0..=MAX_KEY_DEPTH {
            for place in level.clone() {
                let id = places[place].id;
                let found = self.group(id);
                let (Tensors { list: tensors, unread, .. }, class) =
                    found.with_context(|| format!("state_dict `{}`", self.path(&places, place)))?;
                if !tensors.is_empty() || !unread.is_empty() {
                    groups.push(Group { key: self.path(&places, place), tensors, class, unread });
                }
                for (step, id) in self.inside(id) {
                    if seen.insert(id) {
                        places.push(Place { above: place, step, id });
                    }
                }
            }
            level = level.end..places.len();
        }
        Ok(groups)
    }

    /// The keys that lead to a value, joined by dots.
    fn path(&self, places: &[Place], mut place: usize) -> String {
        let mut steps = Vec::new();
        while place > 0 {
            steps.push(match places[place].step {
                Step::Index(i) => Cow::from(i.to_string()),
                Step::Key(id) => self.key(id).unwrap_or_default(),
            });
            place = places[place].above;
        }
        steps.reverse();
        if steps.is_empty() { WHOLE.to_owned() } else { steps.join(".") }
    }

    /// The text or the number of a key.
    fn key(&self, id: Id) -> Option<Cow<'a, str>> {
        match self.values.node(id) {
            Node::Str(text, _) if text.len() <= MAX_KEY_LENGTH => Some(text.into()),
            Node::Int(n) => Some(n.to_string().into()),
            _ => None,
        }
    }

    /// The tensors directly in a mapping or a sequence, or in a module and its submodules, with the name of its class.
    fn group(&mut self, id: Id) -> Result<(Tensors, Option<String>)> {
        let mut tensors = Tensors::default();
        if self.is_script(id) {
            self.script(id, "", 0, &mut tensors)?;
        } else if let Some(module) = self.module(id)? {
            self.state_dict(&module, "", 0, &mut tensors)?;
            return Ok((tensors, Some(self.class(id).to_owned())));
        } else {
            for (i, value) in self.sequence(id).iter().enumerate() {
                self.add(&i.to_string(), *value, &mut tensors)?;
            }
            for (key, value) in self.entries(id) {
                self.named("", key, value, &mut tensors)?;
            }
        }
        Ok((tensors, None))
    }

    /// Adds a value under a key, if it is a tensor.
    fn named(&mut self, prefix: &str, key: Id, value: Id, tensors: &mut Tensors) -> Result<()> {
        if !matches!(self.values.node(value), Node::Call { .. }) {
            return Ok(());
        }
        match (self.key(key), self.values.node(key)) {
            (Some(key), _) => self.add(&format!("{prefix}{key}"), value, tensors),
            (_, Node::Str(_, raw) | Node::Bytes(raw)) if self.values.tensor("", value)?.is_some() => {
                bail!("a name of {} bytes is too long", raw.range.len())
            }
            _ => Ok(()),
        }
    }

    /// Adds the value if it is a tensor. As in Python, the last of several values under one name wins.
    fn add(&mut self, name: &str, value: Id, tensors: &mut Tensors) -> Result<()> {
        if !matches!(self.values.node(value), Node::Call { .. }) {
            return Ok(());
        }
        self.count(1)?;
        ensure!(name.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", name.len());
        let tensor = self.values.tensor(name, value).with_context(|| format!("tensor `{name}`"))?;
        match (tensor, self.values.maker(value)) {
            (Some(tensor), _) => match tensors.index.get(name) {
                Some(&i) => tensors.list[i] = tensor,
                None => {
                    tensors.index.insert(name.to_owned(), tensors.list.len());
                    tensors.list.push(tensor);
                }
            },
            (None, Some(maker)) => tensors.unread.push((name.to_owned(), maker.to_owned())),
            (None, None) => {}
        }
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<()> {
        self.found += values;
        ensure!(self.found <= MAX_VALUES, "more than {MAX_VALUES} values");
        Ok(())
    }

    /// Whether this is a TorchScript module, whose attributes are its state.
    fn is_script(&self, id: Id) -> bool {
        matches!(self.values.node(id), Node::Call { callee, .. } if self.values.name_of(*callee).starts_with("__torch__."))
    }

    fn script(&mut self, id: Id, prefix: &str, depth: usize, tensors: &mut Tensors) -> Result<()> {
        ensure!(depth < MAX_MODULE_DEPTH, "modules are nested more than {MAX_MODULE_DEPTH} deep");
        self.count(1)?;
        for (key, value) in self.attributes(id) {
            self.count(1)?;
            let Some(key) = self.key(key) else { continue };
            let name = format!("{prefix}{key}");
            ensure!(name.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", name.len());
            if self.is_script(value) {
                self.script(value, &format!("{name}."), depth + 1, tensors)?;
            } else {
                self.add(&name, value, tensors)?;
            }
        }
        Ok(())
    }

    /// The parts of a module, whatever its class.
    fn module(&mut self, id: Id) -> Result<Option<Module>> {
        let Node::Call { callee, args, .. } = self.values.node(id) else { return Ok(None) };
        let mut attributes = self.attributes(id);
        // torch.fx keeps them among its function's arguments.
        if self.values.name_of(*callee) == "torch.fx.graph_module.reduce_graph_module"
            && let [body, ..] = self.values.list(*args)
        {
            attributes.extend(self.items(*body));
        }
        let mut module = Module::default();
        for (key, value) in attributes {
            match self.values.text(key) {
                Some("_parameters") => module.parameters = Some(value),
                Some("_buffers") => module.buffers = Some(value),
                Some("_modules") => module.modules = Some(value),
                Some("_non_persistent_buffers_set") => module.temporary = Some(value),
                _ => {}
            }
        }
        let whole = module.parameters.is_some() && module.buffers.is_some() && module.modules.is_some();
        Ok(whole.then_some(module))
    }

    /// Adds a module's tensors as its `state_dict()` names them: parameters, buffers, then those of the modules within.
    fn state_dict(
        &mut self,
        module: &Module,
        prefix: &str,
        depth: usize,
        tensors: &mut Tensors,
    ) -> Result<()> {
        ensure!(depth < MAX_MODULE_DEPTH, "modules are nested more than {MAX_MODULE_DEPTH} deep");
        self.count(1)?;
        let items = |part: Option<Id>| part.map(|id| self.items(id)).unwrap_or_default();
        let (parameters, buffers, modules) =
            (items(module.parameters), items(module.buffers), items(module.modules));
        let temporary = self.set(module.temporary);
        for (key, value) in parameters {
            self.named(prefix, key, value, tensors)?;
        }
        for (key, value) in buffers {
            if self.values.text(key).is_none_or(|key| !temporary.contains(key)) {
                self.named(prefix, key, value, tensors)?;
            }
        }
        for (key, value) in modules {
            // An object is looked through before it is known to be none.
            self.count(1 + self.attributes(value).len())?;
            let (Some(key), Some(inner)) = (self.key(key), self.module(value)?) else { continue };
            let prefix = format!("{prefix}{key}.");
            ensure!(prefix.len() <= MAX_KEY_LENGTH, "a name of {} bytes is too long", prefix.len());
            self.state_dict(&inner, &prefix, depth + 1, tensors)?;
        }
        Ok(())
    }

    /// The texts of a set.
    fn set(&self, id: Option<Id>) -> HashSet<&'a str> {
        let Some(id) = id else { return HashSet::new() };
        let items = match self.values.node(id) {
            Node::Call { args, .. } => {
                self.values.list(*args).first().map_or(&[][..], |id| self.values.list(*id))
            }
            _ => self.values.list(id),
        };
        items.iter().filter_map(|id| self.values.text(*id)).collect()
    }

    /// The name of an object's class.
    fn class(&self, id: Id) -> &'a str {
        let Node::Call { callee, args, .. } = self.values.node(id) else { return "" };
        match (self.values.name_of(*callee), self.values.list(*args)) {
            ("copyreg._reconstructor", [class, ..]) => self.values.name_of(*class),
            (name, _) => name,
        }
    }

    /// The values in a value, where state_dicts may be: items and attributes, but nothing within tensors and modules.
    fn inside(&mut self, id: Id) -> Vec<(Step, Id)> {
        let held = |id: &Id| {
            matches!(
                self.values.node(*id),
                Node::Dict(_) | Node::List(_) | Node::Tuple(_) | Node::Call { .. }
            )
        };
        let list = self.sequence(id).iter().enumerate().map(|(i, id)| (Step::Index(i), *id));
        let mut inside: Vec<(Step, Id)> = list.filter(|(_, id)| held(id)).collect();
        if self.is_script(id) || self.is_leaf(id) || matches!(self.module(id), Ok(Some(_))) {
            return Vec::new();
        }
        let entries = self.entries(id).into_iter().map(|(key, id)| (Step::Key(key), id));
        inside.extend(entries.filter(|(_, id)| held(id)));
        inside.retain(|(step, _)| match step {
            Step::Key(key) => self.key(*key).is_some(),
            Step::Index(_) => true,
        });
        inside
    }

    /// Whether it is a tensor or a part of one.
    fn is_leaf(&self, id: Id) -> bool {
        const LEAVES: [&str; 3] = ["torch._utils.", "torch._tensor.", "numpy."];
        let Node::Call { callee, .. } = self.values.node(id) else { return false };
        LEAVES.iter().any(|leaf| self.values.name_of(*callee).starts_with(leaf))
    }

    /// The items of a list or a tuple, or what an object that has nothing else is made of: a named tuple's fields.
    fn sequence(&self, id: Id) -> &'a [Id] {
        match self.values.node(id) {
            Node::Call { args, .. } if !self.is_leaf(id) && self.entries(id).is_empty() => {
                self.values.list(*args)
            }
            _ => self.values.list(id),
        }
    }

    /// Items and attributes; an OrderedDict's attributes are PyTorch's versions of modules.
    fn entries(&self, id: Id) -> Vec<(Id, Id)> {
        let mut entries = self.items(id);
        match self.values.node(id) {
            Node::Call { callee, .. } if self.values.name_of(*callee) != "collections.OrderedDict" => {
                entries.extend(self.attributes(id))
            }
            _ => {}
        }
        entries
    }

    /// The attributes of an object.
    fn attributes(&self, id: Id) -> Vec<(Id, Id)> {
        let Node::Call { state: Some(state), .. } = self.values.node(id) else { return Vec::new() };
        match self.values.node(*state) {
            Node::Dict(items) => items.clone(),
            // With slots: (attributes, slots).
            Node::Tuple(parts) if parts.len() == 2 => {
                parts.iter().flat_map(|part| self.items(*part)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Keys and values of a dict or an object like one.
    fn items(&self, id: Id) -> Vec<(Id, Id)> {
        let values = self.values;
        match values.node(id) {
            Node::Dict(items) => items.clone(),
            Node::Call { items, .. } if !items.is_empty() => items.clone(),
            Node::Call { callee, args, .. } => match (values.name_of(*callee), values.list(*args)) {
                // Python 2 pickled the items of an OrderedDict as a list of pairs.
                ("collections.OrderedDict", [pairs]) => {
                    let pair = |id: &Id| values.list(*id).try_into().ok().map(|[k, v]: [Id; 2]| (k, v));
                    values.list(*pairs).iter().filter_map(pair).collect()
                }
                ("copyreg._reconstructor", [_, _, base]) => match values.node(*base) {
                    Node::Dict(items) => items.clone(),
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// Tensors in the order in which their names first occur.
#[derive(Default)]
struct Tensors {
    list: Vec<TensorInfo>,
    index: HashMap<String, usize>,
    /// Of other kinds, with the functions that make them.
    unread: Vec<(String, String)>,
}
