"""A shop as a person has one, small, in a folder: served by ``persona-img serve`` and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL, Style
from persona_img.imaging.photo import load_photo
from persona_img.shop import Shop

if TYPE_CHECKING:
    from pathlib import Path

    from persona_img.domain.leaning import Personal

PRODUCTS = ("shirt-02", "dress-03")
STYLE = Style.of({"surface": "linen", "palette": "sage", "light": "side", "framing": "centred"})
TABLE = "of-the-tests"
SETTINGS = {
    "stores": {"features": "frame", "tracker": "folder"},
    "render": {"backdrops": "plain"},
    "serve": {"address_rate": 100_000},
}


def a_shop(home: Path, personal: Personal | None = None, **stores: str) -> Shop:
    """A shop of two products, a variant of each shown to half of those who are not control.

    Args:
        home: Its folder.
        personal: What turns chances to single shoppers.
        **stores: Of its settings.
    """
    from persona_img.wiring import renderer

    shop = Shop.begin(Shop.open(home, **{**SETTINGS, "stores": SETTINGS["stores"] | stores}).settings)
    shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
    shop.add_products([shipped[one] for one in PRODUCTS])
    paint, slates = renderer(shop.settings), {}
    for one in PRODUCTS:
        variant = paint.render(load_photo(shipped[one].photo), STYLE, seed=1)
        record = shop.variants.put(variant, one)
        shop.approve(record.digest, by="the tests")
        half = (Candidate(ORIGINAL, None, 0.5), Candidate(STYLE, record.digest, 0.5))
        slates["all", one] = Slate(half)
    shop.make_renditions([], shop.catalog)
    shop.workspace.save_decision_table(DecisionTable(TABLE, slates, {}, "all", personal))
    return shop
