from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_img.domain.decision import (
    Arms,
    Candidate,
    Context,
    DecisionTable,
    Ranking,
    Slate,
    check_version,
    next_revision,
    plan_of,
    ranking_of,
    uniform,
)
from persona_img.domain.style import ORIGINAL, Style
from persona_img.errors import EmptySlate, InvalidInput

LINEN, WOOD = Style("surface=linen"), Style("surface=wood")
ARMS = Arms("hero", {"control": 0.5, "personalized": 0.5})


@given(st.text(min_size=1, max_size=40))
def test_a_shopper_keeps_one_arm(shopper: str) -> None:
    again = Arms("hero", {"control": 0.5, "personalized": 0.5})
    assert ARMS.assign(shopper) == again.assign(shopper)


def test_arms_get_their_shares_and_tests_do_not_share_an_assignment() -> None:
    shoppers = [f"s{i}" for i in range(4000)]
    third = Arms("other", {"control": 0.25, "personalized": 0.75})
    share = sum(ARMS.assign(s) == "control" for s in shoppers) / len(shoppers)
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / len(shoppers))
    both = sum(ARMS.assign(s) == third.assign(s) == "control" for s in shoppers) / len(shoppers)
    assert abs(both - 0.125) < 4 * math.sqrt(0.11 / len(shoppers))


@pytest.mark.parametrize(
    "shares", [{"a": 1.0}, {"control": 0.5, "a": 0.4}, {"control": 1.0, "a": 0.0}]
)
def test_wrong_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Arms("hero", shares)


def test_a_slate_needs_the_original_and_honest_probabilities() -> None:
    with pytest.raises(EmptySlate):
        Slate((Candidate(LINEN, "d", 1.0),))
    with pytest.raises(InvalidInput, match="0"):
        Slate((Candidate(ORIGINAL, None, 1.0), Candidate(LINEN, "d", 0.0)))
    with pytest.raises(InvalidInput, match="sum"):
        Slate((Candidate(ORIGINAL, None, 0.5), Candidate(LINEN, "d", 0.4)))


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(0, 10**6))
def test_candidates_are_drawn_with_their_probability(weights: list[float], salt: int) -> None:
    total = math.fsum(weights)
    styles = [ORIGINAL, *(Style(f"a={i}") for i in range(len(weights) - 1))]
    slate = Slate(
        tuple(Candidate(s, None, w / total) for s, w in zip(styles, weights, strict=True))
    )
    draws = [slate.draw(uniform(str(salt), str(i))).style for i in range(600)]
    for candidate in slate.candidates:
        p = candidate.probability
        spread = math.sqrt(p * (1 - p) / len(draws))
        assert abs(draws.count(candidate.style) / len(draws) - p) <= 5.5 * spread + 1e-9


def test_a_ranking_is_best_first_and_ties_go_by_style() -> None:
    made = ranking_of(Context("s", "p"), [ORIGINAL, LINEN, WOOD], [0.02, 0.03, 0.02])
    assert made.styles == (LINEN, ORIGINAL, WOOD)
    turned = ranking_of(Context("s", "p"), [WOOD, ORIGINAL, LINEN], [0.02, 0.02, 0.03])
    assert turned == made
    noisy = ranking_of(Context("s", "p"), [WOOD, LINEN, ORIGINAL], [0.02 + 1e-16, 0.03, 0.02])
    assert noisy == made
    with pytest.raises(InvalidInput):
        Ranking(Context("s", "p"), (ORIGINAL, LINEN), (0.01, 0.02))
    with pytest.raises(InvalidInput):
        ranking_of(Context("s", "p"), [ORIGINAL], [1.5])


def test_spreads_stay_with_their_styles() -> None:
    context = Context("s", "p")
    made = ranking_of(context, [ORIGINAL, LINEN, WOOD], [0.02, 0.03, 0.01], [0.2, 0.3, 0.1])
    assert dict(zip(made.styles, made.spreads or (), strict=True)) == {
        LINEN: 0.3,
        ORIGINAL: 0.2,
        WOOD: 0.1,
    }
    assert ranking_of(context, [ORIGINAL], [0.02]).spreads is None
    for wrong in ([0.1], [0.1, 0.0], [0.1, float("nan")]):
        with pytest.raises(InvalidInput, match="spreads"):
            Ranking(context, (LINEN, ORIGINAL), (0.03, 0.02), tuple(wrong))


@given(st.integers(0, 50))
def test_a_revision_is_of_the_plan_and_follows_the_one_before(count):
    version = "version-3-20261127T1200"
    for number in range(1, count + 1):
        version = next_revision(version)
        assert version == f"version-3-20261127T1200~r{number}"
    assert plan_of(version) == plan_of(version + "~withdrawn") == "version-3-20261127T1200"


@pytest.mark.parametrize("name", ["a~r1", "a~withdrawn", "~", "", "a\nb"])
def test_a_plan_has_no_name_that_could_be_a_revisions(name):
    with pytest.raises(InvalidInput, match="policy version"):
        check_version(name)
    assert check_version("round 1, übung") == "round 1, übung"


def two(first: float) -> Slate:
    return Slate((Candidate(ORIGINAL, None, first), Candidate(Style("a=b"), "d" * 64, 1 - first)))


def test_a_revision_shows_the_same_pictures_with_other_chances():
    plan = DecisionTable("v1", {("s", "p"): two(0.5), ("s", "q"): two(0.5)}, {"ann": "s"}, "s")
    revised = plan.revised({("s", "p"): two(0.25)})
    assert (revised.policy_version, revised.plan) == ("v1~r1", "v1")
    assert revised.slates == {("s", "p"): two(0.25), ("s", "q"): two(0.5)}
    assert plan.slates["s", "p"] == two(0.5)
    for other in ({("s", "x"): two(0.25)}, {("s", "p"): Slate((Candidate(ORIGINAL, None, 1.0),))}):
        with pytest.raises(InvalidInput, match="a revision shows what its plan shows"):
            plan.revised(other)
