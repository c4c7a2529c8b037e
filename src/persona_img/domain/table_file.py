"""A decision table as one file that is mapped, not read: all processes share one copy of it.

Whoever opens it looks at its digest and at a page of names; slates are found in place, one by one,
when they are asked for. A file is never changed: a new table is a new file. Somebody else may write
over it, as ``cp`` does, and whoever looks at a mapping whose file became shorter is killed by the
system; so a file that is small enough for every process to have its own is read all the same.

Layout, little-endian, sections on multiples of 8 bytes::

    head        8 bytes "PIMGTAB1"; BLAKE2b of all that follows, 16 bytes
    about       length, 8 bytes, then JSON: policy version, segments' and styles' names, sizes
    shoppers    n hashes (u64, sorted), n places (u32), n + 1 ends (u32), names; n segments (u16)
    products    p hashes, places and ends, and their names
    variants    p + 1 firsts (u32); v styles (u16); v digests (32 bytes)
    grid        p x s (u32): where the slate lies, counted from 1; 0 is none
    slates      c, the number of candidates (u8); c of the product's variants (u8, 0 is the photo);
                c - 1 chances (u32), in parts of 2**32; the last one has what is left

A slate of c candidates takes 5 c + 1 bytes (4 less for the chance that is left out), 4 in the
grid, and its part of the product's names and variants. Slates that are the same lie there once.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from persona_img.domain.decision import (
    PARTS,
    Candidate,
    DecisionTable,
    Drawing,
    Slate,
    in_parts,
)
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import InvalidInput, NotFound, StoreConflict, StoreFailed

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.domain.leaning import Personal

_MAGIC = b"PIMGTAB1"
_DIGEST = 16
_HEAD = len(_MAGIC) + _DIGEST
_LENGTH = struct.Struct("<Q")
_PHOTO = (ORIGINAL.key, None)
_HEX = re.compile("[0-9a-f]{64}")
_NO_DIGEST = bytes(32)
_MOST = 255
_PLACES = 2**32 - 1
_CHANCES = [struct.Struct(f"<{count}I") for count in range(_MOST)]
_OWN = 2**23
"""Bytes up to which each process reads a file instead of mapping it."""
_REMEMBERED = 16_384
"""Places of products that are not looked for again; about 150 bytes each."""

Place = tuple[str, str]


def write_table(path: Path, table: DecisionTable) -> str:
    """Write a table beside ``path`` and put it in its place, whole or not at all.

    Where the same lies there already nothing is written: on a network's disk, who has a file mapped
    that is replaced may find it gone.

    Args:
        path: The file; whoever has the one before mapped keeps that.
        table: Its chances are stored as :func:`~persona_img.domain.decision.in_parts` has them.

    Returns:
        The file's digest, hexadecimal.

    Raises:
        InvalidInput: a slate of more than 255 candidates, a product of more than 255 variants, or
            more than the file's numbers can hold.
    """
    body = b"".join(_body(table))
    digest = hashlib.blake2b(body, digest_size=_DIGEST)
    head = _MAGIC + digest.digest()
    if _same(path, head, body):
        return digest.hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        file.write(head)
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return digest.hexdigest()


def _same(path: Path, head: bytes, body: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD) == head and file.read() == body
    except OSError:
        return False


def open_table(path: Path) -> DecisionTable:
    """A table over a file's bytes: its slates and segments are looked up in place.

    Raises:
        NotFound: there is no such file.
        StoreFailed: it is not what was written; says which file.
        StoreConflict: a newer program wrote it.
    """
    if sys.byteorder != "little":
        raise InvalidInput(f"{path}: is little-endian, and this machine is not")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= _OWN:
                whole = memoryview(file.read())
            else:
                # Read-only, so that nothing in this process can change what the others see.
                whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such table; publish one (persona-img prepare)") from error
    except (OSError, ValueError) as error:
        raise StoreFailed(f"{path}: cannot be read ({error}); {_MEND}", "disk") from error
    told, body = whole[len(_MAGIC) : _HEAD], whole[_HEAD:]
    found = hashlib.blake2b(body, digest_size=_DIGEST)
    begins = bytes(whole[: len(_MAGIC)])
    if begins != _MAGIC and begins.startswith(_MAGIC[:-1]) and begins[-1:].isdigit():
        raise StoreConflict(
            f"{path}: of format {begins[-1:].decode()}, this program reads {_MAGIC[-1:].decode()}; "
            "run the version that published it, or publish again with this one"
        )
    if begins != _MAGIC or told != found.digest():
        raise StoreFailed(
            f"{path}: is damaged, its digest is not that of its bytes; {_MEND}", "corrupt"
        )
    return _Mapped(body, found.hexdigest()).table()


_MEND = "delete it: a shop makes it again from the plan that it was made of"


class _Mapped:
    """The sections of a file."""

    def __init__(self, body: memoryview, digest: str) -> None:
        self.digest = digest
        (length,) = _LENGTH.unpack_from(body)
        start = _LENGTH.size + length
        self.about: dict[str, Any] = json.loads(bytes(body[_LENGTH.size : start]))
        sections = iter(_cut(body, start, self.about["sections"]))
        self.shoppers = _Names(*(next(sections) for _ in range(4)))
        self.segment_of = next(sections)
        self.products = _Names(*(next(sections) for _ in range(4)))
        self.product = lru_cache(_REMEMBERED)(self.products.find)
        self.firsts, self.styles, self.digests, self.grid, self.slates = sections
        self.segments: list[str] = self.about["segments"]
        self.column = {name: place for place, name in enumerate(self.segments)}
        self.looks = [Style(key) for key in self.about["styles"]]
        self.other: dict[str, str] = self.about["other_digests"]

    def table(self) -> DecisionTable:
        return DecisionTable(
            self.about["policy_version"],
            MappedSlates(self),
            MappedSegments(self),
            self.about["default_segment"],
            as_personal(self.about.get("personal")),
        )

    def find(self, place: Place) -> tuple[int, int] | None:
        """Product and start of a slate's record."""
        segment, name = place
        column, product = self.column.get(segment), self.product(name)
        if column is None or product is None:
            return None
        at = self.grid[product * len(self.segments) + column]
        return (product, at - 1) if at else None

    def chances(self, at: int) -> tuple[int, ...]:
        """In parts, but for the last."""
        count = self.slates[at]
        return _CHANCES[count - 1].unpack_from(self.slates, at + 1 + count)

    def candidate(self, product: int, at: int, number: int, parts: int) -> Candidate:
        """Of the record's candidates the one of this number."""
        own = self.slates[at + 1 + number]
        if own == 0:
            return Candidate(ORIGINAL, None, parts / PARTS)
        variant = self.firsts[product] + own - 1
        style = self.looks[self.styles[variant]]
        return Candidate(style, self._digest_of(variant), parts / PARTS)

    def product_of(self, digest: str) -> str | None:
        """The product of a variant, found by looking at the variants one by one."""
        for variant in range(len(self.styles)):
            if self._digest_of(variant) == digest:
                return self.products.name(bisect_right(self.firsts, variant) - 1)
        return None

    def _digest_of(self, variant: int) -> str | None:
        raw = bytes(self.digests[32 * variant : 32 * variant + 32])
        return self.other.get(str(variant)) if raw == _NO_DIGEST else raw.hex()


