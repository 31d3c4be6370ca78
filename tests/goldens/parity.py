"""Regenerates parity/FAMILY.json for the families named, or for all: `parity.py [FAMILY…]`.

Every name of torchvision and timm in the table below, with weights and input from the hash of make.py: what
tests/parity.rs holds ours to.
"""

import json
import pathlib
import sys
from dataclasses import dataclass

import timm
import torch
import torchvision
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from make import fill, images, numbers, uniform

HERE = pathlib.Path(__file__).parent / "parity"
RELU = 2**0.5


@dataclass
class Group:
    """Names of one source that are checked alike.

    `size` is the input's height and width: small, where the architecture allows. `gain` scales the weights of
    convolutions and linear layers, so that what reaches the logits neither dies out nor explodes over the depth:
    RELU where every ReLU halves the signal, 1 where shortcuts carry it. The names in `quick` stand for a
    structure each: plain `cargo test` runs them, `make parity` runs all.
    """

    source: str
    names: str
    size: int
    gain: float = 1.0
    quick: str = ""


FAMILIES = {
    "alexnet": [Group("torchvision", "alexnet", 64, RELU, quick="alexnet")],
}


class Uninitialised(TorchFunctionMode):
    """Leaves out the random initial values that the hash replaces anyway."""

    DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if function in self.DRAWS else function(*args, **(kwargs or {}))


def create(name):
    """The model without weights, evaluating."""
    source, bare = name.split("/")
    options = {"init_weights": False} if name in ("torchvision/googlenet", "torchvision/inception_v3") else {}
    make = torchvision.models.get_model if source == "torchvision" else timm.create_model
    return make(bare, **options).eval()


def native_size(name):
    """Height and width of the input for which costs are stated."""
    source, bare = name.split("/")
    if source == "timm":
        return timm.get_pretrained_cfg(bare).input_size[1]
    return min(weights.transforms().crop_size[0] for weights in torchvision.models.get_model_weights(bare))


def stated(name):
    """Parameters, MACs at the native size, and the shapes of timm's features there: a dry run."""
    with torch.device("meta"):
        net = create(name)
        side = native_size(name)
        x = torch.empty(1, 3, side, side)
    shapes = []
    for info in getattr(net, "feature_info", None) or []:
        module = dict(net.named_modules()).get(info["module"])
        if module is not None:
            module.register_forward_hook(lambda _, inputs, output: shapes.append(list(output.shape[1:])))
    with FlopCounterMode(display=False) as counter:
        net(x)
    params = sum(parameter.numel() for parameter in net.parameters())
    return {"params": params, "macs": counter.get_total_flops() // 2, "input": [3, side, side], "features": shapes}


def parity(group, bare):
    name = f"{group.source}/{bare}"
    with Uninitialised():
        net = create(name)
    fill(net, group.gain)
    both = net(images(name, (2, 3, group.size, group.size)))
    logits, scale = both[0], float(both.abs().max())
    moved = float((both[0] - both[1]).abs().max() / scale)
    assert 1e-3 < scale < 1e6 and moved > 1e-3, f"{name}: logits up to {scale:.2g}, {moved:.2g} of it from the image"
    keys = sorted(f"{key}{list(tensor.shape)}" for key, tensor in net.state_dict().items())
    return {
        "name": name,
        "quick": bare in group.quick.split(),
        **stated(name),
        "tensors": len(keys),
        "keys": uniform("\n".join(keys), 1)[0],
        "size": group.size,
        "gain": group.gain,
        "sum": numbers(logits.double().sum())[0],
        "logits": numbers(logits[:: max(1, logits.numel() // 16)][:16]),
    }


def lines(rows):
    """One row a line, so that a changed model is one changed line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    for family in sys.argv[1:] or FAMILIES:
        with torch.no_grad():
            rows = [parity(group, bare) for group in FAMILIES[family] for bare in group.names.split()]
        (HERE / f"{family}.json").write_text(lines(rows))
