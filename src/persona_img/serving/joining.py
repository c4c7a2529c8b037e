"""Links as Arrow, and what was shown under the names of one person as one shopper's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

LINKS = pa.schema(
    [
        ("name", pa.string()),
        ("login", pa.string()),
        ("unit", pa.string()),
        ("linked_at", pa.float64()),
    ]
)
"""One row per name that was linked; a login has one too, under its own name.
``linked_at`` is Unix seconds."""


def links_table(rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows of name, login, unit and time as :data:`LINKS`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(LINKS)
    arrays = [pa.array(some, type) for some, type in zip(columns, LINKS.types, strict=True)]
    return pa.table(arrays, schema=LINKS)


def joined(impressions: pa.Table, links: pa.Table) -> pa.Table:
    """Impressions under their persons' units.

    Args:
        impressions: Of :data:`persona_img.serving.impressions.SCHEMA`.
        links: Of :data:`LINKS`.
    """
    if not links.num_rows:
        return impressions
    chunks = [_renamed(chunk, links) for chunk in impressions["shopper"].chunks]
    place = impressions.schema.get_field_index("shopper")
    column = pa.chunked_array(chunks, impressions.schema.field(place).type)
    return impressions.set_column(place, impressions.schema.field(place), column)


def _renamed(shoppers: pa.DictionaryArray, links: pa.Table) -> pa.DictionaryArray:
    """Each name is looked for once, however many rows have it."""
    place = pc.index_in(shoppers.dictionary, value_set=links["name"])
    if place.null_count == len(place):
        return shoppers
    units = links["unit"].combine_chunks().take(place)
    # Two names of a person are one word of the dictionary.
    words = pc.coalesce(units, shoppers.dictionary).dictionary_encode()
    codes = words.indices.take(shoppers.indices)
    return pa.DictionaryArray.from_arrays(codes, words.dictionary)


def joined_units(links: pa.Table, *, since: datetime | None = None) -> frozenset[str]:
    """Units of everybody who came under several names.

    Args:
        links: Of :data:`LINKS`.
        since: Only of whom a name was linked from then on; None for all.
    """
    if since is not None:
        links = links.filter(pc.greater_equal(links["linked_at"], since.timestamp()))
    return frozenset(links["unit"].unique().to_pylist())


def logins_of(links: pa.Table) -> dict[str, str]:
    """Unit to the login whose profile is the person's."""
    return dict(zip(links["unit"].to_pylist(), links["login"].to_pylist(), strict=True))
