"""Every edit of a cut-out: what it hides is never seen, and it has no backdrop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from editing.conftest import scene
from persona_img.editing import colour, repair, shape
from persona_img.editing.base import Edited
from persona_img.errors import InvalidInput
from persona_img.imaging.cutout import on_white
from persona_img.imaging.photo import Photo, load_photo
from pictures import disc_cut_out, encoded

HIDDEN = {"black": 0, "magenta": (255, 0, 255), "white": 255}


def cut(hidden: Any, noise: float = 0.0) -> Photo:
    values, _, _ = disc_cut_out(hidden)
    seen = values[..., 3:] > 0
    grain = np.random.default_rng(3).normal(0, noise, values[..., :3].shape)
    grainy = np.clip(values[..., :3] + grain * seen, 0, 255).astype(np.uint8)
    return load_photo(encoded(Image.fromarray(np.dstack([grainy, values[..., 3]]))))


def alpha_of(photo: Photo) -> np.ndarray:
    assert photo.alpha is not None
    return photo.alpha


def spot() -> np.ndarray:
    """A blemish across the outline."""
    area = np.zeros((150, 150), dtype=bool)
    area[70:80, 118:130] = True
    return area


EDITS: dict[str, Callable[[Photo], Edited]] = {
    "resize": lambda p: shape.resize(p, side=90),
    "resize, larger": lambda p: shape.resize(p, scale=1.7, enlarge=True),
    "crop": lambda p: shape.crop(p, alpha_of(p)),
    "upscale": lambda p: shape.upscale(p, alpha_of(p)),
    "packshot": lambda p: shape.packshot(p, alpha_of(p)),
    "white balance": lambda p: colour.white_balance(p, alpha_of(p), neutral=(5, 5, 80, 80)),
    "white balance, nothing known": lambda p: colour.white_balance(p),
    "denoise": lambda p: repair.denoise(p, alpha_of(p)),
    "denoise the backdrop": lambda p: repair.denoise(p, alpha_of(p), backdrop_only=True),
    "restore": lambda p: repair.restore(p, alpha_of(p)),
    "restore the backdrop": lambda p: repair.restore(p, alpha_of(p), backdrop_only=True),
    "inpaint": lambda p: repair.inpaint(p, spot(), alpha_of(p)),
}


@pytest.mark.parametrize("name", EDITS)
def test_no_edit_sees_what_is_hidden(name: str, tmp_path: Path) -> None:
    made = [EDITS[name](cut(hidden, noise=2.0)) for hidden in HIDDEN.values()]
    assert len({one.edit.after for one in made}) == 1
    assert len({one.png for one in made}) == 1
    again = load_photo(made[0].save(tmp_path / "x.png"))
    assert again.digest == made[0].edit.after
    assert again.cut_out == made[0].photo.cut_out == (name != "packshot")


@pytest.mark.parametrize("name", [n for n in EDITS if not n.startswith(("packshot", "white"))])
def test_no_edit_leaves_a_rim(name: str) -> None:
    """On white, the edge lies between the product's colours and white."""
    made = EDITS[name](cut(HIDDEN["magenta"]))
    shown = np.asarray(on_white(made.photo)).astype(int)
    assert (shown >= np.array([90, 105, 90]) - 8).all()
    edge = (alpha_of(made.photo) > 40) & (alpha_of(made.photo) < 250)
    # The disc is greener than grey; a magenta rim would be the opposite.
    excess = shown[edge][:, 1] - (shown[edge][:, 0] + shown[edge][:, 2]) / 2
    assert excess.min() > -3


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_packshot_of_a_cut_out_is_plain_compositing(hidden: str) -> None:
    photo = cut(HIDDEN[hidden])
    made = shape.packshot(photo, alpha_of(photo), shadow=False).photo.pixels
    _, colours, alpha = disc_cut_out()
    share = alpha[..., None]
    truth = colours * share + 255 * (1 - share)
    rows = np.flatnonzero((np.round(255 * alpha) >= 16).any(axis=1))
    move = (len(made) - (rows[-1] + 1 - rows[0])) // 2 - rows[0]
    canvas = np.full(made.shape, 255.0)
    soft = np.zeros(made.shape[:2], dtype=bool)
    assert move < 0
    canvas[:] = truth[-move : len(made) - move, -move : len(made) - move]
    soft[:] = ((alpha > 0) & (alpha < 1))[-move : len(made) - move, -move : len(made) - move]
    error = np.abs(canvas - made)
    assert error[soft].mean() < 1
    assert error.max() < 6


