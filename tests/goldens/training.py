"""Regenerates training.json: the logits of nets in training, with dropout and stochastic depth on.

Both sides draw from libtorch's generator. From the same seed they drop the same values if they draw for the same
layers with the same probabilities in the same order, which tests/train/passes.rs checks. Weights and images come from the
hash of make.py.
"""

import json

import timm
import torch
import torchvision

from make import HERE, fill, images, numbers

RELU = 2**0.5
TIMM = {"drop_rate": 0.2, "drop_path_rate": 0.3}
OURS = {"dropout": 0.2, "drop_path": 0.3}

# Name, options of the library, the same as fields of our Config, image size, gain.
NETS = [
    ("torchvision/squeezenet1_1", {}, {}, 64, RELU),
    ("torchvision/googlenet", {"init_weights": False}, {}, 64, RELU),
    ("torchvision/densenet121", {"drop_rate": 0.2}, {"layer_dropout": 0.2}, 64, RELU),
    ("torchvision/mobilenet_v2", {}, {}, 64, 1),
    ("torchvision/mobilenet_v3_small", {}, {}, 64, 1),
    ("torchvision/mnasnet0_5", {}, {}, 64, 1),
    ("torchvision/efficientnet_b0", {}, {}, 64, 1),
    ("torchvision/convnext_tiny", {"stochastic_depth_prob": 0.3}, {"drop_path": 0.3}, 64, 1),
    ("timm/densenet121", {"drop_rate": 0.2, "proj_drop_rate": 0.3}, {"dropout": 0.2, "layer_dropout": 0.3}, 64, RELU),
    ("timm/resnet18d", TIMM, OURS, 64, 1),
    ("timm/legacy_seresnet18", {}, {}, 64, 1),
    ("timm/resnetv2_18", TIMM, OURS, 64, 1),
    ("timm/xception41p", TIMM, OURS, 75, 1),
    ("timm/efficientnet_b0", TIMM, OURS, 64, 1),
    ("timm/efficientnet_es", TIMM, OURS, 64, 1),
    ("timm/efficientnet_cc_b0_4e", TIMM, OURS, 64, 1),
    ("timm/mobilenetv3_small_100", TIMM, OURS, 64, 1),
    ("timm/mobilenetv4_hybrid_medium", TIMM, OURS, 64, 1),
]
SEED = 7


def trained(name, options, fields, side, gain):
    source, bare = name.split("/")
    make = torchvision.models.get_model if source == "torchvision" else timm.create_model
    net = fill(make(bare, num_classes=10, **options), gain).train()
    x = images("images", (4, 3, side, side))
    torch.manual_seed(SEED)
    logits = net(x)
    # GoogLeNet returns its auxiliary heads after the main one, the later head first.
    logits, auxiliary = (logits[0], logits[:0:-1]) if isinstance(logits, tuple) else (logits, ())
    row = {"name": name, "set": fields, "side": side, "gain": gain, "logits": numbers(logits)}
    return row | {"auxiliary": [numbers(head) for head in auxiliary]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        rows = [trained(*net) for net in NETS]
    (HERE / "training.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
