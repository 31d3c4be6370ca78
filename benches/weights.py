"""PyTorch's side of `tchvision bench weights`: writes the files, and times its libraries reading them.

    weights.py write FOLDER MEGABYTES        model.safetensors and model.pth with the same tensors
    weights.py time FILE MMAP REPEATS        prints {"median_ms": …, "peak_bytes": …}

It times what `tchvision` does: from the file to values in the tensors of an existing model.
"""

import json
import pathlib
import resource
import statistics
import sys
import time

import safetensors.torch
import torch


def write(folder, megabytes):
    # Matrices of a transformer's width, each with a bias vector.
    count = max(1, int(megabytes) * 10**6 // (4 * 1024 * 1025))
    torch.manual_seed(0)
    state = {}
    for i in range(count):
        state[f"blocks.{i}.weight"] = torch.randn(1024, 1024)
        state[f"blocks.{i}.bias"] = torch.randn(1024)
    safetensors.torch.save_file(state, pathlib.Path(folder) / "model.safetensors")
    torch.save(state, pathlib.Path(folder) / "model.pth")


def read(path, mmap):
    if path.endswith(".safetensors"):
        return safetensors.torch.load_file(path)
    return torch.load(path, mmap=mmap)


def measure(path, mmap, repeats):
    model = {name: torch.zeros_like(tensor) for name, tensor in read(path, True).items()}
    times = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        for name, tensor in read(path, mmap == "true").items():
            model[name].copy_(tensor)
        times.append(1000 * (time.perf_counter() - start))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"median_ms": statistics.median(times), "peak_bytes": peak}))


if __name__ == "__main__":
    {"write": write, "time": measure}[sys.argv[1]](*sys.argv[2:])
