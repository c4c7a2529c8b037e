r"""Masks of photos that a masker finds hard, put right by eye: what it is taught with.

    python experiments/masker/by_eye.py choose --photos clothing/ --groups clothing/clothing.csv \
        --cut 1400 --keep 400 -o eye/
    python experiments/masker/by_eye.py sheet eye/ --from 0 --count 3 -o sheet.png
    python experiments/masker/by_eye.py mend eye/ 17 --start learned --drop 210,300 \
        --drop-area "10,400 90,400 90,512 10,512" --verdict right -o mended.png
    python experiments/masker/by_eye.py labels eye/ -o experiments/masker/by_eye/

``choose`` cuts photos of senders who are not held out and who have no label yet, and keeps those of
least confidence, and some of the others. ``sheet`` shows a photo, the learned cut and the colours'
own. ``mend`` begins with either, goes through all that is said of it and shows what became of it;
a point is what the product's own ``mask --keep``, ``--drop`` make of it, an area is taken as it
is drawn, and its drawn edge is left unknown. Said again, it replaces what was said before.
``labels`` writes those that are right as grey PNGs of the size at which the masker looks;
transparent is what nobody knows.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageOps
from rich.progress import track

from persona_img.imaging.holdout import rows_of, split_photos
from persona_img.masking.correct import DAB, REACH, Stroke, correct

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
MASKER = HERE.parents[1] / "src/persona_img/assets/masker"
SIDE = 512
EASY = 0.25  # of those kept: photos of any confidence, drawn by chance
DRAWN = 2  # pixels on both sides of an edge that was drawn, of which nothing is known
VERDICTS = ("right", "hopeless")
MAGENTA = np.array([255, 0, 255], np.float32)


@dataclass(frozen=True, eq=False)
class Looked:
    """One photo as it is looked at.

    Attributes:
        image: Its name.
        photo: uint8 (h, w, 3), small.
        cuts: uint8 (h, w) of each start, 255 is product.
    """

    image: str
    photo: NDArray[np.uint8]
    cuts: dict[str, NDArray[np.uint8]]


def choose(photos: Path, groups: Path, cut: int, keep: int, folder: Path) -> None:
    """Cut photos of training senders; keep the hard ones, in an order drawn by chance."""
    from persona_img.masking.classic import coarse_cut
    from persona_img.masking.learned import LearnedMasker  # seconds, and nobody else needs it

    out = frozenset((HERE / "leave_out.txt").read_text().split())
    train, _ = split_photos(photos, groups, 0.15, out)
    label = {r["image"]: r["label"] for r in rows_of(groups, ("image", "label"))}
    order = np.random.default_rng(12).permutation(len(train))
    known = {path.stem for path in (HERE / "by_eye").glob("*.png")}
    new = [train[i] for i in order if train[i].stem not in known]
    chosen = [path for path in new if label[path.stem] != "Not sure"][:cut]
    masker, sure = LearnedMasker(MASKER), {}
    (folder / "cuts").mkdir(parents=True, exist_ok=True)
    for path in track(chosen, description="cuts"):
        done = folder / "cuts" / f"{path.stem}.npz"
        if not done.exists():
            with Image.open(path) as image:
                photo = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            mask, (small, _, _) = masker.cut(photo), masker.views(photo)
            size = small.shape[1::-1]
            alpha = cv2.resize(mask.alpha, size, interpolation=cv2.INTER_AREA)
            coarse = cv2.resize(255 * coarse_cut(photo), size, interpolation=cv2.INTER_AREA)
            np.savez_compressed(done, small=small, learned=alpha, classic=coarse,
                                confidence=mask.confidence)  # fmt: skip
        sure[path.stem] = float(np.load(done)["confidence"])
    easy = round(EASY * keep)
    hard = sorted(sure, key=lambda image: (sure[image], image))[: keep - easy]
    rest = sorted(set(sure) - set(hard))
    rng = np.random.default_rng(13)
    every = hard + [rest[i] for i in rng.permutation(len(rest))[:easy]]
    names = [every[i] for i in rng.permutation(len(every))]
    (folder / "chosen.txt").write_text("\n".join(names) + "\n")
    print(f"{len(names)} of {len(sure)}; the hard ones are below {max(sure[i] for i in hard):.2f}")


def looked_at(folder: Path, number: int) -> Looked:
    """One of the chosen."""
    image = (folder / "chosen.txt").read_text().split()[number]
    with np.load(folder / "cuts" / f"{image}.npz") as kept:
        return Looked(image, kept["small"], {n: kept[n] for n in ("learned", "classic")})


def over_magenta(photo: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A cut as it is judged."""
    share = alpha[..., None].astype(np.float32) / 255
    return np.round(share * photo + (1 - share) * MAGENTA).astype(np.uint8)


def sheet(folder: Path, first: int, count: int) -> Image.Image:
    """Photo, learned cut and the colours' of some photos, one below the other."""
    width = 3 * 352
    rows = []
    for number in range(first, first + count):
        one = looked_at(folder, number)
        shown = [one.photo, *(over_magenta(one.photo, alpha) for alpha in one.cuts.values())]
        high = min(384, round(352 * one.photo.shape[0] / one.photo.shape[1]))
        row = Image.new("RGB", (width, high + 20), "white")
        done = "   done" if (folder / "answers" / f"{one.image}.json").exists() else ""
        ImageDraw.Draw(row).text((4, 4), f"{number}   photo | learned | classic{done}", "black")
        for k, part in enumerate(shown):
            wide = round(high * part.shape[1] / part.shape[0])
            row.paste(Image.fromarray(part).resize((wide, high), 1), (352 * k, 20))
        rows.append(row)
    page = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        page.paste(row, (0, top))
        top += row.height
    return page


