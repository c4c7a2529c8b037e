"""The clock of a service's processes, moved while they run."""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.endured import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.endured import Failing
    from chaos.shops import Service

HOUR = 3600.0
JUMPS = {
    "the clock jumps an hour ahead": HOUR,
    "the clock jumps back an hour": -HOUR,
    "the clock jumps a day ahead": 24 * HOUR,
    "the clock jumps back a day": -24 * HOUR,
}


class Clock:
    """What Python takes for the time in processes with its environment; it begins with the truth.

    Args:
        folder: For the file that says by how much it is wrong.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wrong-by"
        self._file.write_bytes(bytes(8))
        moved = Path(__file__).parent / "moved"
        path = os.pathsep.join(filter(None, (str(moved), os.environ.get("PYTHONPATH"))))
        self.environment = {"WRONG_BY": str(self._file), "PYTHONPATH": path}

    def jump(self, seconds: float) -> None:
        """Be wrong by so much from now on."""
        with self._file.open("r+b", buffering=0) as file:  # the processes have it mapped
            file.write(struct.pack("<d", seconds))

    def failures(self) -> list[Failure]:
        """Each jump, and back: ``/readyz`` has nothing to tell of them."""
        return [Failure(name, self._jumping(by)) for name, by in JUMPS.items()]

    def _jumping(self, seconds: float) -> Failing:
        @contextmanager
        def failing(_: Service) -> Iterator[None]:
            self.jump(seconds)
            yield
            self.jump(0.0)

        return failing
