"""What may fail of a shop's files and disk while it is served: each as it fails in life."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos.endured import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos.endured import Failing
    from chaos.shops import Service

_PAGE = 4096
_DISK = "64M"


@contextmanager
def a_disk() -> Iterator[Path]:
    """A small disk of its own, which may be filled and frozen; skipped where none can be made."""
    with tempfile.TemporaryDirectory(prefix="persona-disk-") as made:
        image, mount = Path(made) / "image", Path(made) / "disk"
        mount.mkdir()
        steps = (
            ["truncate", "-s", _DISK, str(image)],
            ["mkfs.ext4", "-q", str(image)],
            ["mount", "-o", "loop", str(image), str(mount)],
        )
        for step in steps:
            there = shutil.which(step[0])
            if not there or subprocess.run(step, check=False, capture_output=True).returncode:
                pytest.skip(f"no disk of its own can be made here: {' '.join(step[:2])}")
        try:
            yield mount
        finally:
            subprocess.run(["umount", "-l", str(mount)], check=True)


def _log(service: Service) -> Path:
    return service.home / "events.sqlite"


@contextmanager
def locked(service: Service) -> Iterator[None]:
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(_log(service), isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(service: Service) -> Iterator[None]:
    """The disk is full to the last byte."""
    filler = service.home / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, _PAGE, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
        # What the service had begun to write meanwhile may have left room.
        yield
    filler.unlink()


@contextmanager
def no_room(service: Service) -> Iterator[None]:
    """No file of the service may grow: a quota."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    workers = service.workers()
    for one in workers:
        resource.prlimit(one, resource.RLIMIT_FSIZE, (_PAGE, infinite[1]))
    yield
    for one in workers:
        resource.prlimit(one, resource.RLIMIT_FSIZE, infinite)


@contextmanager
def read_only(service: Service) -> Iterator[None]:
    """The log may not be written, by whatever had it open either."""
    files = [str(path) for path in service.home.glob("events.sqlite*")]
    done = subprocess.run(["chattr", "+i", *files], check=False, capture_output=True)
    if done.returncode:
        subprocess.run(["chattr", "-i", *files], check=False, capture_output=True)
        pytest.skip("nothing can be made read-only here: chattr +i")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@contextmanager
def hangs(service: Service) -> Iterator[None]:
    """The disk takes nothing, and says nothing."""
    where = str(service.home.parent)
    subprocess.run(["fsfreeze", "-f", where], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", where], check=True)


def damaged(find: Callable[[Path], Path]) -> Failing:
    """Bytes of a file are others, where it lies, under whoever has it open; and are mended there.

    Args:
        find: The file, in the shop's folder. Every second of its pages is hit, from the second one
            on; of a small file its middle.
    """

    @contextmanager
    def failing(service: Service) -> Iterator[None]:
        path = find(service.home)
        size = path.stat().st_size
        places = list(range(_PAGE, size, 2 * _PAGE)) or [size // 2]
        with path.open("r+b", buffering=0) as file:
            before = [os.pread(file.fileno(), 16, at) for at in places]
            spoilt = [bytes(255 - byte for byte in one) for one in before]
            for at, one in zip(places, spoilt, strict=True):
                os.pwrite(file.fileno(), one, at)
            yield
            for at, good, bad in zip(places, before, spoilt, strict=True):
                if os.pread(file.fileno(), len(bad), at) == bad:  # nobody wrote there meanwhile
                    os.pwrite(file.fileno(), good, at)
        os.utime(path)

    return failing


def away(find: Callable[[Path], Path]) -> Failing:
    """A file, or a folder, is gone, and comes back."""

    @contextmanager
    def failing(service: Service) -> Iterator[None]:
        path = find(service.home)
        path.rename(path.with_name(f"{path.name}.away"))
        yield
        if path.is_dir():
            shutil.rmtree(path)
        path.with_name(f"{path.name}.away").replace(path)

    return failing


def cut_short(find: Callable[[Path], Path]) -> Failing:
    """A file is being copied over, as by ``cp``: it is emptied first, and filled in the end."""

    @contextmanager
    def failing(service: Service) -> Iterator[None]:
        path = find(service.home)
        whole = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            file.truncate(len(whole) // 3)
            yield
            file.seek(0)
            file.write(whole)

    return failing


def _table(home: Path) -> Path:
    (path,) = (home / "serving").glob("*.table")
    return path


DISK = [
    Failure("the log's disk is full", full, ("full", "disk")),
    Failure("the log is read-only", read_only, ("read-only", "disk")),
    Failure("the log's disk hangs", hangs, ("slow", "locked")),
]
"""Of the log on a disk of its own."""

LOG = [
    Failure("the log is locked by another program", locked, ("locked",)),
    Failure("no file may grow (a quota)", no_room, ("full", "disk")),
    Failure(
        "the log: bytes flipped in every second page",
        damaged(lambda home: home / "events.sqlite"),
        ("corrupt",),
    ),
    Failure("the log is gone", away(lambda home: home / "events.sqlite"), ("missing",)),
]
"""Of the log, wherever it lies."""

FILES = [
    Failure("the table's file: bytes flipped", damaged(_table)),
    Failure("the table's file is cut short", cut_short(_table)),
    Failure("the table's file is gone", away(_table)),
    Failure(
        "what names the table: bytes flipped",
        damaged(lambda home: home / "decisions.json"),
        ("table",),
    ),
    Failure("what names the table is gone", away(lambda home: home / "decisions.json"), ("table",)),
    Failure(
        "the catalogue: bytes flipped",
        damaged(lambda home: home / "catalog" / "products.csv"),
        ("catalogue",),
    ),
    Failure(
        "the catalogue is gone",
        away(lambda home: home / "catalog" / "products.csv"),
        ("catalogue",),
    ),
    Failure(
        "approvals: bytes flipped",
        damaged(lambda home: home / "variants" / "variants.sqlite"),
        ("approvals",),
        unseen=True,  # SQLite keeps pages in memory until somebody writes
    ),
    Failure("the folder of variants is gone", away(lambda home: home / "variants"), ("approvals",)),
    Failure(
        "the files of variants are gone",
        away(lambda home: home / "variants" / "variants"),
        ("pictures",),
    ),
    Failure("halts: bytes flipped", damaged(lambda home: home / "halts.json"), ("halts",)),
    Failure("the keys: bytes flipped", damaged(lambda home: home / "keys.json"), ("keys",)),
]
"""Of the other files that a service reads while it runs."""
