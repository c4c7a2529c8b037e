"""What came back, from archive and log as one: exactly what the log alone would say."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from persona_img.domain.feedback import ATTRIBUTION_SECONDS
from persona_img.errors import InvalidInput
from persona_img.serving.impressions import acted as with_outcome
from persona_img.serving.impressions import as_batch, as_frame, selected
from persona_img.serving.joining import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pandas as pd
    import pyarrow as pa

    from persona_img.serving.archive import Archive, Archived, Reader
    from persona_img.serving.archive_manifest import Manifest


class History:
    """Feedback of a shop.

    Args:
        archive: What was archived.
        open_log: Opens the log as it is at that moment.
        prune: Takes some events below a number away that the log received before a moment (Unix
            seconds), and says how many; none where none is left.
    """

    def __init__(
        self,
        archive: Archive,
        open_log: Callable[[], AbstractContextManager[Reader]],
        prune: Callable[[int, float], int],
    ) -> None:
        self._archive, self._open_log, self._prune = archive, open_log, prune

    def frame(
        self,
        *,
        test: str | None = None,
        plan: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        within: float = ATTRIBUTION_SECONDS,
        acted: bool = False,
    ) -> pd.DataFrame:
        """Feedback whole, as :meth:`persona_img.serving.base.EventLog.feedback` has it.

        Args:
            test: Only this A/B test; None takes all.
            plan: Only what this plan and its revisions decided.
            since: Only what was shown from this moment on.
            until: Only what was shown up to it.
            within: Seconds after an impression in which a click or purchase counts for it.
            acted: Only what was clicked or bought, in memory that grows with that alone.
        """
        with self._tables(test, plan, since, until) as tables:
            if acted:
                tables = (with_outcome(some, within) for some in tables)
            return as_frame(tables, within=within)

    def batches(
        self,
        *,
        test: str | None = None,
        plan: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        within: float = ATTRIBUTION_SECONDS,
    ) -> Iterator[pa.RecordBatch]:
        """The same in pieces, in memory that does not grow with it; the archive's days in order.

        Within a day, and in what is not archived yet, it is in the order of arrival.

        Args:
            test: As for :meth:`frame`.
            plan: As for :meth:`frame`.
            since: As for :meth:`frame`.
            until: As for :meth:`frame`.
            within: As for :meth:`frame`.

        Yields:
            Columns of :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`; names are dictionaries.
            None is empty.
        """
        with self._tables(test, plan, since, until) as tables:
            for table in tables:
                if table.num_rows:
                    yield as_batch(table, within=within)

    def links(self) -> pa.Table:
        """Names that are one person's: :data:`persona_img.serving.joining.LINKS`."""
        with self._open_log() as log:
            return log.links()

    def archive(self, *, forget: datetime | None = None) -> Archived:
        """Bring into the archive what the log has and it has not. Safe to call at any time.

        Args:
            forget: Events that were received before it leave the log, once they are archived; at
                least as long ago as answers are taken, for what comes again, or comes late, is told
                by what lies there. Nothing leaves while somebody reads.
        """
        done = self._archive.add(self._open_log)
        if forget is None:
            return done
        # Behind all that came: a click that is in the log alone needs its impression beside it.
        through, pruned = self._archive.manifest.through, 0
        while True:
            with self._archive.alone() as alone:  # for a moment: whoever wants to read waits
                gone = self._prune(through, forget.timestamp()) if alone else 0
            pruned += gone
            if not gone:
                return replace(done, pruned=pruned)

    def verified(self) -> Manifest:
        """What is archived, read to its end; see :meth:`Archive.verify`."""
        return self._archive.verify()

    @contextmanager
    def _tables(
        self,
        test: str | None,
        plan: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> Iterator[Iterator[pa.Table]]:
        for moment in (since, until):
            if moment is not None and moment.tzinfo is None:
                raise InvalidInput(f"{moment}: a moment without a zone; give one, e.g. UTC")
        first = date.min if since is None else since.astimezone(UTC).date()
        last = date.max if until is None else until.astimezone(UTC).date()
        # The manifest first: what the log has behind it is what the archive has not.
        with self._archive.reading() as manifest, self._open_log() as log:
            self._archive.check_log(manifest, log)
            links = log.links()

            def both() -> Iterator[pa.Table]:
                late = log.late(manifest.through)
                yield from self._archive.impressions(manifest, late, first, last)
                yield from log.impressions(manifest.through)

            yield (
                joined(selected(some, test=test, plan=plan, since=since, until=until), links)
                for some in both()
            )
