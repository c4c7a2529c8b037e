"""The proof that comes with a variant: made from its pixels, and checked again from its files.

The core is where the mask is 255, not shrunk: every pixel the mask calls wholly product must be in
the variant exactly as photographed. Between 0 and 255 lies the edge, which is unmixed from the old
backdrop and blended; its error is measured, not forbidden.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from persona_img.domain.style import Style
from persona_img.domain.variant import Certificate
from persona_img.errors import BadPhoto, NotFound, VerificationFailed
from persona_img.imaging.frame import Frame
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import pixel_digest
from persona_img.rendering.compose import Placed
from persona_img.rendering.proof.gate import picture_scores
from persona_img.rendering.proof.measure import Look, compare_product
from persona_img.rendering.relight import Relight
from persona_img.rendering.text_area import TextArea
from persona_img.scenery.scenes import LIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from persona_img.imaging.photo import Photo
    from persona_img.rendering.proof.measure import ProductReport

_SAME = 1e-6


@dataclass(frozen=True)
class Check:
    """One thing that was checked, whether it held, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class VerifyReport:
    """What verification found; ``checks`` in the order they were made."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if c.passed else 'FAIL'} {c.name}: {c.found}" for c in self.checks
        )


def certify(
    png: bytes,
    photo: Photo,
    alpha: NDArray[np.uint8],
    frame: Frame,
    product: ProductReport,
    *,
    recipe: Mapping[str, Any],
    gate: Mapping[str, float],
    relight: Relight | None = None,
    text: TextArea | None = None,
) -> Certificate:
    """The certificate of a variant.

    Args:
        png: The variant's file.
        photo: The photograph.
        alpha: uint8, the product on the photograph.
        frame: Where the photograph lies on the variant.
        product: What was measured on the file's pixels.
        recipe: Everything that made it, plain values.
        gate: Gate scores.
        relight: The light that was put on the product; None for none.
        text: Room that was kept for text; None for none.
    """
    return Certificate(
        variant=hashlib.sha256(png).hexdigest(),
        photo=photo.digest,
        mask=pixel_digest(alpha),
        offset=(frame.dx, frame.dy),
        size=(frame.width, frame.height),
        core_pixels=product.pixels,
        core_changed=product.changed,
        core_outside=product.outside,
        edge_error=product.edge_error,
        silhouette_growth=product.growth,
        recipe=dict(recipe),
        gate=dict(gate),
        relight=None if relight is None else relight.as_dict(),
        text=None if text is None else text.as_dict(),
        edits=photo.edits,
    )


def certificate_path(variant: str | Path) -> Path:
    """Where a variant's certificate lies: ``x.json`` beside ``x.png``."""
    return Path(variant).with_suffix(".json")


def mask_path(variant: str | Path) -> Path:
    """Where a variant's mask lies: ``x.mask.png`` beside ``x.png``."""
    return Path(variant).with_suffix(".mask.png")


def load_certificate(path: str | Path) -> Certificate:
    """A certificate from its JSON.

    Raises:
        NotFound: no such file.
        VerificationFailed: not a certificate.
    """
    path = Path(path)
    if not path.exists():
        raise NotFound(f"{path}: no certificate; keep it beside the variant")
    try:
        return Certificate.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise VerificationFailed(f"{path}: not a certificate ({error})") from error


def verify(
    variant: str | Path, photo: Photo, certificate: Certificate | None = None
) -> VerifyReport:
    """Check a variant again from its files, trusting none of the certificate's words.

    Digests, size, core, edge, silhouette, room for text and every gate score of the finished
    picture are computed anew from the variant, its mask (``x.mask.png`` beside it) and the
    photograph; where the product was relit, the recorded light is put on the photograph first.
    Scores of the plate and of the masker need what painted and cut: :func:`repeat`.

    Args:
        variant: The PNG.
        photo: The photograph it claims to show.
        certificate: Its certificate; None reads ``x.json`` beside it.

    Raises:
        NotFound: variant, mask or certificate is missing.
        VerificationFailed: a file is not what its name says.
    """
    variant = Path(variant)
    claimed = load_certificate(certificate_path(variant)) if certificate is None else certificate
    data = _read(variant)
    pixels = _pixels(data, variant)
    alpha = _mask(mask_path(variant))
    checks = [
        _same("variant file", claimed.variant, hashlib.sha256(data).hexdigest()),
        _same("photograph", claimed.photo, photo.digest),
        _same("mask", claimed.mask, pixel_digest(alpha)),
        _same("size", claimed.size, (pixels.shape[1], pixels.shape[0])),
    ]
    whole = all(type(value) is int for value in claimed.offset) and len(claimed.offset) == 2
    checks.append(Check("offset", whole, f"{claimed.offset}, whole pixels"))
    if alpha.shape != photo.pixels.shape[:2] or not all(c.passed for c in checks[-2:]):
        shapes = f"mask {alpha.shape}, photo {photo.pixels.shape[:2]}, variant {pixels.shape[:2]}"
        return VerifyReport((*checks, Check("product", False, f"cannot be compared: {shapes}")))
    frame = Frame(claimed.size[0], claimed.size[1], *claimed.offset)
    return VerifyReport((*checks, *_product_checks(claimed, pixels, photo, alpha, frame)))


