from __future__ import annotations

import pytest

from persona_img.errors import InvalidInput
from persona_img.rendering.sources.pretrained.licences import (
    LICENCES,
    MODELS,
    check_accepted,
    known_licence,
    licence_of,
)


@pytest.mark.parametrize(
    ("model", "name", "commercial"),
    [
        ("black-forest-labs/FLUX.1-Fill-dev", "FLUX.1 [dev] Non-Commercial", False),
        ("black-forest-labs/FLUX.1-schnell", "Apache-2.0", True),
        ("black-forest-labs/FLUX.2-klein-4B", "Apache-2.0", True),
        ("black-forest-labs/FLUX.2-klein-base-4B", "Apache-2.0", True),
        ("black-forest-labs/FLUX.2-klein-9B", "FLUX Non-Commercial", False),
        ("Tongyi-MAI/Z-Image-Turbo", "Apache-2.0", True),
        ("Qwen/Qwen-Image-Edit-2509", "Apache-2.0", True),
        ("stabilityai/stable-diffusion-3.5-large", "Stability AI Community", True),
        ("stabilityai/stable-diffusion-xl-base-1.0", "CreativeML OpenRAIL++-M", True),
        ("stabilityai/sdxl-turbo", "Stability AI Non-Commercial", False),
    ],
)
def test_known_models(model: str, name: str, commercial: bool) -> None:
    licence = known_licence(model)
    assert licence is not None
    assert (licence.name, licence.commercial) == (name, commercial)


def test_every_licence_of_the_table_exists() -> None:
    assert set(MODELS.values()) <= set(LICENCES)


@pytest.mark.parametrize(
    ("card", "name", "commercial"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model", "Apache-2.0", True),
        ("---\nlicense_name: sai-nc-community\n---\n", "Stability AI Non-Commercial", False),
        ("---\nlicense: other\nlicense_name: mit\n---\n", "MIT", True),
        ("---\ntags: [x]\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0", False),
        ("---\nlicense: 'bsd-3-clause'\n---\n", "bsd-3-clause", True),
        ("---\nlicense: other\n---\n", "CreativeML OpenRAIL++-M", True),
        ("license: cc-by-nc-4.0", "CreativeML OpenRAIL++-M", True),
        (None, "CreativeML OpenRAIL++-M", True),
    ],
)  # fmt: skip
def test_a_card_says_it_before_the_family(card: str | None, name: str, commercial: bool) -> None:
    licence = licence_of("models/mine", "openrail++-m", card)
    assert (licence.name, licence.commercial) == (name, commercial)


def test_a_known_id_counts_before_its_card() -> None:
    card = "---\nlicense: apache-2.0\n---\n"
    assert not licence_of("black-forest-labs/FLUX.1-Fill-dev", "unknown", card).commercial


def test_what_a_shop_may_not_use_is_refused_until_it_is_accepted() -> None:
    licence = LICENCES["flux-klein-unknown"]
    with pytest.raises(InvalidInput, match=r"models/klein.*9B models non-commercial.*--accept-lic"):
        check_accepted("models/klein", licence, accepted=False)
    check_accepted("models/klein", licence, accepted=True)
    check_accepted("models/mine", LICENCES["apache-2.0"], accepted=False)
