"""Regenerates policies.json: the operations of AutoAugment as timm has them, with their shares of all images.

By policy: [operation, number, mean count an image], the number without its random sign.
"""

import json
import math
import pathlib

from timm.data import auto_augment as timm
from torchvision.transforms import autoaugment

HERE = pathlib.Path(__file__).parent
NAMES = {"PosterizeOriginal": "Posterize", "TranslateYRel": "TranslateY"}


def shares(policy):
    found = {}
    for pair in policy:
        for op in pair:
            number = abs(op.level_fn(op.magnitude, op.hparams)[0]) if op.level_fn else 0
            key = (NAMES.get(op.name, op.name), round(number, 6))
            found[key] = found.get(key, 0) + op.prob / len(policy)
    return [[name, number, round(share, 6)] for (name, number), share in sorted(found.items()) if share > 0]


def of_torchvision(policies, space):
    """As `shares`; the numbers are those of our operations."""
    found = {}
    for pair in policies:
        for name, probability, magnitude in pair:
            key = (name, round(number(name, space, magnitude), 6))
            found[key] = found.get(key, 0) + probability / len(policies)
    return [[name, number, round(share, 6)] for (name, number), share in sorted(found.items()) if share > 0]


def number(name, space, index):
    magnitudes, signed = space[name]
    value = magnitudes[index].item() if magnitudes.ndim > 0 else 0.0
    if name in ("ShearX", "ShearY"):
        return math.tan(math.radians(math.degrees(math.atan(value))))
    if name in ("TranslateX", "TranslateY"):
        return int(value)
    # Values from this on are inverted, and enhanced by 1 and this.
    return math.ceil(value) if name == "Solarize" else value


SIDES = (200, 100)  # height and width


def drawn(space, magnitudes):
    """Each operation is as likely as the others, and each of these magnitudes too."""
    policies = [[(name, 1.0, index)] for name in space for index in magnitudes if name != "Identity"]
    count = len(space) * len(magnitudes)
    rows = of_torchvision(policies, space)
    return [[name, number, round(share * len(policies) / count, 6)] for name, number, share in rows]


if __name__ == "__main__":
    policies = {
        "v0": shares(timm.auto_augment_policy_v0({})),
        "original": shares(timm.auto_augment_policy_original({})),
        "torchvision": of_torchvision(
            [[(n, p, m or 0) for n, p, m in pair] for pair in autoaugment.AutoAugment().policies],
            autoaugment.AutoAugment()._augmentation_space(10, SIDES),
        ),
        "rand_augment": drawn(autoaugment.RandAugment()._augmentation_space(31, SIDES), [7]),
        "trivial_augment": drawn(autoaugment.TrivialAugmentWide()._augmentation_space(31), range(31)),
    }
    (HERE / "policies.json").write_text(json.dumps(policies) + "\n")
