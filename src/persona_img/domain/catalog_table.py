"""The catalogue's table: a CSV that people read and mend by hand."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from persona_img.domain.catalog import Product
from persona_img.domain.pose import checked_pose, checked_size
from persona_img.errors import BadCatalog, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTRIBUTE = "attr_"
"""Begins the name of a column that holds an attribute."""

_COLUMNS = (
    "product", "category", "title", "photo", "licence", "credit", "price", "currency", "retired",
    "photo_digest", "pose", "size_cm", "mask",
)  # fmt: skip
_NEEDED = ("product", "category", "photo", "licence")
_SHOWN_PROBLEMS = 20


def read_catalog(path: str | Path) -> list[Product]:
    """Products of the table; what a spreadsheet makes of it (BOM, semicolons) is read as well.

    Raises:
        NotFound: no such file.
        BadCatalog: not UTF-8, a column is missing, or rows break rules: all of them are named.
    """
    path = Path(path)
    if not path.exists():
        raise NotFound(f"{path}: no such catalogue; add photos with `persona-img catalog add`")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadCatalog(f"{path}: not UTF-8 ({error.reason}); save it as 'CSV UTF-8'") from error
    header, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() for name in next(lines, [])]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise BadCatalog(f"{path}: no column {', '.join(missing)}; add it")
    products, problems = [], []
    try:
        for number, cells in enumerate(lines, start=2):
            if not any(cells):
                continue
            try:
                products.append(_product(_row(names, cells), path.parent))
            except ValueError as error:
                problems.append(f"{path}:{number}: {error}")
    except csv.Error as error:
        problems.append(f"{path}:{lines.line_num}: {error}; is a quote left open?")
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        rest = [f"and {more} more rows"] if more > 0 else []
        raise BadCatalog("\n".join(problems[:_SHOWN_PROBLEMS] + rest))
    return products


def write_catalog(products: Iterable[Product], path: str | Path) -> None:
    """Write the table, whole or not at all; photos below its folder get relative paths."""
    path = Path(path)
    products = list(products)
    attributes = sorted({name for p in products for name in p.attributes})
    below = path.parent.resolve()
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([*_COLUMNS, *(ATTRIBUTE + name for name in attributes)])
        for p in products:
            shown, mask = _written(p.photo, below), p.mask and _written(p.mask, below)
            price = "" if p.price != p.price else p.price
            fixed = (p.product, p.category, p.title, shown, p.licence, p.credit, price, p.currency)
            more = (p.attributes.get(name, "") for name in attributes)
            size = "" if p.size_cm is None else p.size_cm
            writer.writerow([*fixed, p.retired, p.photo_digest, p.pose, size, mask or "", *more])
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def _written(path: Path, below: Path) -> str:
    """Relative where it lies below the table, so that the shop's folder may move."""
    whole = path.resolve()
    return whole.relative_to(below).as_posix() if whole.is_relative_to(below) else str(whole)


def _row(names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) < len(names):
        raise BadCatalog(f"{len(cells)} cells, the header has {len(names)}: too few; fill the row")
    if any(cells[len(names) :]):
        raise BadCatalog(
            f"{len(cells)} cells, the header has {len(names)}: too many; "
            "quote a cell that holds the separator, and write prices with a decimal point"
        )
    return dict(zip(names, cells, strict=False))


def _product(row: dict[str, str], folder: Path) -> Product:
    written = row.get("price", "").strip()
    try:
        price = float(written or "nan")
    except ValueError:
        price = float("inf")
    if written and not 0 <= price < float("inf"):
        raise BadCatalog(f"price {written!r} is no number; write it with a decimal point: 19.90")
    if not row["photo"]:
        raise BadCatalog(f"product {row['product']}: photo is empty; every product needs one")
    return Product(
        product=row["product"],
        category=row["category"],
        title=row.get("title") or row["product"],
        photo=folder / row["photo"],
        licence=row["licence"],
        credit=row.get("credit", ""),
        price=price,
        currency=row.get("currency", ""),
        attributes={
            name.removeprefix(ATTRIBUTE): cell
            for name, cell in row.items()
            if name.startswith(ATTRIBUTE) and cell
        },
        retired=row.get("retired", ""),
        photo_digest=row.get("photo_digest", ""),
        pose=checked_pose(row.get("pose", "")),
        size_cm=checked_size(row.get("size_cm", "")),
        mask=folder / row["mask"] if row.get("mask") else None,
    )
