"""The photos of one command: what fails is named, and the rest are made."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

import typer

from persona_img.errors import (
    BadPhoto,
    CannotWrite,
    LowMaskConfidence,
    PersonaImgError,
    UnreadablePhoto,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from persona_img.imaging.photo import Photo

_Line = tuple[str, TextIO]
_HELD: ContextVar[list[_Line] | None] = ContextVar("held", default=None)
"""Where a worker's lines wait until those of the photos before it are written."""
FOLDERS = (
    "Of a folder every photo is done: one that cannot be is named on stderr with its reason, the "
    "others are made, and the exit status is 1. Its own results in that folder, hidden files and "
    "folders inside are passed over. Results are named after the photo without its suffix; where "
    "two photos differ in the suffix alone (item.jpg, item.png), it stays in the name. Stopped in "
    "the middle, what is done stays; the same command makes it again, byte for byte."
)
"""What the help of every command says that takes a photo or a folder of photos."""


class Batch:
    """A photo, or a folder of them, for one command.

    Args:
        source: The photo or the folder.

    Raises:
        BadPhoto: nothing there, or a folder without a photo.

    Attributes:
        photos: In the order in which they are done.
        names: What each photo's results are called, without a suffix; never two alike.
    """

    def __init__(self, source: Path) -> None:
        from persona_img.imaging.folder import find_photos, result_name, result_names

        found = find_photos(source)
        self.photos = list(found.photos)
        self.folder = source.is_dir()
        if self.folder:
            self.names = result_names(self.photos)
        else:
            self.names = {source: result_name(source)}
        self._failed: set[Path] = set()
        for path, reason in found.skipped:
            tell(f"{path}: skipped, {reason}")

    def each(
        self,
        make: Callable[[Path, str], None],
        what: str = "photos",
        *,
        stays: bool = True,
        workers: int = 1,
    ) -> None:
        """Make the results of each photo.

        A single photo's error is the command's own; of a folder it is told and the next one done.

        Args:
            make: Of a photo and the name of its results.
            what: Word before the progress bar, which shows on a terminal.
            stays: Whether what is done is kept where somebody stops it.
            workers: Photos made at the same time; what is said of them keeps their order.

        Raises:
            CannotWrite: nothing more can be written.
            Exit: with status 130 where somebody stopped it.
        """
        from tqdm import tqdm

        quiet = len(self.photos) == 1 or not sys.stderr.isatty()
        done = 0
        made = self._made(make, workers) if workers > 1 else map(self._one(make), self.photos)
        try:
            for _ in tqdm(made, desc=what, total=len(self.photos), disable=quiet):
                done += 1
        except KeyboardInterrupt:
            tell(
                f"stopped: {done} of {len(self.photos)} photos are done, and stay; the same "
                f"command makes these again, byte for byte, and goes on"
                if stays
                else "stopped: nothing is written; the same command begins anew"
            )
            raise typer.Exit(130) from None
        except CannotWrite:
            if self.folder:
                tell(f"{done} of {len(self.photos)} photos are done, and stay")
            raise

    def _one(self, make: Callable[[Path, str], None]) -> Callable[[Path], None]:
        def one(path: Path) -> None:
            try:
                make(path, self.names[path])
            except CannotWrite:
                raise
            except PersonaImgError as error:
                # A product that cannot be told apart is no fault of what was given.
                if not self.folder and not isinstance(error, LowMaskConfidence):
                    raise
                self.fail(path, str(error))

        return one

    def _made(self, make: Callable[[Path, str], None], workers: int) -> Iterator[None]:
        """Yields after each photo, in their order; what is said is held back until its turn."""
        one = self._one(make)

        def held(path: Path) -> tuple[list[_Line], BaseException | None]:
            lines: list[_Line] = []
            token = _HELD.set(lines)
            try:
                one(path)
            except BaseException as error:
                return lines, error
            finally:
                _HELD.reset(token)
            return lines, None

        def told(future: Future[tuple[list[_Line], BaseException | None]]) -> BaseException | None:
            lines, error = future.result()
            for text, stream in lines:
                _write(text, stream)
            return error

        pool = ThreadPoolExecutor(workers)
        waiting = deque(pool.submit(held, path) for path in self.photos)
        try:
            while waiting:
                waiting[0].result()  # before it leaves the queue: somebody may stop this wait
                if (error := told(waiting.popleft())) is not None:
                    raise error
                yield
        except (KeyboardInterrupt, PersonaImgError):
            # Those that have begun are finished, and told of.
            pool.shutdown(cancel_futures=True)
            for future in waiting:
                if not future.cancelled() and told(future) is None:
                    yield
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def load(self) -> list[Photo]:
        """Every photo that can be read; the others are named.

        Raises:
            BadPhoto: none can be.
        """
        from persona_img.imaging.photo import load_photo

        loaded: list[Photo] = []
        self.each(lambda path, _: loaded.append(load_photo(path)), "read", stays=False)
        if not loaded:
            raise BadPhoto(f"{self.photos[0].parent}: no photo of this folder can be read")
        return loaded

    def fail(self, path: Path, reason: str) -> None:
        """Tell why a photo, or one of its results, is not made; the exit status will be 1."""
        tell(reason if reason.startswith(str(path)) else f"{path}: {reason}")
        self._failed.add(path)

    def finish(self) -> None:
        """End with status 1 where a photo failed.

        Raises:
            Exit: one did.
        """
        if not self._failed:
            return
        if len(self.photos) > 1:
            tell(f"{len(self._failed)} of {len(self.photos)} photos failed, as told above")
        raise typer.Exit(1)


def say(text: str) -> None:
    """Print a result, above a progress bar where there is one."""
    _write(text, sys.stdout)


def tell(text: str) -> None:
    """Print a problem to stderr, above a progress bar where there is one."""
    _write(text, sys.stderr)


@contextmanager
def unreadable_told() -> Iterator[None]:
    """While photos are learned from, name those that are left out.

    Raises:
        Exit: with status 1 at the end, where there were any.
    """
    told: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told:
            told.add(str(message))
            tell(str(message))

    with warnings.catch_warnings():
        known = warnings.showwarning
        warnings.simplefilter("always", UnreadablePhoto)
        warnings.showwarning = lambda message, category, *rest, **named: (
            show(message)
            if issubclass(category, UnreadablePhoto)
            else known(message, category, *rest, **named)
        )
        yield
    if told:
        tell(f"{len(told)} photos were left out, as told above")
        raise typer.Exit(1)


def _write(text: str, stream: TextIO) -> None:
    """A file's name may hold what no terminal shows, and a line break that would make two lines."""
    from tqdm import tqdm

    held = _HELD.get()
    if held is not None:
        held.append((text, stream))
        return
    encoding = stream.encoding or "utf-8"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    tqdm.write(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream)
