"""Moves the clock of the process that imports it, as Python does when it starts.

``time.time`` and ``time.time_ns`` are wrong by the seconds in the file that ``WRONG_BY`` names, a
float64 that may change at any moment. Libfaketime would do it below Python; but its 0.9.10 spoils
``clock_nanosleep``, and threads then hand over to each other a hundred times slower.
"""

import mmap
import os
import struct
import time

with open(os.environ["WRONG_BY"], "rb") as file:  # noqa: PTH123  pathlib costs every start
    _wrong = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_time, _time_ns, _by = time.time, time.time_ns, struct.Struct("<d")


def _moved() -> float:
    return _time() + _by.unpack_from(_wrong)[0]


def _moved_ns() -> int:
    return _time_ns() + int(_by.unpack_from(_wrong)[0]) * 10**9


time.time, time.time_ns = _moved, _moved_ns
