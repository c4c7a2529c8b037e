"""One shop: its settings, its folder, every store it has, and the loop's verbs on them.

The public way in. Commands, the demo, pages and notebooks call a :class:`Shop` and nothing below.
Its verbs stand in a file per matter; ``stores`` has what they all work on, ``pictures`` all that a
service needs. Names are loaded when first used: who serves does not wait for what learns.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_img.loop import Prepared, Rendered
    from persona_img.provenance.credentials import Credentials
    from persona_img.serving.archive import Archived
    from persona_img.shop.adapting import Learnt
    from persona_img.shop.backups import Backup
    from persona_img.shop.choosing import TrainedChooser
    from persona_img.shop.importing import ImportedEvents
    from persona_img.shop.learning import Retrained
    from persona_img.shop.origins import Origin
    from persona_img.shop.testing import Standing
    from persona_img.shop.whole import Shop

_HOMES = {
    "Archived": "serving.archive",
    "Backup": "shop.backups",
    "Credentials": "provenance.credentials",
    "ImportedEvents": "shop.importing",
    "Learnt": "shop.adapting",
    "Origin": "shop.origins",
    "Prepared": "loop",
    "Rendered": "loop",
    "Retrained": "shop.learning",
    "Shop": "shop.whole",
    "Standing": "shop.testing",
    "TrainedChooser": "shop.choosing",
}

__all__ = [
    "Archived",
    "Backup",
    "Credentials",
    "ImportedEvents",
    "Learnt",
    "Origin",
    "Prepared",
    "Rendered",
    "Retrained",
    "Shop",
    "Standing",
    "TrainedChooser",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"persona_img.{_HOMES[name]}"), name)
