"""Products into the shop's catalogue: added, updated, retired and brought back."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_img.domain.catalog import Catalog, Product, product_key
from persona_img.errors import BadPhoto, InvalidInput, NotFound, StoreConflict
from persona_img.imaging.drawn import PERSON, mask_png
from persona_img.imaging.formats import NOT_SHOWN
from persona_img.imaging.mask_file import load_mask
from persona_img.imaging.photo import load_photo, png_bytes, write_whole
from persona_img.ingest.products.mask_files import MaskFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from persona_img.ingest.products.photo_files import PhotoFile
    from persona_img.ingest.products.rows import Entry

_DIGITS = 12
_TOLD = (
    "title", "category", "price", "currency", "licence", "credit", "pose", "size_cm", "attributes",
)  # fmt: skip


@dataclass(frozen=True)
class Added:
    """What became of the rows of a table.

    Attributes:
        added: New products.
        updated: Known products that changed, each with the names of its changed fields.
        unchanged: Known products of which the table says nothing new.
        retired: Those of the table's products that are retired; they stay so.
        masked: Those whose mask a person drew, as it came now.
        unmasked: Known products whose mask is gone, for it was of an earlier photo.
        total: Products in the catalogue now.
    """

    added: tuple[str, ...]
    updated: dict[str, tuple[str, ...]]
    unchanged: tuple[str, ...]
    retired: tuple[str, ...]
    masked: tuple[str, ...]
    unmasked: tuple[str, ...]
    total: int

    @property
    def new_photos(self) -> tuple[str, ...]:
        """Known products whose picture is another now: their variants have to be made anew."""
        return tuple(name for name, changed in self.updated.items() if "photo" in changed)


class Shelf:
    """The catalogue's table with the photos beside it, changed whole or not at all.

    Photos are kept under their product's key and the digest of their bytes and never overwritten:
    whoever reads the earlier table finds the earlier photo. So are the masks that people drew of
    them, which stay with the product as long as its photo does.

    Args:
        table: The catalogue's CSV; need not be there yet.
    """

    def __init__(self, table: Path) -> None:
        self.table = table
        self._read = table.read_bytes() if table.exists() else b""
        self.catalog = Catalog.load(table) if table.exists() else Catalog([])

    def known_photo(self, product: str, digest: str) -> str | None:
        """Digest of the pixels, where the file with this digest already is this product's photo."""
        if product not in self.catalog:
            return None
        known = self.catalog[product]
        try:
            same = known.photo.stem == _stem(product, digest) or (
                hashlib.sha256(known.photo.read_bytes()).hexdigest() == digest
            )
        except OSError:
            return None
        if not (same and known.photo.is_file()):
            return None
        return known.photo_digest or load_photo(known.photo).digest

    def add(
        self,
        entries: Iterable[Entry],
        workers: int = 4,
        on_copied: Callable[[int, int], None] = lambda done, of: None,
    ) -> Added:
        """Put products on the shelf; the same entries again change nothing.

        Args:
            entries: Products with their photos opened.
            workers: Photos copied at the same time.
            on_copied: Told how many photos of how many were copied.

        Raises:
            StoreConflict: the table was changed since it was read, or a photo was.
        """
        products = {p.product: p for p in self.catalog}
        added: list[str] = []
        updated: dict[str, tuple[str, ...]] = {}
        unchanged: list[str] = []
        copies: dict[Path, PhotoFile | MaskFile] = {}
        touched = False
        for entry in entries:
            known = products.get(entry.product)
            product = self._product(entry, known)
            if entry.photo is not None and not product.photo.is_file():
                copies[product.photo] = entry.photo
            if entry.mask is not None and product.mask and not product.mask.is_file():
                copies[product.mask] = entry.mask
            products[entry.product] = product
            if known is None:
                added.append(entry.product)
            elif changed := _changed(known, product):
                updated[entry.product] = changed
            else:
                unchanged.append(entry.product)
                touched |= known.photo_digest != product.photo_digest
        before = self.catalog
        if added or updated or copies or touched:
            self._write(products.values(), copies, workers, on_copied)
        told = [*added, *updated, *unchanged]
        return Added(
            added=tuple(added),
            updated=updated,
            unchanged=tuple(unchanged),
            retired=tuple(n for n in (*updated, *unchanged) if not products[n].on_offer),
            masked=tuple(
                n for n in told if products[n].mask and _mask(before, n) != products[n].mask
            ),
            unmasked=tuple(n for n in updated if _mask(before, n) and not products[n].mask),
            total=len(products),
        )

    def give_mask(self, name: str, alpha: NDArray[np.uint8] | None) -> Product:
        """Keep the mask that a person drew of a product's photo, or forget it.

        Args:
            name: The product.
            alpha: uint8 (H, W), 255 is product; None forgets the mask.

        Raises:
            NotFound: it is not in the catalogue.
            BadPhoto: it does not fit the photo, or holds no product.
            StoreConflict: the table was changed since it was read.
        """
        known = self.catalog[name]
        if alpha is None:
            product = replace(known, mask=None)
        else:
            photo = load_photo(known.photo).with_alpha(alpha)
            data = mask_png(alpha, known.photo.name, PERSON)
            path = self._mask_path(known.photo, hashlib.sha256(data).hexdigest())
            product = replace(known, mask=path, photo_digest=photo.digest)
            write_whole(path, data)
        if (product.mask, product.photo_digest) != (known.mask, known.photo_digest):
            self._write([product if p.product == name else p for p in self.catalog], {})
        return product

    def _mask_path(self, photo: Path, digest: str) -> Path:
        return self.table.parent / "photos" / f"{photo.stem}-{digest[:_DIGITS]}.mask.png"

    def retire(self, names: Iterable[str], reason: str) -> list[Product]:
        """Take products off offer; what was shown and counted of them stays.

        Returns:
            Those that were on offer until now.

        Raises:
            InvalidInput: no reason.
            NotFound: one of them is not in the catalogue; then none is retired.
        """
        if not reason.strip():
            raise InvalidInput("reason '': say why, e.g. 'sold out'; it stands in the table")
        return self._mark(names, reason.strip(), lambda product: product.on_offer)

    def restore(self, names: Iterable[str]) -> list[Product]:
        """Bring retired products back.

        Returns:
            Those that were retired until now.

        Raises:
            NotFound: one of them is not in the catalogue; then none is brought back.
        """
        return self._mark(names, "", lambda product: not product.on_offer)

    def _mark(
        self, names: Iterable[str], retired: str, wanted: Callable[[Product], bool]
    ) -> list[Product]:
        names = list(dict.fromkeys(names))
        unknown = [name for name in names if name not in self.catalog]
        if unknown:
            shown = ", ".join(map(repr, unknown))
            raise NotFound(f"{shown}: not in the catalogue of {len(self.catalog)}; nothing changed")
        marked = {
            name: replace(self.catalog[name], retired=retired)
            for name in names
            if wanted(self.catalog[name])
        }
        if marked:
            self._write([marked.get(p.product, p) for p in self.catalog], {})
        return list(marked.values())

    def _product(self, entry: Entry, known: Product | None) -> Product:
        values: dict[str, Any] = {}
        if known is not None:
            values = {f.name: getattr(known, f.name) for f in fields(known)}
        # An empty cell brings nobody back: that is said with a command.
        values |= {k: v for k, v in entry.values.items() if k != "retired" or v or known is None}
        values["title"] = values.get("title") or entry.product
        kept = {} if known is None or entry.every_attribute else dict(known.attributes)
        values["attributes"] = {k: v for k, v in (kept | dict(entry.attributes)).items() if v}
        photo = entry.photo
        if photo is not None:
            values["photo_digest"] = photo.pixels
            if known is None or self.known_photo(entry.product, photo.digest) is None:
                name = _stem(entry.product, photo.digest) + photo.suffix
                values["photo"] = self.table.parent / "photos" / name
            if known is not None and known.mask is not None and not _same_pixels(known, photo):
                values["mask"] = None
            if entry.mask is not None:
                values["mask"] = self._mask_path(values["photo"], entry.mask.digest)
        return Product(**(values | {"product": entry.product}))

    def _write(
        self,
        products: Iterable[Product],
        copies: Mapping[Path, PhotoFile | MaskFile],
        workers: int = 1,
        on_copied: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        made: list[Path] = []
        pool = ThreadPoolExecutor(workers)

        def copy(item: tuple[Path, PhotoFile | MaskFile]) -> None:
            _copy(item[1], item[0])
            made.append(item[0])

        try:
            try:
                for done, _ in enumerate(pool.map(copy, copies.items()), start=1):
                    on_copied(done, len(copies))
            finally:
                pool.shutdown(cancel_futures=True)
            if (self.table.read_bytes() if self.table.exists() else b"") != self._read:
                raise StoreConflict(f"{self.table}: was changed meanwhile; run the command again")
            self.table.parent.mkdir(parents=True, exist_ok=True)
            catalog = Catalog(products)
            catalog.save(self.table)
        except BaseException:
            for path in made:
                with suppress(OSError):
                    path.unlink()
            raise
        self.catalog, self._read = catalog, self.table.read_bytes()


def _stem(product: str, digest: str) -> str:
    return f"{product_key(product)}-{digest[:_DIGITS]}"


def _same_pixels(known: Product, photo: PhotoFile) -> bool:
    """Whether a photo, in whatever file, is the one that the product has: then its mask fits."""
    try:
        return photo.pixels == (known.photo_digest or load_photo(known.photo).digest)
    except BadPhoto:
        return False


def _mask(catalog: Catalog, name: str) -> Path | None:
    return catalog[name].mask if name in catalog else None


def _copy(photo: PhotoFile | MaskFile, to: Path) -> None:
    data = photo.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != photo.digest:
        raise StoreConflict(f"{photo.path}: was changed while it was added; run the command again")
    if isinstance(photo, MaskFile):
        data = mask_png(load_mask(data), to.name, PERSON)
    elif photo.kind in NOT_SHOWN:
        opened = load_photo(data)
        whole = (
            [opened.pixels] if opened.alpha is None else [opened.pixels, opened.alpha[..., None]]
        )
        data = png_bytes(np.concatenate(whole, axis=2))
    write_whole(to, data)


def _changed(old: Product, new: Product) -> tuple[str, ...]:
    """Names of the fields that differ; a photo in another file with the same pixels does not."""
    names = []
    for name in _TOLD:
        left, right = getattr(old, name), getattr(new, name)
        unknown = name == "price" and math.isnan(left) and math.isnan(right)
        if left != right and not unknown:
            names.append(name)
    if old.retired != new.retired:
        names.append("retired")
    if old.photo != new.photo:
        names.append("photo")
    if old.mask != new.mask:
        names.append("mask")
    return tuple(names)
