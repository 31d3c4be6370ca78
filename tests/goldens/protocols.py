"""Regenerates protocols.json: the papers' test protocols, spelt out with Pillow and torchvision's mobilenet_v3_small.

`views` are the sums of the pixels of each view, which tell where it is cropped; `probabilities` those of the first classes.
"""

import json
import pathlib

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import functional as F

from make import fill, uniform

HERE = pathlib.Path(__file__).parent
CLASSES = 16
SCALES = {"multi-scale": [256, 384, 512], "multi-crop:240,300": [240, 300], "dense+multi-crop:256,384": [256, 384]}


def mirrored(views):
    return views + [ImageOps.mirror(view) for view in views]


def grid(picture, side):
    """1409.1556, section 4.3: a regular grid of 5×5 crops."""
    lefts = np.linspace(0, picture.width - side, 5).astype(int)
    tops = np.linspace(0, picture.height - side, 5).astype(int)
    return [F.crop(picture, top, left, side, side) for top in tops for left in lefts]


def ten(square, side):
    return mirrored(list(F.five_crop(square, side)))


def inputs(views):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return torch.stack([F.normalize(F.to_tensor(view), mean, std) for view in views])


def crops(net, views):
    return net(inputs(views)).softmax(1).mean(0)


def dense(net, views):
    """The classifier at every place of the features; logits are averaged within a view, probabilities over views."""
    each = []
    for view in views:
        places = net.features(inputs([view])).unfold(2, 7, 1).unfold(3, 7, 1)[0].permute(1, 2, 0, 3, 4).flatten(0, 1)
        each.append(net.classifier(net.avgpool(places).flatten(1)).mean(0).softmax(0))
    return torch.stack(each).mean(0)


def case(views, probabilities=None):
    out = {"views": [int(np.asarray(view, np.int64).sum()) for view in views]}
    if probabilities is not None:
        out["probabilities"] = probabilities[:CLASSES].double().tolist()
    return out


@torch.no_grad()
def of_a_photo():
    net = fill(torchvision.models.mobilenet_v3_small(), 1.3).eval()
    photo = Image.open(HERE / "images/large.jpg").convert("RGB")
    at = lambda side: F.resize(photo, side)
    views = ten(F.center_crop(at(256), 256), 224)
    out = {"ten-crop": case(views, crops(net, views))}
    for name, scales in SCALES.items():
        whole = mirrored([at(scale) for scale in scales])
        cropped = mirrored([view for scale in scales for view in grid(at(scale), 224)])
        if name.startswith("multi-scale"):
            out[name] = case(whole, dense(net, whole))
        elif name.startswith("multi-crop"):
            out[name] = case(cropped, crops(net, cropped))
        else:
            out[name] = case(whole + cropped, (dense(net, whole) + crops(net, cropped)) / 2)
    return out


def of_an_image_of_a_data_set():
    """Grey, 28×28, the mean of the data set a quarter of white."""
    pixels = (256 * uniform("image", 28 * 28)).astype(np.uint8).reshape(28, 28)
    image = Image.fromarray(pixels).convert("RGB")
    at = lambda side: F.resize(image, side)
    bordered = ImageOps.expand(image, 2, (64, 64, 64))
    return {
        "ten-crop": case(ten(bordered, 28)),
        "dense": case(mirrored([image])),
        "multi-scale": case(mirrored([at(side) for side in (32, 48, 64)])),
        "multi-crop:32,48": case(mirrored(grid(at(32), 28) + grid(at(48), 28))),
    }


def main():
    rows = {"photo": of_a_photo(), "image": of_an_image_of_a_data_set()}
    (HERE / "protocols.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
