"""The renderer: cut out, frame, paint, complete, paste back, judge, certify."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.decision import uniform
from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected, UnknownStyle
from persona_img.imaging.folder import VARIANT_KEY
from persona_img.imaging.matting import product_of
from persona_img.imaging.photo import png_bytes
from persona_img.masking.base import supplied
from persona_img.masking.classic import ClassicMasker
from persona_img.rendering.base import RenderSettings, Variant
from persona_img.rendering.compose import Placed, compose
from persona_img.rendering.enhance import enlarge
from persona_img.rendering.proof.certificate import certify
from persona_img.rendering.proof.gate import judge, picture_scores, plate_scores
from persona_img.rendering.proof.measure import Look, compare_product
from persona_img.rendering.relight import Relight
from persona_img.rendering.shot import Canvas, Clock, Shot
from persona_img.rendering.sources.material import matched, sheet_of
from persona_img.rendering.text_area import TextArea
from persona_img.rendering.tone import FARTHEST_PULL, MOST_PULL, Lighting, light_of
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from persona_img.domain.style import Style
    from persona_img.imaging.frame import Frame
    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import Masker, ProductMask
    from persona_img.rendering.base import BackdropSource
    from persona_img.rendering.framing import Layout
    from persona_img.rendering.proof.adherence import StyleJudge

_VERSION = "6"
"""Raised whenever the same recipe would give other pixels."""


class BackdropRenderer:
    """Variants from a source of backdrops.

    Args:
        backdrops: Paints the plates.
        settings: How variants are made.
        masker: Cuts the product out; None is the classic one, which needs no weights.
        judge: Says whether a variant shows its style; None asks nobody.
        fallback: Paints where no candidate of ``backdrops`` passes the gate; None rejects then.

    Example:
        >>> from persona_img.assets import ASSETS
        >>> from persona_img.domain.style import Style
        >>> from persona_img.imaging.photo import load_photo
        >>> from persona_img.rendering.sources.plain import PlainBackdrops
        >>> photo = load_photo(ASSETS / "catalog" / "photos" / "dress-01.jpg")
        >>> style = Style.of({"palette": "sage", "light": "soft", "framing": "centred"})
        >>> variant = BackdropRenderer(PlainBackdrops()).render(photo, style, seed=7)
        >>> variant.certificate.product_unchanged
        True
    """

    def __init__(
        self,
        backdrops: BackdropSource,
        settings: RenderSettings | None = None,
        masker: Masker | None = None,
        judge: StyleJudge | None = None,
        fallback: BackdropSource | None = None,
    ) -> None:
        self.backdrops, self.fallback, self.judge = backdrops, fallback, judge
        self.settings = settings or RenderSettings()
        self.masker = masker or ClassicMasker()

    def fingerprint(self) -> str:
        """Hex digest of sources, settings, judge and the version of the pixels' arithmetic."""
        mine = [_VERSION, asdict(self.settings)]
        theirs = [self.backdrops.name, self.backdrops.fingerprint(), self.masker.fingerprint()]
        if self.judge is not None:
            theirs.append(self.judge.fingerprint())
        if self.fallback is not None:
            theirs += [self.fallback.name, self.fallback.fingerprint()]
        return digest_of([mine, *theirs])

    def laid_out(self, layout: Layout) -> BackdropRenderer:
        """The same renderer, and the same models in memory, for another layout."""
        settings = replace(self.settings, layout=layout)
        return BackdropRenderer(self.backdrops, settings, self.masker, self.judge, self.fallback)

    def mask(self, photo: Photo) -> ProductMask:
        """The photo's own alpha where it has one, otherwise the product cut out."""
        if photo.alpha is not None:
            return supplied(photo.alpha)
        return self.masker.cut(photo.pixels)

    def render(self, photo: Photo, style: Style, *, seed: int) -> Variant:
        """The photograph in a style; see :class:`.base.Renderer`."""
        return next(self.render_many(photo, [style], [seed]))

    def render_many(
        self,
        photo: Photo,
        styles: Sequence[Style],
        seeds: Sequence[int],
        *,
        on_rejected: Callable[[Style, RenderRejected], None] | None = None,
    ) -> Iterator[Variant]:
        """Variants in the order of ``styles``; see :class:`.base.Renderer`."""
        if len(styles) != len(seeds):
            raise InvalidInput(f"{len(styles)} styles and {len(seeds)} seeds: give one seed each")
        for style in styles:
            if style.is_original:
                raise UnknownStyle("original is the photograph itself: nothing to render")
            light_of(style.values.get("light", "soft"))
        if not styles:
            return
        shot = self._shot(photo)
        for style, seed in zip(styles, seeds, strict=True):
            try:
                yield self._best_of(shot, style, seed)
            except RenderRejected as rejected:
                if on_rejected is None:
                    raise
                on_rejected(style, rejected)

    def _shot(self, photo: Photo) -> Shot:
        clock = Clock()
        with clock("mask"):
            cut = self.mask(photo)
            least = self.settings.min_confidence
            if cut.confidence < least:
                weakest = min(cut.checks, key=lambda name: cut.checks[name])
                raise LowMaskConfidence(
                    f"{photo.source or photo.digest[:12]}: mask confidence {cut.confidence:.2f} "
                    f"({weakest}) is below {least:.2f}; supply a mask or another photo"
                )
            product = product_of(photo, cut.alpha)
        return Shot(photo, cut, product, clock.seconds["mask"], self.fingerprint())

    def _best_of(self, shot: Shot, style: Style, seed: int) -> Variant:
        """The best candidate that passes the gate, or what the fallback makes."""
        clock = Clock({"mask": shot.seconds})
        passed: list[Variant] = []
        refused: list[str] = []
        final = False

        def attempt(source: BackdropSource, number: int) -> None:
            nonlocal final
            variant = self._candidate(shot, style, seed, number, source, clock)
            final = variant.gate.final
            if variant.gate.passed:
                passed.append(variant)
            else:
                refused.append("; ".join(variant.gate.reasons))

        wanted, budget = self.settings.candidates, self.settings.tries
        for number in range(max(wanted, budget)):
            attempt(self.backdrops, number)
            if final or (passed and number + 1 >= wanted):
                break
        if not passed and not final and self.fallback is not None:
            with suppress(UnknownStyle, InvalidInput):  # it need not know every style
                attempt(self.fallback, 0)
        if passed:
            return max(passed, key=lambda variant: variant.gate.scores.get("adherence", 0.0))
        raise RenderRejected(
            f"{shot.name} in {style}: no candidate of {len(refused)} passed the gate: "
            f"{' | '.join(refused)}; take another style, seed or photo"
        )

    def _candidate(
        self,
        shot: Shot,
        style: Style,
        seed: int,
        attempt: int,
        source: BackdropSource,
        clock: Clock,
    ) -> Variant:
        asked, light = source.colour(style.values), light_of(style.values.get("light", "soft"))
        drawn, canvas = _drawn(seed, attempt), self._canvas(shot, style, source)
        lighting = canvas.lighting(light)
        with clock("plate"):
            rng = np.random.default_rng([drawn, 1])
            sheet = sheet_of(source.material(style.values), canvas.size, rng)
            start = None if sheet is None else sheet.lit(asked, lighting, rng)
            plate = source.plates(canvas.product, canvas.mask, [style.values], [drawn], [start])[0]
        with clock("enlarge"):
            whole = plate is start  # the sheet itself: it lacks nothing of its material
            share, most = self.settings.colour_pull, MOST_PULL
            if "colour" in style.values:
                share, most = 1.0, FARTHEST_PULL
            plate = lighting.pulled(plate, asked, share, most)
            strength, finished = self.settings.texture, plate
            if sheet is not None and not whole:
                finished = matched(plate, sheet, lighting.shading, lighting.area, strength)
            large = enlarge(
                canvas.spot.cut(finished),
                (canvas.placed.frame.height, canvas.placed.frame.width),
                tile=None if sheet is None else sheet.grey,
                strength=strength,
                grain=shot.grain,
                seed=drawn,
            )
        with clock("compose"):
            placed, kept, relight = self._lit(shot, canvas, plate, lighting)
            pixels = compose(large, placed, light, self.settings.light_wrap)
        with clock("gate"):
            frame, alpha = placed.frame, shot.cut.alpha
            look = Look(pixels, placed.alpha)
            product = compare_product(pixels, kept, alpha, frame, look)
            scores = picture_scores(
                look, placed, product, shot.cut.confidence, cut_out=shot.photo.cut_out
            )
            text = _text_area(pixels, self.settings.layout, frame)
            scores |= {} if text is None else {"text_contrast": text.contrast}
            known = source.training_pictures()
            scores |= plate_scores(plate, asked, lighting, known)
            scores |= self._style_scores(pixels, placed.alpha, style, source)
            gate = judge(scores, self.settings.rules)
        with clock("encode"):
            recipe = self._recipe(shot, style, seed, attempt, source)
            if relight is not None:
                recipe["relight"] = relight.as_dict()
            png = png_bytes(pixels, {VARIANT_KEY: json.dumps(recipe, sort_keys=True)})
            certificate = certify(
                png,
                shot.photo,
                alpha,
                frame,
                product,
                recipe=recipe,
                gate=scores,
                relight=relight,
                text=text,
            )
        return Variant(png, pixels, certificate, shot.cut, gate, style, seed, dict(clock.seconds))

    def _canvas(self, shot: Shot, style: Style, source: BackdropSource) -> Canvas:
        return shot.canvas(style.values.get("framing", "centred"), self.settings.layout, source)

    def _lit(
        self, shot: Shot, canvas: Canvas, plate: NDArray[np.float32], lighting: Lighting
    ) -> tuple[Placed, NDArray[np.uint8], Relight | None]:
        """The product on its canvas, the photo it is to equal, and the light put on both."""
        if self.settings.relight == 0.0:
            return canvas.placed, shot.photo.pixels, None
        frame = canvas.placed.frame
        relight = Relight.of(self.settings.relight, plate, lighting.area, lighting.light)
        kept = relight.on(shot.photo.pixels, frame)
        product = relight.on(shot.product, frame)
        return Placed.of(frame, kept, shot.cut.alpha, product), kept, relight

    def _style_scores(
        self,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
        style: Style,
        source: BackdropSource,
    ) -> dict[str, float]:
        if self.judge is None:
            return {}
        seen = {name: value for name, value in style.values.items() if name in source.shows}
        if "colour" in style.values:  # the judge knows surfaces by their own colours
            seen = {name: value for name, value in seen.items() if name == "light"}
        adherence = self.judge.adherence(pixels, alpha, seen)
        return {} if adherence is None else {"adherence": adherence}

    def _recipe(
        self, shot: Shot, style: Style, seed: int, attempt: int, source: BackdropSource
    ) -> dict[str, Any]:
        """Everything the pixels depend on; also written into the PNG, so bytes name the recipe."""
        mine = self.settings
        asked = asdict(mine.layout) | {"relight": mine.relight, "light_wrap": mine.light_wrap}
        unusual = {name: value for name, value in asked.items() if value}
        return ({"settings": unusual} if unusual else {}) | {
            "photo": shot.photo.digest,
            "style": style.key,
            "seed": seed,
            "attempt": attempt,
            "renderer": shot.renderer,
            "backdrops": source.name,
            "checkpoint": source.fingerprint(),
            "mask": shot.cut.source,
            "version": __version__,
        }


def _text_area(pixels: NDArray[np.uint8], layout: Layout, frame: Frame) -> TextArea | None:
    box = layout.text_box(frame)
    return None if box is None else TextArea.of(pixels, box)


def _drawn(seed: int, attempt: int) -> int:
    """The seed of an attempt: the first is as asked, the others depend on it."""
    return seed if attempt == 0 else int(uniform("attempt", str(seed), str(attempt)) * 2**53)
