r"""What the gate does with what really comes out: precision and recall on outputs people looked at.

``make`` renders photographs of senders nobody was taught, with the gate measuring and refusing
nothing, and lays them on numbered sheets: small ones to keep, and ones at the outputs' own size to
judge by. A stopped run goes on where it was. Somebody looks and writes a defect, or nothing, and
what is wrong with the backdrop at 1:1, or ``believable``, into ``outputs.csv``. ``report`` then
says what the gate would have shown, by rule:

    python experiments/render/outputs_study.py make --photos clothing/ \
        --groups clothing/clothing.csv -o outputs/
    python experiments/render/outputs_study.py report
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import track
from rich.table import Table

from persona_img import wiring
from persona_img.imaging.holdout import split_photos
from persona_img.imaging.photo import load_photo, pixel_digest
from persona_img.rendering.proof.gate import RULES, judge
from persona_img.reports.evaluation import resized, spread
from persona_img.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
VERIFIED = HERE.parent / "masker" / "verified.csv"
COLUMNS, ROWS, CELL = 5, 4, 320
SEEN = ["defect", "backdrop"]
SCORES = [rule.score for rule in RULES]


def make(photos: Path, groups: Path, count: int, each: int, side: int | None, sheets: Path) -> None:
    """Render everything, whatever the gate says of it; keep scores, and sheets to look at."""
    settings = Settings.load(render={"candidates": 1, "tries": 1})
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    renderer.settings = replace(renderer.settings, min_confidence=0.0, rules=())
    with VERIFIED.open(newline="", encoding="utf-8") as lines:
        fitted = {row["image"] for row in csv.DictReader(lines)}  # of the masker's confidence
    unseen = [p for p in split_photos(photos, groups, 0.15)[1] if p.stem not in fitted]
    order = np.random.default_rng(21).permutation(len(unseen))[:count]
    chosen = [load_photo(unseen[i]) for i in sorted(order)]
    if side is not None:
        chosen = [resized(photo, side) for photo in chosen]
    (sheets / "full").mkdir(parents=True, exist_ok=True)
    done, fields = sheets / "outputs.csv", ["product", "style", "digest", *SEEN, *SCORES]
    rows: list[dict[str, str]] = []
    if done.exists():  # a stopped run goes on behind its last whole row
        with done.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    with done.open("a", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, fields)
        if not rows:
            table.writeheader()
        for k, one in enumerate(track(spread(chosen, space, each, seed=21, renderer=renderer))):
            if k < len(rows):
                if rows[k]["style"] != one.style.key or rows[k]["product"] != one.product:
                    raise ValueError(
                        f"{done} row {k} is of another run ({rows[k]['product']}, "
                        f"{rows[k]['style']}): give an empty folder"
                    )
                continue
            variant = renderer.render(one.photo, one.style, seed=one.seed)
            scores = variant.gate.scores
            values = {name: f"{scores[name]:.5g}" for name in SCORES if name in scores}
            digest = pixel_digest(variant.pixels)
            row = {"product": one.product, "style": one.style.key, "digest": digest}
            row |= dict.fromkeys(SEEN, "")
            Image.fromarray(variant.pixels).save(_full(sheets, k))
            table.writerow(row | values)
            lines.flush()
            rows.append(row | values)
    lay(sheets, len(rows))


def lay(sheets: Path, count: int) -> None:
    """Lay outputs on small sheets to keep, and six a sheet at their own size to judge."""
    for start in range(0, count, COLUMNS * ROWS):
        sheet = Image.new("RGB", (COLUMNS * CELL, ROWS * CELL), "white")
        for k in range(start, min(start + COLUMNS * ROWS, count)):
            place = ((k - start) % COLUMNS * CELL, (k - start) // COLUMNS * CELL)
            with Image.open(_full(sheets, k)) as picture:
                sheet.paste(_cell(np.asarray(picture), k), place)
        sheet.save(sheets / f"outputs-{start:03d}.jpg", quality=88)
    for start in range(0, count, 6):
        pictures = []
        for k in range(start, min(start + 6, count)):
            with Image.open(_full(sheets, k)) as picture:
                pictures.append(picture.convert("RGB"))
        width, height = (max(p.size[axis] for p in pictures) for axis in (0, 1))
        sheet = Image.new("RGB", (3 * (width + 6), 2 * (height + 20)), "white")
        for k, picture in enumerate(pictures):
            x, y = k % 3 * (width + 6), k // 3 * (height + 20)
            sheet.paste(picture, (x + 3, y + 18))
            ImageDraw.Draw(sheet).text((x + 4, y + 3), str(start + k), fill="black")
        sheet.save(sheets / f"full-{start:03d}.png")


def _full(sheets: Path, number: int) -> Path:
    return sheets / "full" / f"{number:03d}.png"


def _cell(pixels: NDArray[np.uint8], number: int) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL), "white")
    picture = Image.fromarray(pixels)
    picture.thumbnail((CELL - 6, CELL - 22), Image.Resampling.LANCZOS)
    cell.paste(picture, (3, 18))
    ImageDraw.Draw(cell).text((4, 3), str(number), fill="black")
    return cell


def report() -> None:
    """Print what the gate would have shown of what people looked at."""
    with (HERE / "outputs.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    scores = [{n: float(row[n]) for n in SCORES if row.get(n)} for row in rows]
    bad = np.array([bool(row["defect"]) for row in rows])
    shown = np.array([judge(one).passed for one in scores])
    console = Console(highlight=False)
    console.print(
        f"{len(rows)} outputs, {int((~bad).sum())} without a defect; the gate shows "
        f"{int(shown.sum())}: {np.mean(~bad[shown]):.3f} of those without a defect (of all "
        f"{np.mean(~bad):.3f}); it refuses {np.mean(~shown[bad]):.3f} of the bad and "
        f"{np.mean(~shown[~bad]):.3f} of the good"
    )
    if "backdrop" in rows[0]:  # nobody judged those of older tables
        believed = np.array([row["backdrop"] == "believable" for row in rows])
        console.print(
            f"backdrop believable at 1:1: {np.mean(believed):.3f}, of the shown "
            f"{np.mean(believed[shown]):.3f}"
        )
    classes = Table(title="defects, as they were seen")
    for head in ("defect", "outputs", "refused", "by which rules"):
        classes.add_column(head)
    for name, number in Counter(row["defect"] for row in rows if row["defect"]).most_common():
        some = [k for k, row in enumerate(rows) if row["defect"] == name]
        fired = Counter(r.score for k in some for r in RULES if not r.passes(scores[k]))
        rules = ", ".join(f"{rule} {n}" for rule, n in fired.most_common())
        classes.add_row(name, str(number), str(int((~shown[some]).sum())), rules)
    console.print(classes)
    table = Table(title="rules")
    for head in ("rule", "fires", "precision", "recall", "alone"):
        table.add_column(head, justify="left" if head == "rule" else "right")
    failed = np.array([[not rule.passes(one) for rule in RULES] for one in scores])
    for k, rule in enumerate(RULES):
        fires = failed[:, k]
        if fires.any():
            alone = fires & (failed.sum(axis=1) == 1)
            numbers = (f"{np.mean(bad[fires]):.2f}", f"{fires[bad].mean():.2f}", int(alone.sum()))
            table.add_row(rule.score, str(int(fires.sum())), *map(str, numbers))
    console.print(table)


def main() -> None:
    """Make or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doing = parser.add_subparsers(required=True, dest="doing")
    making = doing.add_parser("make", help="render, measure, lay on sheets")
    making.add_argument("--photos", type=Path, required=True)
    making.add_argument("--groups", type=Path, required=True, help="CSV with image, sender_id")
    making.add_argument("--count", type=int, default=120, help="photographs")
    making.add_argument("--each", type=int, default=2, help="styles of each")
    making.add_argument("--side", type=int, help="long side of a photograph, pixels; None: its own")
    making.add_argument("-o", "--out", type=Path, default=Path("outputs"))
    doing.add_parser("report", help="what the gate does with what was seen")
    given = parser.parse_args()
    if given.doing == "make":
        make(given.photos, given.groups, given.count, given.each, given.side, given.out)
    else:
        report()


if __name__ == "__main__":
    main()
