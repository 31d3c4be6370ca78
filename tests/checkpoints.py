"""Checkpoints in the names of other libraries, written by those libraries and read by `tchvision weights verify`.

    tests/checkpoints.py [--program tchvision] [--to docs/checkpoints.md] [NAME...]

Each network is built by the library itself (`pip install -r requirements/checkpoints.txt`) with weights from a hash,
its logits are computed, and its checkpoint is saved the way its users save it; the program must load it and give the
same logits. NAME selects cases by library or model. Exit code 0 only if all of them agree.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests/goldens"))
from make import fill

CASES = []


class Case:
    """One network of a library: `build` returns it, and `save` writes its checkpoint."""

    def __init__(self, library, family, model, build, *, side=224, logits=None, save=None, flags=()):
        self.library, self.family, self.model, self.build = library, family, model, build
        self.side, self.flags = side, list(flags)
        self.logits = logits or (lambda net, x: net(x))
        self.save = save or (lambda net, path: torch.save(net.state_dict(), path))


def case(*args, **kwargs):
    CASES.append(Case(*args, **kwargs))


def transformers(family, model, name, fields, *, head="ForImageClassification", labels=1000, **kwargs):
    """`name` with `fields` of its configuration, saved as a folder of safetensors and config.json."""

    def build():
        import transformers as hf

        return getattr(hf, name + head)(getattr(hf, name + "Config")(**fields, num_labels=labels))

    kwargs.setdefault("logits", lambda net, x: net(x).logits)
    case("transformers", family, model, build, save=lambda net, path: net.save_pretrained(path), **kwargs)


TINY = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
transformers("ViT", "timm/vit_tiny_patch16_224", "ViT", TINY)
transformers("DeiT", "timm/deit_tiny_distilled_patch16_224", "DeiT", TINY, head="ForImageClassificationWithTeacher")
transformers("DeiT", "timm/deit_tiny_patch16_224", "ViT", TINY)
transformers("Swin", "timm/swin_tiny_patch4_window7_224", "Swin", {"depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]})
transformers("Swin v2", "timm/swinv2_tiny_window8_256", "Swinv2", {"image_size": 256, "window_size": 8}, side=256)
transformers("ResNet", "torchvision/resnet18", "ResNet", {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"})
transformers("ResNet", "torchvision/resnet50", "ResNet", {})
transformers("ResNet", "paper/resnet50", "ResNet", {"downsample_in_bottleneck": True})
transformers("RegNet", "torchvision/regnet_y_400mf", "RegNet", {"depths": [1, 3, 6, 6], "hidden_sizes": [48, 104, 208, 440], "groups_width": 8, "layer_type": "y"})
transformers("RegNet", "torchvision/regnet_x_400mf", "RegNet", {"depths": [1, 2, 7, 12], "hidden_sizes": [32, 64, 160, 400], "groups_width": 16, "layer_type": "x"})
transformers("ConvNeXt", "torchvision/convnext_tiny", "ConvNext", {})
B0 = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "image_size": 224, "hidden_dim": 1280}
transformers("EfficientNet", "timm/tf_efficientnet_b0", "EfficientNet", B0)
transformers("MobileNet v1", "timm/mobilenetv1_100", "MobileNetV1", {}, labels=1001, logits=lambda net, x: net(x).logits[:, 1:])
transformers("MobileNet v2", "timm/mobilenetv2_100", "MobileNetV2", {}, labels=1001, logits=lambda net, x: net(x).logits[:, 1:])
CLIP = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "patch_size": 32, "projection_dim": 512}
transformers("CLIP", "timm/vit_base_patch32_clip_quickgelu_224", "CLIPVision", CLIP, head="ModelWithProjection", logits=lambda net, x: net(x).image_embeds, flags=["--set", "num_classes=512"])


def efficientnet_pytorch(model, name, side):
    def build():
        import efficientnet_pytorch as port

        return port.EfficientNet.from_name(name, image_size=side)

    case("efficientnet_pytorch", "EfficientNet", model, build, side=side)


efficientnet_pytorch("timm/tf_efficientnet_b0", "efficientnet-b0", 224)
efficientnet_pytorch("timm/tf_efficientnet_b1", "efficientnet-b1", 240)


def mmpretrain(family, model, name, **kwargs):
    def build():
        import mmpretrain as mm

        return mm.get_model(name, pretrained=False)

    # As its runner writes a checkpoint.
    save = lambda net, path: torch.save({"meta": {"epoch": 1}, "state_dict": net.state_dict()}, path)
    kwargs.setdefault("logits", lambda net, x: net.head(net.extract_feat(x)))
    case("mmpretrain", family, model, build, save=save, **kwargs)


def rgb(net, x):
    """RegNets come from pycls, whose channels are BGR."""
    return net.head(net.extract_feat(x.flip(1)))


mmpretrain("ResNet", "torchvision/resnet18", "resnet18_8xb32_in1k")
mmpretrain("ResNet", "timm/resnet50d", "resnetv1d50_8xb32_in1k")
mmpretrain("ResNeXt", "torchvision/resnext50_32x4d", "resnext50-32x4d_8xb32_in1k")
mmpretrain("SE-ResNet", "timm/seresnet50", "seresnet50_8xb32_in1k")
mmpretrain("VGG", "torchvision/vgg11", "vgg11_8xb32_in1k")
mmpretrain("VGG", "torchvision/vgg11_bn", "vgg11bn_8xb32_in1k")
mmpretrain("MobileNet v2", "torchvision/mobilenet_v2", "mobilenet-v2_8xb32_in1k")
mmpretrain("MobileNet v3", "torchvision/mobilenet_v3_small", "mobilenet-v3-small_8xb128_in1k")
mmpretrain("MobileNet v3", "torchvision/mobilenet_v3_large", "mobilenet-v3-large_8xb128_in1k")
mmpretrain("DeiT", "timm/deit_tiny_patch16_224", "deit-tiny_4xb256_in1k")
mmpretrain("ViT", "timm/vit_base_patch32_384", "vit-base-p32_in21k-pre_3rdparty_in1k-384px", side=384)
mmpretrain("Swin", "timm/swin_tiny_patch4_window7_224", "swin-tiny_16xb64_in1k")
mmpretrain("ConvNeXt", "torchvision/convnext_tiny", "convnext-tiny_32xb128_in1k")
mmpretrain("EfficientNet", "timm/tf_efficientnet_b0", "efficientnet-b0_3rdparty_8xb32_in1k")
mmpretrain("RegNet", "torchvision/regnet_x_800mf", "regnetx-800mf_8xb128_in1k", logits=rgb)
mmpretrain("DenseNet", "torchvision/densenet121", "densenet121_3rdparty_in1k")


def open_clip(model, name, side, classes):
    def build():
        import open_clip as clip

        return clip.create_model(name, pretrained=None)

    case("open_clip", "CLIP", model, build, side=side, logits=lambda net, x: net.encode_image(x), flags=["--set", f"num_classes={classes}"])


open_clip("timm/vit_base_patch32_clip_224", "ViT-B-32", 224, 512)
open_clip("timm/vit_base_patch32_clip_quickgelu_224", "ViT-B-32-quickgelu", 224, 512)


def pretrainedmodels(family, model, name, **kwargs):
    def build():
        import pretrainedmodels as cadene

        return getattr(cadene, name)(num_classes=1000, pretrained=None)

    case("pretrainedmodels", family, model, build, **kwargs)


pretrainedmodels("SENet", "timm/legacy_seresnet50", "se_resnet50")
pretrainedmodels("Xception", "timm/legacy_xception", "xception", side=299)
pretrainedmodels("Inception", "timm/inception_v4", "inceptionv4", side=299)
pretrainedmodels("Inception", "timm/inception_resnet_v2", "inceptionresnetv2", side=299)
pretrainedmodels("ResNeXt", "timm/resnext101_32x4d", "resnext101_32x4d")


def pytorchcv(family, model, name, **kwargs):
    def build():
        from pytorchcv.model_provider import get_model

        return get_model(name, pretrained=False)

    case("pytorchcv", family, model, build, **kwargs)


CIFAR = {"side": 32}
B = {**CIFAR, "flags": ["--set", "shortcut=b"]}
pytorchcv("ResNet", "torchvision/resnet50", "resnet50b")
pytorchcv("ResNet", "paper/resnet50", "resnet50")
pytorchcv("SE-ResNet", "timm/seresnet50", "seresnet50b")
pytorchcv("RegNet", "torchvision/regnet_y_400mf", "regnety004")
pytorchcv("DenseNet", "torchvision/densenet121", "densenet121")
pytorchcv("EfficientNet", "timm/efficientnet_b0", "efficientnet_b0")
pytorchcv("EfficientNet", "timm/tf_efficientnet_b0", "efficientnet_b0b")
pytorchcv("MobileNet v1", "paper/mobilenet_v1", "mobilenet_w1")
pytorchcv("MobileNet v2", "timm/mobilenetv2_100", "mobilenetv2b_w1")
pytorchcv("VGG", "torchvision/vgg11_bn", "bn_vgg11b")
pytorchcv("VGG", "torchvision/vgg11_bn", "bn_vgg11")
pytorchcv("ResNet for CIFAR", "paper/resnet20", "resnet20_cifar10", **B)
pytorchcv("Wide ResNet", "paper/wrn_16_10", "wrn16_10_cifar10", **CIFAR)
pytorchcv("Pre-activation ResNet", "paper/preact_resnet164", "preresnet164bn_cifar10", **CIFAR)
pytorchcv("ResNeXt for CIFAR", "paper/resnext29_8x64d", "resnext29_32x4d_cifar10", side=32, flags=["--set", "cardinality=32", "--set", "base_width=4"])
pytorchcv("DenseNet for CIFAR", "paper/densenet_bc_100_12", "densenet100_k12_bc_cifar10", **CIFAR)


def verify(case, folder, program):
    torch.manual_seed(0)
    net = case.build().eval()
    fill(net)
    x = torch.randn(2, 3, case.side, case.side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = case.logits(net, x)
    path, reference = folder / "checkpoint", folder / "reference.safetensors"
    case.save(net, path)
    import safetensors.torch

    safetensors.torch.save_file({"input": x, "logits": logits.contiguous()}, reference)
    file = path / "model.safetensors" if path.is_dir() else path
    command = [program, "weights", "verify", "--model", case.model, "--weights", file, "--reference", reference]
    run = subprocess.run([*command, "--json", *case.flags], capture_output=True, text=True)
    verified = json.loads(run.stdout) if run.stdout.strip() else {}
    return run.returncode == 0, verified.get("max_abs_diff"), verified.get("max_abs_logit"), verified.get("naming"), run.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=ROOT / "target/release/tchvision")
    parser.add_argument("--to", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    chosen = [c for c in CASES if not args.names or {c.library, c.model, c.family} & set(args.names)]
    rows, failed = [], 0
    for c in chosen:
        with tempfile.TemporaryDirectory() as folder:
            passed, diff, logit, naming, errors = verify(c, pathlib.Path(folder), args.program)
        failed += not passed
        apart = "not loaded" if diff is None else f"{diff / logit:.1e}"
        print(f"{'ok' if passed else 'FAILED'}  {c.library}  {c.family}  {c.model}  {apart}  {naming}", flush=True)
        if not passed or errors:
            print("    " + errors.strip()[:1500].replace("\n", "\n    "), flush=True)
        rows.append((c, passed, apart))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
