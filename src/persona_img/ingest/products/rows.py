"""Rows of a shop's table as products: every cell checked, every problem named."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from persona_img.domain.catalog import product_id
from persona_img.domain.pose import checked_pose, checked_size
from persona_img.errors import BadCatalog
from persona_img.ingest.products.photo_files import PhotoFinder
from persona_img.ingest.products.prices import Notation, read_price
from persona_img.ingest.tables import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from persona_img.ingest.products.columns import ColumnCheck
    from persona_img.ingest.products.mask_files import MaskFile
    from persona_img.ingest.products.photo_files import PhotoFile
    from persona_img.ingest.tables import Row, Table

NEEDED = ("category", "photo", "licence")
"""What a product cannot be without, besides its identifier."""

_TEXTS = ("title", "category", "licence", "credit", "retired")
_SHOWN: Mapping[str, Callable[[str], Any]] = {"pose": checked_pose, "size_cm": checked_size}
_CURRENCY = re.compile(r"[A-Z]{3}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Reading:
    """How a table is to be read, and what stands in for cells that are empty or not there.

    Attributes:
        mapping: Field to column, see ``parse_mapping``.
        category: For products without one.
        licence: For photos without one.
        credit: For photos without one.
        currency: For prices without one.
        notation: How prices are written.
        encoding: Of a CSV; None finds it out.
        delimiter: Of a CSV; None finds it out.

    Raises:
        BadCatalog: a currency that is not three letters.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    licence: str = ""
    credit: str = ""
    currency: str = ""
    notation: Notation = field(default_factory=Notation)
    encoding: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        if self.currency and not _CURRENCY.fullmatch(self.currency):
            raise BadCatalog(f"currency {self.currency!r}: three letters of ISO 4217, e.g. EUR")

    @property
    def defaults(self) -> dict[str, str]:
        """Field to what stands in for it."""
        names = ("category", "licence", "credit", "currency")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


@dataclass(frozen=True)
class Entry:
    """What one row says of a product.

    Attributes:
        row: Its number.
        product: Its identifier.
        values: Fields of ``Product`` that the row speaks of; what it is silent on stays as it is,
            what it leaves empty gets lost.
        attributes: The same for attributes.
        every_attribute: Whether an attribute that the row is silent on gets lost, too.
        source: Where the photograph lies; None where the table has no column for it.
        photo: The photograph, once it was opened.
        drawn: Where the mask lies that a person gave the photograph; None for none.
        mask: That mask, once it was opened.
    """

    row: int
    product: str
    values: Mapping[str, Any]
    attributes: Mapping[str, str] = field(default_factory=dict)
    every_attribute: bool = False
    source: Path | None = None
    photo: PhotoFile | None = None
    drawn: Path | None = None
    mask: MaskFile | None = None


def read_rows(
    table: Table, columns: ColumnCheck, reading: Reading, known: frozenset[str]
) -> tuple[list[Entry], list[Problem]]:
    """The rows that can be used, and all that is wrong with the others.

    Args:
        table: The table.
        columns: What its columns are taken for; one is the product.
        reading: Stands in where the table is silent.
        known: Products that the shop has: their rows may leave out what a new one needs.
    """
    reader = _Reader(table, columns, reading, known)
    entries = []
    for row in table.rows:
        before = len(reader.problems)
        entry = reader.entry(row)
        if entry is not None and len(reader.problems) == before:
            entries.append(entry)
    return entries, [*table.problems, *reader.problems]


