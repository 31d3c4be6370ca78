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
    "efficientnet": [
        Group(
            "torchvision",
            "efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4",
            64,
            RELU,
            quick="efficientnet_b0",
        ),
        Group(
            "torchvision",
            "efficientnet_b5 efficientnet_b6",
            64,
            1.3,
            quick="efficientnet_b5",
        ),
        Group(
            "torchvision",
            "efficientnet_v2_s",
            64,
            1.1,
            quick="efficientnet_v2_s",
        ),
        Group(
            "timm",
            "efficientnet_b0 tf_efficientnet_b0 efficientnet_b1 tf_efficientnet_b1 efficientnet_b2 "
            "tf_efficientnet_b2 efficientnet_cc_b0_4e tf_efficientnet_cc_b0_4e efficientnet_lite0 "
            "tf_efficientnet_lite0 efficientnet_lite1 tf_efficientnet_lite1 efficientnet_lite2 "
            "tf_efficientnet_lite2 efficientnet_lite3 tf_efficientnet_lite3 efficientnet_lite4 "
            "tf_efficientnet_lite4",
            64,
            RELU,
            quick="efficientnet_b0 tf_efficientnet_b0 efficientnet_cc_b0_4e tf_efficientnet_lite0",
        ),
        Group(
            "timm",
            "efficientnet_b3 tf_efficientnet_b3 efficientnet_b4 tf_efficientnet_b4 efficientnet_b5 "
            "tf_efficientnet_b5 efficientnet_b6 tf_efficientnet_b6 efficientnet_b7 tf_efficientnet_b7 "
            "efficientnet_cc_b0_8e tf_efficientnet_cc_b0_8e efficientnet_cc_b1_8e tf_efficientnet_cc_b1_8e",
            64,
            1.3,
            quick="tf_efficientnet_cc_b0_8e",
        ),
        Group(
            "timm",
            "efficientnet_b8 tf_efficientnetv2_b0 tf_efficientnetv2_b1 tf_efficientnetv2_b2 tf_efficientnetv2_b3",
            64,
            1.2,
            quick="tf_efficientnetv2_b0",
        ),
        Group(
            "timm",
            "efficientnet_el tf_efficientnet_el efficientnet_em tf_efficientnet_em efficientnet_es "
            "tf_efficientnet_es efficientnetv2_m efficientnetv2_s tf_efficientnetv2_s",
            64,
            1.1,
            quick="tf_efficientnet_es tf_efficientnetv2_s",
        ),
    ],
    "mobilenet": [
        Group(
            "torchvision",
            "mobilenet_v2 mobilenet_v3_small",
            64,
            RELU,
            quick="mobilenet_v2 mobilenet_v3_small",
        ),
        Group(
            "torchvision",
            "mobilenet_v3_large",
            64,
            1.3,
            quick="mobilenet_v3_large",
        ),
        Group(
            "timm",
            "mobilenetv1_100 mobilenetv1_100h mobilenetv1_125 mobilenetv2_035 mobilenetv2_050 mobilenetv2_075 "
            "mobilenetv2_100 mobilenetv2_110d mobilenetv2_120d mobilenetv2_140 mobilenetv3_small_050 "
            "mobilenetv3_small_075 tf_mobilenetv3_small_075 mobilenetv3_small_100 tf_mobilenetv3_small_100 "
            "mobilenetv4_hybrid_medium mobilenetv4_hybrid_medium_075",
            64,
            RELU,
            quick="mobilenetv1_100 mobilenetv1_100h mobilenetv2_110d mobilenetv3_small_050 tf_mobilenetv3_small_100 "
            "mobilenetv4_hybrid_medium",
        ),
        Group(
            "timm",
            "mobilenetv3_large_075 tf_mobilenetv3_large_075 mobilenetv3_large_100 tf_mobilenetv3_large_100 "
            "mobilenetv3_large_150d mobilenetv3_rw mobilenetv4_hybrid_large mobilenetv4_hybrid_large_075",
            64,
            1.3,
            quick="mobilenetv3_rw mobilenetv4_hybrid_large_075",
        ),
        Group(
            "timm",
            "tf_mobilenetv3_large_minimal_100 tf_mobilenetv3_small_minimal_100 mobilenetv4_conv_aa_large "
            "mobilenetv4_conv_aa_medium mobilenetv4_conv_blur_medium mobilenetv4_conv_large "
            "mobilenetv4_conv_medium mobilenetv4_conv_small mobilenetv4_conv_small_035 mobilenetv4_conv_small_050",
            64,
            1.2,
            quick="tf_mobilenetv3_large_minimal_100 mobilenetv4_conv_aa_medium mobilenetv4_conv_blur_medium "
            "mobilenetv4_conv_small",
        ),
    ],
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
