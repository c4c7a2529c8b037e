"""Decisions beside the event loop: whatever hangs where they look, the loop goes on.

What was seen is read from a disk, and a disk may hang; nothing on the loop's own thread could end
that. So decisions are made on threads of their own. What is asked in one turn of the loop shares
one hop to a thread and back, which costs less the more is asked at once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.serving.tracing import NO_SPANS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from persona_img.domain.decision import Decision
    from persona_img.serving.decide import Decider
    from persona_img.serving.tracing import Spans

_THREADS = 40
_TOGETHER = 64  # pages a hop: bounds for how long the first one waits for the last

_Answers = list["list[Decision] | Exception"]


@dataclass(frozen=True)
class _Asked:
    decide: Callable[[str, Sequence[str], float], list[Decision]]
    shopper: str
    products: Sequence[str]
    now: float
    answer: asyncio.Future[list[Decision]]


class Deciding:
    """Asks a decider without holding up the loop, and not for longer than told.

    Used by one event loop.

    Args:
        decider: Asked on other threads.
        seconds: For how long a decision is waited for. What waits for a thread when its time is
            over is not begun any more; what is under way keeps its thread.
        spans: What is asked here lies in the span of who asks.
    """

    def __init__(self, decider: Decider, seconds: float, spans: Spans = NO_SPANS) -> None:
        self._decider, self._seconds, self._spans = decider, seconds, spans
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="persona-img-decide")
        self._waiting: list[_Asked] = []

    async def page(self, shopper: str, products: Sequence[str], now: float) -> list[Decision]:
        """What :meth:`Decider.decide_page` answers.

        Raises:
            TimeoutError: not in time.
            Exception: whatever hinders it.
        """
        loop = asyncio.get_running_loop()
        decide = self._spans.carried(self._decider.decide_page)
        asked = _Asked(decide, shopper, products, now, loop.create_future())
        if self._decider.waits:
            # For a feature store, each on its own: together they would wait one after the other.
            self._begin(loop, [asked])
        else:
            if not self._waiting:
                loop.call_soon(self._begin_waiting, loop)
            self._waiting.append(asked)
        return await asked.answer

    def _begin_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _TOGETHER):
            self._begin(loop, waiting[start : start + _TOGETHER])

    def _begin(self, loop: asyncio.AbstractEventLoop, some: list[_Asked]) -> None:
        try:
            work: Future[_Answers] = self._pool.submit(self._decide, some)
        except RuntimeError as error:  # no thread can be started any more
            for asked in some:
                if not asked.answer.done():
                    asked.answer.set_exception(error)
            return
        late = loop.call_later(self._seconds, _give_up, some, work)

        def answer(done: Future[_Answers]) -> None:
            if not done.cancelled() and not loop.is_closed():
                loop.call_soon_threadsafe(_answer, some, done, late)

        work.add_done_callback(answer)

    def _decide(self, some: list[_Asked]) -> _Answers:
        answers: _Answers = []
        for asked in some:
            try:
                found = asked.decide(asked.shopper, asked.products, asked.now)
            except Exception as error:  # whatever it is, of this page alone
                answers.append(error)
            else:
                answers.append(found)
        return answers


def _answer(some: list[_Asked], done: Future[_Answers], late: asyncio.TimerHandle) -> None:
    late.cancel()
    for asked, answer in zip(some, done.result(), strict=True):
        if asked.answer.done():  # given up by whoever asked
            continue
        if isinstance(answer, Exception):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)


def _give_up(some: list[_Asked], work: Future[_Answers]) -> None:
    work.cancel()
    for asked in some:
        if not asked.answer.done():
            asked.answer.set_exception(TimeoutError("no decision in time"))
