"""Rendered variants on disk: files named by their digest, an index in SQLite.

A variant is three files, each written whole or not at all, and then one row. What a crash leaves
is at worst a file without a row, which the next ``put`` of the same recipe writes again. Whether a
variant may be served is the ledger's word, beside the index.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from persona_img.domain.digest import digest_of
from persona_img.domain.style import Style
from persona_img.domain.variant import Certificate, VariantRecord
from persona_img.errors import InvalidInput, NotFound
from persona_img.imaging.frame import Frame
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import png_bytes, write_together
from persona_img.rendering.proof.certificate import certificate_path, mask_path
from persona_img.variants.database import Database
from persona_img.variants.ledger import STATE, Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from persona_img.rendering.base import Variant

_RECORD = f"""
SELECT shown.product, variants.digest, variants.style, certificate, {STATE}
FROM shown JOIN variants ON variants.digest = shown.digest
"""
_LEAST_PREFIX = 4


def write_variant(variant: Variant, folder: str | Path, name: str) -> dict[str, Path]:
    """Write a variant with its mask and certificate, the variant last: all three, or none.

    Args:
        variant: What to write.
        folder: Where to; made if it is not there.
        name: Of the files, without suffix: ``x`` gives ``x.png``, ``x.mask.png``, ``x.json``.

    Returns:
        Paths by ``variant``, ``mask`` and ``certificate``.

    Raises:
        InvalidInput: the folder cannot be written to.
    """
    path = Path(folder) / f"{name}.png"
    text = json.dumps(variant.certificate.as_dict(), indent=1, sort_keys=True) + "\n"
    files = {"mask": mask_path(path), "certificate": certificate_path(path), "variant": path}
    parts = (png_bytes(variant.mask.alpha), text.encode(), variant.png)
    write_together(dict(zip(files.values(), parts, strict=True)))
    return files


def photo_key(photo: str, mask: str | None, told: Mapping[str, object] | None = None) -> str:
    """Names what a variant is made of: the photograph, the mask that came with it, what was told.

    Args:
        photo: Digest of the photograph's pixels.
        mask: Digest of the supplied mask's; None where the product is cut out.
        told: What a person told of the product, see ``imaging.photo.About``; None for nothing.
    """
    parts = [part for part in (mask, dict(told) if told else None) if part is not None]
    return digest_of([photo, *parts]) if parts else photo


def recipe_key(photo: str, style: Style, seed: int, fingerprint: str) -> str:
    """Name of everything a variant depends on, hex.

    Args:
        photo: See :func:`photo_key`.
        style: Style asked for.
        seed: Seed asked for.
        fingerprint: Of the renderer.
    """
    return digest_of([photo, style.key, seed, fingerprint])


class VariantStore:
    """Variants by digest.

    A store of before the ledger is brought up to date when it is opened: what was approved stays
    approved, what was not waits, withdrawn, for a person.

    Args:
        folder: Where they live; made if it is not there.

    Attributes:
        ledger: Who approved and withdrew what, and so what may be served.

    Raises:
        InvalidInput: the folder cannot be written to.
        StoreConflict: a newer version of persona-img wrote it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"{folder}: no variant store can be kept here ({error}); choose another folder"
            ) from error
        self._database = Database(self.folder / "variants.sqlite")
        self.ledger = Ledger(self._database)

    def put(self, variant: Variant, product: str) -> VariantRecord:
        """Store a variant of a product, proposed; storing it again changes nothing.

        Raises:
            InvalidInput: the variant did not pass its gate, or its product is changed.
        """
        certificate = variant.certificate
        if not variant.gate.passed or not certificate.product_kept:
            reasons = "; ".join(variant.gate.reasons) or "the product is changed"
            raise InvalidInput(f"variant {variant.digest[:12]} is not for the store: {reasons}")
        recipe = certificate.recipe
        supplied = certificate.mask if recipe["mask"] == "supplied" else None
        made_of = photo_key(certificate.photo, supplied, recipe.get("told"))
        key = recipe_key(made_of, variant.style, variant.seed, str(recipe["renderer"]))
        write_variant(variant, self.path(variant.digest).parent, variant.digest)
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO variants (digest, recipe, style, certificate) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (variant.digest, key, variant.style.key, json.dumps(certificate.as_dict())),
            )
            db.execute(
                "INSERT INTO shown (product, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (product, variant.digest),
            )
        return self.get(variant.digest, product)

    def find(self, photo: str, style: Style, seed: int, fingerprint: str) -> VariantRecord | None:
        """The variant this recipe already gave; None where it has to be rendered.

        Args:
            photo: See :func:`photo_key`.
            style: Style wanted.
            seed: Seed wanted.
            fingerprint: Of the renderer.
        """
        found = self._records("WHERE recipe = ?", (recipe_key(photo, style, seed, fingerprint),))
        kept = (record for record in found if self.path(record.digest).exists())
        return next(kept, None)

    def show(self, digest: str, product: str) -> VariantRecord:
        """Note that a stored variant also shows this product (the same photo, listed twice)."""
        with self._database.writing() as db:
            if not db.execute("SELECT 1 FROM variants WHERE digest = ?", (digest,)).fetchone():
                raise NotFound(f"variant {digest!r} is not in {self.folder}")
            db.execute(
                "INSERT INTO shown (product, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (product, digest),
            )
        return self.get(digest, product)

    def get(self, digest: str, product: str | None = None) -> VariantRecord:
        """A variant's record, for one of its products or the first by name.

        Raises:
            NotFound: no such variant, or it does not show this product.
        """
        where = "WHERE variants.digest = ?" + (" AND product = ?" if product is not None else "")
        rows = self._records(where, (digest,) if product is None else (digest, product))
        if not rows:
            shown = "" if product is None else f" for product {product!r}"
            raise NotFound(f"variant {digest!r}{shown} is not in {self.folder}")
        return rows[0]

    def resolve(self, prefix: str) -> str:
        """The digest that begins like this.

        Args:
            prefix: At least four of its hexadecimal digits, in any case.

        Raises:
            InvalidInput: fewer, other letters, or the beginning of several digests.
            NotFound: no variant's digest begins like this.
        """
        start = prefix.strip().lower()
        if not re.fullmatch(f"[0-9a-f]{{{_LEAST_PREFIX},64}}", start):
            raise InvalidInput(
                f"digest {prefix!r}: give at least {_LEAST_PREFIX} of its hexadecimal digits"
            )
        with self._database.reading() as db:
            found = db.execute(
                "SELECT digest FROM variants WHERE digest BETWEEN ? AND ? LIMIT 3",
                (start, start + "g"),
            ).fetchall()
        if not found:
            raise NotFound(
                f"variant {prefix!r} is not in {self.folder}; see `persona-img variants list`"
            )
        if len(found) > 1:
            some = ", ".join(row[0][: len(start) + 6] for row in found)
            raise InvalidInput(f"digest {prefix!r} begins several, e.g. {some}; give more of it")
        return str(found[0][0])

    def path(self, digest: str) -> Path:
        """Where a variant's PNG lies, whether or not it is stored; mask and certificate beside."""
        return self.folder / "variants" / digest[:2] / f"{digest}.png"

    def files(self, digest: str) -> dict[str, Path]:
        """Where picture, mask and certificate of a variant lie, whether or not they are there."""
        path = self.path(digest)
        return {"file": path, "mask": mask_path(path), "certificate": certificate_path(path)}

    def picture(self, digest: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What a stored variant shows, as its renderer had it.

        Returns:
            uint8 sRGB (H, W, 3), and the product on it, uint8 (H, W).

        Raises:
            NotFound: no such variant.
        """
        certificate = self.get(digest).certificate
        with Image.open(self.path(digest), formats=("PNG",)) as image:
            pixels = np.asarray(image.convert("RGB"))
        frame = Frame(*certificate.size, *certificate.offset)
        return pixels, frame.place(load_mask(mask_path(self.path(digest))), 0)

    def is_servable(self, digest: str, product: str | None = None) -> bool:
        """Whether a variant is stored and approved at this moment, for a product or for any."""
        return self.ledger.is_servable(digest, product)

    def servable_path(self, digest: str) -> Path:
        """Where the PNG of an approved variant lies.

        Raises:
            NotFound: no such variant, or it is not approved.
        """
        if not self.is_servable(digest):
            raise NotFound(f"variant {digest!r} is not stored, or not approved")
        return self.path(digest)

    def records(self, product: str | None = None) -> list[VariantRecord]:
        """All records, or a product's, by product and style."""
        if product is None:
            return self._records("", ())
        return self._records("WHERE product = ?", (product,))

    def _records(self, where: str, values: tuple[str, ...]) -> list[VariantRecord]:
        order = " ORDER BY product, variants.style, variants.digest"
        with self._database.reading() as db:
            rows = db.execute(_RECORD + where + order, values).fetchall()
        return [
            VariantRecord(
                digest=digest,
                product=product,
                style=Style(style),
                certificate=Certificate.from_dict(json.loads(certificate)),
                state=state,
            )
            for product, digest, style, certificate, state in rows
        ]
