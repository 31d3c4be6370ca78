"""Damaged pictures and what Pillow makes of them, for tests/data/damage.rs: damage.py FORMAT COUNT [SEED] writes records
of two little-endian lengths, the file, and its pixels as RGB behind their width and height, or nothing if Pillow refuses."""

import io
import random
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
IMAGES = Path(__file__).parent / "goldens" / "images"


def picture(rng, mode, width, height):
    """Smooth colours with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4, "LA": 2}[mode]
    waves = [127 + 90 * np.sin(x / rng.uniform(3, 20) + i) * np.cos(y / rng.uniform(3, 20)) for i in range(channels)]
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.choice([0, 8, 40]), (height, width, channels))
    pixels = np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode)


def sources(name, rng):
    """About 40 sound files of a format."""
    sizes = [(45, 31), (64, 48), (17, 9), (100, 3), (5, 70), (33, 80), (8, 8), (130, 97)]
    for i in range(40):
        width, height = sizes[i % len(sizes)]
        options = {}
        mode = rng.choice(["RGB", "RGB", "RGB", "L"])
        if name == "JPEG":
            mode = ["RGB", "RGB", "L", "RGB", "CMYK"][i % 5]
            options = {"quality": rng.choice([10, 50, 75, 92, 98]), "progressive": i % 3 == 1, "optimize": i % 2 == 0}
            if mode == "RGB":
                options["subsampling"] = rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:2:0"])
                options["keep_rgb"] = i % 13 == 12
            if i % 4 == 3:
                options[rng.choice(["restart_marker_blocks", "restart_marker_rows"])] = rng.choice([1, 2, 5])
            if i % 7 == 5:
                options["exif"] = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        image = picture(rng, mode, width, height)
        if name == "PNG":
            image = picture(rng, rng.choice(["L", "LA", "RGB", "RGBA"]), width, height)
            if i % 3 == 0:
                image = image.convert("RGB").quantize(rng.choice([2, 4, 16, 200]))
            options = {"compress_level": rng.choice([0, 1, 6, 9])}
            if i % 5 == 0:
                options["dpi"] = (72, 72)
            if i % 7 == 0 and image.mode in ("L", "P"):
                options["transparency"] = 1
        elif name == "WEBP":
            image = picture(rng, rng.choice(["RGB", "RGBA"]), width, height)
            options = {"lossless": i % 2 == 0, "quality": rng.choice([10, 50, 80, 100]), "method": rng.choice([0, 4])}
            if i % 5 == 4:
                options |= {"save_all": True, "append_images": [image.rotate(180)]}
        elif name == "GIF":
            options = {"interlace": i % 2, "optimize": False}
            if i % 4 == 1:
                image = picture(rng, "RGB", width, height).quantize(rng.choice([2, 7, 60]))
                options["transparency"] = 1
            if i % 5 == 4:
                options |= {"save_all": True, "append_images": [image.rotate(180)]}
        elif name == "BMP":
            kinds = [image, image.convert("L"), image.convert("1"), image.convert("RGB").quantize(100), image.convert("RGBA")]
            image = kinds[i % 5]
        elif name == "PPM":
            image = [image, image.convert("L"), image.convert("1"), Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 200)][i % 4]
        elif name == "TIFF":
            kinds = [image, image.convert("L"), image.convert("1"), image.convert("RGB").quantize(50), image.convert("RGBA"), image.convert("CMYK")]
            kinds += [Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 2), image.convert("I"), image.convert("F")]
            image = kinds[i % 9]
            options = {"compression": rng.choice(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])}
            if i % 3 == 2:
                options["tiffinfo"] = {274: 1 + i % 8}
        out = io.BytesIO()
        image.save(out, name, **options)
        data = out.getvalue()
        if name == "PNG" and i % 4 == 0:
            data = interlaced(np.array(image.convert("RGB")))
        yield data


def interlaced(pixels):
    """A PNG by Adam7, without filters."""
    import zlib
    height, width = pixels.shape[:2]
    rows = b""
    for x0, y0, dx, dy in (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2):
        for row in pixels[y0::dy, x0::dx]:
            rows += b"\0" + row.tobytes() if len(row) else b""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def damaged(data, rng, name):
    """One file with one to three kinds of damage."""
    data = bytearray(data)
    scan = data.rfind(b"\xff\xda") if name == "JPEG" else 0
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        # Half of the damage is to the headers, which are short.
        at = rng.randrange(len(data)) if rng.random() < 0.6 else rng.randrange(min(len(data), max(scan, 64)))
        kind = rng.randrange(8)
        if kind <= 2:
            data[at] = rng.randrange(256)
        elif kind == 3:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 4:
            del data[at : at + rng.choice([1, 1, 2, 5, 40])]
        elif kind == 5:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 1, 2, 9])))
        elif kind == 6:
            if name == "JPEG":
                markers = [i for i in range(2, len(data) - 1) if data[i] == 255 and data[i + 1] not in (0, 255)]
                if markers:
                    i = rng.choice(markers)
                    if rng.random() < 0.5:
                        data[i + 1] = rng.choice([0xD0, 0xD1, 0xD7, 0xD8, 0xD9, 0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0, 0xFE, 1])
                    else:
                        marker = data[i : i + 2]
                        del data[i : i + 2]
                        at = rng.randrange(len(data))
                        data[at:at] = marker
            else:
                i = rng.randrange(len(data))
                data[at:at] = data[i : i + 20]
        elif rng.random() < 0.4:
            del data[at:]
        else:
            data[at : at + rng.choice([2, 4])] = bytes(4)
        if len(data) < 4:
            break
    return bytes(data)


def decoded(data):
    """Width, height and pixels, or nothing."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > 1 << 22:
                return None
            rgb = image.convert("RGB")
            return struct.pack("<II", *rgb.size) + rgb.tobytes()
    except Exception:
        return b""


def main():
    name, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    files = list(sources(name, rng))
    more = {"JPEG": "*.jpg", "PPM": "*.p?m"}.get(name, f"*.{name.lower()[:4]}")
    files += [path.read_bytes() for path in sorted(IMAGES.glob(more)) if path.stat().st_size < 20000]
    for i in range(count):
        data = files[i] if i < len(files) else damaged(rng.choice(files), rng, name)
        pixels = decoded(data)
        if pixels is not None:
            sys.stdout.buffer.write(struct.pack("<II", len(data), len(pixels)) + data + pixels)


if __name__ == "__main__":
    main()
