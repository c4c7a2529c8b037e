"""Names for plain values: a digest that two machines agree on."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest_of(values: Any) -> str:
    """SHA-256 of plain values as canonical JSON, hex."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
