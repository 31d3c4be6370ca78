"""Regenerates augment.json: the output of timm, torchvision and Pillow for small images, operation by operation.

The images are computed from integers only, on both sides (tests/data/augment.rs has the same).
"""

import json
import math
import pathlib

import numpy as np
from PIL import Image, ImageFilter
from timm.data import auto_augment as timm
from torchvision import transforms
from torchvision.transforms import functional
from torchvision.transforms.autoaugment import _apply_op

HERE = pathlib.Path(__file__).parent
FILL = (124, 116, 104)
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def noise(x, y, c):
    z = (x * 73856093 ^ y * 19349663 ^ c * 83492791) & 0xFFFFFFFF
    z = (z ^ z >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return (z ^ z >> 15) & 0xFF


PICTURES = {
    "noise": (13, 11, noise),
    "smooth": (19, 8, lambda x, y, c: (13 * x + 7 * y + 40 * c * x // 9) % 256),
    "narrow": (17, 16, lambda x, y, c: 90 + 10 * c + noise(x, y, c) % (20 + 15 * c)),
    "flat": (4, 3, lambda x, y, c: (10, 200, 60)[c]),
    "gray": (6, 5, lambda x, y, c: noise(x, y, 0)),
    "pixel": (1, 1, lambda x, y, c: (250, 3, 128)[c]),
    "line": (7, 1, noise),
}


def picture(name):
    width, height, value = PICTURES[name]
    rows = [[[value(x, y, c) for c in range(3)] for x in range(width)] for y in range(height)]
    return Image.fromarray(np.array(rows, np.uint8))


FACTORS = [0.0, 0.1, 0.45, 1.0, 1.3, 1.9, 2.6]
OPERATIONS = {
    "flip": (lambda image: functional.hflip(image), [()]),
    "vertical_flip": (lambda image: functional.vflip(image), [()]),
    "auto_contrast": (timm.auto_contrast, [()]),
    "equalize": (timm.equalize, [()]),
    "invert": (timm.invert, [()]),
    "posterize": (timm.posterize, [(bits,) for bits in (1, 2, 4, 7, 8)]),
    "solarize": (timm.solarize, [(threshold,) for threshold in (0, 100, 128, 255, 256)]),
    "solarize_add": (timm.solarize_add, [(add,) for add in (0, 60, 110)]),
    "brightness": (timm.brightness, [(factor,) for factor in FACTORS]),
    "contrast": (timm.contrast, [(factor,) for factor in FACTORS]),
    "color": (timm.color, [(factor,) for factor in FACTORS]),
    "sharpness": (timm.sharpness, [(factor,) for factor in FACTORS]),
    "hue": (functional.adjust_hue, [(shift,) for shift in (-0.5, -0.3, -0.01, 0.0, 0.1, 0.42, 0.5)]),
}
WARPS = {
    "rotate": (timm.rotate, [0.0, 7.5, -30.0, 29.9]),
    "shear_x": (timm.shear_x, [0.3, -0.11]),
    "shear_y": (timm.shear_y, [0.27, -0.3]),
    "translate_x": (timm.translate_x_abs, [2.0, -3.3]),
    "translate_y": (timm.translate_y_abs, [1.0, -2.7]),
}
# Warps do not depend on the pixel values, so these images are enough.
WARPED = ["noise", "smooth", "pixel", "line"]

rows = []
for name in PICTURES:
    for operation, (function, arguments) in OPERATIONS.items():
        for numbers in arguments:
            out = function(picture(name), *numbers).tobytes().hex()
            rows.append({"picture": name, "operation": operation, "number": (*numbers, 0)[0], "out": out})
for name in WARPED:
    for operation, (function, numbers) in WARPS.items():
        for number in numbers:
            for bicubic in (False, True):
                resample = BICUBIC if bicubic else BILINEAR
                out = function(picture(name), number, resample=resample, fillcolor=FILL).tobytes().hex()
                row = {"picture": name, "operation": operation, "number": number, "bicubic": bicubic, "out": out}
                rows.append(row)

# torchvision's sampling by nearest neighbours with black outside, and quarter turns; a square picture beside the others.
PICTURES["square"] = (9, 9, noise)
for name in WARPED + ["square"]:
    for operation, ours, magnitudes in [
        ("Rotate", "rotate", [7.5, -30.0, 90.0, -90.0, 135.0]),
        ("ShearX", "shear_x", [0.3, -0.11, 0.99]),
        ("ShearY", "shear_y", [0.27, -0.3]),
        ("TranslateX", "translate_x", [2.9, -3.3]),
        ("TranslateY", "translate_y", [1.0, -2.7]),
    ]:
        for number in magnitudes:
            args = (operation, number, transforms.InterpolationMode.NEAREST, None)
            out = _apply_op(picture(name), *args).tobytes().hex()
            # Its pictures move with the sign, by whole pixels, and its slopes are of angles.
            number = -int(number) if ours.startswith("translate") else number
            number = math.tan(math.radians(math.degrees(math.atan(number)))) if ours.startswith("shear") else number
            rows.append({"picture": name, "operation": ours, "number": number, "nearest": True, "out": out})

for name in PICTURES:
    gray = functional.to_grayscale(picture(name), 3).tobytes().hex()
    rows.append({"picture": name, "operation": "gray", "number": 0, "out": gray})
    for radius in (0.1, 0.3, 0.9, 1.37, 2.0, 5.5):
        out = picture(name).filter(ImageFilter.GaussianBlur(radius=radius)).tobytes().hex()
        rows.append({"picture": name, "operation": "blur", "number": radius, "out": out})

# timm's mixture of three chains of one operation, with weights as drawn.
SOLARIZE = timm.AugmentOp("SolarizeIncreasing", prob=1.0, magnitude=4, hparams={})
for name in PICTURES:
    mixture = timm.AugMixAugment([SOLARIZE], width=3, depth=2)
    out = mixture._apply_basic(picture(name), np.float32([0.2, 0.5, 0.3]), np.float32(0.37)).tobytes().hex()
    rows.append({"picture": name, "operation": "aug_mix", "number": 256 - int(0.4 * 256), "out": out})

text = ",\n".join(json.dumps(row) for row in rows)
(HERE / "augment.json").write_text(f"[\n{text}\n]\n")
