"""Generates the catalogue of public weights from the installed torchvision and timm, in this folder: one YAML file
per family, and the class names of ImageNet-1k.

Run by `make catalogue`. The same versions of the libraries give the same bytes.
"""

import json
import re
from pathlib import Path

import timm
import torchvision
from timm.models import _registry as timm_registry
from torchvision import models as torchvision_models

HERE = Path(__file__).parent

# The most common values; a line of the catalogue has only fields that differ.
DEFAULTS = {
    "data": ["imagenet-1k"],
    "classes": 1000,
    "input": 224,
    "interpolation": "bicubic",
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}

# Family, and patterns of the library's module that defines the models and of their names.
TORCHVISION = [
    ("AlexNet", "alexnet", ""),
    ("ConvNeXt", "convnext", ""),
    ("DenseNet", "densenet", ""),
    ("EfficientNet", "efficientnet", ""),
    ("Inception", "googlenet|inception", ""),
    ("MaxViT", "maxvit", ""),
    ("MNASNet", "mnasnet", ""),
    ("MobileNet", "mobilenetv[23]", ""),
    ("RegNet", "regnet", ""),
    ("ResNet", "resnet", "resnet"),
    ("ResNeXt", "resnet", "resnext"),
    ("ShuffleNet", "shufflenetv2", ""),
    ("SqueezeNet", "squeezenet", ""),
    ("Swin", "swin_transformer", ""),
    ("VGG", "vgg", ""),
    ("ViT", "vision_transformer", ""),
    ("WRN", "resnet", "wide_resnet"),
]
TIMM = [
    ("DeiT", "deit", ""),
    ("DenseNet", "densenet", r"densenet(121|161|169|201)$"),
    ("EfficientNet", "efficientnet", r"(tf_)?efficientnet_(b\d|l2|cc_b\d_\de|lite\d|e[sml])$"),
    ("EfficientNet", "efficientnet", r"(tf_efficientnetv2_|efficientnetv2_)(b\d|s|m|l|xl)$"),
    ("Inception", "inception_(resnet_v2|v3|v4)", ""),
    ("MobileNet", "efficientnet", r"mobilenetv[12]_"),
    ("MobileNet", "mobilenetv3", r"(tf_)?mobilenetv[34]_"),
    ("ResNet", "resnet", r"resnet\d+[cdst]?$"),
    ("ResNet", "resnetv2", r"resnetv2_\d+(d|t|x\d_bit)?$"),
    ("ResNeXt", "resnet", r"resnext"),
    ("SENet", "resnet", r"(seres(net|next)\d+[dt]?(_\d+x\d+d)?|ecaresnet\d+[dt]|senet154)$"),
    ("SENet", "senet", ""),
    ("Swin", "swin_transformer", r"swin_(tiny|small|base|large)_"),
    ("Swin", "swin_transformer_v2", ""),
    ("VGG", "vgg", ""),
    ("ViT", "vision_transformer", r"vit_(tiny|small|base|large|huge|giant|gigantic)_patch\d+_(224|384)$"),
    ("ViT", "vision_transformer", r"vit_.*_(clip|siglip|dinov2)"),
    ("ViT", "vision_transformer_hybrid", r"vit_\w+_r(26|50)?_s"),
    ("WRN", "resnet", "wide_resnet"),
    ("Xception", "xception(_aligned)?", ""),
]

# Data sets in timm's tags, and their names in datasets.yaml.
TAG_DATA = {
    "apple_mclip2_dfndr2b": "dfndr-2b",
    "bamboo": "bamboo",
    "datacompxl": "datacomp-1b",
    "dfn2b": "dfn-2b",
    "dfn5b": "dfn-5b",
    "dino": "imagenet-1k",
    "ig1b": "ig-1b-targeted",
    "in12k": "imagenet-12k",
    "in1k": "imagenet-1k",
    "in21k": "imagenet-21k",
    "in22k": "imagenet-21k",
    "jft": "jft-300m",
    "laion2b": "laion-2b",
    "laion400m": "laion-400m",
    "lvd142m": "lvd-142m",
    "mae": "imagenet-1k",
    "metaclip2_worldwide": "metaclip2-worldwide",
    "metaclip_2pt5b": "metaclip-2.5b",
    "metaclip_400m": "metaclip-400m",
    "metaclip_altogether": "metaclip-altogether",
    "openai": "wit-400m",
    "pali2?": "webli",
    "webli": "webli",
    "yfcc100m": "yfcc100m",
    "yfcc15m": "yfcc-15m",
}

