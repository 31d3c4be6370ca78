"""Regenerates ema.json: a moving average of two weights by timm's ModelEmaV3, with and without warm-up.

At step n of a run the weights are n and 1/n; they start as zeros.
"""

import json

import torch
from timm.utils import ModelEmaV3

from make import HERE

STEPS = 12


def averages(decay, warmup):
    net = torch.nn.Linear(2, 1, bias=False)
    net.weight.data.zero_()
    ema, rows = ModelEmaV3(net, decay=decay, use_warmup=warmup), []
    for step in range(1, STEPS + 1):
        net.weight.data = torch.tensor([[step, 1 / step]])
        # Without a warm-up the average begins with the first weights too only where timm is told no step.
        ema.update(net, step=step if warmup else None)
        rows.append(ema.module.weight.flatten().tolist())
    return {"decay": decay, "warmup": warmup, "averages": rows}


if __name__ == "__main__":
    late = ModelEmaV3(torch.nn.Linear(1, 1), decay=0.9999, use_warmup=True)
    decays = [[step, late.get_decay(step)] for step in (1, 2, 3, 10, 100, 1000, 31624, 999_999, 2_000_000)]
    runs = [averages(0.7, True), averages(0.7, False)]
    (HERE / "ema.json").write_text(json.dumps({"decays": decays, "runs": runs}) + "\n")
