"""Regenerates names.json and adapt.json beside this file from torchvision and timm: `make goldens`.

names.json: pairs of models that both libraries have, and digests of their keys with shapes.
adapt.json: the values of pretrained tensors that timm adapted to other inputs.
"""

import json
import pathlib
import re

import timm
import torch
import torchvision
from make import images, numbers, uniform
from timm.layers import resample_abs_pos_embed, resample_patch_embed, resize_rel_pos_bias_table
from timm.models._manipulate import adapt_input_conv

HERE = pathlib.Path(__file__).parent
PAIRS = [
    ("vgg11", "vgg11"),
    ("vgg16_bn", "vgg16_bn"),
    ("resnet18", "resnet18"),
    ("densenet121", "densenet121"),
    ("efficientnet_b0", "efficientnet_b0"),
    ("efficientnet_v2_s", "efficientnetv2_s"),
    ("efficientnet_v2_m", "efficientnetv2_m"),
    ("efficientnet_v2_l", "tf_efficientnetv2_l"),
    ("mobilenet_v2", "mobilenetv2_100"),
    ("mobilenet_v3_large", "mobilenetv3_large_100"),
    ("mobilenet_v3_small", "tf_mobilenetv3_small_100"),
    ("vit_b_16", "vit_base_patch16_224"),
    ("swin_t", "swin_tiny_patch4_window7_224"),
]


def old(name, key):
    """The key in the first files that torchvision published."""
    if name.startswith("densenet"):
        return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key)
    if name.startswith("vit"):
        return key.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2")
    return key


def digest(keys):
    return uniform("\n".join(sorted(f"{key}{list(shape)}" for key, shape in keys)), 1)[0]


def names():
    out = []
    with torch.device("meta"):
        for ours, theirs in PAIRS:
            keys = [(key, list(t.shape)) for key, t in torchvision.models.get_model(ours).state_dict().items()]
            timm_keys = [(key, list(t.shape)) for key, t in timm.create_model(theirs).state_dict().items()]
            spelt = [(old(ours, key), shape) for key, shape in keys]
            out.append(
                {
                    "torchvision": f"torchvision/{ours}",
                    "timm": f"timm/{theirs}",
                    "keys": digest(keys),
                    "timm_keys": digest(timm_keys),
                    "old_keys": digest(spelt) if spelt != keys else None,
                }
            )
    return out


def adapt():
    weight = images("conv", (2, 3, 2, 2))
    folded = images("folded", (2, 12, 1, 1))
    table = images("table", (1, 17, 3))
    bias = images("bias", (49, 2))
    patch = images("patch", (2, 3, 4, 4))
    # As timm does for the .npz files of the first releases.
    plain = {"interpolation": "bilinear", "antialias": False}
    out = {f"input_conv_{n}": adapt_input_conv(n, weight) for n in (1, 2, 4, 7)}
    out["input_conv_folded"] = adapt_input_conv(1, folded)
    out["input_conv_half"] = adapt_input_conv(4, weight.half())
    out["position_up"] = resample_abs_pos_embed(table, [6, 6], num_prefix_tokens=1)
    out["position_down"] = resample_abs_pos_embed(table, [3, 2], num_prefix_tokens=1)
    out["position_oblong"] = resample_abs_pos_embed(table, [5, 3], [2, 8], num_prefix_tokens=1)
    out["position_bilinear"] = resample_abs_pos_embed(table, [3, 6], num_prefix_tokens=1, **plain)
    out["patch_up"] = resample_patch_embed(patch, [7, 7])
    out["patch_down"] = resample_patch_embed(patch, [3, 2])
    out["patch_bilinear"] = resample_patch_embed(patch, [6, 6], **plain)
    for window in (6, 3):
        side = 2 * window - 1
        out[f"bias_{side}"] = resize_rel_pos_bias_table(bias, (window, window), (side * side, 2))
    return {name: numbers(tensor) for name, tensor in out.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for make in (names, adapt):
        (HERE / f"{make.__name__}.json").write_text(json.dumps(make(), indent=1) + "\n")
