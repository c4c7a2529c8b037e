"""Names to what they stand for: a plain dictionary for each port, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def named(registry: Mapping[str, T], name: str, setting: str) -> T:
    """What ``name`` stands for.

    Args:
        registry: Name to what it stands for.
        name: What was asked for.
        setting: Where it is set, for the message.

    Raises:
        InvalidInput: nobody has that name.
    """
    try:
        return registry[name]
    except KeyError:
        known = ", ".join(sorted(registry))
        raise InvalidInput(f"{setting}={name!r}: there are {known}; choose one") from None
