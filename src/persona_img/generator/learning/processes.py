"""The processes that train together: all that ``accelerate launch`` started, or this one alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from persona_img.generator.learning.training_settings import TrainingSettings

_PATIENCE = timedelta(days=2)  # while the first process cuts photos and trains the codec


def join_processes(settings: TrainingSettings) -> Accelerator:
    """This process among its like.

    Raises:
        InvalidInput: fp16 without a GPU; no batch to a step; or another precision than an earlier
            training of this process had.
    """
    if settings.precision == "fp16" and torch.device(settings.device).type == "cpu":
        raise InvalidInput("precision fp16 on cpu: needs a GPU; choose bf16 or no")
    if settings.accumulate < 1:
        raise InvalidInput(f"accumulate={settings.accumulate}: a step needs at least one batch")
    try:
        return Accelerator(
            cpu=settings.device == "cpu",
            mixed_precision=settings.precision,
            # As a plugin: as a number, the launcher's environment would win over it.
            gradient_accumulation_plugin=GradientAccumulationPlugin(settings.accumulate),
            device_placement=False,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
    except ValueError as error:
        raise InvalidInput(f"precision {settings.precision}, {settings.device}: {error}") from error


def device_of(processes: Accelerator, settings: TrainingSettings) -> torch.device:
    """The device asked for; where there are several processes, the one of this one."""
    return processes.device if processes.num_processes > 1 else torch.device(settings.device)


def is_first() -> bool:
    """Whether this process reports and writes; the others only lend a hand."""
    return bool(PartialState().is_main_process)
