"""Events that a shop's analytics already has, taken in as if they had been sent."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from persona_img import wiring
from persona_img.shop.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from persona_img.ingest.events.reading import Found

_CALL = 1000
_COLUMNS = ("row", "entry", "called", "kind", "outcome", "rule", "reason")


@dataclass(frozen=True)
class ImportedEvents:
    """What became of a file's rows.

    Attributes:
        rows: Events and other rows; a row that tells of several pictures counts for each.
        accepted: Events stored now.
        duplicates: Events that had come before.
        others: Rows of other kinds.
        refused: Why rows are no events, or events were not taken, with how many each.
        told: File in which it is said of every one.
    """

    rows: int
    accepted: int
    duplicates: int
    others: int
    refused: Mapping[str, int]
    told: Path


class Importing(Stores):
    """Exports of analytics, row by row."""

    def import_events(
        self, path: str | Path, mapped: str, *, told: str | Path | None = None
    ) -> ImportedEvents:
        """Take in impressions and clicks that an export tells, each by the token that it carries.

        The same rules hold as for events that are sent: a token counts once for each kind,
        whichever way it came, and only while it is taken. So a file may be imported again, also
        after it was stopped half-way; what it brought is not counted twice.

        Args:
            path: JSON Lines, CSV, Parquet, or Snowplow's enriched events; also gzipped.
            mapped: A shipped mapping (``ga4``, ``rudderstack``, ``segment``, ``snowplow``), or a
                file of :class:`~persona_img.ingest.events.mapping.EventMap`.
            told: Where to say of every row what became of it, as CSV; by the file's digest under
                ``imports`` in the shop's folder if left out.

        Raises:
            InvalidInput: the file or the mapping cannot be read.
            StoreFailed: the log takes nothing; what was said before is stored.
        """
        from pathlib import Path

        from persona_img.ingest.events.mapping import EventMap
        from persona_img.ingest.events.reading import read_events
        from persona_img.ingest.interactions.contents import Contents
        from persona_img.serving.receive import Receiver
        from persona_img.workspace import writable_file

        columns, contents = EventMap.load(mapped), Contents.of(Path(path))
        name = f"events-{contents.digest[:12]}.csv"
        into = writable_file(told or self.workspace.root / "imports" / name)
        signer = wiring.signer(self.settings, self.workspace)
        counts: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        with (
            closing(wiring.event_log(self.workspace, self.settings.stores.events_url)) as log,
            into.open("w", newline="", encoding="utf-8") as file,
        ):
            receiver = Receiver(
                log,
                signer,
                self.settings.test.name,
                holdout=self.settings.test.holdout_name,
                trusting=lambda: self.simulated,
            )
            say = csv.DictWriter(file, _COLUMNS, restval="", extrasaction="ignore")
            say.writeheader()
            pieces = read_events(contents, columns, datetime.now(UTC))
            for found in _by(_CALL, (one for piece in pieces for one in piece)):
                for one, outcome in zip(found, _outcomes(found, receiver), strict=True):
                    counts[outcome["outcome"]] += 1
                    if outcome["outcome"] in ("refused", "rejected"):
                        refused[outcome.get("rule") or outcome["reason"]] += 1
                    say.writerow(vars(one) | {"kind": one.kind or ""} | outcome)
        return ImportedEvents(
            counts.total(),
            counts["accepted"],
            counts["duplicate"],
            counts["other"],
            dict(refused.most_common()),
            into,
        )


def _outcomes(found: list[Found], receiver: Any) -> list[dict[str, str]]:
    """What became of each: taken in as a batch that is sent."""
    from persona_img.serving.wire import parse_events

    sent = [one for one in found if one.kind is not None]
    fields = ("kind", "token", "event_id", "occurred_at", "position", "value", "rating")
    events = [
        {name: value for name in fields if (value := getattr(one, name)) not in (None, "")}
        for one in sent
    ]
    batch = parse_events(json.dumps({"events": events}).encode())
    answers = iter(batch.answer(receiver.record(batch.events, time.time()))["events"])
    told: list[dict[str, str]] = []
    for one in found:
        if one.kind is not None:
            told.append({name: value or "" for name, value in next(answers).items()})
        elif one.refused:
            told.append({"outcome": "refused", "reason": one.refused})
        else:
            told.append({"outcome": "other"})
    return told


def _by(count: int, found: Iterable[Found]) -> Iterator[list[Found]]:
    left = iter(found)
    while some := list(islice(left, count)):
        yield some
