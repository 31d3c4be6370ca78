"""Regenerates the goldens beside this file from PyTorch, torchvision and timm: `make goldens`.

Weights and inputs come from a hash of their name and index, on both sides (tests/common/mod.rs has the same).
"""

import json
import pathlib

import numpy as np
import timm.layers
import timm.models.vision_transformer
import timm.optim
import timm.utils.agc
import torch
import torchvision
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

HERE = pathlib.Path(__file__).parent
U64 = np.uint64
CHUNK = 1 << 20  # values at a time, so that large tensors need little extra memory
PERIOD = 131071  # after which the values of large models repeat, for speed; a prime, so that no two rows are equal


def uniform(name, numel, start=0):
    """One number in [0, 1) per index from `start` on: SplitMix64 of the FNV-1a hash of the name plus the index."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = (U64(seed) + np.arange(start, start + numel, dtype=U64)) * U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        z = z ^ (z >> U64(31))
    return (z >> U64(40)).astype(np.float64) / 2**24


def value(name, shape, gain=1.0, period=None):
    """The values of a tensor of the state_dict or of an input; `gain` scales weights of two or more dimensions."""
    shape = tuple(shape)
    numel = int(np.prod(shape, dtype=np.int64))
    fan = np.prod(shape[1:])
    if len(shape) == 2 and ".conv_" in name:  # the kernels of CondConv, flattened: their fan is not in the shape
        fan = np.sqrt(fan)
    distinct = min(numel, period or numel)
    out = np.empty(distinct, np.float32)
    for start in range(0, distinct, CHUNK):
        u = uniform(name, min(CHUNK, distinct - start), start)
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            x = 0.5 + u
        elif len(shape) <= 1:
            x = 0.2 * (u - 0.5)
        else:
            x = (2 * u - 1) * (gain * np.sqrt(3 / fan))
        out[start : start + CHUNK] = x
    return torch.from_numpy(np.resize(out, shape))


def fill(module, gain=1.0, period=None):
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(value(name, tensor.shape, gain, period))
    return module


def images(name, shape):
    """Inputs have unit scale whatever their shape."""
    return torch.from_numpy((4 * uniform(name, int(np.prod(shape))) - 2).astype(np.float32).reshape(shape))


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().double().flatten().tolist()]


def summary(tensor):
    flat = tensor.detach().flatten()
    step = max(1, flat.numel() // 16)
    return {"shape": list(tensor.shape), "sum": float(flat.double().sum()), "values": numbers(flat[::step][:16])}


@torch.no_grad()
def layers():
    x = images("x", (2, 8, 7, 9))
    tokens = images("tokens", (2, 5, 16))
    out = {}

    def add(name, module, x=x, train=False):
        out[name] = summary(fill(module).train(train)(x))

    add("conv", nn.Conv2d(8, 12, 3, stride=2, padding=1))
    add("conv_groups_dilation", nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=4, bias=False))
    add("conv_asymmetric", nn.Conv2d(8, 4, (1, 7), padding=(0, 3)))
    add("linear", nn.Linear(16, 10), tokens)
    add("batch_norm_eval", nn.BatchNorm2d(8))
    norm = nn.BatchNorm2d(8)
    add("batch_norm_train", norm, train=True)
    for key in ("running_mean", "running_var"):
        out[f"batch_norm_{key}"] = summary(getattr(norm, key))
    average = nn.BatchNorm2d(8, momentum=None)
    fill(average).train()
    average(x)
    average(images("x2", x.shape))
    out["batch_norm_cumulative_running_var"] = summary(average.running_var)
    add("layer_norm", nn.LayerNorm(16), tokens)
    add("group_norm", nn.GroupNorm(4, 8))
    add("local_response_norm", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    add("conv_standardised", timm.layers.StdConv2d(8, 12, 3, eps=1e-8))
    add("efficient_channel_attention", timm.layers.EcaModule(8))
    add("adaptive_avg_pool", nn.AdaptiveAvgPool2d((4, 3)))
    add("max_pool", nn.MaxPool2d(3, 2, 1))
    add("max_pool_ceil", nn.MaxPool2d(3, 2, ceil_mode=True))
    add("avg_pool", nn.AvgPool2d(2))
    add("avg_pool_exclude_pad", nn.AvgPool2d(3, 2, 1, count_include_pad=False))
    add("global_avg_pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    add("squeeze_excite", torchvision.ops.SqueezeExcitation(8, 2))
    even = images("even", (2, 8, 8, 10))
    add("conv_tf_same", timm.layers.create_conv2d(8, 12, 3, stride=2, padding="same"), even)
    add("conv_tf_same_depthwise", timm.layers.create_conv2d(8, 8, 5, stride=2, padding="same", groups=8))
    add("blur_pool", timm.layers.BlurPool2d(8, pad_mode="constant"))
    add("layer_scale_2d", timm.layers.LayerScale2d(8))
    excitation = {"rd_channels": 3, "act_layer": "silu", "gate_layer": "hard_sigmoid"}
    add("squeeze_excite_mobile", SqueezeExcite(8, **excitation))
    add("multi_query_attention", timm.layers.MultiQueryAttention2d(8, num_heads=2, key_dim=4, value_dim=4), even)
    add("multi_query_attention_strided", timm.layers.MultiQueryAttention2d(8, None, 2, 4, 4, kv_stride=2), even)
    experts = fill(timm.layers.CondConv2d(8, 16, 3, stride=2, padding="same", groups=4, num_experts=3))
    out["cond_conv"] = summary(experts(even, 10 * images("routing", (2, 3))))
    attention = fill(nn.MultiheadAttention(16, 4, batch_first=True)).eval()
    out["multihead_attention"] = summary(attention(tokens, tokens, tokens, need_weights=False)[0])
    add("self_attention", timm.layers.Attention(16, 4, qkv_bias=True), tokens)
    add("layer_scale", timm.models.vision_transformer.LayerScale(16), tokens)
    add("mlp", timm.layers.Mlp(16, 24), tokens)
    add("mlp_gated", timm.layers.GluMlp(16, 24, act_layer=nn.SiLU, gate_last=False), tokens)
    add("patch_embed", timm.layers.PatchEmbed((7, 9), (2, 2), 8, 12, output_fmt="NHWC"))
    activations = {
        "identity": nn.Identity(),
        "relu": nn.ReLU(),
        "relu6": nn.ReLU6(),
        "elu": nn.ELU(),
        "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU("tanh"),
        "silu": nn.SiLU(),
        "sigmoid": nn.Sigmoid(),
        "tanh": nn.Tanh(),
        "hard_swish": nn.Hardswish(),
        "hard_sigmoid": nn.Hardsigmoid(),
    }
    for name, module in activations.items():
        out[name] = summary(module(4 * x))
    out["quick_gelu"] = summary(4 * x * torch.sigmoid(1.702 * 4 * x))
    return out


def optimizers():
    """A hundred steps on sum((p - target)^2) for each rule, in float64; the final parameters."""
    rules = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.1),
        "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.9, weight_decay=0.1),
        "rmsprop_tf": lambda p: timm.optim.RMSpropTF(p, lr=0.01, alpha=0.9, momentum=0.9, eps=1e-3, weight_decay=0.1),
        "adam": lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1),
        "lamb": lambda p: timm.optim.Lamb(p, lr=0.02, weight_decay=0.02),
        "lamb_plain": lambda p: timm.optim.Lamb(p, lr=0.02, weight_decay=0.0, max_grad_norm=None),
        "lamb_clipped": lambda p: timm.optim.Lamb(p, lr=0.1, weight_decay=0.1, trust_clip=True, always_adapt=True),
        "clipped": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "clipped_value": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "clipped_adaptive": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    }
    out = {}
    for name, rule in rules.items():
        params = [value("a", (4, 3)).double().requires_grad_(), value("b", (5,)).double().requires_grad_()]
        targets = [images("target.a", (4, 3)), images("target.b", (5,))]
        optimizer = rule(params)
        for _ in range(100):
            optimizer.zero_grad()
            sum(((p - t) ** 2).sum() for p, t in zip(params, targets)).backward()
            if name == "clipped":
                nn.utils.clip_grad_norm_(params, 0.5)
            elif name == "clipped_value":
                nn.utils.clip_grad_value_(params, 0.3)
            elif name == "clipped_adaptive":
                timm.utils.agc.adaptive_clip_grad(params, 0.05)
            optimizer.step()
        out[name] = [p.flatten().tolist() for p in params]
    return out


class Shortcut(nn.Module):
    """Option A: every second pixel, zeros for the new channels."""

    def __init__(self, extra, stride):
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x):
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class PreAct(nn.Module):
    def __init__(self, inputs, outputs, stride, kernels, se):
        super().__init__()
        self.count = len(kernels)
        for i, k in enumerate(kernels, 1):
            self.add_module(f"bn{i}", nn.BatchNorm2d(inputs if i == 1 else outputs))
            conv = nn.Conv2d(inputs if i == 1 else outputs, outputs, k, stride if i == 1 else 1, k // 2, bias=False)
            self.add_module(f"conv{i}", conv)
        if se:
            self.se = torchvision.ops.SqueezeExcitation(outputs, outputs // se)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x):
        y = first = self.bn1(x).relu()
        for i in range(1, self.count + 1):
            y = getattr(self, f"conv{i}")(y if i == 1 else getattr(self, f"bn{i}")(y).relu())
        if hasattr(self, "se"):
            y = self.se(y)
        return y + (self.downsample(first) if hasattr(self, "downsample") else x)


class Net(nn.Module):
    """A CIFAR net of torchvision's blocks, or of the pre-activation block above."""

    def __init__(self, stem, outputs, blocks, make, preact):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.Identity() if preact else nn.BatchNorm2d(stem)
        channels = stem
        for stage in range(3):
            layer = []
            for i in range(blocks):
                layer.append(make(channels, stage, 2 if i == 0 and stage > 0 else 1))
                channels = outputs[stage]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))
        self.norm = nn.BatchNorm2d(channels) if preact else nn.Identity()
        self.fc = nn.Linear(channels, 10)
        self.preact = preact

    def forward(self, x):
        x = self.conv1(x)
        x = x if self.preact else self.bn1(x).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.norm(x).relu() if self.preact else x
        return self.fc(x.mean((2, 3)))


