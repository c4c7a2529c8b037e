"""Whose pictures there are: the registry of photos and variants, and who may add one."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.domain.digest import digest_of
from persona_img.errors import StoreConflict
from persona_img.imaging.photo import load_photo
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.domain.catalog import Product
    from persona_img.provenance.fingerprint import Fingerprint
    from persona_img.provenance.registry import Near, Registry

_LOG = logging.getLogger(__name__)
_NOT_INSTALLED = "fingerprints are not installed: pip install 'persona-img[fingerprints]'"


class Claims(Stores):
    """Pictures that are taken in, each with its owner."""

    @cached_property
    def registry(self) -> Registry:
        """Which pictures there are, and whose."""
        return wiring.registry(self.workspace)

    def check_owners(self, photos: Iterable[tuple[str, Path, str]]) -> None:
        """Refuse photos that are near copies of somebody else's picture.

        Where fingerprints are not installed nothing is refused, with a line in the log.

        Args:
            photos: Product, file, and whose it is said to be: the product's ``credit``.

        Raises:
            StoreConflict: the first such photo, and whose picture it is.
        """
        if not len(self.registry):
            return
        for product, file, owner in photos:
            try:
                self.registry.check_own(load_photo(file).pixels, product, owner)
            except StoreConflict as refused:
                raise StoreConflict(f"product {product!r}: {refused}; nothing was added") from None
            except ImportError:
                _LOG.warning(_NOT_INSTALLED)
                return

    def claim_photos(self, products: Iterable[Product], *, by: str) -> int:
        """Take products' photos into the registry, each as its owner's.

        Args:
            products: Of the catalogue.
            by: Who takes them in.

        Returns:
            How many were new.
        """
        from persona_img.provenance.registry import Entry

        now = datetime.now(UTC)

        def entry(one: Product) -> Entry:
            photo = load_photo(one.photo)
            told = _fingerprint(photo.pixels)
            who = one.credit, one.licence, now, by
            return Entry(photo.digest, "photo", one.product, *who, fingerprint=told)

        with ThreadPoolExecutor(self.settings.render.workers) as pool:
            return self.registry.add(list(pool.map(entry, products)))

    def near(self, pixels: NDArray[np.uint8]) -> tuple[Near, ...]:
        """Pictures of the registry that one may be a copy of, the nearest first.

        Args:
            pixels: uint8 sRGB (H, W, 3).
        """
        try:
            return tuple(self.registry.near(pixels))
        except ImportError:
            _LOG.warning(_NOT_INSTALLED)
            return ()

    def claim_variants(self, digests: Iterable[str], *, by: str) -> int:
        """Take stored variants into the registry, as their photos' owners'.

        Args:
            digests: Of stored variants.
            by: Who takes them in.

        Returns:
            How many were new.
        """
        from persona_img.provenance.registry import Entry

        catalog = self.live_catalog() if self.workspace.catalog.exists() else None
        now = datetime.now(UTC)
        known = self.registry.digests()
        entries = []
        for digest in dict.fromkeys(digests):
            if digest in known:
                continue
            record = self.variants.get(digest)
            pixels, _ = self.variants.picture(digest)
            product = None
            if catalog is not None and record.product in catalog:
                product = catalog[record.product]
            recipe = record.certificate.recipe
            entries.append(
                Entry(
                    digest=digest,
                    kind="variant",
                    product=record.product,
                    owner="" if product is None else product.credit,
                    licence="" if product is None else product.licence,
                    at=now,
                    by=by,
                    recipe=digest_of(dict(recipe)),
                    payload=recipe.get("watermark"),
                    fingerprint=_fingerprint(pixels),
                )
            )
        return self.registry.add(entries)


def _fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint | None:
    from persona_img.provenance.fingerprint import fingerprint

    try:
        return fingerprint(pixels)
    except ImportError:
        return None