class MappedSlates(Drawing):
    """(segment, product) to slate, each made of the file's bytes when it is asked for."""

    def __init__(self, mapped: _Mapped) -> None:
        self._mapped = mapped

    def __getitem__(self, place: Place) -> Slate:
        mapped, found = self._mapped, self._mapped.find(place)
        if found is None:
            raise KeyError(place)
        chances = mapped.chances(found[1])
        every = (*chances, PARTS - sum(chances))
        return Slate(tuple(mapped.candidate(*found, n, parts) for n, parts in enumerate(every)))

    def draw(self, place: Place, uniform: float) -> Candidate | None:
        """What :meth:`Slate.draw` of the slate gives; None where there is none."""
        found = self._mapped.find(place)
        if found is None:
            return None
        chances = self._mapped.chances(found[1])
        wanted, passed = uniform * PARTS, 0  # a power of two: nothing is rounded
        for number, parts in enumerate(chances):
            passed += parts
            if wanted < passed:
                return self._mapped.candidate(*found, number, parts)
        return self._mapped.candidate(*found, len(chances), PARTS - passed)

    def product_of(self, digest: str) -> str | None:
        """A product that a variant shows; None of a variant that is in no slate."""
        return self._mapped.product_of(digest)

    def __iter__(self) -> Iterator[Place]:
        mapped = self._mapped
        width = len(mapped.segments)
        for row, product in enumerate(mapped.products):
            for column, segment in enumerate(mapped.segments):
                if mapped.grid[row * width + column]:
                    yield segment, product

    def __len__(self) -> int:
        return int(self._mapped.about["slates"])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MappedSlates) and other._mapped.digest == self._mapped.digest:
            return True
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[dict[Place, Slate]], tuple[dict[Place, Slate]]]:
        return dict, (dict(self),)


