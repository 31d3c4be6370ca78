"""Checkpoints in the names of other libraries, written by those libraries and read by `tchvision weights verify`.

    tests/checkpoints.py [--program tchvision] [--to docs/checkpoints.md] [--names checkpoints.json.gz] [NAME...]

Each network is built by the library itself (`pip install -r requirements/checkpoints.txt`) with weights from a hash,
its logits are computed, and its checkpoint is saved the way its users save it; the program must load it and give the
same logits. NAME selects cases by library or model. Exit code 0 only if all of them agree.
"""

import argparse
import gzip
import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests/goldens"))
from make import fill

CASES = []
COMPUTED = ("attn_mask", "relative_position_index", "relative_coords_table", "position_ids")


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
DINO = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
transformers("DINOv2", "timm/vit_small_patch14_dinov2", "Dinov2", DINO, head="Model", side=518, logits=lambda net, x: net(x).pooler_output)
transformers("DINOv2", "timm/vit_small_patch14_reg4_dinov2", "Dinov2WithRegisters", DINO, head="Model", side=518, logits=lambda net, x: net(x).pooler_output)
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


# Repositories that are no packages: clones in the folder that TCHVISION_CLONES names.
CLONES = pathlib.Path(os.environ.get("TCHVISION_CLONES", "clones"))


def clone(library, family, model, folder, code, make, **kwargs):
    """The network that `make` gets from the names of a file of a clone."""

    def build():
        sys.path.insert(0, str((CLONES / folder / code).parent))
        try:
            spec = importlib.util.spec_from_file_location(f"cloned_{folder}_{pathlib.Path(code).stem}", CLONES / folder / code)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        finally:
            sys.path.pop(0)
        return make(module)

    if (CLONES / folder / code).exists():
        case(library, family, model, build, **kwargs)


def package(library, family, model, folder, module, make, **kwargs):
    """The same of a module of a package within a clone."""

    def build():
        sys.path.insert(0, str(CLONES / folder))
        return make(importlib.import_module(module))

    if (CLONES / folder).exists():
        case(library, family, model, build, **kwargs)


def under(key, prefix=""):
    """Saved as `{key: state_dict}`, with a prefix before the names."""
    return lambda net, path: torch.save({key: {prefix + name: t for name, t in net.state_dict().items()}}, path)


DATA_PARALLEL = under("state_dict", "module.")
clone("akamaster", "ResNet for CIFAR", "paper/resnet20", "pytorch_resnet_cifar10", "resnet.py", lambda m: m.resnet20(), save=DATA_PARALLEL, side=32)
clone("akamaster", "ResNet for CIFAR", "paper/resnet56", "pytorch_resnet_cifar10", "resnet.py", lambda m: m.resnet56(), save=DATA_PARALLEL, side=32)
clone("bearpaw", "ResNet for CIFAR", "paper/resnet20", "pytorch-classification", "models/cifar/resnet.py", lambda m: m.resnet(depth=20, num_classes=10), save=DATA_PARALLEL, **B)
clone("bearpaw", "DenseNet for CIFAR", "paper/densenet_bc_100_12", "pytorch-classification", "models/cifar/densenet.py", lambda m: m.densenet(depth=100, growthRate=12, compressionRate=2, dropRate=0), save=DATA_PARALLEL, side=32)
clone("bearpaw", "ResNeXt for CIFAR", "paper/resnext29_8x64d", "pytorch-classification", "models/cifar/resnext.py", lambda m: m.resnext(cardinality=8, num_classes=10, depth=29, widen_factor=4, dropRate=0), save=DATA_PARALLEL, side=32)
clone("xternalz", "Wide ResNet", "paper/wrn_16_4", "WideResNet-pytorch", "wideresnet.py", lambda m: m.WideResNet(16, 10, 4), save=under("state_dict"), side=32)
clone("kuangliu", "ResNeXt for CIFAR", "paper/resnext29_2x64d", "pytorch-cifar", "models/resnext.py", lambda m: m.ResNeXt29_2x64d(), save=under("net", "module."), side=32)
clone("chenyaofo", "ResNet for CIFAR", "paper/resnet20", "pytorch-cifar-models", "pytorch_cifar_models/resnet.py", lambda m: m.CifarResNet(m.BasicBlock, [3, 3, 3]), **B)
clone("tonylins", "MobileNet v2", "torchvision/mobilenet_v2", "pytorch-mobilenet-v2", "MobileNetV2.py", lambda m: m.MobileNetV2(n_class=1000))
clone("d-li14", "MobileNet v2", "torchvision/mobilenet_v2", "mobilenetv2.pytorch", "models/imagenet/mobilenetv2.py", lambda m: m.mobilenetv2())
clone("ConvNeXt", "ConvNeXt", "torchvision/convnext_tiny", "ConvNeXt", "models/convnext.py", lambda m: m.convnext_tiny(), save=under("model"))
clone("Swin", "Swin", "timm/swin_tiny_patch4_window7_224", "Swin-Transformer", "models/swin_transformer.py", lambda m: m.SwinTransformer(), save=under("model"))
clone("Swin", "Swin v2", "timm/swinv2_tiny_window8_256", "Swin-Transformer", "models/swin_transformer_v2.py", lambda m: m.SwinTransformerV2(img_size=256, window_size=8), save=under("model"), side=256)
clone("BiT", "BiT", "timm/resnetv2_50x1_bit", "big_transfer", "bit_pytorch/models.py", lambda m: m.KNOWN_MODELS["BiT-M-R50x1"](head_size=1000), save=under("model"))


package("DINOv2", "ViT", "timm/vit_small_patch14_dinov2", "dinov2", "dinov2.hub.backbones", lambda m: m.dinov2_vits14(pretrained=False), side=518)
package("DINOv2", "ViT", "timm/vit_small_patch14_reg4_dinov2", "dinov2", "dinov2.hub.backbones", lambda m: m.dinov2_vits14_reg(pretrained=False), side=518)

