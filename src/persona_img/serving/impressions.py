"""Impressions as Arrow: how they are archived, and how that becomes feedback.

Names are dictionaries, so a column of ten million shoppers is ten million small numbers. Of a click
or a purchase it is kept how long after the impression it came, not whether it counts: that is said
by whoever reads, as the log does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.domain.decision import plan_of
from persona_img.domain.feedback import ATTRIBUTION_SECONDS, BEFORE_TOKENS, FEEDBACK_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_NAME = pa.dictionary(pa.int32(), pa.string())

NAMES = ("test", "shopper", "product", "segment", "arm", "style_key", "digest", "policy_version")
"""Columns that hold names; only ``digest`` may be null."""

_OUTCOMES = [
    ("clicked_after", pa.float64()),
    ("converted_after", pa.float64()),
    ("value", pa.float64()),
    ("dismissed_after", pa.float64()),
    ("rating", pa.int8()),
]

SCHEMA = pa.schema(
    [
        ("showing", pa.string()),
        *((name, _NAME) for name in NAMES),
        ("propensity", pa.float64()),
        ("position", pa.int32()),
        ("shown_at", pa.timestamp("us", "UTC")),
        *_OUTCOMES,
    ]
)
"""One row per impression.

``showing``: 24 hexadecimal digits, or what named it before there were tokens. ``…_after``: seconds
from the impression to a click, a purchase, a dismissal; null where none came, or, of the first two,
where it came before the impression. ``value`` of the purchase and ``rating``, 1 to 5, may be null.
"""

LATE = pa.schema(
    [("showing", pa.string()), ("shown_at", SCHEMA.field("shown_at").type), *_OUTCOMES]
)
"""One row per event that came when its impression was archived already: the others are null."""

OUTCOMES = tuple(name for name, _ in _OUTCOMES)
"""Columns that an event adds to its impression."""

_CLICK, _CONVERSION, _DISMISS, _SURVEY = 2, 3, 4, 5


def moments(seconds: Sequence[float]) -> pa.Array:
    """Unix seconds as ``shown_at`` has them."""
    micros = np.rint(np.asarray(seconds, np.float64) * 1e6).astype(np.int64)
    return pa.array(micros).cast(SCHEMA.field("shown_at").type)


def outcome_columns(place: Any, outcome: Sequence[Sequence[Any]], count: int) -> list[pa.Array]:
    """Columns of :data:`OUTCOMES` for ``count`` impressions.

    Args:
        place: (m,) int, which impression each of m events belongs to.
        outcome: Kind, seconds after the impression, value and rating of each event.
        count: Impressions.
    """
    kind, after, value, rating = (np.asarray(one, np.float64) for one in outcome)
    columns = []
    for wanted, values in (
        (_CLICK, after), (_CONVERSION, after), (_CONVERSION, value), (_DISMISS, after),
        (_SURVEY, rating),
    ):  # fmt: skip
        column = np.full(count, np.nan)
        mine = kind == wanted
        column[place[mine]] = values[mine]
        columns.append(pa.array(column, mask=np.isnan(column)))
    return [*columns[:-1], columns[-1].cast(pa.int8())]


def settled(late: pa.Table) -> pa.Table:
    """What came later, a row per impression.

    Args:
        late: Of :data:`LATE`, of any impressions.

    Returns:
        ``showing`` and :data:`OUTCOMES`.
    """
    # At most one event of a kind belongs to a showing: the greatest is the only one.
    found = late.group_by("showing").aggregate([(name, "max") for name in OUTCOMES])
    return found.select(["showing", *(f"{name}_max" for name in OUTCOMES)]).rename_columns(
        ["showing", *OUTCOMES]
    )


def amended(impressions: pa.Table, later: pa.Table) -> pa.Table:
    """Impressions with what came later.

    Args:
        impressions: Of :data:`SCHEMA`.
        later: Of :func:`settled`.
    """
    if not later.num_rows:
        return impressions
    place = pc.index_in(impressions["showing"], value_set=later["showing"])
    if place.null_count == impressions.num_rows:
        return impressions
    for name in OUTCOMES:
        both = pc.coalesce(impressions[name], later[name].take(place))
        number = impressions.schema.get_field_index(name)
        impressions = impressions.set_column(number, SCHEMA.field(name), both)
    return impressions


def selected(
    impressions: pa.Table,
    *,
    test: str | None = None,
    plan: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pa.Table:
    """Impressions of a test, of a plan and its revisions, shown in [since, until]."""
    wanted = []
    if test is not None:
        wanted.append(_named(impressions["test"], lambda name: name == test))
    if plan is not None:
        wanted.append(_named(impressions["policy_version"], lambda name: plan_of(name) == plan))
    kind = SCHEMA.field("shown_at").type
    if since is not None:
        wanted.append(pc.greater_equal(impressions["shown_at"], pa.scalar(since, kind)))
    if until is not None:
        wanted.append(pc.less_equal(impressions["shown_at"], pa.scalar(until, kind)))
    for keep in wanted[1:]:
        wanted[0] = pc.and_(wanted[0], keep)
    return impressions.filter(wanted[0]) if wanted else impressions


def acted(impressions: pa.Table, within: float) -> pa.Table:
    """Impressions with a click or a purchase that counts."""
    either = pc.or_(
        *(_came(impressions[f"{kind}_after"], within) for kind in ("clicked", "converted"))
    )
    return impressions.filter(either)


def as_batch(impressions: pa.Table, *, within: float = ATTRIBUTION_SECONDS) -> pa.RecordBatch:
    """Feedback as Arrow, names as dictionaries; its columns are those of feedback.

    Args:
        impressions: Of :data:`SCHEMA`.
        within: Seconds after an impression in which a click or purchase counts for it.
    """
    columns = {
        "decision_id": _decisions(impressions["showing"]),
        "clicked": _came(impressions["clicked_after"], within).cast(pa.int64()),
        "converted": _came(impressions["converted_after"], within).cast(pa.int64()),
    }
    chosen = [columns.get(name, impressions[name] if name not in columns else None)
              for name in FEEDBACK_COLUMNS]  # fmt: skip
    table = pa.table(chosen, names=list(FEEDBACK_COLUMNS)).unify_dictionaries().combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def as_frame(
    impressions: Iterable[pa.Table], *, within: float = ATTRIBUTION_SECONDS
) -> pd.DataFrame:
    """Feedback as pandas has it: see :data:`persona_img.domain.feedback.FEEDBACK_COLUMNS`."""
    table = pa.concat_tables([SCHEMA.empty_table(), *impressions])
    order = pc.sort_indices(table, [("shown_at", "ascending"), ("showing", "ascending")])
    batch = as_batch(table.unify_dictionaries().take(order), within=within)
    columns: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == "shown_at":
            moments = column.cast(pa.int64()).to_numpy().astype("datetime64[us]")
            columns[name] = pd.Series(moments).dt.tz_localize("UTC")
        elif name in NAMES:
            columns[name] = pd.Series(_texts(column), dtype=object)
        elif name == "decision_id":
            columns[name] = pd.Series(column.to_numpy(zero_copy_only=False), dtype=object)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False).astype(
                np.float64 if name == "propensity" else np.int64
            )
    return pd.DataFrame(columns, columns=list(FEEDBACK_COLUMNS))


def _named(column: pa.ChunkedArray, rule: Any) -> pa.ChunkedArray:
    """Which rows have a name that fits; each name is looked at once a chunk."""
    chunks = []
    for chunk in column.chunks:
        fits = pa.array([rule(name) for name in chunk.dictionary.to_pylist()], pa.bool_())
        chunks.append(fits.take(chunk.indices))
    return pa.chunked_array(chunks, pa.bool_())


def _came(after: pa.ChunkedArray, within: float) -> pa.ChunkedArray:
    return pc.fill_null(pc.less_equal(after, within), False)


def _decisions(showing: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names of decisions: the showing's, or what stands before the impression's in an old one."""
    old = pc.match_substring(showing, BEFORE_TOKENS)
    if not pc.any(old).as_py():
        return showing
    return pc.replace_substring_regex(showing, f"(?s){BEFORE_TOKENS}.*", "")


def _texts(column: pa.DictionaryArray) -> Any:
    """(n,) Python strings, each made once; None for null."""
    names = np.array([*column.dictionary.to_pylist(), None], dtype=object)
    codes = column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return names[codes]
