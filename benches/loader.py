"""The peers of `tchvision bench loader`: writes images, and times torchvision's loaders on them."""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDTH, HEIGHT = 500, 375


def write(folder, count):
    """Images with coarse and fine structure: JPEGs of about 70 KB at quality 90, like photographs of this size."""
    draw = np.random.default_rng(0)
    for half, pictures in (("train", count), ("val", 1)):
        place = pathlib.Path(folder, half, "pictures")
        place.mkdir(parents=True)
        for i in range(pictures):
            pixels = np.zeros((HEIGHT, WIDTH, 3))
            for cells, weight in ((4, 110), (24, 60), (125, 40)):
                coarse = draw.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
                pixels += weight / 210 * np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC))
            pixels += draw.normal(0, 6, (HEIGHT, WIDTH, 1))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(place / f"{i:05}.jpg", quality=90)


def pil(folder):
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    return ImageFolder(folder, transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))


def tensors(folder):
    steps = [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    load = lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB)  # noqa: E731
    return ImageFolder(folder, v2.Compose([*steps, v2.Normalize(MEAN, STD)]), loader=load)


class Decoding(ImageFolder):
    """Decoding alone: what `decode_only` of ours does."""

    def __getitem__(self, index):
        path, label = self.samples[index]
        decode_jpeg(read_file(path), ImageReadMode.RGB)
        return 0, label


def images_per_second(dataset, threads, batch, repeats):
    """The best of several epochs after a first one, in which the workers start."""
    workers = 0 if threads == 1 else threads
    loader = DataLoader(dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    best = 0.0
    for epoch in range(repeats + 1):
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in loader)
        if epoch:
            best = max(best, count / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        reader, folder, (threads, batch, repeats) = sys.argv[2], sys.argv[3], map(int, sys.argv[4:])
        dataset = {"torchvision_pil": pil, "torchvision_v2": tensors, "torchvision_decode": Decoding}[reader](f"{folder}/train")
        print(json.dumps({"images_per_second": images_per_second(dataset, threads, batch, repeats)}))
