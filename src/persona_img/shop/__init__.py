"""One shop: its settings, its folder, every store it has, and the loop's verbs on them.

The public way in. Commands, the demo, pages and notebooks call a :class:`Shop` and nothing below.
Its verbs stand in a file per matter; ``stores`` has what they all work on.
"""

from __future__ import annotations

from persona_img.loop import Prepared, Rendered
from persona_img.serving.archive import Archived
from persona_img.shop.adapting import Adapting, Learnt
from persona_img.shop.backups import Backup, Backups
from persona_img.shop.choosing import Choosing, TrainedChooser
from persona_img.shop.goods import Goods
from persona_img.shop.importing import ImportedEvents, Importing
from persona_img.shop.learning import Retrained
from persona_img.shop.origins import Origin, Origins
from persona_img.shop.pictures import Pictures

__all__ = [
    "Archived",
    "Backup",
    "ImportedEvents",
    "Learnt",
    "Origin",
    "Prepared",
    "Rendered",
    "Retrained",
    "Shop",
    "TrainedChooser",
]


class Shop(Goods, Pictures, Origins, Adapting, Choosing, Importing, Backups):
    """The one owner of a shop's stores.

    Args:
        settings: Everything that can be set.
        workspace: The folder that holds all of its data.

    Example:
        >>> shop = Shop.open("my-shop", learn={"segments": 4})
        >>> shop.settings.learn.segments, shop.simulated
        (4, False)
    """
