"""A shop's products from a table or a folder of photos: read and checked, nothing written."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_img.domain.catalog import product_id
from persona_img.errors import BadCatalog, InvalidInput
from persona_img.imaging.drawn import mask_beside
from persona_img.imaging.photo import list_photos
from persona_img.ingest.products.columns import ColumnCheck, check_columns
from persona_img.ingest.products.mask_files import open_mask
from persona_img.ingest.products.photo_files import is_photo, open_photo
from persona_img.ingest.products.rows import NEEDED, Entry, Reading, read_rows
from persona_img.ingest.tables import Problem, read_table

if TYPE_CHECKING:
    from persona_img.domain.catalog import Product
    from persona_img.ingest.tables import Table

KnownPhoto = Callable[[str, str], str | None]
"""(product, digest of a file) to the pixels' digest where the shop has this photo of it already."""

_SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Batch:
    """A source that was read and checked.

    Attributes:
        source: Table or folder.
        columns: What its columns are taken for; None for photos.
        entries: Rows that can be added, each product once.
        problems: All that is wrong with the others, by row.
    """

    source: Path
    columns: ColumnCheck | None
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    def refuse(self) -> None:
        """Raise where a row is wrong.

        Raises:
            BadCatalog: with the first problems, and how many there are.
        """
        if not self.problems:
            return
        bad = len({problem.row for problem in self.problems})
        lines = [
            f"{self.source}: {bad:,} of {bad + len(self.entries):,} rows cannot be added, "
            "so nothing was; mend them, or add the others with --skip-bad"
        ]
        lines += [f"  {problem}" for problem in self.problems[:_SHOWN_PROBLEMS]]
        more = len(self.problems) - _SHOWN_PROBLEMS
        if more > 0:
            lines.append(f"  and {more:,} more; --rejects FILE writes them all")
        raise BadCatalog("\n".join(lines))

    def write_problems(self, path: str | Path) -> None:
        """Every problem as a CSV: row, column, value, rule; whole or not at all."""
        path = Path(path)
        partial = path.with_name(path.name + ".part")
        with partial.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(("row", "column", "value", "rule"))
            writer.writerows((p.row, p.column, p.value, p.rule) for p in self.problems)
        partial.replace(path)


def read_products(
    source: str | Path | Iterable[Product],
    reading: Reading,
    *,
    known: frozenset[str] = frozenset(),
    known_photo: KnownPhoto = lambda product, digest: None,
    workers: int = 4,
    on_columns: Callable[[ColumnCheck], None] = lambda _: None,
    on_photo: Callable[[int, int], None] = lambda done, of: None,
    mask: Path | None = None,
) -> Batch:
    """Products of a table, a photo or a folder of photos; every photo is opened.

    A mask that a person put beside a photo (:func:`.drawn.mask_beside`) comes with it.

    Args:
        source: A table's rows are products; a photo is one product, named after its file. Or
            products themselves.
        reading: How to read a table, and what is the same for all.
        known: Identifiers of the products that the shop has: a row about one of them may leave
            out what a new one needs.
        known_photo: Tells photos that need not be opened again.
        workers: Photos opened at the same time.
        on_columns: Told what the columns are taken for before a row is read.
        on_photo: Told how many photos of how many were opened.
        mask: Of the one photo that there is.

    Raises:
        InvalidInput: the source cannot be read, the mapping does not fit it, or there is a mask
            and more than one photo.
        BadCatalog: a column that every row needs is not there.
    """
    columns = None
    problems: list[Problem] = []
    if not isinstance(source, str | Path):
        entries = _given(source)
        source = Path("products")
    elif (source := Path(source)).is_dir() or is_photo(source):
        if reading.mapping:
            raise BadCatalog(f"{source}: photos have no columns to map; leave --map out")
        entries, problems = _named_after_photos(source, reading, known)
    else:
        table = read_table(source, encoding=reading.encoding, delimiter=reading.delimiter)
        columns = check_columns(table, reading.mapping, reading.defaults)
        on_columns(columns)
        _require(table, columns, reading, known)
        entries, problems = read_rows(table, columns, reading, known)
    if mask is not None:
        if len(entries) + len(problems) != 1:
            raise InvalidInput(
                f"mask {mask}: {source} has {len(entries) + len(problems)} photos; a mask is of "
                f"one, or lies beside its photo as NAME.mask.png"
            )
        entries = [replace(entry, drawn=mask) for entry in entries]
    opened, unusable = _opened(entries, columns, known_photo, workers, on_photo)
    everything = sorted([*problems, *unusable], key=lambda problem: problem.row)
    return Batch(source, columns, tuple(opened), tuple(everything))


