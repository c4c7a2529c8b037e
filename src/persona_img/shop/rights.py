"""What may be made and shown: licences of all that pictures are made of, and the brand's rules."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_img.domain.brand import Brand
from persona_img.errors import InvalidInput
from persona_img.provenance.licences import UNKNOWN
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from typing import Any

    from persona_img.domain.variant import VariantRecord
    from persona_img.provenance.licences import Input, Licences, Use, Whole

_SHIPPED = "Apache-2.0"
"""Licence of the checkpoint that comes with the package."""
_MATERIALS = "CC0-1.0"
"""Licence of the materials that come with it."""
_OWN = "own"
_CARD = "as its card says"
_LOG = logging.getLogger(__name__)
_SHOWN = 10


class Rights(Stores):
    """Licences and brand of one shop."""

    @property
    def licences(self) -> Licences:
        """Its inputs, as ``licences.toml`` in its folder lists them now.

        Raises:
            InvalidInput: the file breaks a rule.
        """
        from persona_img.provenance.licences import Licences

        return Licences.load(self.workspace.licences)

    @property
    def brand(self) -> Brand:
        """Its rules, as ``brand.toml`` in its folder has them now.

        Raises:
            InvalidInput: the file breaks a rule.
        """
        return Brand.load(self.workspace.brand)

    def refusals(self, use: Use = "web", *, today: date | None = None) -> list[str]:
        """Why something may not be used now, each by name; empty where all may.

        Args:
            use: What pictures are for.
            today: The day; None for today (UTC).
        """
        day, listed = today or datetime.now(UTC).date(), self.licences
        return [*self._photos_refused(listed, use, day), *self._others_refused(listed, use, day)]

    def check_rights(self) -> None:
        """Refuse to make pictures of what may not be used.

        Without a ``licences.toml`` no photo is refused for what the products' table says of it.

        Raises:
            InvalidInput: with the first reasons, each by name.
        """
        day, listed = datetime.now(UTC).date(), self.licences
        photos = self._photos_refused(listed, "web", day)
        found = self._others_refused(listed, "web", day)
        if self.workspace.licences.exists():
            found = [*photos, *found]
        else:
            for reason in photos:
                _LOG.warning("%s; rendered all the same, without a licences.toml", reason)
        if found:
            lines = [
                *found[:_SHOWN],
                *([f"and {len(found) - _SHOWN} more"] * (len(found) > _SHOWN)),
            ]
            raise InvalidInput("nothing was rendered:\n  " + "\n  ".join(lines))

    def licence_of(self, record: VariantRecord) -> Whole:
        """A variant's licence, by all that it was made of.

        Its recipe does not name a shop's own materials, checkpoint or adapter: those that the
        settings name now count, besides the shipped ones.

        Args:
            record: Of a stored variant.
        """
        from persona_img.provenance.licences import whole

        listed, recipe = self.licences, record.certificate.recipe
        parts = [self._photo(listed, record)]
        source = str(recipe.get("backdrops", ""))
        if source in ("library", "diffusion", "pretrained"):
            parts += [listed.of("materials", "shipped", _MATERIALS), *self._own_materials(listed)]
        if source == "diffusion":
            parts += [listed.of("checkpoint", "shipped", _SHIPPED), *self._own_model(listed)]
        if source == "pretrained":
            told = recipe.get("pretrained", {})
            model = str(told.get("model", UNKNOWN))
            parts.append(self._model(listed, model, str(recipe.get("licence", UNKNOWN))))
            parts += _worn(listed, told)
        return whole(parts)

    def _photo(self, listed: Licences, record: VariantRecord) -> Input:
        """The photograph that a variant shows, which need not be its product's any more."""
        product = None
        if self.workspace.catalog.exists() and record.product in self.catalog:
            product = self.catalog[record.product]
        if product is None:
            return listed.of("photo", record.product, UNKNOWN)
        if product.photo_digest and product.photo_digest != record.certificate.photo:
            from persona_img.provenance.licences import Input

            name = f"{record.product}, of before"
            return Input.model_construct(kind="photo", name=name, licence=UNKNOWN)
        return listed.of("photo", record.product, product.licence)

    def _own_materials(self, listed: Licences) -> list[Input]:
        own = self.settings.render.materials
        return [] if own is None else [listed.of("materials", str(own), _OWN)]

    def _own_model(self, listed: Licences) -> list[Input]:
        render, found = self.settings.render, []
        if render.checkpoint != type(render)().checkpoint:
            found.append(listed.of("checkpoint", str(render.checkpoint), _OWN))
        if render.adapter is not None:
            found.append(listed.of("adapter", str(render.adapter), _OWN))
        return found

    def _photos_refused(self, listed: Licences, use: Use, day: date) -> list[str]:
        parts = (listed.of("photo", one.product, one.licence) for one in self.catalog.on_offer)
        return [reason for one in parts if (reason := one.refused(use, day))]

    def _others_refused(self, listed: Licences, use: Use, day: date) -> list[str]:
        found = [reason for one in self._makers(listed) if (reason := one.refused(use, day))]
        brand = self.brand
        told = {"pretrained.prompt": self.settings.pretrained.prompt,
                "pretrained.product": self.settings.pretrained.product}  # fmt: skip
        told |= {f"title of product {p.product!r}": p.title for p in self.catalog.on_offer}
        for where, text in told.items():
            word = brand.word_in(text)
            if word is not None:
                found.append(f"{where}: brand.toml forbids the word {word!r}; say it otherwise")
        return found

    def _model(self, listed: Licences, model: str, licence: str) -> Input:
        one, chosen = listed.of("model", model, licence), self.settings.pretrained
        if chosen.accept_licence and chosen.model == model and not one.proof:
            one = one.model_copy(update={"proof": "pretrained.accept_licence"})
        return one

    def _makers(self, listed: Licences) -> list[Input]:
        """What paints and what cuts products out, as the settings say."""
        render, mask = self.settings.render, self.settings.mask
        found = self._own_materials(listed) or [listed.of("materials", "shipped", _MATERIALS)]
        if render.backdrops == "diffusion":
            found += self._own_model(listed)
            if render.checkpoint == type(render)().checkpoint:
                found.append(listed.of("checkpoint", "shipped", _SHIPPED))
        model = self.settings.pretrained.model
        if render.backdrops == "pretrained" and model is not None:
            from persona_img.rendering.sources.pretrained.licences import known_licence

            known = known_licence(model)
            found.append(self._model(listed, model, _CARD if known is None else known.name))
            found += _worn(listed, self.settings.pretrained.model_dump())
        if mask.masker in ("transformers", "onnx") and mask.model is not None:
            found.append(listed.of("model", mask.model, _CARD))
        return found


def _worn(listed: Licences, pretrained: Mapping[str, Any]) -> list[Input]:
    """What a model wears, and the picture whose look it takes over."""
    ip = pretrained.get("ip_adapter") or (None,)
    names = (pretrained.get("lora"), pretrained.get("controlnet"), ip[0])
    found = [listed.of("adapter", str(name), _CARD) for name in names if name is not None]
    if pretrained.get("look") is not None:
        found.append(listed.of("photo", str(pretrained["look"]), _OWN))
    return found
