"""Has `tchvision weights verify` read what torchvision and timm write: every model, in every format.

    tests/verify_all.py [--program tchvision] [--outcome OUTCOME.tsv] [--most-params N] [NAME...]

Each model is built here with random weights, small ones first, its logits computed, and its state_dict written as each
format in turn; the program must give the same logits. Plain ViTs and BiTs are also written as the .npz of their first
releases. A row of OUTCOME.tsv is a model and a format with what came out, and is not tried again by the next run. Exit
code 0 only if all of them passed.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

sys.path.append(str(pathlib.Path(__file__).parent / "fixtures/weights/original"))
from make import FIRST, LATER, bit, vit

# Pixels of the input, where the architecture takes that.
SMALL = 96
# The keys of ViTs and BiTs that the first releases have names for.
PLAIN = {
    "timm/vit_": r"cls_token|pos_embed|(patch_embed\.proj|norm|head|blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])"
    r"|attn_pool\.(q|kv|proj|norm|mlp\.fc[12]))\.(weight|bias)|attn_pool\.latent",
    "timm/resnetv2_": r"stem\.conv\.weight|(norm|head\.fc)\.(weight|bias)"
    r"|stages\.\d\.blocks\.\d+\.((norm[123])\.(weight|bias)|(conv[123]|downsample\.conv)\.weight)",
}


def torch_zip(model, path):
    torch.save(model.state_dict(), path)


def torch_legacy(model, path):
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


def safetensors_file(model, path):
    safetensors.torch.save_file({key: t.contiguous() for key, t in model.state_dict().items()}, path)


def torchscript(model, path):
    torch.jit.script(tensors_alone(model)).save(path)


def tensors_alone(module):
    """The same tree of modules with its tensors and nothing that computes: scripting it takes no model's consent."""
    alone = nn.Module()
    for name, parameter in module._parameters.items():
        alone.register_parameter(name, parameter)
    for name, buffer in module._buffers.items():
        alone.register_buffer(name, buffer, persistent=name not in module._non_persistent_buffers_set)
    for name, child in module.named_children():
        alone.add_module(name, tensors_alone(child))
    return alone


def npz(model, path):
    if hasattr(model, "stages"):
        arrays = bit(model)
    else:
        arrays = vit(model, *(FIRST if model.attn_pool is None else LATER))
    with open(path, "wb") as file:
        numpy.savez(file, **{key: tensor.detach().contiguous().numpy() for key, tensor in arrays})


FORMATS = {
    "torch": torch_zip,
    "torch_legacy": torch_legacy,
    "safetensors": safetensors_file,
    "torchscript": torchscript,
    "npz": npz,
}


def formats(name):
    """The formats that a model is written in."""
    return [form for form in FORMATS if form != "npz" or is_plain(name)]


def is_plain(name):
    """Whether the first releases have names for all tensors of a model."""
    known = next((keys for start, keys in PLAIN.items() if name.startswith(start)), None)
    if not known:
        return False
    with torch.device("meta"):
        keys = list(build(name).state_dict())
    # A norm after pooling, as some have it, has no name there; nor have batch norms.
    return "norm.weight" in keys and all(re.fullmatch(known, key) for key in keys)


def build(name):
    source, bare = name.split("/")
    if source == "timm":
        return timm.create_model(bare, pretrained=False)
    with_init = {"init_weights": False} if bare in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(bare, weights=None, **with_init)


@torch.no_grad()
def scatter(model):
    """Gives every tensor values that matter: what starts as a constant, or nearly, would hide a tensor that is lost."""
    for name, p in model.named_parameters():
        if p.ndim > 1:
            if p.std() < 0.01:
                p.normal_(std=0.02)
        elif "bias" in name or "beta" in name:
            p.uniform_(-0.2, 0.2)
        else:
            p.uniform_(0.5, 1.5)


def norms(model):
    return [m for m in model.modules() if getattr(m, "running_var", None) is not None]


@torch.no_grad()
def settle(model, side):
    """Lets the batch norms see one batch, so that signals neither die out nor explode over the depth."""
    for norm in norms(model):
        norm.reset_running_stats()
        norm.momentum = None
    model.train()(torch.randn(2, 3, side, side))


@torch.no_grad()
def reference(model, stated):
    """An input and its logits, small where the architecture takes that."""
    for side in sorted({min(SMALL, stated), stated}):
        try:
            if norms(model):
                settle(model, side)
            x = torch.randn(1, 3, side, side)
            return {"input": x, "logits": model.eval()(x).contiguous()}
        except (RuntimeError, AssertionError, ValueError):
            if side == stated:
                raise


def verify(program, name, weights, reference):
    command = [program, "weights", "verify", "--model", name, "--weights", weights, "--reference", reference, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "failed", done.stderr.strip().replace("\n", " ")[:300]
    said = json.loads(done.stdout)
    return "passed", f"{said['max_abs_diff'] / max(1, said['max_abs_logit']):.1e}"


def read(outcome):
    rows = outcome.read_text().splitlines() if outcome.exists() else []
    return {tuple(row.split("\t")[:2]): row.split("\t")[2] for row in rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="tchvision")
    parser.add_argument("--outcome", type=pathlib.Path, default="verify_all.tsv")
    parser.add_argument("--most-params", type=float, default=float("inf"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    listed = json.loads(subprocess.run([args.program, "models", "list", "--json"], capture_output=True).stdout)
    known = {m["name"]: m for m in sorted(listed, key=lambda m: m["params"]) if not m["name"].startswith("paper/")}
    names = args.names or [name for name, model in known.items() if model["params"] <= args.most_params]
    done = read(args.outcome)
    wanted = []
    for i, name in enumerate(names):
        written = formats(name)
        wanted += [(name, form) for form in written]
        missing = [form for form in written if (name, form) not in done]
        if not missing:
            continue
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            weights, logits = (str(pathlib.Path(folder, file)) for file in ("weights", "reference.safetensors"))
            model = build(name)
            scatter(model)
            safetensors.torch.save_file(reference(model, known[name]["input"][1]), logits)
            for form in missing:
                FORMATS[form](model, weights)
                done[name, form], said = verify(args.program, name, weights, logits)
                with args.outcome.open("a") as out:
                    print(name, form, done[name, form], said, sep="\t", file=out)
                print(f"{i + 1}/{len(names)} {name} {form}: {done[name, form]} {said}", file=sys.stderr)
    passed = sum(done[row] == "passed" for row in wanted)
    print(f"{passed} of {len(wanted)} passed: {len(names)} models, {len(FORMATS)} formats")
    return passed != len(wanted)


if __name__ == "__main__":
    sys.exit(main())
