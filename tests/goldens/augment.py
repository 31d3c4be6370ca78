"""Regenerates augment.json: the output of timm, torchvision and Pillow for small images, operation by operation.

The images are computed from integers only, on both sides (tests/data/augment.rs has the same).
"""

import json
import pathlib

import numpy as np
from PIL import Image
from timm.data import auto_augment as timm
from torchvision.transforms import functional

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

text = ",\n".join(json.dumps(row) for row in rows)
(HERE / "augment.json").write_text(f"[\n{text}\n]\n")
