"""Regenerates the image files in images/, and the output of Pillow, torchvision and timm for them: `make goldens`.

images/: small images, one file per variant of a format.
images.safetensors: pixels, decoded as `Image.open(file).convert("RGB")` does and resized.
preprocess.json: network inputs from the libraries' evaluation transforms, as a digest of their 8-bit pixels and some of
their values.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import timm.data
import timm.models
import torch
import torchvision
from make import uniform
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
FILES = HERE / "images"
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def picture(name, width, height, channels=3):
    """uint8 (height, width, channels): waves, an edge and a little noise."""
    y, x = np.mgrid[:height, :width]
    noise = uniform(name, width * height * channels).reshape(height, width, channels)
    waves = np.stack([np.sin(x * (0.11 + 0.07 * c) + y * 0.13) for c in range(channels)], -1)
    edge = (x > y * 1.3)[..., None] * 60
    return np.clip(100 + 70 * waves + edge + 24 * noise, 0, 255).astype(np.uint8)


def png(samples, depth, color_type, interlaced=False, palette=None, transparency=None):
    """A PNG of samples (height, width, channels), of bit depths and orders that Pillow does not write."""
    height, width = samples.shape[:2]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def rows(part):
        out = b""
        for row in part:
            if depth == 16:
                data = row.astype(">u2").tobytes()
            elif depth == 8:
                data = row.astype(np.uint8).tobytes()
            else:
                bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
                data = np.packbits(bits.astype(np.uint8)).tobytes()
            out += b"\0" + data
        return out

    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    data = b"".join(rows(part) for part in parts if part.size)
    head = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bmp(width, height, bits, data, compression=0, palette=b"", masks=b"", os2=False):
    """A BMP of a kind that Pillow does not write."""
    if os2:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    start = 14 + len(info) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + palette + data


def files():
    """Name and bytes of every image."""

    def pillow(name, image, kind, **options):
        file = io.BytesIO()
        image.save(file, kind, **options)
        return name, file.getvalue()

    rgb = Image.fromarray(picture("rgb", 45, 31))
    gray = Image.fromarray(picture("gray", 45, 31, 1)[..., 0])
    rgba = Image.fromarray(picture("rgba", 45, 31, 4), "RGBA")
    colors = rgb.quantize(200)
    thin = Image.fromarray(picture("thin", 203, 5))
    dot = Image.fromarray(picture("dot", 1, 1))

    for name, sampling in ("444", 0), ("422", 1), ("420", 2):
        yield pillow(f"sampling_{name}.jpg", rgb, "JPEG", quality=90, subsampling=sampling)
    yield pillow("quality_30.jpg", rgb, "JPEG", quality=30)
    yield pillow("progressive.jpg", rgb, "JPEG", quality=85, progressive=True)
    yield pillow("restarts.jpg", rgb, "JPEG", quality=85, restart_marker_blocks=2)
    yield pillow("gray.jpg", gray, "JPEG", quality=85)
    yield pillow("gray_progressive.jpg", gray, "JPEG", quality=85, progressive=True)
    yield pillow("cmyk.jpg", Image.fromarray(picture("cmyk", 45, 31, 4), "CMYK"), "JPEG", quality=90)
    yield pillow("rgb.jpg", rgb, "JPEG", quality=90, keep_rgb=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    yield pillow("orientation.jpg", rgb, "JPEG", quality=85, exif=exif)
    yield pillow("thin.jpg", thin, "JPEG", quality=85)
    yield pillow("large.jpg", Image.fromarray(picture("large", 397, 301)), "JPEG", quality=60)
    yield pillow("dot.jpg", dot, "JPEG", quality=85)

    yield pillow("rgb.png", rgb, "PNG")
    yield pillow("alpha.png", rgba, "PNG")
    yield pillow("gray.png", gray, "PNG")
    yield pillow("gray_alpha.png", Image.merge("LA", (gray, gray.rotate(180))), "PNG")
    yield pillow("bit.png", gray.convert("1"), "PNG")
    yield pillow("gray_16.png", Image.fromarray(picture("g16", 45, 31, 1)[..., 0].astype(np.uint16) * 3), "PNG")
    yield pillow("thin.png", Image.fromarray(picture("tall", 3, 190)), "PNG")
    yield pillow("dot.png", dot, "PNG")
    yield pillow("transparent_color.png", rgb, "PNG", transparency=(100, 100, 100))
    yield pillow("palette_transparent.png", colors, "PNG", transparency=3)
    indices = (uniform("indices", 45 * 31) * 256).astype(np.int64).reshape(31, 45, 1)
    table = (uniform("table", 768) * 256).reshape(256, 3)
    for depth in 1, 2, 4, 8:
        few = indices % (1 << depth)
        yield f"palette_{depth}.png", png(few, depth, 3, palette=table[: 1 << depth])
        yield f"gray_{depth}_interlaced.png", png(few, depth, 0, interlaced=True)
    wide = (uniform("wide", 45 * 31 * 4) * 65536).astype(np.int64).reshape(31, 45, 4)
    yield "rgb_16.png", png(wide[..., :3], 16, 2)
    yield "rgb_16_interlaced.png", png(wide[..., :3], 16, 2, interlaced=True)
    yield "alpha_16.png", png(wide, 16, 6)
    yield "gray_alpha_16.png", png(wide[..., :2], 16, 4)
    yield "gray_16_transparent.png", png(wide[..., :1] // 128, 16, 0, transparency=b"\0\7")
    yield "rgb_interlaced.png", png(picture("adam", 45, 31), 8, 2, interlaced=True)

    yield pillow("lossy.webp", rgb, "WEBP", quality=80)
    yield pillow("lossy_low.webp", rgb, "WEBP", quality=20)
    yield pillow("lossless.webp", rgb, "WEBP", lossless=True)
    yield pillow("alpha.webp", rgba, "WEBP", quality=80)
    yield pillow("alpha_lossless.webp", rgba, "WEBP", lossless=True, exact=True)
    yield pillow("animated.webp", rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)], lossless=True)
    yield pillow("dot.webp", dot, "WEBP", quality=80)
    yield pillow("thin.webp", thin, "WEBP", quality=80)

    yield pillow("colors.gif", colors, "GIF")
    yield pillow("gray.gif", gray, "GIF")
    yield pillow("plain_order.gif", colors, "GIF", interlace=0)
    yield pillow("transparent.gif", colors, "GIF", transparency=5)
    yield pillow("animated.gif", colors, "GIF", save_all=True, append_images=[colors.rotate(90)])
    yield pillow("dot.gif", dot.quantize(2), "GIF")
    for name, options in ("", {}), ("_transparent", {"transparency": 5}):
        _, small = pillow("", colors, "GIF", optimize=False, interlace=0, **options)
        screen = bytearray(small)
        screen[6:10] = struct.pack("<HH", 61, 40)
        yield f"screen{name}.gif", bytes(screen)
        frame = small.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 45, 31))
        screen[frame + 1 : frame + 5] = struct.pack("<HH", 7, 20)  # part of it below the screen
        yield f"screen_offset{name}.gif", bytes(screen)

    yield pillow("rgb.bmp", rgb, "BMP")
    yield pillow("alpha.bmp", rgba, "BMP")
    yield pillow("gray.bmp", gray, "BMP")
    yield pillow("bit.bmp", gray.convert("1"), "BMP")
    yield pillow("palette.bmp", colors, "BMP")
    yield pillow("dot.bmp", dot, "BMP")
    quads = np.concatenate([table, np.zeros((256, 1))], 1).astype(np.uint8)
    rows = (indices[..., 0] % 16).astype(np.uint8)
    nibbles = np.pad(rows, ((0, 0), (0, 3)))
    packed = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]
    yield "palette_4.bmp", bmp(45, 31, 4, packed.tobytes(), palette=quads[:16].tobytes())
    yield "top_down.bmp", bmp(44, -31, 24, picture("down", 44, 31).tobytes())
    words = (uniform("words", 46 * 31) * 65536).astype("<u2").reshape(31, 46)
    yield "rgb_555.bmp", bmp(46, 31, 16, (words & 0x7FFF).tobytes())
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    yield "rgb_565.bmp", bmp(46, 31, 16, words.tobytes(), compression=3, masks=masks)
    masks = struct.pack("<III", 0x00FF0000, 0x0000FF00, 0x000000FF)
    quad = picture("quad", 45, 31, 4)
    yield "rgb_32.bmp", bmp(45, 31, 32, quad.tobytes())
    yield "rgb_32_masks.bmp", bmp(45, 31, 32, quad.tobytes(), compression=3, masks=masks)
    runs = b"".join(
        b"".join(bytes([3, int(v)]) for v in row[:12]) + bytes([0, 3, *map(int, row[12:15])]) + b"\0"
        + bytes([6, 9, 0, 0]) for row in rows
    )
    yield "runs_8.bmp", bmp(45, 31, 8, runs + b"\0\1", compression=1, palette=quads.tobytes())
    triples = table[:16, :].astype(np.uint8).tobytes()
    yield "os2.bmp", bmp(45, 31, 4, packed.tobytes(), palette=triples, os2=True)

    for name, image in ("rgb.ppm", rgb), ("gray.pgm", gray), ("bit.pbm", gray.convert("1")):
        yield pillow(name, image, "PPM")
    yield pillow("gray_16.pgm", Image.fromarray(picture("p16", 45, 31, 1)[..., 0].astype(np.uint16) * 3), "PPM")
    values = " ".join(str(v) for v in (uniform("plain", 9 * 5 * 3) * 1001).astype(int))
    yield "plain.ppm", f"P3 # text\n9 5\n1000\n{values}\n".encode()
    samples = (uniform("odd", 9 * 5 * 3) * 41).astype(np.uint8).tobytes()
    yield "forty.ppm", b"P6\n9 5\n40\n" + samples

    cmyk = Image.fromarray(picture("cmyk", 45, 31, 4), "CMYK")
    wide = Image.fromarray(picture("t16", 45, 31, 1)[..., 0].astype(np.uint16) * 3)
    yield pillow("rgb.tif", rgb, "TIFF")
    yield pillow("gray.tif", gray, "TIFF", compression="packbits")
    yield pillow("bit.tif", gray.convert("1"), "TIFF", compression="group4")
    yield pillow("palette.tif", colors, "TIFF", compression="tiff_lzw")
    yield pillow("alpha.tif", rgba, "TIFF", compression="tiff_adobe_deflate")
    yield pillow("premultiplied.tif", rgba, "TIFF", tiffinfo={338: 1})
    yield pillow("cmyk.tif", cmyk, "TIFF")
    yield pillow("gray_16.tif", wide, "TIFF", compression="tiff_lzw")
    yield pillow("float.tif", Image.fromarray(picture("float", 45, 31, 1)[..., 0].astype(np.float32) * 1.5 - 50), "TIFF")
    for orientation in range(2, 9):
        yield pillow(f"turned_{orientation}.tif", rgb, "TIFF", tiffinfo={274: orientation})

    # Coefficients beyond 16 bits, where vectors saturate; restarts out of order, and an unusual end.
    for name, file, change in (
        ("overflow.jpg", "rgb.jpg", lambda data: data.replace(data[25:29], bytes([255, 250, 90, 255]), 1)),
        ("overflow_progressive.jpg", "progressive.jpg", lambda data: data.replace(data[25:29], bytes([255, 250, 90, 255]), 1)),
        ("flipped.jpg", "sampling_420.jpg", lambda data: data[:-300] + bytes([data[-300] ^ 16]) + data[-299:]),
        ("endless.jpg", "rgb.jpg", lambda data: data[:-1] + b"\xd0"),
    ):
        yield name, change((FILES / file).read_bytes())
    p = bytearray((FILES / "rgb.png").read_bytes())
    at = p.index(b"IDAT")
    p[at + 4 + struct.unpack(">I", p[at - 4 : at])[0]] ^= 1
    yield "wrong_crc.png", bytes(p)


def resized():
    """Resized images, named by the file, the size, the interpolation and, if cropped, the box."""
    sizes = {
        "rgb.png": [(20, 14), (61, 40), (45, 9), (13, 31), (40, 6), (45, 31), (1, 1)],
        "thin.png": [(3, 40), (9, 9), (2, 30)],
        "thin.jpg": [(67, 2), (30, 8), (203, 3)],
        "dot.png": [(5, 4)],
    }
    parts = [((0, 0, 45, 31), (17, 12)), ((3.5, 2.25, 40.125, 29.75), (19, 11)), ((10, 4, 11, 5), (4, 3))]
    parts += [((5, 0, 40, 31), (34, 9)), ((0.1, 0.3, 44.9, 8.7), (45, 5)), ((7, 3, 27, 23), (20, 20))]
    names = "NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"
    for kind in (Image.Resampling[name] for name in names):
        for file, shapes in sizes.items():
            with Image.open(FILES / file) as image:
                for width, height in shapes:
                    name = f"resized/{file}/{width}x{height}/{kind.name.lower()}"
                    yield name, image.resize((width, height), kind)
        with Image.open(FILES / "rgb.png") as image:
            for box, (width, height) in parts:
                name = f"resized/rgb.png/{width}x{height}/{kind.name.lower()}/{','.join(map(str, box))}"
                yield name, image.resize((width, height), kind, box=box)


def transforms():
    """Evaluation transforms by the weights that they belong to."""
    weights = ["resnet50.IMAGENET1K_V2", "alexnet.IMAGENET1K_V1", "efficientnet_b1.IMAGENET1K_V1"]
    weights += ["inception_v3.IMAGENET1K_V1", "vgg16.IMAGENET1K_FEATURES", "swin_v2_t.IMAGENET1K_V1"]
    for name in weights:
        model, tag = name.split(".")
        yield f"torchvision/{name}", torchvision.models.get_model_weights(model)[tag].transforms()
    weights = ["resnet50.a1_in1k", "resnet50.a3_in1k", "tf_efficientnetv2_b3.in21k_ft_in1k"]
    weights += ["vit_base_patch16_224.augreg_in21k_ft_in1k", "inception_resnet_v2.tf_in1k"]
    for name in weights:
        config = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
        yield f"timm/{name}", timm.data.create_transform(**config, is_training=False)
        if name == "resnet50.a1_in1k":
            border = timm.data.create_transform(**{**config, "crop_mode": "border"}, is_training=False)
            yield f"timm/{name} border", border


def preprocessed():
    """For each transform and image: a digest of the pixels (as tests/data/images.rs computes it) and every 9973rd value."""
    pictures = ["large.jpg", "sampling_420.jpg", "thin.jpg", "thin.png", "dot.png", "cmyk.jpg", "gray_16.png"]
    pictures += ["alpha.webp", "screen_offset.gif", "palette.bmp"]
    for weights, transform in transforms():
        norm = transform if hasattr(transform, "mean") else transform.transforms[-1]
        mean, std = (torch.as_tensor(values).view(3, 1, 1) for values in (norm.mean, norm.std))
        for file in pictures:
            with Image.open(FILES / file) as image:
                x = transform(image.convert("RGB"))
            pixels = ((x.double() * std + mean) * 255).round().to(torch.uint8).permute(1, 2, 0)
            digest = 0
            for pixel in (pixels.reshape(-1, 3).long() @ torch.tensor([1, 256, 65536])).tolist():
                digest = (digest * 1099511628211 + pixel + 1) % 2**64
            yield {
                "weights": weights,
                "file": file,
                "shape": list(x.shape),
                "digest": digest,
                "values": [round(v, 6) for v in x.flatten()[::9973].tolist()],
            }


def main():
    FILES.mkdir(exist_ok=True)
    for old in FILES.iterdir():
        old.unlink()
    torch.set_num_threads(1)
    tensors = {}
    for name, data in files():
        (FILES / name).write_bytes(data)
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height < 4000:
                tensors[f"decoded/{name}"] = torch.from_numpy(np.array(image.convert("RGB")))
    for name, image in resized():
        tensors[name] = torch.from_numpy(np.array(image))
    text = ",\n".join(json.dumps(case) for case in preprocessed())
    (HERE / "preprocess.json").write_text(f"[\n{text}\n]\n")
    save_file(tensors, HERE / "images.safetensors")


if __name__ == "__main__":
    main()
