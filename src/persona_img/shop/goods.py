"""What a shop sells, and what its shoppers did before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.shop.claims import Claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from persona_img.domain.catalog import Product
    from persona_img.imaging.photo import Photo
    from persona_img.ingest.products.columns import ColumnCheck
    from persona_img.ingest.products.reading import Batch
    from persona_img.ingest.products.rows import Reading
    from persona_img.ingest.products.shelf import Added


class Goods(Claims):
    """Products and interactions, in and out."""

    def add_products(
        self,
        source: str | Path | Iterable[Product],
        reading: Reading | None = None,
        *,
        skip_bad: bool = False,
        mask: Path | None = None,
        on_columns: Callable[[ColumnCheck], None] = lambda _: None,
        on_photo: Callable[[int, int], None] = lambda done, of: None,
        on_copied: Callable[[int, int], None] = lambda done, of: None,
        on_checked: Callable[[Batch], None] = lambda _: None,
    ) -> Added:
        """Add products, or update known ones; their photos are copied beside the table.

        Every row is checked and every photo opened before anything is written. What a table has
        no column for stays as it is, so that a table of skus and prices is one of new prices.

        Args:
            source: A table (CSV, Parquet, JSON) with a row per product; a photo or a folder of
                photos, each a product named after its file; or products.
            reading: How to read a table, and what is the same for all.
            skip_bad: Add the other rows where some are wrong.
            mask: Of the one photo that there is, drawn by a person. A mask beside a photo,
                ``NAME.mask.png``, comes with it unasked.
            on_columns: Told what the columns are taken for, before a row is read.
            on_photo: Told how many photos of how many were opened.
            on_copied: Told how many photos of how many were copied.
            on_checked: Told what was found, before anything is written; may raise to stop it.

        Raises:
            InvalidInput: the source cannot be read.
            BadCatalog: rows break rules, all of them named; then nothing is added.
            StoreConflict: somebody else changed the catalogue meanwhile, or a photo is a near copy
                of somebody else's picture; then nothing is added.
        """
        from persona_img.ingest.products.reading import read_products
        from persona_img.ingest.products.rows import Reading
        from persona_img.ingest.products.shelf import Shelf

        shelf = Shelf(self.workspace.catalog)
        batch = read_products(
            source,
            reading or Reading(),
            known=frozenset(p.product for p in shelf.catalog),
            known_photo=shelf.known_photo,
            workers=self.settings.render.workers,
            on_columns=on_columns,
            on_photo=on_photo,
            mask=mask,
        )
        on_checked(batch)
        if not skip_bad:
            batch.refuse()
        known = {product.product: product.credit for product in shelf.catalog}
        self.check_owners(
            (one.product, one.source, str(one.values.get("credit", known.get(one.product, ""))))
            for one in batch.entries
            if one.photo is not None and one.source is not None
        )
        added = shelf.add(batch.entries, self.settings.render.workers, on_copied)
        catalog = self.catalog
        new = (*added.added, *added.new_photos)
        self.claim_photos([catalog[name] for name in new], by="products add")
        return added

    def photo(self, product: str) -> Photo:
        """A product's photograph, with the mask that a person gave it and what is told of it.

        Raises:
            NotFound: it is not in the catalogue.
            BadPhoto: the photo or its mask cannot be used.
        """
        from persona_img.loop import photo_of

        return photo_of(self.catalog[product])

    def give_mask(self, product: str, alpha: NDArray[np.uint8] | None) -> Product:
        """Keep the mask that a person drew of a product's photo, for good; None forgets it.

        It stays while the photo does; rendering uses it in place of a masker's.

        Args:
            product: Its identifier.
            alpha: uint8 (H, W) of the photo's size, 255 is product.

        Raises:
            NotFound: it is not in the catalogue.
            BadPhoto: the mask does not fit the photo, or holds no product.
        """
        from persona_img.ingest.products.shelf import Shelf

        return Shelf(self.workspace.catalog).give_mask(product, alpha)

    def retire_products(self, products: Iterable[str], reason: str) -> list[Product]:
        """Take products off offer: they are shown as photographed and no longer planned.

        What was shown and counted of them stays, and so do their variants.

        Returns:
            Those that were on offer until now.

        Raises:
            InvalidInput: no reason.
            NotFound: one of them is not in the catalogue; then none is retired.
        """
        from persona_img.ingest.products.shelf import Shelf

        return Shelf(self.workspace.catalog).retire(products, reason)

    def restore_products(self, products: Iterable[str]) -> list[Product]:
        """Bring retired products back; the next table has them again.

        Returns:
            Those that were retired until now.

        Raises:
            NotFound: one of them is not in the catalogue; then none is brought back.
        """
        from persona_img.ingest.products.shelf import Shelf

        return Shelf(self.workspace.catalog).restore(products)