def _product_checks(
    claimed: Certificate,
    pixels: NDArray[np.uint8],
    photo: Photo,
    alpha: NDArray[np.uint8],
    frame: Frame,
) -> list[Check]:
    expected, name, note = photo.pixels, "product unchanged", ""
    if claimed.relight is not None:
        light = Relight.from_dict(claimed.relight)
        expected, name = light.on(photo.pixels, frame, alpha), "product only relit"
        note = f" besides the light: share {light.share:g}, tint {light.tint}, {light.gradient:g}"
    on_canvas = frame.place(expected, 127)
    placed = Placed(frame, on_canvas, frame.place(alpha, 0), on_canvas)
    look = Look(pixels, placed.alpha)
    core = compare_product(pixels, expected, alpha, frame, look)
    found = f"{core.changed} of {core.pixels} core pixels changed{note}, {core.outside} cut away"
    return [
        Check(name, core.unchanged, found),
        _same("core pixels", claimed.core_pixels, core.pixels),
        _same("core changed", claimed.core_changed, core.changed),
        _same("core outside", claimed.core_outside, core.outside),
        _close("edge error", claimed.edge_error, core.edge_error),
        _close("silhouette growth", claimed.silhouette_growth, core.growth),
        *_gate_checks(claimed, pixels, look, placed, core, cut_out=photo.cut_out),
    ]


def _gate_checks(
    claimed: Certificate,
    pixels: NDArray[np.uint8],
    look: Look,
    placed: Placed,
    core: ProductReport,
    *,
    cut_out: bool,
) -> list[Check]:
    """Gate scores that the picture itself decides, and the room for text."""
    confidence = claimed.gate.get("mask_confidence", math.nan)
    rests = str(claimed.recipe.get("rests", LIES))
    scores = picture_scores(look, placed, core, confidence, rests, cut_out=cut_out)
    checks = [
        _close(f"gate {name}", claimed.gate.get(name, math.nan), found)
        for name, found in scores.items()
        if name != "mask_confidence"
    ]
    if claimed.text is not None:
        box = tuple(int(v) for v in claimed.text["box"])
        area = TextArea.of(pixels, (box[0], box[1], box[2], box[3]))
        checks.append(_same("text area", dict(claimed.text), area.as_dict()))
    return checks


def repeat(
    variant: str | Path,
    photo: Photo,
    render: Callable[[Photo, Style, int], Certificate],
    fingerprint: str,
) -> VerifyReport:
    """Make a variant again from its recipe: the same bytes prove every score of its gate.

    Args:
        variant: The PNG; its certificate lies beside it.
        photo: The photograph it claims to show.
        render: Makes the certificate of a photo in a style with a seed.
        fingerprint: Of what ``render`` renders with; another one cannot repeat the recipe.

    Raises:
        NotFound: the certificate is missing.
        VerificationFailed: it is no certificate, or its recipe names no style or seed.
    """
    claimed = load_certificate(certificate_path(variant))
    try:
        style, seed = Style(str(claimed.recipe["style"])), int(claimed.recipe["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationFailed(f"{variant}: a recipe without {error}") from error
    same = _same("renderer", claimed.recipe.get("renderer"), fingerprint)
    if not same.passed:
        return VerifyReport((same,))
    again = render(photo, style, seed)
    scores = [
        _close(f"gate {name}", claimed.gate.get(name, math.nan), found)
        for name, found in again.gate.items()
    ]
    return VerifyReport((same, *scores, _same("made again", claimed.variant, again.variant)))


def _same(name: str, claimed: object, found: object) -> Check:
    if claimed == found:
        return Check(name, True, str(found))
    return Check(name, False, f"{found}, but the certificate says {claimed}")


def _close(name: str, claimed: float, found: float) -> Check:
    same = (math.isnan(claimed) and math.isnan(found)) or abs(claimed - found) <= _SAME
    if same:
        return Check(name, True, f"{found:.4g}")
    return Check(name, False, f"{found:.6g}, but the certificate says {claimed:.6g}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"{path}: cannot be read ({error.strerror}); keep it with the variant"
        ) from error


def _mask(path: Path) -> NDArray[np.uint8]:
    """A mask's values, whichever of a picture's forms they were stored anew in."""
    data = _read(path)
    try:
        return load_mask(data)
    except BadPhoto as error:
        raise VerificationFailed(f"{path}: not a mask ({error})") from error


def _pixels(data: bytes, path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "RGB":
                raise VerificationFailed(f"{path}: {image.mode} pixels, expected RGB")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VerificationFailed(f"{path}: not a whole PNG ({error})") from error
