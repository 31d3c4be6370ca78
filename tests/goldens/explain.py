"""Regenerates explain.json: maps of grad-cam 1.5.7, captum 0.9, and rollout as vit-explain defines it.

    pip install grad-cam==1.5.7 captum==0.9.0 and tests/goldens/explain.py

Weights and inputs come from a hash of their names, as in make.py.
"""

import json

import captum.attr
import numpy as np
import pytorch_grad_cam
import timm
import torch
import torchvision
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from make import HERE, fill, images, numbers



def signed(projection):
    """The sign of a principal component is free: here the value of the greatest magnitude is positive."""

    def wrapped(batch):
        maps = projection(batch)
        return np.float32([-m if abs(m.min()) > abs(m.max()) else m for m in maps])

    return wrapped


for module in (pytorch_grad_cam.base_cam, pytorch_grad_cam.eigen_cam, pytorch_grad_cam.hirescam, pytorch_grad_cam.layer_cam):
    if hasattr(module, "get_2d_projection"):
        module.get_2d_projection = signed(module.get_2d_projection)

# It writes into the outputs that grad-cam keeps.
torchvision.models.densenet.F.relu = lambda x, inplace=False: torch.relu(x)

METHODS = {
    "gradcam": GradCAM,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "gradcam++": GradCAMPlusPlus,
    "xgradcam": XGradCAM,
    "eigencam": EigenCAM,
    "scorecam": ScoreCAM,
}
CLASSES = [3, 7]


def tokens(prefix, width):
    """(N, tokens, C) as (N, C, h, w)."""
    return lambda t: t[:, prefix:].unflatten(1, (-1, width)).permute(0, 3, 1, 2)


def last(t):
    return t.permute(0, 3, 1, 2)


# Name, layer (and its name here), height and width, reshape, whether ScoreCAM is quick enough.
NETS = [
    ("torchvision/alexnet", "features.12=stage:features.10", (96, 64), None, False),
    ("torchvision/vgg11", "features.20", (64, 96), None, False),
    ("torchvision/resnet18", "layer4", (64, 96), None, True),
    ("torchvision/resnet18", "layer3.0.conv2", (64, 96), None, False),
    ("torchvision/densenet121", "features.norm5", (96, 64), None, False),
    ("torchvision/googlenet", "inception5b", (64, 96), None, False),
    ("torchvision/inception_v3", "Mixed_7c", (128, 160), None, False),
    ("torchvision/mobilenet_v2", "features.18", (64, 96), None, False),
    ("torchvision/mobilenet_v3_small", "features.12", (64, 96), None, True),
    ("torchvision/efficientnet_b0", "features.8", (64, 96), None, False),
    ("timm/efficientnet_b0", "blocks.6", (64, 96), None, False),
    ("torchvision/convnext_tiny", "features.7", (64, 96), None, False),
    ("torchvision/shufflenet_v2_x0_5", "conv5", (64, 96), None, False),
    ("torchvision/squeezenet1_1", "features.12", (64, 96), None, False),
    ("torchvision/regnet_x_400mf", "trunk_output.block4", (64, 96), None, False),
    ("timm/legacy_seresnet18", "layer4", (64, 96), None, False),
    ("timm/legacy_xception", "act4=conv4", (96, 64), None, False),
    ("timm/deit_tiny_patch16_224", "blocks.11.norm1", (224, 224), tokens(1, 14), False),
    ("timm/deit_tiny_distilled_patch16_224", "blocks.11.norm1", (224, 224), tokens(2, 14), False),
    ("torchvision/vit_b_32", "encoder.layers.encoder_layer_11.ln_1", (224, 224), tokens(1, 7), False),
    ("torchvision/swin_t", "features.7.1.norm2", (64, 96), last, False),
    ("timm/swin_tiny_patch4_window7_224", "layers.3.blocks.1.norm1", (224, 224), last, False),
]


def build(name):
    library, name = name.split("/")
    if library == "torchvision":
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        net = torchvision.models.get_model(name, weights=None, **extra)
    else:
        net = timm.create_model(name)
    with torch.no_grad():
        fill(net)
    for module in net.modules():
        # grad-cam keeps the outputs themselves, which later layers would write into.
        if hasattr(module, "inplace"):
            module.inplace = False
        if isinstance(module, timm.layers.Attention if hasattr(timm.layers, "Attention") else ()):
            module.fused_attn = False
    return net.eval()