# torchvision gives a licence by its URL.
LICENCES = {"https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "cc-by-nc-4.0"}


def from_torchvision():
    """(family, model, tag, fields) of all classification weights, the library's default first."""
    for name in torchvision_models.list_models(module=torchvision_models):
        enum = torchvision_models.get_model_weights(name)
        module = torchvision_models.get_model_builder(name).__module__.rsplit(".", 1)[1]
        family = family_of(TORCHVISION, name, module)
        for weights in sorted(enum, key=lambda w: w is not enum.DEFAULT):
            metrics = weights.meta["_metrics"]["ImageNet-1K"]
            transforms = weights.transforms()
            fields = {
                "url": weights.url,
                "data": ["ig-3.6b", "imagenet-1k"] if "SWAG" in weights.name else ["imagenet-1k"],
                "classes": len(weights.meta["categories"] or []),
                "input": single(transforms.crop_size),
                "resize": single(transforms.resize_size),
                "interpolation": transforms.interpolation.value,
                "mean": list(transforms.mean),
                "std": list(transforms.std),
                "licence": LICENCES[weights.meta["license"]] if "license" in weights.meta else None,
                "top1": known(metrics["acc@1"]),
                "top5": known(metrics["acc@5"]),
            }
            yield family, f"torchvision/{name}", weights.name, fields


def from_timm():
    """(family, model, tag, fields) of all weights of the families above, the library's default first."""
    for name in sorted(timm_registry._model_to_module):
        family = family_of(TIMM, name, timm_registry._model_to_module[name])
        if family is None or name not in timm_registry._model_default_cfgs:
            continue
        configs = timm_registry._model_default_cfgs[name]
        for tag in configs.tags:
            config = configs.cfgs[tag]
            if not config.has_weights:
                continue
            hub = config.hf_hub_id
            assert config.hf_hub_filename is None, f"{name}.{tag}: the file on the hub does not have the usual name"
            fields = {
                "hub": hub + f"{name}.{tag}" if hub and hub.endswith("/") else hub,
                "url": None if hub else config.url,
                "data": data_of(tag),
                "classes": config.num_classes,
                "input": side(config.input_size),
                "crop_pct": config.crop_pct,
                "crop_mode": config.crop_mode,
                "test_input": side(config.test_input_size or config.input_size),
                "test_crop_pct": config.test_crop_pct or config.crop_pct,
                "interpolation": config.interpolation,
                "mean": list(config.mean),
                "std": list(config.std),
                "licence": config.license,
            }
            for test, usual in ("test_input", "input"), ("test_crop_pct", "crop_pct"):
                if fields[test] == fields[usual]:
                    del fields[test]
            yield family, f"timm/{name}", tag, fields


def family_of(table, name, module):
    """The family of a model, or None."""
    found = (f for f, modules, names in table if re.fullmatch(modules, module) and re.match(names, name))
    return next(found, None)


def data_of(tag):
    """The data sets in a tag of timm, in the order of training."""
    words = "|".join(sorted(TAG_DATA, key=len, reverse=True))
    found = re.findall(rf"(?<![^_])({words})(?![^_])", tag)
    assert found, f"tag {tag}: no known data set; add it to TAG_DATA"
    return [next(data for word, data in TAG_DATA.items() if re.fullmatch(word, each)) for each in found]


def single(size):
    """The only item of a list."""
    (number,) = size
    return number


def side(size):
    """The side of a square RGB input."""
    channels, height, width = size
    assert channels == 3 and height == width, size
    return height


def known(number):
    """A published number, or None if it is NaN."""
    return number if number == number else None


def spell(value):
    """A value as one line of YAML; strings are left unquoted only if no parser can take them for another type."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{spell(k)}: {spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spell, value)) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w./:-]*[\w]", value)
    words = {"null", "true", "false", "yes", "no", "on", "off"}
    return value if plain and value.lower() not in words else json.dumps(value)


def main():
    families = {}
    for family, model, tag, fields in [*from_torchvision(), *from_timm()]:
        assert family, f"{model}: no family; add it to TORCHVISION or TIMM"
        fields = {k: v for k, v in fields.items() if v is not None and DEFAULTS.get(k) != v}
        families.setdefault(family, {}).setdefault(model, {})[tag] = fields
    for family, found in sorted(families.items()):
        lines = [
            f"# Public weights of torchvision {torchvision.__version__.split('+')[0]} and timm {timm.__version__}, each"
            " model's default first. Generated by `make catalogue`.",
            f"family: {family}",
            f"defaults: {spell(DEFAULTS)}",
            "models:",
        ]
        for model, tags in found.items():
            lines.append(f"  {spell(model)}:")
            lines += [f"    {spell(tag)}: {spell(fields)}" for tag, fields in tags.items()]
        (HERE / f"{family.lower()}.yaml").write_text("\n".join(lines) + "\n")
    classes = torchvision_models.ResNet50_Weights.DEFAULT.meta["categories"]
    (HERE / "imagenet-1k.txt").write_text("\n".join(classes) + "\n")


if __name__ == "__main__":
    main()
