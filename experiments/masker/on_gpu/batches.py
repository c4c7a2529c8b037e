"""Batches made ahead, beside the learning."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any

import torch
from torch import Tensor


class Batches:
    """Batches made by a thread of its own, on a stream of its own, while the network learns."""

    def __init__(self, make: Any, device: str, ahead: int = 2) -> None:
        self.make, self.cuda = make, device != "cpu"
        self.ready: queue.Queue[Any] = queue.Queue(ahead)
        self.stopped = threading.Event()
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.stopped.is_set():
                with torch.no_grad(), self._aside():
                    made = self.make()
                    event = self.stream.record_event() if self.stream else None
                self._put((made, event))
        except BaseException as error:
            self._put((error, None))

    def _aside(self) -> contextlib.AbstractContextManager[Any]:
        return torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext()

    def _put(self, one: Any) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(queue.Full):
                self.ready.put(one, timeout=0.2)
                return

    def get(self) -> tuple[Tensor, ...]:
        """The next; what the thread raised is raised here."""
        made, event = self.ready.get()
        if isinstance(made, BaseException):
            raise made
        if event is not None:
            here = torch.cuda.current_stream()
            here.wait_event(event)
            for tensor in made:
                tensor.record_stream(here)
        return tuple(made)

    def stop(self) -> None:
        """End the thread; what it made ahead is dropped."""
        self.stopped.set()
        self.thread.join()
        if self.stream:
            self.stream.synchronize()