class MappedSegments(Mapping[str, str]):
    """Shopper to segment, looked up in the file."""

    def __init__(self, mapped: _Mapped) -> None:
        self._mapped = mapped

    def __getitem__(self, shopper: str) -> str:
        place = self._mapped.shoppers.find(shopper)
        if place is None:
            raise KeyError(shopper)
        return self._mapped.segments[self._mapped.segment_of[place]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapped.shoppers)

    def __len__(self) -> int:
        return len(self._mapped.shoppers)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MappedSegments) and other._mapped.digest == self._mapped.digest:
            return True
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(self),)


class _Names:
    """Names by their hash, and in the order in which they were given."""

    def __init__(
        self, hashes: memoryview, places: memoryview, ends: memoryview, text: memoryview
    ) -> None:
        self._hashes, self._places, self._ends, self._text = hashes, places, ends, text

    def find(self, name: str) -> int | None:
        raw = _encoded(name)
        wanted = _hash(raw)
        at = bisect_left(self._hashes, wanted)
        while at < len(self._hashes) and self._hashes[at] == wanted:
            place = self._places[at]
            if self._text[self._ends[place] : self._ends[place + 1]] == raw:
                return int(place)
            at += 1
        return None

    def __iter__(self) -> Iterator[str]:
        return map(self.name, range(len(self)))

    def name(self, place: int) -> str:
        raw = self._text[self._ends[place] : self._ends[place + 1]]
        return bytes(raw).decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._hashes)

    @staticmethod
    def packed(names: Sequence[str]) -> list[bytes]:
        raws = [_encoded(name) for name in names]
        hashes = [_hash(raw) for raw in raws]
        order = sorted(range(len(names)), key=hashes.__getitem__)
        ends = [0]
        for raw in raws:
            ends.append(ends[-1] + len(raw))
        return [
            array("Q", (hashes[i] for i in order)).tobytes(),
            _numbers("I", order),
            _numbers("I", ends),
            b"".join(raws),
        ]


_KINDS: tuple[Literal["Q", "I", "H", "B"], ...] = (
    "Q",
    "I",
    "I",
    "B",
    "H",
    "Q",
    "I",
    "I",
    "B",
    "I",
    "H",
    "B",
    "I",
    "B",
)
"""What each section consists of."""


def _cut(body: memoryview, start: int, lengths: Sequence[int]) -> Iterator[memoryview]:
    at = start
    for kind, length in zip(_KINDS, lengths, strict=True):
        at += _padding(at + _HEAD)
        yield body[at : at + length].cast(kind)
        at += length


