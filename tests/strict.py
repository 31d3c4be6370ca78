"""Loads what `tchvision weights convert` writes into torchvision's and timm's models with strict=True.

    tests/strict.py PROGRAM

Each model's state_dict is converted as torchvision names it, under words that nobody knows, and, where these leave layers
open, by a map in which the right ones are chosen. torchvision gets the same values back; timm computes the same logits.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import safetensors.torch
import timm
import torch
import torchvision
import yaml

# torchvision's name, timm's, and words in place of torchvision's.
MODELS = [
    ("resnet18", "resnet18", {"layer": "stage", "conv": "c", "bn": "n", "downsample": "shortcut"}),
    ("resnet18", "resnet18", {"conv1": "inner", "conv2": "outer", "bn1": "norm_a", "bn2": "norm_b"}),
    ("mobilenet_v2", "mobilenetv2_100", {"features": "trunk", "conv": "body", "classifier": "top"}),
    ("efficientnet_b0", "efficientnet_b0", {"features": "trunk", "block": "body", "classifier": "top"}),
    ("densenet121", "densenet121", {"denseblock": "stage", "denselayer": "unit", "transition": "down"}),
]
SIDE = 96


def tchvision(*args):
    done = subprocess.run([sys.argv[1], "weights", *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stderr


def choose(path, rename):
    """Of each list in a map the name that the model's has become."""
    lines = yaml.safe_load(path.read_text())
    lines = {name: rename(name) if isinstance(file, list) else file for name, file in lines.items()}
    path.write_text(yaml.safe_dump(lines))


def scatter(model):
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) else tensor.uniform_(-0.2, 0.2)


@torch.no_grad()
def check(folder, name, timm_name, words):
    model = torchvision.models.get_model(name, weights=None).eval()
    scatter(model)
    x = torch.randn(1, 3, SIDE, SIDE)
    logits = model(x)
    rename = lambda key: re.sub("|".join(words), lambda found: words[found[0]], key)
    own, theirs, out, names = (folder / file for file in ("own.pth", "theirs.pth", "out.safetensors", "map.yaml"))
    torch.save(model.state_dict(), own)
    torch.save({rename(key): tensor for key, tensor in model.state_dict().items()}, theirs)
    ways = []
    for file in (own, theirs):
        for naming in ("torchvision", "timm"):
            convert = ("convert", file, "--model", f"torchvision/{name}", "--to", out, "--naming", naming)
            code, said = tchvision(*convert)
            if code and "open" in said:
                if not names.exists():
                    assert tchvision("map", file, "--model", f"torchvision/{name}", "--to", names)[0] == 0
                    choose(names, rename)
                code, said = tchvision(*convert, "--map", names)
                ways.append("map")
            else:
                ways.append("order and shape" if "by order and shape" in said else "names")
            assert code == 0, said
            other = model if naming == "torchvision" else timm.create_model(timm_name, pretrained=False).eval()
            written = safetensors.torch.load_file(out)
            if naming == "torchvision":
                same = model.state_dict()
                assert all(torch.equal(written[key], same[key]) for key in same)
            other.load_state_dict(written, strict=True)
            apart = (other(x) - logits).abs().max() / logits.abs().max()
            assert apart < 1e-4, (name, naming, apart)
    names.unlink(missing_ok=True)
    print(name, *ways, sep="\t")


torch.manual_seed(0)
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as folder:
    for row in MODELS:
        check(pathlib.Path(folder), *row)