def _given(products: Iterable[Product]) -> list[Entry]:
    kept = (
        "title", "category", "licence", "credit", "price", "currency", "retired", "pose", "size_cm",
    )  # fmt: skip
    return [
        Entry(
            number,
            p.product,
            {name: getattr(p, name) for name in kept},
            p.attributes,
            every_attribute=True,
            source=p.photo,
            drawn=p.mask,
        )
        for number, p in enumerate(products, start=1)
    ]


def _named_after_photos(
    source: Path, reading: Reading, known: frozenset[str]
) -> tuple[list[Entry], list[Problem]]:
    # Files that begin with a dot are other programs' notes, also where they end like a photo.
    paths = [p for p in list_photos(source) if p == source or not p.name.startswith(".")]
    stems = [unicodedata.normalize("NFC", path.stem) for path in paths]
    missing = [name for name in NEEDED if name not in {*reading.defaults, "photo"}]
    entries, problems = [], []
    for number, (path, stem) in enumerate(zip(paths, stems, strict=True), start=1):
        alone = stems.count(stem) == 1
        try:
            product = product_id(stem if alone else path.name)
        except BadCatalog as error:
            rule = str(error).partition(": ")[2]
            problems.append(Problem(number, "file", ascii(path.name)[1:-1], rule))
            continue
        values: dict[str, Any] = dict(reading.defaults)
        if product not in known:
            values["title"] = stem.replace("-", " ")
            if missing:
                options = " and ".join(f"--{name}" for name in missing)
                raise BadCatalog(
                    f"{source}: photos say nothing of {' and '.join(missing)}; say {options}"
                )
        entries.append(Entry(number, product, values, source=path))
    return entries, problems


def _require(table: Table, columns: ColumnCheck, reading: Reading, known: frozenset[str]) -> None:
    """Raise where a column that all rows need is not there."""
    needed = ("product",) if known else ("product", *NEEDED)
    missing = [f for f in needed if f not in columns.used and f not in reading.defaults]
    if missing:
        also = [f"--{name} for all" for name in missing if name in ("category", "licence")]
        raise BadCatalog(
            f"{table.path}: no column is taken for {', '.join(missing)}; there are "
            f"{', '.join(table.columns)}: say {' or '.join([f'--map {missing[0]}=COLUMN', *also])}"
        )


def _opened(
    entries: list[Entry],
    columns: ColumnCheck | None,
    known_photo: KnownPhoto,
    workers: int,
    on_photo: Callable[[int, int], None],
) -> tuple[list[Entry], list[Problem]]:
    """Entries with their photos, opened side by side; and what cannot be used."""
    column = "photo" if columns is None else columns.used.get("photo", "photo")
    total = sum(entry.source is not None for entry in entries)
    done, opened, problems = 0, [], []

    def photo(entry: Entry) -> Entry | Problem:
        if entry.source is None:
            return entry
        try:
            found = open_photo(entry.source, lambda digest: known_photo(entry.product, digest))
            drawn = entry.drawn or mask_beside(entry.source)
            mask = None if drawn is None else open_mask(drawn, entry.source)
        except ValueError as error:
            return Problem(entry.row, column, str(entry.source), str(error))
        return replace(entry, photo=found, mask=mask)

    pool = ThreadPoolExecutor(workers)
    try:
        for entry, found in zip(entries, pool.map(photo, entries), strict=True):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                opened.append(found)
            if entry.source is not None:
                done += 1
                on_photo(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return opened, problems
