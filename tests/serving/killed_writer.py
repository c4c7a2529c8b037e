"""Writes events until it is killed, and prints each event_id once it is acknowledged.

Run as ``python killed_writer.py LOG``; not a test module.
"""

import sys
import threading
from itertools import count

from persona_img.domain.decision import Decision
from persona_img.domain.feedback import Event, Showing
from persona_img.serving.sqlite_log import SqliteEventLog

NOON = 1_760_000_000.0
_speaking = threading.Lock()


def events_of(writer: int, batch: int) -> list[Event]:
    """Three impressions and a click on the first; the same again whoever asks."""
    decision, at = decision_of(writer), NOON + batch
    shown = [Showing(f"{writer:04x}{batch:016x}{n:04x}", decision, at) for n in range(3)]
    return [
        *(Event(f"{writer}-{batch}-{n}", "impression", one, at) for n, one in enumerate(shown)),
        Event(f"{writer}-{batch}-click", "click", shown[0], at + 1),
    ]


def decision_of(writer: int) -> Decision:
    return Decision(
        "hero", f"s{writer}", "mug", "all", "personalized", "light=soft", "ab" * 32, 0.5, "v1", NOON
    )


def write(log: SqliteEventLog, writer: int) -> None:
    for batch in count():
        log.record_events(events_of(writer, batch))
        with _speaking:
            print(writer, batch, flush=True)


if __name__ == "__main__":
    opened = SqliteEventLog(sys.argv[1])
    for number in range(4):
        threading.Thread(target=write, args=(opened, number)).start()