class _Reader:
    def __init__(
        self, table: Table, columns: ColumnCheck, reading: Reading, known: frozenset[str]
    ) -> None:
        self.problems: list[Problem] = []
        self._columns, self._reading, self._known = columns, reading, known
        self._files = PhotoFinder(table.path.parent)
        self._first: dict[str, int] = {}
        # 1.299 that is a number in the table is one, whatever might be meant by it as text.
        sure = table.typed and not reading.notation.decimal
        self._notation = replace(reading.notation, decimal=".") if sure else reading.notation

    def entry(self, row: Row) -> Entry | None:
        """What the row says; its problems are appended to ``problems``."""
        product = self._product(row)
        texts = ((name, self._cell(row, name)) for name in _TEXTS)
        values: dict[str, Any] = {name: text for name, text in texts if text is not None}
        values |= self._price(row) | self._shown(row)
        source = self._photo(row)
        attributes, every = self._attributes(row)
        for name in NEEDED:
            silent = name not in self._columns.used and name not in self._reading.defaults
            if silent and product is not None and product not in self._known:
                rule = f"is new and needs a {name}: the table has no column for it"
                self._refuse(row, "product", product, f"{rule}; say --map {name}=COLUMN")
            elif values.get(name) == "":
                self._refuse(row, name, "", f"is empty; every product needs a {name}")
        if product is None:
            return None
        return Entry(row.number, product, values, attributes, every, source)

    def _product(self, row: Row) -> str | None:
        written = row.cells[self._columns.used["product"]]
        try:
            product = product_id(written)
        except BadCatalog as error:
            self._refuse(row, "product", written, str(error).partition(": ")[2])
            return None
        first = self._first.setdefault(product, row.number)
        if first != row.number:
            self._refuse(row, "product", product, f"stands in row {first} too; give it one row")
        return product

    def _cell(self, row: Row, name: str) -> str | None:
        """What the row says, or what stands in for it; None where neither speaks of it."""
        column = self._columns.used.get(name)
        default = self._reading.defaults.get(name)
        return default if column is None else row.cells[column] or default or ""

    def _price(self, row: Row) -> dict[str, Any]:
        """Price and currency, where the row speaks of them."""
        values: dict[str, Any] = {}
        column = self._columns.used.get("currency")
        stated = row.cells[column].upper() if column is not None else ""
        if stated and not _CURRENCY.fullmatch(stated):
            self._refuse(row, "currency", stated, "give the three letters of ISO 4217, e.g. EUR")
        code = self._cell(row, "currency")
        if code is not None:
            values["currency"] = code.upper()
        if "price" in self._columns.used:
            written = row.cells[self._columns.used["price"]]
            try:
                values["price"], beside = read_price(written, self._notation)
                if beside and stated and beside != stated:
                    raise ValueError(f"the currency's own column says {stated}; write one of them")
                if beside:
                    values["currency"] = beside
            except ValueError as error:
                self._refuse(row, "price", written, str(error))
        return values

    def _shown(self, row: Row) -> dict[str, Any]:
        """Pose and size, where the table has columns for them."""
        values: dict[str, Any] = {}
        for name, check in _SHOWN.items():
            if name in self._columns.used:
                written = row.cells[self._columns.used[name]]
                if self._notation.decimal == ",":
                    written = written.replace(",", ".")
                try:
                    values[name] = check(written)
                except BadCatalog as error:
                    self._refuse(row, name, written, str(error).partition(": ")[2])
        return values

    def _photo(self, row: Row) -> Path | None:
        if "photo" not in self._columns.used:
            return None
        written = row.cells[self._columns.used["photo"]]
        rule = ""
        if not written:
            rule = "is empty; every product needs a photo"
        elif _URL.match(written):
            rule = "an address; download the photo and give the file's path"
        else:
            try:
                return self._files.find(written)
            except ValueError as error:
                rule = str(error)
        self._refuse(row, "photo", written, rule)
        return None

    def _attributes(self, row: Row) -> tuple[dict[str, str], bool]:
        found: dict[str, str] = {}
        every = "attributes" in self._columns.used
        if every:
            written = row.cells[self._columns.used["attributes"]]
            try:
                given = json.loads(written or "{}")
                if not isinstance(given, dict):
                    raise ValueError("no object")
            except ValueError:
                rule = 'give a JSON object: {"width_cm": "12"}'
                self._refuse(row, "attributes", written, rule)
                return {}, False
            for name, value in given.items():
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                found[name.strip()] = "" if value is None else text.strip()
        for name, column in self._columns.attributes.items():
            found[name] = row.cells[column]
        return {name: text for name, text in found.items() if name}, every

    def _refuse(self, row: Row, name: str, value: str, rule: str) -> None:
        self.problems.append(Problem(row.number, self._columns.used.get(name, name), value, rule))
