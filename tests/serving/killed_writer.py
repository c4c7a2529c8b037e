"""Writes events until it is killed, and prints each event_id once it is acknowledged.

Run as ``python killed_writer.py LOG``; not a test module.
"""

import sys
import threading
from itertools import count

from persona_img.domain.decision import Decision
from persona_img.domain.feedback import Event
from persona_img.serving.sqlite_log import SqliteEventLog

NOON = 1_760_000_000.0
_speaking = threading.Lock()


def events_of(writer: int, batch: int) -> list[Event]:
    """Three impressions and a click on the first; the same again whoever asks."""
    names = [f"w{writer}-b{batch}-{n}" for n in range(3)]
    shown = [Event(name, "impression", f"d{writer}", name, NOON + batch) for name in names]
    return [*shown, Event(names[0] + "-click", "click", f"d{writer}", names[0], NOON + batch + 1)]


def decision_of(writer: int) -> Decision:
    return Decision(
        f"d{writer}", "hero", f"s{writer}", "mug", "all", "personalized", "light=soft", "ab" * 32,
        0.5, "v1", NOON,
    )  # fmt: skip


def write(log: SqliteEventLog, writer: int) -> None:
    log.record_decision(decision_of(writer))
    for batch in count():
        log.record_events(events_of(writer, batch))
        with _speaking:
            print(writer, batch, flush=True)


if __name__ == "__main__":
    opened = SqliteEventLog(sys.argv[1])
    for number in range(4):
        threading.Thread(target=write, args=(opened, number)).start()
