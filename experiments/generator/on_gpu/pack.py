"""What the training of the painter on a GPU needs, in one folder that fits a small budget.

``pack.py --data DATA --cut CUT --wheels WHEELS -o pack/``: the package's source, materials made
smaller, views, codec, the denoiser it begins with (in 8 bits: it is only a beginning), wheels, and
silhouettes: of photos of senders who are not held out, and of cut-outs, which stand.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from persona_img.generator.denoiser import Denoiser
from persona_img.imaging.holdout import split_photos
from persona_img.masking.learning.corpus import true_alpha

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FAMILIES = ROOT / "experiments/masker/families.csv"
HELD_FAMILIES = 0.4
STAND = {
    "drink", "dash-force", "plimsolls", "book", "cap", "mug_set", "cushion-blue", "hat", "beanie",
    "tote", "digital-product", "gift-card",
}  # fmt: skip
"""Families of cut-outs that stand; the others lie."""
TILE = 512  # pixels
SIDEWAYS = 1.7  # a shoe this many times as wide as high is seen from its side
NEEDED = (
    "materials", "views", "materials.toml", "palettes.toml", "__init__.py",
)  # fmt: skip
"""Assets that sets are built from."""


def encoded(pixels: np.ndarray, kind: str, quality: int) -> bytes:
    """A picture's bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, quality=quality, method=5)
    return out.getvalue()


def write(folder: Path, name: str, items: Iterable[tuple[str, bytes]]) -> None:
    """One file of many pictures, and its index of (key, start, size)."""
    index, parts, at = [], [], 0
    for key, data in items:
        index.append([key, at, len(data)])
        parts.append(data)
        at += len(data)
    (folder / f"{name}.bin").write_bytes(b"".join(parts))
    (folder / f"{name}.json").write_text(json.dumps(index))
    print(f"{name}: {len(index)}, {at / 2**20:.1f} MiB", flush=True)


def cut(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Photos that ``cut_photos`` cut out: stem, picture and mask, in an order drawn once."""
    paths = [p for p in sorted(folder.glob("*.npz")) if p.stat().st_size > 1024]
    for i in np.random.default_rng(7).permutation(len(paths)):
        with np.load(paths[i]) as one:
            yield paths[i].stem, one["rgb"], one["alpha"]


def lying(given: argparse.Namespace, label: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Photos and masks in turn, until there are enough."""
    total = 0.0
    for stem, rgb, alpha in cut(given.cut):
        photo = encoded(rgb, "WEBP", given.quality)
        mask = encoded(np.where(alpha > 127, 255, 0).astype(np.uint8), "PNG", 0)
        yield f"{label.get(stem, '')}|photo", photo
        yield f"{label.get(stem, '')}|mask", mask
        total += len(photo) + len(mask)
        if total > given.photos * 2**20:
            return


def cropped(rgb: np.ndarray, alpha: np.ndarray, longest: int = 400) -> bytes:
    """A cut-out alone, RGBA."""
    rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
    place = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    picture = Image.fromarray(np.dstack([rgb[place], alpha[place]]))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return encoded(np.asarray(picture), "WEBP", 84)


def cut_outs(given: argparse.Namespace, label: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Cut-outs as ``name|stands or lies|learn or held``; shoes seen from the side stand."""
    folder = given.data / "products/alpha"
    with FAMILIES.open(newline="") as lines:
        family = {row["image"]: row["sender_id"] for row in csv.DictReader(lines)}
    learn, held = split_photos(folder, FAMILIES, HELD_FAMILIES)
    for paths, use in ((learn, "learn"), (held, "held")):
        for path in paths:
            with Image.open(path) as image:
                rgba = np.array(image.convert("RGBA"))
            pose = "stands" if family[path.stem] in STAND else "lies"
            yield f"{path.stem}|{pose}|{use}", cropped(rgba[..., :3], true_alpha(rgba[..., 3]))
    for stem, rgb, alpha in cut(given.cut):
        if label.get(stem) == "Shoes":
            rows, columns = np.nonzero(alpha > 127)
            if len(rows) and np.ptp(columns) > SIDEWAYS * np.ptp(rows):
                yield f"{stem}|stands|learn", cropped(rgb, alpha)


def source(out: Path) -> None:
    """The package, with materials made smaller and without models."""
    package = ROOT / "src/persona_img"
    for path in package.rglob("*.py"):
        target = out / "src/persona_img" / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in NEEDED:
        one = package / "assets" / name
        for path in [one] if one.is_file() else [p for p in one.rglob("*") if p.is_file()]:
            target = out / "src/persona_img/assets" / path.relative_to(package / "assets")
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".jpg" and name == "materials":
                with Image.open(path) as image:
                    picture = image.convert("RGB")
                picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
                picture.save(target, quality=87)
            else:
                shutil.copy(path, target)


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of open data")
    parser.add_argument("--cut", type=Path, required=True, help="cut-out photos of the training")
    parser.add_argument("--wheels", type=Path, help="folder of what is missing there")
    parser.add_argument(
        "--checkpoint", type=Path, default=ROOT / "src/persona_img/assets/checkpoint"
    )
    parser.add_argument("--photos", type=float, default=11.5, help="MiB of photos")
    parser.add_argument("--quality", type=int, default=78, help="of the photos")
    parser.add_argument("-o", "--out", type=Path, default=Path("pack"))
    given = parser.parse_args()
    out = given.out
    out.mkdir(parents=True, exist_ok=True)
    with (given.data / "products/clothing/clothing.csv").open(newline="") as lines:
        label = {row["image"]: row["label"] for row in csv.DictReader(lines)}
    source(out)
    for path in HERE.glob("*.py"):
        shutil.copy(path, out)
    if given.wheels is not None:
        shutil.copytree(given.wheels, out / "wheels", dirs_exist_ok=True)
    for part in ("codec", "style_encoder", "scheduler"):
        shutil.copytree(given.checkpoint / part, out / "checkpoint" / part, dirs_exist_ok=True)
    shutil.copy(given.checkpoint / "model_index.json", out / "checkpoint")
    begun = Denoiser.from_pretrained(given.checkpoint / "denoiser")
    begun.save_eight_bit(out / "checkpoint/denoiser")
    write(out, "lying", lying(given, label))
    write(out, "cutouts", cut_outs(given, label))
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{out}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
