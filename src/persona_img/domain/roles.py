"""Who may do what over HTTP: a role for each kind of program or page that calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Permission = Literal["decide", "events", "links", "metrics", "approve"]
"""What can be asked for: pictures for shoppers, events, whose names are one person's, figures,
withdrawing and restoring."""

Role = Literal["serve", "ingest", "analyst", "approver", "admin"]
"""``serve`` stands in a page, where everybody can read it; the others stay on servers."""

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    "serve": frozenset({"decide", "events"}),
    "ingest": frozenset({"events", "links"}),
    "analyst": frozenset({"metrics"}),
    "approver": frozenset({"approve"}),
    "admin": frozenset({"decide", "events", "links", "metrics", "approve"}),
}
"""What each role may do, and nothing else."""


def may(role: Role, wanted: Permission) -> bool:
    """Whether a role allows it."""
    return wanted in PERMISSIONS[role]
