"""Tests, choices, decisions that were seen, events."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_STEPS = (
    "CREATE TABLE tests (test text PRIMARY KEY, shares json NOT NULL)",
    """
    CREATE TABLE choices (
        choice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        test text NOT NULL,
        product text NOT NULL,
        segment text NOT NULL,
        arm text NOT NULL,
        style_key text NOT NULL,
        digest text NOT NULL,
        policy_version text NOT NULL,
        UNIQUE (test, product, policy_version, style_key, segment, arm, digest)
    )
    """,
    """
    CREATE TABLE decisions (
        shopper text NOT NULL,
        choice_id bigint NOT NULL REFERENCES choices,
        decided_at double precision NOT NULL,
        propensity double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
        PRIMARY KEY (shopper, choice_id, decided_at)
    )
    """,
    """
    CREATE TABLE events (
        n bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        showing text NOT NULL,
        kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 5),
        event_id text NOT NULL,
        shopper text NOT NULL,
        choice_id bigint NOT NULL REFERENCES choices,
        propensity double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
        decided_at double precision NOT NULL,
        occurred_at double precision NOT NULL,
        received_at double precision,
        skew double precision NOT NULL,
        position integer NOT NULL CHECK (position >= 1),
        value double precision CHECK (value >= 0),
        rating smallint CHECK (rating BETWEEN 1 AND 5),
        PRIMARY KEY (showing, kind)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for step in _STEPS:
        op.execute(step)
