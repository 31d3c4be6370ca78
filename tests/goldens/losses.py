"""Regenerates losses.json: losses and their gradients by timm, torch and the formulas of DeiT's `losses.py`.

The logits are four times the hash's images, six of seven classes; every target is spelled, so that the Rust side reads it.
"""

import json

import torch
from timm.loss import BinaryCrossEntropy
from torch.nn import functional

from make import HERE, images, numbers

LABELS = torch.tensor([3, 0, 6, 1, 3, 5])
SHARES = torch.softmax(3 * images("shares", (6, 7)), 1)
WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.5, 1.5, 0.0, 2.0])


def logits(name):
    return (4 * images(name, (6, 7))).requires_grad_()


def row(name, settings, loss):
    student = logits("student")
    value = loss(student)
    value.backward()
    return {"name": name, **settings, "loss": value.item(), "gradient": numbers(student.grad)}


def cross_entropy(targets, smoothing, weights):
    settings = {"targets": targets, "smoothing": smoothing, "weights": WEIGHTS.tolist() if weights else None}
    wanted = LABELS if targets == "labels" else SHARES
    weight = WEIGHTS if weights else None
    return row("cross_entropy", settings, lambda x: functional.cross_entropy(x, wanted, weight, label_smoothing=smoothing))


def binary(targets, smoothing, threshold, sum_classes):
    settings = {"targets": targets, "smoothing": smoothing, "threshold": threshold, "sum_classes": sum_classes}
    wanted = LABELS if targets == "labels" else SHARES
    loss = BinaryCrossEntropy(smoothing=smoothing, target_threshold=threshold, sum_classes=sum_classes)
    if targets == "shares":
        # Mixing smooths in timm, so that its loss gets shares that are smooth already.
        wanted = (1 - smoothing) * wanted + smoothing / 7
    return row("binary_cross_entropy", settings, lambda x: loss(x, wanted))


def distilled(kind, temperature):
    teacher = logits("teacher").detach()

    def loss(x):
        if kind == "hard":
            return functional.cross_entropy(x, teacher.argmax(dim=1))
        log = [functional.log_softmax(t / temperature, dim=1) for t in (x, teacher)]
        divergence = functional.kl_div(*log, reduction="sum", log_target=True)
        return divergence * (temperature * temperature) / x.numel()

    return row("distillation", {"kind": kind, "temperature": temperature}, loss)


if __name__ == "__main__":
    rows = [cross_entropy(t, s, w) for t in ("labels", "shares") for s in (0.0, 0.1) for w in (False, True)]
    rows += [
        binary(targets, smoothing, threshold, sum_classes)
        for targets in ("labels", "shares")
        for smoothing in (0.0, 0.1)
        for threshold in (None, 0.0, 0.2)
        for sum_classes in (False, True)
    ]
    rows += [distilled("hard", 1.0), distilled("soft", 1.0), distilled("soft", 3.0)]
    data = {"labels": LABELS.tolist(), "shares": numbers(SHARES), "rows": rows}
    (HERE / "losses.json").write_text(json.dumps(data) + "\n")
