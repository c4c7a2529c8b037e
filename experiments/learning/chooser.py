"""Whether choosing among candidates by what was clicked raises the click rate, in simulation.

Run ``python experiments/learning/chooser.py``; ``--render`` first paints the candidates anew (half
an hour) and measures them into ``chooser.csv``, which is kept so that the rest needs no painter.
Seeds are counted from 0; ``chooser.md`` is written from what came of them.
"""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

HERE = Path(__file__).parent
TABLE = HERE / "chooser.csv"
STYLES, CANDIDATES, SIDE = 6, 4, 384
"""Styles of a product, candidates of each that are asked for, and the photos' long side."""


def paint(path: Path) -> None:
    """Paint and measure candidates of the shipped products; what the gate refuses is left out."""
    from persona_img import loop, wiring
    from persona_img.assets import ASSETS
    from persona_img.domain.catalog import Catalog
    from persona_img.errors import LowMaskConfidence
    from persona_img.imaging.picture_features import FEATURES, picture_features
    from persona_img.rendering.choice import chosen_for
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.settings import Settings

    settings = Settings(render={"tries": 1})
    renderer, space = wiring.renderer(settings), wiring.style_space(settings)
    # Taught on other pieces of material than the gate's judge, and never asked by any chooser.
    held_out = StyleJudge(HERE.parent / "render" / "judge.npz")
    fields = ["product", "style", "seed", "adherence", "held_out", *FEATURES]
    with path.open("w", newline="", encoding="utf-8") as file, TemporaryDirectory() as folder:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(fields)
        for number, product in enumerate(Catalog.load(ASSETS / "catalog" / "products.csv")):
            small = Path(folder) / f"{product.product}.png"
            with Image.open(product.photo) as whole:
                whole.thumbnail((SIDE, SIDE))
                whole.save(small)
            photo = loop.photo_of(replace(product, photo=small))
            try:
                styles = chosen_for(space, STYLES, renderer.stands(photo).pose, [number])
                jobs = [(style, seed) for style in styles for seed in range(CANDIDATES)]
                made = renderer.render_many(
                    photo, *zip(*jobs, strict=True), on_rejected=lambda *_: None
                )
                for variant in made:
                    alpha = variant.alpha
                    seen = [variant.gate.scores.get("adherence", float("nan"))]
                    told = held_out.adherence(variant.pixels, alpha, variant.style.values)
                    seen += [float("nan") if told is None else told]
                    seen += picture_features(variant.pixels, alpha).tolist()
                    row = [product.product, variant.style.key, variant.seed]
                    table.writerow([*row, *(f"{value:.5g}" for value in seen)])
            except LowMaskConfidence as refused:
                print(refused)
            file.flush()
            print(product.product, flush=True)


def main() -> None:
    """Paint where asked, then simulate and write the report."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="paint the candidates anew")
    given = parser.parse_args()
    if given.render:
        paint(TABLE)


if __name__ == "__main__":
    main()
