"""Which column of a shop's table is what: by name, by mapping, or a guess that is called one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.ingest.tables import Table

ATTRIBUTE = "attr_"
"""Begins the name of a field that holds an attribute."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "product": (
        "product", "sku", "product_id", "productid", "item_id", "itemid", "id", "variant_sku",
        "stockcode", "stock_code", "article_number", "articlenumber", "article", "item_number",
        "product_code", "artikelnummer", "artikelnr", "artikel_nr", "art_nr",
    ),
    "title": (
        "title", "name", "product_name", "productname", "product_title", "item_name",
        "bezeichnung", "titel", "artikelname", "produktname",
    ),
    "category": (
        "category", "product_type", "producttype", "product_category", "item_category", "type",
        "categories", "google_product_category", "kategorie", "warengruppe",
    ),
    "price": (
        "price", "unit_price", "unitprice", "variant_price", "regular_price", "preis",
        "verkaufspreis", "vk_preis",
    ),
    "currency": ("currency", "currency_code", "price_currency", "waehrung", "währung"),
    "photo": (
        "photo", "image", "image_path", "photo_path", "image_file", "photo_file", "picture",
        "image_src", "image_link", "image_url", "images", "bild", "foto", "bilddatei",
    ),
    "licence": ("licence", "license", "photo_licence", "photo_license", "lizenz"),
    "credit": ("credit", "photo_credit", "attribution", "photographer", "bildnachweis"),
    "pose": ("pose",),
    "size_cm": ("size_cm", "longest_side_cm"),
    "attributes": ("attributes",),
    "retired": ("retired",),
}  # fmt: skip
"""Fields of a product, each with the columns that are taken for it: plain small letters, the
first of them that is there."""

_GUESSES: Mapping[str, tuple[str, ...]] = {
    "product": ("code", "number", "nr", "handle", "ean", "gtin", "upc"),
    "title": ("description", "product_description", "beschreibung", "text"),
    "category": ("department", "group", "collection", "section", "tags", "brand"),
    "photo": ("path", "file", "filename", "file_name", "dateiname"),
    "credit": ("author", "source"),
}
"""Columns that are taken where nothing better is there."""


@dataclass(frozen=True)
class ColumnCheck:
    """What a table's columns are taken for.

    Attributes:
        used: Field to column.
        guessed: Those fields of it whose column's name says little.
        attributes: Attribute to column.
        unused: The other columns.
        samples: Column to its first value; columns that are empty are left out.
        how: Format, encoding and separator of the table.
        rows: How many rows there are.
        defaults: Field to what stands in where the table is silent.
    """

    used: Mapping[str, str]
    guessed: frozenset[str]
    attributes: Mapping[str, str]
    unused: tuple[str, ...]
    samples: Mapping[str, str]
    how: str
    rows: int
    defaults: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{self.rows:,} rows ({self.how})"]
        for field in FIELDS:
            if field in self.used:
                column = self.used[field]
                note = "  (a guess: --map says otherwise)" if field in self.guessed else ""
                lines.append(f"  {field:10} = {column}{self._sample(column)}{note}")
            elif field in self.defaults:
                lines.append(f"  {field:10} = {self.defaults[field]!r} for all")
        for name, column in self.attributes.items():
            lines.append(f"  {ATTRIBUTE + name:10} = {column}{self._sample(column)}")
        if self.unused:
            lines.append(f"  not used: {', '.join(self.unused)}")
        return "\n".join(lines)

    def _sample(self, column: str) -> str:
        value = self.samples.get(column)
        if value is None:
            return "  (all empty)"
        return f"  e.g. {value if len(value) <= 48 else value[:48] + '…'}"


def parse_mapping(given: list[str]) -> dict[str, str]:
    """``product=sku,title=name`` as field to column; an empty column leaves a field out.

    Raises:
        InvalidInput: no such field, or no ``=``.
    """
    mapping: dict[str, str] = {}
    for text in given:
        # A column's own name may hold commas.
        for part in re.split(r",(?=\s*\w+\s*=)", text):
            field, sign, column = part.partition("=")
            field = field.strip()
            known = field in FIELDS or (field.startswith(ATTRIBUTE) and field != ATTRIBUTE)
            if not sign or not known:
                raise InvalidInput(
                    f"map {part.strip()!r}: write field=column; fields are {', '.join(FIELDS)} "
                    f"and {ATTRIBUTE}NAME"
                )
            mapping[field] = column.strip()
    return mapping


def check_columns(
    table: Table,
    mapping: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> ColumnCheck:
    """What the table's columns are taken for.

    Args:
        table: The table.
        mapping: As of :func:`parse_mapping`; goes before names.
        defaults: Field to what stands in where the table is silent.

    Raises:
        InvalidInput: the mapping names a column that is not there.
    """
    mapping = dict(mapping or {})
    for field, column in mapping.items():
        if column and column not in table.columns:
            raise InvalidInput(
                f"map {field}={column}: no such column; there are {', '.join(table.columns)}"
            )
    free = {_plain(c): c for c in reversed(table.columns) if c not in mapping.values()}
    used, guessed = {}, set()
    for field, names in FIELDS.items():
        if field in mapping:
            if mapping[field]:
                used[field] = mapping[field]
            continue
        found = next((free[name] for name in names if name in free), None)
        if found is None:
            found = next((free[n] for n in _GUESSES.get(field, ()) if n in free), None)
            if found is not None:
                guessed.add(field)
        if found is not None:
            used[field] = found
    attributes = {f.removeprefix(ATTRIBUTE): c for f, c in mapping.items() if f not in FIELDS and c}
    for column in table.columns:
        if column.lower().startswith(ATTRIBUTE) and column not in mapping.values():
            name = column[len(ATTRIBUTE) :].strip()
            if name and ATTRIBUTE + name not in mapping:
                attributes[name] = column
    taken = {*used.values(), *attributes.values()}
    samples: dict[str, str] = {}
    for row in table.rows:
        samples.update((c, v) for c, v in row.cells.items() if v and c not in samples)
        if len(samples) == len(table.columns):
            break
    return ColumnCheck(
        used=used,
        guessed=frozenset(guessed),
        attributes=attributes,
        unused=tuple(c for c in table.columns if c not in taken),
        samples=samples,
        how=table.how,
        rows=len(table.rows) + len(table.problems),
        defaults=dict(defaults or {}),
    )


def _plain(name: str) -> str:
    """A column's name in small letters, words joined by ``_``."""
    return re.sub(r"\W+", "_", unicodedata.normalize("NFC", name).lower()).strip("_")
