"""What a file is, found by reading it once: its digest, its kind, how its text is written."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, cast

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Kind = Literal["parquet", "csv", "jsonl", "empty"]

_CHUNK = 1 << 20
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = (
    (b"PK\x03\x04", "a spreadsheet or an archive; save it as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet; save it as CSV (UTF-8)"),
    (b"Obj\x01", "Avro; export Parquet or JSON Lines"),
    (b"ORC", "ORC; export Parquet or JSON Lines"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd; unpack it, or pack it with gzip"),
    (b"BZh", "packed with bzip2; unpack it, or pack it with gzip"),
    (b"SQLite format 3", "a database; export the table as CSV or Parquet"),
)
_UNUSED_1252 = bytes.maketrans(b"\x81\x8d\x8f\x90\x9d", b"\x00\x00\x00\x00\x00")
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".json", ".gz")


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        path: The file.
        kind: By its first bytes, not by its name.
        digest: SHA-256 of what it holds, unpacked, hex: packing it again does not change it.
        size: Bytes, unpacked.
        packed: Whether it is packed with gzip.
        encoding: Of its text, by Python's name.
        guessed: Whether the encoding is a guess: no byte order mark, and not UTF-8.
    """

    path: Path
    kind: Kind
    digest: str
    size: int
    packed: bool
    encoding: str
    guessed: bool

    @classmethod
    def of(cls, path: Path, *, progress: Callable[[int], None] = lambda _: None) -> Contents:
        """Read the whole file once.

        Args:
            path: The file.
            progress: Told how many bytes more were read.

        Raises:
            InvalidInput: not there, not readable, or nothing we read.
        """
        digest, size, head = hashlib.sha256(), 0, b""
        text = _Utf8()
        with unpacked(path) as stream:
            packed = isinstance(stream, gzip.GzipFile)
            for chunk in _chunks(stream, path):
                if not head:
                    head = chunk
                    kind = _kind(path, head)
                digest.update(chunk)
                size += len(chunk)
                if kind != "parquet":
                    text.add(chunk)
                progress(len(chunk))
        if not head:
            kind = "empty"
        encoding, guessed = _encoding(head, text) if kind in ("csv", "jsonl") else ("", False)
        return cls(path, kind, digest.hexdigest(), size, packed, encoding, guessed)

    def open(self) -> IO[bytes]:
        """Its bytes, unpacked, from the start."""
        return unpacked(self.path)


def tables_in(path: Path, skipped: list[Path]) -> list[Path]:
    """The file, or the tables in a folder and the folders in it, in order of their names.

    Args:
        path: A file of any name, or a folder.
        skipped: Gets what lies in the folder and is no table by its name.

    Raises:
        InvalidInput: it is not there.
    """
    if not path.exists():
        raise InvalidInput(f"{path}: not there; name a file or a folder")
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for one in sorted(path.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in one.relative_to(path).parts)
        if one.is_file() and not hidden:
            (found if one.suffix.lower() in SUFFIXES else skipped).append(one)
    return found


def unpacked(path: Path) -> IO[bytes]:
    """A file's bytes, without gzip around them.

    Raises:
        InvalidInput: it cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        return cast("IO[bytes]", gzip.open(path)) if packed else path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}); name a file") from error


def first_lines(contents: Contents, encoding: str, length: int = 1 << 16) -> str:
    """The beginning of its text, without a byte order mark.

    Raises:
        InvalidInput: there is no such encoding.
    """
    with contents.open() as stream:
        head = stream.read(length)
    try:
        return codecs.getincrementaldecoder(encoding)("replace").decode(head).lstrip("\ufeff")
    except LookupError:
        raise InvalidInput(f"encoding {encoding!r} is unknown; try utf-8 or cp1252") from None


def delimiter(text: str) -> str:
    """What separates the cells of a table: the one that cuts its first rows into equally many."""
    best, most = ",", (False, 1)
    for mark in ",;\t|":
        rows = list(zip(csv.reader(io.StringIO(text), delimiter=mark), range(5), strict=False))
        counts = [len(row) for row, _ in rows if row]
        if counts and counts[0] > 1:
            found = (len(set(counts[:4])) == 1, counts[0])
            if found > most:
                best, most = mark, found
    return best


def _chunks(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cut off or broken ({error}); fetch it again") from error


def _kind(path: Path, head: bytes) -> Kind:
    for mark, what in _FOREIGN:
        if head.startswith(mark):
            raise InvalidInput(f"{path}: this is {what}")
    if head.startswith(b"PAR1"):
        return "parquet"
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\0" in head[:4096] and not wide:
        raise InvalidInput(f"{path}: this is no text; give CSV, JSON Lines or Parquet")
    first = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if first == b"[":
        raise InvalidInput(
            f"{path}: one JSON list; give JSON Lines, an object a line (jq -c '.[]' in.json)"
        )
    return "jsonl" if first == b"{" else "csv"


class _Utf8:
    """Whether all of a text is UTF-8, none of it, or some."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.good = self.bad = 0
        self.unused = False

    def add(self, chunk: bytes) -> None:
        if chunk.isascii() and not self._decoder.getstate()[0]:
            return
        text = self._decoder.decode(chunk)
        bad = text.count("\ufffd")
        self.bad += bad
        self.good += len(text) - len(text.encode("ascii", "ignore")) - bad
        self.unused |= b"\x81" in chunk or chunk.translate(_UNUSED_1252).count(b"\0") > chunk.count(
            b"\0"
        )


def _encoding(head: bytes, text: _Utf8) -> tuple[str, bool]:
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, False
    if not text.bad or text.good:
        return "utf-8", False  # rows that are not are refused one by one
    return ("latin-1" if text.unused else "cp1252"), True
