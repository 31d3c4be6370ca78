"""Writes tests/fixtures/parquet: files of the `datasets` package, and plain ones of pyarrow.

    pip install datasets pillow && python tests/goldens/parquet.py
"""

import io
import pathlib
import shutil

import datasets
import numpy
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1] / "fixtures" / "parquet"
CLASSES = ["blue", "green", "red"]


def png(seed: int, channel: int) -> bytes:
    pixels = numpy.random.default_rng(seed).integers(0, 200, (12, 14, 3), dtype=numpy.uint8)
    pixels[..., channel] += 55
    out = io.BytesIO()
    Image.fromarray(pixels // 16 * 16).save(out, "png")
    return out.getvalue()


def colours() -> None:
    """As `push_to_hub` and `to_parquet` write them: struct of bytes and path, names of classes in the metadata."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    folder = ROOT / "colours" / "data"
    folder.mkdir(parents=True)
    for split, count, start in [("train", 30, 0), ("validation", 9, 1000)]:
        rows = {
            "image": [{"bytes": png(start + i, i % 3), "path": f"{i}.png"} for i in range(count)],
            "label": [i % 3 for i in range(count)],
        }
        table = datasets.table.InMemoryTable(pa.table(rows, schema=features.arrow_schema))
        table = datasets.Dataset(table, datasets.DatasetInfo(features=features), fingerprint=split)
        table.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"), batch_size=8)


def plain() -> None:
    """Bytes without a struct, text as labels, in other compressions, encodings and page sizes."""
    folder = ROOT / "plain"
    for split, rows in [
        ("train", [(b"a0", "ant"), (b"z0", "zebra"), (b"a0", "ant"), (b"none", None), (b"z1", "zebra")]),
        ("test", [(b"t", "zebra")]),
    ]:
        (folder / split).mkdir(parents=True)
        table = pa.table({"extra": [[1]] * len(rows), "img": [r[0] for r in rows], "class": [r[1] for r in rows]})
        for compression in ["zstd", "none"] if split == "train" else ["snappy"]:
            name = folder / split / f"{compression}.parquet"
            v2 = {"data_page_version": "2.0", "use_dictionary": False} if compression == "zstd" else {}
            pq.write_table(table, name, row_group_size=2, compression=compression, data_page_size=1, **v2)


shutil.rmtree(ROOT, ignore_errors=True)
colours()
plain()