def _body(table: DecisionTable) -> Iterator[bytes]:
    segments = list(dict.fromkeys((*(s for s, _ in table.slates), *table.segments.values())))
    products = list(dict.fromkeys(product for _, product in table.slates))
    row = {name: place for place, name in enumerate(products)}
    column = {name: place for place, name in enumerate(segments)}
    styles: dict[str, int] = {}
    variants: list[dict[tuple[str, str | None], int]] = [{_PHOTO: 0} for _ in products]
    grid = array("I", bytes(4 * len(products) * len(segments)))
    slates, known = bytearray(), dict[bytes, int]()
    for (segment, product), slate in table.slates.items():
        record = _record(slate, variants[row[product]], product)
        at = known.get(record)
        if at is None:
            at = known[record] = len(slates) + 1
            slates += record
        if at > _PLACES:
            raise InvalidInput(f"policy {table.policy_version!r}: slates of over 4 GiB; make fewer")
        grid[row[product] * len(segments) + column[segment]] = at
    flat = [key for own in variants for key in list(own)[1:]]
    firsts = [0]
    for own in variants:
        firsts.append(firsts[-1] + len(own) - 1)
    looks = _numbers("H", [styles.setdefault(key, len(styles)) for key, _ in flat])
    raw = [_raw_digest(digest) for _, digest in flat]
    other = {
        str(place): digest
        for place, (_, digest) in enumerate(flat)
        if raw[place] == _NO_DIGEST and digest is not None
    }
    sections = [
        *_Names.packed(list(table.segments)),
        _numbers("H", [column[segment] for segment in table.segments.values()]),
        *_Names.packed(products),
        _numbers("I", firsts),
        looks,
        b"".join(raw),
        grid.tobytes(),
        bytes(slates),
    ]
    about = {
        "policy_version": table.policy_version,
        "default_segment": table.default_segment,
        "segments": segments,
        "styles": list(styles),
        "slates": len(table.slates),
        "other_digests": other,
        "sections": [len(one) for one in sections],
        **({} if table.personal is None else {"personal": personal_dict(table.personal)}),
    }
    text = json.dumps(about).encode()
    yield _LENGTH.pack(len(text))
    yield text
    at = _HEAD + _LENGTH.size + len(text)
    for one in sections:
        pad = _padding(at)
        yield bytes(pad)
        yield one
        at += pad + len(one)


def _record(slate: Slate, own: dict[tuple[str, str | None], int], product: str) -> bytes:
    candidates = in_parts(slate).candidates
    places = [own.setdefault((c.style.key, c.digest), len(own)) for c in candidates]
    if len(candidates) > _MOST or len(own) > _MOST + 1:
        raise InvalidInput(
            f"product {product!r}: {len(candidates)} candidates of {len(own)} variants; give at "
            f"most {_MOST} of each"
        )
    parts = [round(c.probability * PARTS) for c in candidates[:-1]]
    return bytes([len(places), *places]) + struct.pack(f"<{len(parts)}I", *parts)


def personal_dict(personal: Personal) -> dict[str, Any]:
    """Plain values for JSON of what turns chances to single shoppers."""
    return {
        "leaning": personal.leaning.as_dict(),
        "sharpness": personal.sharpness,
        "floor": personal.floor,
    }


def as_personal(stored: Mapping[str, Any] | None) -> Personal | None:
    """The inverse of :func:`personal_dict`; None of nothing."""
    if stored is None:
        return None
    from persona_img.domain.leaning import Leaning, Personal  # numpy: paths alone open fast

    leaning = Leaning.from_dict(stored["leaning"])
    return Personal(leaning, stored["sharpness"], stored["floor"])


def _raw_digest(digest: str | None) -> bytes:
    return bytes.fromhex(digest) if digest and _HEX.fullmatch(digest) else _NO_DIGEST


def _numbers(kind: str, values: Iterable[int]) -> bytes:
    try:
        return array(kind, values).tobytes()
    except OverflowError as error:
        raise InvalidInput(f"a table of more names than it can number ({error})") from error


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _hash(raw: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def _padding(at: int) -> int:
    return -at % 8
