"""Writes tests/fixtures/tfrecord: records of the package `tfrecord`, named and laid out as TensorFlow Datasets does.

    pip install tfrecord crc32c protobuf pillow numpy && python tests/goldens/tfrecords.py
"""

import io
import pathlib
import shutil

import numpy
from PIL import Image
from tfrecord.writer import TFRecordWriter

ROOT = pathlib.Path(__file__).parents[1] / "fixtures" / "tfrecord" / "colours" / "1.0.0"
CLASSES = ["blue", "green", "red"]


def png(seed: int, channel: int) -> bytes:
    """Class i has its channel i raised."""
    pixels = numpy.random.default_rng(seed).integers(0, 200, (6, 7, 3), dtype=numpy.uint8)
    pixels[..., channel] += 55
    out = io.BytesIO()
    Image.fromarray(pixels // 16 * 16).save(out, "png")
    return out.getvalue()


def main() -> None:
    shutil.rmtree(ROOT.parent, ignore_errors=True)
    ROOT.mkdir(parents=True)
    (ROOT / "label.labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for split, shards, each, start in [("train", 2, 6, 0), ("validation", 1, 3, 100)]:
        for shard in range(shards):
            path = ROOT / f"colours-{split}.tfrecord-{shard:05}-of-{shards:05}"
            writer = TFRecordWriter(str(path))
            for i in range(each):
                label = i % 3
                writer.write({
                    "file_name": (f"{shard}-{i}.png".encode(), "byte"),
                    "image": (png(start + shard * each + i, label), "byte"),
                    "label": (label, "int"),
                    "score": ([0.5, float(i)], "float"),
                })
            writer.close()


main()
