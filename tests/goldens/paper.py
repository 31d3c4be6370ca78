"""Regenerates paper_nets.json: the papers' nets that neither torchvision nor timm has, defined here again in PyTorch.

Weights and inputs come from the hash of make.py. Keys are ours, so that both sides fill the same tensors.
"""

import json
from collections import OrderedDict

import timm
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from make import HERE, Shortcut, fill, images, numbers, projection, uniform

RELU = 2**0.5


# AlexNet, ZFNet, VGG


def response_norm():
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class Classic(nn.Module):
    """`features`, pooled to a square, and `classifier`."""

    def __init__(self, features, field, classifier):
        super().__init__()
        self.features, self.pool = nn.Sequential(*features), nn.AdaptiveAvgPool2d(field)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


def alexnet(relu=nn.ReLU):
    conv = nn.Conv2d
    features = [conv(3, 96, 11, 4, 2), relu(), response_norm(), nn.MaxPool2d(3, 2)]
    features += [conv(96, 256, 5, padding=2, groups=2), relu(), response_norm(), nn.MaxPool2d(3, 2)]
    features += [conv(256, 384, 3, padding=1), relu(), conv(384, 384, 3, padding=1, groups=2), relu()]
    features += [conv(384, 256, 3, padding=1, groups=2), relu(), nn.MaxPool2d(3, 2)]
    drop = nn.Dropout()
    return Classic(features, 6, [drop, nn.Linear(9216, 64), relu(), drop, nn.Linear(64, 64), relu(), nn.Linear(64, 10)])


def zfnet():
    conv, relu = nn.Conv2d, nn.ReLU
    features = [conv(3, 96, 7, 2, 1), relu(), nn.MaxPool2d(3, 2, 1), response_norm()]
    features += [conv(96, 256, 5, 2), relu(), nn.MaxPool2d(3, 2, 1), response_norm()]
    features += [conv(256, 384, 3, padding=1), relu(), conv(384, 384, 3, padding=1), relu()]
    features += [conv(384, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2)]
    return Classic(features, 6, [nn.Dropout(), nn.Linear(9216, 64), relu(), nn.Linear(64, 10)])


