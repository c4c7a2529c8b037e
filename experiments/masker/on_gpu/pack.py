"""What the training of the masker on a GPU needs, as WebPs in a few files that fit a small budget.

``pack.py --data DATA --photos MIB.. -o pack/``: ``tiles``, ``materials``, ``scenes``, ``backs``,
``alpha``, ``taught`` and one or more ``photosN``, each a ``.bin`` with a ``.json`` index of (key,
start, size). Photos are those of senders who are not held out; ``taught`` are those whose masks
were put right by eye (``by_eye.py``), each followed by its label.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from persona_img.imaging.folder import pictures_below
from persona_img.imaging.holdout import split_photos
from persona_img.masking.inputs import shape_of
from persona_img.masking.learning.corpus import true_alpha

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

SIDE = 512
HERE = Path(__file__).resolve().parents[1]
OLD = 40  # tiles of 128 px for each class at most: there are larger ones now


def webp(picture: Image.Image, quality: int) -> bytes:
    """Its bytes."""
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def opened(path: Path, longest: int | None = None) -> Image.Image:
    """A picture upright, in RGB, at most so large."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    if longest:
        upright.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return upright


def write(folder: Path, name: str, items: Iterable[tuple[str, bytes]]) -> None:
    """One file of many pictures, and its index."""
    index, parts, at = [], [], 0
    for key, data in items:
        index.append([key, at, len(data)])
        parts.append(data)
        at += len(data)
    (folder / f"{name}.bin").write_bytes(b"".join(parts))
    (folder / f"{name}.json").write_text(json.dumps(index))
    print(f"{name}: {len(index)}, {at / 2**20:.1f} MiB", flush=True)


def pictures(folder: Path) -> list[Path]:
    """All below a folder; every seventh place, in all of its views, is held out."""
    return [
        path
        for path in pictures_below(folder)
        if sum(re.sub(r"_y\d.*$", "", path.stem).encode()) % 7
    ]


def training(data: Path) -> tuple[list[Path], dict[str, str]]:
    """Photos of training senders, and what each photo shows."""
    out = frozenset((HERE / "leave_out.txt").read_text().split())
    groups = data / "products/clothing/clothing.csv"
    train, _ = split_photos(data / "products/clothing", groups, 0.15, out)
    with groups.open(newline="") as lines:
        return train, {row["image"]: row["label"] for row in csv.DictReader(lines)}


def seen(path: Path) -> Image.Image:
    """A photo in the shape in which the masker sees it."""
    upright = opened(path)
    height, width = shape_of(upright.height, upright.width, SIDE)
    return upright.resize((width, height), Image.Resampling.BOX)


def photos(given: argparse.Namespace, without: Container[str]) -> Iterator[tuple[str, bytes]]:
    """Photos of training senders in an order drawn once."""
    train, label = training(given.data)
    for i in np.random.default_rng(7).permutation(len(train)):
        path = train[i]
        if label[path.stem] != "Not sure" and path.stem not in without:
            yield f"{path.stem}|{label[path.stem]}", webp(seen(path), given.quality)


def taught(given: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    """Photos whose masks were put right, each followed by its label."""
    train, label = training(given.data)
    for path in train:
        mask = HERE / "by_eye" / f"{path.stem}.png"
        if mask.exists():
            key = f"{path.stem}|{label[path.stem]}"
            yield key, webp(seen(path), 76)
            yield key, mask.read_bytes()


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of open data")
    parser.add_argument("--photos", type=float, nargs="+", required=True, help="MiB of each part")
    parser.add_argument("--quality", type=int, default=66, help="of the photos")
    parser.add_argument("-o", "--out", type=Path, default=Path("pack"))
    given = parser.parse_args()
    out, data = given.out, given.data
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    tiles: list[Path] = []
    for folder in sorted((data / "backgrounds/texture").iterdir()):
        some = pictures(folder)
        tiles += [some[i] for i in sorted(rng.permutation(len(some))[:OLD])]
    tiles = [tiles[i] for i in sorted(rng.permutation(len(tiles))[:420])]
    write(out, "tiles", ((p.stem, webp(opened(p), 78)) for p in tiles))
    real = [p for p in pictures(data / "materials") if p.parent.name != "normals"]
    write(out, "materials", ((p.stem, webp(opened(p, 512), 72)) for p in real))
    views = pictures(data / "backgrounds/scene")[::2]
    write(out, "scenes", ((p.stem, webp(opened(p), 66)) for p in views))
    backs = pictures(data / "backgrounds/photo") + [
        p for p in pictures(data / "scenes") if p.parent.name != "pano"
    ]
    write(out, "backs", ((p.stem, webp(opened(p, 560), 62)) for p in backs))
    products, _ = split_photos(data / "products/alpha", HERE / "families.csv", 0.4)

    def exact(path: Path) -> bytes:
        with Image.open(path) as image:
            picture = image.convert("RGBA")
        picture.thumbnail((512, 512), Image.Resampling.LANCZOS)
        rgba = np.array(picture)
        rgba[..., 3] = true_alpha(rgba[..., 3])
        stream = io.BytesIO()
        Image.fromarray(rgba).save(stream, "WEBP", quality=88, alpha_quality=100, method=5)
        return stream.getvalue()

    write(out, "alpha", ((p.stem, exact(p)) for p in products))
    write(out, "taught", taught(given))
    every = photos(given, {path.stem for path in (HERE / "by_eye").glob("*.png")})
    for part, limit in enumerate(given.photos, start=1):
        some, total = [], 0.0
        for one in every:
            some.append(one)
            total += len(one[1])
            if total > limit * 2**20:
                break
        write(out, f"photos{part}", some)


if __name__ == "__main__":
    main()
