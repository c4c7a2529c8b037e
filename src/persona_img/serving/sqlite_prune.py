"""What the log's file need not hold any more, because the archive does."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from persona_img.serving.sqlite_file import connect

if TYPE_CHECKING:
    from pathlib import Path

_STEP = 2000  # events a transaction: what is sent meanwhile waits for some milliseconds
_MOST = 10 * _STEP

# Of before there were tokens nothing is known of the server's time, and events that come again are
# told by those that are stored: they stay.
_NEXT = """
SELECT n, received_at IS NULL OR typeof(showing) <> 'blob', received_at < :before
FROM events WHERE n > :after AND n < :through ORDER BY n LIMIT :step
"""


def prune(path: Path, through: int, before: float) -> int:
    """Take some events away, oldest first, up to the first one that is too young.

    What was seen stays, so shoppers keep their pictures. The file does not become smaller: its room
    is used again.

    Args:
        path: The log.
        through: Number of an event; those below may go.
        before: Moment, Unix seconds, before which they were received.

    Returns:
        How many went; 0 where none is left.
    """
    gone = after = 0
    with closing(connect(path, new=False)) as db:
        while True:
            asked = {"after": after, "through": through, "before": before, "step": _STEP}
            rows = db.execute(_NEXT, asked).fetchall()
            old = [(n,) for n, stays, past in rows if past and not stays]
            if old:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("DELETE FROM events WHERE n = ?", old)
                db.execute("COMMIT")
                gone += len(old)
            if (
                gone >= _MOST
                or len(rows) < _STEP
                or any(not past and not stays for _, stays, past in rows)
            ):
                return gone
            after = rows[-1][0]
