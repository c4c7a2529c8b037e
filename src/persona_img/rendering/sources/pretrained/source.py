"""Backdrops by any pretrained inpainting pipeline of diffusers, by id or path.

A style, a scene and the product's own words become a prompt; the family of the model
(:mod:`.families`) says how it is asked. What the models are shown is the product on bare ground
without any shadow, at the size they were trained on; shadows are theirs to paint. What they make of
the product itself is thrown away, for the photograph is pasted over it.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.digest import digest_of
from persona_img.errors import UnknownStyle
from persona_img.imaging.backdrop import without_product
from persona_img.imaging.colour import lab_of
from persona_img.imaging.cutout import as_shown
from persona_img.rendering.sources.pretrained import loading, silhouette
from persona_img.rendering.sources.pretrained.bare import bare_ground, pasted, resized
from persona_img.rendering.sources.pretrained.families import family_of, is_distilled
from persona_img.rendering.sources.pretrained.licences import (
    Licence,
    check_accepted,
    known_licence,
    licence_of,
)
from persona_img.rendering.sources.pretrained.painting import Painter
from persona_img.rendering.sources.pretrained.prompts import (
    lab_of_surface,
    prompt_of,
    unwanted,
    words,
)
from persona_img.rendering.sources.pretrained.settings import PretrainedSettings
from persona_img.scenery.materials import colour_asked, materials_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from persona_img.imaging.copies import CopyIndex
    from persona_img.rendering.sources.pretrained.family import Family

_LEAST_SIDE = 64  # smallest side of a plate
_WHERE = ("accept_licence", "device", "memory")
"""Settings that say where and by whom, and change no plate."""


class PretrainedBackdrops:
    """Plates from a pretrained pipeline.

    Nothing large is read before the first plate. A plate has the canvas's own size where that is
    smaller than what the model was trained on: it is painted large and brought back.

    Args:
        model: Id on a hub, or a folder in diffusers format.
        settings: How it paints; None is what suits the model's family.
        materials: Folder of materials; None is the shipped one.

    Raises:
        InvalidInput: a licence that nobody accepted, or what the family does not know.
        NotFound: a folder without a pipeline.
    """

    name = "pretrained"
    shows: tuple[str, ...] = ("surface", "palette", "light", "scene")
    casts_shadows = True
    """The model paints every shadow of the product, the one where it touches the ground too: a
    renderer that drew its own would show two."""

    def __init__(
        self,
        model: str | Path,
        settings: PretrainedSettings | None = None,
        materials: Path | None = None,
    ) -> None:
        self.model, self.settings = str(model), settings or PretrainedSettings()
        self.materials = materials_of(materials)
        self._painting = threading.Lock()
        # A folder, or an id that is in the table, is judged before any photo is cut out.
        if Path(self.model).is_dir():
            self._check()
        elif (known := known_licence(self.model)) is not None:
            check_accepted(self.model, known, accepted=self.settings.accept_licence)

    @cached_property
    def index(self) -> Mapping[str, Any]:
        """The model's ``model_index.json``."""
        return loading.index_of(self.model, self.settings.revision)

    @cached_property
    def family(self) -> Family:
        """How the model is called; see :mod:`.families`."""
        family = family_of(str(self.index.get("_class_name", "")))
        if self.settings.mode == "image":  # painted over as a whole, whatever the family
            return replace(family, mask="mask_image", strength=True)
        return family.steered() if self.settings.controlnet is not None else family

    @cached_property
    def licence(self) -> Licence:
        """Under which licence the model may be used."""
        card = loading.card_of(self.model, self.settings.revision)
        return licence_of(self.model, self.family.licence, card)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What a variant's recipe should tell besides the fingerprint: licence, model, settings.

        ``pretrained`` is the settings' group of that name, as far as it is unusual. Whether
        somebody accepted the licence is not in it: whoever makes a variant again answers for it.
        """
        mine = {f.name: getattr(self.settings, f.name) for f in fields(self.settings)}
        usual = {f.name: f.default for f in fields(self.settings)}
        told = {n: v for n, v in mine.items() if v != usual[n] and n not in _WHERE}
        if "look" in told:
            told["look"] = str(told["look"])
        return {"licence": self.licence.name, "pretrained": {"model": self.model, **told}}

    def fingerprint(self) -> str:
        """Hex digest of the model's name and revision, the words and all that plates depend on.

        Not of its weights, which are gigabytes: give a commit as ``revision``.
        """
        mine = asdict(self.settings)
        for where in _WHERE:
            mine.pop(where)
        seen = self.settings.look
        mine["look"] = None if seen is None else digest_of(seen.read_bytes().hex())
        mine["dtype"] = str(loading.dtype_of(self.settings))
        return digest_of(["pretrained-3", self.model, mine, words(), self.materials.fingerprint()])

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The canvas's own shape where the model paints larger, else what the model paints."""
        tall, wide = self.family.fit(height, width, self._side)
        if tall * wide <= height * width:
            return tall, wide
        scale = max(1.0, _LEAST_SIDE / min(height, width))
        return round(scale * height), round(scale * width)

    def colour(self, style: Mapping[str, str]) -> tuple[float, float, float]:
        """Lab of the material, or of a surface that has words alone.

        Raises:
            UnknownStyle: a value that has neither.
        """
        try:
            return colour_asked(style, self.materials)
        except UnknownStyle:
            lab = lab_of_surface(style.get("surface", ""))
            if lab is None:
                raise
            if "colour" in style:
                return lab_of(style["colour"])
            prompt_of(style)  # every other value must have words
            return lab

    def material(self, style: Mapping[str, str]) -> str | None:
        """None: it paints its own."""
        return None

    def plates(
        self,
        product: NDArray[np.uint8],
        mask: NDArray[np.float32],
        styles: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        starts: Sequence[NDArray[np.float32] | None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """One plate per style; the same bytes on the same machine.

        A start holds the product's shadow, so it is used only where it is wanted, at a strength
        below 1; a new backdrop begins with bare ground of its own.
        """
        mine, size = self.settings, self.family.fit(mask.shape[0], mask.shape[1], self._side)
        begin = starts if starts is not None and mine.share < 1.0 else [None] * len(styles)
        prompts = [self._prompt(style) for style in styles]
        large = resized(product.astype(np.float32) / np.float32(255), size)
        cut = resized(mask, size)
        each = mine.batch if self.family.batch else 1
        plates: list[NDArray[np.float32]] = []
        for i in range(0, len(styles), each):
            part = slice(i, i + each)
            shown = [
                pasted(resized(self._begun(mask, style, seed, start), size), large, cut)
                for style, seed, start in zip(styles[part], seeds[part], begin[part], strict=True)
            ]
            with self._painting:  # a pipeline keeps its place in the schedule: one at a time
                made = self._painted(shown, large, cut, prompts[part], seeds[part])
            plates += [self._finished(one, mask) for one in made]
        return plates

    def training_pictures(self) -> CopyIndex | None:
        """None: what it learned from is not at hand."""
        return None

    def _prompt(self, style: Mapping[str, str]) -> str:
        return prompt_of(
            style,
            product=self.settings.product,
            extra=self.settings.prompt,
            form=self.family.form,
            materials=self.materials.surfaces,
        )

    def _begun(
        self,
        mask: NDArray[np.float32],
        style: Mapping[str, str],
        seed: int,
        start: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        if start is not None:
            return start
        return bare_ground(self.materials, mask, style, seed, self.colour(style))

    def _painted(
        self,
        shown: Sequence[NDArray[np.float32]],
        product: NDArray[np.float32],
        mask: NDArray[np.float32],
        prompts: Sequence[str],
        seeds: Sequence[int],
    ) -> list[NDArray[np.float32]]:
        """The backdrop, and then the band around the product; see :mod:`.silhouette`."""
        mine, not_wanted = self.settings, unwanted(self.settings.negative)
        banded = mine.band > 0 and mine.mode == "inpaint" and self._painter.goes_on
        band = mine.band if banded else 0.0
        keep = silhouette.kept(mask, band)
        made = self._painter.paint(shown, 1 - keep, prompts, not_wanted, seeds, mine.share)
        if not banded:
            return made
        # The band is bare ground: what was painted around it goes on, up to the product.
        first = [pasted(without_product(one, keep), product, mask) for one in made]
        free = silhouette.beside(mask, band)
        again = self._painter.paint(
            first, free, prompts, not_wanted, seeds, silhouette.BAND_STRENGTH
        )
        share = silhouette.share_of_second(mask, band)[..., None]
        return [a + share * (b - a) for a, b in zip(first, again, strict=True)]

    def _finished(
        self, made: NDArray[np.float32], mask: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        # Eight bits: what differs between machines lies below them.
        small = resized(np.nan_to_num(made), mask.shape)
        levels = np.round(np.clip(small, 0, 1) * 255) / 255
        return without_product(levels.astype(np.float32), mask)

    @cached_property
    def _side(self) -> int:
        if self.settings.side is not None:
            return self.settings.side
        return loading.trained_side(self.model, self.settings.revision, self.family)

    @cached_property
    def _painter(self) -> Painter:
        self._check()
        return Painter(
            loading.load(self.model, self.family, self.settings),
            self.family,
            self.settings,
            distilled=is_distilled(self.model, self.index),
            look=self._look(),
        )

    def _look(self) -> Image.Image | None:
        """The picture whose look is taken over, no larger than what the model paints."""
        if self.settings.look is None:
            return None
        picture = as_shown(self.settings.look)
        if picture.width * picture.height > self._side**2:
            tall, wide = self.family.fit(picture.height, picture.width, self._side)
            return picture.resize((wide, tall))
        return picture

    def _check(self) -> None:
        """Refuse what the model may not do, or what its family does not hear."""
        check_accepted(self.model, self.licence, accepted=self.settings.accept_licence)
        quick = is_distilled(self.model, self.index)
        self.settings.check_heard(self.family, self.family.usual(distilled=quick)[1])
