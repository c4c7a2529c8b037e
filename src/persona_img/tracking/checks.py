"""Rules that every tracker keeps, so that a run which one accepts the other accepts too."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from persona_img.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[\w][\w .:/-]{0,199}")
_LONGEST = 5_000


def check_run(
    experiment: str,
    run_name: str,
    metrics: Mapping[str, float],
    params: Mapping[str, object],
    tags: Mapping[str, str],
    artifacts: Mapping[str, Path],
) -> None:
    """Whether a run can be kept.

    Raises:
        InvalidInput: a name or value that breaks a rule.
        NotFound: an artifact that is not there.
    """
    check_experiment(experiment)
    if not run_name.strip():
        raise InvalidInput("run_name is empty; give what a reader shall see")
    check_metrics(metrics)
    check_words("param", params)
    check_words("tag", tags)
    for name, path in artifacts.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or name == "report.json":
            raise InvalidInput(
                f"artifact {name!r}: a relative path without '..', and not report.json"
            )
        if not path.exists():
            raise NotFound(f"artifact {name!r}: {path} is not there")


def check_experiment(name: str) -> None:
    """Refuse a name that is no folder name.

    Raises:
        InvalidInput: other characters, or longer than 64.
    """
    if not _EXPERIMENT.fullmatch(name):
        raise InvalidInput(f"experiment {name!r}: use letters, digits, '.', '_', '-', at most 64")


def check_metrics(metrics: Mapping[str, float]) -> None:
    """Refuse odd names and infinities; NaN stands for undefined.

    Raises:
        InvalidInput: see above.
    """
    for key, value in metrics.items():
        _check_key("metric", key)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
            raise InvalidInput(f"metric {key} is {value!r}: give a finite number, NaN if undefined")


def check_words(kind: str, words: Mapping[str, object]) -> None:
    """Refuse odd names, and values whose text is too long to be kept whole.

    Raises:
        InvalidInput: see above.
    """
    for key, value in words.items():
        _check_key(kind, key)
        if len(str(value)) > _LONGEST:
            raise InvalidInput(f"{kind} {key}: longer than {_LONGEST} letters; make it an artifact")


def report_text(report: Mapping[str, Any]) -> str:
    """The report as JSON.

    Raises:
        InvalidInput: NaN, or a value JSON has no word for.
    """
    try:
        return json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"report: {error}; give plain values, None for undefined") from error


def table_digest(table: pd.DataFrame) -> str:
    """Name of a table's content: columns, types and every row in order, 32 hex digits."""
    import pandas as pd

    digest = hashlib.sha256(repr([(str(c), str(t)) for c, t in table.dtypes.items()]).encode())
    # Values of object columns may be lists, which pandas cannot hash.
    columns = (table.iloc[:, i] for i in range(table.shape[1]))
    for column in columns:
        plain = column.map(repr) if column.dtype == object else column
        digest.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:32]


def _check_key(kind: str, key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{kind} {key!r}: use letters, digits and '_ . : / -', at most 200")
