"""What pages load: renditions of variants and of photos, made before anybody asks."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.errors import PersonaImgError
from persona_img.shop.claims import Claims
from persona_img.shop.rights import Rights

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from persona_img.domain.catalog import Catalog, Product
    from persona_img.variants.marking import Marking
    from persona_img.variants.renditions import RenditionStore

_LOG = logging.getLogger(__name__)


class Pages(Claims, Rights):
    """Renditions, of masters that a certificate or the catalogue names."""

    @cached_property
    def renditions(self) -> RenditionStore:
        """What pages load of variants and photos."""
        from persona_img.variants.renditions import RenditionStore

        return RenditionStore(
            self.variants.folder / "renditions",
            self.settings.serve.widths,
            marking=self.marking,
        )

    @cached_property
    def marking(self) -> Marking:
        """What pictures that leave the shop say of where they come from.

        Where the keys of ``provenance.keys`` cannot be used it signs nothing, with a line in the
        log: what was signed before stays so, and pages are served.
        """
        try:
            return wiring.marking(self.settings, self.variants, self._products)
        except PersonaImgError as error:
            _LOG.error("nothing is signed: %s", error)
            return wiring.marking(self.settings, self.variants, self._products, signed=False)

    def _products(self) -> Catalog | None:
        return self.live_catalog() if self.workspace.catalog.exists() else None

    def shown_path(self, digest: str) -> Path:
        """What is sent of an approved variant without loss: its signed copy, where there is one.

        Raises:
            NotFound: no such variant, or it is not approved.
        """
        plain = self.variants.servable_path(digest)
        return self.renditions.signed_master(digest) or plain

    def make_renditions(
        self, digests: Iterable[str], products: Iterable[Product] = (), *, by: str = "prepare"
    ) -> int:
        """Make what pages load of variants, and of products' photos, where it is not there.

        What cannot be made is left out, with a line in the log: pages then load the picture itself.

        Args:
            digests: Of stored variants.
            products: Of those the photos; one whose table does not tell a digest has none.
            by: Who takes the variants into the registry of pictures.

        Returns:
            How many pictures there are renditions of now.
        """
        digests = list(digests)
        try:
            self.claim_variants(digests, by=by)
        except (PersonaImgError, OSError) as error:
            _LOG.warning("not taken into the registry of pictures: %s", error)
        masters = [(digest, self.variants.path(digest), "variant") for digest in digests]
        masters += [(p.photo_digest, p.photo, "photo") for p in products if p.photo_digest]

        def make(master: tuple[str, Path, str]) -> bool:
            try:
                self.renditions.make(*master)
            except (PersonaImgError, ValueError, OSError) as error:
                _LOG.warning("no renditions of %s: %s", master[0], error)
                return False
            return True

        # Encoders leave other threads alone; the bytes do not depend on how many there are.
        with ThreadPoolExecutor(self.settings.render.workers) as pool:
            return sum(pool.map(make, dict.fromkeys(masters)))
