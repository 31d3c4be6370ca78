"""Regenerates plateau.json: learning rates of torch.optim.lr_scheduler.ReduceLROnPlateau over noisy, flattening curves."""

import json
import random

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from make import HERE

EPOCHS = 60
SETTINGS = [
    {"metric": "loss", "factor": 0.1, "patience": 3},
    {"metric": "loss", "factor": 0.5, "patience": 0, "threshold": 0.02, "cooldown": 2},
    {"metric": "loss", "factor": 0.1, "patience": 1, "threshold": 0.01, "threshold_mode": "abs", "min_lr": 0.003},
    {"metric": "top1", "factor": 0.1, "patience": 2, "threshold": 0.005},
    {"metric": "top1", "factor": 0.2, "patience": 1, "threshold": 0.5, "threshold_mode": "abs", "cooldown": 1},
]


def rates(settings, values):
    """The learning rate after each value; the first is that before any."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    torch_names = {name: value for name, value in settings.items() if name != "metric"}
    mode = "min" if settings["metric"] == "loss" else "max"
    scheduler = ReduceLROnPlateau(optimizer, mode=mode, **torch_names)
    lr = [0.1]
    for value in values:
        scheduler.step(value)
        lr.append(optimizer.param_groups[0]["lr"])
    return lr


if __name__ == "__main__":
    random.seed(0)
    loss = [round(0.8 + 1.5 * 0.85**epoch + random.gauss(0, 0.02), 4) for epoch in range(EPOCHS)]
    top1 = [round(70 - 40 * 0.85**epoch + random.gauss(0, 0.4), 2) for epoch in range(EPOCHS)]
    runs = [
        {"settings": settings, "lr": rates(settings, loss if settings["metric"] == "loss" else top1)}
        for settings in SETTINGS
    ]
    (HERE / "plateau.json").write_text(json.dumps({"loss": loss, "top1": top1, "runs": runs}) + "\n")
