"""Products and the table that lists them."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_img.errors import BadCatalog, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COLUMNS = ("product", "category", "title", "photo", "licence", "credit", "price")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Product:
    """A thing for sale with one photograph.

    Attributes:
        product: Identifier: letters, digits, ``. _ -``, at most 64.
        category: What kind of thing, e.g. ``shoes``.
        title: What a shopper reads.
        photo: Path of the photograph.
        licence: Under which the photograph may be changed and shown; never empty.
        credit: Whom to name.
        price: In the shop's currency; NaN where unknown.
    """

    product: str
    category: str
    title: str
    photo: Path
    licence: str
    credit: str = ""
    price: float = float("nan")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.product):
            raise BadCatalog(
                f"product {self.product!r}: use letters, digits, '.', '_', '-', at most 64"
            )
        for name in ("category", "licence"):
            if not getattr(self, name):
                raise BadCatalog(f"product {self.product}: {name} is empty; every photo needs one")


class Catalog:
    """Products by identifier, in the order of the table."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._products: dict[str, Product] = {}
        for product in products:
            if product.product in self._products:
                raise BadCatalog(
                    f"product {product.product} is listed twice; give each its own name"
                )
            self._products[product.product] = product

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Catalogue of a CSV; photo paths are taken from the CSV's own folder.

        Raises:
            BadCatalog: a column is missing or a row breaks a rule.
        """
        path = Path(path)
        if not path.exists():
            raise NotFound(f"{path}: no such catalogue; add photos with `persona-img catalog add`")
        products = []
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            missing = {"product", "category", "photo", "licence"} - set(reader.fieldnames or ())
            if missing:
                raise BadCatalog(f"{path}: no column {', '.join(sorted(missing))}; add it")
            for number, row in enumerate(reader, start=2):
                try:
                    price = float(row.get("price") or "nan")
                except ValueError as error:
                    raise BadCatalog(
                        f"{path}:{number}: price {row['price']!r} is no number"
                    ) from error
                products.append(
                    Product(
                        product=row["product"],
                        category=row["category"],
                        title=row.get("title") or row["product"],
                        photo=path.parent / row["photo"],
                        licence=row["licence"],
                        credit=row.get("credit") or "",
                        price=price,
                    )
                )
        return cls(products)

    def save(self, path: str | Path) -> None:
        """Write the table, whole or not at all; photos below its folder get relative paths."""
        path = Path(path)
        partial = path.with_name(path.name + ".part")
        with partial.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(_COLUMNS)
            for p in self:
                photo = p.photo.resolve()
                inside = photo.is_relative_to(path.parent.resolve())
                shown = photo.relative_to(path.parent.resolve()) if inside else photo
                price = "" if p.price != p.price else p.price
                writer.writerow([p.product, p.category, p.title, shown, p.licence, p.credit, price])
        partial.replace(path)

    def __getitem__(self, product: str) -> Product:
        try:
            return self._products[product]
        except KeyError:
            raise NotFound(f"product {product!r} is not in the catalogue of {len(self)}") from None

    def __iter__(self) -> Iterator[Product]:
        return iter(self._products.values())

    def __len__(self) -> int:
        return len(self._products)

    def __contains__(self, product: object) -> bool:
        return product in self._products