def mended(one: Looked, said: dict[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A mask, uint8 (h, w), after all that was said of it, and where nothing is known of it."""
    alpha = one.cuts[said["start"]].copy()
    longest = max(alpha.shape)
    radius = max(1, round(DAB * longest))
    reach = round(said.get("reach", REACH) * longest)
    unknown = np.zeros(alpha.shape, bool)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * DRAWN + 1, 2 * DRAWN + 1))
    points = [
        Stroke(how == "keep", ((x, y),), radius, reach)
        for how in ("keep", "drop")
        for x, y in said.get(how, ())
    ]
    if points:
        alpha = correct(one.photo, alpha, points)
    for how in ("keep", "drop"):
        for area in said.get(f"{how}_area", ()):
            inside = np.zeros(alpha.shape, np.uint8)
            cv2.fillPoly(inside, [np.array(area, np.int32)], 1)
            before, alpha = alpha, np.where(inside > 0, 255 * (how == "keep"), alpha)
            alpha = alpha.astype(np.uint8)
            changed = cv2.dilate(((before > 127) != (alpha > 127)).astype(np.uint8), kernel)
            edge = cv2.morphologyEx((alpha > 127).astype(np.uint8), cv2.MORPH_GRADIENT, kernel)
            unknown |= (changed > 0) & (edge > 0)
    return alpha, unknown


def mend(one: Looked, said: dict[str, Any]) -> Image.Image:
    """The photo with a grid to point by, and its mask as it is now; 1.5 times as large."""
    alpha, _ = mended(one, said)
    height, width = alpha.shape
    size = (round(1.5 * width), round(1.5 * height))
    photo = Image.fromarray(one.photo).resize(size, Image.Resampling.LANCZOS)
    found = Image.fromarray(over_magenta(one.photo, alpha)).resize(size, Image.Resampling.LANCZOS)
    for picture in (photo, found):
        draw = ImageDraw.Draw(picture)
        for x in range(50, width, 50):
            draw.line([(1.5 * x, 0), (1.5 * x, size[1])], (0, 255, 255), 1)
            draw.text((1.5 * x + 2, 1), str(x), "red")
        for y in range(50, height, 50):
            draw.line([(0, 1.5 * y), (size[0], 1.5 * y)], (0, 255, 255), 1)
            draw.text((2, 1.5 * y + 1), str(y), "red")
    page = Image.new("RGB", (2 * size[0] + 8, size[1]), "white")
    page.paste(photo, (0, 0))
    page.paste(found, (size[0] + 8, 0))
    return page


def labels(folder: Path, out: Path) -> None:
    """What is right, as labels."""
    out.mkdir(parents=True, exist_ok=True)
    names = (folder / "chosen.txt").read_text().split()
    written = 0
    for number, image in enumerate(names):
        answer = folder / "answers" / f"{image}.json"
        if not answer.exists():
            continue
        said = json.loads(answer.read_text())
        if said["verdict"] != "right":
            continue
        alpha, unknown = mended(looked_at(folder, number), said)
        known = np.where(unknown, 0, 255).astype(np.uint8)
        made = Image.merge("LA", [Image.fromarray(alpha), Image.fromarray(known)])
        made.save(out / f"{image}.png", optimize=True)
        written += 1
    print(f"{written} labels in {out}")


def pairs(text: str) -> list[list[int]]:
    """``x,y x,y ..`` as numbers."""
    return [[int(v) for v in point.split(",")] for point in text.split()]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("choose")
    one.add_argument("--photos", type=Path, required=True)
    one.add_argument("--groups", type=Path, required=True)
    one.add_argument("--cut", type=int, default=1400)
    one.add_argument("--keep", type=int, default=400)
    one.add_argument("-o", "--out", type=Path, required=True)
    one = commands.add_parser("sheet")
    one.add_argument("folder", type=Path)
    one.add_argument("--from", dest="first", type=int, required=True)
    one.add_argument("--count", type=int, default=3)
    one.add_argument("-o", "--out", type=Path, required=True)
    one = commands.add_parser("mend")
    one.add_argument("folder", type=Path)
    one.add_argument("number", type=int)
    one.add_argument("--start", choices=("learned", "classic"), default="learned")
    one.add_argument("--keep", type=pairs, default=[], help="points of the product: 'x,y x,y'")
    one.add_argument("--drop", type=pairs, default=[], help="points of the backdrop")
    one.add_argument("--reach", type=float, default=REACH, help="of a point, share of the side")
    one.add_argument("--keep-area", type=pairs, action="append", default=[])
    one.add_argument("--drop-area", type=pairs, action="append", default=[])
    one.add_argument("--verdict", choices=VERDICTS, help="given, it is kept")
    one.add_argument("-o", "--out", type=Path)
    one = commands.add_parser("labels")
    one.add_argument("folder", type=Path)
    one.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    if given.command == "choose":
        choose(given.photos, given.groups, given.cut, given.keep, given.out)
    elif given.command == "sheet":
        sheet(given.folder, given.first, given.count).save(given.out)
    elif given.command == "labels":
        labels(given.folder, given.out)
    else:
        looked = looked_at(given.folder, given.number)
        names = ("start", "keep", "drop", "reach", "keep_area", "drop_area")
        said = {name: getattr(given, name) for name in names}
        if given.out:
            mend(looked, said).save(given.out)
        if given.verdict:
            answers = given.folder / "answers"
            answers.mkdir(exist_ok=True)
            text = json.dumps(said | {"verdict": given.verdict})
            (answers / f"{looked.image}.json").write_text(text + "\n")
            print(f"{given.number}: {given.verdict}")


if __name__ == "__main__":
    main()
