"""Generates two files from timm: synsets.txt has all WordNet synsets of ImageNet, sorted, with the class lists that
contain each; words.txt has WordNet's words for each.

The lists: k ImageNet-1k, f ImageNet-21k (fall 2011), g the same for Google's heads, t timm's ImageNet-12k,
p ImageNet-21k-P, w ImageNet-21k-P of winter 2021. All lists are sorted; that of Microsoft's heads is k followed by the
rest of f.
"""

import pathlib
from importlib import resources

LISTS = {
    "k": "imagenet_synsets",
    "f": "imagenet22k_synsets",
    "g": "imagenet21k_goog_synsets",
    "t": "imagenet12k_synsets",
    "p": "imagenet21k_miil_synsets",
    "w": "imagenet21k_miil_w21_synsets",
}


def text(name):
    return resources.files("timm.data").joinpath("_info", f"{name}.txt").read_text()


def read(name):
    return text(name).split()


lists = {letter: read(name) for letter, name in LISTS.items()}
assert all(names == sorted(set(names)) for names in lists.values())
rest = [name for name in lists["f"] if name not in set(lists["k"])]
assert read("imagenet22k_ms_synsets") == lists["k"] + rest
members = {letter: set(names) for letter, names in lists.items()}
synsets = sorted(set().union(*members.values()))
here = pathlib.Path(__file__).parent
lines = [f"{name} {''.join(letter for letter in LISTS if name in members[letter])}\n" for name in synsets]
(here / "synsets.txt").write_text("".join(lines))
words = dict(line.split("\t") for line in text("imagenet_synset_to_lemma").splitlines())
(here / "words.txt").write_text("".join(f"{name} {words[name]}\n" for name in synsets))
