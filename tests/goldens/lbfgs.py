"""Regenerates lbfgs.json: steps of torch.optim.LBFGS through Rosenbrock's valley in six dimensions, in float64."""

import json

import torch

from make import HERE

STEPS = 100


def steps(strong_wolfe, lr, history_size, max_iter):
    start = torch.tensor([0.3 * i - 0.7 for i in range(6)], dtype=torch.float64)
    params = [start[:4].clone().requires_grad_(), start[4:].clone().requires_grad_()]
    search = "strong_wolfe" if strong_wolfe else None
    optimizer = torch.optim.LBFGS(
        params, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn=search
    )

    def closure():
        optimizer.zero_grad()
        x = torch.cat(params)
        loss = (10 * (x[1:] - x[:-1] ** 2) ** 2 + (x[:-1] - 1) ** 2).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(STEPS)]
    end = torch.cat(params).tolist()
    settings = {"strong_wolfe": strong_wolfe, "lr": lr, "history_size": history_size, "max_iter": max_iter}
    return {**settings, "losses": losses, "parameters": end}


if __name__ == "__main__":
    rows = [steps(True, 1.0, 100, 1), steps(True, 0.7, 3, 2), steps(False, 0.02, 4, 3), steps(False, 0.01, 100, 1)]
    (HERE / "lbfgs.json").write_text(json.dumps(rows) + "\n")
