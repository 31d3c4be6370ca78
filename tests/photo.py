"""Draws docs/photo.svg: a photograph beside what `tchvision classify --json` says of it.

    tchvision classify flower.jpg … --json | tests/photo.py flower.jpg > docs/photo.svg
"""

import base64
import io
import json
import sys

from PIL import Image

WIDTH, BAR, ROW = 240, 300, 26


def main():
    image = Image.open(sys.argv[1]).convert("RGB")
    height = round(image.height * WIDTH / image.width)
    file = io.BytesIO()
    image.resize((WIDTH, height)).save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode()
    top = json.load(sys.stdin)[0]["top"]
    rows = []
    for i, guess in enumerate(top):
        y = 20 + i * ROW
        length = BAR * guess["probability"] / top[0]["probability"]
        rows.append(f'<rect x="{WIDTH + 160}" y="{y}" width="{length:.1f}" height="16" fill="#4878a8"/>')
        rows.append(f'<text x="{WIDTH + 150}" y="{y + 13}" text-anchor="end">{guess["label"]}</text>')
        rows.append(f'<text x="{WIDTH + 166 + length:.1f}" y="{y + 13}">{100 * guess["probability"]:.2f} %</text>')
    width = WIDTH + 160 + BAR + 70
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">')
    print(f'<rect width="{width}" height="{height}" fill="white"/>')
    print(f'<image width="{WIDTH}" height="{height}" href="data:image/jpeg;base64,{data}"/>')
    print("\n".join(rows) + "\n</svg>")


if __name__ == "__main__":
    main()
