"""Regenerates options.json: every option of the programs that docs/coming_from.md speaks of.

Takes the paths of checkouts of huggingface/pytorch-image-models (the release of `.venv`), pytorch/vision and
facebookresearch/pycls: `python options.py TIMM VISION PYCLS`. Without one of them what is known of it is kept.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent


def arguments(path):
    """The longest spelling of each argument of an argparse program."""
    calls = re.findall(r"add_argument\(\s*((?:['\"][^'\"]+['\"]\s*,\s*)+)", path.read_text() + ",")
    options = [re.findall(r"['\"]([^'\"]+)['\"]", call) for call in calls]
    return sorted({max(names, key=len) for names in options if names[0].startswith("-")})


def keys(path):
    """The keys of a yacs configuration."""
    found = re.findall(r"^_C\.((?:[A-Z0-9_]+\.)*[A-Z0-9_]+)\s*=(?!\s*(?:CfgNode|CN)\()", path.read_text(), re.M)
    return sorted(found)


if __name__ == "__main__":
    file = HERE / "options.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    timm, vision, pycls = [pathlib.Path(path) for path in (sys.argv[1:] + ["-"] * 3)[:3]]
    for name in ("train", "validate", "inference"):
        if (timm / f"{name}.py").exists():
            known[f"timm {name}.py"] = arguments(timm / f"{name}.py")
    if (vision / "references/classification/train.py").exists():
        known["torchvision train.py"] = arguments(vision / "references/classification/train.py")
    if (pycls / "pycls/core/config.py").exists():
        known["pycls"] = keys(pycls / "pycls/core/config.py")
    file.write_text(json.dumps(known, indent=1) + "\n")
