r"""What the gate does with what really comes out: precision and recall on outputs people looked at.

``make`` renders photographs of senders nobody was taught, with the gate measuring and refusing
nothing, and lays them on numbered sheets. Somebody looks at the sheets and writes a defect, or
nothing, into ``outputs.csv``. ``report`` then says what the gate would have shown, by rule:

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
SCORES = [rule.score for rule in RULES]


def make(photos: Path, groups: Path, count: int, each: int, side: int, sheets: Path) -> None:
    """Render everything, whatever the gate says of it; keep scores, and sheets to look at."""
    settings = Settings.load(render={"candidates": 1, "tries": 1})
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    renderer.settings = replace(renderer.settings, min_confidence=0.0, rules=())
    with VERIFIED.open(newline="", encoding="utf-8") as lines:
        fitted = {row["image"] for row in csv.DictReader(lines)}  # of the masker's confidence
    unseen = [p for p in split_photos(photos, groups, 0.15)[1] if p.stem not in fitted]
    order = np.random.default_rng(21).permutation(len(unseen))[:count]
    chosen = [resized(load_photo(unseen[i]), side) for i in sorted(order)]
    rows, cells = [], []
    for one in track(spread(chosen, space, each, seed=21, renderer=renderer), "rendered"):
        variant = renderer.render(one.photo, one.style, seed=one.seed)
        scores = variant.gate.scores
        values = {name: f"{scores[name]:.5g}" for name in SCORES if name in scores}
        digest = pixel_digest(variant.pixels)
        row = {"product": one.product, "style": one.style.key, "digest": digest, "defect": ""}
        rows.append(row | values)
        cells.append(_cell(variant.pixels, len(rows) - 1))
    sheets.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(cells), COLUMNS * ROWS):
        sheet = Image.new("RGB", (COLUMNS * CELL, ROWS * CELL), "white")
        for k, cell in enumerate(cells[start : start + COLUMNS * ROWS]):
            sheet.paste(cell, ((k % COLUMNS) * CELL, (k // COLUMNS) * CELL))
        sheet.save(sheets / f"outputs-{start:03d}.jpg", quality=88)
    fields = ["product", "style", "digest", "defect", *SCORES]
    with (sheets / "outputs.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, fields)
        table.writeheader()
        table.writerows(rows)


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
    scores = [{n: float(row[n]) for n in SCORES if row[n]} for row in rows]
    bad = np.array([bool(row["defect"]) for row in rows])
    shown = np.array([judge(one).passed for one in scores])
    console = Console(highlight=False)
    console.print(
        f"{len(rows)} outputs, {int((~bad).sum())} without a defect; the gate shows "
        f"{int(shown.sum())}: {np.mean(~bad[shown]):.3f} of those without a defect (of all "
        f"{np.mean(~bad):.3f}); it refuses {np.mean(~shown[bad]):.3f} of the bad and "
        f"{np.mean(~shown[~bad]):.3f} of the good"
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
    making.add_argument("--side", type=int, default=640, help="long side of a photograph, pixels")
    making.add_argument("-o", "--out", type=Path, default=Path("outputs"))
    doing.add_parser("report", help="what the gate does with what was seen")
    given = parser.parse_args()
    if given.doing == "make":
        make(given.photos, given.groups, given.count, given.each, given.side, given.out)
    else:
        report()


if __name__ == "__main__":
    main()
