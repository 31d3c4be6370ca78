"""Regenerates pooled.json: what the classifiers of some of parity.py's names take, checked by tests/models/pooled.rs.

timm's is what `num_classes=0` gives; torchvision has no such thing, so it is what the last linear layer takes or, in
SqueezeNet, whose last layer is a convolution, the mean of its features.
"""

import timm
import torch
import torchvision
from torch import nn

from make import HERE, PERIOD, fill, images
from parity import FAMILIES, Uninitialised, create, lines, some

# One a kind of head.
NAMES = """
torchvision/alexnet torchvision/resnet18 timm/resnetv2_18 torchvision/densenet121
torchvision/googlenet timm/inception_v3 timm/xception41p torchvision/squeezenet1_1 torchvision/shufflenet_v2_x0_5
torchvision/mnasnet0_5 torchvision/regnet_x_400mf torchvision/mobilenet_v2
torchvision/mobilenet_v3_small timm/mobilenetv3_small_050 timm/mobilenetv4_conv_small timm/efficientnet_b0
timm/vit_tiny_patch16_224 timm/vit_xsmall_patch16_clip_224 timm/deit_tiny_distilled_patch16_224
timm/swin_tiny_patch4_window7_224
""".split()


def without_classifier(group, name):
    source, bare = name.split("/")
    if source == "timm":
        return timm.create_model(bare, num_classes=0, **({"img_size": group.size} if group.resized else {})).eval()
    net = create(name, group.size if group.resized else None)
    linear = [path for path, module in net.named_modules() if isinstance(module, nn.Linear) and "aux" not in path.lower()]
    if isinstance(net, torchvision.models.SqueezeNet):
        net.classifier = nn.AdaptiveAvgPool2d(1)
    else:
        net.set_submodule(linear[-1], nn.Identity())
    return net


def pooled(group, name):
    with Uninitialised():
        net = without_classifier(group, name)
    fill(net, group.gain, PERIOD)
    vector = net(images(name, (2, 3, group.size, group.size)))[0]
    row = {"name": name, "size": group.size, "gain": group.gain, "width": len(vector)}
    return row | ({"resized": True} if group.resized else {}) | some(vector)


if __name__ == "__main__":
    torch.set_num_threads(1)
    groups = [group for family in FAMILIES.values() for group in family]
    with torch.no_grad():
        names = [(group, f"{group.source}/{bare}") for group in groups for bare in group.names.split()]
        rows = [pooled(group, name) for group, name in names if name in NAMES]
    (HERE / "pooled.json").write_text(lines(rows))