package("SWAG", "ViT", "torchvision/vit_b_16", "SWAG", "models", lambda m: m.vit_b16_in1k(pretrained=False), side=384, flags=["--set", "image_size=384"])
package("SWAG", "RegNet", "torchvision/regnet_y_16gf", "SWAG", "models", lambda m: m.regnety_16gf_in1k(pretrained=False), side=64)


def pycls(family, model, file):
    """A network of pycls by its configuration; it was trained on pictures with blue first."""

    def make(builders):
        from pycls.core.config import cfg, reset_cfg

        reset_cfg()
        cfg.merge_from_file(str(CLONES / "pycls/configs/dds_baselines" / file))
        return builders.build_model()

    package("pycls", family, model, "pycls", "pycls.core.builders", make, logits=lambda net, x: net(x.flip(1)), save=under("model_state"))


pycls("RegNet", "torchvision/regnet_x_800mf", "regnetx/RegNetX-800MF_dds_8gpu.yaml")
pycls("RegNet", "torchvision/regnet_y_400mf", "regnety/RegNetY-400MF_dds_8gpu.yaml")
pycls("ResNet", "torchvision/resnet50", "resnet/R-50-1x64d_dds_8gpu.yaml")
pycls("EfficientNet", "timm/efficientnet_b0", "effnet/EN-B0_dds_8gpu.yaml")


class Functional(torch.nn.Module):
    """szagoruyko's networks: a function of a dictionary of tensors, which is the checkpoint."""

    def __init__(self, function, params):
        super().__init__()
        self.function, self.params = function, params

    def state_dict(self, *_, **__):
        return {key: t.detach() for key, t in self.params.items()}

    def forward(self, x):
        return self.function(x, self.params, False)


clone("szagoruyko", "Wide ResNet", "paper/wrn_16_4", "wide-residual-networks", "pytorch/resnet.py", lambda m: Functional(*m.resnet(16, 4, 10)), save=under("params"), side=32)


def built(case):
    torch.manual_seed(0)
    return case.build().eval()


def names(case, folder):
    """What tests/weights/foreign.rs holds the rules to: the names, shapes and dtypes of the file."""
    case.save(built(case), folder / "checkpoint")
    file = folder / "checkpoint"
    if file.is_dir():
        state = safetensors.torch.load_file(file / "model.safetensors")
    else:
        state = torch.load(file, map_location="cpu", weights_only=False)
        state = next((state[key] for key in ("state_dict", "model", "net", "model_state", "params") if key in state), state)
    tensors = [[name, list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in state.items() if hasattr(t, "shape")]
    return {"library": case.library, "model": case.model, "flags": case.flags[1::2], "tensors": tensors}


def verify(case, folder, program):
    net = built(case)
    # What a network works out stays as it is.
    computed = {key: t.clone() for key, t in net.state_dict().items() if key.endswith(COMPUTED)}
    fill(net)
    state = net.state_dict()
    for key, t in computed.items():
        state[key].copy_(t)
    x = torch.randn(2, 3, case.side, case.side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = case.logits(net, x)
    path, reference = folder / "checkpoint", folder / "reference.safetensors"
    case.save(net, path)
    safetensors.torch.save_file({"input": x, "logits": logits.contiguous()}, reference)
    command = [program, "weights", "verify", "--model", case.model, "--weights", path, "--reference", reference]
    run = subprocess.run([*command, "--json", *case.flags], capture_output=True, text=True)
    verified = json.loads(run.stdout) if run.stdout.strip() else {}
    return run.returncode == 0, verified.get("max_abs_diff"), verified.get("max_abs_logit"), verified.get("naming"), run.stderr


def page(rows):
    """The table of docs/checkpoints.md."""
    lines = [
        "# Checkpoints of other libraries",
        "",
        "Networks built by each library itself, with weights from a hash, saved as its users save them and read by `tchvision",
        "weights verify`: `make checkpoints` writes this page. The worst difference is that of a logit, over the largest logit.",
        "How names are found is told in [names.md](names.md).",
        "",
        "| library | family | checkpoints | worst difference |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {library} | {family} | {len(each)} | {max(each):.1e} |" for (library, family), each in rows.items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=ROOT / "target/release/tchvision")
    parser.add_argument("--to", type=pathlib.Path)
    parser.add_argument("--names", type=pathlib.Path, help="write tests/goldens/checkpoints.json.gz instead")
    parser.add_argument("chosen", nargs="*", metavar="NAME")
    args = parser.parse_args()
    chosen = [c for c in CASES if not args.chosen or {c.library, c.model, c.family} & set(args.chosen)]
    if args.names:
        with tempfile.TemporaryDirectory() as folder:
            held = [names(c, pathlib.Path(tempfile.mkdtemp(dir=folder))) for c in chosen]
        args.names.write_bytes(gzip.compress(json.dumps(held, separators=(",", ":")).encode(), mtime=0))
        return
    rows, failed = {}, 0
    for c in chosen:
        with tempfile.TemporaryDirectory() as folder:
            passed, diff, logit, naming, errors = verify(c, pathlib.Path(folder), args.program)
        failed += not passed
        apart = "not loaded" if diff is None else f"{diff / logit:.1e}"
        print(f"{'ok' if passed else 'FAILED'}  {c.library}  {c.family}  {c.model}  {apart}  {naming}", flush=True)
        if not passed or errors:
            print("    " + errors.strip()[:1500].replace("\n", "\n    "), flush=True)
        rows.setdefault((c.library, c.family), []).append(diff / logit if passed else float("inf"))
    if args.to:
        args.to.write_text(page(rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
