"""Names of one person."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STEPS = (
    """
    CREATE TABLE links (
        name text PRIMARY KEY,
        login text NOT NULL,
        unit text NOT NULL,
        linked_at double precision NOT NULL
    )
    """,
    "CREATE INDEX links_by_login ON links (login)",
)


def upgrade() -> None:
    """Make the table."""
    for step in _STEPS:
        op.execute(step)
