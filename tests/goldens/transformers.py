"""Regenerates transformers.json: ViT and Swin with adapted weights, their features, and their initial parameters.

Small nets of every structure, made by timm and torchvision; weights and inputs come from the hash of make.py.
"""

import json
import pathlib
import tempfile

import timm
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
)

from make import fill, images, numbers, summary, value
from parity import lines

HERE = pathlib.Path(__file__).parent

# timm's names for the fields of our `Config`, where they differ.
TIMM = {
    "num_blocks": "depth",
    "heads": "num_heads",
    "image_size": "img_size",
    "window": "window_size",
    "pretrained_windows": "pretrained_window_sizes",
    "drop_path": "drop_path_rate",
}

VIT = {"num_classes": 8, "num_blocks": 2, "embed_dim": 24, "heads": 3}
SWIN = {"num_classes": 8, "depths": [2, 2], "embed_dim": 24, "heads": [2, 4], "drop_path": 0}


def net(name, fields, **options):
    """timm's model with fields of ours set."""
    return timm.create_model(name.split("/")[1], **{TIMM.get(k, k): v for k, v in fields.items()}, **options).eval()


# Name, fields of the net that the weights come from, fields that differ in the net that loads them.
ADAPTED = [
    ("timm/vit_tiny_patch16_224", VIT, {"image_size": 64, "num_classes": 10, "in_chans": 1}),
    ("timm/vit_tiny_patch16_224", {**VIT, "image_size": 64}, {"image_size": 96, "in_chans": 4}),
    ("timm/vit_small_patch14_reg4_dinov2", VIT, {"image_size": 70}),
    ("timm/vit_base_patch16_siglip_224", VIT, {"image_size": 80, "in_chans": 2}),
    ("timm/vit_base_patch16_siglip_gap_224", {**VIT, "image_size": 48}, {"image_size": 80, "num_classes": 5}),
    ("timm/deit_tiny_distilled_patch16_224", {**VIT, "image_size": 64}, {"image_size": 48, "num_classes": 7}),
    ("timm/deit3_small_patch16_224", {**VIT, "image_size": 64}, {"image_size": 80}),
    ("timm/vit_small_r26_s32_224", {**VIT, "image_size": 64}, {"image_size": 96, "num_classes": 7, "in_chans": 1}),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "image_size": 56}, {"image_size": 96, "window": 12}),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "image_size": 56}, {"image_size": 40, "num_classes": 3}),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "image_size": 56}, {"image_size": 112, "in_chans": 1}),
    (
        "timm/swinv2_tiny_window8_256",
        {**SWIN, "image_size": 64},
        {"image_size": 96, "window": 12, "pretrained_windows": [8, 8], "num_classes": 6},
    ),
    ("timm/swinv2_tiny_window8_256", {**SWIN, "image_size": 64}, {"image_size": 48, "in_chans": 4}),
]


def adapted(name, source, changes):
    """Logits of a net that loaded the weights of another as timm does; what it did not load is filled."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        of = fill(net(name, source))
        save_file({key: tensor.contiguous() for key, tensor in of.state_dict().items()}, file.name)
        declared = {"file": file.name, "num_classes": of.num_classes, "custom_load": False}
        loaded = net(name, {**source, **changes}, pretrained=True, pretrained_cfg_overlay=declared)
    heads = loaded.pretrained_cfg["classifier"]
    if loaded.num_classes != of.num_classes:
        for head in [heads] if isinstance(heads, str) else heads:
            for part, tensor in loaded.get_submodule(head).named_parameters():
                tensor.copy_(value(f"{head}.{part}", tensor.shape))
    side = (changes.get("image_size") or source["image_size"],) * 2
    logits = loaded(images(name, (2, changes.get("in_chans", 3), *side)))
    return {"name": name, "of": source, "set": {**source, **changes}, "logits": numbers(logits)}


# The output of timm's `forward_intermediates` for every block or resolution, for images of various sizes.
INTERMEDIATE = [
    ("timm/vit_tiny_patch16_224", {**VIT, "image_size": 64}),
    ("timm/vit_base_patch16_clip_224", {**VIT, "image_size": 64}),
    ("timm/vit_small_patch14_reg4_dinov2", {**VIT, "image_size": 70}),
    ("timm/vit_base_patch16_siglip_224", {**VIT, "image_size": 64}),
    ("timm/vit_small_r26_s32_224", {**VIT, "image_size": 64}),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "image_size": 112}),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "image_size": 100}),
    ("timm/swinv2_tiny_window8_256", {**SWIN, "image_size": 128}),
]


def intermediate(name, fields):
    """Patch tokens after each block of a ViT, the maps after each stage of a Swin."""
    model = fill(net(name, fields))
    options = {"output_fmt": "NLC"} if "vit" in name else {}
    x = images(name, (2, 3, fields["image_size"], fields["image_size"]))
    maps = model.forward_intermediates(x, intermediates_only=True, **options)
    # Swin's are channels first there, and channels last inside the net.
    maps = maps if "vit" in name else [m.permute(0, 2, 3, 1).contiguous() for m in maps]
    return {"name": name, "set": fields, "features": [summary(m) for m in maps]}


WIDE = {**VIT, "embed_dim": 96}
STARTED = [
    ("timm/vit_tiny_patch16_224", WIDE),
    ("timm/vit_base_patch16_clip_224", WIDE),
    ("timm/vit_base_patch16_siglip_224", WIDE),
    ("timm/vit_giant_patch14_reg4_dinov2", {**WIDE, "image_size": 70}),
    ("timm/deit3_small_patch16_224", WIDE),
    ("timm/deit_tiny_distilled_patch16_224", WIDE),
    ("timm/vit_small_r26_s32_224", WIDE),
    ("timm/vit_small_resnet26d_224", WIDE),
    ("timm/swin_tiny_patch4_window7_224", {**SWIN, "embed_dim": 48}),
    ("timm/swinv2_tiny_window8_256", {**SWIN, "embed_dim": 48}),
    ("torchvision/vit_b_16", WIDE),
    ("torchvision/swin_t", {**SWIN, "embed_dim": 48}),
    ("torchvision/swin_v2_t", {**SWIN, "embed_dim": 48}),
]


def torchvisions(name, fields):
    """torchvision's model with fields of ours set."""
    if "vit" in name:
        width, depth, heads = fields["embed_dim"], fields["num_blocks"], fields["heads"]
        return torchvision.models.VisionTransformer(224, 16, depth, heads, width, 4 * width, num_classes=8)
    second = "v2" in name
    block, merging = (SwinTransformerBlockV2, PatchMergingV2) if second else (SwinTransformerBlock, PatchMerging)
    shape = [[4, 4], fields["embed_dim"], fields["depths"], fields["heads"], [8, 8] if second else [7, 7]]
    return SwinTransformer(*shape, num_classes=8, block=block, downsample_layer=merging)


def started(name, fields):
    """Mean and standard deviation of every parameter of a new net."""
    model = torchvisions(name, fields) if name.startswith("torchvision") else net(name, fields)
    doubles = ((key, parameter.double()) for key, parameter in model.named_parameters())
    moments = {key: numbers(torch.stack([p.mean(), p.std(correction=0)])) for key, p in doubles}
    return {"name": name, "set": fields, "moments": moments}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        out = {
            "adapted": [adapted(*case) for case in ADAPTED],
            "intermediate": [intermediate(*case) for case in INTERMEDIATE],
            "started": [started(*case) for case in STARTED],
        }
    parts = (f'"{part}": {lines(rows)}' for part, rows in out.items())
    (HERE / "transformers.json").write_text("{\n" + ",".join(parts) + "}\n")
