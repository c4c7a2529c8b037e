"""What may be made and shown: licences of all that pictures are made of, and the brand's rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_img.domain.brand import Brand
from persona_img.errors import InvalidInput
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from datetime import date

    from persona_img.domain.variant import VariantRecord
    from persona_img.provenance.licences import Input, Licences, Use, Whole

_SHIPPED = "Apache-2.0"
"""Licence of the checkpoint that comes with the package."""
_MATERIALS = "CC0-1.0"
"""Licence of the materials that come with it."""
_OWN = "own"
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
        """Why nothing may be prepared now, each by name; empty where it may.

        Args:
            use: What pictures are for.
            today: The day; None for today (UTC).
        """
        day, listed = today or datetime.now(UTC).date(), self.licences
        products = self.catalog.on_offer
        parts = [listed.of("photo", one.product, one.licence) for one in products]
        found = [one.refused(use, day) for one in (*parts, *self._makers(listed))]
        brand = self.brand
        told = {"pretrained.prompt": self.settings.pretrained.prompt,
                "pretrained.product": self.settings.pretrained.product}  # fmt: skip
        told |= {f"title of product {one.product!r}": one.title for one in products}
        for where, text in told.items():
            word = brand.word_in(text)
            if word is not None:
                found.append(f"{where}: brand.toml forbids the word {word!r}; say it otherwise")
        return [reason for reason in found if reason]

    def check_rights(self) -> None:
        """Refuse to make pictures of what may not be used.

        Raises:
            InvalidInput: with the first reasons, each by name.
        """
        found = self.refusals()
        if found:
            lines = [
                *found[:_SHOWN],
                *([f"and {len(found) - _SHOWN} more"] * (len(found) > _SHOWN)),
            ]
            raise InvalidInput("nothing was rendered:\n  " + "\n  ".join(lines))

    def licence_of(self, record: VariantRecord) -> Whole:
        """A variant's licence, by all that it was made of.

        Args:
            record: Of a stored variant.
        """
        from persona_img.provenance.licences import whole

        listed, recipe = self.licences, record.certificate.recipe
        own = "unknown"
        if self.workspace.catalog.exists() and record.product in self.catalog:
            own = self.catalog[record.product].licence
        parts = [listed.of("photo", record.product, own)]
        source = str(recipe.get("backdrops", ""))
        if source in ("library", "diffusion"):
            parts.append(listed.of("materials", "shipped", _MATERIALS))
        if source == "diffusion":
            parts.append(listed.of("checkpoint", "shipped", _SHIPPED))
        if source == "pretrained":
            model = str(recipe.get("pretrained", {}).get("model", "unknown"))
            parts.append(listed.of("model", model, str(recipe.get("licence", "unknown"))))
        return whole(parts)

    def _makers(self, listed: Licences) -> list[Input]:
        """What paints, as the settings say."""
        render, found = self.settings.render, []
        own = render.materials is not None
        name = str(render.materials) if own else "shipped"
        found.append(listed.of("materials", name, _OWN if own else _MATERIALS))
        if render.backdrops == "diffusion":
            own = render.checkpoint != type(render)().checkpoint
            name = str(render.checkpoint) if own else "shipped"
            found.append(listed.of("checkpoint", name, _OWN if own else _SHIPPED))
            if render.adapter is not None:
                found.append(listed.of("adapter", str(render.adapter), _OWN))
        model = self.settings.pretrained.model
        if render.backdrops == "pretrained" and model is not None:
            from persona_img.rendering.sources.pretrained.licences import known_licence

            known = known_licence(model)
            licence = "as its card says" if known is None else known.name
            one = listed.of("model", model, licence)
            if self.settings.pretrained.accept_licence and not one.proof:
                one = one.model_copy(update={"proof": "pretrained.accept_licence"})
            found.append(one)
        return found