def projection(inputs, outputs, stride):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def basic(shortcut):
    def make(inputs, stage, stride):
        planes = 16 << stage
        changes = stride != 1 or inputs != planes
        down = None
        if shortcut == "a" and changes:
            down = Shortcut(planes - inputs, stride)
        elif shortcut == "c" or (shortcut == "b" and changes):
            down = projection(inputs, planes, stride)
        return BasicBlock(inputs, planes, stride, down)

    return Net(16, [16, 32, 64], 3, make, preact=False)


def resnext(cardinality, base_width):
    def make(inputs, stage, stride):
        planes = 64 << stage
        down = projection(inputs, 4 * planes, stride) if inputs != 4 * planes else None
        return Bottleneck(inputs, planes, stride, down, groups=cardinality, base_width=base_width)

    return Net(64, [256, 512, 1024], 3, make, preact=False)


def wide(depth, width, kernels=(3, 3), se=0):
    def make(inputs, stage, stride):
        return PreAct(inputs, (16 << stage) * width, stride, kernels, se)

    return Net(16, [(16 << s) * width for s in range(3)], (depth - 4) // 6, make, preact=True)


@torch.no_grad()
def residual():
    nets = [
        ("paper/resnet20", {}, basic("a")),
        ("paper/resnet20", {"shortcut": "b"}, basic("b")),
        ("paper/resnet20", {"shortcut": "c"}, basic("c")),
        ("paper/resnext29_2x64d", {}, resnext(2, 64)),
        ("paper/resnext29", {"cardinality": 4, "base_width": 24}, resnext(4, 24)),
        ("paper/wrn_16_4", {}, wide(16, 4)),
        ("paper/wrn_40_1", {"kernels": [1, 3, 1]}, wide(40, 1, (1, 3, 1))),
        ("paper/wrn_16_4", {"se_reduction": 16}, wide(16, 4, se=16)),
    ]
    x = images("images", (2, 3, 32, 32))
    out = []
    for name, changes, net in nets:
        logits = fill(net).eval()(x)
        keys = [[key, list(tensor.shape)] for key, tensor in net.state_dict().items()]
        digest = uniform("\n".join(sorted(f"{key}{shape}" for key, shape in keys)), 1)[0]
        out.append({"name": name, "set": changes, "tensors": len(keys), "keys": digest, "logits": numbers(logits)})
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    for make in (layers, optimizers, residual):
        (HERE / f"{make.__name__}.json").write_text(json.dumps(make(), indent=1) + "\n")
