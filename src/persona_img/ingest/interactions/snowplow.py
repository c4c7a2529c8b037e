"""Snowplow's enriched events: tab-separated lines without a header, JSON in some of their cells."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from persona_img.ingest.interactions.contents import first_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_img.ingest.interactions.contents import Contents

_CELLS = 131
_MOST = 140
# Places as in Snowplow's canonical event model; cells that no interaction needs are left.
_PLAIN = {
    "app_id": 0, "collector_tstamp": 3, "event": 5, "event_id": 6, "user_id": 12,
    "domain_userid": 15, "network_userid": 17, "derived_tstamp": 124, "event_name": 126,
}  # fmt: skip
_CONTEXTS, _UNSTRUCT, _DERIVED = 52, 58, 122
_SCHEMA = re.compile(r"iglu:([^/]+)/([^/]+)/[^/]+/(\d+)-\d+-\d+")


def is_enriched(contents: Contents) -> bool:
    """Whether a text's first line is such an event, not a header."""
    cells = first_lines(contents, contents.encoding).split("\n", 1)[0].split("\t")
    return _CELLS - 1 <= len(cells) <= _MOST and cells[0] != "app_id"


def enriched(line: str) -> Mapping[str, Any]:
    """A line as an object with the names that Snowplow's SDKs and warehouses use.

    Raises:
        ValueError: it has not as many cells, or holds broken JSON.
    """
    cells = line.split("\t")
    if not _CELLS - 1 <= len(cells) <= _MOST:
        raise ValueError(f"{len(cells)} cells where an enriched event has {_CELLS}")
    event: dict[str, Any] = {name: cells[place] for name, place in _PLAIN.items() if cells[place]}
    try:
        for place in (_CONTEXTS, _DERIVED):
            for one in json.loads(cells[place])["data"] if cells[place] else ():
                event.setdefault("contexts_" + _name(one["schema"]), []).append(one["data"])
        if cells[_UNSTRUCT]:
            one = json.loads(cells[_UNSTRUCT])["data"]
            event["unstruct_event_" + _name(one["schema"])] = one["data"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("an enriched event with broken JSON") from None
    return event


def _name(schema: str) -> str:
    """``iglu:com.acme/add_to_cart/jsonschema/1-0-2`` as ``com_acme_add_to_cart_1``."""
    found = _SCHEMA.fullmatch(schema)
    if found is None:
        raise ValueError(schema)
    vendor, name, model = found.groups()
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return f"{vendor.replace('.', '_').lower()}_{snake.replace('-', '_')}_{model}"
