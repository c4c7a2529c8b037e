"""What the GPU's benchmarks share: options, a clock that waits for the device, cost, tables."""

from __future__ import annotations

import gc
import json
import math
import statistics
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import logging
from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Row = dict[str, Any]
"""Figures as they stand in the JSON file; None where there is nothing to measure."""
CONSOLE = Console(highlight=False, width=110)


def options(doc: str) -> ArgumentParser:
    """The options that both have, under a script's text."""
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--price", type=float, default=2.5, help="of an hour (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--calls", type=int, default=3, help="of each at least (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="small shapes on the CPU: tries it")
    return parser


def begin(given: Namespace) -> tuple[torch.device, Row]:
    """The device and what is known of it; without a GPU the program ends here."""
    if not 0 < given.price < math.inf:
        raise SystemExit(f"--price {given.price}: give a price above 0")
    if given.calls < 1:
        raise SystemExit(f"--calls {given.calls}: give at least 1")
    if not given.tiny and not torch.cuda.is_available():
        why = "no CUDA device: take a machine with a GPU and a CUDA build of torch"
        raise SystemExit(f"{why}, or give --tiny to try the script on the CPU")
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # it warns whenever SDXL's codec is cast
    name = "CPU, tiny" if given.tiny else torch.cuda.get_device_name()
    facts = {"device": name, "torch": torch.__version__, "price": given.price}
    CONSOLE.print(", ".join(f"{key} {value}" for key, value in facts.items()))
    keep(given, facts)  # a folder that is not there is told before anything is measured
    return torch.device("cpu" if given.tiny else "cuda"), facts


def keep(given: Namespace, results: Row) -> None:
    """Write the figures where that was asked for."""
    if given.json:
        given.json.write_text(json.dumps(results, indent=1, allow_nan=False))


def measure(run: Callable[[], object], made: int, device: torch.device, given: Namespace) -> Row:
    """Figures of ``run``, which makes ``made`` pictures and is warm: the median of its calls."""
    cuda, taken = device.type == "cuda", list[float]()
    wait = torch.cuda.synchronize if cuda else lambda: None
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    wait()
    while not taken or (not given.tiny and (len(taken) < given.calls or sum(taken) < 0.5)):
        start = time.perf_counter()
        run()
        wait()
        taken.append(time.perf_counter() - start)
    each = statistics.median(taken) / made
    memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else None
    row: Row = {"batch": made, "seconds": each * made, "per_second": 1 / each, "memory_gib": memory}
    return row | {"cost_per_thousand": 1000 * each / 3600 * given.price}


def attempt(call: Callable[[], Any]) -> Any:
    """What ``call`` returns; None where the GPU is too small. What nobody holds is given back."""
    result = None
    with suppress(torch.OutOfMemoryError):
        result = call()
    if torch.cuda.is_available():  # outside: in there the error still holds what is to be freed
        gc.collect()
        torch.cuda.empty_cache()
    return result


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows of text, numbers and None; numbers with three digits that count."""
    made = Table(heads[0], *(Column(head, justify="right") for head in heads[1:]), title=title)
    for row in rows:
        made.add_row(*map(_cell, row))
    CONSOLE.print(made)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return "–" if value is None else str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")
