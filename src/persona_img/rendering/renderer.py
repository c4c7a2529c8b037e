"""The renderer: cut out, frame, paint, complete, paste back, judge, certify."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from persona_img.domain.decision import uniform
from persona_img.domain.digest import digest_of
from persona_img.errors import InvalidInput, LowMaskConfidence, RenderRejected, UnknownStyle
from persona_img.imaging.bleed import matte_of
from persona_img.imaging.folder import VARIANT_KEY
from persona_img.imaging.light import to_srgb
from persona_img.imaging.photo import png_bytes
from persona_img.masking.base import supplied
from persona_img.masking.classic import ClassicMasker
from persona_img.rendering.base import RenderSettings, Variant
from persona_img.rendering.compose import Placed, compose
from persona_img.rendering.enhance import completed, enlarged, grained
from persona_img.rendering.proof.certificate import certify
from persona_img.rendering.proof.gate import (
    judge,
    picture_scores,
    plate_scores,
    sharpness_scores,
)
from persona_img.rendering.proof.measure import Look, compare_product
from persona_img.rendering.relight import Relight
from persona_img.rendering.shot import Canvas, Clock, Shot
from persona_img.rendering.stands import Stands
from persona_img.rendering.text_area import TextArea
from persona_img.rendering.tone import FARTHEST_PULL, MOST_PULL, light_of, pulled
from persona_img.scenery.build import SceneSet
from persona_img.scenery.materials import materials_of
from persona_img.scenery.plan import Plan
from persona_img.scenery.scenes import LIES, SCENES, fits, scene_for
from persona_img.scenery.subject import Taken
from persona_img.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from persona_img.domain.style import Style
    from persona_img.imaging.frame import Frame
    from persona_img.imaging.photo import Photo
    from persona_img.masking.base import Masker, ProductMask
    from persona_img.rendering.base import BackdropSource, PictureJudge, PictureMark
    from persona_img.rendering.framing import Layout
    from persona_img.rendering.proof.adherence import StyleJudge
    from persona_img.scenery.layer import Layer

_CALM = 0.6  # of what is far behind, where text is to stand
_VERSION = "19"
"""Raised whenever the same recipe would give other pixels."""
_MASKS = 4
_PAYLOAD = 16  # hexadecimal digits of a recipe's digest that a watermark carries
_MOST_DRAWN = 8_000_000  # pixels: a larger canvas's set is drawn so large and enlarged


class BackdropRenderer:
    """Variants from a source of backdrops.

    Args:
        backdrops: Paints the plates.
        settings: How variants are made.
        masker: Cuts the product out; None is the classic one, which needs no weights.
        judge: Says whether a variant shows its style; None asks nobody.
        fallback: Paints where no candidate of ``backdrops`` passes the gate; None rejects then.
        chooser: Says which of several candidates that passed is kept; None keeps the one that
            shows its style best.
        mark: Puts the beginning of the recipe's digest into each backdrop, before anything is
            measured; None leaves it as it is.

    Example:
        >>> from persona_img.assets import ASSETS
        >>> from persona_img.domain.style import Style
        >>> from persona_img.imaging.photo import load_photo
        >>> from persona_img.rendering.sources.plain import PlainBackdrops
        >>> photo = load_photo(ASSETS / "catalog" / "photos" / "knitwear-02.jpg")
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
        chooser: PictureJudge | None = None,
        mark: PictureMark | None = None,
    ) -> None:
        self.backdrops, self.fallback, self.judge = backdrops, fallback, judge
        self.chooser, self.marker = chooser, mark
        self.settings = settings or RenderSettings()
        self.masker = masker or ClassicMasker()
        self.materials = materials_of(self.settings.materials)
        self._masks: dict[str, ProductMask] = {}

    def fingerprint(self) -> str:
        """Hex digest of sources, settings, judge and the version of the pixels' arithmetic."""
        mine = [_VERSION, asdict(replace(self.settings, materials=None))]
        theirs = [self.backdrops.name, self.backdrops.fingerprint(), self.masker.fingerprint()]
        if self.judge is not None:
            theirs.append(self.judge.fingerprint())
        if self.fallback is not None:
            theirs += [self.fallback.name, self.fallback.fingerprint()]
        theirs.append(self.materials.fingerprint())
        if self.chooser is not None:
            theirs.append(self.chooser.fingerprint())
        if self.marker is not None:
            theirs.append(self.marker.fingerprint())
        return digest_of([mine, *theirs])

    def laid_out(self, layout: Layout) -> BackdropRenderer:
        """The same renderer, and the same models in memory, for another layout."""
        settings = replace(self.settings, layout=layout)
        return BackdropRenderer(
            self.backdrops,
            settings,
            self.masker,
            self.judge,
            self.fallback,
            self.chooser,
            self.marker,
        )

    def mask(self, photo: Photo) -> ProductMask:
        """The photo's own alpha where it has one, otherwise the product cut out.

        The last few masks are kept: who asks how a product stands renders it next.
        """
        if photo.alpha is not None:
            return supplied(photo.alpha)
        known = self._masks.get(photo.digest)
        if known is None:
            known = self.masker.cut(photo.pixels)
            # Another dictionary, not the same changed: other threads may be reading that.
            self._masks = dict([*self._masks.items()][1 - _MASKS :]) | {photo.digest: known}
        return known

    def stands(self, photo: Photo) -> Stands:
        """How a photo's product stands; see :class:`.stands.Stands`."""
        return Stands.of(photo, self.mask(photo).alpha)

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
            scene_for(style.values, "lying")
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
                    f"({weakest}) is below {least:.2f}; supply a mask "
                    f"(`persona-img mask --fix` puts it right) or another photo"
                )
            alpha, product = matte_of(photo, cut.alpha)
            cut = replace(cut, alpha=alpha)
            stands = Stands.of(photo, cut.alpha)
        return Shot(photo, cut, product, stands, clock.seconds["mask"], self.fingerprint())

    def _best_of(self, shot: Shot, style: Style, seed: int) -> Variant:
        """The best candidate that passes the gate, or what the fallback makes."""
        pose = shot.stands.pose
        scene = scene_for(style.values, pose)
        if not fits(scene, pose):
            fitting = ", ".join(name for name in SCENES if fits(name, pose))
            raise RenderRejected(
                f"{shot.name} in {style}: wrong viewpoint: a {pose} product does not fit "
                f"scene={scene}; choose from {fitting}, or tell its pose"
            )
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
            return max(passed, key=self._worth)
        raise RenderRejected(
            f"{shot.name} in {style}: no candidate of {len(refused)} passed the gate: "
            f"{' | '.join(refused)}; take another style, seed or photo"
        )

    def _worth(self, variant: Variant) -> float:
        """What the candidate with most of it is kept for; of equals the first."""
        if self.chooser is None:
            return variant.gate.scores.get("adherence", 0.0)
        return self.chooser.reward(variant.style, variant.pixels, variant.alpha)

    def _candidate(
        self,
        shot: Shot,
        style: Style,
        seed: int,
        attempt: int,
        source: BackdropSource,
        clock: Clock,
    ) -> Variant:
        asked, drawn = source.colour(style.values), _drawn(seed, attempt)
        canvas = self._canvas(shot, style, source)
        placed, spot = canvas.placed, canvas.spot
        own = source.material(style.values)
        with clock("set"):
            built = SceneSet(self._plan(canvas, style, asked, own, drawn))
            start = built.draw(spot.height, spot.width)
            area = built.area(spot.height, spot.width)
        with clock("plate"):
            begin = spot.around(start.srgb, canvas.size)
            told = {**style.values, "scene": built.plan.scene.name}
            plate = source.plates(canvas.product, canvas.mask, [told], [drawn], [begin])[0]
        with clock("enlarge"):
            size = placed.frame.height, placed.frame.width
            whole = plate is begin  # the set itself
            small = spot.cut(plate)
            share, most = self.settings.colour_pull, MOST_PULL
            if "colour" in style.values:
                share, most = 1.0, FARTHEST_PULL
            # Who paints all by itself has its surfaces where it likes, but for a flat lay.
            laid = whole or own is not None or built.plan.rests == LIES
            if not whole and laid:
                small = pulled(small, built.expected, area, share, most)
            large = self._large(built, small, start, size, whole=whole, own=own)
            kept, product, relight = self._lit(shot, canvas, small, area, built)
            large = built.mirrored(large, product, placed.alpha)
        with clock("compose"):
            placed = (
                placed
                if relight is None
                else Placed.of(placed.frame, kept, shot.cut.alpha, product)
            )
            picture = grained(to_srgb(large), shot.grain, drawn)
            contact = built.contact(placed.alpha) if not source.casts_shadows or whole else None
            pixels = compose(picture, placed, contact, self.settings.light_wrap)
            recipe = self._recipe(shot, style, seed, attempt, source)
            recipe["rests"] = built.plan.rests
            if relight is not None:
                recipe["relight"] = relight.as_dict()
            if self.marker is not None:
                payload = digest_of(recipe)[:_PAYLOAD]
                recipe["watermark"] = payload
                pixels = self.marker.mark(pixels, placed.alpha, bytes.fromhex(payload))
        with clock("gate"):
            frame, alpha = placed.frame, shot.cut.alpha
            look = Look(pixels, placed.alpha)
            report = compare_product(pixels, kept, alpha, frame, look)
            scores = picture_scores(
                look,
                placed,
                report,
                shot.cut.confidence,
                built.plan.rests,
                cut_out=shot.photo.cut_out,
            )
            text = _text_area(pixels, self.settings.layout, frame)
            scores |= {} if text is None else {"text_contrast": text.contrast}
            known = source.training_pictures()
            scores |= plate_scores(small, start.srgb, built.expected, area, known)
            if not laid:
                scores.pop("colour_error")
            scores |= sharpness_scores(pixels, placed.alpha, built) if laid else {}
            scores |= self._style_scores(pixels, placed.alpha, style, source, built.plan.tells)
            gate = judge(scores, self.settings.rules)
        with clock("encode"):
            png = png_bytes(pixels, {VARIANT_KEY: json.dumps(recipe, sort_keys=True)})
            certificate = certify(
                png,
                shot.photo,
                alpha,
                frame,
                report,
                recipe=recipe,
                gate=scores,
                relight=relight,
                text=text,
            )
        return Variant(png, pixels, certificate, shot.cut, gate, style, seed, dict(clock.seconds))

    def _canvas(self, shot: Shot, style: Style, source: BackdropSource) -> Canvas:
        return shot.canvas(style.values.get("framing", "centred"), self.settings.layout, source)

    def _plan(
        self,
        canvas: Canvas,
        style: Style,
        asked: tuple[float, float, float],
        surface: str | None,
        drawn: int,
    ) -> Plan:
        """The set a style asks for. A brand's colour is shown as it is, in no photo's light."""
        subject = canvas.subject
        if "colour" in style.values:
            subject = replace(subject, taken=Taken(side=subject.taken.side))
        made = Plan.of(subject, style.values, self.materials, asked, surface, drawn)
        return made if self.settings.layout.text is None else replace(made, calm=_CALM)

    def _large(
        self,
        built: SceneSet,
        small: NDArray[np.float32],
        start: Layer,
        size: tuple[int, int],
        *,
        whole: bool,
        own: str | None,
    ) -> NDArray[np.float32]:
        """A plate at the canvas's size, linear light; of the largest canvases a part of it."""
        if not whole and own is None:
            return enlarged(small, size)
        scale = min(1.0, (_MOST_DRAWN / (size[0] * size[1])) ** 0.5)
        at = max(1, round(scale * size[0])), max(1, round(scale * size[1]))
        full = built.draw(*at)
        large = full.linear if whole else completed(small, start, full, self.settings.painted)
        if at != size:
            large = cv2.resize(large, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
        return np.asarray(large, dtype=np.float32)

    def _lit(
        self,
        shot: Shot,
        canvas: Canvas,
        plate: NDArray[np.float32],
        area: NDArray[np.float32],
        built: SceneSet,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Relight | None]:
        """The photo the product is to equal, the product on its canvas, and the light on both."""
        if self.settings.relight == 0.0:
            return shot.photo.pixels, canvas.placed.product, None
        frame = canvas.placed.frame
        side, alpha = self.settings.relight_from, shot.cut.alpha
        relight = Relight.of(self.settings.relight, plate, area, built.plan.light, side)
        product = relight.on(shot.product, frame, alpha)
        return relight.on(shot.photo.pixels, frame, alpha), product, relight

    def _style_scores(
        self,
        pixels: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
        style: Style,
        source: BackdropSource,
        tells: tuple[str, ...],
    ) -> dict[str, float]:
        surface = style.values.get("surface")
        if self.judge is None or surface not in self.judge.values("surface"):
            return {}  # of a material it was not taught it can say nothing
        if style.values.get("season", "none") != "none":
            return {}  # nor of a season, whose light colours everything
        shows = {name for name in source.shows if name in tells}
        seen = {name: value for name, value in style.values.items() if name in shows}
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
        asked["relight_from"] = mine.relight_from
        unusual = {name: value for name, value in asked.items() if value}
        told = shot.photo.about.as_dict()
        return ({"settings": unusual} if unusual else {}) | {
            "photo": shot.photo.digest,
            "style": style.key,
            "seed": seed,
            "attempt": attempt,
            "renderer": shot.renderer,
            "backdrops": source.name,
            "checkpoint": source.fingerprint(),
            "mask": shot.cut.source,
            **({} if self.chooser is None else {"chooser": self.chooser.fingerprint()}),
            **getattr(source, "recipe", {}),
            "stands": shot.stands.as_dict(),
            **({"told": told} if told else {}),
            "version": __version__,
        }


def _text_area(pixels: NDArray[np.uint8], layout: Layout, frame: Frame) -> TextArea | None:
    box = layout.text_box(frame)
    return None if box is None else TextArea.of(pixels, box)


def _drawn(seed: int, attempt: int) -> int:
    """The seed of an attempt: the first is as asked, the others depend on it."""
    return seed if attempt == 0 else int(uniform("attempt", str(seed), str(attempt)) * 2**53)
