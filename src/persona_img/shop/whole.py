"""The whole of a shop: what serves it and what learns from it, in one object."""

from __future__ import annotations

from persona_img.shop.adapting import Adapting
from persona_img.shop.backups import Backups
from persona_img.shop.choosing import Choosing
from persona_img.shop.goods import Goods
from persona_img.shop.importing import Importing
from persona_img.shop.origins import Origins
from persona_img.shop.pictures import Pictures
from persona_img.shop.testing import Testing


class Shop(Goods, Pictures, Origins, Adapting, Choosing, Testing, Importing, Backups):
    """The one owner of a shop's stores.

    Args:
        settings: Everything that can be set.
        workspace: The folder that holds all of its data.

    Example:
        >>> shop = Shop.open("my-shop", learn={"segments": 4})
        >>> shop.settings.learn.segments, shop.simulated
        (4, False)
    """
