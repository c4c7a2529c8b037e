from __future__ import annotations

import asyncio

import pytest

from persona_img.serving.recent import Recent


def test_many_who_ask_at_once_and_soon_after_are_told_the_same() -> None:
    asked, now = [], [0.0]

    async def find() -> None:
        asked.append(now[0])
        await asyncio.sleep(0)
        if len(asked) == 2:
            raise OSError("full")

    async def run() -> None:
        recent = Recent(find, 1.0, clock=lambda: now[0])
        await asyncio.gather(*(recent.ask() for _ in range(50)))
        now[0] = 0.9
        await recent.ask()
        assert len(asked) == 1
        now[0] = 1.0
        for _ in range(3):
            with pytest.raises(OSError, match="full"):
                await recent.ask()
        assert len(asked) == 2
        now[0] = 2.0
        await recent.ask()
        assert len(asked) == 3

    asyncio.run(run())


def test_who_goes_away_takes_the_answer_from_nobody() -> None:
    asked = []

    async def find() -> None:
        asked.append(1)
        await asyncio.sleep(0.05)

    async def run() -> None:
        recent = Recent(find, 1.0)
        first = asyncio.create_task(recent.ask())
        second = asyncio.create_task(recent.ask())
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert asked == [1]

    asyncio.run(run())
