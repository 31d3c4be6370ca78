"""Regenerates parity/FAMILY.json for the families named, or for all: `parity.py [FAMILY…]`.

Every name of torchvision and timm in the table below, with weights and input from the hash of make.py, as checked by
tests/models/parity.rs.
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

from make import PERIOD, fill, images, numbers, uniform

HERE = pathlib.Path(__file__).parent / "parity"
RELU = 2**0.5


@dataclass
class Group:
    """Names of one source that are checked in the same way.

    `size` is the input's height and width: small, where the architecture allows. `gain` scales the weights of
    convolutions and linear layers so that the signal neither vanishes nor explodes on its way to the logits: RELU
    where every ReLU halves it, 1 where shortcuts carry it. The names in `quick` cover one structure each: plain
    `cargo test` runs them, `make parity` runs all. `features` is off where timm takes them from within a block.
    `resized` networks are built for `size`, with a position table and windows of that size: the largest ones, whose
    weights repeat after PERIOD values.
    """

    source: str
    names: str
    size: int
    gain: float = 1.0
    quick: str = ""
    features: bool = True
    resized: bool = False


FAMILIES = {
    "alexnet": [Group("torchvision", "alexnet", 64, RELU, quick="alexnet")],
    "vgg": [
        Group(
            source,
            "vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn",
            32,
            RELU,
            quick="vgg11 vgg13_bn",
        )
        for source in ("torchvision", "timm")
    ],
    "resnet": [
        Group("torchvision", "resnet18 resnet34 resnet50 resnet101 resnet152", 64, quick="resnet18 resnet50"),
        Group("timm", "resnet18 resnet26 resnet34 resnet50 resnet101 resnet152 resnet200", 64, quick="resnet26"),
        Group("timm", "resnet50c resnet101c resnet152c resnet50s resnet101s resnet152s", 64, quick="resnet50s"),
        Group("timm", "resnet18d resnet26d resnet34d resnet50d resnet101d resnet152d resnet200d", 64, quick="resnet26d"),
        Group("timm", "resnet10t resnet14t resnet26t resnet50t", 64, quick="resnet10t"),
    ],
    "wrn": [
        Group(source, "wide_resnet50_2 wide_resnet101_2", 64, quick="wide_resnet50_2")
        for source in ("torchvision", "timm")
    ],
    "resnext": [
        Group("torchvision", "resnext50_32x4d resnext101_32x8d resnext101_64x4d", 64, quick="resnext50_32x4d"),
        Group("timm", "resnext50_32x4d resnext50d_32x4d", 64, quick="resnext50d_32x4d"),
        Group("timm", "resnext101_32x4d resnext101_64x4d", 64),
        Group("timm", "resnext101_32x8d resnext101_32x16d resnext101_32x32d", 64),
    ],
    "senet": [
        Group("timm", "seresnet18 seresnet34 seresnet50 seresnet50t seresnet101 seresnet152", 64, quick="seresnet18"),
        Group("timm", "seresnet152d seresnet200d seresnet269d", 64),
        Group(
            "timm",
            "seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d seresnext101_32x4d seresnext101_32x8d"
            " seresnext101d_32x8d seresnext101_64x4d senet154",
            64,
            quick="seresnext26t_32x4d senet154",
        ),
        Group(
            "timm",
            "ecaresnet26t ecaresnet50d ecaresnet50t ecaresnet101d ecaresnet200d ecaresnet269d ecaresnext26t_32x4d"
            " ecaresnext50t_32x4d",
            64,
            quick="ecaresnet26t",
        ),
        Group(
            "timm",
            "legacy_seresnet18 legacy_seresnet34 legacy_seresnet50 legacy_seresnet101 legacy_seresnet152"
            " legacy_seresnext26_32x4d legacy_seresnext50_32x4d legacy_seresnext101_32x4d legacy_senet154",
            64,
            quick="legacy_seresnet18 legacy_seresnet50 legacy_seresnext26_32x4d legacy_senet154",
        ),
    ],
    "densenet": [
        Group(source, "densenet121 densenet161 densenet169 densenet201", 64, RELU, quick="densenet121")
        for source in ("torchvision", "timm")
    ],
    "inception": [
        Group("torchvision", "googlenet", 64, RELU, quick="googlenet"),
        # The auxiliary head needs 17×17 features.
        Group("torchvision", "inception_v3", 299, RELU, quick="inception_v3"),
        Group("timm", "inception_v3", 107, RELU, quick="inception_v3"),
        Group("timm", "inception_v4 inception_resnet_v2", 107, RELU, quick="inception_v4 inception_resnet_v2"),
    ],
    "xception": [
        Group("timm", "legacy_xception", 75, quick="legacy_xception"),
        Group(
            "timm",
            "xception41 xception65 xception71 xception41p xception65p",
            75,
            quick="xception41 xception71 xception41p",
            features=False,
        ),
    ],
    "resnetv2": [
        Group(
            "timm",
            "resnetv2_18 resnetv2_18d resnetv2_34 resnetv2_34d resnetv2_50 resnetv2_50d resnetv2_50t resnetv2_101"
            " resnetv2_101d resnetv2_152 resnetv2_152d",
            64,
            quick="resnetv2_18 resnetv2_34d resnetv2_50t",
        ),
        Group(
            "timm",
            "resnetv2_50x1_bit resnetv2_50x3_bit resnetv2_101x1_bit resnetv2_101x3_bit resnetv2_152x2_bit"
            " resnetv2_152x4_bit",
            64,
            quick="resnetv2_50x1_bit",
        ),
    ],
    "vit": [
        Group("torchvision", "vit_b_32", 224, quick="vit_b_32"),
        Group("torchvision", "vit_b_16 vit_l_16", 64, resized=True),
        Group("torchvision", "vit_l_32", 128, resized=True),
        Group("torchvision", "vit_h_14", 56, resized=True),
        Group(
            "timm",
            "vit_base_patch32_clip_quickgelu_224 vit_medium_patch32_clip_224 vit_xsmall_patch16_clip_224"
            " vit_base_patch16_siglip_224 vit_tiny_patch16_224",
            224,
            quick="vit_base_patch32_clip_quickgelu_224 vit_xsmall_patch16_clip_224 vit_tiny_patch16_224",
        ),
        Group(
            "timm",
            "vit_base_patch32_siglip_256 vit_base_patch32_siglip_gap_256",
            256,
            quick="vit_base_patch32_siglip_256 vit_base_patch32_siglip_gap_256",
        ),
        Group("timm", "vit_small_patch14_reg4_dinov2", 518, quick="vit_small_patch14_reg4_dinov2"),
        Group("timm", "vit_base_patch8_224 vit_small_patch8_224", 32, resized=True),
        # An odd number of places before the backbone's poolings, which SAME padding treats differently.
        Group(
            "timm",
            "vit_small_r26_s32_224 vit_base_r50_s16_224",
            102,
            resized=True,
            quick="vit_small_r26_s32_224 vit_base_r50_s16_224",
        ),
        Group(
            "timm",
            "vit_small_r26_s32_384 vit_base_r26_s32_224 vit_base_r50_s16_384 vit_large_r50_s32_224"
            " vit_large_r50_s32_384 vit_small_resnet26d_224 vit_small_resnet50d_s16_224 vit_base_resnet26d_224"
            " vit_base_resnet50d_224 vit_tiny_r_s16_p8_224 vit_tiny_r_s16_p8_384",
            128,
            resized=True,
            quick="vit_small_resnet50d_s16_224 vit_tiny_r_s16_p8_224",
        ),
        Group(
            "timm",
            "vit_base_patch32_224 vit_base_patch32_384 vit_base_patch32_clip_224 vit_base_patch32_clip_256"
            " vit_base_patch32_clip_384 vit_base_patch32_clip_448 vit_betwixt_patch32_clip_224 vit_large_patch32_224"
            " vit_large_patch32_384 vit_small_patch32_224 vit_small_patch32_384",
            128,
            resized=True,
        ),
        Group(
            "timm",
            "vit_giant_patch14_clip_224 vit_gigantic_patch14_clip_224 vit_gigantic_patch14_clip_378"
            " vit_gigantic_patch14_clip_quickgelu_224 vit_huge_patch14_clip_224 vit_huge_patch14_clip_336"
            " vit_huge_patch14_clip_378 vit_huge_patch14_clip_quickgelu_224"
            " vit_huge_patch14_clip_quickgelu_378 vit_large_patch14_clip_224 vit_large_patch14_clip_336"
            " vit_large_patch14_clip_quickgelu_224 vit_large_patch14_clip_quickgelu_336"
            " vit_base_patch14_dinov2 vit_base_patch14_reg4_dinov2 vit_giant_patch14_dinov2"
            " vit_giant_patch14_reg4_dinov2 vit_large_patch14_dinov2 vit_large_patch14_reg4_dinov2"
            " vit_small_patch14_dinov2 vit_so400m_patch14_siglip_224 vit_so400m_patch14_siglip_378"
            " vit_so400m_patch14_siglip_384 vit_so400m_patch14_siglip_gap_224"
            " vit_so400m_patch14_siglip_gap_378 vit_so400m_patch14_siglip_gap_384"
            " vit_so400m_patch14_siglip_gap_448 vit_so400m_patch14_siglip_gap_896 vit_giant_patch14_224"
            " vit_gigantic_patch14_224 vit_huge_patch14_224 vit_large_patch14_224",
            56,
            resized=True,
        ),
        Group(
            "timm",
            "vit_base_patch16_clip_224 vit_base_patch16_clip_384 vit_base_patch16_clip_quickgelu_224"
            " vit_base_patch16_plus_clip_240 vit_medium_patch16_clip_224 vit_base_patch16_siglip_256"
            " vit_base_patch16_siglip_384 vit_base_patch16_siglip_512 vit_base_patch16_siglip_gap_224"
            " vit_base_patch16_siglip_gap_256 vit_base_patch16_siglip_gap_384 vit_base_patch16_siglip_gap_512"
            " vit_giantopt_patch16_siglip_256 vit_giantopt_patch16_siglip_384"
            " vit_giantopt_patch16_siglip_gap_256 vit_giantopt_patch16_siglip_gap_384"
            " vit_large_patch16_siglip_256 vit_large_patch16_siglip_384 vit_large_patch16_siglip_512"
            " vit_large_patch16_siglip_gap_256 vit_large_patch16_siglip_gap_384"
            " vit_large_patch16_siglip_gap_512 vit_so400m_patch16_siglip_256 vit_so400m_patch16_siglip_384"
            " vit_so400m_patch16_siglip_512 vit_so400m_patch16_siglip_gap_256"
            " vit_so400m_patch16_siglip_gap_384 vit_so400m_patch16_siglip_gap_512 vit_base_patch16_224"
            " vit_base_patch16_384 vit_large_patch16_224 vit_large_patch16_384 vit_small_patch16_224"
            " vit_small_patch16_384 vit_tiny_patch16_384",
            64,
            resized=True,
        ),
    ],
    "deit": [
        Group(
            "timm",
            "deit_tiny_patch16_224 deit3_small_patch16_224 deit_tiny_distilled_patch16_224",
            224,
            quick="deit3_small_patch16_224 deit_tiny_distilled_patch16_224",
        ),
        Group(
            "timm",
            "deit_base_patch16_224 deit_base_patch16_384 deit_small_patch16_224 deit3_base_patch16_224"
            " deit3_base_patch16_384 deit3_large_patch16_224 deit3_large_patch16_384 deit3_medium_patch16_224"
            " deit3_small_patch16_384 deit_base_distilled_patch16_224 deit_base_distilled_patch16_384"
            " deit_small_distilled_patch16_224",
            64,
            resized=True,
        ),
        Group("timm", "deit3_huge_patch14_224", 56, resized=True),
    ],
    "swin": [
        Group("torchvision", "swin_t", 224, quick="swin_t"),
        Group("torchvision", "swin_v2_t", 256, quick="swin_v2_t"),
        Group("torchvision", "swin_s swin_b", 112, resized=True),
        Group("torchvision", "swin_v2_s swin_v2_b", 128, resized=True),
        Group("timm", "swin_tiny_patch4_window7_224", 224, quick="swin_tiny_patch4_window7_224"),
        Group(
            "timm",
            "swinv2_tiny_window8_256 swinv2_base_window12to16_192to256",
            256,
            quick="swinv2_tiny_window8_256 swinv2_base_window12to16_192to256",
        ),
        Group(
            "timm",
            "swin_small_patch4_window7_224 swin_base_patch4_window7_224 swin_large_patch4_window7_224",
            112,
            resized=True,
        ),
        Group(
            "timm",
            "swinv2_tiny_window16_256 swinv2_small_window8_256 swinv2_small_window16_256 swinv2_base_window8_256"
            " swinv2_base_window16_256 swinv2_large_window12to16_192to256",
            128,
            resized=True,
        ),
        # Windows of 12 or 24 in a map of 48: more than one, so shifted.
        Group(
            "timm",
            "swin_base_patch4_window12_384 swin_large_patch4_window12_384 swinv2_base_window12_192"
            " swinv2_large_window12_192 swinv2_base_window12to24_192to384 swinv2_large_window12to24_192to384",
            192,
            resized=True,
        ),
    ],
    "efficientnet": [
        Group(
            "torchvision",
            "efficientnet_b0 efficientnet_b1 efficientnet_b2",
            64,
            RELU,
            quick="efficientnet_b0",
        ),
        Group(
            "torchvision",
            "efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6",
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
        # At a higher gain, rounding errors in nets this deep grow as large as the effect of the image.
        Group("torchvision", "efficientnet_b7", 64, 1.25),
        Group("timm", "efficientnet_b7 tf_efficientnet_b7 efficientnet_b8 tf_efficientnet_b8", 64, 1.25),
        Group("torchvision", "efficientnet_v2_m efficientnet_v2_l", 64),
        Group(
            "timm",
            "efficientnet_b0 tf_efficientnet_b0 efficientnet_b1 tf_efficientnet_b1 efficientnet_b2 "
            "tf_efficientnet_b2 efficientnet_cc_b0_4e tf_efficientnet_cc_b0_4e efficientnet_lite0 "
            "tf_efficientnet_lite0 efficientnet_lite1 tf_efficientnet_lite1 efficientnet_lite2 "
            "tf_efficientnet_lite2 efficientnet_lite3 tf_efficientnet_lite3",
            64,
            RELU,
            quick="efficientnet_b0 tf_efficientnet_b0 efficientnet_cc_b0_4e tf_efficientnet_lite0",
        ),
        Group(
            "timm",
            "efficientnet_b3 tf_efficientnet_b3 efficientnet_b4 tf_efficientnet_b4 efficientnet_b5 "
            "tf_efficientnet_b5 efficientnet_b6 tf_efficientnet_b6 efficientnet_cc_b0_8e tf_efficientnet_cc_b0_8e "
            "efficientnet_cc_b1_8e tf_efficientnet_cc_b1_8e efficientnet_lite4 tf_efficientnet_lite4",
            64,
            1.3,
            quick="tf_efficientnet_cc_b0_8e",
        ),
        Group(
            "timm",
            "efficientnet_l2 tf_efficientnet_l2 tf_efficientnetv2_b0 tf_efficientnetv2_b1 tf_efficientnetv2_b2 "
            "tf_efficientnetv2_b3",
            64,
            1.2,
            quick="tf_efficientnetv2_b0",
        ),
        Group(
            "timm",
            "efficientnet_el tf_efficientnet_el efficientnet_em tf_efficientnet_em efficientnet_es "
            "tf_efficientnet_es efficientnetv2_s tf_efficientnetv2_s",
            64,
            1.1,
            quick="tf_efficientnet_es tf_efficientnetv2_s",
        ),
        Group("timm", "efficientnetv2_m tf_efficientnetv2_m efficientnetv2_l tf_efficientnetv2_l", 64),
        Group("timm", "efficientnetv2_xl tf_efficientnetv2_xl", 64, 0.95),
    ],
    "squeezenet": [
        Group("torchvision", "squeezenet1_0 squeezenet1_1", 64, RELU, quick="squeezenet1_0 squeezenet1_1"),
    ],
    "shufflenet": [
        Group(
            "torchvision",
            "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0",
            64,
            1.2,
            quick="shufflenet_v2_x0_5",
        ),
    ],
    "mnasnet": [
        Group("torchvision", "mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3", 64, 1.2, quick="mnasnet0_5"),
    ],
    "regnet": [
        Group(
            "torchvision",
            "regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf"
            " regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf"
            " regnet_y_128gf",
            64,
            quick="regnet_y_400mf regnet_x_400mf",
        ),
    ],
    "convnext": [
        Group("torchvision", "convnext_tiny convnext_small convnext_base convnext_large", 64, quick="convnext_tiny"),
    ],
    # Its windows must divide every map.
    "maxvit": [Group("torchvision", "maxvit_t", 224, 1.2, quick="maxvit_t")],
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


# Heads that the libraries run only in training, and the module whose output each takes.
AUXILIARY = {
    "torchvision/googlenet": {"aux1": "inception4a", "aux2": "inception4d"},
    "torchvision/inception_v3": {"AuxLogits": "Mixed_6e"},
}


class Uninitialised(TorchFunctionMode):
    """Skips random initial values, which the hash replaces anyway."""

    DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return args[0] if function in self.DRAWS else function(*args, **(kwargs or {}))


def create(name, size=None):
    """The model without pretrained weights, in evaluation mode; for images of `size` instead of its own if given."""
    source, bare = name.split("/")
    options = {"init_weights": False} if name in ("torchvision/googlenet", "torchvision/inception_v3") else {}
    if size and source == "timm":
        options["img_size"] = size
    elif size and bare.startswith("vit"):  # torchvision's Swin takes images of any size
        options["image_size"] = size
    make = torchvision.models.get_model if source == "torchvision" else timm.create_model
    return make(bare, **options).eval()


def without_memory(name):
    """The model on the meta device; RegNet's builder computes widths with tensors, so it is moved there afterwards."""
    if "regnet" in name:
        with Uninitialised():
            return create(name).to("meta")
    with torch.device("meta"):
        return create(name)


