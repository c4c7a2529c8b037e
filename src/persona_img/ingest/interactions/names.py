"""Names of shoppers and products as text, whatever type a file gave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from persona_img.errors import InvalidInput
from persona_img.ingest.interactions.base import is_text, plain, refused

if TYPE_CHECKING:
    from persona_img.ingest.interactions.base import Reasons

MISSING = frozenset(
    ("", "null", "NULL", "Null", "None", "nan", "NaN", "<NA>", "N/A", "#N/A", "\\N",
     "undefined", "(not set)", "(none)")
)  # fmt: skip
"""What exports write where nothing was known; a shopper called so would be everybody."""

_BLANKS = " \t\r\n\u00a0\ufeff"
_RUINED = r"(?i)^\d(\.\d+)?e\+?\d+$"
_FLOAT = r"^\d+\.0$"
_EXACT = 2.0**53


@dataclass(frozen=True)
class Named:
    """N values as names.

    Attributes:
        values: Texts, null where refused.
        reasons: Why they were refused.
        absent: Where nothing stood, so that another column may be looked at.
        shortened: How many whole numbers lost a ``.0`` that they got when a column of numbers had
            gaps.
    """

    values: pa.Array
    reasons: Reasons
    absent: npt.NDArray[np.bool_]
    shortened: int


def texts(values: pa.Array, field: str) -> Named:
    """Values of any type as names.

    Args:
        values: N of any type.
        field: What they name, for messages.

    Raises:
        InvalidInput: the type cannot hold names.
    """
    coded = pc.dictionary_encode(plain(values))
    distinct, whole, why = _distinct(coded.dictionary, field)
    distinct = pc.if_else(pa.array(~refused(why)), distinct, None)
    nothing = np.array([one == f"no {field}" for one in why], bool)
    empty = coded.indices.is_null().to_numpy(zero_copy_only=False)
    if not len(why):
        reasons = np.full(len(empty), f"no {field}", dtype=object)
        return Named(pa.nulls(len(empty), pa.string()), reasons, empty, 0)
    places = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
    reasons = why[places]
    reasons[empty] = f"no {field}"
    shortened = int((whole[places] & ~empty).sum()) if whole.any() else 0
    return Named(distinct.take(coded.indices), reasons, nothing[places] | empty, shortened)


def _distinct(values: pa.Array, field: str) -> tuple[pa.Array, npt.NDArray[np.bool_], Reasons]:
    """Texts, which of them lost a ``.0``, and reasons."""
    kind = values.type
    if pa.types.is_floating(kind):
        return _floats(values, field)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.string())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = utf8(values)
    elif pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        values = pa.array([str(UUID(bytes=one)) for one in values.to_pylist()], pa.string())
    elif not is_text(kind):
        raise InvalidInput(f"{field}: the column holds {kind}; map one of text or whole numbers")
    trimmed = pc.utf8_trim(values.cast(pa.string()), _BLANKS)
    whole = _matches(trimmed, _FLOAT)
    if whole.any():
        shortened = pc.replace_substring_regex(trimmed, r"\.0$", "")
        trimmed = pc.if_else(pa.array(whole), shortened, trimmed)
    reasons = np.full(len(trimmed), None, dtype=object)
    reasons[_matches(trimmed, _RUINED)] = f"{field} was rounded to a power of ten by a spreadsheet"
    reasons[~trimmed.is_valid().to_numpy(zero_copy_only=False)] = (
        f"{field} is not UTF-8; say --encoding"
    )
    missing = pc.is_in(trimmed, pa.array(sorted(MISSING))).to_numpy(zero_copy_only=False)
    reasons[missing] = f"no {field}"
    return trimmed, whole, reasons


def _floats(values: pa.Array, field: str) -> tuple[pa.Array, npt.NDArray[np.bool_], Reasons]:
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
    exact = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (abs(numbers) < _EXACT)
    made = [str(int(one)) if ok else None for one, ok in zip(numbers, exact, strict=True)]
    reasons = np.full(len(values), None, dtype=object)
    reasons[~exact] = f"{field} is no whole number"
    reasons[np.isnan(numbers)] = f"no {field}"
    return pa.array(made, pa.string()), exact, reasons


def _matches(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    found = pc.fill_null(pc.match_substring_regex(values, pattern), False)
    matches: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return matches


def utf8(values: pa.Array) -> pa.Array:
    """Bytes as text, null where they are not UTF-8."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(value) for value in values.to_pylist()], pa.string())


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None
