"""Regenerates schedules.yaml: the learning rate of every step by timm's schedulers and torchvision's reference `train.py`.

Each row has our `schedule:` as a tagged value, the number of steps of an epoch, and the rate of each step.
"""

import json

import torch
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, StepLRScheduler
from torch.optim import lr_scheduler

from make import HERE

LR, SPE, EPOCHS = 0.5, 4, 10


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)


def timm(name, config, make, by_step=False):
    one = optimizer()
    scheduler, rates = make(one), []
    for epoch in range(EPOCHS):
        for step in range(SPE):
            rates.append(one.param_groups[0]["lr"])
            if by_step:
                scheduler.step_update(epoch * SPE + step + 1)
        scheduler.step(epoch + 1)
    return row(name, config, rates)


def torchvision(name, config, main, warmup, start):
    """`train.py`: SequentialLR of LinearLR and the schedule, stepped once an epoch."""
    one = optimizer()
    scheduler = main(one)
    if warmup:
        rising = lr_scheduler.LinearLR(one, start_factor=start, total_iters=warmup)
        scheduler = lr_scheduler.SequentialLR(one, [rising, scheduler], milestones=[warmup])
    rates = []
    for _ in range(EPOCHS):
        rates += [one.param_groups[0]["lr"]] * SPE
        scheduler.step()
    return row(name, config, rates)


def row(name, config, rates):
    return {"name": name, "config": config, "lr": LR, "steps_per_epoch": SPE, "epochs": EPOCHS, "rates": rates}


def spelled(known):
    head = f"- name: {known['name']}\n  config: {known['config']}\n"
    rest = {key: known[key] for key in ("lr", "steps_per_epoch", "epochs", "rates")}
    return head + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in rest.items())


if __name__ == "__main__":
    # `train.py` has no `--warmup-prefix` by default.
    warm = {"warmup_t": 3, "warmup_lr_init": 0.01, "warmup_prefix": False}
    rows = [
        timm(
            "timm cosine",
            "!cosine {warmup_epochs: 3, warmup_from: 0.01, final_lr: 0.002, by: epoch, whole: true}",
            lambda o: CosineLRScheduler(o, EPOCHS, lr_min=0.001, cycle_limit=1, **warm),
        ),
        timm(
            "timm cosine after its warm-up",
            "!cosine {warmup_epochs: 3, warmup_from: 0.01, by: epoch}",
            lambda o: CosineLRScheduler(o, EPOCHS - 3, cycle_limit=1, **warm | {"warmup_prefix": True}),
        ),
        timm(
            "timm cosine by step",
            "!cosine {warmup_epochs: 3, warmup_from: 0.01, final_lr: 0.02, whole: true}",
            lambda o: CosineLRScheduler(
                o, EPOCHS * SPE, lr_min=0.01, warmup_t=3 * SPE, warmup_lr_init=0.01, t_in_epochs=False
            ),
            by_step=True,
        ),
        timm(
            "timm step",
            "!step {every: 2.4, gamma: 0.97, warmup_epochs: 3, warmup_from: 0.01, by: epoch}",
            lambda o: StepLRScheduler(o, 2.4, 0.97, **warm),
        ),
        timm(
            "timm poly",
            "!polynomial {power: 0.5, warmup_epochs: 3, warmup_from: 0.01, final_lr: 0.02, by: epoch, whole: true}",
            lambda o: PolyLRScheduler(o, EPOCHS, power=0.5, lr_min=0.01, cycle_limit=1, **warm),
        ),
        torchvision(
            "torchvision cosine",
            "!cosine {warmup_epochs: 3, warmup_from: 0.005, final_lr: 0.002, by: epoch}",
            lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=EPOCHS - 3, eta_min=0.001),
            3,
            0.01,
        ),
        torchvision(
            "torchvision steps",
            "!step {every: 2, gamma: 0.973}",
            lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.973),
            0,
            None,
        ),
        torchvision(
            "torch polynomial",
            "!polynomial {power: 2, by: epoch}",
            lambda o: lr_scheduler.PolynomialLR(o, total_iters=EPOCHS, power=2),
            0,
            None,
        ),
    ]
    (HERE / "schedules.yaml").write_text("".join(map(spelled, rows)))