def native_size(name):
    """Height and width of the input for which costs are stated."""
    source, bare = name.split("/")
    if source == "timm":
        return timm.get_pretrained_cfg(bare).input_size[1]
    if bare == "vit_h_14":  # its builder's size, not that of its default weights
        return 224
    return torchvision.models.get_model_weights(bare).DEFAULT.transforms().crop_size[0]


def stated(name):
    """Keys, parameters, MACs at the native size, and the shapes of timm's features there: a dry run."""
    net = without_memory(name).requires_grad_(False)
    side = native_size(name)
    x = torch.empty(1, 3, side, side, device="meta")
    shapes = []
    for info in getattr(net, "feature_info", None) or []:
        module = dict(net.named_modules()).get(info["module"])
        if module is not None:
            module.register_forward_hook(lambda _, inputs, output: shapes.append(list(output.shape[1:])))
    with FlopCounterMode(display=False) as counter:
        net(x)
    params = sum(parameter.numel() for parameter in net.parameters())
    costs = {"params": params, "macs": counter.get_total_flops() // 2, "input": [3, side, side], "features": shapes}
    return costs | digest(net)


def digest(net):
    """The number of keys, and a hash of them with their shapes."""
    keys = sorted(f"{key}{list(tensor.shape)}" for key, tensor in net.state_dict().items())
    return {"tensors": len(keys), "keys": uniform("\n".join(keys), 1)[0]}


def some(logits):
    """The sum, and about 16 of the values."""
    values = numbers(logits[:: max(1, logits.numel() // 16)][:16])
    return {"sum": numbers(logits.double().sum())[0], "logits": values}


def auxiliary(name, net):
    """The list that will hold the logits of the auxiliary heads, one entry per head in the order of their stages."""
    logits = []
    for head, stage in AUXILIARY.get(name, {}).items():
        head = net.get_submodule(head)
        take = lambda _, inputs, output, head=head: logits.append(head(output)[0])
        net.get_submodule(stage).register_forward_hook(take)
    return logits


def computed(group, name):
    """The logits of one image."""
    with Uninitialised():
        net = create(name, group.size if group.resized else None)
    fill(net, group.gain, PERIOD if group.resized else None)
    heads = auxiliary(name, net)
    both = net(images(name, (2, 3, group.size, group.size)))
    logits, scale = both[0], float(both.abs().max())
    moved = float((both[0] - both[1]).abs().max() / scale)
    assert 1e-3 < scale < 1e6 and moved > 1e-3, f"{name}: logits up to {scale:.2g}, {moved:.2g} of that from the image"
    row = {"size": group.size, "gain": group.gain, **some(logits)}
    row |= {"resized": True} if group.resized else {}
    return row | ({"auxiliary": [some(head) for head in heads]} if heads else {})


def parity(group, bare):
    name = f"{group.source}/{bare}"
    row = {"name": name, "quick": bare in group.quick.split(), **stated(name)}
    row |= {} if group.features else {"features": []}
    return row | computed(group, name)


def lines(rows):
    """One row per line, so that a changed model is one changed line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    for family in sys.argv[1:] or FAMILIES:
        with torch.no_grad():
            rows = [parity(group, bare) for group in FAMILIES[family] for bare in group.names.split()]
        (HERE / f"{family}.json").write_text(lines(rows))