def vgg(stages, last_kernels, lrn=False, se=False):
    features, inputs = [], 3
    for stage, (layers, last) in enumerate(zip(stages, last_kernels)):
        for layer in range(layers):
            kernel = last if layer + 1 == layers else 3
            features.append(nn.Conv2d(inputs, 16, kernel, padding=kernel // 2))
            features += [nn.BatchNorm2d(16), nn.ReLU(), torchvision.ops.SqueezeExcitation(16, 4)] if se else [nn.ReLU()]
            if lrn and stage == layer == 0:
                features.append(response_norm())
            inputs = 16
        features.append(nn.MaxPool2d(2))
    hidden = [nn.Linear(16 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(), nn.Dropout()]
    return Classic(features, 7, [*hidden, nn.Linear(32, 10)])


# ResNet, ResNeXt, SENet


PLANES = {1: [64, 64, 96, 96], 4: [16, 16, 32, 32]}  # by the block's expansion


class Nothing(nn.Module):
    def forward(self, x):
        return torch.zeros(())


class Se(nn.Module):
    def __init__(self, channels, reduction, squeeze, gate):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)
        self.squeeze, self.gate = squeeze, gate

    def forward(self, x):
        return x * self.gate(self.fc2(self.fc1(self.squeeze(x)).relu()))


def mean(x):
    return x.mean((2, 3), keepdim=True)


class SeBottleneck(Bottleneck):
    """1709.01507, Figure 5 and the table of a unit within the residual branch."""

    def attend(self, place, x):
        return self.se(x) if self.place == place and hasattr(self, "se") else x

    def forward(self, x):
        y = self.attend("pre", x)
        y = self.bn1(self.conv1(y)).relu()
        y = self.attend("spatial", self.bn2(self.conv2(y)).relu())
        y = self.attend("standard", self.bn3(self.conv3(y)))
        shortcut = self.downsample(x) if self.downsample else x
        return self.attend("post", (y + self.attend("identity", shortcut)).relu())


def resnet(block, shortcut="b", stride_first=False, groups=1, width=64, attention=None):
    """One block per stage, with few planes."""
    net = ResNet(block, [1, 1, 1, 1], num_classes=10, groups=groups, width_per_group=width)
    net.inplanes = 64
    for stage, planes in enumerate(PLANES[block.expansion], 1):
        layer = net._make_layer(block, planes, 1, stride=1 if stage == 1 else 2)
        setattr(net, f"layer{stage}", layer)
        unit, outputs = layer[0], planes * block.expansion
        changes, inputs = unit.downsample, unit.conv1.in_channels
        if shortcut == "none":
            unit.downsample = Nothing()
        elif shortcut == "a" and changes:
            unit.downsample = Shortcut(outputs - inputs, unit.stride)
        elif shortcut == "c" and not changes:
            unit.downsample = projection(inputs, outputs, 1)
        if stride_first:
            unit.conv1.stride, unit.conv2.stride = unit.conv2.stride, unit.conv1.stride
        if attention and stage in attention.get("stages", (1, 2, 3, 4)):
            unit.place = attention.get("place", "standard")
            channels = {"pre": inputs, "spatial": outputs // 4}.get(unit.place, outputs)
            se = attention.get("reduction", 16), attention.get("squeeze", mean), attention.get("gate", torch.sigmoid)
            unit.se = Se(channels, *se)
        elif attention:
            unit.place = None
    net.fc = nn.Linear(outputs, 10)
    return net


def preact_resnet():
    """timm's net, with norm and ReLU of the first block moved before the pooling."""
    net = timm.create_model("resnetv2_50", layers=[2, 1, 1, 1], channels=[64, 128, 128, 256], num_classes=10)
    first = net.stages[0].blocks[0]
    stem = OrderedDict(conv=net.stem.conv, norm=first.norm1, pool=net.stem.pool)
    net.stem, first.norm1 = nn.Sequential(stem), nn.Identity()
    return net


def se_resnet(**attention):
    return resnet(SeBottleneck, stride_first=True, attention={"place": "standard", **attention})


# Inception


class Unit(nn.Module):
    """A convolution with ReLU, with batch norm or a bias."""

    def __init__(self, inputs, outputs, kernel, stride=1, norm=False):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(outputs, 1e-3) if norm else nn.Identity()

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Module(nn.Module):
    """Parallel branches, and squeeze-excitation of their output."""

    def __init__(self, branches, se=0):
        super().__init__()
        self.names = list(branches)
        for name, branch in branches.items():
            setattr(self, name, branch)
        self.se = torchvision.ops.SqueezeExcitation(se, se // 16) if se else nn.Identity()

    def forward(self, x):
        return self.se(torch.cat([getattr(self, name)(x) for name in self.names], 1))


class Auxiliary(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.pool, self.conv = nn.AvgPool2d(5, 3), Unit(inputs, 128, 1)
        self.fc1, self.fc2 = nn.Linear(2048, 1024), nn.Linear(1024, 10)

    def forward(self, x):
        return self.fc2(self.fc1(self.conv(self.pool(x)).flatten(1)).relu())


def halving():
    return nn.MaxPool2d(3, 2, ceil_mode=True)


class GoogLeNet(nn.Module):
    TABLE_1 = {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }

    def __init__(self, se=False, naive=False, side=1):
        super().__init__()
        norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        self.conv1, self.conv2, self.conv3 = Unit(3, 64, 7, 2), Unit(64, 64, 1), Unit(64, 192, 3)
        self.pool1 = nn.Sequential(halving(), norm)
        self.pool2 = nn.Sequential(norm, halving())
        inputs = 192
        for name, (one, reduce3, three, reduce5, five, pooled) in self.TABLE_1.items():
            branches = {
                "branch1": Unit(inputs, one, 1),
                "branch2": nn.Sequential(Unit(inputs, reduce3, 1), Unit(reduce3, three, 3)),
                "branch3": nn.Sequential(Unit(inputs, reduce5, 1), Unit(reduce5, five, 5)),
                "branch4": nn.Sequential(nn.MaxPool2d(3, 1, 1), Unit(inputs, pooled, 1)),
            }
            if naive:
                branches |= {"branch2": Unit(inputs, three, 3), "branch3": Unit(inputs, five, 5)}
                branches["branch4"], pooled = nn.MaxPool2d(3, 1, 1), inputs
            inputs = one + three + five + pooled
            setattr(self, f"inception{name}", Module(branches, inputs if se else 0))
        self.aux1, self.aux2 = Auxiliary(1280 if naive else 512), Auxiliary(2640 if naive else 528)
        self.side, self.fc = side, nn.Linear(inputs * side**2, 10)

    def forward(self, x):
        x = self.pool2(self.conv3(self.conv2(self.pool1(self.conv1(x)))))
        self.auxiliary = []
        for name in self.TABLE_1:
            if name in ("4a", "5a"):
                x = nn.functional.max_pool2d(x, 3 if name == "4a" else 2, 2, ceil_mode=True)
            x = getattr(self, f"inception{name}")(x)
            if name in ("4a", "4d"):
                self.auxiliary.append((self.aux1 if name == "4a" else self.aux2)(x))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, self.side).flatten(1))


def excite(block, channels, forward):
    """Adds squeeze-excitation to `block`, whose output is now that of `forward`."""
    block.se = torchvision.ops.SqueezeExcitation(channels, channels // 16)
    block.forward = forward


def se_inception_resnet_v2():
    net = timm.create_model("inception_resnet_v2", num_classes=10)

    def module(block, channels):
        plain = block.forward
        excite(block, channels, lambda x: block.se(plain(x)))

    def residual(block, last=False):
        names = [name for name, _ in block.named_children() if name.startswith("branch")]

        def forward(x):
            y = block.conv2d(torch.cat([getattr(block, name)(x) for name in names], 1))
            y = x + block.scale * block.se(y)
            return y if last else y.relu()

        excite(block, block.conv2d.out_channels, forward)

    for block, channels in ((net.mixed_5b, 320), (net.mixed_6a, 1088), (net.mixed_7a, 2080)):
        module(block, channels)
    for block in (*net.repeat, *net.repeat_1, *net.repeat_2):
        residual(block)
    residual(net.block8, last=True)
    return net


class BnInception(nn.Module):
    FIGURE_5 = {
        "3a": (64, 64, 64, 64, 96, 32),
        "3b": (64, 64, 96, 64, 96, 64),
        "3c": (0, 128, 160, 64, 96, 0),
        "4a": (224, 64, 96, 96, 128, 128),
        "4b": (192, 96, 128, 96, 128, 128),
        "4c": (160, 128, 160, 128, 160, 128),
        "4d": (96, 128, 192, 160, 192, 128),
        "4e": (0, 128, 192, 192, 256, 0),
        "5a": (352, 192, 320, 160, 224, 128),
        "5b": (352, 192, 320, 192, 224, 128),
    }

    def __init__(self, se):
        super().__init__()

        def unit(*args):
            return Unit(*args, norm=True)

        self.conv1, self.conv2, self.conv3 = unit(3, 64, 7, 2), unit(64, 64, 1), unit(64, 192, 3)
        self.pool, inputs = halving(), 192
        for name, (one, reduce3, three, reduce_double, double, pooled) in self.FIGURE_5.items():
            stride = 1 if one else 2
            branches = {"branch1": unit(inputs, one, 1)} if one else {}
            branches["branch2"] = nn.Sequential(unit(inputs, reduce3, 1), unit(reduce3, three, 3, stride))
            first = unit(inputs, reduce_double, 1), unit(reduce_double, double, 3)
            branches["branch3"] = nn.Sequential(*first, unit(double, double, 3, stride))
            pool = nn.MaxPool2d(3, 1, 1) if name == "5b" else nn.AvgPool2d(3, 1, 1)
            branches["branch4"] = nn.Sequential(pool, unit(inputs, pooled, 1)) if one else halving()
            inputs = one + three + double + (pooled if one else inputs)
            setattr(self, f"inception{name}", Module(branches, inputs if se else 0))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.pool(self.conv3(self.conv2(self.pool(self.conv1(x)))))
        for name in self.FIGURE_5:
            x = getattr(self, f"inception{name}")(x)
        return self.fc(x.mean((2, 3)))


# DenseNet, Xception, MobileNet


class Dense(nn.Module):
    """A layer of DenseNet without bottleneck."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv1(self.norm1(x).relu())], 1)


def densenet(layers, growth):
    features = nn.Sequential()
    features.add_module("conv0", nn.Conv2d(3, 16, 3, padding=1, bias=False))
    inputs = 16
    for number in (1, 2, 3):
        block = [Dense(inputs + i * growth, growth) for i in range(layers)]
        block = OrderedDict((f"denselayer{i}", layer) for i, layer in enumerate(block, 1))
        features.add_module(f"denseblock{number}", nn.Sequential(block))
        inputs += layers * growth
        if number < 3:
            transition = nn.Sequential()
            transition.add_module("norm", nn.BatchNorm2d(inputs))
            transition.add_module("relu", nn.ReLU())
            transition.add_module("conv", nn.Conv2d(inputs, inputs, 1, bias=False))
            transition.add_module("pool", nn.AvgPool2d(2))
            features.add_module(f"transition{number}", transition)
    features.add_module("norm5", nn.BatchNorm2d(inputs))
    features.add_module("relu5", nn.ReLU())
    net = Classic([], 1, [])
    net.features, net.classifier = features, nn.Linear(inputs, 10)
    return net


class Variant(nn.Module):
    """timm's separable convolution with a function between its two steps, in the other order, or on few segments."""

    def __init__(self, separable, between=nn.Identity(), pointwise_first=False, segments=0):
        super().__init__()
        self.pointwise, self.between, self.pointwise_first = separable.pointwise, between, pointwise_first
        channels = separable.pointwise.out_channels if pointwise_first else separable.pointwise.in_channels
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=segments or channels, bias=False)

    def forward(self, x):
        first, second = (self.pointwise, self.conv1) if self.pointwise_first else (self.conv1, self.pointwise)
        return second(self.between(first(x)))


class Plain(nn.Module):
    """timm's Xception block without the shortcut."""

    def __init__(self, block):
        super().__init__()
        self.rep = block.rep

    def forward(self, x):
        return self.rep(x.clone())


def xception(residual=True, **variant):
    net = timm.create_model("legacy_xception", num_classes=10)
    for name, module in list(net.named_modules()):
        parent, _, last = name.rpartition(".")
        if variant and type(module).__name__ == "SeparableConv2d":
            setattr(net.get_submodule(parent), last, Variant(module, **variant))
        if not residual and type(module).__name__ == "Block":
            setattr(net.get_submodule(parent), last, Plain(module))
    return net


class SeparableSe(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv_pw, self.bn2 = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.se = Se(outputs, 16, mean, torch.sigmoid)

    def forward(self, x):
        return self.se(self.bn2(self.conv_pw(self.bn1(self.conv_dw(x)).relu())).relu())


class SeMobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        blocks, inputs = [], 32
        for outputs, count in ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)):
            stage = []
            for i in range(count):
                stage.append(SeparableSe(inputs, outputs, 2 if i == 0 and outputs > 64 else 1))
                inputs = outputs
            blocks.append(nn.Sequential(*stage))
        self.blocks, self.classifier = nn.Sequential(*blocks), nn.Linear(1024, 10)

    def forward(self, x):
        return self.classifier(self.blocks(self.bn1(self.conv_stem(x)).relu()).mean((2, 3)))


BASIC = {"layers": [1, 1, 1, 1], "planes": PLANES[1]}
BOTTLENECK = {"layers": [1, 1, 1, 1], "planes": PLANES[4]}
NETS = [
    ("alexnet", {"hidden": [64, 64]}, 64, RELU, alexnet()),
    ("alexnet", {"hidden": [64, 64], "activation": "tanh"}, 64, RELU, alexnet(nn.Tanh)),
    ("zfnet", {"hidden": [64]}, 64, RELU, zfnet()),
    ("vgg11_a_lrn", {"channels": [16] * 5, "hidden": 32}, 64, RELU, vgg([1, 1, 2, 2, 2], [3] * 5, lrn=True)),
    ("vgg16_c", {"channels": [16] * 5, "hidden": 32}, 64, RELU, vgg([2, 2, 3, 3, 3], [3, 3, 1, 1, 1])),
    (
        "se_vgg16_bn",
        {"channels": [16] * 5, "hidden": 32, "se_reduction": 4},
        64,
        2,
        vgg([2, 2, 3, 3, 3], [3] * 5, se=True),
    ),
    ("plain18", BASIC, 64, RELU, resnet(BasicBlock, "none")),
    ("resnet34_a", BASIC, 64, 1, resnet(BasicBlock, "a")),
    ("resnet34_c", BASIC, 64, 1, resnet(BasicBlock, "c")),
    ("resnet50", BOTTLENECK, 64, 1, resnet(Bottleneck, stride_first=True)),
    ("preact_resnet152", {"layers": [2, 1, 1, 1], "planes": [16, 32, 32, 64]}, 64, 1, preact_resnet()),
    ("plain_resnext50_32x4d", BOTTLENECK, 64, RELU, resnet(Bottleneck, "none", groups=32, width=4)),
    ("se_resnet50", {**BOTTLENECK, "se_reduction": 4}, 64, 1, se_resnet(reduction=4)),
    ("se_resnet50", {**BOTTLENECK, "se_squeeze": "max"}, 64, 1, se_resnet(squeeze=lambda x: x.amax((2, 3), True))),
    ("se_resnet50", {**BOTTLENECK, "se_squeeze": "none"}, 64, 1, se_resnet(squeeze=lambda x: x)),
    ("se_resnet50", {**BOTTLENECK, "se_gate": "tanh"}, 64, 1, se_resnet(gate=torch.tanh)),
    (
        "se_resnet50",
        {**BOTTLENECK, "attention_stages": [False, True, False, True]},
        64,
        1,
        se_resnet(stages=(2, 4)),
    ),
    *(
        ("se_resnet50", {**BOTTLENECK, "attention_place": place}, 64, 1.2, se_resnet(place=place))
        for place in ("pre", "post", "identity", "spatial")
    ),
    ("googlenet", {}, 224, RELU, GoogLeNet()),
    ("googlenet", {"naive": True}, 224, 1.2, GoogLeNet(naive=True)),
    (
        "googlenet",
        {"head": "flatten", "image_size": 64, "aux_logits": False},
        64,
        RELU,
        GoogLeNet(side=2),
    ),
    ("se_googlenet", {"aux_logits": False}, 64, 1.7, GoogLeNet(True)),
    ("bn_inception", {}, 64, RELU, BnInception(False)),
    ("se_bn_inception", {}, 64, 1.6, BnInception(True)),
    ("densenet_40_12", {"blocks": [2, 2, 2]}, 32, RELU, densenet(2, 12)),
    ("se_inception_resnet_v2", {}, 107, RELU, se_inception_resnet_v2()),
    ("xception_relu", {}, 75, 1.2, xception(between=nn.ReLU())),
    ("xception_elu", {}, 75, 1.1, xception(between=nn.ELU())),
    ("extreme_inception", {}, 75, 1.2, xception(between=nn.ReLU(), pointwise_first=True)),
    ("extreme_inception", {"intermediate": "identity"}, 75, 1, xception(pointwise_first=True)),
    ("xception_relu", {"segments": 4}, 75, 1.2, xception(between=nn.ReLU(), segments=4)),
    ("xception_no_residual", {}, 75, 1.2, xception(residual=False)),
    ("se_mobilenet_v1", {}, 64, 1.7, SeMobileNet()),
]


@torch.no_grad()
def paper():
    out = []
    for name, changes, side, gain, net in NETS:
        if "aux_logits" in changes:
            net.aux1 = net.aux2 = nn.Sequential()
        logits = fill(net, gain).eval()(images("images", (2, 3, side, side)))
        keys = [f"{key}{list(tensor.shape)}" for key, tensor in net.state_dict().items()]
        case = {"name": f"paper/{name}", "set": {"num_classes": 10, **changes}, "side": side, "gain": gain}
        case |= {"tensors": len(keys), "keys": uniform("\n".join(sorted(keys)), 1)[0], "logits": numbers(logits)}
        if "aux_logits" not in changes:
            case["auxiliary"] = [numbers(logits) for logits in getattr(net, "auxiliary", [])]
        out.append(case)
        print(name, changes, float(logits.abs().max()), float((logits[0] - logits[1]).abs().max()))
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    (HERE / "paper_nets.json").write_text(json.dumps(paper(), indent=1) + "\n")
