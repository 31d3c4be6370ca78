"""Regenerates groups.json: the parameter groups of timm's `param_groups_layer_decay`, by model."""

import json

import timm
from timm.optim._param_groups import param_groups_layer_decay

from make import HERE

NAMES = [
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "convnext_tiny",
    "resnet18",
    "resnet50",
    "efficientnet_b0",
]


def groups(name):
    model = timm.create_model(name)
    keys = {id(parameter): key for key, parameter in model.named_parameters()}
    found = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.75)
    return [[group["lr_scale"], group["weight_decay"], [keys[id(p)] for p in group["params"]]] for group in found]


if __name__ == "__main__":
    (HERE / "groups.json").write_text(json.dumps({name: groups(name) for name in NAMES}) + "\n")
