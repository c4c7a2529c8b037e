"""Under which licence a pretrained model may be used: as known of its id, or as its card says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_img.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Licence:
    """A model's licence.

    Attributes:
        name: As recipes and messages say it.
        commercial: Whether a shop may use it as it stands.
        note: What else there is to know.
    """

    name: str
    commercial: bool
    note: str = ""


LICENCES: Mapping[str, Licence] = {
    "apache-2.0": Licence("Apache-2.0", True),
    "mit": Licence("MIT", True),
    "openrail-m": Licence("CreativeML OpenRAIL-M", True, "with restrictions of use"),
    "openrail++-m": Licence("CreativeML OpenRAIL++-M", True, "with restrictions of use"),
    "stability-community": Licence(
        "Stability AI Community", True, "up to a yearly revenue of one million US dollars"
    ),
    "stability-non-commercial": Licence(
        "Stability AI Non-Commercial", False, "research and private use only"
    ),
    "flux-dev-non-commercial": Licence(
        "FLUX.1 [dev] Non-Commercial",
        False,
        "the weights may not be used for business without a licence of Black Forest Labs",
    ),
    "flux-non-commercial": Licence(
        "FLUX Non-Commercial",
        False,
        "the weights may not be used for business without a licence of Black Forest Labs",
    ),
    "flux-klein-unknown": Licence(
        "unknown of FLUX.2 klein", False, "4B models are Apache-2.0, 9B models non-commercial"
    ),
    "unknown": Licence("unknown", True, "the model's card says it"),
}
"""Licences by our own short names."""

MODELS: Mapping[str, str] = {
    "stable-diffusion-v1-5/": "openrail-m",
    "runwayml/stable-diffusion-": "openrail-m",
    "stabilityai/stable-diffusion-2": "openrail++-m",
    "sd2-community/": "openrail++-m",
    "stabilityai/stable-diffusion-xl-": "openrail++-m",
    "diffusers/stable-diffusion-xl-": "openrail++-m",
    "stabilityai/sdxl-turbo": "stability-non-commercial",
    "stabilityai/sd-turbo": "stability-non-commercial",
    "stabilityai/stable-diffusion-3": "stability-community",
    "black-forest-labs/flux.1-schnell": "apache-2.0",
    "black-forest-labs/flux.1-": "flux-dev-non-commercial",
    "black-forest-labs/flux.2-klein-4b": "apache-2.0",
    "black-forest-labs/flux.2-klein-base-4b": "apache-2.0",
    "black-forest-labs/flux.2-": "flux-non-commercial",
    "tongyi-mai/z-image": "apache-2.0",
    "qwen/qwen-image": "apache-2.0",
}
"""Beginnings of ids, in small letters, to licences; the first that fits counts."""

_CARDS: Mapping[str, str] = {
    "creativeml-openrail-m": "openrail-m",
    "openrail": "openrail-m",
    "openrail++": "openrail++-m",
    "stabilityai-ai-community": "stability-community",
    "stability-ai-community": "stability-community",
    "sai-nc-community": "stability-non-commercial",
    "flux-1-dev-non-commercial-license": "flux-dev-non-commercial",
    "flux-non-commercial-license": "flux-non-commercial",
}
"""What cards call them, where that is not our name."""


def licence_of(model: str, usual: str, card: str | None) -> Licence:
    """The licence of a model: by its id, else by its card, else what its family usually has.

    Args:
        model: Id on a hub, or a folder.
        usual: Key of :data:`LICENCES` for its family.
        card: Text of its ``README.md``; None where there is none.

    Example:
        >>> licence_of("black-forest-labs/FLUX.1-Fill-dev", "unknown", None).commercial
        False
    """
    known = known_licence(model)
    if known is not None:
        return known
    named = _named(card or "")
    if named is None:
        return LICENCES[usual]
    return LICENCES.get(_CARDS.get(named, named)) or Licence(named, not _forbids(named))


def known_licence(model: str) -> Licence | None:
    """The licence of an id that is in the table; None of another, and of a folder."""
    lowered = model.lower()
    found = (key for beginning, key in MODELS.items() if lowered.startswith(beginning))
    key = next(found, None)
    return None if key is None else LICENCES[key]


def check_accepted(model: str, licence: Licence, *, accepted: bool) -> None:
    """Refuse a model that a shop may not use as it stands, until somebody says that it may.

    Raises:
        InvalidInput: it forbids commercial use and nobody accepted that.
    """
    if licence.commercial or accepted:
        return
    raise InvalidInput(
        f"{model}: its licence is {licence.name}: {licence.note or 'no commercial use'}; where you "
        f"have the right to use it, say --accept-licence (pretrained.accept_licence = true), or "
        f"take a model under Apache-2.0, for example Z-Image or Qwen-Image-Edit"
    )


def _named(card: str) -> str | None:
    """What the front matter of a card calls the licence: its own name before ``other``."""
    front = re.match(r"---\s*\n(.*?)\n---", card, re.DOTALL)
    if front is None:
        return None
    found = dict(
        re.findall(r"^(license(?:_name)?):\s*[\"']?([^\"'\n]+?)[\"']?\s*$", front[1], re.M)
    )
    named = found.get("license_name") or found.get("license")
    return None if named is None or named.lower() == "other" else named.strip().lower()


def _forbids(name: str) -> bool:
    return "non-commercial" in name or "noncommercial" in name or "-nc" in name
