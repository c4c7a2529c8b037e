"""How a product is shown on its photograph, and how large it is: what a scene has to know of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from persona_img.errors import BadCatalog

if TYPE_CHECKING:
    from collections.abc import Mapping

POSES = ("lying", "standing", "hanging", "worn")
"""How a product is shown: *lying*, seen from above (flat lay); *standing* upright on a surface,
seen from the side or from slightly above; *hanging*, on a hanger or as if (ghost mannequin, wall);
*worn* by a person."""

MAX_SIZE = 1000.0
"""Centimetres that a product's longest side may have."""

SIZES: Mapping[str, float] = {
    "bag": 35.0, "ball": 22.0, "beanie": 22.0, "belt": 105.0, "blazer": 72.0, "blouse": 62.0,
    "body": 45.0, "book": 23.0, "boots": 32.0, "bottle": 26.0, "bowl": 18.0, "box": 25.0,
    "candle": 10.0, "cap": 26.0, "card": 9.0, "chair": 85.0, "coat": 100.0, "cup": 9.0,
    "cushion": 45.0, "dress": 95.0, "glass": 14.0, "glasses": 14.0, "gloves": 24.0, "hat": 30.0,
    "hoodie": 70.0, "jacket": 70.0, "jar": 14.0, "jeans": 105.0, "jewellery": 5.0,
    "jumpsuit": 140.0, "knitwear": 66.0, "lamp": 45.0, "leggings": 92.0, "longsleeve": 70.0,
    "mug": 11.0, "necklace": 22.0, "notebook": 21.0, "outerwear": 78.0, "pants": 103.0,
    "phone": 15.0, "pillow": 60.0, "plant": 35.0, "plate": 26.0, "polo": 72.0, "pot": 20.0,
    "pullover": 68.0, "ring": 2.5, "rucksack": 45.0, "sandals": 27.0, "scarf": 90.0,
    "shirt": 75.0, "shoes": 29.0, "shorts": 48.0, "skirt": 60.0, "sneakers": 30.0, "socks": 30.0,
    "sunglasses": 14.5, "sweater": 68.0, "sweatshirt": 68.0, "t-shirt": 71.0, "tie": 75.0,
    "top": 58.0, "tote": 42.0, "toy": 25.0, "trousers": 103.0, "umbrella": 85.0,
    "undershirt": 68.0, "vase": 28.0, "wallet": 11.0, "watch": 24.0,
}  # fmt: skip
"""Usual longest side in centimetres as photographed, by category in the singular or as it is sold
(shoes); of adults' clothes without sleeves spread, scarves and ties folded, a pair as it stands.
Round figures of size charts and of what lies about: good to a fifth or so, not to a centimetre."""

THICKNESSES: Mapping[str, float] = {
    "bag": 9.0, "ball": 20.0, "beanie": 3.0, "blazer": 3.0, "boots": 11.0, "bottle": 7.0,
    "bowl": 7.0, "box": 8.0, "candle": 7.0, "cap": 9.0, "chair": 45.0, "coat": 4.0, "cup": 7.0,
    "cushion": 12.0, "glass": 7.0, "glasses": 3.5, "gloves": 2.5, "hat": 9.0, "hoodie": 3.0,
    "jacket": 3.0, "jar": 7.0, "knitwear": 2.5, "lamp": 15.0, "mug": 8.0, "outerwear": 4.0,
    "pillow": 13.0, "plant": 15.0, "pot": 14.0, "pullover": 2.5, "rucksack": 14.0, "sandals": 6.0,
    "shoes": 10.0, "sneakers": 10.0, "sunglasses": 3.5, "sweater": 2.5, "sweatshirt": 2.5,
    "toy": 7.0, "umbrella": 5.0, "vase": 12.0,
}  # fmt: skip
"""Usual height in centimetres above what they lie on, by category as in :data:`SIZES`, of what is
thicker than cloth."""

CLOTH_CM = 1.6
"""How high a shirt lies with its folds, centimetres."""

