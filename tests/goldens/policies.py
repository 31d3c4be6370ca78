"""Regenerates policies.json: the operations of AutoAugment as timm has them, with their shares of all images.

By policy: [operation, number, mean count an image], the number without its random sign.
"""

import json
import pathlib

from timm.data import auto_augment as timm

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


if __name__ == "__main__":
    policies = {
        "v0": shares(timm.auto_augment_policy_v0({})),
        "original": shares(timm.auto_augment_policy_original({})),
    }
    (HERE / "policies.json").write_text(json.dumps(policies) + "\n")
