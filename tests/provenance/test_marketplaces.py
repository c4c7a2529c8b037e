"""Each rule passes where it is kept, fails where it is not, and says where it was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from persona_img.provenance.altered import COMPOSITE, COMPOSITE_TRAINED
from persona_img.provenance.marketplaces import MARKETS, Offered, Outcome

TODAY = date(2026, 11, 28)


def packshot(side: int = 1200, product: int = 1080) -> Offered:
    pixels = np.full((side, side, 3), 255, np.uint8)
    alpha = np.zeros((side, side), np.uint8)
    begin = (side - product) // 2
    alpha[begin : begin + product, begin + 100 : begin + product - 100] = 255
    pixels[alpha > 0] = 90
    return Offered(pixels, alpha, 300_000, COMPOSITE_TRAINED, COMPOSITE_TRAINED, True, True)


def outcomes(market: str, shown: Offered, today: date = TODAY) -> dict[str, Outcome]:
    return {one.rule: one.outcome for one in MARKETS[market](shown, today)}


@pytest.mark.parametrize("market", MARKETS)
def test_a_picture_that_keeps_them_fails_none_and_a_person_is_still_asked(market: str) -> None:
    found = set(outcomes(market, packshot()).values())
    assert found == {"ok", "look"}
    assert all(one.source for one in MARKETS[market](packshot(), TODAY))


def test_each_rule_of_a_main_picture_is_broken_alone() -> None:
    whole = packshot()
    grey = whole.pixels.copy()
    grey[0, 0] = 254
    broken = {
        "pure white": replace(whole, pixels=grey),
        "fills 85 %": packshot(product=900),
        "500 to 10,000": packshot(400, 380),
        "the whole product": replace(whole, whole=False),
        "a photograph": replace(whole, unchanged=False),
    }
    for rule, shown in broken.items():
        failed = [name for name, o in outcomes("amazon-main", shown).items() if o == "FAIL"]
        assert len(failed) == 1, (rule, failed)
        assert rule in failed[0]


def test_what_is_too_small_for_the_zoom_is_for_a_person() -> None:
    found = outcomes("amazon-main", packshot(800, 720))
    assert found["1,000 pixels or more, for the zoom"] == "look"


def test_google_asks_for_more_pixels_from_a_day_on() -> None:
    small = packshot(450, 420)
    (rule,) = [name for name in outcomes("google-merchant", small) if name.startswith("500 x")]
    assert outcomes("google-merchant", small, date(2027, 1, 30))[rule] == "look"
    assert outcomes("google-merchant", small, date(2027, 1, 31))[rule] == "FAIL"


@pytest.mark.parametrize(
    ("said", "written", "outcome"),
    [
        (COMPOSITE_TRAINED, COMPOSITE_TRAINED, "ok"),
        (COMPOSITE_TRAINED, None, "FAIL"),
        (COMPOSITE_TRAINED, COMPOSITE, "FAIL"),
        (COMPOSITE, COMPOSITE, "ok"),
        (None, None, "ok"),
    ],
)
def test_a_generated_picture_has_to_say_so(
    said: str | None, written: str | None, outcome: str
) -> None:
    shown = replace(packshot(), said=said, source_type=written)
    rule = "a generated picture says so in its metadata"
    assert outcomes("google-merchant", shown)[rule] == outcome


def test_files_and_pictures_that_are_too_large_fail() -> None:
    assert outcomes("google-merchant", replace(packshot(), size=17_000_000))["at most 16 MB"] == (
        "FAIL"
    )