_OTHER_NAMES: Mapping[str, str] = {
    "backpack": "rucksack", "blouson": "jacket", "boot": "boots", "cardigan": "knitwear",
    "carafe": "bottle", "clutch": "bag", "earring": "jewellery", "earrings": "jewellery",
    "footwear": "shoes", "frock": "dress", "gown": "dress", "handbag": "bag", "heel": "shoes",
    "heels": "shoes", "jumper": "pullover", "loafers": "shoes", "outwear": "outerwear",
    "parka": "coat", "purse": "wallet", "sandal": "sandals", "shoe": "shoes", "short": "shorts",
    "slippers": "sandals", "sneaker": "sneakers", "sock": "socks", "spectacles": "glasses",
    "sweatpants": "trousers", "tank": "top", "tee": "t-shirt", "tights": "leggings",
    "trainers": "sneakers", "trouser": "trousers", "tshirt": "t-shirt", "tumbler": "glass",
    "vest": "undershirt",
}  # fmt: skip


def checked_pose(written: str) -> str:
    """A pose as it is named in :data:`POSES`; empty for an empty text.

    Raises:
        BadCatalog: no such pose.

    Examples:
        >>> checked_pose(" Standing ")
        'standing'
    """
    pose = written.strip().lower()
    if pose and pose not in POSES:
        raise BadCatalog(
            f"pose {written!r}: there are {', '.join(POSES)}; leave it empty where it is not known"
        )
    return pose


def checked_size(written: str) -> float | None:
    """Centimetres of the longest side; None for an empty text.

    Raises:
        BadCatalog: no number, not above 0, or above 1,000.

    Examples:
        >>> checked_size("32.5")
        32.5
    """
    if not written.strip():
        return None
    try:
        size = float(written)
    except ValueError:
        rule = "no number; write centimetres with a decimal point, without a unit: 32.5"
        raise BadCatalog(f"size_cm {written!r}: {rule}") from None
    if not 0 < size <= MAX_SIZE:
        raise BadCatalog(
            f"size_cm {written!r}: the longest side in centimetres is above 0, "
            f"at most {MAX_SIZE:,.0f}"
        )
    return size


def usual_category(category: str) -> str | None:
    """The name in :data:`SIZES` of a category as a shop writes it; None where none fits.

    The last word that is known counts, for what a thing is stands last (``travel mug``,
    ``Apparel > Dresses``); a plural is tried without its ending.

    Examples:
        >>> usual_category("Home > Coffee Mugs"), usual_category("T-Shirts"), usual_category("?")
        ('mug', 't-shirt', None)
    """
    text = re.sub(r"\bt[\s_-]*shirt", "t-shirt", category.lower())
    for word in reversed(re.findall(r"[a-z]+(?:-[a-z]+)*", text)):
        for part in dict.fromkeys((word, *reversed(word.split("-")))):
            for name in _forms(part):
                name = _OTHER_NAMES.get(name, name)
                if name in SIZES:
                    return name
    return None


def usual_size(category: str) -> float | None:
    """Usual longest side of things of a category, in centimetres; None where it is not known.

    Examples:
        >>> usual_size("mug"), usual_size("Women's Dresses"), usual_size("party")
        (11.0, 95.0, None)
    """
    name = usual_category(category)
    return None if name is None else SIZES[name]


def usual_thickness(category: str | None) -> float:
    """How high things of a category lie, in centimetres; that of a shirt where it is not known.

    Examples:
        >>> usual_thickness("Sneakers"), usual_thickness("dress"), usual_thickness(None)
        (10.0, 1.6, 1.6)
    """
    name = None if category is None else usual_category(category)
    return CLOTH_CM if name is None else THICKNESSES.get(name, CLOTH_CM)


def _forms(word: str) -> tuple[str, ...]:
    """A word as it is, and what it may be the plural of."""
    forms = [word]
    if word.endswith("ies"):
        forms += [word[:-3] + "y", word[:-1]]
    if word.endswith("ves"):
        forms.append(word[:-3] + "f")
    if word.endswith("es"):
        forms.append(word[:-2])
    if word.endswith("s"):
        forms.append(word[:-1])
    return tuple(forms)
