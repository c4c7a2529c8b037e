"""Products, and the catalogue of them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from persona_img.domain.pose import MAX_SIZE, POSES
from persona_img.errors import BadCatalog, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_ID = 128
"""Characters that a product's identifier may have."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")


def product_id(value: str) -> str:
    """A shop's own identifier as it is written everywhere: composed (NFC), no space around it.

    So the same sku from a table, a file's name, an interaction or an address is the same text.

    Raises:
        BadCatalog: empty, over 128 characters, or with a character that cannot be printed.

    Examples:
        >>> product_id(" AB 12/3 ")
        'AB 12/3'
    """
    name = unicodedata.normalize("NFC", value).strip()
    if not name:
        raise BadCatalog(f"product {value!r}: it is empty; give every product its identifier")
    if len(name) > MAX_ID:
        raise BadCatalog(f"product {name[:40] + '…'!r}: {len(name)} characters, at most {MAX_ID}")
    for character in name:
        if not character.isprintable():
            raise BadCatalog(
                f"product {name!r}: holds U+{ord(character):04X}, which cannot be printed; drop it"
            )
    return name


def product_key(product: str) -> str:
    """A name for addresses and file names, where a space or a slash would get lost.

    The identifier itself where that is plain, else what is plain of it and a digest.

    Examples:
        >>> product_key("mug-7"), product_key("AB 12/3")
        ('mug-7', 'AB-12-3~39e8b0cb52')
    """
    if _PLAIN.fullmatch(product):
        return product
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", product).strip("-_")[:40]
    return f"{plain}~{hashlib.sha256(product.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Product:
    """A thing for sale with one photograph.

    Attributes:
        product: Its identifier, the shop's own, see :func:`product_id`.
        category: What kind of thing, e.g. ``shoes``.
        title: What a shopper reads.
        photo: Path of the photograph.
        licence: Under which the photograph may be changed and shown; never empty.
        credit: Whom to name.
        price: 0 or more; NaN where unknown.
        currency: Of the price, three letters of ISO 4217; empty where the shop has but one.
        attributes: What else is known, e.g. ``width_cm`` or ``colour``; no empty value.
        retired: Why it is no longer on offer; empty while it is.
        photo_digest: Of the photograph's pixels, see ``imaging.photo.pixel_digest``; empty where
            the table does not say.
        pose: How the photograph shows it, of :data:`.pose.POSES`; empty where nobody told it.
        size_cm: Centimetres of its longest side, above 0 and at most 1,000; None where unknown.
        mask: Path of the mask that a person drew or put right of this photograph; None where the
            masker cuts it out.

    Example:
        >>> from pathlib import Path
        >>> mug = Product("AB 12/3", "mug", "Blue mug", Path("mug.jpg"), "own", price=9.5)
        >>> mug.on_offer
        True
    """

    product: str
    category: str
    title: str
    photo: Path
    licence: str
    credit: str = ""
    price: float = float("nan")
    currency: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    retired: str = ""
    photo_digest: str = ""
    pose: str = ""
    size_cm: float | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "product", product_id(self.product))
        for name in ("category", "licence"):
            if not getattr(self, name):
                raise BadCatalog(f"product {self.product}: {name} is empty; every photo needs one")
        if self.price < 0 or self.price == float("inf"):
            raise BadCatalog(f"product {self.product}: price {self.price}; a price is 0 or more")
        if self.currency and not _CURRENCY.fullmatch(self.currency):
            raise BadCatalog(
                f"product {self.product}: currency {self.currency!r}; "
                "give the three letters of ISO 4217, e.g. EUR"
            )
        if self.pose and self.pose not in POSES:
            raise BadCatalog(
                f"product {self.product}: pose {self.pose!r}; there are {', '.join(POSES)}, "
                "or leave it empty"
            )
        if self.size_cm is not None and not 0 < self.size_cm <= MAX_SIZE:
            raise BadCatalog(
                f"product {self.product}: size_cm {self.size_cm}; the longest side in centimetres "
                f"is above 0, at most {MAX_SIZE:,.0f}"
            )

    @property
    def on_offer(self) -> bool:
        """Whether it is planned, rendered and shown in styles."""
        return not self.retired

    @property
    def key(self) -> str:
        """Its name in addresses and file names, see :func:`product_key`."""
        return product_key(self.product)


class Catalog:
    """Products by identifier, in the order of the table.

    Example:
        >>> from pathlib import Path
        >>> mug = Product("AB 12/3", "mug", "Blue mug", Path("mug.jpg"), "own")
        >>> catalog = Catalog([mug])
        >>> len(catalog), "AB 12/3" in catalog, catalog["AB 12/3"].title
        (1, True, 'Blue mug')
    """

    def __init__(self, products: Iterable[Product]) -> None:
        self._products: dict[str, Product] = {}
        for product in products:
            if product.product in self._products:
                raise BadCatalog(
                    f"product {product.product} is listed twice; give each its own name"
                )
            self._products[product.product] = product
        self._keys = {p.key: p for p in self if p.key != p.product}

    @classmethod
    def load(cls, path: str | Path) -> Catalog:
        """Catalogue of a CSV; photo paths are taken from the CSV's own folder.

        Raises:
            NotFound: no such file.
            BadCatalog: a column is missing or a row breaks a rule.
        """
        from persona_img.domain.catalog_table import read_catalog

        return cls(read_catalog(path))

    def save(self, path: str | Path) -> None:
        """Write the table, whole or not at all; photos below its folder get relative paths."""
        from persona_img.domain.catalog_table import write_catalog

        write_catalog(self, path)

    @property
    def on_offer(self) -> Catalog:
        """Without the retired products."""
        return Catalog(p for p in self if p.on_offer)

    def find(self, name: str) -> Product:
        """The product with this identifier or, failing that, this :attr:`Product.key`.

        Raises:
            NotFound: neither.
        """
        return self._keys[name] if name in self._keys and name not in self else self[name]

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
