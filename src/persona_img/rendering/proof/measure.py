"""What can be measured on a variant's pixels, by the gate and by anybody who verifies it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.imaging.colour import difference, grey_of, to_lab
from persona_img.imaging.light import to_linear, to_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.imaging.frame import Frame

_SIDE = 400  # long side at which outlines are judged
_DEEPEST_SHADE = 0.25
_BRIGHTEST = 1.2
_BLOCK, _LEAST_BLOCKS = 32, 4  # pixels, and how many of them tell something
_CALM = 0.6  # 8-bit levels: less contrast is the camera's grain


class Look:
    """A picture and the product on it as outlines are judged: at most 400 px long.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product.

    Attributes:
        picture: float32 sRGB 0..1 (h, w, 3).
        mask: float32 0..1 (h, w).
    """

    def __init__(self, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> None:
        scale = min(1.0, _SIDE / max(alpha.shape))
        size = (max(1, round(scale * alpha.shape[1])), max(1, round(scale * alpha.shape[0])))
        small = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (picture, alpha))
        self.picture, self.mask = (x.astype(np.float32) / np.float32(255) for x in small)

    @cached_property
    def lab(self) -> NDArray[np.float32]:
        """CIE Lab (h, w, 3)."""
        return to_lab(self.picture)

    @cached_property
    def linear(self) -> NDArray[np.float32]:
        """Linear light 0..1 (h, w, 3)."""
        return to_linear(self.picture)


@dataclass(frozen=True)
class ProductReport:
    """The product in a variant, compared with the photograph.

    Attributes:
        pixels: Where alpha is 255.
        changed: Of those on the canvas, how many differ from the photograph.
        outside: Of those, how many the framing cut away.
        edge_error: Mean absolute difference where 128 <= alpha < 255, 8-bit levels; 0.0 where
            the mask has no such pixel on the canvas.
        growth: See :func:`silhouette_growth`.
    """

    pixels: int
    changed: int
    outside: int
    edge_error: float
    growth: float

    @property
    def unchanged(self) -> bool:
        """Whether there is a core and all of it is in the variant exactly."""
        return self.pixels > 0 and self.changed == 0 and self.outside == 0


def compare_product(
    variant: NDArray[np.uint8],
    photo: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    frame: Frame,
    look: Look,
) -> ProductReport:
    """Compare a variant (canvas) with the photograph through the mask.

    The core is alpha == 255, not shrunk: every pixel the mask calls wholly product. ``look`` is the
    variant's.
    """
    on_canvas, on_photo = frame.overlap(photo.shape[0], photo.shape[1])
    seen_alpha, seen, shown = alpha[on_photo], photo[on_photo], variant[on_canvas]
    core = seen_alpha == 255
    total = int((alpha == 255).sum())
    differs = (seen != shown).any(axis=2)
    edge = (seen_alpha >= 128) & ~core
    error = np.abs(seen[edge].astype(np.int16) - shown[edge].astype(np.int16))
    return ProductReport(
        pixels=total,
        changed=int((differs & core).sum()),
        outside=total - int(core.sum()),
        edge_error=float(error.mean()) if error.size else 0.0,
        growth=silhouette_growth(look),
    )


def silhouette_growth(look: Look) -> float:
    """Pixels just outside the product that look like it, as share of the product's area.

    A pixel within 4 % of the short side counts when its colour is nearer to the product beside it
    than to the backdrop further out under any shade: shadows do not count, sleeves that a
    backdrop painted do. Measured at 400 px.

    Returns:
        Share, >= 0; NaN where there is no product or no backdrop to compare with.
    """
    mask, lab, linear = look.mask, look.lab, look.linear
    reach = max(3, round(0.04 * min(mask.shape)))
    near = _grown(mask > 0.02, reach)
    inside, far = mask > 0.98, ~near
    if not inside.any() or not far.any():
        return float("nan")
    product = _local_mean(lab, inside, reach)
    backdrop = _local_mean(linear, far, 1.5 * reach)
    shade = grey_of(linear) / np.maximum(grey_of(backdrop), 1e-4)
    shaded = backdrop * np.clip(shade, _DEEPEST_SHADE, _BRIGHTEST)[..., None]
    from_product = difference(lab, product)
    from_backdrop = difference(lab, to_lab(to_srgb(shaded.astype(np.float32))))
    ring = near & ~_grown(mask > 0.02, 2)
    grown = ring & (from_backdrop > 12.0) & (from_product < 0.5 * from_backdrop)
    return float(grown.sum() / inside.sum())


def rim(look: Look, old: Look) -> float:
    """Share of the outline along which the old backdrop still shows.

    Along the product's inner edge, a place counts when it has the colour the old backdrop had
    beside it and neither the product's nor the new backdrop's. Measured at 400 px.

    Args:
        look: The variant.
        old: The photograph on the same canvas, its product 0 where it does not reach.

    Returns:
        Share 0..1; NaN where there is no outline.
    """
    mask, lab = look.mask, look.lab
    reach = max(3, round(0.012 * min(mask.shape)))
    outside, deep = mask < 0.02, ~_grown(mask < 0.5, 2 * reach)
    band = (mask >= 0.5) & _grown(mask < 0.5, reach)
    if not band.any() or not outside.any() or not deep.any():
        return float("nan")
    # Only the stretch of old backdrop that touches the product tells what its rim would be.
    beside = outside & _grown(mask > 0.02, 3 * reach)
    was = _local_mean(old.lab, beside, 2 * reach)
    now = _local_mean(lab, beside, 2 * reach)
    product = _local_mean(lab, deep, 3 * reach)
    to_was = difference(lab, was)
    to_now = difference(lab, now)
    to_product = difference(lab, product)
    left = band & (to_was < 0.5 * to_product) & (to_was < 0.5 * to_now) & (to_product > 14.0)
    return float(left.sum() / band.sum())


def grounding(look: Look) -> float:
    """Share of light that is missing beside the product: its shadow. About 0, it floats.

    Measured at 400 px, all around the product, against the backdrop further out.

    Returns:
        Median share, at most 1, of the third of the outline with most shadow beside it; NaN where
        there is no product or no backdrop to compare with.
    """
    mask, linear = look.mask, look.linear
    reach = max(2, round(0.012 * min(mask.shape)))
    touched = mask > 0.02
    beside = _grown(touched, reach) & ~touched
    far = ~_grown(touched, 6 * reach)
    if not beside.any() or not far.any():
        return float("nan")
    backdrop = _local_mean(linear, far, 6 * reach)
    light = grey_of(linear)[beside] / np.maximum(grey_of(backdrop)[beside], 1e-4)
    return float(1.0 - np.quantile(light, 1 / 6))


def standing(look: Look) -> float:
    """Share of light that is missing under a product that stands: its contact. About 0, it floats.

    Measured at 400 px in a thin band below the lowest pixels of the product, against the same rows
    further to both sides.

    Returns:
        Median share over the darkest half of the band, at most 1; NaN where the picture ends there.
    """
    mask, light = look.mask, grey_of(look.linear)
    touched = mask > 0.5
    if not touched.any():
        return float("nan")
    rows = np.flatnonzero(touched.any(axis=1))
    columns = np.flatnonzero(touched.any(axis=0))
    reach = max(2, round(0.02 * min(mask.shape)))
    base = rows[-1] + 1
    lowest = mask.shape[0] - 1 - np.argmax(touched[::-1], axis=0)
    near = [c for c in columns if base - lowest[c] <= 2 * reach]
    band = [
        light[lowest[c] + 1 : lowest[c] + 1 + reach, c] for c in near if lowest[c] + 1 < len(light)
    ]
    if not band or base + 1 >= mask.shape[0]:
        return float("nan")
    under = np.array([part.min() for part in band if part.size])
    beside = np.r_[0 : max(0, columns[0] - reach), columns[-1] + reach : mask.shape[1]]
    level = light[base - 1 : base + reach]
    open_ = level[:, beside] if beside.size else level
    dark = np.sort(under)[: max(1, under.size // 2)]
    return float(1.0 - np.median(dark) / max(1e-4, float(np.median(open_))))


def sharpness(
    picture: NDArray[np.uint8], alpha: NDArray[np.uint8], focus: NDArray[np.bool_]
) -> float:
    """How fine the backdrop's detail is beside the product's, at full size.

    Of blocks of 32 pixels, the contrast of the finest octave against that of the next: about 0.1
    where a small picture was stretched, 0.4 and more where every pixel was seen. The backdrop's
    median is divided by the product's.

    Args:
        picture: uint8 sRGB (H, W, 3).
        alpha: uint8 (H, W), the product.
        focus: bool (H, W), where the backdrop is in focus.

    Returns:
        Ratio, 0 or more; NaN where either has too little contrast, or too few blocks, to tell.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    one, two = cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.GaussianBlur(grey, (0, 0), 1.6)
    four = cv2.GaussianBlur(grey, (0, 0), 3.2)
    finest, next_ = np.square(grey - one), np.square(two - four)
    kernel = np.ones((9, 9), np.uint8)
    inner = cv2.erode((alpha == 255).astype(np.uint8), kernel) == 1  # its outline is not its detail
    mine = _fineness(finest, next_, inner)
    clear = cv2.dilate((alpha > 0).astype(np.uint8), kernel) == 0
    theirs = _fineness(finest, next_, clear & focus)
    return theirs / mine if mine > 0 else float("nan")


