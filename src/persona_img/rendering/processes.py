"""Rendering in processes of its own.

Between numpy's and torch's calls a renderer is Python, of which one thread runs at a time: two
threads render hardly faster than one, two processes nearly twice as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loky import ProcessPoolExecutor
from loky.process_executor import BrokenProcessPool

from persona_img.errors import InvalidInput, RenderRejected, ServiceFailed
from persona_img.rendering.base import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from persona_img.domain.style import Style
    from persona_img.imaging.photo import Photo
    from persona_img.rendering.base import Renderer

_ENVIRONMENT = {"LOKY_MAX_MEMORY_LEAK_SIZE": str(64 * 2**30)}
"""Materials and views that are kept in memory are no leak, for which a process would begin anew."""

_IDLE_SECONDS = 60.0
"""After which a process without work ends, also where whoever began it was killed."""

_Made = list["Variant | tuple[Style, str]"]
"""In the order of the styles: a variant, or the style and why it was refused."""


class ProcessRenderer:
    """A renderer that has its pictures made elsewhere; they have the bytes that it makes itself.

    What is asked of it by several threads at once is made at once. Close it, or use it in a
    ``with``, so that its processes end.

    Args:
        local: Renders the same; asked for its fingerprint alone.
        build: Makes such a renderer, once in each process: a function of a module, or a partial of
            one with arguments that can be pickled.
        processes: How many, each with the renderer's weights in its memory.

    Raises:
        InvalidInput: fewer than one process.
    """

    def __init__(self, local: Renderer, build: Callable[[], Renderer], processes: int) -> None:
        if processes < 1:
            raise InvalidInput(f"{processes} processes: give at least 1")
        self._local = local
        # Unlike the standard library's, loky's processes do not run the caller's script again.
        self._pool = ProcessPoolExecutor(
            processes,
            timeout=_IDLE_SECONDS,
            initializer=_begin,
            initargs=(build,),
            env=_ENVIRONMENT,
        )

    def __enter__(self) -> ProcessRenderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; what they are at is lost."""
        self._pool.shutdown(kill_workers=True)

    def fingerprint(self) -> str:
        """See :class:`.base.Renderer`."""
        return self._local.fingerprint()

    def render(self, photo: Photo, style: Style, *, seed: int) -> Variant:
        """See :class:`.base.Renderer`."""
        return next(self.render_many(photo, [style], [seed]))

    def render_many(
        self,
        photo: Photo,
        styles: Sequence[Style],
        seeds: Sequence[int],
        *,
        on_rejected: Callable[[Style, RenderRejected], None] | None = None,
    ) -> Iterator[Variant]:
        """See :class:`.base.Renderer`; all of one call are made by one process.

        Raises:
            ServiceFailed: a process ended before it answered.
        """
        if not styles:
            return
        try:
            made = self._pool.submit(_make, photo, list(styles), list(seeds)).result()
        except BrokenProcessPool as error:
            raise ServiceFailed(
                "a process that renders ended before it answered, as where memory is short: set "
                "fewer [render] processes; what was rendered before is kept"
            ) from error
        for one in made:
            if isinstance(one, Variant):
                yield one
                continue
            style, reason = one
            if on_rejected is None:
                raise RenderRejected(reason)
            on_rejected(style, RenderRejected(reason))


_RENDERER: list[Renderer] = []
"""Of a process that renders: one, made when it began."""


def _begin(build: Callable[[], Renderer]) -> None:
    _RENDERER[:] = [build()]


def _make(photo: Photo, styles: list[Style], seeds: list[int]) -> _Made:
    made: _Made = []

    def refused(style: Style, error: RenderRejected) -> None:
        made.append((style, str(error)))

    for variant in _RENDERER[0].render_many(photo, styles, seeds, on_rejected=refused):
        made.append(variant)
    return made
