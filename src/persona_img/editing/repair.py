"""Repairs: noise, blur, blemishes. What they do to the product is counted, and marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from persona_img.editing.base import recorded, share_of
from persona_img.errors import InvalidInput
from persona_img.imaging.alpha import solid
from persona_img.imaging.cutout import visible
from persona_img.imaging.grain import grain_of
from persona_img.imaging.matting import composite, foreground

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_img.editing.base import Edited
    from persona_img.imaging.photo import Photo

_LEAST_GRAIN = 0.4  # 8-bit levels: less is rounding, not noise
_MOST_GRAIN = 3.0  # above, sharpening would sharpen the noise
_MOST_AREA = 0.05  # of the picture: more is not a blemish
_ROUNDS = 20
_FILTER = 0.7  # of the noise: gains 1.5 dB at 3 levels, 4 at 6, 5 at 10


def denoise(
    photo: Photo,
    alpha: NDArray[np.uint8] | None = None,
    *,
    strength: float = 1.0,
    backdrop_only: bool = False,
) -> Edited:
    """The picture with less noise, by as much as it has.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W); needed for ``backdrop_only``.
        strength: Factor on the filter, 0.1..3; 1 suits the noise that was measured.
        backdrop_only: Whether the product stays as photographed.

    Raises:
        InvalidInput: a strength that cannot be; a mask is needed.

    References:
        Buades, Coll, Morel 2011, "Non-Local Means Denoising", IPOL; OpenCV's, for colour.
    """
    share_of("strength", strength, 0.1, 3.0)
    grain = grain_of(photo.pixels, photo.seen)
    shown = visible(photo)
    pixels = shown.copy()
    if grain > _LEAST_GRAIN:
        width = float(_FILTER * strength * grain)
        pixels = np.asarray(
            cv2.fastNlMeansDenoisingColored(shown, None, width, width, 5, 15), dtype=np.uint8
        )
    pixels = _around(photo, pixels, alpha, "denoise") if backdrop_only else pixels
    asked = {"grain": round(grain, 3), "strength": strength, "backdrop_only": backdrop_only}
    return recorded(photo, pixels, "denoise", asked, alpha=alpha, keeps=photo.alpha)


def restore(
    photo: Photo,
    alpha: NDArray[np.uint8] | None = None,
    *,
    blur: float = 1.0,
    backdrop_only: bool = False,
) -> Edited:
    """The picture with a slight blur taken back.

    Richardson-Lucy on lightness, stopped early, so that it neither rings nor grows noise.

    Args:
        photo: The picture.
        alpha: The product, uint8 (H, W); needed for ``backdrop_only``.
        blur: Sigma of the blur to undo, pixels, 0.3..4.
        backdrop_only: Whether the product stays as photographed.

    Raises:
        InvalidInput: a blur that cannot be; a picture too noisy to sharpen; a mask is needed;
            scikit-image is not installed.

    References:
        Richardson 1972, JOSA 62; Lucy 1974, AJ 79; scikit-image's.
    """
    share_of("blur", blur, 0.3, 4.0)
    grain = grain_of(photo.pixels, photo.seen)
    if grain > _MOST_GRAIN:
        raise InvalidInput(
            f"noise of {grain:.1f} levels would be sharpened with it (at most {_MOST_GRAIN}); "
            f"denoise first"
        )
    try:
        from skimage.restoration import richardson_lucy
    except ImportError as error:
        raise InvalidInput(
            "restore needs scikit-image: pip install 'persona-img[editing]'"
        ) from error
    lab = cv2.cvtColor(visible(photo).astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    reach = max(2, int(np.ceil(3 * blur)))
    line = cv2.getGaussianKernel(2 * reach + 1, blur)
    lightness = np.pad(lab[..., 0] / 100.0, 2 * reach, mode="reflect").astype(np.float32)
    sharp = richardson_lucy(lightness + 1e-3, (line @ line.T).astype(np.float32), num_iter=_ROUNDS)
    lab[..., 0] = 100.0 * (sharp[2 * reach : -2 * reach, 2 * reach : -2 * reach] - 1e-3)
    rgb = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0.0, 1.0)
    pixels = np.round(rgb * 255.0).astype(np.uint8)
    pixels = _around(photo, pixels, alpha, "restore") if backdrop_only else pixels
    asked = {"blur": blur, "backdrop_only": backdrop_only}
    return recorded(photo, pixels, "restore", asked, alpha=alpha, keeps=photo.alpha)


def inpaint(
    photo: Photo,
    area: NDArray[np.bool_],
    alpha: NDArray[np.uint8] | None = None,
    *,
    seed: int = 7,
) -> Edited:
    """A blemish filled in from around it, with the photograph's grain; nothing else changes.

    On the product this is an alteration of the goods for sale: the record says so, and so does the
    certificate of every variant that is made of the result.

    Args:
        photo: The picture.
        area: The blemish, bool (H, W).
        alpha: The product, uint8 (H, W); None cannot know, and counts as altered.
        seed: Of the grain.

    Raises:
        InvalidInput: an area of another shape, empty, or over 5 % of the picture.

    References:
        Bertalmio, Bertozzi, Sapiro 2001, "Navier-Stokes, Fluid Dynamics, and Image and Video
        Inpainting", CVPR; OpenCV's, a little nearer to what was there than Telea's.
    """
    if area.shape != photo.pixels.shape[:2]:
        size = photo.pixels.shape[:2]
        raise InvalidInput(f"area {area.shape}: give a mask of the picture's size {size}")
    share = float(area.mean())
    if not 0.0 < share <= _MOST_AREA:
        raise InvalidInput(
            f"area is {share:.1%} of the picture: give more than none and at most "
            f"{_MOST_AREA:.0%}; what is larger is not a blemish"
        )
    filled = cv2.inpaint(visible(photo), area.astype(np.uint8), 5, cv2.INPAINT_NS)
    rng = np.random.default_rng(seed)
    level = grain_of(photo.pixels, photo.seen)
    grain = level * rng.standard_normal((int(area.sum()), 1), dtype=np.float32)
    pixels = photo.pixels.copy()
    pixels[area] = np.clip(np.round(filled[area] + grain), 0, 255).astype(np.uint8)
    asked = {"share": round(share, 6), "seed": seed}
    return recorded(photo, pixels, "inpaint", asked, alpha=alpha, keeps=photo.alpha)


def _around(
    photo: Photo, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, name: str
) -> NDArray[np.uint8]:
    """The edited backdrop with the product as photographed; of a cut-out nothing changes."""
    if alpha is None:
        raise InvalidInput(f"{name} of the backdrop alone needs the product's mask; supply one")
    if photo.cut_out:
        return photo.pixels.copy()
    alpha = solid(alpha)
    plate = pixels.astype(np.float32) / 255.0
    return composite(plate, photo.pixels, alpha, foreground(photo.pixels, alpha))