def _fineness(
    finest: NDArray[np.float32], next_: NDArray[np.float32], where: NDArray[np.bool_]
) -> float:
    """Median, over the livelier half of whole blocks, of one octave's contrast by the next's."""
    size = max(1, where.shape[1] // _BLOCK), max(1, where.shape[0] // _BLOCK)
    whole = cv2.resize(where.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    first = np.sqrt(cv2.resize(finest, size, interpolation=cv2.INTER_AREA)[whole])
    second = np.sqrt(cv2.resize(next_, size, interpolation=cv2.INTER_AREA)[whole])
    lively = second > max(_CALM, float(np.median(second)) if second.size else np.inf)
    if lively.sum() < _LEAST_BLOCKS:
        return float("nan")
    return float(np.median(first[lively] / second[lively]))


def distinct(look: Look) -> float:
    """How far product and backdrop lie apart along the outline, CIE76.

    Measured at 400 px between the means just inside and just outside; shadows count, for they
    draw the outline of white on white.

    Returns:
        The lower quartile over the outline; NaN where there is no outline.
    """
    mask, lab = look.mask, look.lab
    reach = max(2, round(0.012 * min(mask.shape)))
    inside, outside = mask > 0.98, mask < 0.02
    outline = _grown(mask > 0.5, 1) & ~(mask > 0.5)
    if not outline.any() or not inside.any() or not outside.any():
        return float("nan")
    within = _local_mean(lab, inside & _grown(mask < 0.5, 2 * reach), reach)
    around = _local_mean(lab, outside & _grown(mask > 0.5, 2 * reach), reach)
    return float(np.quantile(difference(within, around)[outline], 0.25))


def plate_spread(lab: NDArray[np.float32]) -> float:
    """Standard deviation of L* over a plate: near 0 is a blank sheet without light or shadow."""
    return float(lab[..., 0].std())


def plate_noise(lab: NDArray[np.float32]) -> float:
    """Standard deviation, L*, of what a blur of one pixel takes away: high is raw noise."""
    lightness = lab[..., 0]
    return float((lightness - cv2.GaussianBlur(lightness, (0, 0), 1.0)).std())


def plate_mottle(lab: NDArray[np.float32], area: NDArray[np.float32]) -> float:
    """Spread of hue (a*, b*) over areas of several pixels: high is blotches, as no material has.

    Args:
        lab: float32 Lab of a plate (h, w, 3), about 256 px.
        area: float32 (h, w), 1 where to look.

    Returns:
        Root of the summed variances; NaN where there is nowhere to look.
    """
    hue = cv2.GaussianBlur(lab[..., 1:], (0, 0), 4.0)[area > 0]
    return float(np.sqrt(hue.var(axis=0).sum())) if hue.size else float("nan")


def _grown(area: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(area.astype(np.uint8), kernel) > 0)


def _local_mean(
    values: NDArray[np.float32], where: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Mean of the values nearby that count; the mean of all that count where none is near."""
    side = 2 * round(1.5 * sigma) + 1  # two box blurs are near enough to a Gaussian, and fast
    weight = where.astype(np.float32)
    stack = cv2.merge([*cv2.split(values * weight[..., None]), weight])
    for _ in range(2):
        stack = cv2.blur(stack, (side, side))
    everywhere = np.array(cv2.mean(values, where.astype(np.uint8))[:3], dtype=np.float32)
    return np.asarray(
        (stack[..., :3] + 1e-4 * everywhere) / (stack[..., 3:] + 1e-4), dtype=np.float32
    )