def sampled(map):
    """64 values spread over a map, and its sum."""
    flat = torch.as_tensor(np.asarray(map)).flatten()
    return numbers(flat[:: max(1, flat.numel() // 64)][:64])


def cams():
    rows = []
    for name, layer, (height, width), reshape, score in NETS:
        net = build(name)
        x = images(f"explain.{name}", (2, 3, height, width))
        layer, _, ours = layer.partition("=")
        target = net.get_submodule(layer)
        maps = {}
        for method, cam in METHODS.items():
            # XGradCAM divides by the sums of maps, and those of this norm are nearly 0.
            if method == "scorecam" and not score or method == "xgradcam" and name.startswith("timm/swin"):
                continue
            for smooth in ([False, True] if method == "gradcam" else [False]):
                with cam(model=net, target_layers=[target], reshape_transform=reshape) as run:
                    found = run(x, [ClassifierOutputTarget(c) for c in CLASSES], eigen_smooth=smooth)
                maps[method + ("/eigen" if smooth else "")] = sampled(found)
        rows.append({"model": name, "layer": ours or layer, "size": [height, width], "maps": maps})
        print(name, {method: max(values) for method, values in maps.items()}, flush=True)
    net = build("torchvision/resnet18")
    x = images("explain.torchvision/resnet18", (2, 3, 64, 96))
    with GradCAM(model=net, target_layers=[net.layer3, net.layer4]) as run:
        targets = [ClassifierOutputTarget(c) for c in CLASSES]
        several, augmented = run(x, targets), run(x, targets, aug_smooth=True)
    return {"nets": rows, "several": sampled(several), "augmented": sampled(augmented)}


def occlusions():
    net = build("torchvision/resnet18")
    x = images("explain.torchvision/resnet18", (2, 3, 64, 96))[:1]
    run = captum.attr.Occlusion(lambda x: net(x).softmax(1))
    found = run.attribute(x, sliding_window_shapes=(3, 20, 20), strides=(3, 8, 8), target=3)
    return sampled(found[0, 0])


def projections():
    rows = []
    for name in ("torchvision/vgg11", "torchvision/alexnet"):
        net = build(name)
        x = images(f"explain.{name}", (1, 3, 64, 96))
        for rule, method in (("deconvnet", captum.attr.Deconvolution), ("guided", captum.attr.GuidedBackprop)):
            found = method(net).attribute(x.clone().requires_grad_(), target=3)
            rows.append({"model": name, "rule": rule, "values": numbers(found.flatten()[::293][:64])})
    return rows


def rollouts():
    """vit_rollout.py and vit_grad_rollout.py, with each row divided by its own sum."""
    name = "timm/deit_tiny_patch16_224"
    net = build(name)
    x = images(f"explain.{name}", (1, 3, 224, 224))
    seen = []

    def keep(module, _, y):
        y.requires_grad_(True)
        y.retain_grad()
        seen.append(y)

    for block in net.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(keep)
    logits = net(x)
    logits[0, 3].backward()
    rows = []
    for kind in ("mean", "max", "min", "gradient"):
        for discard in (0.0, 0.9):
            result = torch.eye(197)
            for attention in seen:
                a = attention.detach()
                if kind == "gradient":
                    fused = (a * attention.grad).mean(1).clamp_min(0)
                else:
                    fused = a.mean(1) if kind == "mean" else a.amax(1) if kind == "max" else a.amin(1)
                flat = fused.reshape(1, -1).clone()
                _, least = flat.topk(int(flat.size(-1) * discard), -1, False)
                least = least[least != 0]
                flat[0, least] = 0
                a = (flat.view(197, 197) + torch.eye(197)) / 2
                result = (a / a.sum(-1, keepdim=True)) @ result
            mask = result[0, 1:]
            rows.append({"fusion": kind, "discard": discard, "values": numbers(mask[::4])})
    return {"model": name, "rows": rows}


def main():
    found = {"cams": cams(), "occlusion": occlusions(), "projections": projections(), "rollout": rollouts()}
    (HERE / "explain.json").write_text(json.dumps(found, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
