"""What suites of several rooms render or learn from; made once a run."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings

import cores  # noqa: F401  before numpy, OpenCV and torch
from examples import PHOTOS, STYLE, a_photo
from persona_img.imaging.photo import Photo, load_photo
from persona_img.rendering.base import Variant
from persona_img.rendering.renderer import BackdropRenderer
from persona_img.rendering.sources.plain import PlainBackdrops
from persona_img.shop import adapting, learning

# No test is timed: machines are shared, and a first call imports.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, where processes share the files out: none is left for last."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@contextmanager
def _named_from(first: datetime) -> Iterator[None]:
    """Policy versions are numbered by the second from ``first``, the same in every run.

    Who sees a challenger is dealt by the name of its table, which holds the time: with the clock's
    own each run would look at other shoppers, and one in many at too few to tell anything.
    """
    seconds = itertools.count()

    def named(name: str) -> str:
        return f"{name}-{first + timedelta(seconds=next(seconds)):%Y%m%dT%H%M%S.%f}"

    with pytest.MonkeyPatch.context() as patch:
        for module in (adapting, learning):
            patch.setattr(module, "version_name", named)
        yield


@pytest.fixture(scope="module", autouse=True)
def _named_alike_in_every_run() -> Iterator[None]:
    with _named_from(datetime(2026, 1, 1, tzinfo=UTC)):
        yield


@pytest.fixture(scope="session")
def photo() -> Photo:
    return a_photo()


@pytest.fixture(scope="session")
def shirt() -> Photo:
    return load_photo(PHOTOS / "shirt-01.jpg")


@pytest.fixture(scope="session")
def renderer() -> BackdropRenderer:
    return BackdropRenderer(PlainBackdrops())


@pytest.fixture(scope="session")
def variant(renderer: BackdropRenderer, photo: Photo) -> Variant:
    return renderer.render(photo, STYLE, seed=7)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``made_once(name, make)`` is a folder that ``make(folder)`` filled, once in a run.

    All processes of the run share it: read it, and change only copies.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.made"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir()
                # Earlier than what the tests make in copies of it.
                with _named_from(datetime(2025, 1, 1, tzinfo=UTC)):
                    make(folder)
                done.touch()
        return folder

    return folder_of