def test_a_noisy_cut_out_is_denoised_by_as_much_as_it_has() -> None:
    clean, noisy = cut(0), cut(0, noise=6.0)
    made = repair.denoise(noisy, alpha_of(noisy))
    inside = alpha_of(clean) == 255
    before = np.abs(noisy.pixels[inside].astype(int) - clean.pixels[inside]).mean()
    after = np.abs(made.photo.pixels[inside].astype(int) - clean.pixels[inside]).mean()
    assert after < 0.8 * before
    assert made.edit.parameters["grain"] > 3


def hard(noise: float = 0.0) -> Photo:
    """One colour with a hard outline, and black beyond it."""
    yy, xx = np.mgrid[0:150, 0:150]
    inside = np.hypot(yy - 75, xx - 75) < 50
    pixels = 150 + np.random.default_rng(4).normal(0, noise, (150, 150, 3))
    return Photo.of(
        np.clip(np.round(pixels), 0, 255).astype(np.uint8),
        np.where(inside, 255, 0).astype(np.uint8),
        cut_out=True,
    )


def test_nothing_darkens_towards_the_outline() -> None:
    """Of one colour everything stays that colour, whatever lies beyond."""
    photo = hard()
    inside, area = alpha_of(photo) == 255, np.zeros((150, 150), dtype=bool)
    area[68:82, 112:130] = True
    for made in (
        repair.inpaint(photo, area, alpha_of(photo)),
        repair.restore(photo, alpha_of(photo), blur=1.5),
        shape.resize(photo, side=77),
        shape.resize(photo, scale=1.3, enlarge=True),
    ):
        seen = alpha_of(made.photo) > 0
        assert np.abs(made.photo.pixels[seen].astype(int) - 150).max() <= 1, made.edit.name
    noisy = hard(noise=5.0)
    soft = repair.denoise(noisy, alpha_of(noisy)).photo.pixels.astype(float)
    yy, xx = np.mgrid[0:150, 0:150]
    ring = inside & (np.hypot(yy - 75, xx - 75) > 48)
    assert np.abs(soft[ring] - 150).mean() < 1.3 * np.abs(soft[inside] - 150).mean()


def test_what_needs_a_backdrop_says_that_a_cut_out_has_none() -> None:
    photo, (other, alpha) = cut(255), scene(2)
    with pytest.raises(InvalidInput, match="the picture shows 0 pixels of backdrop"):
        colour.transfer(photo, alpha_of(photo), other)
    with pytest.raises(InvalidInput, match="the reference shows 0 pixels of backdrop"):
        colour.transfer(other, alpha, photo)
    with pytest.raises(InvalidInput, match="no backdrop to measure"):
        colour.white_balance(photo, alpha_of(photo))
    with pytest.raises(InvalidInput, match="0 pixels are neither"):
        colour.white_balance(photo, alpha_of(photo), neutral=(0, 0, 10, 10))
    left = np.where(np.arange(150) < 60, 255, 0).astype(np.uint8)[None].repeat(150, axis=0)
    with pytest.raises(InvalidInput, match="0 pixels are neither"):
        colour.white_balance(photo.with_alpha(left), neutral=(70, 60, 20, 20))


def test_a_mask_on_a_photograph_makes_nothing_transparent(tmp_path: Path) -> None:
    photo, alpha = scene(3, 140, 140)
    masked = photo.with_alpha(alpha)
    for made in (
        shape.crop(masked, alpha, margin=0.2),
        colour.transfer(masked, alpha, scene(4, 140, 140)[0]),
        repair.inpaint(masked, np.pad(np.ones((4, 4), bool), ((0, 136), (0, 136))), alpha),
    ):
        assert made.photo.alpha is not None  # it is still known where the product is
        again = load_photo(made.save(tmp_path / "x.png"))
        assert again.alpha is None
        assert again.digest == made.edit.after


def test_a_mask_without_a_core_is_levelled_and_not_untouched_for_nothing() -> None:
    photo, alpha = scene(5)
    dim = np.where(alpha == 255, 252, alpha).astype(np.uint8)
    exact, made = (shape.packshot(photo, a, fill=0.6) for a in (alpha, dim))
    assert made.edit.after == exact.edit.after
    assert (made.edit.product, made.edit.changed) == ("untouched", 0)
    balanced = colour.white_balance(photo, np.where(alpha == 255, 200, alpha).astype(np.uint8))
    assert (balanced.edit.product, balanced.edit.changed) == ("altered", None)
