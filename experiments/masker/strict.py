"""What a masker shows of the photos that were looked at strictly, and how much of that is right.

    python experiments/masker/strict.py --photos clothing/ --masker src/persona_img/assets/masker

Right is what the table says of the cut that the masker keeps, the network's or the colours': true
of the cuts that were looked at, and of others only as far as they are like them. Every second photo
of the table taught the confidence; the others are counted apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from persona_img.imaging.folder import photo_named, pictures_below
from persona_img.imaging.holdout import rows_of
from persona_img.masking.classic import coarse_cut
from persona_img.masking.learned import LearnedMasker
from persona_img.masking.network import MaskNet
from persona_img.masking.opinions import NETWORK, better, opinions_of

TABLE = Path(__file__).with_name("verified.csv")


def main() -> None:
    """Cut the strictly looked-at photos and print a row for each half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--masker", type=Path, required=True)
    chosen = parser.parse_args()
    masker = LearnedMasker(chosen.masker)
    _, facts = MaskNet.load(chosen.masker)
    files = pictures_below(chosen.photos)
    found = []
    for number, row in enumerate(rows_of(TABLE, ("image", "right", "eye"))):
        if row["eye"] != "strict":
            continue
        with Image.open(photo_named(row["image"], files, TABLE)) as image:
            photo = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        views = masker.views(photo)
        cuts = opinions_of(*views, coarse_cut(photo))
        kept, checks = better(*views, cuts, facts["confidence"])
        which = "learned" if kept is cuts[NETWORK] else "classic"
        right = row["right"] in ("both", which)
        found.append((number % 2, right, min(checks.values()), which, row["right"]))
    for name, half in (("taught", 0), ("not taught", 1)):
        part = [one for one in found if one[0] == half]
        shown = [one for one in part if one[2] >= 0.5]
        print(
            f"{name}: {len(part)} photos, right {np.mean([o[1] for o in part]):.3f},",
            f"either {np.mean([o[4] != 'neither' for o in part]):.3f},",
            f"colours' cut kept {np.mean([o[3] == 'classic' for o in part]):.3f},",
            f"shown {len(shown) / len(part):.3f}, right of shown",
            f"{np.mean([o[1] for o in shown]):.3f}",
        )
        for least in (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8):
            sure = [one for one in part if one[2] >= least]
            print(
                f"  from {least}: {len(sure) / len(part):.3f}, {np.mean([o[1] for o in sure]):.3f}"
            )


if __name__ == "__main__":
    main()
