"""Packshots with known masks: cut-outs on a sweep of grey paper, with the shadows of a light tent.

    python experiments/masker/packshots.py --cutouts alpha/ -o packshots/

writes `NAME_image.jpg` and `NAME_mask.png` of each product below, in three greys; with `--masker
FOLDER` it also says which of them a masker cuts right, whether it would show them, and what is left
of the old paper: the mean difference (Lab) beside the outline, on a dark red plate, from the
product pasted with its true alpha and colours; unmixed as rendering pastes it, and as photographed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from persona_img.imaging.colour import to_lab
from persona_img.imaging.matting import composite, foreground
from persona_img.masking.learned import LearnedMasker
from persona_img.masking.learning.corpus import true_alpha
from persona_img.masking.learning.measures import score_mask

PRODUCTS = {  # the first four are of families that no masker was taught
    "saleor_saleor-polo-shirt-front": "hanging",
    "saleor_saleor-white-cubes-tee-front": "hanging",
    "saleor_saleor-beanie-1": "standing",
    "solidus_solidus_hat": "standing",
    "saleor_saleor-blue-plimsolls-1": "standing",
    "saleor_saleor-banana-drink": "standing",
    "solidus_solidus_mug_set": "standing",
}
GREYS = (150, 195, 225)
SIDE = 800
PLATE = np.full((SIDE, SIDE, 3), (0.35, 0.08, 0.1), np.float32)


def packshot(
    cutout: Path, stands: bool, grey: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture uint8 (800, 800, 3), its mask uint8 (800, 800) and the product's own colours."""
    rng = np.random.default_rng(seed)
    with Image.open(cutout) as image:
        rgba = image.convert("RGBA")
    rgba = rgba.crop(rgba.getchannel("A").point(lambda a: 255 * (a > 92)).getbbox())
    rgba.thumbnail((int(0.62 * SIDE), int(0.62 * SIDE)), Image.Resampling.LANCZOS)
    product = np.asarray(rgba)
    alpha = np.zeros((SIDE, SIDE), np.float32)
    colour = np.zeros((SIDE, SIDE, 3), np.float32)
    top, left = (SIDE - rgba.height) // 2, (SIDE - rgba.width) // 2
    where = (slice(top, top + rgba.height), slice(left, left + rgba.width))
    alpha[where] = true_alpha(product[..., 3]).astype(np.float32) / 255
    colour[where] = product[..., :3]
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    paper = grey * (1.08 - 0.35 * (rows**2 + columns**2) - 0.06 * rows)
    if stands:  # a flat ellipse where it touches the paper, and the light's shadow behind it
        bottom = np.flatnonzero(alpha.max(1) > 0.5)[-1]
        shape = ((columns * SIDE) / (0.45 * rgba.width)) ** 2
        shape = shape + ((rows * SIDE + SIDE / 2 - bottom) / (0.05 * rgba.height)) ** 2
        shade = 0.5 * np.exp(-shape)
    else:
        moved = np.roll(alpha, (10, 8), (0, 1))
        shade = 0.4 * cv2.GaussianBlur(moved, (0, 0), 14)
    wide = 0.15 * cv2.GaussianBlur(np.roll(alpha, 24, 0), (0, 0), 40)
    floor = (paper * (1 - np.maximum(shade, wide)))[..., None] * np.array([1.0, 0.995, 0.985])
    picture = alpha[..., None] * colour + (1 - alpha[..., None]) * floor
    picture += rng.normal(0, 1.5, picture.shape)
    mask = np.round(alpha * 255).astype(np.uint8)
    return np.clip(picture, 0, 255).astype(np.uint8), mask, colour.astype(np.uint8)


def rim_error(
    photo: np.ndarray, alpha: np.ndarray, product: np.ndarray, truth: np.ndarray, own: np.ndarray
) -> float:
    """Mean difference in Lab within two pixels of the true outline, on the plate."""
    pasted = composite(PLATE, photo, alpha, product)
    wanted = composite(PLATE, own, truth, own)
    kernel = np.ones((5, 5), np.uint8)
    rim = cv2.dilate(truth, kernel) > cv2.erode(truth, kernel)
    return float(np.linalg.norm(to_lab(pasted) - to_lab(wanted), axis=-1)[rim].mean())


def main() -> None:
    """Make them, and try a masker on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutouts", type=Path, required=True)
    parser.add_argument("--masker", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    masker = None if chosen.masker is None else LearnedMasker(chosen.masker)
    for grey in GREYS:
        for seed, (product, kind) in enumerate(PRODUCTS.items()):
            rgb, truth, own = packshot(
                chosen.cutouts / f"{product}.png", kind == "standing", grey, seed
            )
            name = f"{product}-{grey}"
            Image.fromarray(rgb).save(chosen.out / f"{name}_image.jpg", quality=92)
            Image.fromarray(truth).save(chosen.out / f"{name}_mask.png")
            if masker is not None:
                with Image.open(chosen.out / f"{name}_image.jpg") as image:
                    photo = np.asarray(image)
                found = masker.cut(photo)
                score = score_mask(found.alpha, truth)
                right = score.clean and score.iou >= 0.95
                unmixed = foreground(photo, found.alpha)
                print(
                    f"{name}: {'right' if right else 'wrong'}, IoU {score.iou:.3f},",
                    f"{'shown' if found.trusted else 'asked'} ({found.confidence:.2f}),",
                    f"rim {rim_error(photo, found.alpha, unmixed, truth, own):.1f},",
                    f"as photographed {rim_error(photo, found.alpha, photo, truth, own):.1f}",
                )


if __name__ == "__main__":
    main()
